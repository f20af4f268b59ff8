/* The sliding depthwise kernel of forward and backward_data; conv2d_depthwise_ring.cuh says how the image goes by.
 *
 * A thread keeps the filters of its channels in registers, and the ROWS_OUT x COLS_OUT results of a step. It takes the
 * source rows under these one after the other from the ring, each once, and multiplies each with all filter rows that
 * meet it. */
#ifndef FOVEA_CONV2D_DEPTHWISE_SLIDING_CUH
#define FOVEA_CONV2D_DEPTHWISE_SLIDING_CUH

#include "conv2d_depthwise_ring.cuh"

namespace FV_NAMESPACE {

/* The shapes, so that filters, results and a row of inputs take up to 100 registers. COLS_OUT = 7 cuts images of 7, 14,
 * 28 and 56 columns without a rest, which matters where arithmetic is the limit. */
template <typename T, int WINDOW, int DOWN, int UP>
constexpr auto sliding_shape() {
    constexpr bool NARROW = sizeof(T) == 2;
    if constexpr (WINDOW == 3)
        return ring_shape < 3, DOWN, UP, UP == 2 ? 4 : 2, 4, 2, 8, 3 > ();
    else if constexpr (WINDOW == 5)
        return ring_shape < 5, DOWN, UP, NARROW || DOWN == 2 ? 2 : 4, 4, NARROW ? 2 : 1, 8, NARROW ? 2 : 3 > ();
    else if constexpr (DOWN == 2)
        return ring_shape<7, 2, 1, 2, 4, 1, 4, 2>();
    else if constexpr (UP == 2)
        return ring_shape<7, 1, 2, 4, 8, 1, 4, 2>();
    else
        return ring_shape<7, 1, 1, 4, 7, 1, 4, 2>();
}

/* Tries all cuts of the image into columns, channels and walks of several steps. */
template <typename T, typename SHAPE>
ring_plan sliding_plan_of(const fv_conv2d &d, bool backward) {
    ring_plan plan = {};
    plan.vertical = ring_axis_of(d.h, fv_conv2d_p(&d), d.r, d.stride_h, d.pad_top, backward);
    plan.horizontal = ring_axis_of(d.w, fv_conv2d_q(&d), d.s, d.stride_w, d.pad_left, backward);
    plan.images = d.n;
    plan.channels = d.c;
    plan.steps = ceil_div(plan.vertical.result + plan.vertical.skew, SHAPE::ROWS_OUT);
    const int64_t strips = ceil_div(plan.horizontal.result + plan.horizontal.skew, SHAPE::COLS_OUT);
    ring_plan best = {};
    for_each_ring_cut<SHAPE>(plan, strips, sizeof(T), [&] {
        const int held = (plan.strips - 1) * SHAPE::COLS_ON + SHAPE::COLS_IN;
        plan.source = {plan.vertical.source, plan.horizontal.source,    d.c, held,
                       plan.groups,          held * SHAPE::COLUMN_BYTES};
        plan.shared_bytes =
            int64_t{SHAPE::SLOTS} * plan.source.pitch + int64_t{plan.groups} * RING_VECTOR * SHAPE::TAPS;
        if (plan.shared_bytes > MAX_SHARED_BYTES_OPT_IN)
            return;
        for (int64_t parts = 1; parts <= 16 && parts <= plan.steps; ++parts) {
            plan.per_walk = ceil_div(plan.steps, parts);
            plan.walks = ceil_div(plan.steps, plan.per_walk);
            plan.blocks = ring_blocks(static_cast<double>(plan.channel_tiles * plan.column_tiles) *
                                      static_cast<double>(plan.walks) * static_cast<double>(plan.images));
            const double column = plan.groups * RING_VECTOR, rows_on = static_cast<double>(plan.per_walk) - 1;
            const double loaded = (SHAPE::ROWS_IN + rows_on * SHAPE::ROWS_ON) * held * column;
            const double results = (rows_on + 1) * SHAPE::ROWS_OUT * plan.strips * SHAPE::COLS_OUT;
            const double products = results * column / sizeof(T) * SHAPE::TAPS / (SHAPE::UP * SHAPE::UP);
            set_ring_cost(plan, SHAPE::BLOCKS,
                          {loaded, results * column, products, static_cast<double>(SHAPE::ROWS_ON) * held * column});
            if (best.threads == 0 || plan.cost < best.cost)
                best = plan;
        }
    });
    return best;
}

/* Where a block stands in the work, and a thread in its block. */
struct ring_place {
    int lane, strip;
    int tile_column; /* the block's first strip */
    int first_step, end_step;
    int valid;              /* groups of 16 bytes with channels */
    int64_t image, channel; /* the block's first channel */
};

template <typename SHAPE>
__device__ ring_place ring_place_of(const ring_plan &plan, int vector) {
    unsigned block = blockIdx.x;
    ring_place place;
    const unsigned channel_tile = block % static_cast<unsigned>(plan.channel_tiles);
    block /= static_cast<unsigned>(plan.channel_tiles); /* neighbours share lines of memory, then halos */
    const unsigned column_tile = block % static_cast<unsigned>(plan.column_tiles);
    block /= static_cast<unsigned>(plan.column_tiles);
    const unsigned walk = block % static_cast<unsigned>(plan.walks);
    place.image = block / static_cast<unsigned>(plan.walks);
    place.channel = static_cast<int64_t>(channel_tile) * plan.groups * vector;
    const int64_t left = (plan.channels - place.channel) / vector;
    place.valid = static_cast<int>(left < plan.groups ? left : plan.groups);
    place.tile_column = static_cast<int>(column_tile) * plan.strips;
    place.first_step = static_cast<int>(walk * plan.per_walk);
    const int64_t end = place.first_step + plan.per_walk;
    place.end_step = static_cast<int>(end < plan.steps ? end : plan.steps);
    place.lane = static_cast<int>(threadIdx.x) % plan.lanes;
    place.strip = static_cast<int>(threadIdx.x) / plan.lanes;
    return place;
}

/* sum[a][b] += the products of the source row that is number K under the thread's results. */
template <typename SHAPE, int K>
__device__ __forceinline__ void slide_row(const float (&filter)[SHAPE::TAPS][SHAPE::CHANNELS],
                                          const float (&in)[SHAPE::COLS_IN][SHAPE::CHANNELS],
                                          float (&sum)[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][SHAPE::CHANNELS]) {
    FV_UNROLL
    for (int a = 0; a < SHAPE::ROWS_OUT; ++a) {
        const int r = K * SHAPE::UP - a * SHAPE::DOWN;
        if (r < 0 || r >= SHAPE::WINDOW)
            continue;
        FV_UNROLL
        for (int s = 0; s < SHAPE::WINDOW; ++s) {
            FV_UNROLL
            for (int b = 0; b < SHAPE::COLS_OUT; ++b) {
                if ((b * SHAPE::DOWN + s) % SHAPE::UP != 0)
                    continue;
                FV_UNROLL
                for (int v = 0; v < SHAPE::CHANNELS; ++v)
                    sum[a][b][v] += filter[r * SHAPE::WINDOW + s][v] * in[(b * SHAPE::DOWN + s) / SHAPE::UP][v];
            }
        }
    }
}

/* slide_row for rows K, K+1, ..., which lie in the ring from `slot` on. */
template <typename T, typename SHAPE, int K = 0>
__device__ __forceinline__ void slide_rows(const unsigned char *ring, int pitch, int slot,
                                           const float (&filter)[SHAPE::TAPS][SHAPE::CHANNELS],
                                           float (&sum)[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][SHAPE::CHANNELS]) {
    if constexpr (K < SHAPE::ROWS_IN) {
        float in[SHAPE::COLS_IN][SHAPE::CHANNELS];
        read_columns<SHAPE::COLS_IN, SHAPE::COLUMN_BYTES, T>(ring + slot * pitch, in);
        slide_row<SHAPE, K>(filter, in, sum);
        slide_rows<T, SHAPE, K + 1>(ring, pitch, slot + 1 < SHAPE::SLOTS ? slot + 1 : 0, filter, sum);
    }
}

/* Writes a step's results: those from (row, column) on, of a thread's channels, that are inside the image. */
template <typename T, typename SHAPE>
__device__ __forceinline__ void store_results(const ring_plan &plan, int row, int column, bool rectified,
                                              const float (&sum)[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][SHAPE::CHANNELS],
                                              T *image) {
    FV_UNROLL
    for (int a = 0; a < SHAPE::ROWS_OUT; ++a) {
        if (row + a < 0 || row + a >= plan.vertical.result)
            continue;
        T *const line = image + static_cast<int64_t>(row + a) * plan.horizontal.result * plan.channels;
        FV_UNROLL
        for (int b = 0; b < SHAPE::COLS_OUT; ++b) {
            if (column + b < 0 || column + b >= plan.horizontal.result)
                continue;
            channel_lanes<T, SHAPE::CHANNELS> values;
            FV_UNROLL
            for (int v = 0; v < SHAPE::CHANNELS; ++v)
                values.at[v] = narrow<T>(rectified && sum[a][b][v] < 0 ? 0.0f : sum[a][b][v]);
            *reinterpret_cast<channel_lanes<T, SHAPE::CHANNELS> *>(line + (column + b) * plan.channels) = values;
        }
    }
}

/* reversed: the filters are taken from their last tap to their first. bias: NULL for none. */
template <typename T, typename SHAPE>
__global__ void __launch_bounds__(RING_THREADS, SHAPE::BLOCKS)
    conv2d_depthwise_sliding_kernel(ring_plan plan, bool reversed, bool rectified, const T *source, const T *filters,
                                    const T *bias, T *result) {
    constexpr int VECTOR = RING_VECTOR / static_cast<int>(sizeof(T)), CHANNELS = SHAPE::CHANNELS;
    FV_DYNAMIC_SHARED(unsigned char, ring);
    unsigned char *const taps = ring + SHAPE::SLOTS * plan.source.pitch; /* [channel][tap], as in memory */
    const ring_place place = ring_place_of<SHAPE>(plan, VECTOR);
    const int64_t pixels = static_cast<int64_t>(plan.vertical.source) * plan.horizontal.source;
    const T *const image = source + place.image * pixels * plan.channels + place.channel;
    const int first_column = plan.horizontal.start + place.tile_column * SHAPE::COLS_ON;
    const auto fetch = [&](int row, int count, int slot) {
        copy_rows<SHAPE::COLUMN_BYTES>(plan.source, image, place.valid, row, count, first_column, slot, SHAPE::SLOTS,
                                       ring);
        async_copy_commit();
    };

    const unsigned char *const from = reinterpret_cast<const unsigned char *>(filters + place.channel * SHAPE::TAPS);
    for (int i = static_cast<int>(threadIdx.x); i < place.valid * SHAPE::TAPS; i += static_cast<int>(blockDim.x))
        async_copy<RING_VECTOR>(taps + i * RING_VECTOR, from + i * RING_VECTOR);
    int row = plan.vertical.start + place.first_step * SHAPE::ROWS_ON; /* the first under the step's results */
    fetch(row, SHAPE::ROWS_IN, 0);
    async_copy_wait<0>();
    __syncthreads();

    const bool active = place.lane * CHANNELS < place.valid * VECTOR;
    const int64_t channel = place.channel + place.lane * CHANNELS;
    float filter[SHAPE::TAPS][CHANNELS], start[CHANNELS];
    FV_UNROLL
    for (int v = 0; v < CHANNELS; ++v) {
        start[v] = active && bias ? widen(bias[channel + v]) : 0.0f;
        const T *const own = reinterpret_cast<const T *>(taps) + (place.lane * CHANNELS + v) * SHAPE::TAPS;
        FV_UNROLL
        for (int t = 0; t < SHAPE::TAPS; ++t)
            filter[t][v] = widen(own[reversed ? SHAPE::TAPS - 1 - t : t]);
    }

    const unsigned char *const own =
        ring + place.strip * SHAPE::COLS_ON * SHAPE::COLUMN_BYTES + place.lane * CHANNELS * static_cast<int>(sizeof(T));
    const int column = (place.tile_column + place.strip) * SHAPE::COLS_OUT - plan.horizontal.skew;
    T *const results = result + place.image * plan.vertical.result * plan.horizontal.result * plan.channels + channel;
    int slot = 0;
    for (int step = place.first_step; step < place.end_step; ++step) {
        if (step > place.first_step) {
            async_copy_wait<0>();
            __syncthreads(); /* the rows of this step are there, and nobody reads those any more that are overwritten */
        }
        if (step + 1 < place.end_step)
            fetch(row + SHAPE::ROWS_IN, SHAPE::ROWS_ON, slot + SHAPE::ROWS_IN);
        float sum[SHAPE::ROWS_OUT][SHAPE::COLS_OUT][CHANNELS];
        FV_UNROLL
        for (int a = 0; a < SHAPE::ROWS_OUT; ++a) {
            FV_UNROLL
            for (int b = 0; b < SHAPE::COLS_OUT; ++b) {
                FV_UNROLL
                for (int v = 0; v < CHANNELS; ++v)
                    sum[a][b][v] = start[v];
            }
        }
        slide_rows<T, SHAPE>(own, plan.source.pitch, slot, filter, sum);
        if (active)
            store_results<T, SHAPE>(plan, step * SHAPE::ROWS_OUT - plan.vertical.skew, column, rectified, sum, results);
        row += SHAPE::ROWS_ON;
        slot += SHAPE::ROWS_ON;
        slot -= slot < SHAPE::SLOTS ? 0 : SHAPE::SLOTS;
    }
}

} // namespace FV_NAMESPACE

#endif
