/* Softmax with cross-entropy, row by row. x, y and dx are [n,classes]. The largest logit is subtracted first, so that
 * no exponential overflows, and the loss is log(sum) - (x[label] - largest), which stays finite where y[label] rounds
 * to 0. */
#include "backends/reference/reference.h"

#include <math.h>

static void softmax_xent_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_softmax_xent *d = &op->softmax_xent;
    const int32_t *labels = at[FV_LABELS];
    double *loss = at[FV_LOSS];
    int32_t *predicted = at[FV_PREDICTED];
    for (int64_t n = 0; n < d->n; ++n) {
        const double *x = (const double *)at[FV_X] + n * d->classes;
        double *y = (double *)at[FV_Y] + n * d->classes;
        int32_t best = 0;
        for (int32_t k = 1; k < d->classes; ++k)
            if (x[k] > x[best])
                best = k;
        double sum = 0;
        for (int64_t k = 0; k < d->classes; ++k)
            sum += y[k] = exp(x[k] - x[best]);
        for (int64_t k = 0; k < d->classes; ++k)
            y[k] /= sum;
        loss[n] = log(sum) - (x[labels[n]] - x[best]);
        predicted[n] = best;
    }
}

static void softmax_xent_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_softmax_xent *d = &op->softmax_xent;
    const double *y = at[FV_Y];
    const int32_t *labels = at[FV_LABELS];
    double *dx = at[FV_DX];
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t k = 0; k < d->classes; ++k)
            dx[n * d->classes + k] = (y[n * d->classes + k] - (k == labels[n])) / (double)d->n;
}

FV_REFERENCE_RUN(softmax_xent_forward, FV_FORWARD)
FV_REFERENCE_RUN(softmax_xent_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_softmax_xent[] = {
    FV_REFERENCE_ROWS(FV_SOFTMAX_XENT, FV_FORWARD, softmax_xent_forward),
    FV_REFERENCE_ROWS(FV_SOFTMAX_XENT, FV_BACKWARD_DATA, softmax_xent_backward_data),
    FV_KERNELS_END,
};
