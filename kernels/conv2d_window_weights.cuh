/* The filter gradient from windows in shared memory:
 *
 *     dw[k][r][s][c] = sum over n,p,q of dy[n,p,q,k] * x[n, p*stride_h + r*dilation_h - pad_top, ..., c]
 *
 * split_reduce (conv2d_weights.cuh) reads an input pixel once for each tap that it lies under, and multiplies in tiles
 * of 32 x 32 or more that belong to one group. Here a block stages a tile of output gradients and the window of inputs
 * under it, once for all taps; each thread owns one tap, four output and four input channels of a group, and adds up
 * its 16 products over the tile's pixels: two reads of 16 bytes from shared memory serve 16 products. A block covers
 * several narrow groups, or a part of the channels of a wide one, and neighbouring threads have neighbouring channels.
 *
 * With TILE_SPREAD, tile and window are made of lanes (conv2d_tile.cuh), so that dilation makes neither larger.
 *
 * The sum is split over blocks by tiles: splits.cuh.
 *
 * Shared memory, in floats:
 *     window[positions][input_pitch]    input_pitch = group_tile * c_tile channels of a source pixel
 *     gradients[pixels][output_pitch]   output_pitch = group_tile * k_tile channels of an output pixel
 *     bases[pixels]                     (ints) where in the window the pixel's tap 0,0 lies */
#ifndef FOVEA_CONV2D_WINDOW_WEIGHTS_CUH
#define FOVEA_CONV2D_WINDOW_WEIGHTS_CUH

#include "conv2d_tile.cuh"

namespace FV_NAMESPACE {

struct window_weights_plan {
    tile_axis vertical, horizontal;       /* as forward has them */
    int groups, kg, cg;                   /* output and input channels of a group */
    int group_tile, group_tiles;          /* groups per block; 1 unless a block has all channels of a group */
    int k_tile, k_tiles, c_tile, c_tiles; /* channels of a group per block, multiples of 4 */
    int input_pitch, output_pitch;
    int items, item_tiles; /* a thread's work each: of a block's channels and all taps, and blocks that share them */
    int threads;
    int rows, cols; /* of the window */
    int gradients, bases;
    int64_t shared_bytes;
    int64_t tiles, per_split, splits;
    int64_t partial; /* floats of one partial gradient, dw and then db */
};

/* What a thread computes: a tap, and the first of its channels within the block's. */
struct window_item {
    bool any;
    int tap, group, k, c;
};

/* Neighbours have the next input channels, then the next group: their reads of the window are contiguous. */
__device__ inline window_item window_item_of(const window_weights_plan &plan, int index) {
    const bool any = index < plan.items;
    const auto digit = [&index](int base) {
        const int value = index % base;
        index /= base;
        return value;
    };
    window_item item;
    item.any = any;
    item.c = 4 * digit(plan.c_tile / 4);
    item.group = digit(plan.group_tile);
    item.k = 4 * digit(plan.k_tile / 4);
    item.tap = index;
    return item;
}

/* The tile of pixels with a number, and the first group; the channels are the caller's. */
__device__ inline tile_place window_tile_of(const window_weights_plan &plan, int64_t number) {
    const auto digit = [&number](int base) {
        const int64_t value = number % base;
        number /= base;
        return static_cast<int>(value);
    };
    tile_place place = {};
    place.col = digit(plan.horizontal.tiles) * plan.horizontal.tile;
    place.row = digit(plan.vertical.tiles) * plan.vertical.tile;
    place.lane_col = digit(plan.horizontal.lane_tiles) * plan.horizontal.lane_tile;
    place.lane_row = digit(plan.vertical.lane_tiles) * plan.vertical.lane_tile;
    place.image = number;
    return place;
}

/* Some channels of a tensor [n, height, width, groups*channels]: of `group_tile` groups from `group` on, those from
 * `first` on, `tile` to a group. */
struct window_channels {
    int groups, channels, group, first, tile;
};

/* to[i][channel] of one line of pixels, a warp's work. column_of(i): where in the tensor's line of `width` pixels
 * column i is; zeros beyond that and where the line is not `inside`. */
template <typename F>
__device__ void stage_line(const window_channels &of, int pitch, int cols, bool inside, int64_t line, int width,
                           const F &column_of, const float *from, float *to) {
    const int64_t channels = static_cast<int64_t>(of.groups) * of.channels;
    for (int e = static_cast<int>(threadIdx.x) % WARP; e < cols * pitch; e += WARP) {
        const int i = e / pitch, column = column_of(i);
        const int group = (e - i * pitch) / of.tile, channel = of.first + e - i * pitch - group * of.tile;
        const bool there =
            inside && column >= 0 && column < width && channel < of.channels && of.group + group < of.groups;
        const int64_t at = (line * width + column) * channels + (of.group + group) * of.channels + channel;
        to[e] = there ? from[at] : 0.0f;
    }
}

/* The window of inputs under a tile and the tile of output gradients; zeros beyond the images, lanes and channels. */
template <tile_method METHOD>
__device__ void stage_window_and_gradients(const window_weights_plan &plan, const tile_place &place,
                                           const window_channels &inputs, const window_channels &outputs,
                                           const float *x, const float *dy, float *window, float *gradients) {
    const tile_axis &v = plan.vertical, &h = plan.horizontal;
    const int warps = plan.threads / WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    for (int i = warp; i < plan.rows; i += warps) {
        const int row = tile_source<METHOD>(v, place.row, place.lane_row, i) - v.pad;
        stage_line(
            inputs, plan.input_pitch, plan.cols, row >= 0 && row < v.source, place.image * v.source + row, h.source,
            [&](int j) { return tile_source<METHOD>(h, place.col, place.lane_col, j) - h.pad; }, x,
            window + i * plan.cols * plan.input_pitch);
    }
    const int tile_cols = h.tile * lane_tile_of<METHOD>(h);
    for (int i = warp; i < v.tile * lane_tile_of<METHOD>(v); i += warps) {
        const int row = tile_result<METHOD>(v, place.row, place.lane_row, i);
        stage_line(
            outputs, plan.output_pitch, tile_cols, row < v.result, place.image * v.result + row, h.result,
            [&](int j) { return tile_result<METHOD>(h, place.col, place.lane_col, j); }, dy,
            gradients + i * tile_cols * plan.output_pitch);
    }
}

/* sum[i][j] += gradient i times input j, over the tile's pixels. */
__device__ inline void multiply_window(const float *inputs, const float *gradients, const int *bases, int pixels,
                                       int pitch, float (&sum)[4][4]) {
    for (int pixel = 0; pixel < pixels; ++pixel) {
        const float4 x = *reinterpret_cast<const float4 *>(&inputs[bases[pixel]]);
        const float4 dy = *reinterpret_cast<const float4 *>(&gradients[pixel * pitch]);
        const float from[4] = {x.x, x.y, x.z, x.w}, by[4] = {dy.x, dy.y, dy.z, dy.w};
        FV_UNROLL
        for (int i = 0; i < 4; ++i) {
            FV_UNROLL
            for (int j = 0; j < 4; ++j)
                sum[i][j] += by[i] * from[j];
        }
    }
}

__device__ inline void add_gradients(const float *gradients, int pixels, int pitch, float (&sum)[4]) {
    for (int pixel = 0; pixel < pixels; ++pixel) {
        FV_UNROLL
        for (int i = 0; i < 4; ++i)
            sum[i] += gradients[pixel * pitch + i];
    }
}

/* Partial gradient number blockIdx.y goes to dw + blockIdx.y * stride, its bias part to db + blockIdx.y * stride. */
template <tile_method METHOD>
__global__ void __launch_bounds__(256, 2)
    conv2d_window_weights_kernel(window_weights_plan plan, const float *x, const float *dy, float *dw, float *db,
                                 int64_t stride) {
    FV_DYNAMIC_SHARED(float, window);
    float *const gradients = window + plan.gradients;
    int *const bases = reinterpret_cast<int *>(window + plan.bases);
    const tile_axis &v = plan.vertical, &h = plan.horizontal;
    const int thread = static_cast<int>(threadIdx.x);
    int block = static_cast<int>(blockIdx.x);
    const auto digit = [&block](int base) {
        const int value = block % base;
        block /= base;
        return value;
    };
    const int first_item = digit(plan.item_tiles) * plan.threads;
    const int first_c = digit(plan.c_tiles) * plan.c_tile, first_k = digit(plan.k_tiles) * plan.k_tile;
    const int first_group = block * plan.group_tile;
    const window_channels inputs = {plan.groups, plan.cg, first_group, first_c, plan.c_tile};
    const window_channels outputs = {plan.groups, plan.kg, first_group, first_k, plan.k_tile};

    const window_item item = window_item_of(plan, first_item + thread);
    const int tap_row = item.tap / h.filter, tap_col = item.tap % h.filter;
    const int tap_at =
        tap_row * v.spacing * lane_tile_of<METHOD>(v) * plan.cols + tap_col * h.spacing * lane_tile_of<METHOD>(h);
    const float *const from = window + tap_at * plan.input_pitch + item.group * plan.c_tile + item.c;
    const float *const by = gradients + item.group * plan.k_tile + item.k;
    const int tile_cols = h.tile * lane_tile_of<METHOD>(h);
    const int pixels = v.tile * lane_tile_of<METHOD>(v) * tile_cols;
    for (int pixel = thread; pixel < pixels; pixel += plan.threads)
        bases[pixel] = (tile_base<METHOD>(v, pixel / tile_cols) * plan.cols + tile_base<METHOD>(h, pixel % tile_cols)) *
                       plan.input_pitch;

    const bool sums_bias = db && item.any && item.tap == 0 && first_c + item.c == 0; /* one thread for four channels */
    float sum[4][4] = {};
    float bias_sum[4] = {};
    const int64_t first_tile = blockIdx.y * plan.per_split;
    const int64_t end_tile = first_tile + plan.per_split < plan.tiles ? first_tile + plan.per_split : plan.tiles;
    for (int64_t tile = first_tile; tile < end_tile; ++tile) {
        stage_window_and_gradients<METHOD>(plan, window_tile_of(plan, tile), inputs, outputs, x, dy, window, gradients);
        __syncthreads();
        if (item.any)
            multiply_window(from, by, bases, pixels, plan.output_pitch, sum);
        if (sums_bias)
            add_gradients(by, pixels, plan.output_pitch, bias_sum);
        __syncthreads();
    }

    const int64_t group = first_group + item.group;
    if (!item.any || group >= plan.groups)
        return;
    FV_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int k = first_k + item.k + i;
        if (k >= plan.kg)
            continue;
        const int64_t filter = group * plan.kg + k;
        if (sums_bias)
            db[blockIdx.y * stride + filter] = bias_sum[i];
        FV_UNROLL
        for (int j = 0; j < 4; ++j) {
            const int c = first_c + item.c + j;
            if (c < plan.cg)
                dw[blockIdx.y * stride + (filter * v.filter * h.filter + item.tap) * plan.cg + c] = sum[i][j];
        }
    }
}

} // namespace FV_NAMESPACE

#endif
