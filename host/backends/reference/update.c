/* Parameter updates by their definition; see fv_sgd and fv_adam. */
#include "backends/reference/reference.h"

#include <math.h>

static void sgd(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_sgd *d = &op->sgd;
    double *w = at[FV_W], *m = at[FV_M];
    const double *dw = at[FV_DW], *rate = at[FV_RATE];
    for (int64_t i = 0; i < d->elements; ++i) {
        const double decay = i < d->decayed ? d->weight_decay * w[i] : 0;
        m[i] = d->momentum * m[i] + (dw[i] + decay);
        w[i] -= rate[0] * m[i];
    }
}

static void adam(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_adam *d = &op->adam;
    double *w = at[FV_W], *m = at[FV_M], *v = at[FV_V];
    const double *dw = at[FV_DW], *rate = at[FV_RATE];
    for (int64_t i = 0; i < d->elements; ++i) {
        const double decay = i < d->decayed ? d->weight_decay * w[i] : 0;
        m[i] = d->beta1 * m[i] + (1 - d->beta1) * dw[i];
        v[i] = d->beta2 * v[i] + (1 - d->beta2) * dw[i] * dw[i];
        w[i] -= rate[0] * (m[i] * rate[1] / (sqrt(v[i] * rate[2]) + d->epsilon) + decay);
    }
}

FV_REFERENCE_RUN(sgd, FV_FORWARD)
FV_REFERENCE_RUN(adam, FV_FORWARD)

const fv_kernel fv_reference_update[] = {
    FV_REFERENCE_ROWS(FV_SGD, FV_FORWARD, sgd),
    FV_REFERENCE_ROWS(FV_ADAM, FV_FORWARD, adam),
    FV_KERNELS_END,
};
