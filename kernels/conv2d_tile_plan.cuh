/* Chooses the tile of conv2d_tile.cuh for a descriptor: on the host, by a function of the descriptor alone, so that
 * results are the same bits on every device.
 *
 * All sizes that fit the shared memory are compared by a count of instructions: what a block's warps issue for
 * staging and for multiplying, times the blocks, times a penalty where too few threads share a multiprocessor to
 * hide its latencies. */
#ifndef FOVEA_CONV2D_TILE_PLAN_CUH
#define FOVEA_CONV2D_TILE_PLAN_CUH

#include "conv2d_tile.cuh"

namespace FV_NAMESPACE {

/* The register tiles that are compiled. */
struct tile_option {
    int pixels, channels;
};

constexpr tile_option TILE_OPTIONS[] = {{4, 4}, {8, 4}, {8, 8}};
constexpr int TILE_OPTION_COUNT = sizeof TILE_OPTIONS / sizeof TILE_OPTIONS[0];
constexpr int TILE_MAX_THREADS = 256;

/* The greatest common divisor of two numbers above 0. */
inline int64_t common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Results along an axis, of the largest class. */
inline int64_t results_of(const tile_axis &axis) {
    return ceil_div(axis.result, axis.classes);
}

/* How far apart the pixels are that a lane reads. Where no class has a second tap, one lane has all results. */
inline int lane_spacing(const tile_axis &axis) {
    return axis.taps == 1 ? axis.advance : axis.spacing;
}

/* Makes lanes of an axis (conv2d_tile.cuh). */
inline void tile_spread(tile_axis &axis) {
    const int spacing = lane_spacing(axis);
    const int divisor = static_cast<int>(common_divisor(axis.advance, spacing));
    const int64_t lanes = spacing / divisor, results = results_of(axis);
    axis.lanes = static_cast<int>(lanes < results ? lanes : results);
    axis.lane_step = axis.advance;
    axis.grid = spacing;
    axis.advance /= divisor;
    axis.spacing = 1;
}

/* One axis, yet uncut. Where the stride exceeds the image, most residues have no results and make no class. A single tap
 * has no dilation. */
inline tile_axis tile_axis_of(int64_t input, int64_t output, int64_t filter, int64_t stride, int64_t pad,
                              int64_t dilation, bool backward) {
    if (filter == 1)
        dilation = 1;
    const int64_t divisor = common_divisor(stride, dilation);
    const int64_t period = backward ? stride / divisor : 1;
    return {.source = static_cast<int>(backward ? output : input),
            .result = static_cast<int>(backward ? input : output),
            .filter = static_cast<int>(filter),
            .stride = static_cast<int>(stride),
            .pad = static_cast<int>(pad),
            .dilation = static_cast<int>(dilation),
            .classes = static_cast<int>(!backward        ? 1
                                        : stride < input ? stride
                                                         : input),
            .period = static_cast<int>(period),
            .taps = static_cast<int>(ceil_div(filter, period)),
            .advance = static_cast<int>(backward ? 1 : stride),
            .spacing = static_cast<int>(backward ? dilation / divisor : dilation),
            .tile = 0,
            .tiles = 0,
            .lanes = 1,
            .lane_tile = 1,
            .lane_tiles = 1,
            .lane_step = 0,
            .grid = 1};
}

/* What is the same for every tile of a descriptor. */
inline tile_plan tile_problem(const fv_conv2d &d, bool backward) {
    tile_plan plan = {};
    plan.vertical = tile_axis_of(d.h, fv_conv2d_p(&d), d.r, d.stride_h, d.pad_top, d.dilation_h, backward);
    plan.horizontal = tile_axis_of(d.w, fv_conv2d_q(&d), d.s, d.stride_w, d.pad_left, d.dilation_w, backward);
    plan.images = d.n;
    plan.group_tile = 1;
    plan.group_tiles = plan.groups = static_cast<int>(d.groups);
    plan.source_channels = static_cast<int>((backward ? d.k : d.c) / d.groups);
    plan.result_channels = static_cast<int>((backward ? d.c : d.k) / d.groups);
    plan.relu = d.relu != 0;
    return plan;
}

/* Source pixels staged along an axis, for the class with the most taps. */
inline int64_t window_extent(const tile_axis &axis) {
    return (static_cast<int64_t>(axis.tile - 1) * axis.advance + static_cast<int64_t>(axis.taps - 1) * axis.spacing +
            1) *
           axis.lane_tile;
}

/* Derives threads, shared memory and blocks from the tile; false if it does not fit. */
inline bool tile_complete(tile_plan &plan) {
    const tile_option option = TILE_OPTIONS[plan.option];
    plan.channel_threads = plan.channel_tile / option.channels;
    const int rows_of_results = plan.vertical.tile * plan.vertical.lane_tile;
    const int cols_of_results = plan.horizontal.tile * plan.horizontal.lane_tile;
    plan.pixel_threads = static_cast<int>(ceil_div(rows_of_results * cols_of_results, option.pixels));
    plan.staged = plan.chunk * plan.group_tile;
    const int64_t threads = ceil_div(plan.channel_threads * plan.pixel_threads, WARP) * WARP;
    const int64_t plane = window_extent(plan.vertical) * window_extent(plan.horizontal) | 1;
    const int64_t taps = static_cast<int64_t>(plan.vertical.taps) * plan.horizontal.taps;
    if (threads > TILE_MAX_THREADS || plane > MAX_SHARED_BYTES || taps > MAX_SHARED_BYTES)
        return false;
    const int64_t rows = taps * plan.chunk;
    const int64_t pitch = plan.channel_tile + 4;
    const int64_t slab = ceil_div(plan.staged * plane, 4) * 4;
    const int64_t offsets = slab + rows * pitch;
    plan.shared_bytes = (offsets + rows) * static_cast<int64_t>(sizeof(float)) + 2 * sizeof(tile_class);
    if (plan.shared_bytes > MAX_SHARED_BYTES)
        return false;
    plan.threads = static_cast<int>(threads);
    plan.plane = static_cast<int>(plane);
    plan.pitch = static_cast<int>(pitch);
    plan.slab = static_cast<int>(slab);
    plan.offsets = static_cast<int>(offsets);
    const double blocks = static_cast<double>(plan.images) * static_cast<double>(plan.group_tiles) *
                          plan.channel_tiles * plan.vertical.classes * plan.horizontal.classes *
                          plan.vertical.lane_tiles * plan.horizontal.lane_tiles * plan.vertical.tiles *
                          plan.horizontal.tiles;
    if (blocks > static_cast<double>(MAX_BLOCKS))
        return false;
    plan.blocks = static_cast<int64_t>(blocks);
    return true;
}

/* Instructions that all warps issue, weighted by how well they hide latency. */
inline double tile_cost(const tile_plan &plan, bool backward, tile_method method) {
    constexpr double SHARED_PER_SM = 220 * 1024, REGISTERS_PER_SM = 65536, THREADS_PER_SM = 2048, SMS = 128;
    constexpr double BUSY_THREADS = 512; /* per multiprocessor: fewer leave it waiting */
    const tile_option option = TILE_OPTIONS[plan.option];
    const double warps = plan.threads / WARP;
    const double window_rows = static_cast<double>(window_extent(plan.vertical));
    const double window_cols = static_cast<double>(window_extent(plan.horizontal));
    const double slab_rows = static_cast<double>(plan.vertical.taps * plan.horizontal.taps * plan.chunk);
    const double multiply =
        slab_rows * (option.pixels * option.channels + 2 * option.pixels + option.channels / 4 + 3) * warps;
    /* Groups of few channels: a sector of 8 floats comes whole. Lanes and groups: finding a pixel takes more. */
    const double staged = method == TILE_GROUPED ? ceil(plan.staged / 8.0) * 8 : plan.staged;
    const double finding = method == TILE_SPREAD ? 25 : method == TILE_GROUPED ? 20 : 15;
    const double window = window_rows * (10 + finding * ceil(window_cols * staged / WARP));
    const double filters = backward ? slab_rows * (30 + 10 * ceil(plan.channel_tile / 32.0))
                                    : plan.channel_tile / 4.0 * ceil(slab_rows / WARP) * 40;
    const double barriers = 100 * warps;
    const double chunks = static_cast<double>(ceil_div(plan.source_channels, plan.chunk));
    const double blocks = static_cast<double>(plan.blocks);
    const double registers = 50 + option.pixels * option.channels;
    const double fits = fmin(SHARED_PER_SM / static_cast<double>(plan.shared_bytes) * plan.threads,
                             fmin(REGISTERS_PER_SM / registers, THREADS_PER_SM));
    const double threads = fmin(fits, ceil(blocks / SMS) * plan.threads);
    return blocks * chunks * (multiply + window + filters + barriers) * fmax(1, BUSY_THREADS / threads);
}

/* Extents worth trying: those for which no smaller tile needs as few tiles. */
inline bool tile_cut(tile_axis &axis, int tile) {
    const int64_t results = ceil_div(results_of(axis), axis.lanes);
    axis.tile = tile;
    axis.tiles = static_cast<int>(ceil_div(results, tile));
    return ceil_div(results, axis.tiles) == tile;
}

/* Calls try_cut() for every cut of an axis into tiles of at most `most` results, at least `least`, that is worth
 * trying. */
template <typename F>
void for_each_cut(tile_axis &axis, int least, int most, const F &try_cut) {
    const int64_t results = ceil_div(results_of(axis), axis.lanes);
    for (axis.lane_tile = 1; axis.lane_tile <= axis.lanes && axis.lane_tile <= most; ++axis.lane_tile) {
        axis.lane_tiles = static_cast<int>(ceil_div(axis.lanes, axis.lane_tile));
        if (ceil_div(axis.lanes, axis.lane_tiles) != axis.lane_tile)
            continue;
        for (int tile = least; tile * axis.lane_tile <= most && tile <= results; ++tile)
            if (tile_cut(axis, tile))
                try_cut();
    }
}

/* The same for every way in which the method lays out an axis. Without lanes, a spread tile must leave no pixel of its
 * window untouched. */
template <typename F>
void for_each_layout(tile_axis &axis, int most, tile_method method, const F &try_cut) {
    const tile_axis whole = axis;
    if (method != TILE_SPREAD)
        for_each_cut(axis, 1, most, try_cut);
    else if (axis.advance == 1 || lane_spacing(axis) == 1)
        for_each_cut(axis, lane_spacing(axis), most, try_cut);
    axis = whole;
    if (method == TILE_SPREAD && lane_spacing(axis) > 1) {
        tile_spread(axis);
        for_each_cut(axis, 1, most, try_cut);
        axis = whole;
    }
}

/* The cheapest plan so far. */
struct tile_best {
    tile_plan plan;
    double cost = INFINITY;

    /* False if `plan` does not fit. */
    bool take(tile_plan &candidate, bool backward, tile_method method) {
        if (!tile_complete(candidate))
            return false;
        const double candidate_cost = tile_cost(candidate, backward, method);
        if (candidate_cost < cost) {
            plan = candidate;
            cost = candidate_cost;
        }
        return true;
    }
};

/* Tries every register tile, channel tile and chunk for the pixel tile that `plan` holds. */
inline void tile_search_channels(tile_plan plan, bool backward, tile_method method, tile_best &best) {
    for (plan.option = 0; plan.option < TILE_OPTION_COUNT; ++plan.option) {
        const int64_t step = TILE_OPTIONS[plan.option].channels;
        for (int64_t widest = 128; widest >= step; widest /= 2) {
            const int64_t parts = ceil_div(plan.result_channels, widest);
            plan.channel_tile = static_cast<int>(ceil_div(ceil_div(plan.result_channels, parts), step) * step);
            if (plan.channel_tile > widest)
                continue;
            plan.channel_tiles = static_cast<int>(parts);
            for (plan.chunk = 1; plan.chunk <= 32 && plan.chunk < 2 * plan.source_channels; plan.chunk *= 2)
                if (!best.take(plan, backward, method))
                    break;
        }
    }
}

/* Tries every register tile, number of groups and chunk for the pixel tile that `plan` holds. A group's result channels
 * are rounded up to whole threads. */
inline void tile_search_groups(tile_plan plan, bool backward, tile_best &best) {
    constexpr int64_t WIDEST = 128;
    plan.channel_tiles = 1;
    for (plan.option = 0; plan.option < TILE_OPTION_COUNT; ++plan.option) {
        const int64_t step = TILE_OPTIONS[plan.option].channels;
        const int64_t width = ceil_div(plan.result_channels, step) * step;
        plan.part = static_cast<int>(width / (step / 4));
        for (int64_t most = WIDEST / width; most >= 1; most /= 2) {
            plan.group_tiles = static_cast<int>(ceil_div(plan.groups, most));
            plan.group_tile = static_cast<int>(ceil_div(plan.groups, plan.group_tiles));
            plan.channel_tile = static_cast<int>(plan.group_tile * width);
            for (int64_t pieces = 1; pieces <= plan.source_channels; pieces *= 2) {
                plan.chunk = static_cast<int>(ceil_div(plan.source_channels, pieces));
                best.take(plan, backward, TILE_GROUPED);
            }
        }
    }
}

/* Whether an int counts the channels and the pixels. The last tile reaches beyond the padded image by no more than what
 * the shared memory holds; spread tiles, with their lanes, by a few times its size. */
inline bool tile_countable(const fv_conv2d &d, tile_method method) {
    const int64_t farthest = method == TILE_SPREAD ? 1 << 28 : INT32_MAX - 2 * MAX_SHARED_BYTES;
    const bool far = d.h + d.pad_top + d.pad_bottom > farthest || d.w + d.pad_left + d.pad_right > farthest;
    return d.c < 1 << 30 && d.k < 1 << 30 && !far;
}

/* The best plan; false if no tile fits. An empty batch is planned as one image and has no blocks. */
inline bool tile_plan_of(const fv_conv2d &d, bool backward, tile_method method, tile_plan &found) {
    if (!tile_countable(d, method))
        return false;
    tile_plan plan = tile_problem(d, backward);
    plan.images = d.n > 0 ? d.n : 1;
    tile_best best;
    for_each_layout(plan.vertical, 32, method, [&] {
        for_each_layout(plan.horizontal, 64, method, [&] {
            if (method == TILE_GROUPED)
                tile_search_groups(plan, backward, best);
            else
                tile_search_channels(plan, backward, method, best);
        });
    });
    if (best.cost >= static_cast<double>(INFINITY))
        return false;
    found = best.plan;
    if (d.n == 0)
        found.blocks = 0;
    return true;
}

} // namespace FV_NAMESPACE

#endif
