/* The fused gradient by x: dz = dy * w2, dx = the depthwise gradient of dz with w.
 *
 * A block computes a tile of dx, of one image and as many channels as have up to 64 channels of z. It needs dz under
 * the tile and its halo: up to 128 pixels by 64 channels, which it computes by a tiled product over k (product.cuh) and
 * keeps in shared memory, and then gathers dx from them. Input row h meets output row p through tap r where p*stride = h
 * + pad - r*dilation; which rows and taps those are is worked out once for every row and column of the tile (the
 * classes of conv2d_tile.cuh), so that nothing is divided within the sums.
 *
 * dz in the halo is computed by each tile that needs it. The tile is chosen for the least of that: on images of up to
 * 128 pixels none is computed twice; on larger ones, without stride, it is 1.6 times with a window of 3x3 (in tiles of
 * 6x14), 2.5 times with 5x5, 5.3 times with 7x7. Against that stand the 8 bytes that "unfused" writes and reads for
 * each value of dz. On paper an H200 moves them in the time of 56 products, so "unfused" should win where (times - 1)*k
 * is far beyond 56; that is to be measured yet.
 *
 * Shared memory: reaches[tile_h + tile_w]; dz[pixel][64]; the product's two slices and then, in their place, the
 * filters [tap][64]. Lanes are channels: no two meet in a bank, and so for float4 in dz. */
#ifndef FOVEA_CONV2D_SEPARABLE_DATA_CUH
#define FOVEA_CONV2D_SEPARABLE_DATA_CUH

#include "conv2d_separable_forward.cuh"

namespace FV_NAMESPACE {

/* dz of 64 channels from `first_middle`, for some pixels. */
struct dz_product {
    const float *dy, *w2;
    int64_t k, channels, first, count; /* of y; of z; those taken */
};

/* dz[pixel][channel] for pixel < pixels, rounded up to 64; at(pixel) is a pixel's number in dy. The slices hold 2 x 16 x
 * 68 floats; they are free when this returns, but dz is not written by all threads yet. */
template <typename AT>
__device__ void compute_dz(const dz_product &product, int pixels, AT at, product_slice<SEPARABLE_TILE> *slices,
                           float *dz) {
    constexpr int TILE = SEPARABLE_TILE, PIXELS = TILE * PRODUCT_DEPTH / SEPARABLE_THREADS;
    const int l = static_cast<int>(threadIdx.x) % PRODUCT_DEPTH, row = static_cast<int>(threadIdx.x) / PRODUCT_DEPTH;
    const product_operand weights = {product.w2 + product.first, 1, product.channels, product.count};
    for (int first = 0; first < pixels; first += TILE) {
        const float *gradient[PIXELS]; /* of the pixels that the thread stages; NULL behind the last */
        FV_UNROLL
        for (int i = 0; i < PIXELS; ++i) {
            const int pixel = first + row + i * (TILE / PIXELS);
            gradient[i] = pixel < pixels ? product.dy + at(pixel) * product.k : nullptr;
        }
        float sum[4][4] = {};
        for (int64_t depth = 0; depth < product.k; depth += PRODUCT_DEPTH) {
            FV_UNROLL
            for (int i = 0; i < PIXELS; ++i)
                slices[0][l][row + i * (TILE / PIXELS)] =
                    gradient[i] && depth + l < product.k ? gradient[i][depth + l] : 0.0f;
            product_stage<TILE, false>(slices[1], weights, 0, depth, product.k);
            __syncthreads();
            product_multiply<TILE>(slices[0], slices[1], sum);
            __syncthreads();
        }
        FV_UNROLL
        for (int i = 0; i < 4; ++i)
            *reinterpret_cast<float4 *>(&dz[(first + product_row<TILE>() + i) * TILE + product_column<TILE>()]) =
                make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
}

struct separable_data_plan {
    fv_separable d;
    int64_t p, q, middle; /* channels of z */
    tile_axis vertical, horizontal;
    int tile_h, tile_w; /* of dx */
    int64_t tiles_h, tiles_w;
    int channels; /* of dx that a block has */
    int64_t channel_tiles;
    int pixels; /* room for dz, a multiple of 64 */
    int64_t blocks, shared_bytes;
};

/* Output rows (or columns) that a tile of input rows meets, at most. */
inline int64_t met_by(const tile_axis &axis, int64_t tile) {
    const int64_t span = static_cast<int64_t>(axis.filter - 1) * axis.dilation;
    const int64_t met = (tile - 1 + span) / axis.stride + 1;
    return met < axis.source ? met : axis.source;
}

/* What the tile costs in shared memory. */
inline int64_t separable_data_bytes(const separable_data_plan &plan) {
    const int64_t slices = 2 * SEPARABLE_SLICE_FLOATS, slab = plan.d.r * plan.d.s * SEPARABLE_TILE;
    return (plan.tile_h + plan.tile_w) * 4 * static_cast<int64_t>(sizeof(int)) +
           (plan.pixels * SEPARABLE_TILE + (slices > slab ? slices : slab)) * static_cast<int64_t>(sizeof(float));
}

/* Chooses the tile with the fewest products; false if none fits. An empty batch has no blocks. */
inline bool separable_data_plan_of(const fv_separable &d, separable_data_plan &best) {
    constexpr int LONGEST = 64, MOST_PIXELS = 128;
    constexpr int64_t BLOCK_COST = 64; /* what a block costs beside its products, in those of a pixel of 1 output */
    fv_conv2d stages[2];
    fv_separable_stages(&d, stages);
    if (d.multiplier > SEPARABLE_TILE || d.r * d.s > MAX_SHARED_BYTES)
        return false;
    separable_data_plan plan = {};
    plan.d = d;
    plan.p = stages[1].h;
    plan.q = stages[1].w;
    plan.middle = stages[1].c;
    plan.vertical = tile_axis_of(d.h, plan.p, d.r, d.stride_h, d.pad_top, d.dilation_h, true);
    plan.horizontal = tile_axis_of(d.w, plan.q, d.s, d.stride_w, d.pad_left, d.dilation_w, true);
    plan.channels = static_cast<int>(SEPARABLE_TILE / d.multiplier);
    plan.channel_tiles = ceil_div(d.c, plan.channels);
    double least = INFINITY;
    for (plan.tile_h = 1; plan.tile_h <= LONGEST && plan.tile_h <= d.h; ++plan.tile_h)
        for (plan.tile_w = 1; plan.tile_w <= LONGEST && plan.tile_w <= d.w; ++plan.tile_w) {
            const int64_t rows = met_by(plan.vertical, plan.tile_h), cols = met_by(plan.horizontal, plan.tile_w);
            if (rows > MOST_PIXELS || cols > MOST_PIXELS || rows * cols > MOST_PIXELS)
                break;
            plan.pixels = static_cast<int>(ceil_div(rows * cols, SEPARABLE_TILE) * SEPARABLE_TILE);
            plan.shared_bytes = separable_data_bytes(plan);
            plan.tiles_h = ceil_div(d.h, plan.tile_h);
            plan.tiles_w = ceil_div(d.w, plan.tile_w);
            const double tiles = static_cast<double>(plan.tiles_h) * static_cast<double>(plan.tiles_w);
            const double cost = tiles * static_cast<double>(plan.pixels * d.k / SEPARABLE_TILE + BLOCK_COST);
            const double blocks = tiles * static_cast<double>(plan.channel_tiles) * static_cast<double>(d.n);
            if (plan.shared_bytes > MAX_SHARED_BYTES || blocks > static_cast<double>(MAX_BLOCKS) || cost >= least)
                continue;
            least = cost;
            plan.blocks = static_cast<int64_t>(blocks);
            best = plan;
        }
    return least < static_cast<double>(INFINITY);
}

/* How one row (or column) of dx is reached: from output rows source + t*spacing, counted within the tile of dz, through
 * taps tap + t*step, for t < taps. */
struct reach {
    int source, tap, step, taps;
};

/* The output rows that a tile of `tile` input rows from `first` meets. */
struct met_range {
    int first, count;
};

__device__ inline met_range met_range_of(const tile_axis &axis, int64_t first, int tile) {
    const int64_t last = (first + tile < axis.result ? first + tile : axis.result) - 1;
    const int64_t span = static_cast<int64_t>(axis.filter - 1) * axis.dilation;
    const int64_t low = first + axis.pad - span;
    const int64_t begin = low > 0 ? ceil_div(low, axis.stride) : 0, end = (last + axis.pad) / axis.stride + 1;
    const int64_t bounded = end < axis.source ? end : axis.source;
    return {.first = static_cast<int>(begin), .count = static_cast<int>(bounded > begin ? bounded - begin : 0)};
}

__device__ inline reach reach_of(const tile_axis &axis, int64_t result, int first_source) {
    const int residue = static_cast<int>(result % axis.stride);
    const tile_class c = tile_class_of<true>(axis, residue);
    return {.source = c.start + static_cast<int>(result / axis.stride) - first_source,
            .tap = c.first_tap,
            .step = c.tap_step,
            .taps = c.taps};
}

/* dx of one pixel and channel. dz and slab: of the channel's first channel of z. */
__device__ inline float gather_dx(const separable_data_plan &plan, const reach &v, const reach &h, int rows, int cols,
                                  const float *dz, const float *slab) {
    const int columns = static_cast<int>(plan.d.s), multiplier = static_cast<int>(plan.d.multiplier);
    float sum = 0;
    for (int t = 0; t < v.taps; ++t) {
        const int row = v.source + t * plan.vertical.spacing;
        if (row < 0 || row >= rows)
            continue;
        for (int u = 0; u < h.taps; ++u) {
            const int col = h.source + u * plan.horizontal.spacing;
            if (col < 0 || col >= cols)
                continue;
            const float *const gradient = dz + (row * cols + col) * SEPARABLE_TILE;
            const float *const tap = slab + ((v.tap + t * v.step) * columns + h.tap + u * h.step) * SEPARABLE_TILE;
            for (int j = 0; j < multiplier; ++j)
                sum += gradient[j] * tap[j];
        }
    }
    return sum;
}

static __global__ void __launch_bounds__(SEPARABLE_THREADS, 2)
    separable_backward_data_kernel(separable_data_plan plan, const float *dy, const float *w, const float *w2,
                                   float *dx) {
    FV_DYNAMIC_SHARED(reach, reaches);
    float *const dz = reinterpret_cast<float *>(reaches + plan.tile_h + plan.tile_w);
    float *const slab = dz + plan.pixels * SEPARABLE_TILE; /* once the slices have done their work */
    auto *const slices = reinterpret_cast<product_slice<SEPARABLE_TILE> *>(slab);
    const fv_separable &d = plan.d;
    const int thread = static_cast<int>(threadIdx.x);
    int64_t block = blockIdx.x;
    const int64_t first_channel = block % plan.channel_tiles * plan.channels; /* neighbours share dy */
    block /= plan.channel_tiles;
    const int64_t first_col = block % plan.tiles_w * plan.tile_w;
    block /= plan.tiles_w;
    const int64_t first_row = block % plan.tiles_h * plan.tile_h, image = block / plan.tiles_h;
    const met_range rows = met_range_of(plan.vertical, first_row, plan.tile_h);
    const met_range cols = met_range_of(plan.horizontal, first_col, plan.tile_w);
    for (int i = thread; i < plan.tile_h + plan.tile_w; i += SEPARABLE_THREADS)
        reaches[i] = i < plan.tile_h ? reach_of(plan.vertical, first_row + i, rows.first)
                                     : reach_of(plan.horizontal, first_col + i - plan.tile_h, cols.first);

    const int64_t channels = d.c - first_channel < plan.channels ? d.c - first_channel : plan.channels;
    const int64_t first = first_channel * d.multiplier;
    const int count = static_cast<int>(channels * d.multiplier);
    compute_dz(
        {dy, w2, d.k, plan.middle, first, count}, rows.count * cols.count,
        [&](int pixel) {
            return (image * plan.p + rows.first + pixel / cols.count) * plan.q + cols.first + pixel % cols.count;
        },
        slices, dz);
    const int taps = static_cast<int>(d.r * d.s);
    for (int e = thread; e < taps * count; e += SEPARABLE_THREADS)
        slab[e % taps * SEPARABLE_TILE + e / taps] = w[first * taps + e];
    __syncthreads();

    for (int e = thread; e < plan.tile_h * plan.tile_w * plan.channels; e += SEPARABLE_THREADS) {
        const int c = e % plan.channels, row = e / plan.channels / plan.tile_w, col = e / plan.channels % plan.tile_w;
        if (c >= channels || first_row + row >= d.h || first_col + col >= d.w)
            continue;
        const int64_t at = c * d.multiplier;
        dx[((image * d.h + first_row + row) * d.w + first_col + col) * d.c + first_channel + c] =
            gather_dx(plan, reaches[row], reaches[plan.tile_h + col], rows.count, cols.count, dz + at, slab + at);
    }
}

} // namespace FV_NAMESPACE

#endif
