/* Inverted dropout, elementwise; both passes drop the same elements. */
#include "backends/reference/reference.h"
#include "base/random.h"

static void drop(const fv_dropout *d, int32_t step, const double *from, double *to) {
    for (int64_t i = 0; i < d->elements; ++i) {
        const double u = (double)fv_random_uniform((uint64_t)d->seed, (uint64_t)step, (uint64_t)i);
        to[i] = u >= d->rate ? from[i] / (1 - d->rate) : 0;
    }
}

static void dropout_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    drop(&op->dropout, *(const int32_t *)at[FV_STEP], at[FV_X], at[FV_Y]);
}

static void dropout_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    drop(&op->dropout, *(const int32_t *)at[FV_STEP], at[FV_DY], at[FV_DX]);
}

FV_REFERENCE_RUN(dropout_forward, FV_FORWARD)
FV_REFERENCE_RUN(dropout_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_dropout[] = {
    FV_REFERENCE_ROWS(FV_DROPOUT, FV_FORWARD, dropout_forward),
    FV_REFERENCE_ROWS(FV_DROPOUT, FV_BACKWARD_DATA, dropout_backward_data),
    FV_KERNELS_END,
};
