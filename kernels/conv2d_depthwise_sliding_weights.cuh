/* The sliding depthwise filter gradient, dw[k][r][s] = sum over n, p, q of dy[n,p,q,k] * x[n, row, col, k]: the forward
 * kernel with filters and results in each other's place. A thread keeps the gradients of its channels' taps in registers,
 * and ROWS_OUT x COLS_OUT values of dy; each source row goes by once and is multiplied with all of these that meet it.
 *
 * dy has a ring of its own, of two steps. The steps of all images and column tiles are counted through and cut into
 * splits of as many: blocks of equal work, whatever the batch. At its end a block adds up its strips in shared memory, in
 * order, and writes partial gradients to the workspace, which a second kernel adds up: deterministic. */
#ifndef FOVEA_CONV2D_DEPTHWISE_SLIDING_WEIGHTS_CUH
#define FOVEA_CONV2D_DEPTHWISE_SLIDING_WEIGHTS_CUH

#include "conv2d_depthwise_sliding.cuh"
#include "conv2d_depthwise_splits.cuh"

namespace FV_NAMESPACE {

/* As sliding_shape; dy takes shared memory, too, so that steps are shorter. */
template <typename T, int WINDOW, int DOWN>
constexpr auto sliding_weights_shape() {
    constexpr bool NARROW = sizeof(T) == 2;
    if constexpr (WINDOW == 3)
        return ring_shape<3, DOWN, 1, 2, 4, 2, 8, 3>();
    else if constexpr (WINDOW == 5)
        return ring_shape < 5, DOWN, 1, 2, 4, NARROW ? 2 : 1, 8, NARROW ? 2 : 3 > ();
    else
        return ring_shape < 7, DOWN, 1, 2, DOWN == 2 ? 4 : 7, 1, 4, 2 > ();
}

constexpr int64_t SLIDING_SPLITS = 512; /* at most: the second pass reads them all */

/* Floats that a thread brings to the sum of a block: taps, and behind them the bias, of its channels. */
template <typename SHAPE>
constexpr int RING_PARTS = (SHAPE::TAPS + 1) * SHAPE::CHANNELS;

/* steps: of a column tile of an image; walks: splits, of per_walk steps each. */
template <typename T, typename SHAPE>
ring_plan sliding_weights_plan_of(const fv_conv2d &d) {
    ring_plan plan = {};
    plan.vertical = ring_axis_of(d.h, fv_conv2d_p(&d), d.r, d.stride_h, d.pad_top, false);
    plan.horizontal = ring_axis_of(d.w, fv_conv2d_q(&d), d.s, d.stride_w, d.pad_left, false);
    plan.images = d.n;
    plan.channels = d.c;
    plan.steps = ceil_div(plan.vertical.result, SHAPE::ROWS_OUT);
    const int64_t strips = ceil_div(plan.horizontal.result, SHAPE::COLS_OUT);
    ring_plan best = {};
    for_each_ring_cut<SHAPE>(plan, strips, sizeof(T), [&] {
        const int held = (plan.strips - 1) * SHAPE::COLS_ON + SHAPE::COLS_IN, results = plan.strips * SHAPE::COLS_OUT;
        plan.source = {plan.vertical.source, plan.horizontal.source,    d.c, held,
                       plan.groups,          held * SHAPE::COLUMN_BYTES};
        plan.other = {plan.vertical.result, plan.horizontal.result,       d.c, results,
                      plan.groups,          results * SHAPE::COLUMN_BYTES};
        const int64_t rings =
            int64_t{SHAPE::SLOTS} * plan.source.pitch + int64_t{2} * SHAPE::ROWS_OUT * plan.other.pitch;
        const int64_t parts = int64_t{plan.threads} * RING_PARTS<SHAPE> * static_cast<int64_t>(sizeof(float));
        plan.shared_bytes = rings > parts ? rings : parts;
        if (plan.shared_bytes > MAX_SHARED_BYTES_OPT_IN)
            return;
        /* As many splits as the device holds blocks, or a half, a third, ... of these: partial gradients cost, too. */
        const int64_t all = plan.steps * plan.column_tiles * plan.images;
        const double resident = ring_resident(plan, SHAPE::BLOCKS);
        for (int share = 1; share <= 4; ++share) {
            const int64_t filling = static_cast<int64_t>(RING_UNITS * resident) / (share * plan.channel_tiles);
            const int64_t wanted = filling < SLIDING_SPLITS ? filling : SLIDING_SPLITS;
            plan.per_walk = all > 0 ? ceil_div(all, wanted > 1 ? wanted : 1) : 1;
            plan.walks = all > 0 ? ceil_div(all, plan.per_walk) : 1;
            plan.blocks = ring_blocks(static_cast<double>(plan.channel_tiles) * static_cast<double>(plan.walks));
            const double column = plan.groups * RING_VECTOR, steps = static_cast<double>(plan.per_walk);
            const double starts = 1 + steps / static_cast<double>(plan.steps);
            const double loaded = (starts * (SHAPE::ROWS_IN - SHAPE::ROWS_ON) + steps * SHAPE::ROWS_ON) * held * column;
            const double gradients = steps * SHAPE::ROWS_OUT * results * column;
            set_ring_cost(plan, SHAPE::BLOCKS,
                          {loaded + gradients, RING_PARTS<SHAPE> * 4.0 * plan.lanes,
                           gradients / sizeof(T) * SHAPE::TAPS,
                           (SHAPE::ROWS_ON * held + SHAPE::ROWS_OUT * results) * column});
            if (best.threads == 0 || plan.cost < best.cost)
                best = plan;
        }
    });
    return best;
}

/* sum[tap] += the products of the source row that is number K under the thread's values of dy. */
template <typename SHAPE, int K>
__device__ __forceinline__ void
slide_gradient_row(const float (&gradient)[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][SHAPE::CHANNELS],
                   const float (&in)[SHAPE::COLS_IN][SHAPE::CHANNELS], float (&sum)[SHAPE::TAPS][SHAPE::CHANNELS]) {
    FV_UNROLL
    for (int a = 0; a < SHAPE::ROWS_OUT; ++a) {
        const int r = K - a * SHAPE::DOWN;
        if (r < 0 || r >= SHAPE::WINDOW)
            continue;
        FV_UNROLL
        for (int b = 0; b < SHAPE::COLS_OUT; ++b) {
            FV_UNROLL
            for (int s = 0; s < SHAPE::WINDOW; ++s) {
                FV_UNROLL
                for (int v = 0; v < SHAPE::CHANNELS; ++v)
                    sum[r * SHAPE::WINDOW + s][v] += gradient[a][b][v] * in[b * SHAPE::DOWN + s][v];
            }
        }
    }
}

/* slide_gradient_row for rows K, K+1, ..., which lie in the ring from `slot` on. */
template <typename T, typename SHAPE, int K = 0>
__device__ __forceinline__ void
slide_gradient_rows(const unsigned char *ring, int pitch, int slot,
                    const float (&gradient)[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][SHAPE::CHANNELS],
                    float (&sum)[SHAPE::TAPS][SHAPE::CHANNELS]) {
    if constexpr (K < SHAPE::ROWS_IN) {
        float in[SHAPE::COLS_IN][SHAPE::CHANNELS];
        read_columns<SHAPE::COLS_IN, SHAPE::COLUMN_BYTES, T>(ring + slot * pitch, in);
        slide_gradient_row<SHAPE, K>(gradient, in, sum);
        slide_gradient_rows<T, SHAPE, K + 1>(ring, pitch, slot + 1 < SHAPE::SLOTS ? slot + 1 : 0, gradient, sum);
    }
}

/* A step of all: in which image, where its results are, and whether the rows before them are in the ring. */
struct gradient_step {
    int64_t image;
    int column_tile, step;
};

__device__ inline gradient_step gradient_step_of(const ring_plan &plan, int64_t index) {
    const int64_t tile = index / plan.steps;
    return {.image = tile / plan.column_tiles,
            .column_tile = static_cast<int>(tile % plan.column_tiles),
            .step = static_cast<int>(index - tile * plan.steps)};
}

/* Adds the threads' parts, strip after strip, and writes them to `part`: the taps of all channels, [channel][tap], and
 * behind these, if `biased`, the biases. parts[strip][channel of the block][tap, bias]: an odd number of floats or an odd
 * multiple of two between the lanes of 3x3, so that they do not meet in a bank, or two at most do. */
template <typename SHAPE>
__device__ void add_strips(const ring_plan &plan, int64_t channel, int lane, int strip, bool biased,
                           const float (&sum)[SHAPE::TAPS][SHAPE::CHANNELS], const float (&bias)[SHAPE::CHANNELS],
                           float *parts, float *part) {
    constexpr int EACH = SHAPE::TAPS;
    const int taps = plan.lanes * SHAPE::CHANNELS * EACH, row = plan.lanes * RING_PARTS<SHAPE>;
    FV_UNROLL
    for (int v = 0; v < SHAPE::CHANNELS; ++v) {
        const int own = lane * SHAPE::CHANNELS + v;
        FV_UNROLL
        for (int t = 0; t < EACH; ++t)
            parts[strip * row + own * EACH + t] = sum[t][v];
        parts[strip * row + taps + own] = bias[v];
    }
    __syncthreads();
    const int64_t left = (plan.channels - channel) * EACH, biases = plan.channels - channel;
    for (int e = static_cast<int>(threadIdx.x); e < row; e += plan.threads) {
        const bool tap = e < taps;
        if (tap ? e >= left : !biased || e - taps >= biases)
            continue;
        float total = 0;
        for (int i = 0; i < plan.strips; ++i)
            total += parts[i * row + e];
        part[tap ? channel * EACH + e : plan.channels * EACH + channel + (e - taps)] = total;
    }
}

/* Block b takes channel tile b % channel_tiles and split b / channel_tiles; partial gradients lie `stride` floats
 * apart. */
template <typename T, typename SHAPE>
__global__ void __launch_bounds__(RING_THREADS, SHAPE::BLOCKS)
    conv2d_depthwise_sliding_weights_kernel(ring_plan plan, bool biased, const T *x, const T *dy, float *partial,
                                            int64_t stride) {
    constexpr int VECTOR = RING_VECTOR / static_cast<int>(sizeof(T)), CHANNELS = SHAPE::CHANNELS;
    constexpr int BYTES = CHANNELS * static_cast<int>(sizeof(T));
    FV_DYNAMIC_SHARED(unsigned char, ring);
    unsigned char *const gradients = ring + SHAPE::SLOTS * plan.source.pitch;
    const int64_t tile = blockIdx.x % plan.channel_tiles, split = blockIdx.x / plan.channel_tiles;
    const int64_t channel = tile * plan.groups * VECTOR, left = (plan.channels - channel) / VECTOR;
    const int valid = static_cast<int>(left < plan.groups ? left : plan.groups);
    const int lane = static_cast<int>(threadIdx.x) % plan.lanes, strip = static_cast<int>(threadIdx.x) / plan.lanes;
    const int64_t all = plan.steps * plan.column_tiles * plan.images, first = split * plan.per_walk;
    const int64_t end = first + plan.per_walk < all ? first + plan.per_walk : all;
    const int64_t source_pixels = static_cast<int64_t>(plan.source.rows) * plan.source.columns;
    const int64_t gradient_pixels = static_cast<int64_t>(plan.other.rows) * plan.other.columns;

    int slot = 0; /* of the first row under the step */
    /* Fetches what step `index` needs in addition to the step before, or all of it. */
    const auto fetch = [&](int64_t index, bool whole, int to) {
        const gradient_step at = gradient_step_of(plan, index);
        const int row = plan.vertical.start + at.step * SHAPE::ROWS_ON;
        const int again = whole ? 0 : SHAPE::ROWS_IN - SHAPE::ROWS_ON;
        copy_rows<SHAPE::COLUMN_BYTES>(plan.source, x + at.image * source_pixels * plan.channels + channel, valid,
                                       row + again, SHAPE::ROWS_IN - again,
                                       plan.horizontal.start + at.column_tile * plan.strips * SHAPE::COLS_ON,
                                       to + again, SHAPE::SLOTS, ring);
        copy_rows<SHAPE::COLUMN_BYTES>(plan.other, dy + at.image * gradient_pixels * plan.channels + channel, valid,
                                       at.step * SHAPE::ROWS_OUT, SHAPE::ROWS_OUT,
                                       at.column_tile * plan.strips * SHAPE::COLS_OUT,
                                       static_cast<int>(index % 2) * SHAPE::ROWS_OUT, 2 * SHAPE::ROWS_OUT, gradients);
        async_copy_commit();
    };

    const unsigned char *const own = ring + strip * SHAPE::COLS_ON * SHAPE::COLUMN_BYTES + lane * BYTES;
    const unsigned char *const own_gradients = gradients + strip * SHAPE::COLS_OUT * SHAPE::COLUMN_BYTES + lane * BYTES;
    float sum[SHAPE::TAPS][CHANNELS] = {}, bias[CHANNELS] = {};
    bool fetched = false; /* the step's rows are on their way */
    for (int64_t index = first; index < end; ++index) {
        if (!fetched) {
            __syncthreads(); /* nobody reads the ring any more */
            slot = 0;
            fetch(index, true, slot);
        }
        async_copy_wait<0>();
        __syncthreads(); /* the rows of this step are there, and nobody reads those any more that are overwritten */
        const int next =
            slot + SHAPE::ROWS_ON < SHAPE::SLOTS ? slot + SHAPE::ROWS_ON : slot + SHAPE::ROWS_ON - SHAPE::SLOTS;
        fetched = index + 1 < end && (index + 1) % plan.steps != 0;
        if (fetched)
            fetch(index + 1, false, next);
        float gradient[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][CHANNELS];
        FV_UNROLL
        for (int a = 0; a < SHAPE::ROWS_OUT; ++a)
            read_columns<SHAPE::COLS_OUT, SHAPE::COLUMN_BYTES, T>(
                own_gradients + (static_cast<int>(index % 2) * SHAPE::ROWS_OUT + a) * plan.other.pitch, gradient[a]);
        slide_gradient_rows<T, SHAPE>(own, plan.source.pitch, slot, gradient, sum);
        FV_UNROLL
        for (int i = 0; i < SHAPE::ROWS_OUT * SHAPE::COLS_OUT * CHANNELS; ++i)
            bias[i % CHANNELS] +=
                gradient[i / CHANNELS / SHAPE::COLS_OUT][i / CHANNELS % SHAPE::COLS_OUT][i % CHANNELS];
        slot = next;
    }
    __syncthreads(); /* the rings become the place of the parts */
    add_strips<SHAPE>(plan, channel, lane, strip, biased, sum, bias, reinterpret_cast<float *>(ring),
                      partial + split * stride);
}

} // namespace FV_NAMESPACE

#endif
