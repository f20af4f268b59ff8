/* Depthwise conv2d: every input channel has filters of its own, groups = c > 1, and k = c * multiplier,
 *
 *     y[n,p,q,k] = b[k] + sum_{r,s} w[k,r,s] * x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w
 *                                                - pad_left, k / multiplier],
 *
 * and its gradients. Layouts are those of conv2d.cu. Any stride, dilation, padding and multiplier; windows up to 31x31;
 * f32 throughout; every row is deterministic. (With one group it is a dense convolution of one channel, for which
 * conv2d.cu has better.)
 *
 * Each output has only r*s products, so for 3x3 windows memory is the limit: 9 products for 8 bytes. The tiled kernel of
 * conv2d.cu treats a group as a small dense convolution and uses 1 of its 4 or 8 channels; here lanes are channels.
 *
 * Variant
 *     depthwise   (all passes) a thread keeps 8 results of a channel and 8 inputs in registers: a filter row of s taps
 *                 takes s + 7 reads of the input, from the first-level cache where they have been read for another row,
 *                 for 8*s products, whatever stride and dilation. See conv2d_depthwise.cuh, and for the filter gradient
 *                 conv2d_depthwise_weights.cuh.
 * Windows and channels as networks have them are faster in conv2d_depthwise_sliding.cu and conv2d_depthwise_sweep.cu; this
 * is the row for any case, and the one to read first.
 *
 * Two FLOP for each tap and 8 bytes: 2 FLOP per byte at 3x3, so that memory is the limit; full reuse of rows in shared
 * memory. Expected on an H200: 85 to 89 % of the floor at 3x3 and stride 1, 68 % backward_weights. */
#include "conv2d_depthwise.cuh"
#include "conv2d_depthwise_weights.cuh"
#include "conv2d_weights.cuh"
#include "estimate.cuh"
#include "ops/op.h"

namespace FV_NAMESPACE {

namespace {

constexpr int64_t WIDEST_WINDOW = 31;

const char *not_depthwise(const fv_conv2d &d) {
    if (d.c != d.groups || d.groups == 1)
        return "it is not depthwise: groups is 1, or not c";
    if (d.r > WIDEST_WINDOW || d.s > WIDEST_WINDOW)
        return "the window is larger than 31x31";
    return NULL;
}

template <bool BACKWARD>
const char *supports_depthwise(const fv_operation *op) {
    if (const char *refusal = not_depthwise(op->conv2d))
        return refusal;
    return depthwise_plan_of(op->conv2d, BACKWARD).blocks > MAX_BLOCKS ? "there are over 2^31-1 blocks" : NULL;
}

template <bool BACKWARD>
fv_status run_depthwise(fv_context *context, const fv_conv2d &d, const float *source, const float *filters,
                        const float *bias, float *result) {
    const depthwise_plan plan = depthwise_plan_of(d, BACKWARD);
    if (plan.blocks == 0)
        return FV_OK;
    const dim3 grid(static_cast<unsigned>(plan.blocks)), block(static_cast<unsigned>(plan.threads));
    const size_t shared = static_cast<size_t>(plan.shared_bytes);
    if (plan.three)
        return FV_LAUNCH(context, (conv2d_depthwise_kernel<BACKWARD, 3>), grid, block, shared, plan, source, filters,
                         bias, result);
    return FV_LAUNCH(context, (conv2d_depthwise_kernel<BACKWARD, 0>), grid, block, shared, plan, source, filters, bias,
                     result);
}

fv_status conv2d_forward_depthwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return run_depthwise<false>(context, op->conv2d, input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_B),
                                output(buffers, FV_Y));
}

fv_status conv2d_backward_data_depthwise(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    return run_depthwise<true>(context, op->conv2d, input(buffers, FV_DY), input(buffers, FV_W), nullptr,
                               output(buffers, FV_DX));
}

/* Instructions of a filter row: a product for each result of the strip and tap, a read for each tap, and for each of the
 * s + 7 inputs a read with the five that find out whether it is inside. Rows of a block are neighbours, so that a column of
 * 8 + r-1 rows comes from the second-level cache for 8. */
template <bool BACKWARD>
double estimate_depthwise(const fv_operation *op, const fv_chip *chip) {
    const fv_conv2d &d = op->conv2d;
    const fv_pass pass = BACKWARD ? FV_BACKWARD_DATA : FV_FORWARD;
    const depthwise_plan plan = depthwise_plan_of(d, BACKWARD);
    const double strip = DEPTHWISE_STRIP, s = plan.horizontal.taps, r = plan.vertical.taps;
    const double least = static_cast<double>(fv_operation_bytes(op, pass));
    const double units = static_cast<double>(plan.blocks) * plan.units * plan.lanes;
    return expected_seconds(*chip,
                            {.flop = 2 * units * strip * r * s * (BACKWARD ? static_cast<double>(plan.multiplier) : 1),
                             .rate = chip->fma * strip * s / (strip * s + s + 6 * (s + strip - 1)),
                             .bytes = least,
                             .cache_bytes = least / 2 * (1 + (strip + s - 1) / strip * (strip + r - 1) / strip),
                             .blocks = static_cast<double>(plan.blocks),
                             .resident = fmin(32, 3.0 * DEPTHWISE_THREADS / plan.threads),
                             .launches = 1});
}

const char *supports_depthwise_weights(const fv_operation *op) {
    if (const char *refusal = not_depthwise(op->conv2d))
        return refusal;
    const depthwise_weights_plan plan = depthwise_weights_plan_of(op->conv2d);
    return plan.channel_tiles > MAX_BLOCKS / plan.strip_tiles ? "there are over 2^31-1 blocks" : NULL;
}

/* A step of a walk is a product for each tap of the strip, a read of x with the five that find out whether it is inside, and
 * a read of dy. Strips of one row share dy in the first-level cache, and x in part. */
double estimate_depthwise_weights(const fv_operation *op, const fv_chip *chip) {
    const depthwise_weights_plan plan = depthwise_weights_plan_of(op->conv2d);
    const double products = static_cast<double>(op->conv2d.n * plan.p * plan.q) *
                            static_cast<double>(plan.channel_tiles * plan.lanes) * plan.strips * plan.strip;
    const double least = static_cast<double>(fv_operation_bytes(op, FV_BACKWARD_WEIGHTS));
    const double blocks = static_cast<double>(plan.channel_tiles * plan.strip_tiles * plan.splits);
    return expected_seconds(*chip, {.flop = 2 * products,
                                    .rate = chip->fma * plan.strip / (plan.strip + 8.0),
                                    .bytes = least,
                                    .cache_bytes = 2 * least * static_cast<double>(plan.strip_tiles),
                                    .blocks = blocks,
                                    .resident = fmin(32, 3.0 * DEPTHWISE_THREADS / plan.threads),
                                    .launches = plan.splits > 1 ? 2 : 1});
}

size_t workspace_depthwise_weights(const fv_operation *op, const void *) {
    const depthwise_weights_plan plan = depthwise_weights_plan_of(op->conv2d);
    return splits_workspace(plan.splits, plan.partial);
}

fv_status conv2d_backward_weights_depthwise(fv_context *context, const fv_operation *op, void *,
                                            const fv_buffers *buffers) {
    const depthwise_weights_plan plan = depthwise_weights_plan_of(op->conv2d);
    const dim3 grid(static_cast<unsigned>(plan.channel_tiles * plan.strip_tiles), static_cast<unsigned>(plan.splits));
    const dim3 block(static_cast<unsigned>(plan.threads));
    const size_t shared = static_cast<size_t>(plan.shared_bytes);
    return weights_in_splits(context, plan.d, plan.splits, buffers, [&](float *dw, float *db) {
        if (plan.strip == 4)
            return FV_LAUNCH(context, conv2d_depthwise_weights_kernel<4>, grid, block, shared, plan,
                             input(buffers, FV_X), input(buffers, FV_DY), dw, db, plan.partial);
        return FV_LAUNCH(context, conv2d_depthwise_weights_kernel<8>, grid, block, shared, plan, input(buffers, FV_X),
                         input(buffers, FV_DY), dw, db, plan.partial);
    });
}

} // namespace

const fv_kernel conv2d_depthwise_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "depthwise", .supports = supports_depthwise<false>,
                  .estimate = estimate_depthwise<false>, .run = conv2d_forward_depthwise),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "depthwise", .supports = supports_depthwise<true>,
                  .estimate = estimate_depthwise<true>, .run = conv2d_backward_data_depthwise),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "depthwise", .supports = supports_depthwise_weights,
                  .workspace = workspace_depthwise_weights, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .estimate = estimate_depthwise_weights, .run = conv2d_backward_weights_depthwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
