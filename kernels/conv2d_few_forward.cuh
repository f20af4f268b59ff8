/* Forward for images of few channels, as runs of floats (conv2d_few.cuh).
 *
 * Shared memory, in floats:
 *     window[rows][pitch]                image rows with the halo
 *     slab[chunk*runs*run][slab_pitch]   filters, output channels contiguous
 * A thread has 8 results of a row by 8 output channels in registers, the channels as two quads, so that those of
 * neighbouring threads are contiguous in the slab and in y. Its results are neighbours where they share what is read, and
 * else as far apart as there are threads along the row, so that neighbouring threads read from different banks.
 *
 * Methods, which differ in how they read the window; the filters take two reads of 16 bytes for 64 products in each:
 *     few_fixed<STEP, RUN>   step and run are known: a thread reads the 7*STEP + RUN floats that its results meet under a
 *                            filter row once, by 16 bytes, and has them in registers for all taps. 7x7/2 on 3 channels:
 *                            16 reads for 1344 products, 23 products per read with those of the filters.
 *     few_quads              step and distance of runs are multiples of 4: four taps of each result in a read; 16
 *                            products per read.
 *     few_any                a float at a time, 6 products per read: odd steps.
 * Shared memory answers a read of a warp, of 16 bytes with each address shared by a few lanes, in one or two cycles when
 * banks do not collide, in which the multiprocessor issues 4 or 8 warps' products: it is no limit. The pitch is chosen so
 * that the rows of a warp's results lie in different banks. */
#ifndef FOVEA_CONV2D_FEW_FORWARD_CUH
#define FOVEA_CONV2D_FEW_FORWARD_CUH

#include "conv2d_few.cuh"

namespace FV_NAMESPACE {

constexpr int FEW_PIXELS = 8, FEW_CHANNELS = 8; /* results of a thread */
constexpr int FEW_MAX_LANES = 8;                /* threads along the channels */

struct few_forward_plan {
    few_geometry d;
    few_tiles tiles;
    few_window window;
    int lanes;       /* threads along the channels of a tile, each with 8 */
    int columns;     /* threads along a row of the tile */
    int thread_step; /* results from thread to thread along a row: 8 where a thread's are neighbours, else 1 */
    int between;     /* results of a row from one of a thread's to the next: 1, else `columns` */
    int slab_pitch;  /* floats */
    int slab;        /* where it begins, in floats */
    int wide;        /* 1: y is written in 16 bytes */
    int relu;
    unsigned blocks, threads;
    int64_t shared_bytes;
};

using few_sums = float[FEW_PIXELS][FEW_CHANNELS];

/* Reads the filters of one tap, multiplies them with value(pixel) and adds. */
template <typename F>
__device__ __forceinline__ void few_multiply_tap(const float *filters, int second_quad, const F &value, few_sums &sum) {
    const float4 a = *reinterpret_cast<const float4 *>(filters);
    const float4 b = *reinterpret_cast<const float4 *>(filters + second_quad);
    const float by[FEW_CHANNELS] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    FV_UNROLL
    for (int i = 0; i < FEW_PIXELS; ++i) {
        FV_UNROLL
        for (int k = 0; k < FEW_CHANNELS; ++k)
            sum[i][k] += value(i) * by[k];
    }
}

/* Each method: multiply() adds the products of one filter row. `x` is the thread's first result's place in the window,
 * `filters` the row's first tap of its channels in the slab. */
template <int STEP, int RUN>
struct few_fixed {
    static __device__ void multiply(const few_forward_plan &plan, const float *x, const float *filters, few_sums &sum) {
        constexpr int QUADS = ((FEW_PIXELS - 1) * STEP + RUN + 3) / 4;
        float values[4 * QUADS];
        FV_UNROLL
        for (int i = 0; i < QUADS; ++i) {
            const float4 quad = reinterpret_cast<const float4 *>(x)[i];
            values[4 * i] = quad.x;
            values[4 * i + 1] = quad.y;
            values[4 * i + 2] = quad.z;
            values[4 * i + 3] = quad.w;
        }
        FV_UNROLL
        for (int j = 0; j < RUN; ++j)
            few_multiply_tap(
                filters + j * plan.slab_pitch, 4 * plan.lanes, [&](int i) { return values[i * STEP + j]; }, sum);
    }
};

struct few_any {
    static __device__ void multiply(const few_forward_plan &plan, const float *x, const float *filters, few_sums &sum) {
        const int step = plan.between * plan.d.step;
        for (int run = 0; run < plan.d.runs; ++run, x += plan.d.apart) {
            for (int j = 0; j < plan.d.run; ++j, filters += plan.slab_pitch) {
                float values[FEW_PIXELS];
                FV_UNROLL
                for (int i = 0; i < FEW_PIXELS; ++i)
                    values[i] = x[i * step + j];
                few_multiply_tap(
                    filters, 4 * plan.lanes, [&](int i) { return values[i]; }, sum);
            }
        }
    }
};

struct few_quads {
    static __device__ void multiply(const few_forward_plan &plan, const float *x, const float *filters, few_sums &sum) {
        const int step = plan.between * plan.d.step;
        for (int run = 0; run < plan.d.runs; ++run, x += plan.d.apart) {
            int j = 0;
            for (; j + 4 <= plan.d.run; j += 4) {
                float4 values[FEW_PIXELS];
                FV_UNROLL
                for (int i = 0; i < FEW_PIXELS; ++i)
                    values[i] = *reinterpret_cast<const float4 *>(x + i * step + j);
                const int second = 4 * plan.lanes;
                few_multiply_tap(
                    filters, second, [&](int i) { return values[i].x; }, sum);
                few_multiply_tap(
                    filters + plan.slab_pitch, second, [&](int i) { return values[i].y; }, sum);
                few_multiply_tap(
                    filters + 2 * plan.slab_pitch, second, [&](int i) { return values[i].z; }, sum);
                few_multiply_tap(
                    filters + 3 * plan.slab_pitch, second, [&](int i) { return values[i].w; }, sum);
                filters += 4 * plan.slab_pitch;
            }
            for (; j < plan.d.run; ++j, filters += plan.slab_pitch)
                few_multiply_tap(
                    filters, 4 * plan.lanes, [&](int i) { return x[i * step + j]; }, sum);
        }
    }
};

/* Begins to copy `rows` filter rows from `first` on of the block's channels into the slab: a warp takes a channel, whose
 * weights are contiguous; zeros for channels that are none. */
__device__ inline void few_stage_filters(const few_forward_plan &plan, int first_channel, int first, int rows,
                                         const float *w, float *slab) {
    const int taps = rows * plan.d.runs * plan.d.run, skipped = first * plan.d.runs * plan.d.run;
    for (int k = static_cast<int>(threadIdx.x) / WARP; k < plan.tiles.channels;
         k += static_cast<int>(blockDim.x) / WARP) {
        const bool there = first_channel + k < plan.d.k;
        const float *const from = there ? w + static_cast<int64_t>(first_channel + k) * plan.d.filter + skipped : w;
        for (int j = static_cast<int>(threadIdx.x) % WARP; j < taps; j += WARP)
            async_copy<4>(slab + j * plan.slab_pitch + k, there ? from + j : w, there ? 4 : 0);
    }
}

/* The bias added, and max(., 0) if the operation has it. */
__device__ inline void few_finish(const few_forward_plan &plan, const int (&channel)[2], const float *b,
                                  few_sums &sum) {
    FV_UNROLL
    for (int k = 0; k < FEW_CHANNELS; ++k) {
        const int at = channel[k / 4] + k % 4;
        const float bias = b && at < plan.d.k ? b[at] : 0.0f;
        FV_UNROLL
        for (int i = 0; i < FEW_PIXELS; ++i) {
            sum[i][k] += bias;
            if (plan.relu)
                sum[i][k] = sum[i][k] < 0.0f ? 0.0f : sum[i][k]; /* a NaN stays */
        }
    }
}

/* `y` is the first result's place, and so many are left in its row. */
__device__ inline void few_store(const few_forward_plan &plan, const int (&channel)[2], int left, const few_sums &sum,
                                 float *y) {
    FV_UNROLL
    for (int i = 0; i < FEW_PIXELS; ++i) {
        if (i * plan.between >= left)
            return;
        FV_UNROLL
        for (int half = 0; half < 2; ++half) {
            float *const to = y + static_cast<int64_t>(i * plan.between) * plan.d.k + channel[half];
            const float *const from = &sum[i][4 * half];
            if (plan.wide) {
                if (channel[half] < plan.d.k)
                    *reinterpret_cast<float4 *>(to) = make_float4(from[0], from[1], from[2], from[3]);
                continue;
            }
            FV_UNROLL
            for (int k = 0; k < 4; ++k)
                if (channel[half] + k < plan.d.k)
                    to[k] = from[k];
        }
    }
}

/* blockIdx.x: which tiles, one after the other; blockIdx.y: which channels. Filters that fit are staged once. */
template <typename METHOD>
__global__ void __launch_bounds__(FEW_THREADS, 3)
    conv2d_few_forward_kernel(few_forward_plan plan, const float *x, const float *w, const float *b, float *y) {
    FV_DYNAMIC_SHARED(float, window);
    float *const slab = window + plan.slab;
    const few_geometry &d = plan.d;
    const int thread = static_cast<int>(threadIdx.x), lane = thread % plan.lanes, group = thread / plan.lanes;
    const int row = group / plan.columns, col = group % plan.columns * plan.thread_step;
    const bool works = row < plan.tiles.rows;
    const int first_channel = static_cast<int>(blockIdx.y) * plan.tiles.channels;
    const int channel[2] = {first_channel + 4 * lane, first_channel + 4 * (plan.lanes + lane)};
    const float *const from = window + row * plan.window.vertical * plan.window.pitch + col * d.step;
    const int filter_row = d.runs * d.run * plan.slab_pitch;
    const int64_t first_tile = blockIdx.x * plan.tiles.per_block;
    const int64_t end =
        first_tile + plan.tiles.per_block < plan.tiles.count ? first_tile + plan.tiles.per_block : plan.tiles.count;
    for (int64_t tile = first_tile; tile < end; ++tile) {
        const few_place place = few_place_of(plan.tiles, tile);
        few_sums sum = {};
        for (int first = 0; first < d.filter_rows; first += plan.tiles.chunk) {
            const int rows = first + plan.tiles.chunk < d.filter_rows ? plan.tiles.chunk : d.filter_rows - first;
            __syncthreads(); /* what lies there has been read */
            few_stage_window(d, plan.window, place, first, x, window);
            if (tile == first_tile || plan.tiles.chunk < d.filter_rows)
                few_stage_filters(plan, first_channel, first, rows, w, slab);
            async_copy_commit();
            async_copy_wait<0>();
            __syncthreads();
            for (int r = 0; works && r < rows; ++r)
                METHOD::multiply(plan, from + r * plan.window.tap * plan.window.pitch, slab + r * filter_row + 4 * lane,
                                 sum);
        }
        const int p = place.row + row, q = place.col + col;
        if (!works || p >= d.p || q >= d.q)
            continue;
        few_finish(plan, channel, b, sum);
        few_store(plan, channel, d.q - q, sum, y + ((place.image * d.p + p) * d.q + q) * d.k);
    }
}

} // namespace FV_NAMESPACE

#endif
