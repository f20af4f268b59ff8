/* conv2d on images of up to four channels (see conv2d.cu for the operation): the first layers of networks. */
#include "conv2d_few_forward_plan.cuh"
#include "conv2d_few_weights_plan.cuh"
#include "conv2d_weights.cuh"
#include "estimate.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr const char *TOO_LARGE = "no row of the filter and window fits 72 KiB of shared memory";

const char *supports_forward(const fv_operation *op) {
    few_forward_plan plan;
    const char *const refusal = few_refusal(op->conv2d);
    return refusal ? refusal : few_forward_plan_of(op->conv2d, plan) ? NULL : TOO_LARGE;
}

fv_status prepare_forward(fv_context *, const fv_operation *op, void **state) {
    few_forward_plan plan;
    if (!few_forward_plan_of(op->conv2d, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", supports_forward(op));
    return tile_keep(plan, state);
}

template <typename METHOD>
fv_status launch_forward(fv_context *context, const few_forward_plan &plan, const fv_buffers *buffers) {
    return FV_LAUNCH(context, conv2d_few_forward_kernel<METHOD>,
                     dim3(plan.blocks, static_cast<unsigned>(plan.tiles.channel_tiles)), plan.threads,
                     static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_W),
                     input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status conv2d_forward_few_channels(fv_context *context, const fv_operation *, void *state,
                                      const fv_buffers *buffers) {
    few_forward_plan plan = *static_cast<const few_forward_plan *>(state);
    if (plan.blocks == 0)
        return FV_OK;
    plan.window.quads &= few_aligned(input(buffers, FV_X));
    plan.wide = plan.d.k % 4 == 0 && few_aligned(output(buffers, FV_Y));
    return few_fixed_dispatch(plan.d, [&]<int STEP, int RUN>() {
        if constexpr (STEP > 0)
            return launch_forward<few_fixed<STEP, RUN>>(context, plan, buffers);
        else
            return few_takes_quads(plan.d) ? launch_forward<few_quads>(context, plan, buffers)
                                           : launch_forward<few_any>(context, plan, buffers);
    });
}

const char *supports_weights(const fv_operation *op) {
    few_weights_plan plan;
    const char *const refusal = few_refusal(op->conv2d);
    return refusal ? refusal : few_weights_plan_of(op->conv2d, plan) ? NULL : TOO_LARGE;
}

fv_status prepare_weights(fv_context *, const fv_operation *op, void **state) {
    few_weights_plan plan;
    if (!few_weights_plan_of(op->conv2d, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", supports_weights(op));
    return tile_keep(plan, state);
}

size_t workspace_weights(const fv_operation *op, const void *state) {
    return splits_workspace(static_cast<const few_weights_plan *>(state)->splits, weights_partial(op->conv2d));
}

fv_status conv2d_backward_weights_few_channels(fv_context *context, const fv_operation *op, void *state,
                                               const fv_buffers *buffers) {
    few_weights_plan plan = *static_cast<const few_weights_plan *>(state);
    plan.window.quads &= few_aligned(input(buffers, FV_X));
    plan.wide = plan.d.k % 4 == 0 && few_aligned(input(buffers, FV_DY));
    const dim3 grid(plan.splits, static_cast<unsigned>(plan.tiles.channel_tiles * plan.row_tiles));
    return weights_in_splits(context, op->conv2d, plan.splits, buffers, [&](float *dw, float *db) {
        return few_weights_dispatch(plan.d, [&]<typename METHOD>() {
            return FV_LAUNCH(context, conv2d_few_weights_kernel<METHOD>, grid, FEW_THREADS,
                             static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_DY),
                             dw, db, weights_partial(op->conv2d));
        });
    });
}

} // namespace

const fv_kernel conv2d_few_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "few_channels", .fuses_relu = true, .supports = supports_forward,
                  .prepare = prepare_forward, .release = free, .run = conv2d_forward_few_channels),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "few_channels", .supports = supports_weights,
                  .prepare = prepare_weights, .release = free, .workspace = workspace_weights,
                  .workspace_rule = WEIGHTS_WORKSPACE_RULE, .run = conv2d_backward_weights_few_channels),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
