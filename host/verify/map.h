/* Where in a tensor the errors lie: how many per stretch of each axis, and over the plane of two axes. */
#ifndef FOVEA_VERIFY_MAP_H
#define FOVEA_VERIFY_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include <fovea/operations.h>

enum { FV_MAP_CELLS = 64, FV_MAP_ROWS = 16 };

typedef struct fv_error_map {
    fv_shape shape;
    int down, across; /* the plane's axes; down < 0: none */
    int64_t errors;
    int64_t inside;                           /* those not on the plane's border */
    int64_t strip[FV_MAX_RANK][FV_MAP_CELLS]; /* errors by place along each axis */
    int64_t low[FV_MAX_RANK], high[FV_MAX_RANK];
    int64_t plane[FV_MAP_ROWS][FV_MAP_CELLS];
} fv_error_map;

void fv_map_begin(fv_error_map *map, const fv_shape *shape);
void fv_map_note(fv_error_map *map, int64_t index); /* row-major */

/* The logical coordinates of an element. */
void fv_map_coordinates(const fv_shape *shape, int64_t index, int64_t at[FV_MAX_RANK]);

/* One line such as "p=5 (the last), k=3..63 in steps of 4" or "everywhere"; axes holds the axes' letters. */
void fv_map_describe(const fv_error_map *map, const char *axes, char *line, size_t size);

/* Drawings of at most FV_MAP_CELLS characters: '.' no errors, '1' to '9' tenths of the elements, '#' all of them.
 * fv_map_strip returns false where the axis has a single place; fv_map_row where the plane has no such row. */
bool fv_map_strip(const fv_error_map *map, int axis, char drawing[FV_MAP_CELLS + 1]);
bool fv_map_row(const fv_error_map *map, int row, char drawing[FV_MAP_CELLS + 1]);

#endif
