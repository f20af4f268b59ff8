/* Depthwise conv2d at the speed of memory: windows of 3x3, 5x5 and 7x7, stride 1 or 2, as many outputs as inputs. Formula
 * and layouts are those of conv2d_depthwise.cu; storage in f32, bf16 or f16, sums in f32, ReLU and bias in forward.
 *
 * Variant
 *     sliding   (all passes) a block walks down a tile of the image. The next rows are on their way into a ring in shared
 *               memory while a thread multiplies the present ones, read once each, with filters that stay in registers.
 *               See conv2d_depthwise_ring.cuh, conv2d_depthwise_sliding.cuh, and for the filter gradient, whose rows stand in
 *               conv2d_depthwise_sliding_weights.cu, the header of that name. That each row is read once for all filter
 *               rows, and each column for all filter columns, is after Lu, Zhang and Wang 2022 (IEEE TPDS 33(1)).
 *
 * Budget, of f32 at stride 1. A thread's results are rows x columns x channels; "reuse" is products for a value read from
 * shared memory; registers are nvcc 13.0's for sm_90a, without spills; rings of 56 columns (5x5: 28), 128 bytes of channels
 * wide (7x7: 64); threads are those that a multiprocessor holds:
 *
 *     window   results     registers   reuse   ring              FLOP/byte   threads
 *     3x3      2 x 4 x 2   72           3.0     6 rows, 45 KB     2.3        672
 *     5x5      4 x 4 x 1   72           6.3    12 rows, 52 KB     6.3        672
 *     7x7      4 x 7 x 1   125         10.6    14 rows, 59 KB    12          384
 *
 * Shared memory gives a warp a value in the time of 4 products; so reading takes 5 of the 24 us that 3x3 has below, and
 * 40 % of the time of the products of 7x7. An H200 balances at 15.6 FLOP a byte. On their way are a step's rows, 15 to 17
 * KB, in each of the 2 or 3 blocks of a multiprocessor; 4.3 TB/s with 0.8 us of latency take 13 KB of reads, as half of the
 * traffic are writes.
 *
 * Expected on an H200, as estimate() has it: 27 us for MobileNet's 128 channels of 56x56, n32, 3x3 in f32 (89 % of the
 * floor) and 15 us in 16 bits (80 %), where starting weighs twice as much; 44 us for ConvNeXt's 96 channels of 56x56, n64,
 * 7x7 in f32 (82 %), where products and memory take nearly as long; as long in 16 bits, where the products remain. The
 * filter gradient 3 us more, for its second launch. */
#include <stdlib.h>

#include "conv2d_depthwise_sliding.cuh"

namespace FV_NAMESPACE {

namespace {

/* Calls use() with the shape that a descriptor takes, which sliding_refusal has passed. */
template <typename T, bool BACKWARD, int WINDOW, typename F>
auto with_sliding_steps(const fv_conv2d &d, const F &use) {
    if (d.stride_h == 1)
        return use(sliding_shape<T, WINDOW, 1, 1>());
    constexpr int DOWN = BACKWARD ? 1 : 2, UP = BACKWARD ? 2 : 1;
    return use(sliding_shape<T, WINDOW, DOWN, UP>());
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
    return ring_seconds(*op, BACKWARD ? FV_BACKWARD_DATA : FV_FORWARD, plan_of<T, BACKWARD>(op->conv2d), *chip, 1);
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
