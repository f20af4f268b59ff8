/* Addition, elementwise; the gradient goes to both. */
#include "backends/reference/reference.h"

static void add_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *x = at[FV_X], *x2 = at[FV_X2];
    double *y = at[FV_Y];
    for (int64_t i = 0; i < op->add.elements; ++i)
        y[i] = x[i] + x2[i];
}

static void add_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *dy = at[FV_DY];
    double *dx = at[FV_DX], *dx2 = at[FV_DX2];
    for (int64_t i = 0; i < op->add.elements; ++i)
        dx[i] = dx2[i] = dy[i];
}

FV_REFERENCE_RUN(add_forward, FV_FORWARD)
FV_REFERENCE_RUN(add_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_add[] = {
    FV_REFERENCE_ROWS(FV_ADD, FV_FORWARD, add_forward),
    FV_REFERENCE_ROWS(FV_ADD, FV_BACKWARD_DATA, add_backward_data),
    FV_KERNELS_END,
};
