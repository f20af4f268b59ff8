/* conv2d_transposed: the adjoint of the conv2d that leads from y to x, its mirror (fv_transposed_mirror), on the same
 * filters. So its passes are the mirror's with their roles exchanged:
 *
 *     forward            the mirror's backward_data, x standing for its dy and y for its dx; plus the bias
 *     backward_data      the mirror's forward, from dy to dx
 *     backward_weights   the mirror's backward_weights, from dy and x; and db, the sum of dy over its pixels
 *
 * x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [c,r,s,k/groups], which are the mirror's [k,r,s,c/groups]. Any
 * stride, padding, output padding, dilation and groups. f32, every row deterministic.
 *
 * Variants
 *     parity   forward takes the output pixels class by class of their residue modulo the stride: those of one class
 *              see the same taps, and no zero is ever inserted between the pixels of x nor multiplied; a class that
 *              no tap reaches gets the bias alone. Forward and backward_data are conv2d_tile.cuh's; they refuse windows
 *              whose halo exceeds 48 KiB. backward_weights splits its sum over the pixels of x over blocks
 *              (conv2d_weights.cuh), and the sums for db likewise, over the pixels of dy (channel_sums.cuh).
 *     direct   one thread per result, from global memory: any case (conv2d_direct.cuh).
 *
 * Budget and intensity as in conv2d.cu and conv2d_direct.cuh. Expected on an H200: parity 44 % of the f32 floor
 * forward at 4x4 stride 2 and 256 channels, 35 % backward_data, 37 % backward_weights. */
#include "channel_sums.cuh"
#include "conv2d_direct.cuh"
#include "conv2d_direct_estimate.cuh"
#include "conv2d_tile_run.cuh"
#include "conv2d_weights.cuh"

namespace FV_NAMESPACE {

namespace {

int64_t output_pixels(const fv_transposed &d) {
    return d.n * fv_transposed_p(&d) * fv_transposed_q(&d);
}

/* The mirror as an operation, and with it the tensors that stand for its own. */
fv_operation mirror_of(const fv_operation *op) {
    return {.kind = FV_CONV2D, .conv2d = fv_transposed_mirror(&op->transposed)};
}

fv_buffers exchanged(const fv_buffers *buffers) {
    fv_buffers other = *buffers;
    other.at[FV_X] = buffers->at[FV_DY];
    other.at[FV_Y] = buffers->at[FV_DX];
    other.at[FV_DY] = buffers->at[FV_X];
    other.at[FV_DX] = buffers->at[FV_Y];
    return other;
}

/* ---- parity ---- */

template <bool BACKWARD>
const char *supports_parity(const fv_operation *op) {
    const fv_operation mirror = mirror_of(op);
    return tile_supports<BACKWARD, TILE_PLAIN>(&mirror);
}

template <bool BACKWARD>
fv_status prepare_parity(fv_context *context, const fv_operation *op, void **state) {
    const fv_operation mirror = mirror_of(op);
    return tile_prepare<BACKWARD, TILE_PLAIN>(context, &mirror, state);
}

/* BACKWARD: the mirror's backward_data, which adds the bias if there is one. */
template <bool BACKWARD>
fv_status run_parity(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const fv_buffers other = exchanged(buffers);
    return tile_run<BACKWARD, TILE_PLAIN>(context, op, state, &other);
}

/* The mirror's plan, with the biases of our k channels behind the filters. */
weights_plan plan_of(const fv_transposed &d) {
    weights_plan plan = weights_plan_of(fv_transposed_mirror(&d));
    plan.partial += d.bias ? d.k : 0;
    return plan;
}

const char *supports_weights(const fv_operation *op) {
    const char *too_many = "there are over 2^36-32 output channels";
    return ceil_div(op->transposed.k, WARP) > MAX_BLOCKS ? too_many : weights_refusal(plan_of(op->transposed));
}

size_t workspace_weights(const fv_operation *op, const void *) {
    const weights_plan plan = plan_of(op->transposed);
    return splits_workspace(plan.splits, plan.partial);
}

fv_status transposed_backward_weights_parity(fv_context *context, const fv_operation *op, void *,
                                             const fv_buffers *buffers) {
    const fv_transposed &d = op->transposed;
    const weights_plan plan = plan_of(d);
    const int64_t biases = d.bias ? d.k : 0;
    const float *const dy = input(buffers, FV_DY);
    return gradients_in_splits(
        context, plan.partial - biases, biases, plan.splits, buffers, output(buffers, FV_DW),
        [&](float *dw, float *db) -> fv_status {
            if (db)
                FV_TRY(channel_sums(context, output_pixels(d), d.k, plan.splits, dy, db, plan.partial));
            return weights_split(context, plan, dy, input(buffers, FV_X), dw, nullptr);
        });
}

/* ---- direct ---- */

const char *supports_direct_weights(const fv_operation *op) {
    return ceil_div(op->transposed.k, WARP) > MAX_BLOCKS ? "there are over 2^36-32 output channels" : NULL;
}

template <typename T>
fv_status transposed_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return direct_backward_data(context, fv_transposed_mirror(&op->transposed), input<T>(buffers, FV_X),
                                input<T>(buffers, FV_W), input<T>(buffers, FV_B), output<T>(buffers, FV_Y));
}

template <typename T>
fv_status transposed_backward_data_direct(fv_context *context, const fv_operation *op, void *,
                                          const fv_buffers *buffers) {
    return direct_forward(context, fv_transposed_mirror(&op->transposed), input<T>(buffers, FV_DY),
                          input<T>(buffers, FV_W), static_cast<const T *>(nullptr), output<T>(buffers, FV_DX));
}

template <typename T>
fv_status transposed_backward_weights_direct(fv_context *context, const fv_operation *op, void *,
                                             const fv_buffers *buffers) {
    const fv_transposed &d = op->transposed;
    const T *const dy = input<T>(buffers, FV_DY);
    if (d.bias)
        FV_TRY(channel_sums(context, output_pixels(d), d.k, 1, dy, output<T>(buffers, FV_DB), 0));
    return direct_backward_weights(context, fv_transposed_mirror(&d), dy, input<T>(buffers, FV_X),
                                   output<T>(buffers, FV_DW), static_cast<T *>(nullptr));
}

/* ---- estimates: those of the mirror ---- */

template <bool BACKWARD>
double estimate_parity(const fv_operation *op, const fv_chip *chip) {
    const fv_operation mirror = mirror_of(op);
    return tile_estimate<BACKWARD, TILE_PLAIN>(&mirror, chip);
}

/* dy is read once more for the biases. */
double estimate_weights(const fv_operation *op, const fv_chip *chip) {
    const fv_transposed &d = op->transposed;
    issued_work work = weights_work(plan_of(d), STAGE_GATHERED);
    work.bytes = bytes_of(op, FV_BACKWARD_WEIGHTS);
    if (d.bias) {
        work.cache_bytes += static_cast<double>(output_pixels(d) * d.k) * sizeof(float);
        work.launches += 1;
    }
    return expected_issue(*chip, work);
}

template <double expected(const fv_chip &, const fv_conv2d &, double), fv_pass PASS>
double estimate_direct(const fv_operation *op, const fv_chip *chip) {
    return expected(*chip, fv_transposed_mirror(&op->transposed), bytes_of(op, PASS));
}

#define DIRECT_ROWS(dtype, T)                                                                                          \
    FV_KERNEL(FV_TRANSPOSED, FV_FORWARD, dtype, "direct",                                                              \
              .estimate = estimate_direct<direct_backward_data_expected, FV_FORWARD>,                                  \
              .run = transposed_forward_direct<T>),                                                                    \
        FV_KERNEL(FV_TRANSPOSED, FV_BACKWARD_DATA, dtype, "direct",                                                    \
                  .estimate = estimate_direct<direct_forward_expected, FV_BACKWARD_DATA>,                              \
                  .run = transposed_backward_data_direct<T>),                                                          \
        FV_KERNEL(FV_TRANSPOSED, FV_BACKWARD_WEIGHTS, dtype, "direct", .supports = supports_direct_weights,            \
                  .estimate = estimate_direct<direct_backward_weights_expected, FV_BACKWARD_WEIGHTS>,                  \
                  .run = transposed_backward_weights_direct<T>)

} // namespace

const fv_kernel conv2d_transposed_kernels[] = {
    FV_KERNEL_F32(FV_TRANSPOSED, FV_FORWARD, "parity", .supports = supports_parity<true>,
                  .prepare = prepare_parity<true>, .release = free, .estimate = estimate_parity<true>,
                  .run = run_parity<true>),
    FV_KERNEL_F32(FV_TRANSPOSED, FV_BACKWARD_DATA, "parity", .supports = supports_parity<false>,
                  .prepare = prepare_parity<false>, .release = free, .estimate = estimate_parity<false>,
                  .run = run_parity<false>),
    FV_KERNEL_F32(FV_TRANSPOSED, FV_BACKWARD_WEIGHTS, "parity", .supports = supports_weights,
                  .workspace = workspace_weights,
                  .workspace_rule = "splits*(c*r*s*k/groups + bias*k)*4 bytes, 0 where it need not split",
                  .estimate = estimate_weights, .run = transposed_backward_weights_parity),
    DIRECT_ROWS(FV_F32, float),
    DIRECT_ROWS(FV_BF16, bf16),
    DIRECT_ROWS(FV_F16, f16),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
