/* conv2d with a 1x1 window. In NHWC that is a matrix product over the pixels m = (n,p,q):
 *
 *     forward            y[m][k]  = b[k] + sum_c x[m][c] * w[k][c]     and then the ReLU of relu=1
 *     backward_data      dx[m][c] = sum_k dy[m][k] * w[k][c]
 *     backward_weights   dw[k][c] = sum_m dy[m][k] * x[m][c],   db[k] = sum_m dy[m][k]
 *
 * for each group on its own channels. Activations [pixels, channels], filters [k, c/groups]. f32, deterministic.
 *
 * Variant
 *     pointwise   product_tile.cuh. Nothing is staged but what is multiplied: no halo, no taps, no offsets.
 *                 - With stride or padding forward gathers the rows of x: a block finds its pixels once, ahead of the
 *                   sum. backward_data scatters the rows of dx, and who scatters a row also clears the pixels up to the
 *                   next one, which no window covers: each pixel is written once and nothing is multiplied by zeros.
 *                 - backward_weights splits its long sum over blocks and adds the parts in order, as split_reduce does
 *                   (conv2d_weights.cuh), but need not look up where a pixel lies. With stride or padding it would have
 *                   to, which is split_reduce, and so refuses.
 *
 * A tile of 64 x 64 has 16 FLOP per byte of L2, and a thread's 4 x 4 results 1 per byte of shared memory. 16 warps of
 * 64. Expected on an H200: 41 to 43 % of the floor at 64 to 256 channels. */
#include "conv2d_weights.cuh"
#include "product_tile.cuh"

namespace FV_NAMESPACE {

namespace {

/* Whether input and output pixels are the same ones. */
bool same_pixels(const fv_conv2d &d) {
    return d.stride_h == 1 && d.stride_w == 1 && d.pad_top + d.pad_bottom + d.pad_left + d.pad_right == 0;
}

int64_t output_pixels(const fv_conv2d &d) {
    return d.n * fv_conv2d_p(&d) * fv_conv2d_q(&d);
}

pixel_rows pixel_rows_of(const fv_conv2d &d) {
    return {.p = fv_conv2d_p(&d),
            .q = fv_conv2d_q(&d),
            .h = d.h,
            .w = d.w,
            .stride_h = d.stride_h,
            .stride_w = d.stride_w,
            .pad_top = d.pad_top,
            .pad_left = d.pad_left};
}

const char *refusal(const fv_conv2d &d, int64_t m, int64_t n) {
    return d.r != 1 || d.s != 1 ? "it is for 1x1 windows" : product_refusal(m, n, d.groups);
}

const char *supports_forward(const fv_operation *op) {
    const fv_conv2d &d = op->conv2d;
    return refusal(d, output_pixels(d), d.k / d.groups);
}

const char *supports_data(const fv_operation *op) {
    const fv_conv2d &d = op->conv2d;
    return refusal(d, output_pixels(d), d.c / d.groups);
}

const char *supports_weights(const fv_operation *op) {
    const fv_conv2d &d = op->conv2d;
    const char *reason = refusal(d, d.k / d.groups, d.c / d.groups);
    return reason || same_pixels(d) ? reason : "it is for stride 1 without padding; with them use split_reduce";
}

fv_status conv2d_forward_pointwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_conv2d &d = op->conv2d;
    const int64_t cg = d.c / d.groups, kg = d.k / d.groups;
    const matrix_product product = {
        .a = {input(buffers, FV_X), d.c, 1, output_pixels(d)},
        .b = {input(buffers, FV_W), cg, 1, kg},
        .depth = cg,
        .bias = input(buffers, FV_B),
        .result = output(buffers, FV_Y),
        .pitch = d.k,
        .row_sums = nullptr,
        .relu = d.relu != 0,
        .count = d.groups,
        .next = {.a = cg, .b = kg * cg, .bias = kg, .result = kg, .row_sums = 0},
    };
    return same_pixels(d) ? run_product<true, true>(context, product)
                          : run_product<true, true>(context, product, gathered_rows{pixel_rows_of(d)});
}

fv_status conv2d_backward_data_pointwise(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const fv_conv2d &d = op->conv2d;
    const int64_t cg = d.c / d.groups, kg = d.k / d.groups;
    const matrix_product product = {
        .a = {input(buffers, FV_DY), d.k, 1, output_pixels(d)},
        .b = {input(buffers, FV_W), 1, cg, cg},
        .depth = kg,
        .bias = nullptr,
        .result = output(buffers, FV_DX),
        .pitch = d.c,
        .row_sums = nullptr,
        .count = d.groups,
        .next = {.a = kg, .b = kg * cg, .bias = 0, .result = cg, .row_sums = 0},
    };
    return same_pixels(d) ? run_product<true, false>(context, product)
                          : run_product<true, false>(context, product, scattered_rows{pixel_rows_of(d)});
}

size_t workspace_weights(const fv_operation *op, const void *) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    return splits_workspace(plan.splits, plan.partial);
}

fv_status conv2d_backward_weights_pointwise(fv_context *context, const fv_operation *op, void *,
                                            const fv_buffers *buffers) {
    const fv_conv2d &d = op->conv2d;
    const weights_plan plan = weights_plan_of(d);
    return weights_in_splits(context, d, plan.splits, buffers, [&](float *dw, float *db) {
        const matrix_product product = {
            .a = {input(buffers, FV_DY), 1, d.k, plan.kg},
            .b = {input(buffers, FV_X), 1, d.c, plan.cg},
            .depth = plan.pixels,
            .bias = nullptr,
            .result = dw,
            .pitch = plan.cg,
            .row_sums = db,
            .count = d.groups,
            .next = {.a = plan.kg, .b = plan.cg, .bias = 0, .result = plan.kg * plan.cg, .row_sums = plan.kg},
            .parts = plan.splits,
            .per_part = plan.per_split,
            .part_pitch = plan.partial,
        };
        return launch_product<false, false>(context, plan.tile, product);
    });
}

/* ---- estimates ---- */

/* Forward and backward_data: `n` result channels of a group, sums of `depth`. Rows that are gathered or scattered take
 * some more. */
double expect_product(const fv_operation *op, const fv_chip *chip, fv_pass pass, int64_t n, int64_t depth) {
    const fv_conv2d &d = op->conv2d;
    const int64_t m = output_pixels(d);
    issued_work work = product_work({.m = static_cast<double>(m),
                                     .n = static_cast<double>(n),
                                     .depth = static_cast<double>(depth),
                                     .count = static_cast<double>(d.groups),
                                     .tile = product_tile_of(m, n, d.groups)},
                                    same_pixels(d) ? STAGE_DENSE : 1.5 * STAGE_DENSE, STAGE_DENSE);
    work.bytes = bytes_of(op, pass);
    return expected_issue(*chip, work);
}

double estimate_forward(const fv_operation *op, const fv_chip *chip) {
    const fv_conv2d &d = op->conv2d;
    return expect_product(op, chip, FV_FORWARD, d.k / d.groups, d.c / d.groups);
}

double estimate_data(const fv_operation *op, const fv_chip *chip) {
    const fv_conv2d &d = op->conv2d;
    return expect_product(op, chip, FV_BACKWARD_DATA, d.c / d.groups, d.k / d.groups);
}

double estimate_weights(const fv_operation *op, const fv_chip *chip) {
    issued_work work = weights_work(weights_plan_of(op->conv2d), STAGE_DENSE);
    work.bytes = bytes_of(op, FV_BACKWARD_WEIGHTS);
    return expected_issue(*chip, work);
}

} // namespace

const fv_kernel conv2d_pointwise_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "pointwise", .fuses_relu = true, .supports = supports_forward,
                  .estimate = estimate_forward, .run = conv2d_forward_pointwise),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "pointwise", .supports = supports_data, .estimate = estimate_data,
                  .run = conv2d_backward_data_pointwise),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "pointwise", .supports = supports_weights,
                  .workspace = workspace_weights, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .estimate = estimate_weights, .run = conv2d_backward_weights_pointwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
