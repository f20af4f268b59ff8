/* Depthwise conv2d at the speed of memory: windows of 3x3, 5x5 and 7x7 with a stride of 1 or 2, as many outputs as inputs,
 * formula and layouts as in conv2d_depthwise.cu, storage in f32, bf16 or f16, sums in f32.
 *
 * Variant
 *     sliding   (all passes) rows go by in a ring in shared memory, filters and results stay in registers.
 */
#include <stdlib.h>

#include "conv2d_depthwise_sliding.cuh"

namespace FV_NAMESPACE {

namespace {

/* Calls use.operator()<SHAPE>() for the shape that a descriptor takes, which sliding_refusal has passed. */
template <typename T, bool BACKWARD, int WINDOW, typename F>
auto with_sliding_steps(const fv_conv2d &d, const F &use) {
    if (d.stride_h == 1)
        return use(sliding_shape<T, WINDOW, 1, 1>());
    return use(sliding_shape < T, WINDOW, BACKWARD ? 1 : 2, BACKWARD ? 2 : 1 > ());
}

template <typename T, bool BACKWARD, typename F>
auto with_sliding_shape(const fv_conv2d &d, const F &use) {
    if (d.r == 3)
        return with_sliding_steps<T, BACKWARD, 3>(d, use);
    if (d.r == 5)
        return with_sliding_steps<T, BACKWARD, 5>(d, use);
    return with_sliding_steps<T, BACKWARD, 7>(d, use);
}

template <typename T, bool BACKWARD>
ring_plan plan_of(const fv_conv2d &d) {
    return with_sliding_shape<T, BACKWARD>(
        d, [&](auto shape) { return sliding_plan_of<T, decltype(shape)>(d, BACKWARD); });
}

template <typename T, bool BACKWARD>
const char *supports(const fv_operation *op) {
    if (const char *refusal = sliding_refusal(op->conv2d, sizeof(T)))
        return refusal;
    return ring_plan_refusal(plan_of<T, BACKWARD>(op->conv2d));
}

template <typename T, bool BACKWARD>
fv_status prepare(fv_context *, const fv_operation *op, void **state) {
    return keep_ring_plan(plan_of<T, BACKWARD>(op->conv2d), state);
}

template <typename T, bool BACKWARD>
double estimate(const fv_operation *op, const fv_chip *chip) {
    return with_sliding_shape<T, BACKWARD>(op->conv2d, [&](auto shape) {
        using SHAPE = decltype(shape);
        const ring_plan plan = plan_of<T, BACKWARD>(op->conv2d);
        return ring_seconds<SHAPE>(*op, BACKWARD ? FV_BACKWARD_DATA : FV_FORWARD, plan, *chip, 1);
    });
}

template <typename T, bool BACKWARD>
fv_status run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const ring_plan &plan = *static_cast<const ring_plan *>(state);
    if (plan.blocks == 0)
        return FV_OK;
    const fv_conv2d &d = op->conv2d;
    return with_sliding_shape<T, BACKWARD>(d, [&](auto shape) {
        return FV_LAUNCH(context, (conv2d_depthwise_sliding_kernel<T, decltype(shape)>),
                         dim3(static_cast<unsigned>(plan.blocks)), static_cast<unsigned>(plan.threads),
                         static_cast<size_t>(plan.shared_bytes), plan, BACKWARD, !BACKWARD && d.relu,
                         input<T>(buffers, BACKWARD ? FV_DY : FV_X), input<T>(buffers, FV_W),
                         BACKWARD ? nullptr : input<T>(buffers, FV_B), output<T>(buffers, BACKWARD ? FV_DX : FV_Y));
    });
}

} // namespace

#define SLIDING_ROWS(dtype, T)                                                                                         \
    FV_KERNEL(FV_CONV2D, FV_FORWARD, dtype, "sliding", .fuses_relu = true, .supports = supports<T, false>,             \
              .prepare = prepare<T, false>, .release = free, .estimate = estimate<T, false>, .run = run<T, false>),    \
        FV_KERNEL(FV_CONV2D, FV_BACKWARD_DATA, dtype, "sliding", .supports = supports<T, true>,                        \
                  .prepare = prepare<T, true>, .release = free, .estimate = estimate<T, true>, .run = run<T, true>)

const fv_kernel conv2d_depthwise_sliding_kernels[] = {
    SLIDING_ROWS(FV_F32, float),
    SLIDING_ROWS(FV_BF16, bf16),
    SLIDING_ROWS(FV_F16, f16),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
