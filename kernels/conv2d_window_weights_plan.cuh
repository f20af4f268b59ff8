/* Chooses tiles, channels and splits for conv2d_window_weights.cuh by a function of the descriptor alone, as
 * conv2d_tile_plan.cuh does for the other passes, and holds the entries of a kernel table row. */
#ifndef FOVEA_CONV2D_WINDOW_WEIGHTS_PLAN_CUH
#define FOVEA_CONV2D_WINDOW_WEIGHTS_PLAN_CUH

#include "base/checked.h"
#include "conv2d_tile_run.cuh"
#include "conv2d_weights.cuh"
#include "conv2d_window_weights.cuh"

namespace FV_NAMESPACE {

inline int64_t window_weights_pixels(const window_weights_plan &plan) {
    return static_cast<int64_t>(plan.vertical.tile) * plan.vertical.lane_tile * plan.horizontal.tile *
           plan.horizontal.lane_tile;
}

inline double window_weights_blocks(const window_weights_plan &plan) {
    return static_cast<double>(plan.group_tiles) * plan.k_tiles * plan.c_tiles * plan.item_tiles;
}

/* Derives pitches, threads and shared memory from the tiles; false if it does not fit. */
inline bool window_weights_complete(window_weights_plan &plan) {
    const int64_t rows = window_extent(plan.vertical), cols = window_extent(plan.horizontal);
    const int64_t taps = static_cast<int64_t>(plan.vertical.filter) * plan.horizontal.filter;
    if (rows > MAX_SHARED_BYTES || cols > MAX_SHARED_BYTES || taps > MAX_SHARED_BYTES)
        return false;
    plan.rows = static_cast<int>(rows);
    plan.cols = static_cast<int>(cols);
    plan.input_pitch = plan.group_tile * plan.c_tile;
    plan.output_pitch = plan.group_tile * plan.k_tile;
    const int64_t pixels = window_weights_pixels(plan);
    const int64_t gradients = rows * cols * plan.input_pitch, bases = gradients + pixels * plan.output_pitch;
    plan.shared_bytes = (bases + pixels) * static_cast<int64_t>(sizeof(float));
    const int64_t items = taps * plan.group_tile * (plan.k_tile / 4) * (plan.c_tile / 4);
    if (plan.shared_bytes > MAX_SHARED_BYTES)
        return false;
    plan.gradients = static_cast<int>(gradients);
    plan.bases = static_cast<int>(bases);
    plan.items = static_cast<int>(items);
    plan.item_tiles = static_cast<int>(ceil_div(items, TILE_MAX_THREADS));
    plan.threads = static_cast<int>(ceil_div(ceil_div(items, plan.item_tiles), WARP) * WARP);
    return window_weights_blocks(plan) <= static_cast<double>(MAX_BLOCKS);
}

/* Instructions that all warps issue, as tile_cost counts them, but that blocks are always many. */
inline double window_weights_cost(const window_weights_plan &plan, bool spread) {
    constexpr double SHARED_PER_SM = 220 * 1024, THREADS_PER_SM = 1024, BUSY_THREADS = 512;
    const double warps = plan.threads / WARP, finding = spread ? 30 : 25;
    const double pixel_rows = plan.vertical.tile * plan.vertical.lane_tile;
    const double pixel_cols = plan.horizontal.tile * plan.horizontal.lane_tile;
    const double multiply = pixel_rows * pixel_cols * 22 * warps;
    const double window = plan.rows * (10 + finding * ceil(plan.cols * ceil(plan.input_pitch / 8.0) * 8 / WARP));
    const double gradients = pixel_rows * (10 + finding * ceil(pixel_cols * ceil(plan.output_pitch / 8.0) * 8 / WARP));
    const double barriers = 100 * warps;
    const double tiles = static_cast<double>(plan.vertical.tiles) * plan.vertical.lane_tiles * plan.horizontal.tiles *
                         plan.horizontal.lane_tiles;
    const double threads = fmin(SHARED_PER_SM / static_cast<double>(plan.shared_bytes) * plan.threads, THREADS_PER_SM);
    return window_weights_blocks(plan) * tiles * (multiply + window + gradients + barriers) *
           fmax(1, BUSY_THREADS / threads);
}

/* Cuts n channels into the fewest tiles of at most `widest`, of equal size up to whole quads. */
inline int cut_channels(int n, int widest, int &tiles) {
    tiles = static_cast<int>(ceil_div(n, widest));
    return static_cast<int>(ceil_div(ceil_div(n, tiles), 4) * 4);
}

/* Tries channels and groups per block for the pixel tile that `plan` holds. */
inline void window_weights_search(window_weights_plan plan, bool spread, window_weights_plan &best, double &best_cost) {
    for (int widest_k = 32; widest_k >= 4; widest_k /= 2) {
        plan.k_tile = cut_channels(plan.kg, widest_k, plan.k_tiles);
        for (int widest_c = 32; widest_c >= 4; widest_c /= 2) {
            plan.c_tile = cut_channels(plan.cg, widest_c, plan.c_tiles);
            const bool whole = plan.k_tiles == 1 && plan.c_tiles == 1;
            for (int most = whole ? 32 : 1; most >= 1; most /= 2) {
                plan.group_tiles = static_cast<int>(ceil_div(plan.groups, most));
                plan.group_tile = static_cast<int>(ceil_div(plan.groups, plan.group_tiles));
                if (!window_weights_complete(plan))
                    continue;
                const double cost = window_weights_cost(plan, spread);
                if (cost < best_cost) {
                    best = plan;
                    best_cost = cost;
                }
            }
        }
    }
}

/* The best plan; false if no tile fits. */
inline bool window_weights_plan_of(const fv_conv2d &d, tile_method method, window_weights_plan &best) {
    constexpr int64_t LEAST_PIXELS = 256; /* as in weights_plan_of */
    if (!tile_countable(d, method))
        return false;
    const tile_plan problem = tile_problem(d, false);
    window_weights_plan plan = {};
    plan.vertical = problem.vertical;
    plan.horizontal = problem.horizontal;
    plan.groups = problem.groups;
    plan.kg = problem.result_channels;
    plan.cg = problem.source_channels;
    double best_cost = INFINITY;
    for_each_layout(plan.vertical, 32, method, [&] {
        for_each_layout(plan.horizontal, 32, method,
                        [&] { window_weights_search(plan, method == TILE_SPREAD, best, best_cost); });
    });
    if (best_cost >= static_cast<double>(INFINITY))
        return false;
    best.tiles =
        d.n * best.vertical.tiles * best.vertical.lane_tiles * best.horizontal.tiles * best.horizontal.lane_tiles;
    const int64_t pixels = d.n * best.vertical.result * best.horizontal.result;
    const sum_splits splits = splits_of(best.tiles, static_cast<int64_t>(window_weights_blocks(best)),
                                        fv_min(ceil_div(pixels, LEAST_PIXELS), best.tiles));
    best.splits = splits.count;
    best.per_split = splits.per_split;
    best.partial = weights_partial(d);
    return true;
}

/* ---- entries of a kernel table row ---- */

template <tile_method METHOD>
const char *window_weights_supports(const fv_operation *op) {
    window_weights_plan plan;
    return window_weights_plan_of(op->conv2d, METHOD, plan)
               ? NULL
               : "no tile with its window fits 48 KiB of shared memory and 2^31-1 blocks";
}

/* window_weights_cost counts the instructions of one image. */
template <tile_method METHOD>
double window_weights_estimate(const fv_operation *op, const fv_chip *chip) {
    window_weights_plan plan;
    if (!window_weights_plan_of(op->conv2d, METHOD, plan))
        return NAN;
    const double blocks = window_weights_blocks(plan);
    const double staged = static_cast<double>(plan.rows) * plan.cols * plan.input_pitch +
                          static_cast<double>(window_weights_pixels(plan)) * plan.output_pitch;
    issued_work work = {.instructions =
                            window_weights_cost(plan, METHOD == TILE_SPREAD) * static_cast<double>(op->conv2d.n),
                        .blocks = blocks * static_cast<double>(plan.splits),
                        .threads = static_cast<double>(plan.threads),
                        .shared_bytes = static_cast<double>(plan.shared_bytes),
                        .bytes = bytes_of(op, FV_BACKWARD_WEIGHTS),
                        .cache_bytes = blocks * static_cast<double>(plan.tiles) * staged * sizeof(float)};
    add_splits(work, static_cast<double>(plan.splits), static_cast<double>(plan.partial));
    return expected_issue(*chip, work);
}

template <tile_method METHOD>
fv_status window_weights_prepare(fv_context *, const fv_operation *op, void **state) {
    window_weights_plan plan;
    if (!window_weights_plan_of(op->conv2d, METHOD, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", window_weights_supports<METHOD>(op));
    return tile_keep(plan, state);
}

inline size_t window_weights_workspace(const fv_operation *, const void *state) {
    const window_weights_plan &plan = *static_cast<const window_weights_plan *>(state);
    return splits_workspace(plan.splits, plan.partial);
}

template <tile_method METHOD>
fv_status window_weights_run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const window_weights_plan &plan = *static_cast<const window_weights_plan *>(state);
    const dim3 grid(static_cast<unsigned>(window_weights_blocks(plan)), static_cast<unsigned>(plan.splits));
    return weights_in_splits(context, op->conv2d, plan.splits, buffers, [&](float *dw, float *db) {
        return FV_LAUNCH(context, conv2d_window_weights_kernel<METHOD>, grid, static_cast<unsigned>(plan.threads),
                         static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_DY), dw,
                         db, plan.partial);
    });
}

} // namespace FV_NAMESPACE

#endif
