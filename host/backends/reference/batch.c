/* Batch assembly by its definition; see fv_batch. */
#include "backends/reference/reference.h"

static void batch_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_batch *d = &op->batch;
    const uint8_t *images = at[FV_IMAGES], *image_labels = at[FV_IMAGE_LABELS];
    const int32_t *order = at[FV_ORDER];
    double *x = at[FV_X];
    int32_t *labels = at[FV_LABELS];
    for (int64_t n = 0; n < d->n; ++n) {
        for (int64_t e = 0; e < d->elements; ++e)
            x[n * d->elements + e] = images[order[n] * d->elements + e] * d->scale + d->shift;
        labels[n] = image_labels[order[n]];
    }
}

FV_REFERENCE_RUN(batch_forward, FV_FORWARD)

const fv_kernel fv_reference_batch[] = {
    FV_REFERENCE_ROWS(FV_BATCH, FV_FORWARD, batch_forward),
    FV_KERNELS_END,
};
