/* Depthwise conv2d with large windows, such as RepLKNet's 31x31 (Ding et al. 2022, arXiv:2203.06717): any window of which
 * shared memory holds a few rows, stride 1, as many outputs as inputs. Formula and layouts are those of
 * conv2d_depthwise.cu; storage in f32, bf16 or f16, sums in f32, ReLU and bias in forward.
 *
 * Variant
 *     sweep   (all passes) rows of the source and of the window pass each other in shared memory, results stay in
 *             registers: see conv2d_depthwise_sweep.cuh. The filters are first brought into the order [r][s][c], as f32,
 *             in the workspace; the filter gradient takes dy for its window, by splits of images that a second kernel adds.
 *
 * Budget: a turn of 8 taps reads 21 values of the source and 32 of the window for 448 products (23 and 32 for 512 in the
 * filter gradient): 8.5 (9.3) a value, where 4 would keep up. Of the instructions 85 % multiply. 128 registers, no spills,
 * so two blocks of 256 threads (or four of 128) a multiprocessor; f32 with 31x31 at 56 columns and 8 rows of results in a
 * block takes 52 KB: 2 source rows of 58 columns, 9 window rows of 32. For 31x31 a byte of memory serves 240 FLOP, and a
 * byte of the second-level cache 120: arithmetic is the limit.
 *
 * Expected on an H200: 80 % of the rate of products (48 TFLOP/s where a large product reaches 60) for what is multiplied.
 * That is 3 % more than the window for 31 taps in turns of 8, and 14 % less for rows in the padding of RepLKNet's first
 * stage, which are left out: 0.48 ms for 128 channels of 56x56, n32, 86 % of the floor. Images of 7 columns use half of a
 * strip of 14. */
#include <stdlib.h>

#include "channel_sums.cuh"
#include "conv2d_depthwise_splits.cuh"
#include "conv2d_depthwise_sweep.cuh"

namespace FV_NAMESPACE {

namespace {

/* ordered[r][s][c] = w[c][r][s], or of the reversed filter. */
template <typename T>
__global__ void conv2d_depthwise_order_kernel(int64_t channels, int64_t taps, bool reversed, const T *w,
                                              float *ordered) {
    for (int64_t i = thread_index(); i < channels * taps; i += thread_count()) {
        const int64_t tap = i / channels;
        ordered[i] = widen(w[i % channels * taps + (reversed ? taps - 1 - tap : tap)]);
    }
}

template <typename T>
sweep_plan plan_of(const fv_conv2d &d, fv_pass pass) {
    return pass == FV_BACKWARD_WEIGHTS ? sweep_weights_plan_of(d, sizeof(T))
                                       : sweep_plan_of(d, pass == FV_BACKWARD_DATA, sizeof(T));
}

template <typename T, fv_pass PASS>
const char *supports(const fv_operation *op) {
    const fv_conv2d &d = op->conv2d;
    if (const char *refusal = ring_refusal(d, sizeof(T)))
        return refusal;
    if (d.stride_h != 1 || d.stride_w != 1 || d.dilation_h != 1 || d.dilation_w != 1)
        return "it has a stride or a dilation";
    return ring_plan_refusal(plan_of<T>(d, PASS).cut);
}

template <typename T, fv_pass PASS>
fv_status prepare(fv_context *, const fv_operation *op, void **state) {
    return keep_ring_plan(plan_of<T>(op->conv2d, PASS), state);
}

size_t workspace_filters(const fv_operation *op, const void *) {
    return static_cast<size_t>(op->conv2d.k * op->conv2d.r * op->conv2d.s) * sizeof(float);
}

size_t workspace_splits(const fv_operation *op, const void *state) {
    return static_cast<size_t>(static_cast<const sweep_plan *>(state)->splits * depthwise_partial(op->conv2d)) *
           sizeof(float);
}

template <typename T, fv_pass PASS>
double estimate(const fv_operation *op, const fv_chip *chip) {
    const sweep_plan plan = plan_of<T>(op->conv2d, PASS);
    return ring_seconds(*op, PASS, plan.cut, *chip, 2);
}

/* Launches the sweep for the plan's turn. */
template <int COLS, typename T, typename W, typename O>
fv_status sweep(fv_context *context, const sweep_plan &plan, bool rectified, const T *source, const W *window,
                const T *bias, O *result, int64_t pitch) {
    const dim3 grid(static_cast<unsigned>(plan.cut.blocks)), block(static_cast<unsigned>(plan.cut.threads));
    const size_t shared = static_cast<size_t>(plan.cut.shared_bytes);
    if (plan.turn == 8)
        return FV_LAUNCH(context, (conv2d_depthwise_sweep_kernel<sweep_shape<COLS, 8>, T, W, O>), grid, block, shared,
                         plan, rectified, source, window, bias, result, pitch);
    return FV_LAUNCH(context, (conv2d_depthwise_sweep_kernel<sweep_shape<COLS, 4>, T, W, O>), grid, block, shared, plan,
                     rectified, source, window, bias, result, pitch);
}

template <typename T, bool BACKWARD>
fv_status run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const sweep_plan &plan = *static_cast<const sweep_plan *>(state);
    if (plan.cut.blocks == 0)
        return FV_OK;
    const fv_conv2d &d = op->conv2d;
    float *const filters = static_cast<float *>(buffers->workspace);
    FV_TRY(FV_LAUNCH(context, conv2d_depthwise_order_kernel<T>, elementwise_grid(d.c * d.r * d.s), ELEMENTWISE_THREADS,
                     0, d.c, d.r * d.s, BACKWARD, input<T>(buffers, FV_W), filters));
    const int64_t pixels = static_cast<int64_t>(plan.cut.vertical.result) * plan.cut.horizontal.result;
    return sweep<SWEEP_COLS, T, float, T>(
        context, plan, !BACKWARD && d.relu, input<T>(buffers, BACKWARD ? FV_DY : FV_X), filters,
        BACKWARD ? nullptr : input<T>(buffers, FV_B), output<T>(buffers, BACKWARD ? FV_DX : FV_Y), pixels * d.c);
}

template <typename T>
fv_status run_weights(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const sweep_plan &plan = *static_cast<const sweep_plan *>(state);
    const fv_conv2d &d = op->conv2d;
    float *const partial = static_cast<float *>(buffers->workspace);
    const int64_t pitch = depthwise_partial(d);
    FV_TRY((sweep<SWEEP_GRADIENT_COLS, T, T, float>(context, plan, false, input<T>(buffers, FV_X),
                                                    input<T>(buffers, FV_DY), nullptr, partial, pitch)));
    if (d.bias)
        FV_TRY(channel_sums(context, d.n * fv_conv2d_p(&d) * fv_conv2d_q(&d), d.k, plan.splits,
                            input<T>(buffers, FV_DY), partial + d.k * d.r * d.s, pitch));
    return add_depthwise_splits<T>(context, d, plan.splits, TAPS_FIRST, buffers);
}

} // namespace

#define SWEEP_ROW(dtype, T, pass_, relu, workspace_, rule, run_)                                                       \
    FV_KERNEL(FV_CONV2D, pass_, dtype, "sweep", .fuses_relu = relu, .supports = supports<T, pass_>,                    \
              .prepare = prepare<T, pass_>, .release = free, .workspace = workspace_, .workspace_rule = rule,          \
              .estimate = estimate<T, pass_>, .run = run_)
#define SWEEP_ROWS_OF(dtype, T)                                                                                        \
    SWEEP_ROW(dtype, T, FV_FORWARD, true, workspace_filters, "k*r*s*4 bytes", (run<T, false>)),                        \
        SWEEP_ROW(dtype, T, FV_BACKWARD_DATA, false, workspace_filters, "k*r*s*4 bytes", (run<T, true>)),              \
        SWEEP_ROW(dtype, T, FV_BACKWARD_WEIGHTS, false, workspace_splits, DEPTHWISE_WORKSPACE_RULE, run_weights<T>)

const fv_kernel conv2d_depthwise_sweep_kernels[] = {
    SWEEP_ROWS_OF(FV_F32, float),
    SWEEP_ROWS_OF(FV_BF16, bf16),
    SWEEP_ROWS_OF(FV_F16, f16),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
