/* Depthwise correlation with windows too large for registers: all three passes are
 *
 *     result[i][a][b][c] = sum over r, s of window[r][s][c] * source[start + a + r][start + b + s][c],
 *
 * each channel by itself:
 * - forward:          window = the filters, source = x;
 * - backward_data:    window = the filters, reversed, source = dy;
 * - backward_weights: window = dy, source = x, result = dw: as many columns and rows as the filter has, and summed over
 *                     images.
 * (The filters are brought into the order [r][s][c] by a kernel before, so that they can be read as an image.)
 *
 * A block owns a tile of channels, columns and rows of results; a thread one channel and SWEEP_ROWS x COLS results, in
 * registers. The source rows under the block go by one after the other, and meet the window rows that
 * go by at the same time: both in rings in shared memory, the next row always on its way. Of a source row a
 * thread takes COLS + TURN - 1 columns into registers, and multiplies them with TURN taps of each window row that belongs
 * to one of its rows of results: COLS + TURN - 1 + SWEEP_ROWS*TURN reads for SWEEP_ROWS*TURN*COLS products. Source rows
 * outside the image are left out.
 *
 * Lanes are channels: reads of both rings are side by side, without conflicts, of 128 bytes for f32 (64 for 16 bits) where
 * there are 32 channels. */
#ifndef FOVEA_CONV2D_DEPTHWISE_SWEEP_CUH
#define FOVEA_CONV2D_DEPTHWISE_SWEEP_CUH

#include "conv2d_depthwise_ring.cuh"

namespace FV_NAMESPACE {

constexpr int SWEEP_ROWS = 4, SWEEP_LANES = 32;

/* What is compiled: results side by side, taps at a time; for which there are registers in two blocks. */
template <int COLS_, int TURN_>
struct sweep_shape {
    static constexpr int COLS = COLS_, TURN = TURN_, BLOCKS = 2;
    static constexpr int GROUPS = SWEEP_LANES, CHANNELS = 1; /* at most, see sweep_plan_of */
};

/* How a sweep is cut: a ring_plan whose `other` is the window, per_walk the row tiles of a block and walks the blocks that
 * they make; and what the filter gradient adds. */
struct sweep_plan {
    ring_plan cut;
    int window_rows, window_columns; /* columns: rounded up to whole turns */
    int turn;
    int64_t per_split, splits; /* images of a split */
    int64_t window_pitch;      /* elements from one image's window to the next's; 0: all have the same */
};

/* The sum of a turn: sum[a][b] += taps * in. at[a]: where the window row lies that the source row meets under the
 * thread's row a; negative where it meets none. */
template <typename SHAPE, typename T, typename W>
__device__ __forceinline__ void sweep_turn(const unsigned char *source, const unsigned char *window,
                                           const int (&at)[SWEEP_ROWS], float (&sum)[SWEEP_ROWS][SHAPE::COLS]) {
    constexpr int COUNT = SHAPE::COLS + SHAPE::TURN - 1;
    float in[COUNT][1];
    read_columns<COUNT, SWEEP_LANES *static_cast<int>(sizeof(T)), T>(source, in);
    FV_UNROLL
    for (int a = 0; a < SWEEP_ROWS; ++a) {
        if (at[a] < 0)
            continue;
        float tap[SHAPE::TURN][1];
        read_columns<SHAPE::TURN, SWEEP_LANES *static_cast<int>(sizeof(W)), W>(window + at[a], tap);
        FV_UNROLL
        for (int u = 0; u < SHAPE::TURN; ++u) {
            FV_UNROLL
            for (int b = 0; b < SHAPE::COLS; ++b)
                sum[a][b] += tap[u][0] * in[b + u][0];
        }
    }
}

/* Block indices run over channel tiles, column tiles, row blocks, and images or splits. T: of the source, W: of the
 * window, O: of the result. bias: NULL for none. */
template <typename SHAPE, typename T, typename W, typename O>
__global__ void __launch_bounds__(RING_THREADS, SHAPE::BLOCKS)
    conv2d_depthwise_sweep_kernel(sweep_plan plan, bool rectified, const T *source, const W *window, const T *bias,
                                  O *result, int64_t result_pitch) {
    FV_DYNAMIC_SHARED(unsigned char, ring); /* [2 source rows], [slots window rows] */
    const ring_plan &cut = plan.cut;
    unsigned char *const taps = ring + 2 * cut.source.pitch;
    unsigned block = blockIdx.x;
    const int64_t first_channel = static_cast<int64_t>(block % static_cast<unsigned>(cut.channel_tiles)) * cut.lanes;
    block /= static_cast<unsigned>(cut.channel_tiles);
    const int tile_column =
        static_cast<int>(block % static_cast<unsigned>(cut.column_tiles)) * cut.strips * SHAPE::COLS;
    block /= static_cast<unsigned>(cut.column_tiles);
    const int block_rows = static_cast<int>(cut.per_walk) * SWEEP_ROWS, slots = block_rows + 1;
    const int block_row = static_cast<int>(block % static_cast<unsigned>(cut.walks)) * block_rows;
    const int64_t split = block / static_cast<unsigned>(cut.walks);

    const int thread = static_cast<int>(threadIdx.x), lane = thread % cut.lanes;
    const int strip = thread / cut.lanes % cut.strips, row_tile = thread / cut.lanes / cut.strips;
    const int64_t channel = first_channel + lane, left = cut.channels - first_channel;
    const int own_channels = static_cast<int>(left < cut.lanes ? left : cut.lanes);
    const bool active = channel < cut.channels;
    const int top = block_row + cut.vertical.start, left_column = tile_column + cut.horizontal.start;
    const int rows = block_rows + plan.window_rows - 1; /* that go by, of which those inside are taken */
    const int low = top < 0 ? -top : 0, high = cut.source.rows - top < rows ? cut.source.rows - top : rows;
    const int64_t pixels = static_cast<int64_t>(cut.source.rows) * cut.source.columns;

    const float start = active && bias ? widen(bias[channel]) : 0.0f;
    float sum[SWEEP_ROWS][SHAPE::COLS];
    FV_UNROLL
    for (int i = 0; i < SWEEP_ROWS * SHAPE::COLS; ++i)
        sum[i / SHAPE::COLS][i % SHAPE::COLS] = start;
    const int64_t first_image = split * plan.per_split, end_image = first_image + plan.per_split;
    for (int64_t image = first_image; image < end_image && image < cut.images; ++image) {
        const T *const from = source + image * pixels * cut.channels + first_channel;
        const W *const window_from = window + image * plan.window_pitch + first_channel;
        const auto fetch = [&](int row, int first_window_row, int end_window_row) {
            copy_rows<SWEEP_LANES *static_cast<int>(sizeof(T))>(
                cut.source, from, own_channels * static_cast<int>(sizeof(T)) / RING_VECTOR, top + row, 1, left_column,
                row % 2, 2, ring);
            for (int r = first_window_row; r < end_window_row && r < plan.window_rows; ++r)
                copy_rows<SWEEP_LANES *static_cast<int>(sizeof(W))>(
                    cut.other, window_from, own_channels * static_cast<int>(sizeof(W)) / RING_VECTOR, r, 1, 0,
                    r % slots, slots, taps);
            async_copy_commit();
        };
        if (low < high) {
            __syncthreads(); /* nobody reads the rows of the image before */
            fetch(low, low - block_rows + 1 > 0 ? low - block_rows + 1 : 0, low + 1);
        }
        for (int row = low; row < high; ++row) {
            async_copy_wait<0>();
            __syncthreads(); /* this row is there, and nobody reads those any more that are overwritten */
            if (row + 1 < high)
                fetch(row + 1, row + 1, row + 2);
            const int r = row - row_tile * SWEEP_ROWS; /* the window row that row 0 of the thread meets */
            if (r < 0 || r - (SWEEP_ROWS - 1) >= plan.window_rows)
                continue;
            int at[SWEEP_ROWS];
            FV_UNROLL
            for (int a = 0; a < SWEEP_ROWS; ++a)
                at[a] = r - a >= 0 && r - a < plan.window_rows ? (r - a) % slots * cut.other.pitch : -1;
            const unsigned char *own = ring + row % 2 * cut.source.pitch +
                                       (strip * SHAPE::COLS * SWEEP_LANES + lane) * static_cast<int>(sizeof(T));
            const unsigned char *own_taps = taps + lane * static_cast<int>(sizeof(W));
            for (int s = 0; s < plan.window_columns; s += SHAPE::TURN) {
                sweep_turn<SHAPE, T, W>(own, own_taps, at, sum);
                own += SHAPE::TURN * SWEEP_LANES * static_cast<int>(sizeof(T));
                own_taps += SHAPE::TURN * SWEEP_LANES * static_cast<int>(sizeof(W));
            }
        }
    }
    if (!active)
        return;
    O *const to = result + split * result_pitch + channel;
    FV_UNROLL
    for (int a = 0; a < SWEEP_ROWS; ++a) {
        const int row = block_row + row_tile * SWEEP_ROWS + a;
        FV_UNROLL
        for (int b = 0; b < SHAPE::COLS; ++b) {
            const int column = tile_column + strip * SHAPE::COLS + b;
            if (row < cut.vertical.result && column < cut.horizontal.result)
                to[(static_cast<int64_t>(row) * cut.horizontal.result + column) * cut.channels] =
                    narrow<O>(rectified && sum[a][b] < 0 ? 0.0f : sum[a][b]);
        }
    }
}

/* ---- host ---- */

/* Sizes of the elements of source and window. */
struct sweep_elements {
    int source, window;
};

/* Share of the pairs of a row of results and a row of the window that meet in a row of the source; the others cost
 * nothing. Of long images the first rows tell. */
inline double rows_met(const ring_axis &axis, int64_t window) {
    const int64_t rows = axis.result < 4096 ? axis.result : 4096;
    int64_t met = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t top = row + axis.start, low = top < 0 ? -top : 0;
        const int64_t high = axis.source - top < window ? axis.source - top : window;
        met += high > low ? high - low : 0;
    }
    return static_cast<double>(met) / (static_cast<double>(rows) * static_cast<double>(window));
}

/* Fills in the cut of a plan of which axes, images, channels, sources (but for what a ring holds) and the window are
 * set; `loops`: images that a block takes. The cost is that of the whole. */
template <typename SHAPE>
void cut_sweep(sweep_plan &plan, sweep_elements element, int64_t loops) {
    ring_plan &cut = plan.cut, best = {};
    const int64_t strips = ceil_div(cut.horizontal.result, SHAPE::COLS);
    const double met = rows_met(cut.vertical, plan.window_rows);
    const int64_t row_tiles = ceil_div(cut.vertical.result, SWEEP_ROWS);
    /* Vectors of the narrower element. */
    const int vector = RING_VECTOR / (element.source < element.window ? element.source : element.window);
    const int64_t widest = SWEEP_LANES / vector;
    cut.channel_tiles = ceil_div(cut.channels / vector, widest);
    cut.groups = static_cast<int>(ceil_div(cut.channels / vector, cut.channel_tiles));
    cut.lanes = cut.groups * vector;
    cut.source.groups = cut.lanes * element.source / RING_VECTOR;
    cut.other.groups = cut.lanes * element.window / RING_VECTOR;
    if (static_cast<int64_t>(plan.window_columns) * SWEEP_LANES > MAX_SHARED_BYTES_OPT_IN) {
        cut = {}; /* not even one row of the window fits */
        return;
    }
    cut.other.held = plan.window_columns;
    cut.other.pitch = cut.other.held * SWEEP_LANES * element.window;
    for (cut.strips = 1; cut.strips <= strips && cut.strips * cut.lanes <= RING_THREADS; ++cut.strips)
        for (cut.per_walk = 1; cut.per_walk <= row_tiles && cut.per_walk * cut.strips * cut.lanes <= RING_THREADS;
             ++cut.per_walk) {
            cut.threads = static_cast<int>(cut.per_walk) * cut.strips * cut.lanes;
            cut.column_tiles = ceil_div(strips, cut.strips);
            cut.walks = ceil_div(row_tiles, cut.per_walk);
            cut.source.held = cut.strips * SHAPE::COLS + plan.window_columns - 1;
            cut.source.pitch = cut.source.held * SWEEP_LANES * element.source;
            const int64_t block_rows = cut.per_walk * SWEEP_ROWS;
            cut.shared_bytes = int64_t{2} * cut.source.pitch + (block_rows + 1) * cut.other.pitch;
            if (cut.shared_bytes > MAX_SHARED_BYTES_OPT_IN)
                continue;
            cut.blocks = ring_blocks(static_cast<double>(cut.channel_tiles * cut.column_tiles) *
                                     static_cast<double>(cut.walks) * static_cast<double>(plan.splits));
            const double rows = static_cast<double>(block_rows) + plan.window_rows - 1;
            const double source_row = static_cast<double>(cut.source.held) * cut.lanes * element.source;
            const double window_row = static_cast<double>(cut.other.held) * cut.lanes * element.window;
            const double results = static_cast<double>(block_rows) * cut.strips * SHAPE::COLS * cut.lanes;
            const double many = static_cast<double>(loops);
            set_ring_cost(cut, SHAPE::BLOCKS,
                          {many * (rows * source_row + plan.window_rows * window_row), results * element.source,
                           many * met * results * plan.window_rows * plan.window_columns, source_row});
            if (best.threads == 0 || cut.cost < best.cost)
                best = cut;
        }
    cut = best;
}

/* How many of `count` results or taps are computed in steps of `step`. */
inline int64_t rounded_up(int64_t count, int64_t step) {
    return ceil_div(count, step) * step;
}

constexpr int SWEEP_COLS = 14, SWEEP_GRADIENT_COLS = 16; /* 14: images of 56, 28 and 14; 16: windows of 31 */

/* Taps at a time: 8 read less, 4 waste less on what the window's columns are short of a multiple. */
inline int sweep_turn_of(int64_t columns) {
    return rounded_up(columns, 8) == rounded_up(columns, 4) ? 8 : 4;
}

/* Forward and backward_data; the filters lie as floats in the workspace. */
inline sweep_plan sweep_plan_of(const fv_conv2d &d, bool backward, int element) {
    sweep_plan plan = {};
    ring_plan &cut = plan.cut;
    cut.vertical = ring_axis_of(d.h, fv_conv2d_p(&d), d.r, 1, d.pad_top, backward);
    cut.horizontal = ring_axis_of(d.w, fv_conv2d_q(&d), d.s, 1, d.pad_left, backward);
    cut.images = plan.splits = d.n;
    cut.channels = d.c;
    cut.source = {cut.vertical.source, cut.horizontal.source, d.c, 0, 0, 0};
    cut.other = {static_cast<int>(d.r), static_cast<int>(d.s), d.c, 0, 0, 0};
    plan.turn = sweep_turn_of(d.s);
    plan.window_rows = static_cast<int>(d.r);
    plan.window_columns = static_cast<int>(rounded_up(d.s, plan.turn));
    plan.per_split = 1;
    cut_sweep<sweep_shape<SWEEP_COLS, 4>>(plan, {element, sizeof(float)}, 1);
    return plan;
}

/* backward_weights: results are the taps, the window is dy. */
inline sweep_plan sweep_weights_plan_of(const fv_conv2d &d, int element) {
    sweep_plan plan = {};
    ring_plan &cut = plan.cut;
    const int64_t p = fv_conv2d_p(&d), q = fv_conv2d_q(&d);
    cut.vertical = ring_axis_of(d.h, d.r, p, 1, d.pad_top, false);
    cut.horizontal = ring_axis_of(d.w, d.s, q, 1, d.pad_left, false);
    cut.images = d.n;
    cut.channels = d.c;
    cut.source = {cut.vertical.source, cut.horizontal.source, d.c, 0, 0, 0};
    cut.other = {static_cast<int>(p), static_cast<int>(q), d.c, 0, 0, 0};
    plan.turn = sweep_turn_of(q);
    plan.window_rows = static_cast<int>(p);
    plan.window_columns = static_cast<int>(rounded_up(q, plan.turn));
    plan.window_pitch = p * q * d.c;
    /* As many splits as blocks fill the device twice. */
    const int64_t tiles = ceil_div(d.c, SWEEP_LANES) * ceil_div(d.r, 2 * SWEEP_ROWS);
    const int64_t wanted = ceil_div(static_cast<int64_t>(4 * RING_UNITS), tiles);
    plan.per_split = d.n > wanted ? ceil_div(d.n, wanted) : 1;
    plan.splits = d.n > 0 ? ceil_div(d.n, plan.per_split) : 1;
    cut_sweep<sweep_shape<SWEEP_GRADIENT_COLS, 4>>(plan, {element, element}, plan.per_split);
    return plan;
}

} // namespace FV_NAMESPACE

#endif
