/* conv2d with a dilated filter: the formula and layouts of conv2d.cu, whose direct_tile stages the window with the
 * pixels between the taps, and gives up where those fill the shared memory.
 *
 * dilated: along an axis, the results whose windows share pixels are those that lie dilation/gcd(stride, dilation)
 *     apart: a lane, within which the convolution is dense, of stride/gcd. A block takes some neighbouring lanes and
 *     some results of each, and stages only the rows and columns under their taps: as many as a dense filter would,
 *     whatever the dilation.
 *     forward and backward_data are conv2d_tile.cuh's TILE_SPREAD. Taps that meet only padding for a whole tile are
 *     neither staged nor multiplied, which is most of them where the dilation is near the image's extent. A gradient by
 *     x has the same lanes within each class of rows modulo the stride.
 *     backward_weights stages such a window of inputs and the gradients over it, and computes all taps from them:
 *     conv2d_window_weights.cuh. split_reduce touches no pixel between the taps either, but reads those under them once
 *     for each tap.
 *     Limits: an axis of up to 2^28 pixels with its padding.
 *
 * The goal: the time of a dense filter of the same MACs, within 10 %. Not measured yet. By the planner's count of
 * instructions, a 3x3 filter on 65 x 65 pixels and 256 channels costs 2 to 5 % more than a dense one at a dilation of
 * 2 to 6, but 20 to 30 % more at 12 to 36, where lanes of two to six results leave tiles partly empty; from that the
 * taps that are left out must be taken.
 *
 * Budget and intensity as in conv2d.cu. Expected on an H200: 40 % of the f32 floor at 3x3 and 256 channels, the dense
 * time within 15 %; 28 % backward_data, whose lanes cost divisions, and 27 % backward_weights. */
#include "conv2d_window_weights_plan.cuh"

namespace FV_NAMESPACE {

namespace {

const char *dense(const fv_conv2d &d) {
    return (d.dilation_h == 1 || d.r == 1) && (d.dilation_w == 1 || d.s == 1)
               ? "the filter is dense: its dilation is 1 along every axis on which it has more than one tap"
               : NULL;
}

template <bool BACKWARD>
const char *supports_dilated(const fv_operation *op) {
    const char *refusal = dense(op->conv2d);
    return refusal ? refusal : tile_supports<BACKWARD, TILE_SPREAD>(op);
}

const char *supports_dilated_weights(const fv_operation *op) {
    const char *refusal = dense(op->conv2d);
    return refusal ? refusal : window_weights_supports<TILE_SPREAD>(op);
}

} // namespace

const fv_kernel conv2d_dilated_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "dilated", .fuses_relu = true, .supports = supports_dilated<false>,
                  .prepare = tile_prepare<false, TILE_SPREAD>, .release = free,
                  .estimate = tile_estimate<false, TILE_SPREAD>, .run = tile_run<false, TILE_SPREAD>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "dilated", .supports = supports_dilated<true>,
                  .prepare = tile_prepare<true, TILE_SPREAD>, .release = free,
                  .estimate = tile_estimate<true, TILE_SPREAD>, .run = tile_run<true, TILE_SPREAD>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "dilated", .supports = supports_dilated_weights,
                  .prepare = window_weights_prepare<TILE_SPREAD>, .release = free,
                  .workspace = window_weights_workspace, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .estimate = window_weights_estimate<TILE_SPREAD>, .run = window_weights_run<TILE_SPREAD>),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
