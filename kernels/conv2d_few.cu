/* conv2d on images of up to four channels (see conv2d.cu for the operation): the first layers of networks. */
#include "conv2d_few_forward_plan.cuh"

namespace FV_NAMESPACE {

namespace {

const char *supports_forward(const fv_operation *op) {
    few_forward_plan plan;
    const char *const refusal = few_refusal(op->conv2d);
    return refusal                                 ? refusal
           : few_forward_plan_of(op->conv2d, plan) ? NULL
                                                   : "a row of the filter and of the window exceeds shared memory";
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

fv_status conv2d_forward_few(fv_context *context, const fv_operation *, void *state, const fv_buffers *buffers) {
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

} // namespace

const fv_kernel conv2d_few_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "few_channels", .supports = supports_forward, .prepare = prepare_forward,
                  .release = free, .run = conv2d_forward_few),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
