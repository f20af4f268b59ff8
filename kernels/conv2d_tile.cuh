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
 * Three methods share this text; what a method does without is compiled away.
 *     TILE_PLAIN     neighbouring results share a window as it lies in the image.
 *     TILE_SPREAD    (conv2d_dilated.cu) results i, i + lanes, i + 2*lanes, ... of an axis make a lane: with
 *                    lanes = spacing / gcd(advance, spacing) they read source pixels `spacing` apart from each other,
 *                    and no other lane reads those. So in a lane the convolution is dense. A tile is some lanes by some
 *                    results of each, and its window holds the pixels under a tap and no others: as small as that of a
 *                    dense filter at any dilation. An axis may also do without lanes where its tiles are so long that
 *                    every pixel between is touched. Taps that miss the image for the whole tile are left out.
 *     TILE_GROUPED   (conv2d_grouped.cu) a block computes several groups, each thread for one of them, so that narrow
 *                    groups still make long accesses and full warps.
 *
 * Shared memory, in floats:
 *     window[staged][plane]     source pixels of one channel after another; an odd plane spreads channels over banks
 *     slab[taps*chunk][pitch]   filters, result channels contiguous; a row for each tap and source channel of a group
 *     offsets[taps*chunk]       (ints) where a row's tap and channel lie in the window */
#ifndef FOVEA_CONV2D_TILE_CUH
#define FOVEA_CONV2D_TILE_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

enum tile_method { TILE_PLAIN, TILE_SPREAD, TILE_GROUPED };

/* One axis of the correlation as the descriptor gives it, and how it is cut into tiles. */
struct tile_axis {
    int source, result; /* extents of the tensors read and written */
    int filter, stride, pad, dilation;
    int classes; /* residues of the result modulo the stride, that have any: 1 forward, up to stride backward */
    int period;  /* every how many taps belong to a class: 1 forward, stride / gcd(stride, dilation) backward */
    int taps;    /* of the class with the most */
    int advance, spacing;      /* staged pixels from result to result of a lane and from tap to tap within a class */
    int tile, tiles;           /* results of a lane per tile, and tiles per lane */
    int lanes;                 /* of the class with the most results; 1 unless TILE_SPREAD, as are these: */
    int lane_tile, lane_tiles; /* lanes per tile, and tiles to cover them */
    int lane_step;             /* source pixels from lane to lane */
    int grid;                  /* source pixels from staged pixel to staged pixel of a lane */
};

/* One class of results along an axis. A block keeps its two in shared memory and copies them where it needs them. */
struct tile_class {
    int first, step, count;        /* result i of the class is at first + i*step */
    int start;                     /* tap t of result i reads source start + i*advance + t*spacing */
    int first_tap, tap_step, taps; /* tap t is the filter's first_tap + t*tap_step */
};

struct tile_plan {
    tile_axis vertical, horizontal;
    int64_t images;
    int groups, source_channels, result_channels; /* channels of a group */
    int group_tile, group_tiles;                  /* groups per block, 1 unless TILE_GROUPED, and tiles of groups */
    int channel_tile, channel_tiles;              /* result channels per block, blocks per group */
    int part;                                     /* TILE_GROUPED: channels of a group in a run of slab columns */
    int chunk, staged;                            /* source channels staged at once, of a group and of the block */
    int plane, pitch, slab, offsets;              /* of the shared memory, in floats; offsets: behind two classes */
    int channel_threads, pixel_threads, threads;
    int option; /* index into TILE_OPTIONS */
    bool relu;
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
    const int count = (axis.result - residue - 1) / axis.stride + 1;
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
    int row, col;           /* first result, counted within the class or, if TILE_SPREAD, within its lane */
    int lane_row, lane_col; /* first lane */
};

__device__ inline tile_place tile_place_of(const tile_plan &plan, unsigned block) {
    const auto digit = [&block](int base) {
        const unsigned value = block % static_cast<unsigned>(base);
        block /= static_cast<unsigned>(base);
        return static_cast<int>(value);
    };
    tile_place place;
    place.first_channel = digit(plan.channel_tiles) * plan.channel_tile; /* neighbours share the source window */
    place.group = digit(plan.group_tiles) * plan.group_tile;
    place.col = digit(plan.horizontal.tiles) * plan.horizontal.tile;
    place.row = digit(plan.vertical.tiles) * plan.vertical.tile;
    place.lane_col = digit(plan.horizontal.lane_tiles) * plan.horizontal.lane_tile;
    place.lane_row = digit(plan.vertical.lane_tiles) * plan.vertical.lane_tile;
    place.class_w = digit(plan.horizontal.classes);
    place.class_h = digit(plan.vertical.classes);
    place.image = block;
    return place;
}

/* ---- the window: where results, staged pixels and source pixels lie along an axis ----
 *
 * Result `at` of a spread tile is number at / lane_tile of lane at % lane_tile, and so for staged pixels. */

template <tile_method METHOD>
__device__ int lane_tile_of(const tile_axis &axis) {
    return METHOD == TILE_SPREAD ? axis.lane_tile : 1;
}

/* The class's number of result `at` of a tile; beyond all results if its lane is. */
template <tile_method METHOD>
__device__ int tile_result(const tile_axis &axis, int first, int first_lane, int at) {
    if (METHOD != TILE_SPREAD)
        return first + at;
    const int along = at / axis.lane_tile, lane = first_lane + at - along * axis.lane_tile;
    return lane < axis.lanes ? (first + along) * axis.lanes + lane : axis.result;
}

/* Staged pixels of a tile for a class with so many taps. */
template <tile_method METHOD>
__device__ int tile_extent(const tile_axis &axis, int taps) {
    return ((axis.tile - 1) * axis.advance + (taps - 1) * axis.spacing + 1) * lane_tile_of<METHOD>(axis);
}

/* The staged pixel under tap 0 of result `at` of a tile. */
template <tile_method METHOD>
__device__ int tile_base(const tile_axis &axis, int at) {
    if (METHOD != TILE_SPREAD)
        return at * axis.advance;
    const int along = at / axis.lane_tile;
    return along * axis.advance * axis.lane_tile + at - along * axis.lane_tile;
}

/* How far the source pixel of staged pixel `at` is from the class's start; first: of the tile, as in a tile_place. */
template <tile_method METHOD>
__device__ int tile_source(const tile_axis &axis, int first, int first_lane, int at) {
    if (METHOD != TILE_SPREAD)
        return first * axis.advance + at;
    const int along = at / axis.lane_tile, lane = first_lane + at - along * axis.lane_tile;
    return lane * axis.lane_step + (first * axis.advance + along) * axis.grid;
}

/* The class without the taps at either end that lie outside the image for every result of the tile. */
__device__ inline tile_class tile_trimmed(const tile_axis &axis, tile_class c, int first, int first_lane) {
    int last = tile_source<TILE_SPREAD>(axis, first, first_lane, tile_extent<TILE_SPREAD>(axis, 1) - 1);
    while (c.taps > 0 && c.start + last < 0) {
        c.start += axis.spacing * axis.grid;
        c.first_tap += c.tap_step;
        --c.taps;
    }
    const int least = tile_source<TILE_SPREAD>(axis, first, first_lane, 0);
    while (c.taps > 0 && c.start + least + (c.taps - 1) * axis.spacing * axis.grid >= axis.source)
        --c.taps;
    return c;
}

/* ---- staging ---- */

/* The last tile of groups may have fewer than the others. */
template <tile_method METHOD>
__device__ bool tile_has_group(const tile_plan &plan, int group) {
    return METHOD != TILE_GROUPED || group < plan.groups;
}

/* window[c][row][col] of source channels first .. first + chunk - 1; zeros beyond the image and the group. A warp
 * takes a row. */
template <tile_method METHOD>
__device__ void stage_window(const tile_plan &plan, const tile_place &place, tile_class v, tile_class h, int rows,
                             int cols, int first, const float *source, float *window) {
    const int warps = plan.threads / WARP;
    const int64_t channels = static_cast<int64_t>(plan.groups) * plan.source_channels;
    for (int row = static_cast<int>(threadIdx.x) / WARP; row < rows; row += warps) {
        const int source_row = v.start + tile_source<METHOD>(plan.vertical, place.row, place.lane_row, row);
        const bool row_inside = source_row >= 0 && source_row < plan.vertical.source;
        const int64_t line = (place.image * plan.vertical.source + source_row) * plan.horizontal.source;
        for (int e = static_cast<int>(threadIdx.x) % WARP; e < cols * plan.staged; e += WARP) {
            const int col = e / plan.staged, channel = e - col * plan.staged;
            const int group = METHOD == TILE_GROUPED ? channel / plan.chunk : 0, c = channel - group * plan.chunk;
            const int source_col = h.start + tile_source<METHOD>(plan.horizontal, place.col, place.lane_col, col);
            const bool inside = row_inside && source_col >= 0 && source_col < plan.horizontal.source &&
                                first + c < plan.source_channels && tile_has_group<METHOD>(plan, place.group + group);
            const int64_t at =
                (line + source_col) * channels + (place.group + group) * plan.source_channels + first + c;
            window[channel * plan.plane + row * cols + col] = inside ? source[at] : 0.0f;
        }
    }
}

/* The group, counted within the block, and the group's result channel behind a column of the slab. With `part` channels
 * of each group in a run, a thread's quads, which are quad_step columns apart, belong to one group. */
struct tile_column {
    int group, channel;
};

template <tile_method METHOD>
__device__ tile_column tile_column_of(const tile_plan &plan, int column) {
    if (METHOD != TILE_GROUPED)
        return {0, column};
    const int quad_step = plan.group_tile * plan.part;
    const int half = column / quad_step, rest = column - half * quad_step, group = rest / plan.part;
    return {group, half * plan.part + rest - group * plan.part};
}

/* slab[tap*chunk + c][o] = w[k = o][tap][c]. c lies contiguous in memory, o in the slab, so a thread collects four o
 * and stores them together: reads stay coalesced and writes fall on different banks. */
template <tile_method METHOD>
__device__ void stage_filters_forward(const tile_plan &plan, const tile_place &place, tile_class v, tile_class h,
                                      int first, const float *filters, float *slab) {
    const int warps = plan.threads / WARP;
    const int taps = plan.vertical.filter * plan.horizontal.filter;
    for (int o = static_cast<int>(threadIdx.x) / WARP * 4; o < plan.channel_tile; o += 4 * warps) {
        const tile_column column = tile_column_of<METHOD>(plan, o);
        for (int e = static_cast<int>(threadIdx.x) % WARP; e < v.taps * h.taps * plan.chunk; e += WARP) {
            int tap = e / plan.chunk;
            const int c = e - tap * plan.chunk;
            if (METHOD == TILE_SPREAD) /* some may be trimmed; otherwise all are there, in order */
                tap = (v.first_tap + tap / h.taps) * plan.horizontal.filter + h.first_tap + tap % h.taps;
            float four[4];
            FV_UNROLL
            for (int i = 0; i < 4; ++i) {
                const int64_t k = place.first_channel + column.channel + i;
                const bool inside = k < plan.result_channels && first + c < plan.source_channels &&
                                    tile_has_group<METHOD>(plan, place.group + column.group);
                const int64_t filter = (place.group + column.group) * plan.result_channels + k;
                four[i] = inside ? filters[(filter * taps + tap) * plan.source_channels + first + c] : 0.0f;
            }
            *reinterpret_cast<float4 *>(&slab[e * plan.pitch + o]) = make_float4(four[0], four[1], four[2], four[3]);
        }
    }
}

/* slab[tap*chunk + k][o] = w[k][the class's tap][c = o]; here o is contiguous in memory too. */
template <tile_method METHOD>
__device__ void stage_filters_backward(const tile_plan &plan, const tile_place &place, tile_class v, tile_class h,
                                       int first, const float *filters, float *slab) {
    const int warps = plan.threads / WARP;
    for (int e = static_cast<int>(threadIdx.x) / WARP; e < v.taps * h.taps * plan.chunk; e += warps) {
        const int tap = e / plan.chunk;
        const int64_t k = first + e - tap * plan.chunk;
        const int r = v.first_tap + tap / h.taps * v.tap_step, s = h.first_tap + tap % h.taps * h.tap_step;
        for (int o = static_cast<int>(threadIdx.x) % WARP; o < plan.channel_tile; o += WARP) {
            const tile_column column = tile_column_of<METHOD>(plan, o);
            const int64_t c = place.first_channel + column.channel;
            const int64_t filter = (place.group + column.group) * plan.source_channels + k;
            const int64_t row = (filter * plan.vertical.filter + r) * plan.horizontal.filter + s;
            const bool inside = k < plan.source_channels && c < plan.result_channels &&
                                tile_has_group<METHOD>(plan, place.group + column.group);
            slab[e * plan.pitch + o] = inside ? filters[row * plan.result_channels + c] : 0.0f;
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
template <bool BACKWARD, tile_method METHOD, int PIXELS, int CHANNELS>
__global__ void __launch_bounds__(256, 2)
    conv2d_tile_kernel(tile_plan plan, const float *source, const float *filters, const float *bias, float *result) {
    FV_DYNAMIC_SHARED(float, window);
    float *const slab = window + plan.slab;
    tile_class *const classes = reinterpret_cast<tile_class *>(window + plan.offsets);
    int *const offsets = reinterpret_cast<int *>(classes + 2);
    const tile_place place = tile_place_of(plan, blockIdx.x);
    {
        tile_class v = tile_class_of<BACKWARD>(plan.vertical, place.class_h);
        tile_class h = tile_class_of<BACKWARD>(plan.horizontal, place.class_w);
        if (tile_result<METHOD>(plan.vertical, place.row, place.lane_row, 0) >= v.count ||
            tile_result<METHOD>(plan.horizontal, place.col, place.lane_col, 0) >= h.count)
            return; /* a class with fewer tiles than the largest; the whole block leaves */
        if (METHOD == TILE_SPREAD) {
            v = tile_trimmed(plan.vertical, v, place.row, place.lane_row);
            h = tile_trimmed(plan.horizontal, h, place.col, place.lane_col);
        }
        if (threadIdx.x == 0) {
            classes[0] = v;
            classes[1] = h;
        }
    }
    __syncthreads();
    const tile_class &v = classes[0], &h = classes[1]; /* in registers they would be a few too many */

    const int thread = static_cast<int>(threadIdx.x);
    const int taps = v.taps * h.taps;
    const int window_rows = taps ? tile_extent<METHOD>(plan.vertical, v.taps) : 0;
    const int window_cols = taps ? tile_extent<METHOD>(plan.horizontal, h.taps) : 0;
    const int tap_down = plan.vertical.spacing * lane_tile_of<METHOD>(plan.vertical) * window_cols;
    const int tap_across = plan.horizontal.spacing * lane_tile_of<METHOD>(plan.horizontal);
    for (int e = thread; e < taps * plan.chunk; e += plan.threads) {
        const int tap = e / plan.chunk, c = e - tap * plan.chunk;
        offsets[e] = c * plan.plane + tap / h.taps * tap_down + tap % h.taps * tap_across;
    }

    const int quad_step = 4 * plan.channel_threads;
    const int first_quad = 4 * (thread % plan.channel_threads);
    const int first_pixel = thread / plan.channel_threads;
    const int tile_cols = plan.horizontal.tile * lane_tile_of<METHOD>(plan.horizontal);
    const int pixels = plan.vertical.tile * lane_tile_of<METHOD>(plan.vertical) * tile_cols;
    const int group = tile_column_of<METHOD>(plan, first_quad).group;
    int base[PIXELS];
    FV_UNROLL
    for (int i = 0; i < PIXELS; ++i) {
        const int pixel = first_pixel + i * plan.pixel_threads;
        const int row = tile_base<METHOD>(plan.vertical, pixel / tile_cols);
        const int col = tile_base<METHOD>(plan.horizontal, pixel % tile_cols);
        base[i] = pixel < pixels ? row * window_cols + col : 0;
    }

    float sum[PIXELS][CHANNELS] = {};
    for (int first = 0; taps > 0 && first < plan.source_channels; first += plan.chunk) {
        stage_window<METHOD>(plan, place, v, h, window_rows, window_cols, first, source, window);
        if (BACKWARD)
            stage_filters_backward<METHOD>(plan, place, v, h, first, filters, slab);
        else
            stage_filters_forward<METHOD>(plan, place, v, h, first, filters, slab);
        __syncthreads();
        multiply_chunk<PIXELS, CHANNELS>(window + group * plan.chunk * plan.plane, slab + first_quad, offsets,
                                         taps * plan.chunk, plan.pitch, quad_step, base, sum);
        __syncthreads();
    }

    const int64_t channels = static_cast<int64_t>(plan.groups) * plan.result_channels;
    FV_UNROLL
    for (int i = 0; i < PIXELS; ++i) {
        const int pixel = first_pixel + i * plan.pixel_threads;
        const int row = tile_result<METHOD>(plan.vertical, place.row, place.lane_row, pixel / tile_cols);
        const int col = tile_result<METHOD>(plan.horizontal, place.col, place.lane_col, pixel % tile_cols);
        if (first_pixel >= plan.pixel_threads || pixel >= pixels || row >= v.count || col >= h.count ||
            !tile_has_group<METHOD>(plan, place.group + group))
            continue;
        const int64_t line = place.image * plan.vertical.result + v.first + static_cast<int64_t>(row) * v.step;
        const int64_t at = (line * plan.horizontal.result + h.first + static_cast<int64_t>(col) * h.step) * channels;
        const int64_t first_of_group = static_cast<int64_t>(place.group + group) * plan.result_channels;
        FV_UNROLL
        for (int j = 0; j < CHANNELS; ++j) {
            const int column = first_quad + j / 4 * quad_step + j % 4;
            const int64_t channel = place.first_channel + tile_column_of<METHOD>(plan, column).channel;
            if (channel < plan.result_channels)
                result[at + first_of_group + channel] =
                    rectified(sum[i][j] + (bias ? bias[first_of_group + channel] : 0.0f), plan.relu);
        }
    }
}

} // namespace FV_NAMESPACE

#endif
