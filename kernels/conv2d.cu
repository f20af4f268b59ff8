/* conv2d: a correlation of images with filters,
 *
 *     y[n,p,q,k] = b[k] + sum_{r,s,c} x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w - pad_left,
 *                                       g*C/G + c] * w[k,r,s,c]    with g = k / (K/G),
 *
 * and its gradients by x, w and b. x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [k,r,s,c/groups]. Any stride,
 * padding, dilation, groups and channels. f32 throughout; every row is deterministic. Depthwise convolutions have rows of
 * their own in conv2d_depthwise.cu. Forward also takes the ReLU of relu=1, on the sums in registers: y is written once
 * where a relu behind it would read and write it again, 8*n*p*q*k bytes.
 *
 * Variants
 *     direct         (all passes) one thread per result, straight from the formula and global memory: any case.
 *                    See conv2d_direct.cuh.
 *     direct_tile    (forward, backward_data) a block stages the input tile with its halo and the filters in shared
 *                    memory and each thread keeps up to 8 x 8 results in registers: each value read from global memory
 *                    serves hundreds of products instead of one. Refuses windows whose halo exceeds 48 KiB. See
 *                    conv2d_tile.cuh.
 *     split_reduce   (backward_weights) a tiled matrix product whose long sum is split over blocks: thousands of
 *                    threads share the pixels that a direct thread walks alone. See conv2d_weights.cuh.
 * Dilated filters, groups of few channels and 1x1 windows have rows of their own, which expect to be faster there:
 * conv2d_dilated.cu, conv2d_grouped.cu, conv2d_pointwise.cu; what they are compared with: conv2d_im2col.cu.
 *
 * direct_tile: a thread of 8 x 8 results multiplies 64 times for 16 values from shared memory (2 FLOP per byte there),
 * a tile of 64 channels reuses each value of x 64 times: 30 to 100 FLOP per byte of L2. At most 128 registers, two
 * blocks of up to 256 threads: 16 warps of 64. Expected on an H200: 42 to 47 % of the f32 floor at 3x3 (fovea kernels
 * CASE tells it of any case), bound by issue slots: one in two instructions multiplies. split_reduce: 33 to 36 %.
 * direct: 0.5 to 8 %, bound by the first-level cache. */
#include "conv2d_direct.cuh"
#include "conv2d_direct_estimate.cuh"
#include "conv2d_tile_run.cuh"
#include "conv2d_weights.cuh"

namespace FV_NAMESPACE {

namespace {

template <typename T>
fv_status conv2d_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return direct_forward(context, op->conv2d, input<T>(buffers, FV_X), input<T>(buffers, FV_W),
                          input<T>(buffers, FV_B), output<T>(buffers, FV_Y));
}

template <typename T>
fv_status conv2d_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return direct_backward_data(context, op->conv2d, input<T>(buffers, FV_DY), input<T>(buffers, FV_W),
                                static_cast<const T *>(nullptr), output<T>(buffers, FV_DX));
}

template <typename T>
fv_status conv2d_backward_weights_direct(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    return direct_backward_weights(context, op->conv2d, input<T>(buffers, FV_X), input<T>(buffers, FV_DY),
                                   output<T>(buffers, FV_DW), output<T>(buffers, FV_DB));
}

template <double expected(const fv_chip &, const fv_conv2d &, double), fv_pass PASS>
double estimate_direct(const fv_operation *op, const fv_chip *chip) {
    return expected(*chip, op->conv2d, bytes_of(op, PASS));
}

double estimate_split_reduce(const fv_operation *op, const fv_chip *chip) {
    issued_work work = weights_work(weights_plan_of(op->conv2d), STAGE_GATHERED);
    work.bytes = bytes_of(op, FV_BACKWARD_WEIGHTS);
    return expected_issue(*chip, work);
}

const char *supports_split_reduce(const fv_operation *op) {
    return weights_refusal(weights_plan_of(op->conv2d));
}

size_t workspace_split_reduce(const fv_operation *op, const void *) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    return splits_workspace(plan.splits, plan.partial);
}

fv_status conv2d_backward_weights_split_reduce(fv_context *context, const fv_operation *op, void *,
                                               const fv_buffers *buffers) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    return weights_in_splits(context, op->conv2d, plan.splits, buffers, [&](float *dw, float *db) {
        return weights_split(context, plan, input(buffers, FV_X), input(buffers, FV_DY), dw, db);
    });
}

#define DIRECT_ROWS(dtype, T)                                                                                          \
    FV_KERNEL(FV_CONV2D, FV_FORWARD, dtype, "direct", .fuses_relu = true,                                              \
              .estimate = estimate_direct<direct_forward_expected, FV_FORWARD>, .run = conv2d_forward_direct<T>),      \
        FV_KERNEL(FV_CONV2D, FV_BACKWARD_DATA, dtype, "direct",                                                        \
                  .estimate = estimate_direct<direct_backward_data_expected, FV_BACKWARD_DATA>,                        \
                  .run = conv2d_backward_data_direct<T>),                                                              \
        FV_KERNEL(FV_CONV2D, FV_BACKWARD_WEIGHTS, dtype, "direct",                                                     \
                  .estimate = estimate_direct<direct_backward_weights_expected, FV_BACKWARD_WEIGHTS>,                  \
                  .run = conv2d_backward_weights_direct<T>)

} // namespace

const fv_kernel conv2d_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "direct_tile", .fuses_relu = true,
                  .supports = tile_supports<false, TILE_PLAIN>, .prepare = tile_prepare<false, TILE_PLAIN>,
                  .release = free, .estimate = tile_estimate<false, TILE_PLAIN>, .run = tile_run<false, TILE_PLAIN>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "direct_tile", .supports = tile_supports<true, TILE_PLAIN>,
                  .prepare = tile_prepare<true, TILE_PLAIN>, .release = free,
                  .estimate = tile_estimate<true, TILE_PLAIN>, .run = tile_run<true, TILE_PLAIN>),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "split_reduce", .supports = supports_split_reduce,
                  .workspace = workspace_split_reduce, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .estimate = estimate_split_reduce, .run = conv2d_backward_weights_split_reduce),
    DIRECT_ROWS(FV_F32, float),
    DIRECT_ROWS(FV_BF16, bf16),
    DIRECT_ROWS(FV_F16, f16),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
