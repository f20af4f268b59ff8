/* Chooses the method, the tile and the splits for conv2d_few_weights.cuh, by a function of the descriptor alone. */
#ifndef FOVEA_CONV2D_FEW_WEIGHTS_PLAN_CUH
#define FOVEA_CONV2D_FEW_WEIGHTS_PLAN_CUH

#include "conv2d_few_forward_plan.cuh"
#include "conv2d_few_weights.cuh"
#include "splits.cuh"

namespace FV_NAMESPACE {

/* Calls launch.operator()<METHOD>() of the method that does the operation. */
template <typename F>
auto few_weights_dispatch(const few_geometry &d, const F &launch) {
    return few_fixed_dispatch(d, [&]<int STEP, int RUN>() {
        constexpr int CHANNELS = RUN > 9 ? 4 : 8; /* up to 84 sums to a thread */
        if constexpr (STEP > 0)
            return launch.template operator()<few_row<STEP, RUN, CHANNELS>>();
        else
            return few_takes_quads(d) ? launch.template operator()<few_pieces_by_quads>()
                                      : launch.template operator()<few_pieces>();
    });
}

/* Shares the threads of a block out to channels, pieces and filter rows, at most `chunk` of these; false if a filter row
 * has more pieces than a block has threads. */
template <typename METHOD>
bool few_weights_share(few_weights_plan &plan, int64_t chunk) {
    constexpr int MOST_CHANNELS = 64;
    const few_geometry &d = plan.d;
    const int64_t per_run = ceil_div(d.run, METHOD::LENGTH), pieces = d.runs * per_run;
    if (pieces > FEW_THREADS)
        return false;
    const int64_t wanted = ceil_div(ceil_div(d.k, ceil_div(d.k, MOST_CHANNELS)), METHOD::CHANNELS);
    const int64_t lanes = fv_min(wanted, FEW_THREADS / pieces);
    const int64_t rows = fv_min(fv_min(chunk, d.filter_rows), FEW_THREADS / (lanes * pieces));
    plan.row_tiles = static_cast<int>(ceil_div(d.filter_rows, rows));
    plan.tiles.chunk = static_cast<int>(ceil_div(d.filter_rows, plan.row_tiles));
    plan.per_run = static_cast<int>(per_run);
    plan.pieces = static_cast<int>(pieces);
    plan.lanes = static_cast<int>(lanes);
    plan.items = static_cast<int>(lanes * pieces * plan.tiles.chunk);
    plan.tiles.channels = plan.lanes * METHOD::CHANNELS;
    plan.tiles.channel_tiles = static_cast<int>(ceil_div(d.k, plan.tiles.channels));
    return true;
}

/* Derives window, threads and shared memory from the tile; false if it does not fit. */
template <typename METHOD>
bool few_weights_complete(few_weights_plan &plan) {
    few_cut(plan.d, plan.tiles);
    if (!few_window_of(plan.d, plan.tiles, plan.window))
        return false;
    plan.parts = static_cast<int>(fv_min(FEW_THREADS / plan.items, plan.tiles.rows));
    const int64_t gradients = static_cast<int64_t>(plan.window.rows) * plan.window.pitch;
    const int64_t staged = gradients + static_cast<int64_t>(plan.tiles.rows) * plan.tiles.cols * plan.tiles.channels;
    const int64_t joined = plan.parts > 1 ? FEW_JOINED * METHOD::CHANNELS * METHOD::LENGTH : 0;
    plan.shared_bytes = fv_max(fv_max(staged, joined), FEW_THREADS) * static_cast<int64_t>(sizeof(float));
    plan.gradients = static_cast<int>(gradients);
    return plan.shared_bytes <= FEW_SHARED;
}

/* Cycles of a multiprocessor that the tiles of an image take, with their staging. */
template <typename METHOD>
double few_weights_cost(const few_weights_plan &plan) {
    const double warps = ceil(1.0 * plan.items * plan.parts / WARP),
                 turns = ceil(1.0 * plan.tiles.rows / plan.parts) * plan.tiles.cols;
    const double reads = METHOD::READ > 0 ? METHOD::READ / 4.0 / METHOD::TOGETHER : METHOD::LENGTH / METHOD::UNIT;
    const double each = METHOD::LENGTH * METHOD::CHANNELS + reads + METHOD::CHANNELS / 4.0 + 3;
    const double window =
        plan.window.rows * (20 + 8 * ceil(plan.window.width / (plan.window.quads ? 4.0 * WARP : WARP)));
    const double gradients = 12.0 * plan.tiles.rows * plan.tiles.cols * plan.tiles.channels / (4 * WARP);
    const double waiting = 300;
    return static_cast<double>(plan.tiles.down) * plan.tiles.across *
           ((turns * each * warps + window + gradients) / 4 + waiting) * plan.tiles.channel_tiles * plan.row_tiles;
}

/* Tries all tiles with up to `chunk` filter rows to a block; true if one fits. */
template <typename METHOD>
bool few_weights_search(few_weights_plan plan, int64_t chunk, few_weights_plan &best) {
    constexpr int MOST = 64; /* rows and columns */
    if (!few_weights_share<METHOD>(plan, chunk))
        return false;
    double best_cost = INFINITY;
    const int64_t widest = fv_min(MOST, fv_round_up(plan.d.q, 4)), highest = fv_min(MOST, plan.d.p);
    for (int64_t cols = 4; cols <= widest; cols += 4) {
        for (int64_t rows = 1; rows <= highest; ++rows) {
            plan.tiles.cols = static_cast<int>(cols);
            plan.tiles.rows = static_cast<int>(rows);
            if (!few_weights_complete<METHOD>(plan))
                break; /* nor does a higher one */
            const double cost = few_weights_cost<METHOD>(plan);
            if (cost < best_cost) {
                best_cost = cost;
                best = plan;
            }
        }
    }
    return best_cost < INFINITY;
}

inline bool few_weights_plan_of(const fv_conv2d &op, few_weights_plan &best) {
    if (few_refusal(op))
        return false;
    few_weights_plan plan = {};
    plan.d = few_geometry_of(op);
    bool found = false;
    for (int64_t chunk = op.r; !found && chunk > 0; chunk /= 2)
        found = few_weights_dispatch(plan.d,
                                     [&]<typename METHOD>() { return few_weights_search<METHOD>(plan, chunk, best); });
    if (!found)
        return false;
    const int64_t others = static_cast<int64_t>(best.tiles.channel_tiles) * best.row_tiles;
    best.tiles.per_block = few_tiles_per_block(best.tiles.count, others);
    best.splits = static_cast<unsigned>(fv_max(1, ceil_div(best.tiles.count, best.tiles.per_block)));
    return others <= 65535;
}

} // namespace FV_NAMESPACE

#endif
