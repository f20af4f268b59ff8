/* softmax_xent: y = softmax(x) by rows of `classes`, loss[n] = -log y[n, labels[n]], predicted[n] = the first largest
 * class; backward dx = (y - onehot(labels)) / n. x, y and dx are [n, classes].
 *
 * The row's maximum is subtracted first, so that no exponential overflows, and loss = log(sum) - (x[label] - maximum),
 * which stays finite where y[label] rounds to zero. A label that is no class gives a NaN loss. Any sizes.
 * Deterministic: the order of each sum is fixed by the lanes.
 *
 * Variants
 *     warp          (forward) one warp per row, its lanes striding over the classes: coalesced, with shuffles.
 *     elementwise   (backward) one thread per element: bound by memory alone.
 *
 * Expected on an H200: launch and latency for tens of classes; from a thousand classes on 80 % of a copy's rate, with
 * the row read three times, twice from L1. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int ROWS_PER_BLOCK = ELEMENTWISE_THREADS / WARP;

struct best_class {
    float value;
    int index;
};

/* The larger value; the smaller index on ties. */
__device__ inline best_class better(best_class a, best_class b) {
    return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

/* Every lane gets the best of all lanes. */
__device__ inline best_class warp_best(best_class mine) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        best_class other;
        other.value = __shfl_xor_sync(ALL_LANES, mine.value, distance);
        other.index = __shfl_xor_sync(ALL_LANES, mine.index, distance);
        mine = better(mine, other);
    }
    return mine;
}

/* Every lane gets the sum over all lanes. */
__device__ inline float warp_sum(float mine) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        mine += __shfl_xor_sync(ALL_LANES, mine, distance);
    return mine;
}

__global__ void __launch_bounds__(ELEMENTWISE_THREADS)
    softmax_xent_forward_warp_kernel(int64_t rows, int classes, const float *logits, const int32_t *labels,
                                     float *probabilities, float *loss, int32_t *predicted) {
    const int lane_index = static_cast<int>(threadIdx.x) % WARP;
    const int64_t step = thread_count() / WARP;
    for (int64_t row = thread_index() / WARP; row < rows; row += step) {
        const float *x = logits + row * classes;
        float *y = probabilities + row * classes;
        best_class best = {-INFINITY, classes - 1};
        for (int64_t k = lane_index; k < classes; k += WARP)
            best = better(best, {x[k], static_cast<int>(k)});
        best = warp_best(best);
        float sum = 0;
        for (int64_t k = lane_index; k < classes; k += WARP) {
            y[k] = expf(x[k] - best.value);
            sum += y[k];
        }
        sum = warp_sum(sum);
        for (int64_t k = lane_index; k < classes; k += WARP)
            y[k] /= sum;
        if (lane_index == 0) {
            const int label = labels[row];
            loss[row] = label >= 0 && label < classes ? logf(sum) - (x[label] - best.value) : NAN;
            predicted[row] = best.index;
        }
    }
}

__global__ void softmax_xent_backward_data_elementwise_kernel(int64_t rows, int classes, const float *y,
                                                              const int32_t *labels, float *dx) {
    for (int64_t i = thread_index(); i < rows * classes; i += thread_count()) {
        const int64_t row = i / classes;
        const float target = i - row * classes == labels[row] ? 1.0f : 0.0f;
        dx[i] = (y[i] - target) / static_cast<float>(rows);
    }
}

fv_status softmax_xent_forward_warp(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_softmax_xent &d = op->softmax_xent;
    if (d.n == 0)
        return FV_OK;
    const int64_t blocks = ceil_div(d.n, ROWS_PER_BLOCK);
    return FV_LAUNCH(context, softmax_xent_forward_warp_kernel, elementwise_grid(blocks * ELEMENTWISE_THREADS),
                     ELEMENTWISE_THREADS, 0, d.n, static_cast<int>(d.classes), input(buffers, FV_X),
                     input<int32_t>(buffers, FV_LABELS), output(buffers, FV_Y), output(buffers, FV_LOSS),
                     output<int32_t>(buffers, FV_PREDICTED));
}

fv_status softmax_xent_backward_data_elementwise(fv_context *context, const fv_operation *op, void *,
                                                 const fv_buffers *buffers) {
    const fv_softmax_xent &d = op->softmax_xent;
    if (d.n == 0)
        return FV_OK;
    return FV_LAUNCH(context, softmax_xent_backward_data_elementwise_kernel, elementwise_grid(d.n * d.classes),
                     ELEMENTWISE_THREADS, 0, d.n, static_cast<int>(d.classes), input(buffers, FV_Y),
                     input<int32_t>(buffers, FV_LABELS), output(buffers, FV_DX));
}

} // namespace

const fv_kernel softmax_xent_kernels[] = {
    FV_KERNEL_F32(FV_SOFTMAX_XENT, FV_FORWARD, "warp", .run = softmax_xent_forward_warp),
    FV_KERNEL_F32(FV_SOFTMAX_XENT, FV_BACKWARD_DATA, "elementwise", .run = softmax_xent_backward_data_elementwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
