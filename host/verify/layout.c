/* Tensors from NHWC to NCHW and back. For one image that is a transposition: pixels x channels, channels x pixels. */
#include <string.h>

#include "base/checked.h"
#include "verify/excerpt.h"

/* Tiles of TILE x TILE elements, so that the lines of both tensors stay in the cache; fewer elements than PARALLEL are
 * not worth the start of threads. */
enum { TILE = 32, PARALLEL = 1 << 16 };

/* result[j][i] = source[i][j] for the rows of one tile; with a constant `size` the copies are single moves. */
static inline __attribute__((always_inline)) void transpose_rows(const char *source, int64_t rows, int64_t columns,
                                                                 int64_t first, size_t size, char *result) {
    const int64_t last = fv_min(first + TILE, rows);
    for (int64_t left = 0; left < columns; left += TILE)
        for (int64_t j = left; j < fv_min(left + TILE, columns); ++j)
            for (int64_t i = first; i < last; ++i)
                memcpy(result + (size_t)(j * rows + i) * size, source + (size_t)(i * columns + j) * size, size);
}

static void transpose_tiles(const char *source, int64_t rows, int64_t columns, int64_t first, size_t size,
                            char *result) {
    switch (size) {
    case 1:
        transpose_rows(source, rows, columns, first, 1, result);
        break;
    case 4:
        transpose_rows(source, rows, columns, first, 4, result);
        break;
    default:
        transpose_rows(source, rows, columns, first, 8, result);
        break;
    }
}

/* Each of `images` matrices by itself. */
static void transpose(const char *source, int64_t images, int64_t rows, int64_t columns, size_t size, char *result) {
    const int64_t strips = (rows + TILE - 1) / TILE;
#ifdef _OPENMP
#pragma omp parallel for if (images * rows * columns >= PARALLEL)
#endif
    for (int64_t s = 0; s < images * strips; ++s) {
        const size_t image = (size_t)(s / strips * rows * columns) * size;
        transpose_tiles(source + image, rows, columns, s % strips * TILE, size, result + image);
    }
}

void fv_layout_convert(const fv_tensor_spec *spec, fv_layout from, fv_layout to, const void *source, void *result) {
    const int64_t *dim = spec->shape.dim;
    const size_t size = fv_dtype_size(spec->dtype);
    if (from == to || spec->shape.rank != 4)
        memcpy(result, source, fv_spec_bytes(spec));
    else if (from == FV_NHWC)
        transpose(source, dim[0], dim[1] * dim[2], dim[3], size, result);
    else
        transpose(source, dim[0], dim[3], dim[1] * dim[2], size, result);
}
