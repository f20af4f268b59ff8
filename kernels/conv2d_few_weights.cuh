/* The filter gradient for images of few channels, as runs of floats (conv2d_few.cuh):
 *
 *     dw[k][r][j] = sum over n,p,q of dy[n,p,q,k] * row(n, p*stride_h + r*dilation_h - pad_top)[q*step + j - pad]
 *
 * There are few results, and long sums. A thread owns `CHANNELS` output channels by LENGTH neighbouring taps j of a filter
 * row, all of the row where the method is fixed, and adds up the products of two or four results of a row at a
 * time (TOGETHER): it reads the floats of the window that they meet once, and CHANNELS of the gradients for each, by 16
 * bytes. What a tile has of threads left over shares the tile's rows out (`parts`), and adds up at the end in shared
 * memory, part after part. The tiles are shared out to blocks, whose partial gradients a second kernel adds up in order:
 * deterministic.
 *
 * Shared memory, in floats:
 *     window[rows][pitch]                      image rows with the halo
 *     gradients[tile rows][tile cols][channels]
 *     later, in their place: sums[CHANNELS*LENGTH][FEW_JOINED] of one part, and a bias sum of each thread
 *
 * Methods, and products per read of 16 bytes:
 *     few_row<6, 21, 4>    (7x7/2, c=3) 19      few_row<3, 9, 8> (3x3, c=3) 22    few_row<6, 9, 8> (3x3/2, c=3) 18
 *     few_row<3, 15, 4>    (5x5, c=3) 21        few_row<1, 5, 8> (5x5, c=1) 16    few_row<1, 3, 8> (3x3, c=1) 10
 *     few_pieces_by_quads  step a multiple of 4: pieces of 12 taps by 4 channels, 12
 *     few_pieces           pieces of 8 taps by 8 channels, a float at a time: 6 */
#ifndef FOVEA_CONV2D_FEW_WEIGHTS_CUH
#define FOVEA_CONV2D_FEW_WEIGHTS_CUH

#include "conv2d_few.cuh"

namespace FV_NAMESPACE {

constexpr int FEW_JOINED = FEW_THREADS / 2; /* two parts have at most so many threads each */

struct few_weights_plan {
    few_geometry d;
    few_tiles tiles; /* `chunk` filter rows to a block */
    few_window window;
    int lanes;           /* threads along the channels */
    int pieces, per_run; /* of a filter row, and of a run of it */
    int items, parts;    /* threads of a part, and parts; the others only copy */
    int row_tiles;       /* blocks that share the filter rows */
    int gradients;       /* where they begin, in floats */
    int wide;            /* 1: dy is copied in 16 bytes */
    unsigned splits;
    int64_t shared_bytes;
};

template <int STEP, int RUN, int CHANNELS_>
struct few_row {
    static constexpr int LENGTH = RUN, CHANNELS = CHANNELS_, UNIT = 4;
    static constexpr int TOGETHER = STEP % 2 == 0 ? 2 : 4;                 /* results at a time, that begin aligned */
    static constexpr int READ = ((TOGETHER - 1) * STEP + RUN + 3) / 4 * 4; /* floats for all of them; 0: for each */
    static __device__ int step(const few_geometry &) {
        return STEP;
    }
};

struct few_pieces_by_quads {
    static constexpr int LENGTH = 12, CHANNELS = 4, UNIT = 4, TOGETHER = 4, READ = 0;
    static __device__ int step(const few_geometry &d) {
        return d.step;
    }
};

struct few_pieces {
    static constexpr int LENGTH = 8, CHANNELS = 8, UNIT = 1, TOGETHER = 4, READ = 0;
    static __device__ int step(const few_geometry &d) {
        return d.step;
    }
};

template <int UNIT, int COUNT>
__device__ __forceinline__ void few_read(const float *from, float (&to)[COUNT]) {
    static_assert(COUNT % UNIT == 0);
    FV_UNROLL
    for (int i = 0; i < COUNT; i += UNIT) {
        if constexpr (UNIT == 4) {
            const float4 quad = *reinterpret_cast<const float4 *>(from + i);
            to[i] = quad.x;
            to[i + 1] = quad.y;
            to[i + 2] = quad.z;
            to[i + 3] = quad.w;
        } else {
            to[i] = from[i];
        }
    }
}

/* Reads a result's gradients, the thread's channels as quads `second` floats apart. */
template <int CHANNELS>
__device__ __forceinline__ void few_read_gradients(const float *from, int second, float (&to)[CHANNELS]) {
    FV_UNROLL
    for (int quad = 0; quad < CHANNELS; quad += 4) {
        float part[4];
        few_read<4>(from + quad / 4 * second, part);
        FV_UNROLL
        for (int k = 0; k < 4; ++k)
            to[quad + k] = part[k];
    }
}

template <typename METHOD>
using few_weight_sums = float[METHOD::CHANNELS][METHOD::LENGTH];

/* Adds the products of TOGETHER results. `x` is the place of the first result's first tap in the window, `dy` that of
 * its gradients. */
template <typename METHOD>
__device__ __forceinline__ void few_multiply_results(const few_weights_plan &plan, const float *x, const float *dy,
                                                     few_weight_sums<METHOD> &sum) {
    constexpr bool OVERLAP = METHOD::READ > 0; /* the results' taps, in registers */
    float values[OVERLAP ? METHOD::READ : METHOD::LENGTH];
    if constexpr (OVERLAP)
        few_read<METHOD::UNIT>(x, values);
    FV_UNROLL
    for (int i = 0; i < METHOD::TOGETHER; ++i) {
        const int step = METHOD::step(plan.d), skipped = OVERLAP ? i * step : 0;
        if constexpr (!OVERLAP)
            few_read<METHOD::UNIT>(x + i * step, values);
        float by[METHOD::CHANNELS];
        few_read_gradients(dy + i * plan.tiles.channels, 4 * plan.lanes, by);
        FV_UNROLL
        for (int k = 0; k < METHOD::CHANNELS; ++k) {
            FV_UNROLL
            for (int j = 0; j < METHOD::LENGTH; ++j)
                sum[k][j] += by[k] * values[skipped + j];
        }
    }
}

/* Begins to copy the gradients of a tile's results, UNIT channels at a time: neighbouring threads have neighbouring
 * channels, then results. Zeros for results and channels that are none. */
template <int UNIT>
__device__ void few_stage_gradients(const few_weights_plan &plan, const few_place &place, int first_channel,
                                    const float *dy, float *gradients) {
    const few_geometry &d = plan.d;
    const int width = plan.tiles.channels / UNIT, at_once = FEW_THREADS / width; /* there are at most 64 channels */
    const int thread = static_cast<int>(threadIdx.x), channel = thread % width * UNIT;
    int row = 0, col = thread / width;
    if (col >= at_once)
        return;
    for (;;) {
        for (; col >= plan.tiles.cols; col -= plan.tiles.cols)
            ++row;
        if (row >= plan.tiles.rows)
            return;
        const int p = place.row + row, q = place.col + col, k = first_channel + channel;
        const bool there = p < d.p && q < d.q && k < d.k;
        async_copy<4 * UNIT>(gradients + (row * plan.tiles.cols + col) * plan.tiles.channels + channel,
                             there ? dy + (((place.image * d.p + p) * d.q + q) * d.k + k) : dy, there ? 4 * UNIT : 0);
        col += at_once;
    }
}

/* Adds part after part to part 0's sums, by way of `memory`. All threads of the block call it. */
template <typename METHOD>
__device__ void few_join_parts(const few_weights_plan &plan, int part, int item, float *memory,
                               few_weight_sums<METHOD> &sum) {
    constexpr int CHANNELS = METHOD::CHANNELS, LENGTH = METHOD::LENGTH;
    for (int other = 1; other < plan.parts; ++other) {
        __syncthreads(); /* what lies there has been read */
        if (part == other) {
            FV_UNROLL
            for (int k = 0; k < CHANNELS; ++k) {
                FV_UNROLL
                for (int j = 0; j < LENGTH; ++j)
                    memory[(k * LENGTH + j) * FEW_JOINED + item] = sum[k][j];
            }
        }
        __syncthreads();
        if (part == 0) {
            FV_UNROLL
            for (int k = 0; k < CHANNELS; ++k) {
                FV_UNROLL
                for (int j = 0; j < LENGTH; ++j)
                    sum[k][j] += memory[(k * LENGTH + j) * FEW_JOINED + item];
            }
        }
    }
}

/* The bias's gradient: a thread has one channel, and every so many-th result of a tile. */
__device__ inline float few_add_gradients(const few_weights_plan &plan, const float *gradients) {
    const int channels = plan.tiles.channels, at_once = FEW_THREADS / channels;
    const int thread = static_cast<int>(threadIdx.x);
    float sum = 0;
    for (int i = thread / channels; thread < at_once * channels && i < plan.tiles.rows * plan.tiles.cols; i += at_once)
        sum += gradients[i * channels + thread % channels];
    return sum;
}

/* Adds up the threads of the same channel and writes. All threads of the block call it. */
__device__ inline void few_write_bias(const few_weights_plan &plan, int first_channel, float mine, float *memory,
                                      float *db) {
    const int channels = plan.tiles.channels, thread = static_cast<int>(threadIdx.x);
    __syncthreads(); /* what lies there has been read */
    memory[thread] = mine;
    __syncthreads();
    if (thread >= channels || first_channel + thread >= plan.d.k)
        return;
    float sum = memory[thread];
    for (int other = thread + channels; other < FEW_THREADS / channels * channels; other += channels)
        sum += memory[other];
    db[first_channel + thread] = sum;
}

/* blockIdx.x: which tiles; blockIdx.y: which channels and filter rows. Partial gradient number blockIdx.x goes to
 * dw + blockIdx.x * stride, its bias part to db + blockIdx.x * stride unless that is NULL. */
template <typename METHOD>
__global__ void __launch_bounds__(FEW_THREADS, 3)
    conv2d_few_weights_kernel(few_weights_plan plan, const float *x, const float *dy, float *dw, float *db,
                              int64_t stride) {
    FV_DYNAMIC_SHARED(float, window);
    float *const gradients = window + plan.gradients;
    const few_geometry &d = plan.d;
    const int part = static_cast<int>(threadIdx.x) / plan.items, item = static_cast<int>(threadIdx.x) % plan.items;
    const int lane = item % plan.lanes, piece = item / plan.lanes % plan.pieces, row = item / plan.lanes / plan.pieces;
    const int first_channel = static_cast<int>(blockIdx.y) % plan.tiles.channel_tiles * plan.tiles.channels;
    const int first_row = static_cast<int>(blockIdx.y) / plan.tiles.channel_tiles * plan.tiles.chunk;
    const int run = piece / plan.per_run, first_tap = piece % plan.per_run * METHOD::LENGTH;
    const float *const from = window + row * plan.window.tap * plan.window.pitch + run * d.apart + first_tap;
    const bool sums_bias = db && first_row == 0;
    few_weight_sums<METHOD> sum = {};
    float bias_sum = 0;
    const int64_t first_tile = blockIdx.x * plan.tiles.per_block;
    const int64_t end =
        first_tile + plan.tiles.per_block < plan.tiles.count ? first_tile + plan.tiles.per_block : plan.tiles.count;
    for (int64_t tile = first_tile; tile < end; ++tile) {
        const few_place place = few_place_of(plan.tiles, tile);
        __syncthreads(); /* the tile before has been read */
        few_stage_window(d, plan.window, place, first_row, x, window);
        if (plan.wide)
            few_stage_gradients<4>(plan, place, first_channel, dy, gradients);
        else
            few_stage_gradients<1>(plan, place, first_channel, dy, gradients);
        async_copy_commit();
        async_copy_wait<0>();
        __syncthreads();
        for (int p = part; part < plan.parts && p < plan.tiles.rows; p += plan.parts) {
            for (int q = 0; q < plan.tiles.cols; q += METHOD::TOGETHER)
                few_multiply_results<METHOD>(
                    plan, from + p * plan.window.vertical * plan.window.pitch + q * METHOD::step(d),
                    gradients + (p * plan.tiles.cols + q) * plan.tiles.channels + 4 * lane, sum);
        }
        if (sums_bias)
            bias_sum += few_add_gradients(plan, gradients);
    }
    few_join_parts<METHOD>(plan, part, item, window, sum);
    if (sums_bias)
        few_write_bias(plan, first_channel, bias_sum, window, db + blockIdx.x * stride);
    if (part > 0 || first_row + row >= d.filter_rows)
        return;
    FV_UNROLL
    for (int k = 0; k < METHOD::CHANNELS; ++k) {
        const int channel = first_channel + 4 * (k / 4 * plan.lanes + lane) + k % 4;
        if (channel >= d.k)
            continue;
        float *const to = dw + blockIdx.x * stride + static_cast<int64_t>(channel) * d.filter +
                          ((first_row + row) * d.runs + run) * d.run + first_tap;
        FV_UNROLL
        for (int j = 0; j < METHOD::LENGTH; ++j)
            if (first_tap + j < d.run)
                to[j] = sum[k][j];
    }
}

} // namespace FV_NAMESPACE

#endif
