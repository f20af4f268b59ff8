/* Partial filter gradients of the sliding and the sweeping depthwise kernels, and the second pass that adds them up.
 *
 * There are many splits and few weights, so that a block's rows share the splits out; splits.cuh has one thread walk
 * them all. */
#ifndef FOVEA_CONV2D_DEPTHWISE_SPLITS_CUH
#define FOVEA_CONV2D_DEPTHWISE_SPLITS_CUH

#include "half.cuh"

namespace FV_NAMESPACE {

constexpr int SPLIT_LANES = 32, SPLIT_ROWS = 16;
constexpr const char *DEPTHWISE_WORKSPACE_RULE = "splits*k*(r*s + bias)*4 bytes";

/* Floats of one partial gradient: dw, and behind it db. */
inline int64_t depthwise_partial(const fv_conv2d &d) {
    return d.k * d.r * d.s + (d.bias ? d.k : 0);
}

/* In which order the weights of a partial gradient lie: as in dw, [channel][tap], or [tap][channel]. */
enum partial_order { CHANNELS_FIRST, TAPS_FIRST };

/* Adds up `splits` partial gradients of `stride` floats, of which the first channels*taps are weights: each of SPLIT_ROWS
 * rows of a block takes every SPLIT_ROWS-th split, then one adds the rows in order. */
template <typename T>
__global__ void __launch_bounds__(SPLIT_LANES *SPLIT_ROWS)
    conv2d_depthwise_add_splits_kernel(int64_t splits, int64_t stride, int64_t channels, int64_t taps,
                                       partial_order order, const float *partial, T *dw, T *db) {
    __shared__ float rows[SPLIT_ROWS][SPLIT_LANES];
    const int lane = static_cast<int>(threadIdx.x) % SPLIT_LANES, row = static_cast<int>(threadIdx.x) / SPLIT_LANES;
    const int64_t i = static_cast<int64_t>(blockIdx.x) * SPLIT_LANES + lane;
    float sum = 0;
    if (i < stride)
        for (int64_t split = row; split < splits; split += SPLIT_ROWS)
            sum += partial[split * stride + i];
    rows[row][lane] = sum;
    __syncthreads();
    if (row > 0 || i >= stride)
        return;
    for (int r = 1; r < SPLIT_ROWS; ++r)
        sum += rows[r][lane];
    if (i >= channels * taps)
        db[i - channels * taps] = narrow<T>(sum);
    else
        dw[order == CHANNELS_FIRST ? i : i % channels * taps + i / channels] = narrow<T>(sum);
}

template <typename T>
fv_status add_depthwise_splits(fv_context *context, const fv_conv2d &d, int64_t splits, partial_order order,
                               const fv_buffers *buffers) {
    const int64_t stride = depthwise_partial(d);
    return FV_LAUNCH(context, conv2d_depthwise_add_splits_kernel<T>,
                     dim3(static_cast<unsigned>(ceil_div(stride, SPLIT_LANES))), SPLIT_LANES * SPLIT_ROWS, 0, splits,
                     stride, d.k, d.r * d.s, order, static_cast<const float *>(buffers->workspace),
                     output<T>(buffers, FV_DW), output<T>(buffers, FV_DB));
}

} // namespace FV_NAMESPACE

#endif
