/* Matrix products by their definition. x and dx are [n,c], w and dw [k,c], y and dy [n,k]. */
#include "backends/reference/reference.h"

static void linear_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_linear *d = &op->linear;
    const double *x = at[FV_X], *w = at[FV_W], *b = at[FV_B];
    double *y = at[FV_Y];
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t k = 0; k < d->k; ++k) {
            double sum = d->bias ? b[k] : 0;
            for (int64_t c = 0; c < d->c; ++c)
                sum += x[n * d->c + c] * w[k * d->c + c];
            y[n * d->k + k] = sum;
        }
}

static void linear_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_linear *d = &op->linear;
    const double *dy = at[FV_DY], *w = at[FV_W];
    double *dx = at[FV_DX];
    for (int64_t n = 0; n < d->n; ++n) {
        for (int64_t c = 0; c < d->c; ++c)
            dx[n * d->c + c] = 0;
        for (int64_t k = 0; k < d->k; ++k)
            for (int64_t c = 0; c < d->c; ++c)
                dx[n * d->c + c] += dy[n * d->k + k] * w[k * d->c + c];
    }
}

static void linear_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_linear *d = &op->linear;
    const double *x = at[FV_X], *dy = at[FV_DY];
    double *dw = at[FV_DW], *db = at[FV_DB];
    for (int64_t k = 0; k < d->k; ++k) {
        if (d->bias)
            db[k] = 0;
        for (int64_t c = 0; c < d->c; ++c)
            dw[k * d->c + c] = 0;
        for (int64_t n = 0; n < d->n; ++n) {
            const double gradient = dy[n * d->k + k];
            if (d->bias)
                db[k] += gradient;
            for (int64_t c = 0; c < d->c; ++c)
                dw[k * d->c + c] += gradient * x[n * d->c + c];
        }
    }
}

FV_REFERENCE_RUN(linear_forward, FV_FORWARD)
FV_REFERENCE_RUN(linear_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(linear_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_linear[] = {
    FV_REFERENCE_ALL_ROWS(FV_LINEAR, FV_FORWARD, linear_forward),
    FV_REFERENCE_ALL_ROWS(FV_LINEAR, FV_BACKWARD_DATA, linear_backward_data),
    FV_REFERENCE_ALL_ROWS(FV_LINEAR, FV_BACKWARD_WEIGHTS, linear_backward_weights),
    FV_KERNELS_END,
};
