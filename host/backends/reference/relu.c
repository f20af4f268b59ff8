/* ReLU, elementwise. A NaN is neither below zero nor above it: it stays going forward, and going back its gradient is
 * scaled by the slope, which blocks it where the slope is 0. */
#include "backends/reference/reference.h"

/* slope * value; 0 even for an infinite value if the slope is 0. */
static double sloping(double slope, double value) {
    return slope > 0 ? slope * value : 0;
}

static void relu_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *x = at[FV_X];
    double *y = at[FV_Y];
    for (int64_t i = 0; i < op->relu.elements; ++i)
        y[i] = x[i] < 0 ? sloping(op->relu.slope, x[i]) : x[i];
}

static void relu_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const double *y = at[FV_Y], *dy = at[FV_DY];
    double *dx = at[FV_DX];
    for (int64_t i = 0; i < op->relu.elements; ++i)
        dx[i] = y[i] > 0 ? dy[i] : sloping(op->relu.slope, dy[i]);
}

FV_REFERENCE_RUN(relu_forward, FV_FORWARD)
FV_REFERENCE_RUN(relu_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_relu[] = {
    FV_REFERENCE_ROWS(FV_RELU, FV_FORWARD, relu_forward),
    FV_REFERENCE_ROWS(FV_RELU, FV_BACKWARD_DATA, relu_backward_data),
    FV_KERNELS_END,
};
