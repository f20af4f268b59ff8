/* conv2d_separable, fused: z = the depthwise convolution of x with w, y = b + w2 * z,
 *
 *     z[n,p,q,m] = sum_{r,s} w[m,r,s] * x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w - pad_left,
 *                                         m / multiplier]
 *     y[n,p,q,k] = b[k] + sum_m w2[k,m] * z[n,p,q,m],
 *
 * and the gradients by x, w, w2 and b. x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [m,r,s,1], w2 and dw2
 * [k,1,1,m]. f32; every row is deterministic.
 *
 * Variant
 *     fused   (all passes) z and its gradient dz stay in shared memory. "unfused" writes and reads z or dz, 8*n*p*q*m
 *             bytes; here x is read instead of z, and the backward passes compute z and dz again rather than keep them
 *             from pass to pass. Where a tile does not hold all results that need it, a part of z or dz is computed more
 *             than once; each file says how much. Any stride, dilation and padding; windows as large as 48 KiB of
 *             shared memory hold beside the tiles: 530 taps forward, 120 backward_data, 94 backward_weights; beyond
 *             that, "unfused" takes over.
 *     See conv2d_separable_forward.cuh, conv2d_separable_data.cuh and conv2d_separable_weights.cuh; for the forward pass
 *     on tensor cores conv2d_separable_mma.cuh.
 *
 * What lies between stays on chip: 8 bytes of DRAM per value of x instead of 16. Up to 201 registers backward: 8 warps
 * of 64. Expected on an H200: 40 % of the floor forward at 128 channels, bound by the FMA of the pointwise product; 20
 * % backward_data and 34 % backward_weights, which compute the middle anew, and lose to unfused. */
#include <stdlib.h>

#include "conv2d_separable_estimate.cuh"

namespace FV_NAMESPACE {

namespace {

const char *const TOO_LARGE = "the window does not fit 48 KiB of shared memory beside a tile";
const char *const TOO_MANY = "there are over 2^31-1 blocks";

const char *refuse(bool fits, int64_t blocks) {
    return !fits ? TOO_LARGE : blocks > MAX_BLOCKS ? TOO_MANY : NULL;
}

const char *supports_forward(const fv_operation *op) {
    const separable_plan plan = separable_forward_plan_of(op->separable);
    return refuse(plan.shared_bytes <= MAX_SHARED_BYTES, plan.blocks);
}

template <int TILES>
fv_status launch_forward(fv_context *context, const separable_plan &plan, const fv_buffers *buffers) {
    return FV_LAUNCH(context, separable_forward_kernel<TILES>, dim3(static_cast<unsigned>(plan.blocks)),
                     SEPARABLE_THREADS, static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X),
                     input(buffers, FV_W), input(buffers, FV_W2), input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status separable_forward_fused(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const separable_plan plan = separable_forward_plan_of(op->separable);
    if (plan.blocks == 0)
        return FV_OK;
    return plan.tiles == 2 ? launch_forward<2>(context, plan, buffers) : launch_forward<1>(context, plan, buffers);
}

const char *supports_backward_data(const fv_operation *op) {
    separable_data_plan plan;
    return separable_data_plan_of(op->separable, plan)
               ? NULL
               : "no tile with its halo, of up to 64 channels, fits 48 KiB of shared memory and 2^31-1 blocks";
}

/* The search for a tile is worth doing once. */
fv_status prepare_backward_data(fv_context *, const fv_operation *op, void **state) {
    separable_data_plan plan;
    if (!separable_data_plan_of(op->separable, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d_separable: %s", supports_backward_data(op));
    *state = malloc(sizeof plan);
    if (!*state)
        return fv_fail(FV_NO_MEMORY, "conv2d_separable: no memory for a plan of %zu bytes", sizeof plan);
    *static_cast<separable_data_plan *>(*state) = plan;
    return FV_OK;
}

fv_status separable_backward_data_fused(fv_context *context, const fv_operation *, void *state,
                                        const fv_buffers *buffers) {
    const separable_data_plan &plan = *static_cast<const separable_data_plan *>(state);
    if (plan.blocks == 0)
        return FV_OK;
    return FV_LAUNCH(context, separable_backward_data_kernel, dim3(static_cast<unsigned>(plan.blocks)),
                     SEPARABLE_THREADS, static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_DY),
                     input(buffers, FV_W), input(buffers, FV_W2), output(buffers, FV_DX));
}

const char *supports_backward_weights(const fv_operation *op) {
    const separable_plan pointwise = separable_pointwise_plan_of(op->separable);
    const separable_taps_plan taps = separable_taps_plan_of(op->separable);
    return refuse(pointwise.shared_bytes <= MAX_SHARED_BYTES && taps.shared_bytes <= MAX_SHARED_BYTES,
                  pointwise.blocks);
}

size_t workspace_backward_weights(const fv_operation *op, const void *) {
    const separable_plan pointwise = separable_pointwise_plan_of(op->separable);
    const separable_taps_plan taps = separable_taps_plan_of(op->separable);
    return splits_workspace(pointwise.splits, pointwise.partial) + splits_workspace(taps.splits, taps.partial);
}

template <int TILES>
fv_status launch_pointwise(fv_context *context, const separable_plan &plan, const fv_buffers *buffers, float *dw2,
                           float *db) {
    return FV_LAUNCH(context, separable_pointwise_weights_kernel<TILES>,
                     dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.splits)), SEPARABLE_THREADS,
                     static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_DY),
                     input(buffers, FV_W), dw2, db, plan.partial);
}

fv_status run_pointwise(fv_context *context, const separable_plan &plan, const fv_buffers *buffers) {
    const int64_t weights = plan.k * plan.depthwise.channels;
    return gradients_in_splits(context, weights, plan.partial - weights, plan.splits, buffers, output(buffers, FV_DW2),
                               [&](float *dw2, float *db) {
                                   return plan.tiles == 2 ? launch_pointwise<2>(context, plan, buffers, dw2, db)
                                                          : launch_pointwise<1>(context, plan, buffers, dw2, db);
                               });
}

/* `parts`: where in the workspace, in floats. */
fv_status run_taps(fv_context *context, const separable_taps_plan &plan, const fv_buffers *buffers, int64_t parts) {
    const dim3 grid(static_cast<unsigned>(plan.channel_tiles), static_cast<unsigned>(plan.splits));
    const auto launch = [&](float *dw, float *) {
        return FV_LAUNCH(context, separable_depthwise_weights_kernel, grid, SEPARABLE_THREADS,
                         static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_DY),
                         input(buffers, FV_W2), dw);
    };
    return gradients_in_splits(context, plan.partial, 0, plan.splits, buffers, output(buffers, FV_DW), launch, parts);
}

fv_status separable_backward_weights_fused(fv_context *context, const fv_operation *op, void *,
                                           const fv_buffers *buffers) {
    const separable_plan pointwise = separable_pointwise_plan_of(op->separable);
    const size_t taken = splits_workspace(pointwise.splits, pointwise.partial) / sizeof(float);
    FV_TRY(run_pointwise(context, pointwise, buffers));
    return run_taps(context, separable_taps_plan_of(op->separable), buffers, static_cast<int64_t>(taken));
}

} // namespace

const fv_kernel conv2d_separable_kernels[] = {
    FV_KERNEL_F32(FV_SEPARABLE, FV_FORWARD, "fused", .supports = supports_forward,
                  .estimate = separable_forward_expected, .run = separable_forward_fused),
    FV_KERNEL_F32(FV_SEPARABLE, FV_BACKWARD_DATA, "fused", .supports = supports_backward_data,
                  .prepare = prepare_backward_data, .release = free, .estimate = separable_backward_data_expected,
                  .run = separable_backward_data_fused),
    FV_KERNEL_F32(FV_SEPARABLE, FV_BACKWARD_WEIGHTS, "fused", .supports = supports_backward_weights,
                  .workspace = workspace_backward_weights,
                  .workspace_rule = "splits*(k*c*multiplier + bias*k)*4 bytes, and others*c*multiplier*r*s*4",
                  .estimate = separable_backward_weights_expected, .run = separable_backward_weights_fused),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
