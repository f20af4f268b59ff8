/* relu: y = x where x > 0, else slope*x, where a NaN stays NaN; dx = dy where y > 0, else slope*dy. A slope of 0 gives
 * 0, even of an infinite value.
 *
 * Variant
 *     elementwise   one thread per element: bound by memory alone. Deterministic, any size.
 *
 * One operation for 8 bytes (forward) or 12 (backward), full occupancy. Expected on an H200: 85 to 90 % of a copy's
 * rate. */
#include "estimate.cuh"

namespace FV_NAMESPACE {

namespace {

__device__ inline float sloping(float slope, float value) {
    return slope > 0.0f ? slope * value : 0.0f;
}

__global__ void relu_forward_elementwise_kernel(int64_t elements, float slope, const float *x, float *y) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        y[i] = x[i] < 0.0f ? sloping(slope, x[i]) : x[i];
}

__global__ void relu_backward_data_elementwise_kernel(int64_t elements, float slope, const float *y, const float *dy,
                                                      float *dx) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        dx[i] = y[i] > 0.0f ? dy[i] : sloping(slope, dy[i]);
}

fv_status relu_forward_elementwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const int64_t elements = op->relu.elements;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, relu_forward_elementwise_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0,
                     elements, static_cast<float>(op->relu.slope), input(buffers, FV_X), output(buffers, FV_Y));
}

fv_status relu_backward_data_elementwise(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const int64_t elements = op->relu.elements;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, relu_backward_data_elementwise_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0,
                     elements, static_cast<float>(op->relu.slope), input(buffers, FV_Y), input(buffers, FV_DY),
                     output(buffers, FV_DX));
}

template <fv_pass PASS>
double estimate(const fv_operation *op, const fv_chip *chip) {
    constexpr double SHARE = 0.85; /* of a copy's rate */
    return static_cast<double>(fv_operation_bytes(op, PASS)) / (SHARE * chip->bandwidth) + chip->launch;
}

} // namespace

const fv_kernel relu_kernels[] = {
    FV_KERNEL_F32(FV_RELU, FV_FORWARD, "elementwise", .estimate = estimate<FV_FORWARD>,
                  .run = relu_forward_elementwise),
    FV_KERNEL_F32(FV_RELU, FV_BACKWARD_DATA, "elementwise", .estimate = estimate<FV_BACKWARD_DATA>,
                  .run = relu_backward_data_elementwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
