/* The random numbers of a random case, and what its parts are drawn by: for random.c and the files of the families. */
#ifndef FOVEA_CASES_DRAW_H
#define FOVEA_CASES_DRAW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"
#include "ops/op.h"

/* The random numbers of one case, one after the other. Each is drawn in a statement of its own, or on one side of a
 * sequence point: C does not order the expressions of an initialiser, compilers differ. */
typedef struct fv_draw {
    uint64_t seed, index, next;
    bool large; /* the case may be LARGE_TIMES larger than most */
} fv_draw;

static inline int64_t below(fv_draw *d, int64_t limit) {
    return fv_random_below(d->seed, d->index, d->next++, (uint32_t)limit);
}

static inline bool chance(fv_draw *d, int percent) {
    return below(d, 100) < percent;
}

static inline int64_t pick(fv_draw *d, const int64_t *values, size_t count) {
    return values[below(d, (int64_t)count)];
}

static inline double pick_real(fv_draw *d, const double *values, size_t count) {
    return values[below(d, (int64_t)count)];
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define PICK(d, ...) pick(d, (const int64_t[]){__VA_ARGS__}, COUNT(((const int64_t[]){__VA_ARGS__})))
#define PICK_REAL(d, ...) pick_real(d, (const double[]){__VA_ARGS__}, COUNT(((const double[]){__VA_ARGS__})))

/* An extent at or beside a power of two, where kernels pass from one tile, warp or block to the next. The first are the
 * likeliest: 1 comes one time in six, those above 100 together one time in 23. */
int64_t fv_draw_extent(fv_draw *d);
int64_t fv_draw_batch_size(fv_draw *d); /* now and then 0 */
int64_t fv_draw_channels(fv_draw *d);

/* Images and a window at or near a corner of what there can be, both axes at the same one or each at its own. */
void fv_draw_window(fv_draw *d, fv_window2d *window);

/* One function per kind: everything but kind and dtype. What validation refuses is drawn again. */
typedef void fv_draw_operation(fv_draw *d, fv_operation *op);
fv_draw_operation fv_draw_conv2d, fv_draw_separable, fv_draw_transposed, fv_draw_unshared, fv_draw_spatial,
    fv_draw_deformable, fv_draw_linear, fv_draw_relu, fv_draw_batchnorm, fv_draw_dropout, fv_draw_concat, fv_draw_add,
    fv_draw_flatten, fv_draw_softmax_xent, fv_draw_batch, fv_draw_sgd, fv_draw_adam, fv_draw_pool, fv_draw_avgpool,
    fv_draw_upsample;

#endif
