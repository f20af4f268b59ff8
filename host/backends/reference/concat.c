/* Concatenation along the channels: pixel by pixel, part by part. */
#include "backends/reference/reference.h"

#include <string.h>

static void concat_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    static const fv_role parts[FV_MAX_PARTS] = {FV_X, FV_X2, FV_X3, FV_X4};
    const fv_concat *d = &op->concat;
    double *y = at[FV_Y];
    for (int64_t pixel = 0; pixel < d->n * d->h * d->w; ++pixel)
        for (int i = 0; i < FV_MAX_PARTS && d->c[i]; y += d->c[i++])
            memcpy(y, (const double *)at[parts[i]] + pixel * d->c[i], (size_t)d->c[i] * sizeof *y);
}

static void concat_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    static const fv_role parts[FV_MAX_PARTS] = {FV_DX, FV_DX2, FV_DX3, FV_DX4};
    const fv_concat *d = &op->concat;
    const double *dy = at[FV_DY];
    for (int64_t pixel = 0; pixel < d->n * d->h * d->w; ++pixel)
        for (int i = 0; i < FV_MAX_PARTS && d->c[i]; dy += d->c[i++])
            memcpy((double *)at[parts[i]] + pixel * d->c[i], dy, (size_t)d->c[i] * sizeof *dy);
}

FV_REFERENCE_RUN(concat_forward, FV_FORWARD)
FV_REFERENCE_RUN(concat_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_concat[] = {
    FV_REFERENCE_ROWS(FV_CONCAT, FV_FORWARD, concat_forward),
    FV_REFERENCE_ROWS(FV_CONCAT, FV_BACKWARD_DATA, concat_backward_data),
    FV_KERNELS_END,
};
