/* The fused gradients by both filters, dw2 = dy^T * z and dw = the depthwise filter gradient of dz = dy * w2 with x. Neither
 * z nor dz is stored in global memory: each is computed where it is used.
 *
 * dw2: a block computes 64 channels of z by 64 or 128 output channels. It holds the filters of its channels, and for
 *      16 output pixels at a time, 4 strips of 4, each thread computes one strip of one channel of z (correlate_window)
 *      into shared memory, which meets the pixels' dy there (product.cuh). z is computed ceil(k/128) or ceil(k/64) times,
 *      as in forward. db is summed from the staged dy by the blocks of the first channels.
 * dw:  a block has 64 channels of z and takes tiles of up to 128 output pixels, whole lines or pieces of one. It computes
 *      dz by a tiled product over k into shared memory (compute_dz), every one once, and then walks along the lines of
 *      the tile with strips of 4 taps in registers (correlate_strip). A tap's sum over the tiles of a block stands in
 *      shared memory and belongs to one thread.
 *
 * Pixels are split over blocks until the device is full: splits.cuh. */
#ifndef FOVEA_CONV2D_SEPARABLE_WEIGHTS_CUH
#define FOVEA_CONV2D_SEPARABLE_WEIGHTS_CUH

#include "conv2d_separable_data.cuh"
#include "splits.cuh"

namespace FV_NAMESPACE {

/* ---- dw2 and db ---- */

constexpr int POINTWISE_STRIPS = PRODUCT_DEPTH / SEPARABLE_STRIP; /* of a slice */

inline separable_plan separable_pointwise_plan_of(const fv_separable &d) {
    constexpr int64_t LEAST_STRIPS = 32; /* 128 pixels: a split of fewer costs more than it saves */
    separable_plan plan = separable_problem(d, SEPARABLE_TILE);
    const int64_t channels = plan.depthwise.channels;
    plan.middle_tiles = ceil_div(channels, SEPARABLE_TILE);
    plan.tiles = separable_tiles(plan.k, plan.middle_tiles * ceil_div(plan.units, LEAST_STRIPS));
    plan.channel_tiles = ceil_div(plan.k, plan.tiles * SEPARABLE_TILE);
    plan.blocks =
        plan.middle_tiles > MAX_BLOCKS / plan.channel_tiles ? MAX_BLOCKS + 1 : plan.middle_tiles * plan.channel_tiles;
    const sum_splits splits = splits_of(plan.units, plan.blocks, ceil_div(plan.units, LEAST_STRIPS));
    plan.splits = splits.count;
    plan.per_split = splits.per_split;
    plan.partial = plan.k * channels + (d.bias ? plan.k : 0);
    plan.shared_bytes = separable_shared_bytes(plan);
    return plan;
}

/* Partial gradient number blockIdx.y goes to dw2 + blockIdx.y * stride, its bias part to db + blockIdx.y * stride. */
template <int TILES>
__global__ void __launch_bounds__(SEPARABLE_THREADS, 2)
    separable_pointwise_weights_kernel(separable_plan plan, const float *x, const float *dy, const float *w, float *dw2,
                                       float *db, int64_t stride) {
    FV_DYNAMIC_SHARED(float, shared);
    auto *const slices = reinterpret_cast<product_slice<SEPARABLE_TILE> *>(shared);
    float *const slab = shared + (1 + TILES) * SEPARABLE_SLICE_FLOATS;
    const depthwise_plan &depthwise = plan.depthwise;
    const tile_class v = tile_class_of<false>(depthwise.vertical, 0), h = tile_class_of<false>(depthwise.horizontal, 0);
    const int lane = static_cast<int>(threadIdx.x) % SEPARABLE_TILE,
              turn = static_cast<int>(threadIdx.x) / SEPARABLE_TILE;
    const int64_t first_k = blockIdx.x % plan.channel_tiles * TILES * SEPARABLE_TILE; /* neighbours share x */
    const int64_t first = blockIdx.x / plan.channel_tiles * SEPARABLE_TILE, channel = first + lane;
    const int64_t first_unit = blockIdx.y * plan.per_split;
    const int64_t end_unit = first_unit + plan.per_split < plan.units ? first_unit + plan.per_split : plan.units;
    const bool sums_bias = db && first == 0 && turn == 0; /* one column of blocks does it for all */
    float sum[TILES][4][4] = {}, bias_sum[TILES] = {};
    stage_depthwise_filters<false>(depthwise, v, h, first, 0, 0, v.taps, w, slab);
    __syncthreads();
    for (int64_t unit = first_unit; unit < end_unit; unit += POINTWISE_STRIPS) {
        const strip_place place =
            strip_place_of<SEPARABLE_STRIP>(depthwise.across, unit + turn, end_unit, plan.p, plan.q);
        float z[SEPARABLE_STRIP] = {};
        if (place.inside && channel < depthwise.channels)
            correlate_window<0>(depthwise, v, h, place, 0, v.taps, x + channel / depthwise.multiplier,
                                depthwise.channels / depthwise.multiplier, slab + lane, z);
        FV_UNROLL
        for (int i = 0; i < SEPARABLE_STRIP; ++i) {
            const int64_t col = place.first + static_cast<int64_t>(i) * depthwise.across.share;
            const bool inside = place.inside && col < plan.q;
            const int64_t pixel = ((place.image * plan.p + place.row) * plan.q + col) * plan.k;
            const int l = turn * SEPARABLE_STRIP + i;
            slices[0][l][lane] = inside ? z[i] : 0.0f;
            FV_UNROLL
            for (int tile = 0; tile < TILES; ++tile) {
                const int64_t k = first_k + tile * SEPARABLE_TILE + lane;
                slices[1 + tile][l][lane] = inside && k < plan.k ? dy[pixel + k] : 0.0f;
            }
        }
        __syncthreads();
        FV_UNROLL
        for (int tile = 0; tile < TILES; ++tile) {
            product_multiply<SEPARABLE_TILE>(slices[1 + tile], slices[0], sum[tile]);
            if (sums_bias)
                bias_sum[tile] += product_row_sum<SEPARABLE_TILE>(slices[1 + tile], lane);
        }
        __syncthreads();
    }
    FV_UNROLL
    for (int tile = 0; tile < TILES; ++tile) {
        const int64_t tile_k = first_k + tile * SEPARABLE_TILE;
        if (sums_bias && tile_k + lane < plan.k)
            db[blockIdx.y * stride + tile_k + lane] = bias_sum[tile];
        FV_UNROLL
        for (int i = 0; i < 4; ++i) {
            const int64_t k = tile_k + product_row<SEPARABLE_TILE>() + i;
            FV_UNROLL
            for (int j = 0; j < 4; ++j) {
                const int64_t column = first + product_column<SEPARABLE_TILE>() + j;
                if (k < plan.k && column < depthwise.channels)
                    dw2[blockIdx.y * stride + k * depthwise.channels + column] = sum[tile][i][j];
            }
        }
    }
}

/* ---- dw ---- */

struct separable_taps_plan {
    fv_separable d;
    int64_t p, q, middle; /* middle: channels of z */
    strip_steps across;
    int taps, row_strips;              /* of the window; strips of taps of a filter row */
    int tile_lines, tile_cols, pixels; /* of dz; room for it */
    int64_t lines, tiles_w, tiles;
    int64_t channel_tiles, per_split, splits;
    int64_t partial; /* floats of one partial gradient */
    int64_t shared_bytes;
};

inline int64_t separable_taps_bytes(int64_t pixels, int64_t taps) {
    return ((pixels + taps) * SEPARABLE_TILE + 2 * SEPARABLE_SLICE_FLOATS) * static_cast<int64_t>(sizeof(float));
}

/* shared_bytes tells whether it fits. */
inline separable_taps_plan separable_taps_plan_of(const fv_separable &d) {
    constexpr int64_t LEAST_TILES = 2; /* a split of fewer costs more than it saves */
    fv_conv2d stages[2];
    fv_separable_stages(&d, stages);
    separable_taps_plan plan = {};
    plan.d = d;
    plan.p = stages[1].h;
    plan.q = stages[1].w;
    plan.middle = stages[1].c;
    plan.across = strip_steps_of(d.s == 1 ? 1 : d.dilation_w, d.stride_w);
    plan.taps = static_cast<int>(d.r * d.s < MAX_SHARED_BYTES ? d.r * d.s : MAX_SHARED_BYTES);
    plan.row_strips = static_cast<int>(strips_of(d.s, plan.across.share, SEPARABLE_STRIP));
    plan.lines = d.n * plan.p;
    const bool two =
        separable_taps_bytes(2 * SEPARABLE_TILE, plan.taps) <= MAX_SHARED_BYTES && plan.lines * plan.q > SEPARABLE_TILE;
    plan.pixels = two ? 2 * SEPARABLE_TILE : SEPARABLE_TILE;
    plan.tile_cols = static_cast<int>(plan.q < plan.pixels ? plan.q : plan.pixels);
    plan.tile_lines = plan.pixels / plan.tile_cols;
    plan.tiles_w = ceil_div(plan.q, plan.tile_cols);
    plan.tiles = ceil_div(plan.lines, plan.tile_lines) * plan.tiles_w;
    plan.channel_tiles = ceil_div(plan.middle, SEPARABLE_TILE);
    const sum_splits splits = splits_of(plan.tiles, plan.channel_tiles, ceil_div(plan.tiles, LEAST_TILES));
    plan.splits = splits.count;
    plan.per_split = splits.per_split;
    plan.partial = plan.middle * d.r * d.s;
    plan.shared_bytes = separable_taps_bytes(plan.pixels, plan.taps);
    return plan;
}

/* A tile of dz: lines count through the images. */
struct dz_tile {
    int64_t line, col;
    int lines, cols;
};

__device__ inline dz_tile dz_tile_of(const separable_taps_plan &plan, int64_t tile) {
    const int64_t line = tile / plan.tiles_w * plan.tile_lines, col = tile % plan.tiles_w * plan.tile_cols;
    return {.line = line,
            .col = col,
            .lines = static_cast<int>(plan.lines - line < plan.tile_lines ? plan.lines - line : plan.tile_lines),
            .cols = static_cast<int>(plan.q - col < plan.tile_cols ? plan.q - col : plan.tile_cols)};
}

/* Adds a tile's products to the strip that begins with tap (r, s). dz and x: of the channel. */
__device__ inline void correlate_taps(const separable_taps_plan &plan, const dz_tile &tile, int64_t r, int64_t s,
                                      const float *dz, const float *x, float (&sum)[SEPARABLE_STRIP]) {
    const fv_separable &d = plan.d;
    for (int i = 0; i < tile.lines; ++i) {
        const int64_t line = tile.line + i, image = line / plan.p;
        const int64_t row = (line - image * plan.p) * d.stride_h + r * d.dilation_h - d.pad_top;
        if (row < 0 || row >= d.h)
            continue;
        const float *const pixels = x + (image * d.h + row) * d.w * d.c;
        for (int turn = 0; turn < plan.across.turns && turn < tile.cols; ++turn) {
            const line_walk walk = line_walk_of(s * d.dilation_w + (tile.col + turn) * d.stride_w - d.pad_left,
                                                plan.across.step, d.w, d.c);
            const float *const gradients = dz + (i * tile.cols + turn) * SEPARABLE_TILE;
            correlate_strip<SEPARABLE_STRIP>(
                static_cast<int>(ceil_div(tile.cols - turn, plan.across.turns)),
                [&](int at) { return line_value(walk, pixels, at); },
                [&](int at) { return gradients[at * plan.across.turns * SEPARABLE_TILE]; }, sum);
        }
    }
}

/* Partial gradient number blockIdx.y goes to dw + blockIdx.y * plan.partial. */
static __global__ void __launch_bounds__(SEPARABLE_THREADS, 2)
    separable_depthwise_weights_kernel(separable_taps_plan plan, const float *x, const float *dy, const float *w2,
                                       float *dw) {
    FV_DYNAMIC_SHARED(float, dz);
    float *const totals = dz + plan.pixels * SEPARABLE_TILE; /* totals[tap][channel] */
    auto *const slices = reinterpret_cast<product_slice<SEPARABLE_TILE> *>(totals + plan.taps * SEPARABLE_TILE);
    constexpr int TURNS = SEPARABLE_THREADS / SEPARABLE_TILE;
    const fv_separable &d = plan.d;
    const int lane = static_cast<int>(threadIdx.x) % SEPARABLE_TILE,
              turn = static_cast<int>(threadIdx.x) / SEPARABLE_TILE;
    const int64_t first = blockIdx.x * static_cast<int64_t>(SEPARABLE_TILE), channel = first + lane;
    const int64_t count = plan.middle - first < SEPARABLE_TILE ? plan.middle - first : SEPARABLE_TILE;
    const int64_t begin = blockIdx.y * plan.per_split;
    const int64_t end = begin + plan.per_split < plan.tiles ? begin + plan.per_split : plan.tiles;
    const int strips = static_cast<int>(d.r) * plan.row_strips;
    for (int e = static_cast<int>(threadIdx.x); e < plan.taps * SEPARABLE_TILE; e += SEPARABLE_THREADS)
        totals[e] = 0;
    for (int64_t at = begin; at < end; ++at) {
        const dz_tile tile = dz_tile_of(plan, at);
        compute_dz(
            {dy, w2, d.k, plan.middle, first, count}, tile.lines * tile.cols,
            [&](int pixel) { return (tile.line + pixel / tile.cols) * plan.q + tile.col + pixel % tile.cols; }, slices,
            dz);
        __syncthreads();
        for (int strip = turn; channel < plan.middle && strip < strips; strip += TURNS) {
            const int r = strip / plan.row_strips;
            const int64_t s = strip_first(strip % plan.row_strips, d.s, plan.across.share, SEPARABLE_STRIP);
            float sum[SEPARABLE_STRIP] = {};
            correlate_taps(plan, tile, r, s, dz + lane, x + channel / d.multiplier, sum);
            FV_UNROLL
            for (int j = 0; j < SEPARABLE_STRIP; ++j) {
                const int64_t tap = s + static_cast<int64_t>(j) * plan.across.share;
                if (tap < d.s)
                    totals[(r * d.s + tap) * SEPARABLE_TILE + lane] += sum[j];
            }
        }
    } /* the next tile's product waits for all threads before dz is written again */
    __syncthreads();
    /* Neighbouring threads take neighbouring taps, which lie side by side in memory. */
    for (int64_t e = threadIdx.x; e < plan.taps * count; e += SEPARABLE_THREADS)
        dw[blockIdx.y * plan.partial + first * plan.taps + e] = totals[e % plan.taps * SEPARABLE_TILE + e / plan.taps];
}

} // namespace FV_NAMESPACE

#endif
