/* conv2d with many groups of few channels, as in ResNeXt: the formula and layouts of conv2d.cu, whose tiles belong to
 * one group. With 4 of 128 channels, that leaves accesses of 16 bytes and, in split_reduce, 28 of 32 rows of products
 * empty.
 *
 * grouped: a block takes several groups of a tile of pixels, and each thread keeps sums for channels of one of them.
 *     Channels of neighbouring groups are neighbours in memory, so that a warp reads and writes whole lines.
 *     forward and backward_data are conv2d_tile.cuh's TILE_GROUPED: the window holds the channels of all the block's
 *     groups, a thread multiplies those of its own. backward_weights is conv2d_window_weights.cuh: a thread has one tap
 *     and 4 x 4 channels of a group. Channels of a group are rounded up to four, or eight where a thread has eight.
 *     Limits: 2 to 32 channels of a group on either side, so not depthwise; any stride, padding and dilation whose
 *     window fits 48 KiB.
 *
 * To expect: with 4 or 8 channels to a group and 3x3 filters there are some 20 to 40 products for each value read or
 * written, so that memory is the limit; with 16 and more it is the arithmetic.
 *
 * At four channels to a group a value of x meets four filters: 9 FLOP per byte of DRAM at 3x3, so that memory is the
 * limit. At most 128 registers, 16 warps of 64. Expected on an H200: 40 % of that floor forward and backward_data, 25
 * % backward_weights. */
#include "conv2d_window_weights_plan.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int64_t WIDEST_GROUP = 32; /* channels: beyond, a group fills warps and accesses by itself */

const char *group_refusal(const fv_conv2d &d) {
    const int64_t inputs = d.c / d.groups, outputs = d.k / d.groups;
    if (d.groups == 1)
        return "there is only one group";
    if (inputs == 1 || outputs == 1)
        return "a group has one channel";
    if (inputs > WIDEST_GROUP || outputs > WIDEST_GROUP)
        return "a group has more than 32 channels, enough for tiles of its own";
    return NULL;
}

template <bool BACKWARD>
const char *supports_grouped(const fv_operation *op) {
    const char *refusal = group_refusal(op->conv2d);
    return refusal ? refusal : tile_supports<BACKWARD, TILE_GROUPED>(op);
}

const char *supports_grouped_weights(const fv_operation *op) {
    const char *refusal = group_refusal(op->conv2d);
    return refusal ? refusal : window_weights_supports<TILE_GROUPED>(op);
}

} // namespace

const fv_kernel conv2d_grouped_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "grouped", .fuses_relu = true, .supports = supports_grouped<false>,
                  .prepare = tile_prepare<false, TILE_GROUPED>, .release = free,
                  .estimate = tile_estimate<false, TILE_GROUPED>, .run = tile_run<false, TILE_GROUPED>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "grouped", .supports = supports_grouped<true>,
                  .prepare = tile_prepare<true, TILE_GROUPED>, .release = free,
                  .estimate = tile_estimate<true, TILE_GROUPED>, .run = tile_run<true, TILE_GROUPED>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "grouped", .supports = supports_grouped_weights,
                  .prepare = window_weights_prepare<TILE_GROUPED>, .release = free,
                  .workspace = window_weights_workspace, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .estimate = window_weights_estimate<TILE_GROUPED>, .run = window_weights_run<TILE_GROUPED>),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
