/* Sums cut into splits: where there are few results and long sums, as in gradients by weights, a block for each tile of the
 * results would leave most of the device idle.
 *
 * Each split adds its share in order and writes its own partial results to the workspace; a second kernel adds these,
 * split after split. No atomics, and the splits depend on the descriptor alone: deterministic. */
#ifndef FOVEA_SPLITS_CUH
#define FOVEA_SPLITS_CUH

#include "half.cuh"

namespace FV_NAMESPACE {

/* How a sum is cut; the last split may have less than the others. */
struct sum_splits {
    int64_t count, per_split;
};

/* Cuts a sum over `units`: enough splits of `blocks` blocks each to fill a large device, but no more than `most`, which
 * pay, and each a multiple of `step` units. Of nothing one split, an empty one. */
inline sum_splits splits_of(int64_t units, int64_t blocks, int64_t most, int64_t step = 1) {
    constexpr int64_t ENOUGH_BLOCKS = 512;
    const int64_t wanted = ceil_div(ENOUGH_BLOCKS, blocks), splits = wanted < most ? wanted : most;
    if (splits == 0)
        return {.count = 1, .per_split = 0};
    const int64_t per_split = ceil_div(ceil_div(units, splits), step) * step;
    return {.count = ceil_div(units, per_split), .per_split = per_split};
}

/* Bytes for the partial results, of `partial` floats each, of several splits; a single one writes the results at once. */
inline size_t splits_workspace(int64_t splits, int64_t partial) {
    return splits > 1 ? static_cast<size_t>(splits * partial) * sizeof(float) : 0;
}

/* Adds the partial gradients, split after split, and rounds the sums to T: `weights` of `partial` floats belong to dw, the
 * others to db. */
template <typename T>
__global__ void reduce_splits_kernel(int64_t splits, int64_t partial, int64_t weights, const float *parts, T *dw,
                                     T *db) {
    for (int64_t i = thread_index(); i < partial; i += thread_count()) {
        float sum = 0;
        for (int64_t split = 0; split < splits; ++split)
            sum += parts[split * partial + i];
        if (i < weights)
            dw[i] = narrow<T>(sum);
        else
            db[i - weights] = narrow<T>(sum);
    }
}

/* The same where there are many splits: a block takes 32 results, and its eight warps share the splits out, so that the
 * reads of one result do not wait for each other. */
constexpr int64_t MANY_SPLITS = 32;
constexpr int SPLIT_LANES = 8;

static __global__ void reduce_many_splits_kernel(int64_t splits, int64_t partial, int64_t weights, const float *parts,
                                                 float *dw, float *db) {
    constexpr int AT_ONCE = 4;
    __shared__ float lanes[SPLIT_LANES][WARP];
    const int column = static_cast<int>(threadIdx.x) % WARP, lane = static_cast<int>(threadIdx.x) / WARP;
    const int64_t i = static_cast<int64_t>(blockIdx.x) * WARP + column;
    float sums[AT_ONCE] = {};
    for (int64_t split = lane; i < partial && split < splits; split += AT_ONCE * SPLIT_LANES) {
        FV_UNROLL
        for (int j = 0; j < AT_ONCE; ++j)
            if (split + j * SPLIT_LANES < splits)
                sums[j] += parts[(split + j * SPLIT_LANES) * partial + i];
    }
    lanes[lane][column] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    __syncthreads();
    if (lane > 0 || i >= partial)
        return;
    float sum = lanes[0][column];
    for (int other = 1; other < SPLIT_LANES; ++other)
        sum += lanes[other][column];
    if (i < weights)
        dw[i] = sum;
    else
        db[i - weights] = sum;
}

/* Has launch(dw, db) compute the gradients of all splits, the first at dw and db and the others `weights` + `biases`
 * floats behind, and adds them up to `result` and the pass's FV_DB. db is NULL if there are no biases. The partial
 * gradients lie `offset` floats into the workspace. */
template <typename F>
fv_status gradients_in_splits(fv_context *context, int64_t weights, int64_t biases, int64_t splits,
                              const fv_buffers *buffers, float *result, const F &launch, int64_t offset = 0) {
    const bool split = splits > 1;
    float *const parts = static_cast<float *>(buffers->workspace) + (split ? offset : 0);
    float *const dw = split ? parts : result;
    float *const db = biases == 0 ? nullptr : split ? parts + weights : output(buffers, FV_DB);
    FV_TRY(launch(dw, db));
    if (!split)
        return FV_OK;
    const int64_t many_blocks = ceil_div(weights + biases, WARP);
    if (splits >= MANY_SPLITS && many_blocks <= MAX_BLOCKS)
        return FV_LAUNCH(context, reduce_many_splits_kernel, dim3(static_cast<unsigned>(many_blocks)),
                         SPLIT_LANES * WARP, 0, splits, weights + biases, weights, parts, result,
                         output(buffers, FV_DB));
    return FV_LAUNCH(context, reduce_splits_kernel<float>, elementwise_grid(weights + biases), ELEMENTWISE_THREADS, 0,
                     splits, weights + biases, weights, parts, result, output(buffers, FV_DB));
}

} // namespace FV_NAMESPACE

#endif
