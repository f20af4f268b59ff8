#include "verify/map.h"

#include <inttypes.h>

#include "base/text.h"

static int64_t cells_of(int64_t extent, int64_t most) {
    return extent < most ? extent : most;
}

/* The cell that holds place i; cells are equal but for rounding. */
static int64_t cell_of(int64_t i, int64_t extent, int64_t cells) {
    return (int64_t)((__int128)i * cells / extent);
}

/* Places in a cell: those i with floor(i*cells/extent) = cell. */
static int64_t cell_size(int64_t cell, int64_t extent, int64_t cells) {
    const __int128 first = ((__int128)cell * extent + cells - 1) / cells;
    const __int128 next = ((__int128)(cell + 1) * extent + cells - 1) / cells;
    return (int64_t)(next - first);
}

/* The images' height and width if there are any; else the two longest axes. */
static void choose_plane(fv_error_map *map) {
    const fv_shape *shape = &map->shape;
    map->down = map->across = -1;
    if (shape->rank == 4 && shape->dim[1] > 1 && shape->dim[2] > 1) {
        map->down = 1;
        map->across = 2;
        return;
    }
    for (int a = 0; a < shape->rank; ++a)
        for (int b = a + 1; b < shape->rank; ++b)
            if (shape->dim[a] > 1 && shape->dim[b] > 1 &&
                (map->down < 0 || (double)shape->dim[a] * (double)shape->dim[b] >
                                      (double)shape->dim[map->down] * (double)shape->dim[map->across])) {
                map->down = a;
                map->across = b;
            }
}

void fv_map_begin(fv_error_map *map, const fv_shape *shape) {
    *map = (fv_error_map){.shape = *shape};
    choose_plane(map);
}

void fv_map_coordinates(const fv_shape *shape, int64_t index, int64_t at[FV_MAX_RANK]) {
    for (int axis = shape->rank - 1; axis >= 0; --axis) {
        at[axis] = index % shape->dim[axis];
        index /= shape->dim[axis];
    }
}

void fv_map_note(fv_error_map *map, int64_t index) {
    const fv_shape *shape = &map->shape;
    int64_t at[FV_MAX_RANK];
    fv_map_coordinates(shape, index, at);
    for (int axis = 0; axis < shape->rank; ++axis) {
        const int64_t extent = shape->dim[axis];
        ++map->strip[axis][cell_of(at[axis], extent, cells_of(extent, FV_MAP_CELLS))];
        if (map->errors == 0 || at[axis] < map->low[axis])
            map->low[axis] = at[axis];
        if (map->errors == 0 || at[axis] > map->high[axis])
            map->high[axis] = at[axis];
    }
    if (map->down >= 0) {
        const int64_t height = shape->dim[map->down], width = shape->dim[map->across];
        map->inside +=
            at[map->down] > 0 && at[map->down] < height - 1 && at[map->across] > 0 && at[map->across] < width - 1;
        ++map->plane[cell_of(at[map->down], height, cells_of(height, FV_MAP_ROWS))]
                    [cell_of(at[map->across], width, cells_of(width, FV_MAP_CELLS))];
    }
    ++map->errors;
}

static char share(int64_t errors, double elements) {
    if (errors == 0)
        return '.';
    if ((double)errors >= elements)
        return '#';
    const int tenths = (int)(10 * (double)errors / elements);
    return (char)('0' + (tenths < 1 ? 1 : tenths));
}

bool fv_map_strip(const fv_error_map *map, int axis, char drawing[FV_MAP_CELLS + 1]) {
    if (axis >= map->shape.rank || map->shape.dim[axis] < 2)
        return false;
    const int64_t extent = map->shape.dim[axis], cells = cells_of(extent, FV_MAP_CELLS);
    const double others = (double)fv_shape_elements(&map->shape) / (double)extent;
    for (int64_t cell = 0; cell < cells; ++cell)
        drawing[cell] = share(map->strip[axis][cell], (double)cell_size(cell, extent, cells) * others);
    drawing[cells] = '\0';
    return true;
}

bool fv_map_row(const fv_error_map *map, int row, char drawing[FV_MAP_CELLS + 1]) {
    if (map->down < 0)
        return false;
    const int64_t height = map->shape.dim[map->down], width = map->shape.dim[map->across];
    const int64_t rows = cells_of(height, FV_MAP_ROWS), cells = cells_of(width, FV_MAP_CELLS);
    if (row >= rows)
        return false;
    const double others = (double)fv_shape_elements(&map->shape) / (double)height / (double)width;
    for (int64_t cell = 0; cell < cells; ++cell)
        drawing[cell] = share(map->plane[row][cell],
                              (double)cell_size(row, height, rows) * (double)cell_size(cell, width, cells) * others);
    drawing[cells] = '\0';
    return true;
}

/* ---- the description in words ---- */

/* The step of the places with errors if they are evenly spaced from low to high; 0 if not, or if the axis is too long
 * to tell. */
static int64_t spacing(const fv_error_map *map, int axis) {
    if (map->shape.dim[axis] > FV_MAP_CELLS)
        return 0;
    const int64_t low = map->low[axis], high = map->high[axis];
    int64_t step = 1;
    while (low + step < high && map->strip[axis][low + step] == 0)
        ++step;
    for (int64_t i = low; i <= high; ++i)
        if ((map->strip[axis][i] != 0) != ((i - low) % step == 0))
            return 0;
    return (high - low) % step == 0 ? step : 0;
}

static void describe_axis(const fv_error_map *map, int axis, char letter, char *text, size_t size) {
    const int64_t low = map->low[axis], high = map->high[axis], last = map->shape.dim[axis] - 1;
    const int64_t step = spacing(map, axis);
    if (low == 0 && high == last && (step == 1 || last > FV_MAP_CELLS - 1))
        return; /* nothing is special about this axis */
    if (*text)
        fv_append(text, size, ", ");
    if (low == high)
        fv_append(text, size, "%c=%" PRId64 "%s", letter, low,
                  low == last ? " (the last)"
                  : low == 0  ? " (the first)"
                              : "");
    else if (low == 0 && high == last && step == last)
        fv_append(text, size, "%c=0 and %" PRId64 " (the border)", letter, last);
    else if (step > 1)
        fv_append(text, size, "%c=%" PRId64 "..%" PRId64 " in steps of %" PRId64, letter, low, high, step);
    else if (high == last)
        fv_append(text, size, "%c=%" PRId64 "..%" PRId64 " (the last %" PRId64 " of %" PRId64 ")", letter, low, high,
                  last - low + 1, last + 1);
    else
        fv_append(text, size, "%c=%" PRId64 "..%" PRId64 " of %" PRId64, letter, low, high, last + 1);
}

void fv_map_describe(const fv_error_map *map, const char *axes, char *text, size_t size) {
    *text = '\0';
    if (map->down >= 0 && map->inside == 0 && map->shape.dim[map->down] > 2 && map->shape.dim[map->across] > 2)
        fv_append(text, size, "on the border of %c x %c", axes[map->down], axes[map->across]);
    for (int axis = 0; axis < map->shape.rank; ++axis)
        if (map->shape.dim[axis] > 1)
            describe_axis(map, axis, axes[axis], text, size);
    if (!*text)
        fv_append(text, size, map->errors == fv_shape_elements(&map->shape) ? "everywhere" : "all over");
}
