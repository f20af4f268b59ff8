/* The rows of conv2d_depthwise_sliding_weights.cuh: the filter gradient of conv2d_depthwise_sliding.cu, a file of its own
 * as both take long to compile. */
#include <stdlib.h>

#include "conv2d_depthwise_sliding_weights.cuh"

namespace FV_NAMESPACE {

namespace {

/* Calls use() with the shape that a descriptor takes, which sliding_refusal has passed. */
template <typename T, typename F>
auto with_weights_shape(const fv_conv2d &d, const F &use) {
    if (d.r == 3)
        return d.stride_h == 1 ? use(sliding_weights_shape<T, 3, 1>()) : use(sliding_weights_shape<T, 3, 2>());
    if (d.r == 5)
        return d.stride_h == 1 ? use(sliding_weights_shape<T, 5, 1>()) : use(sliding_weights_shape<T, 5, 2>());
    return d.stride_h == 1 ? use(sliding_weights_shape<T, 7, 1>()) : use(sliding_weights_shape<T, 7, 2>());
}

template <typename T>
ring_plan plan_of(const fv_conv2d &d) {
    return with_weights_shape<T>(d, [&](auto shape) { return sliding_weights_plan_of<T, decltype(shape)>(d); });
}

template <typename T>
const char *supports(const fv_operation *op) {
    if (const char *refusal = sliding_refusal(op->conv2d, sizeof(T)))
        return refusal;
    return ring_plan_refusal(plan_of<T>(op->conv2d));
}

template <typename T>
fv_status prepare(fv_context *, const fv_operation *op, void **state) {
    return keep_ring_plan(plan_of<T>(op->conv2d), state);
}

size_t workspace(const fv_operation *op, const void *state) {
    const ring_plan &plan = *static_cast<const ring_plan *>(state);
    return static_cast<size_t>(plan.walks * depthwise_partial(op->conv2d)) * sizeof(float);
}

template <typename T>
double estimate(const fv_operation *op, const fv_chip *chip) {
    return ring_seconds(*op, FV_BACKWARD_WEIGHTS, plan_of<T>(op->conv2d), *chip, 2);
}

template <typename T>
fv_status run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const ring_plan &plan = *static_cast<const ring_plan *>(state);
    const fv_conv2d &d = op->conv2d;
    FV_TRY(with_weights_shape<T>(d, [&](auto shape) {
        return FV_LAUNCH(context, (conv2d_depthwise_sliding_weights_kernel<T, decltype(shape)>),
                         dim3(static_cast<unsigned>(plan.blocks)), static_cast<unsigned>(plan.threads),
                         static_cast<size_t>(plan.shared_bytes), plan, d.bias != 0, input<T>(buffers, FV_X),
                         input<T>(buffers, FV_DY), static_cast<float *>(buffers->workspace), depthwise_partial(d));
    }));
    return add_depthwise_splits<T>(context, d, plan.walks, CHANNELS_FIRST, buffers);
}

} // namespace

#define SLIDING_ROW(dtype, T)                                                                                          \
    FV_KERNEL(FV_CONV2D, FV_BACKWARD_WEIGHTS, dtype, "sliding", .supports = supports<T>, .prepare = prepare<T>,        \
              .release = free, .workspace = workspace, .workspace_rule = DEPTHWISE_WORKSPACE_RULE,                     \
              .estimate = estimate<T>, .run = run<T>)

const fv_kernel conv2d_depthwise_sliding_weights_kernels[] = {
    SLIDING_ROW(FV_F32, float),
    SLIDING_ROW(FV_BF16, bf16),
    SLIDING_ROW(FV_F16, f16),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
