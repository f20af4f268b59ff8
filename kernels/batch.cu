/* batch: x[i] = images[order[i]] * scale + shift, labels[i] = image_labels[order[i]]. images are bytes [items,
 * elements], x is [n, elements]. The product and sum are taken in double and rounded once: there is one per byte read,
 * and memory is the limit.
 *
 * Variant
 *     elementwise   one thread per element, neighbours on neighbouring bytes of one image. Deterministic, any size.
 *
 * 5 bytes for each value. Expected on an H200: launch and latency, as a batch of digits is 1 MB. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

__global__ void batch_forward_elementwise_kernel(fv_batch d, const uint8_t *images, const uint8_t *image_labels,
                                                 const int32_t *order, float *x, int32_t *labels) {
    for (int64_t i = thread_index(); i < d.n * d.elements; i += thread_count()) {
        const int64_t n = i / d.elements;
        const int64_t item = order[n];
        const int64_t element = i - n * d.elements;
        x[i] = static_cast<float>(images[item * d.elements + element] * d.scale + d.shift);
        if (element == 0)
            labels[n] = image_labels[item];
    }
}

fv_status batch_forward_elementwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_batch &d = op->batch;
    if (d.n == 0)
        return FV_OK;
    return FV_LAUNCH(context, batch_forward_elementwise_kernel, elementwise_grid(d.n * d.elements), ELEMENTWISE_THREADS,
                     0, d, input<uint8_t>(buffers, FV_IMAGES), input<uint8_t>(buffers, FV_IMAGE_LABELS),
                     input<int32_t>(buffers, FV_ORDER), output(buffers, FV_X), output<int32_t>(buffers, FV_LABELS));
}

} // namespace

const fv_kernel batch_kernels[] = {
    FV_KERNEL_F32(FV_BATCH, FV_FORWARD, "elementwise", .run = batch_forward_elementwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
