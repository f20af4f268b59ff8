/* Chooses the method, the tile and its place among the banks for conv2d_few_forward.cuh, by a function of the descriptor
 * alone. */
#ifndef FOVEA_CONV2D_FEW_FORWARD_PLAN_CUH
#define FOVEA_CONV2D_FEW_FORWARD_PLAN_CUH

#include "conv2d_few_forward.cuh"

namespace FV_NAMESPACE {

/* Calls launch.operator()<STEP, RUN>() of the fixed method that fits, and with <0, 0> where none does: 7x7/2, 3x3/1,
 * 5x5/1 and 3x3/2 on three channels; 5x5/1, 3x3/1 and rows of 20 taps with stride 2 (spectrograms) on one. */
template <typename F>
auto few_fixed_dispatch(const few_geometry &d, const F &launch) {
    const auto is = [&d](int step, int run) { return d.runs == 1 && d.step == step && d.run == run; };
    return is(6, 21)   ? launch.template operator()<6, 21>()
           : is(3, 9)  ? launch.template operator()<3, 9>()
           : is(6, 9)  ? launch.template operator()<6, 9>()
           : is(3, 15) ? launch.template operator()<3, 15>()
           : is(1, 5)  ? launch.template operator()<1, 5>()
           : is(2, 20) ? launch.template operator()<2, 20>()
           : is(1, 3)  ? launch.template operator()<1, 3>()
                       : launch.template operator()<0, 0>();
}

inline bool few_is_fixed(const few_geometry &d) {
    return few_fixed_dispatch(d, [&]<int STEP, int RUN>() { return STEP * RUN > 0; });
}

inline bool few_takes_quads(const few_geometry &d) {
    return d.step % 4 == 0 && (d.runs == 1 || d.apart % 4 == 0);
}

/* Reads of 16 bytes, or of one float, by which a thread gets the values that meet one filter row. */
inline int64_t few_forward_reads(const few_geometry &d) {
    if (few_is_fixed(d))
        return ceil_div((FEW_PIXELS - 1) * d.step + d.run, 4);
    return static_cast<int64_t>(d.runs) * (few_takes_quads(d) ? d.run / 4 + d.run % 4 : d.run) * FEW_PIXELS;
}

/* How many different quads of one bank the first warp's threads read at a time, at most. */
inline int few_collisions(const few_forward_plan &plan, int pitch) {
    constexpr int BANKS = 8; /* of 16 bytes */
    int64_t quads[WARP];
    int count = 0, most = 0, in_bank[BANKS] = {};
    for (int group = 0; group <= (WARP - 1) / plan.lanes; ++group) {
        const int row = group / plan.columns, col = group % plan.columns * plan.thread_step;
        const int64_t quad = (row * static_cast<int64_t>(plan.window.vertical) * pitch + col * plan.d.step) / 4;
        bool seen = false;
        for (int i = 0; i < count; ++i)
            seen = seen || quads[i] == quad;
        if (!seen)
            quads[count++] = quad;
        if (!seen && ++in_bank[quad % BANKS] > most)
            most = in_bank[quad % BANKS];
    }
    return most;
}

/* Sets the pitch among the next 32 floats that has the fewest collisions; returns these. */
inline int few_spread_over_banks(few_forward_plan &plan) {
    const int least = plan.window.pitch;
    int fewest = few_collisions(plan, least);
    for (int pitch = least + 4; pitch < least + 32; pitch += 4) {
        const int collisions = few_collisions(plan, pitch);
        if (collisions < fewest) {
            fewest = collisions;
            plan.window.pitch = pitch;
        }
    }
    return fewest;
}

/* Derives the window and the shared memory for a tile with `chunk` filter rows at a time; false if it does not fit into
 * `most` bytes. *collisions as above. */
inline bool few_forward_complete(few_forward_plan &plan, int chunk, int64_t most, int *collisions) {
    plan.tiles.chunk = chunk;
    if (!few_window_of(plan.d, plan.tiles, plan.window))
        return false;
    *collisions = few_spread_over_banks(plan);
    const int64_t slab = static_cast<int64_t>(plan.window.rows) * plan.window.pitch;
    const int64_t taps = static_cast<int64_t>(chunk) * plan.d.runs * plan.d.run;
    plan.slab_pitch = plan.tiles.channels + 4; /* a warp's neighbouring taps lie in eight banks, not in one */
    plan.shared_bytes = (slab + taps * plan.slab_pitch) * static_cast<int64_t>(sizeof(float));
    if (plan.shared_bytes > most)
        return false;
    plan.slab = static_cast<int>(slab);
    return true;
}

/* Cycles of a multiprocessor that the plan's tiles of an image take, with their staging. */
inline double few_forward_cost(const few_forward_plan &plan, int collisions) {
    const few_geometry &d = plan.d;
    const double rows = d.filter_rows, taps = static_cast<double>(d.runs) * d.run, warps = plan.threads / WARP;
    const double products = rows * taps * FEW_PIXELS * FEW_CHANNELS * warps / 4;
    const double reads = rows * (static_cast<double>(few_forward_reads(d)) * collisions + taps * 2 * 2) * warps;
    const double chunks = ceil(rows / plan.tiles.chunk);
    const double unit = plan.window.quads ? 4 : 1;
    const double window = plan.window.rows * (20 + 8 * ceil(plan.window.width / (WARP * unit)));
    const double filters = chunks > 1 ? ceil(rows * taps / WARP) * plan.tiles.channels * 5 : 0;
    const double waiting = 300 * chunks;
    return static_cast<double>(plan.tiles.down) * plan.tiles.across * plan.tiles.channel_tiles *
           (fmax(products, reads) + chunks * window / 4 + filters / 4 + waiting);
}

inline bool few_forward_plan_of(const fv_conv2d &op, few_forward_plan &best) {
    if (few_refusal(op))
        return false;
    few_forward_plan plan = {};
    plan.d = few_geometry_of(op);
    plan.relu = op.relu != 0;
    const few_geometry &d = plan.d;
    plan.tiles.channel_tiles = static_cast<int>(ceil_div(d.k, FEW_MAX_LANES * FEW_CHANNELS));
    plan.lanes = static_cast<int>(ceil_div(ceil_div(d.k, plan.tiles.channel_tiles), FEW_CHANNELS));
    plan.tiles.channels = plan.lanes * FEW_CHANNELS;
    plan.tiles.channel_tiles = static_cast<int>(ceil_div(d.k, plan.tiles.channels));
    const int groups = FEW_THREADS / plan.lanes;
    double best_cost = INFINITY;
    for (plan.columns = 1; plan.columns <= groups && (plan.columns - 1) * FEW_PIXELS < d.q; ++plan.columns) {
        plan.tiles.cols = plan.columns * FEW_PIXELS;
        plan.tiles.rows = static_cast<int>(fv_min(groups / plan.columns, d.p));
        plan.threads = static_cast<unsigned>(fv_round_up(plan.columns * plan.tiles.rows * plan.lanes, WARP));
        plan.thread_step = few_is_fixed(d) ? FEW_PIXELS : 1;
        plan.between = few_is_fixed(d) ? 1 : plan.columns;
        few_cut(d, plan.tiles);
        int collisions = 0, chunk = d.filter_rows;
        while (chunk > 1 && !few_forward_complete(plan, chunk, FEW_SHARED, &collisions))
            chunk = (chunk + 1) / 2;
        if (!few_forward_complete(plan, chunk, FEW_SHARED, &collisions))
            continue;
        const double cost = few_forward_cost(plan, collisions);
        if (cost < best_cost) {
            best_cost = cost;
            best = plan;
        }
    }
    if (best_cost == INFINITY || best.tiles.channel_tiles > 65535)
        return false;
    best.tiles.per_block = few_tiles_per_block(best.tiles.count, best.tiles.channel_tiles);
    best.blocks = static_cast<unsigned>(ceil_div(best.tiles.count, best.tiles.per_block));
    return true;
}

} // namespace FV_NAMESPACE

#endif
