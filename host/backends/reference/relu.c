/* ReLU, elementwise. A NaN is neither below zero nor above it: it stays going forward and blocks the gradient going
 * back. */
#include "backends/reference/reference.h"

static void relu_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *x = at[FV_X];
    double *y = at[FV_Y];
    for (int64_t i = 0; i < op->relu.elements; ++i)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *y = at[FV_Y], *dy = at[FV_DY];
    double *dx = at[FV_DX];
    for (int64_t i = 0; i < op->relu.elements; ++i)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

FV_REFERENCE_RUN(relu_forward, FV_FORWARD)
FV_REFERENCE_RUN(relu_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_relu[] = {
    FV_REFERENCE_ROWS(FV_RELU, FV_FORWARD, relu_forward),
    FV_REFERENCE_ROWS(FV_RELU, FV_BACKWARD_DATA, relu_backward_data),
    FV_KERNELS_END,
};
