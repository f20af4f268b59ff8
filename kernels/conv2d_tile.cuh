/* The tiled convolution kernel: forward and backward_data are one algorithm.
 *
 * Both are correlations: result(i, j, o) = sum over taps t, u and source channels c of
 *     source(start_h + i*advance_h + t*spacing_h, start_w + j*advance_w + u*spacing_w, c) * filter(o, t, u, c)
 * - Forward reads x, writes y: start = -pad, advance = stride, spacing = dilation, every tap.
 * - Backward reads dy, writes dx. Input row h meets output row p through tap r where p*stride = h + pad - r*dilation,
 *   so rows h of one residue modulo the stride share their taps, every (stride/gcd)th: within such a class it is a
 *   correlation with advance 1 over those taps in falling order. A block stays within one class, so nothing is
 *   multiplied for taps that do not divide, and each thread owns its results: no atomics, deterministic.
 *
 * A block computes a tile of pixels x result channels of one image and group. For each chunk of source channels it
 * stages the source window with its halo and a slab of the filters in shared memory; each thread keeps PIXELS x
 * CHANNELS sums in registers, so that PIXELS + CHANNELS values from shared memory serve PIXELS * CHANNELS products.
 *
 * Shared memory, in floats:
 *     window[chunk][plane]      source pixels of one channel after another; an odd plane spreads channels over banks
 *     slab[taps*chunk][pitch]   filters, result channels contiguous; a row for each tap and source channel
 *     offsets[taps*chunk]       (ints) where a row's tap and channel lie in the window */
#ifndef FOVEA_CONV2D_TILE_CUH
#define FOVEA_CONV2D_TILE_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

/* One axis of the correlation as the descriptor gives it, and how it is cut into tiles. */
struct tile_axis {
    int source, result; /* extents of the tensors read and written */
    int filter, stride, pad, dilation;
    int classes; /* residues of the result modulo the stride: 1 forward, stride backward */
    int period;  /* every how many taps belong to a class: 1 forward, stride / gcd(stride, dilation) backward */
    int taps;    /* of the class with the most */
    int advance, spacing; /* source pixels from result to result and from tap to tap within a class */
    int tile, tiles;      /* results per tile and tiles per class, along this axis */
};

/* One class of results along an axis. */
struct tile_class {
    int first, step, count;        /* result i of the class is at first + i*step */
    int start;                     /* tap t of result i reads source start + i*advance + t*spacing */
    int first_tap, tap_step, taps; /* tap t is the filter's first_tap + t*tap_step */
};

struct tile_plan {
    tile_axis vertical, horizontal;
    int64_t images;
    int groups, source_channels, result_channels; /* channels of a group */
    int channel_tile, channel_tiles;              /* result channels per block, blocks per group */
    int chunk;                                    /* source channels staged at once, a power of two */
    int plane, pitch, slab, offsets;              /* of the shared memory, in floats */
    int channel_threads, pixel_threads, threads;
    int option; /* index into TILE_OPTIONS */
    int64_t blocks, shared_bytes;
};

template <bool BACKWARD>
__device__ tile_class tile_class_of(const tile_axis &axis, int residue) {
    if (!BACKWARD)
        return {.first = 0,
                .step = 1,
                .count = axis.result,
                .start = -axis.pad,
                .first_tap = 0,
                .tap_step = 1,
                .taps = axis.filter};
    const int period = axis.period;
    const int count = residue < axis.result ? (axis.result - residue - 1) / axis.stride + 1 : 0;
    int tap = 0;
    while (tap < period && tap < axis.filter && (residue + axis.pad - tap * axis.dilation) % axis.stride != 0)
        ++tap;
    if (tap == period || tap >= axis.filter) /* no tap reaches this class: its gradient is zero */
        return {.first = residue,
                .step = axis.stride,
                .count = count,
                .start = 0,
                .first_tap = 0,
                .tap_step = 0,
                .taps = 0};
    const int taps = (axis.filter - 1 - tap) / period + 1;
    const int last = tap + (taps - 1) * period;
    return {.first = residue,
            .step = axis.stride,
            .count = count,
            .start = (residue + axis.pad - last * axis.dilation) / axis.stride,
            .first_tap = last,
            .tap_step = -period,
            .taps = taps};
}

/* Where a block works. */
struct tile_place {
    int64_t image;
    int group;
    int first_channel; /* result channel within the group */
    int class_h, class_w;
    int row, col; /* first result, counted within the class */
};

__device__ inline tile_place tile_place_of(const tile_plan &plan, unsigned block) {
    const auto digit = [&block](int base) {
        const unsigned value = block % static_cast<unsigned>(base);
        block /= static_cast<unsigned>(base);
        return static_cast<int>(value);
    };
    tile_place place;
    place.first_channel = digit(plan.channel_tiles) * plan.channel_tile; /* neighbours share the source window */
    place.group = digit(plan.groups);
    place.col = digit(plan.horizontal.tiles) * plan.horizontal.tile;
    place.row = digit(plan.vertical.tiles) * plan.vertical.tile;
    place.class_w = digit(plan.horizontal.classes);
    place.class_h = digit(plan.vertical.classes);
    place.image = block;
    return place;
}

/* window[c][row][col] of source channels first .. first + chunk - 1; zeros beyond the image and the group. A warp
 * takes a row. */
__device__ inline void stage_window(const tile_plan &plan, const tile_place &place, const tile_class &v,
                                    const tile_class &h, int rows, int cols, int first, const float *source,
                                    float *window) {
    const int warps = plan.threads / WARP;
    const int64_t channels = static_cast<int64_t>(plan.groups) * plan.source_channels;
    for (int row = static_cast<int>(threadIdx.x) / WARP; row < rows; row += warps) {
        const int source_row = v.start + place.row * plan.vertical.advance + row;
        const bool row_inside = source_row >= 0 && source_row < plan.vertical.source;
        const int64_t line = (place.image * plan.vertical.source + source_row) * plan.horizontal.source;
        for (int e = static_cast<int>(threadIdx.x) % WARP; e < cols * plan.chunk; e += WARP) {
            const int c = e & (plan.chunk - 1), col = e / plan.chunk;
            const int source_col = h.start + place.col * plan.horizontal.advance + col;
            const bool inside = row_inside && source_col >= 0 && source_col < plan.horizontal.source &&
                                first + c < plan.source_channels;
            const int64_t at = (line + source_col) * channels + place.group * plan.source_channels + first + c;
            window[c * plan.plane + row * cols + col] = inside ? source[at] : 0.0f;
        }
    }
}

/* slab[tap*chunk + c][o] = w[k = o][tap][c]. c lies contiguous in memory, o in the slab, so a thread collects four o
 * and stores them together: reads stay coalesced and writes fall on different banks. */
__device__ inline void stage_filters_forward(const tile_plan &plan, const tile_place &place, int taps, int first,
                                             const float *filters, float *slab) {
    const int warps = plan.threads / WARP;
    for (int o = static_cast<int>(threadIdx.x) / WARP * 4; o < plan.channel_tile; o += 4 * warps)
        for (int e = static_cast<int>(threadIdx.x) % WARP; e < taps * plan.chunk; e += WARP) {
            const int c = e & (plan.chunk - 1), tap = e / plan.chunk;
            float four[4];
            FV_UNROLL
            for (int i = 0; i < 4; ++i) {
                const int64_t k = place.first_channel + o + i;
                const bool inside = k < plan.result_channels && first + c < plan.source_channels;
                const int64_t filter = place.group * plan.result_channels + k;
                four[i] = inside ? filters[(filter * taps + tap) * plan.source_channels + first + c] : 0.0f;
            }
            *reinterpret_cast<float4 *>(&slab[e * plan.pitch + o]) = make_float4(four[0], four[1], four[2], four[3]);
        }
}

/* slab[tap*chunk + k][o] = w[k][the class's tap][c = o]; here o is contiguous in memory too. */
__device__ inline void stage_filters_backward(const tile_plan &plan, const tile_place &place, const tile_class &v,
                                              const tile_class &h, int first, const float *filters, float *slab) {
    const int warps = plan.threads / WARP;
    for (int e = static_cast<int>(threadIdx.x) / WARP; e < v.taps * h.taps * plan.chunk; e += warps) {
        const int64_t k = first + (e & (plan.chunk - 1));
        const int tap = e / plan.chunk;
        const int r = v.first_tap + tap / h.taps * v.tap_step, s = h.first_tap + tap % h.taps * h.tap_step;
        const int64_t filter = place.group * plan.source_channels + k;
        const int64_t row = ((filter * plan.vertical.filter + r) * plan.horizontal.filter + s) * plan.result_channels;
        for (int o = static_cast<int>(threadIdx.x) % WARP; o < plan.channel_tile; o += WARP) {
            const int64_t c = place.first_channel + o;
            const bool inside = k < plan.source_channels && c < plan.result_channels;
            slab[e * plan.pitch + o] = inside ? filters[row + c] : 0.0f;
        }
    }
}

/* Adds the products of one staged chunk. base: where each of the thread's pixels starts in the window. */
template <int PIXELS, int CHANNELS>
__device__ void multiply_chunk(const float *window, const float *slab, const int *offsets, int rows, int pitch,
                               int quad_step, const int (&base)[PIXELS], float (&sum)[PIXELS][CHANNELS]) {
    for (int row = 0; row < rows; ++row) {
        const float *pixels = window + offsets[row];
        float w[CHANNELS];
        FV_UNROLL
        for (int quad = 0; quad < CHANNELS / 4; ++quad) {
            const float4 four = *reinterpret_cast<const float4 *>(&slab[row * pitch + quad * quad_step]);
            w[quad * 4 + 0] = four.x;
            w[quad * 4 + 1] = four.y;
            w[quad * 4 + 2] = four.z;
            w[quad * 4 + 3] = four.w;
        }
        FV_UNROLL
        for (int i = 0; i < PIXELS; ++i) {
            const float x = pixels[base[i]];
            FV_UNROLL
            for (int j = 0; j < CHANNELS; ++j)
                sum[i][j] += x * w[j];
        }
    }
}

/* A thread has pixels t, t + pixel_threads, ... of the tile and CHANNELS/4 quads of channels, one
 * channel_tile/(CHANNELS/4) apart, so that the quads of neighbouring threads are neighbours. bias: NULL for none. */
template <bool BACKWARD, int PIXELS, int CHANNELS>
__global__ void __launch_bounds__(256, 2)
    conv2d_tile_kernel(tile_plan plan, const float *source, const float *filters, const float *bias, float *result) {
    FV_DYNAMIC_SHARED(float, window);
    float *const slab = window + plan.slab;
    int *const offsets = reinterpret_cast<int *>(window + plan.offsets);
    const tile_place place = tile_place_of(plan, blockIdx.x);
    const tile_class v = tile_class_of<BACKWARD>(plan.vertical, place.class_h);
    const tile_class h = tile_class_of<BACKWARD>(plan.horizontal, place.class_w);
    if (place.row >= v.count || place.col >= h.count)
        return; /* a class with fewer tiles than the largest; the whole block leaves */

    const int thread = static_cast<int>(threadIdx.x);
    const int taps = v.taps * h.taps;
    const int window_rows =
        taps ? (plan.vertical.tile - 1) * plan.vertical.advance + (v.taps - 1) * plan.vertical.spacing + 1 : 0;
    const int window_cols =
        taps ? (plan.horizontal.tile - 1) * plan.horizontal.advance + (h.taps - 1) * plan.horizontal.spacing + 1 : 0;
    for (int e = thread; e < taps * plan.chunk; e += plan.threads) {
        const int c = e & (plan.chunk - 1), tap = e / plan.chunk;
        offsets[e] = c * plan.plane + tap / h.taps * plan.vertical.spacing * window_cols +
                     tap % h.taps * plan.horizontal.spacing;
    }

    const int quad_step = 4 * plan.channel_threads;
    const int first_quad = 4 * (thread % plan.channel_threads);
    const int first_pixel = thread / plan.channel_threads;
    const int pixels = plan.vertical.tile * plan.horizontal.tile;
    int base[PIXELS];
    FV_UNROLL
    for (int i = 0; i < PIXELS; ++i) {
        const int pixel = first_pixel + i * plan.pixel_threads;
        const int row = pixel / plan.horizontal.tile, col = pixel % plan.horizontal.tile;
        base[i] = pixel < pixels ? row * plan.vertical.advance * window_cols + col * plan.horizontal.advance : 0;
    }

    float sum[PIXELS][CHANNELS] = {};
    for (int first = 0; taps > 0 && first < plan.source_channels; first += plan.chunk) {
        stage_window(plan, place, v, h, window_rows, window_cols, first, source, window);
        if (BACKWARD)
            stage_filters_backward(plan, place, v, h, first, filters, slab);
        else
            stage_filters_forward(plan, place, taps, first, filters, slab);
        __syncthreads();
        multiply_chunk<PIXELS, CHANNELS>(window, slab + first_quad, offsets, taps * plan.chunk, plan.pitch, quad_step,
                                         base, sum);
        __syncthreads();
    }

    const int64_t channels = static_cast<int64_t>(plan.groups) * plan.result_channels;
    FV_UNROLL
    for (int i = 0; i < PIXELS; ++i) {
        const int pixel = first_pixel + i * plan.pixel_threads;
        const int row = place.row + pixel / plan.horizontal.tile, col = place.col + pixel % plan.horizontal.tile;
        if (first_pixel >= plan.pixel_threads || pixel >= pixels || row >= v.count || col >= h.count)
            continue;
        const int64_t line = place.image * plan.vertical.result + v.first + static_cast<int64_t>(row) * v.step;
        const int64_t at = (line * plan.horizontal.result + h.first + static_cast<int64_t>(col) * h.step) * channels +
                           place.group * plan.result_channels;
        FV_UNROLL
        for (int j = 0; j < CHANNELS; ++j) {
            const int64_t channel = place.first_channel + first_quad + j / 4 * quad_step + j % 4;
            if (channel < plan.result_channels)
                result[at + channel] = sum[i][j] + (bias ? bias[place.group * plan.result_channels + channel] : 0.0f);
        }
    }
}

} // namespace FV_NAMESPACE

#endif
