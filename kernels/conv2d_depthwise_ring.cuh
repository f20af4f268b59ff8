/* Rows of an image in a ring of shared memory: what the sliding depthwise kernels stand on.
 *
 * A block owns a tile of channels and of result columns and walks down the image. Each step makes ROWS_OUT rows of
 * results. The source rows under them lie in a ring in shared memory, and while a step computes, the rows that the next
 * step needs in addition are on their way (cp.async, 16 bytes at a time): every source pixel is fetched once, but for the
 * halo between tiles, and the bytes in flight cost no registers.
 *
 *     ring[row][column][GROUPS][16 bytes of channels]    as in memory; 0 outside the image
 *
 * Threads are strips x lanes: a lane has CHANNELS neighbouring channels, a strip COLS_OUT neighbouring result columns.
 *
 * All passes are one correlation. Along an axis a thread's result a meets, under tap t, its source pixel (a*DOWN + t) / UP,
 * if that is a whole number:
 * - forward                  DOWN = stride, UP = 1;
 * - backward_data, stride 1  DOWN = UP = 1, the filter reversed and the padding window-1-pad;
 * - backward_data, stride 2  DOWN = 1, UP = 2, the filter reversed: result i meets under tap t the pixel
 *                            (i + pad - (window-1-t)) / 2 of dy. The window is odd and tiles begin where i + pad is even,
 *                            which is one before the first result if pad is odd (`skew`).
 * All of this is known to the compiler: no remainder, no branch and no address is left in the loops over taps.
 *
 * Banks: along the channels of a column threads read side by side, so a warp reads whole lines of 128 bytes, or, with
 * columns of 64 bytes, two halves that lie an odd number of columns apart and so in different banks: no conflicts where
 * channels fill the tile, and at most two-way ones where they do not. */
#ifndef FOVEA_CONV2D_DEPTHWISE_RING_CUH
#define FOVEA_CONV2D_DEPTHWISE_RING_CUH

#include <stdlib.h>

#include "async_copy.cuh"
#include "estimate.cuh"
#include "half.cuh"
#include "lanes.cuh"
#include "ops/op.h"

namespace FV_NAMESPACE {

constexpr int RING_THREADS = 256; /* of a block, at most */
constexpr int RING_VECTOR = 16;   /* bytes of a copy */

/* What is compiled: the window, the steps, and what a thread makes at once; 16-byte vectors of a column; and how many
 * blocks of RING_THREADS threads a multiprocessor has registers for. */
template <int WINDOW_, int DOWN_, int UP_, int ROWS_OUT_, int COLS_OUT_, int CHANNELS_, int GROUPS_, int BLOCKS_>
struct ring_shape {
    static constexpr int WINDOW = WINDOW_, DOWN = DOWN_, UP = UP_, TAPS = WINDOW_ * WINDOW_;
    static constexpr int ROWS_OUT = ROWS_OUT_, COLS_OUT = COLS_OUT_, CHANNELS = CHANNELS_;
    static constexpr int GROUPS = GROUPS_, BLOCKS = BLOCKS_, COLUMN_BYTES = GROUPS_ * RING_VECTOR;
    static_assert(DOWN == 1 || UP == 1);
    static_assert(UP == 1 || (UP == 2 && WINDOW % 2 == 1 && ROWS_OUT % 2 == 0 && COLS_OUT % 2 == 0));

    /* Source rows and columns under a thread's results, and how far on those of the next results lie. */
    static constexpr int ROWS_IN = ((ROWS_OUT - 1) * DOWN + WINDOW - 1) / UP + 1;
    static constexpr int COLS_IN = ((COLS_OUT - 1) * DOWN + WINDOW - 1) / UP + 1;
    static constexpr int ROWS_ON = ROWS_OUT * DOWN / UP, COLS_ON = COLS_OUT * DOWN / UP;
    static constexpr int SLOTS = ROWS_IN + ROWS_ON; /* rows of the ring */
};

/* Results from i*OUT - skew on meet source pixels from i*ON + start on. */
struct ring_axis {
    int source, result, start, skew;
};

inline ring_axis ring_axis_of(int64_t input, int64_t output, int64_t window, int64_t stride, int64_t pad,
                              bool backward) {
    if (!backward)
        return {static_cast<int>(input), static_cast<int>(output), static_cast<int>(-pad), 0};
    const int64_t skew = stride == 2 ? pad % 2 : 0;
    return {static_cast<int>(output), static_cast<int>(input), static_cast<int>((pad - skew - (window - 1)) / stride),
            static_cast<int>(skew)};
}

/* A tensor that lies in memory in images of rows x columns x channels, and the part of a row that a ring holds. */
struct ring_source {
    int rows, columns;       /* of an image */
    int64_t channels;        /* of a pixel */
    int held, groups, pitch; /* columns, 16-byte vectors of each, and bytes of a row of the ring */
};

/* How the work is cut. */
struct ring_plan {
    ring_axis vertical, horizontal;
    ring_source source, other; /* other: dy in the filter gradient, and the window in a sweep */
    int64_t images, channels;
    int groups, lanes, strips, threads; /* of a block: 16-byte vectors and threads along the channels */
    int64_t channel_tiles, column_tiles;
    int64_t steps, per_walk, walks; /* down an image; of a block, in as many walks; in the filter gradient, of all */
    int64_t blocks;                 /* more than MAX_BLOCKS: too many */
    int64_t shared_bytes;
    double flop, cache_bytes; /* of all blocks */
    double cost;              /* of the whole, in bytes that a multiprocessor moves meanwhile */
};

/* Begins to copy `count` rows from `first_row` on, columns from `first_column` on, to the ring of `slots` rows, beginning
 * with row `slot`, which may be that many beyond its end. `image` points to the first pixel's first channel of the block; only `valid` groups of it have
 * channels. */
template <int COLUMN_BYTES, typename T>
__device__ void copy_rows(const ring_source &from, const T *image, int valid, int first_row, int count,
                          int first_column, int slot, int slots, unsigned char *ring) {
    const int group = static_cast<int>(threadIdx.x) % from.groups, first = static_cast<int>(threadIdx.x) / from.groups;
    const int step = static_cast<int>(blockDim.x) / from.groups;
    const T *const channels = image + group * (RING_VECTOR / static_cast<int>(sizeof(T)));
    for (int i = 0; i < count; ++i, ++slot) {
        const int row = first_row + i, at = slot < slots ? slot : slot - slots;
        const bool inside = group < valid && row >= 0 && row < from.rows;
        const T *const line = channels + (inside ? static_cast<int64_t>(row) * from.columns * from.channels : 0);
        unsigned char *const to = ring + at * from.pitch + group * RING_VECTOR;
        for (int column = first; column < from.held; column += step) {
            const int col = first_column + column;
            const bool there = inside && col >= 0 && col < from.columns;
            async_copy<RING_VECTOR>(to + column * COLUMN_BYTES, there ? line + col * from.channels : image,
                                    there ? RING_VECTOR : 0);
        }
    }
}

/* COUNT columns of a ring's row, of a thread's channels, as f32. */
template <int COUNT, int COLUMN_BYTES, typename T, int CHANNELS>
__device__ __forceinline__ void read_columns(const unsigned char *row, float (&to)[COUNT][CHANNELS]) {
    FV_UNROLL
    for (int i = 0; i < COUNT; ++i) {
        const channel_lanes<T, CHANNELS> values =
            *reinterpret_cast<const channel_lanes<T, CHANNELS> *>(row + i * COLUMN_BYTES);
        FV_UNROLL
        for (int v = 0; v < CHANNELS; ++v)
            to[i][v] = widen(values.at[v]);
    }
}

/* ---- host: cutting the work, for a device of the size of an H200, by a function of the descriptor alone ---- */

constexpr double RING_UNITS = 132; /* multiprocessors, each of which moves a 132nd of 4.3 TB/s */
/* Products that one makes while it moves a byte: 128 a cycle, less a fifth for what stands between them. */
constexpr double RING_PRODUCTS = 5.5;
/* Bytes that it could have moved between asking for rows and having used them: 0.8 us of latency, 0.4 us of arithmetic. */
constexpr double RING_FLIGHT = 40 * 1024;
constexpr double RING_BUSY_THREADS = 256; /* that keep its arithmetic busy */
constexpr double RING_BURST = 64;         /* bytes side by side that memory gives at once */
constexpr int64_t RING_LONGEST = 1 << 28; /* padded axis, and channels: so that an int counts them */

/* Takes the blocks of a plan, as a product; more than MAX_BLOCKS if they are. */
inline int64_t ring_blocks(double blocks) {
    return blocks > static_cast<double>(MAX_BLOCKS) ? MAX_BLOCKS + 1 : static_cast<int64_t>(blocks);
}

/* Blocks that a multiprocessor of sm_90 holds: 227 KiB of shared memory with 1 KiB of its own for each. */
inline double ring_resident(const ring_plan &plan, int blocks_of_registers) {
    const int64_t threads = ceil_div(plan.threads, WARP) * WARP;
    const int64_t fits[] = {int64_t{227 * 1024} / (plan.shared_bytes + 1024), 2048 / threads,
                            blocks_of_registers * RING_THREADS / threads};
    int64_t most = 32;
    for (const int64_t fit : fits)
        most = fit < most ? fit : most;
    return static_cast<double>(most > 1 ? most : 1);
}

/* What a block does. */
struct ring_work {
    double loaded, stored; /* bytes */
    double products;
    double flight; /* bytes that are on their way at once */
};

/* Sets the plan's cost, that of the blocks which the busiest multiprocessor gets. */
inline void set_ring_cost(ring_plan &plan, int blocks_of_registers, const ring_work &work) {
    const double turns = ceil(static_cast<double>(plan.blocks) / RING_UNITS);
    const double together = fmin(turns, ring_resident(plan, blocks_of_registers));
    const double bytes = work.loaded + work.stored;
    const double partly = fmax(1, RING_BURST / (plan.groups * RING_VECTOR));
    const double moving = fmax(bytes * partly, work.loaded * RING_FLIGHT / (together * work.flight));
    const double issued = static_cast<double>(ceil_div(plan.threads, WARP) * WARP) / plan.threads;
    const double multiplying =
        work.products * issued / RING_PRODUCTS / fmin(1, together * plan.threads / RING_BUSY_THREADS);
    plan.cost = turns * (fmax(moving, multiplying) + RING_FLIGHT / 2 / together); /* and a block's start */
    plan.flop = 2 * work.products * static_cast<double>(plan.blocks);
    plan.cache_bytes = bytes * static_cast<double>(plan.blocks);
}

/* Tries every cut of the channels and of `strips` strips: calls try_cut() with the plan's groups, lanes, strips, threads
 * and tiles set. */
template <typename SHAPE, typename F>
void for_each_ring_cut(ring_plan &plan, int64_t strips, int element, const F &try_cut) {
    const int vector = RING_VECTOR / element;
    const int64_t all = plan.channels / vector;
    int64_t before = 0;
    for (int64_t widest = SHAPE::GROUPS; widest >= 1; widest /= 2) {
        plan.channel_tiles = ceil_div(all, widest);
        plan.groups = static_cast<int>(ceil_div(all, plan.channel_tiles));
        plan.lanes = plan.groups * vector / SHAPE::CHANNELS;
        if (plan.groups == before)
            continue;
        before = plan.groups;
        const int64_t most = RING_THREADS / plan.lanes, least = ceil_div(strips, most);
        for (plan.column_tiles = least; plan.column_tiles < least + 8 && plan.column_tiles <= strips;
             ++plan.column_tiles) {
            plan.strips = static_cast<int>(ceil_div(strips, plan.column_tiles));
            plan.threads = plan.strips * plan.lanes;
            if (ceil_div(strips, plan.strips) == plan.column_tiles)
                try_cut();
        }
    }
}

/* Whether a depthwise convolution has the window and the steps of one that is compiled, and channels in whole vectors. */
inline const char *ring_refusal(const fv_conv2d &d, int element) {
    if (d.c != d.groups || d.k != d.c)
        return "it is not depthwise with one filter for each channel";
    if (d.c % (RING_VECTOR / element) != 0)
        return element == 4 ? "the channels are not a multiple of 4" : "the channels are not a multiple of 8";
    const bool too_long =
        d.h + d.pad_top + d.pad_bottom > RING_LONGEST || d.w + d.pad_left + d.pad_right > RING_LONGEST;
    return too_long || d.c > RING_LONGEST ? "an axis is longer than 2^28" : NULL;
}

/* The same for a table of windows and steps. */
inline const char *sliding_refusal(const fv_conv2d &d, int element) {
    if (const char *refusal = ring_refusal(d, element))
        return refusal;
    if (d.r != d.s || (d.r != 3 && d.r != 5 && d.r != 7))
        return "the window is not 3x3, 5x5 or 7x7";
    if (d.dilation_h != 1 || d.dilation_w != 1)
        return "it is dilated";
    return d.stride_h != d.stride_w || d.stride_h > 2 ? "the stride is neither 1 nor 2" : NULL;
}

inline const char *ring_plan_refusal(const ring_plan &plan) {
    if (plan.threads == 0)
        return "its rows do not fit 99 KiB of shared memory";
    return plan.blocks > MAX_BLOCKS ? "there are over 2^31-1 blocks" : NULL;
}

/* Keeps a plan until free(): the search for it is worth doing once. */
template <typename PLAN>
fv_status keep_ring_plan(const PLAN &plan, void **state) {
    *state = malloc(sizeof plan);
    if (!*state)
        return fv_fail(FV_NO_MEMORY, "conv2d: no memory for a plan of %zu bytes", sizeof plan);
    *static_cast<PLAN *>(*state) = plan;
    return FV_OK;
}

/* What a row expects to take. One block at a time: as products and copies are many and independent, those that are left on a
 * multiprocessor by themselves go on at nearly the rate of all, and the busiest multiprocessor is what counts. */
inline double ring_seconds(const fv_operation &op, fv_pass pass, const ring_plan &plan, const fv_chip &chip,
                           int launches) {
    constexpr double MULTIPLYING = 0.8; /* of the instructions */
    return expected_seconds(chip, {.flop = plan.flop,
                                   .rate = chip.fma * MULTIPLYING,
                                   .bytes = static_cast<double>(fv_operation_bytes(&op, pass)),
                                   .cache_bytes = plan.cache_bytes,
                                   .blocks = static_cast<double>(plan.blocks),
                                   .resident = 1,
                                   .launches = launches});
}

} // namespace FV_NAMESPACE

#endif
