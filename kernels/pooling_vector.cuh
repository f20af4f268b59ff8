/* Pooling at the speed of memory: windows that are known to the compiler, 16 bytes of channels to a thread, and a strip of
 * two or more results down the image.
 *
 * direct (maxpool.cu and its like) divides for the place of each element and once for each tap, and its loads wait for
 * loops whose ends it does not know: backward of a 3x3 window spends some 700 instructions on four channels of a pixel.
 * Here a block has a line of results (all columns and channels of a strip, or a part of them), so that a thread divides
 * once; and all of a strip's loads are there at once, without a condition between them: 8 to 18 of 16 bytes in each
 * thread, where 23 KB for each multiprocessor are enough to hide the memory's latency (4.3 TB/s * 700 ns / 132).
 * Neighbouring threads have neighbouring channels, then columns: every access is coalesced. What neighbouring columns
 * share comes from L1; rows that neighbouring strips share are read again from L2: a strip of ROWS results reads
 * ((ROWS-1)*STRIDE + EXTENT) / (ROWS*STRIDE) of its rows, 1.25 for 3x3/2 and 1.5 for 3x3/1.
 *
 * Backward a thread owns cells, of STRIDE x STRIDE pixels: those between the first taps of one window and those of the
 * next. A cell lies under COVER windows along each axis, whose taps are known for each of its pixels. It reads these
 * windows and writes each pixel once: a gather, without atomics or clearing.
 *
 * Budget: 30 to 116 registers, no shared memory: two to eight blocks of up to 256 threads, which have 80 KB and more under
 * way on each multiprocessor. The work is 0.1 to 0.5 FLOP a byte; what could stand in memory's way are instructions: of
 * four channels some 60 for a result of 2x2, 190 for one of 3x3, and 250 for a pixel of a backward 3x3 with stride 1.
 *
 * Expected on an H200, as shares of minimal bytes at a copy's 4.3 TB/s (the rows' estimates; 2 us of each launch):
 *     maxpool n=64 c=64 224x224 2x2/2      forward 272 us, 92 %   backward_data 272 us, 92 %
 *     maxpool n=50 c=64 112x112 3x3/2      forward  55 us, 90 %   backward_data  55 us, 90 %
 *     maxpool n=96 c=192 28x28 3x3         forward  35 us, 88 %   backward_data  48 us, 62 % (bound by instructions)
 * where direct is expected at 297, 60 and 57 us forward, 889, 341 and 124 backward. Channels that are no multiple of four
 * go by single floats: still coalesced, with four times the instructions. */
#ifndef FOVEA_POOLING_VECTOR_CUH
#define FOVEA_POOLING_VECTOR_CUH

#include "pooling.cuh"

namespace FV_NAMESPACE {

constexpr int LINE_THREADS = 256;

/* A window of EXTENT x EXTENT taps; a strip has ROWS results forward, CELLS backward (more would
 * not leave registers for two blocks where nine windows lie over a pixel). */
template <int EXTENT_, int STRIDE_, int ROWS_>
struct pool_window {
    static constexpr int EXTENT = EXTENT_, STRIDE = STRIDE_, ROWS = ROWS_, CELLS = 2;
    static constexpr int PATCH_ROWS = (ROWS - 1) * STRIDE + EXTENT; /* input rows that a strip reads */
    static constexpr int COVER = (EXTENT + STRIDE - 1) / STRIDE;    /* windows over a cell along an axis */
    static constexpr int COVER_ROWS = CELLS + COVER - 1;            /* and over a strip of cells */
};

/* Lines of results or of cells, and how blocks take them. */
struct pool_lines {
    int h, w, p, q, pad_top, pad_left;
    int channels; /* in groups of lanes */
    int items;    /* of a line: columns times channels */
    int strips;   /* lines of an image */
    int tiles;    /* blocks to a line */
};

/* Where a thread works: its strip, column and channels. */
struct pool_place {
    int64_t image;
    int strip, col, c;
    bool any;
};

__device__ inline pool_place pool_place_of(const pool_lines &g) {
    const int tile = static_cast<int>(blockIdx.x) % g.tiles, line = static_cast<int>(blockIdx.x) / g.tiles;
    const int item = tile * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x), col = item / g.channels;
    return {.image = line / g.strips,
            .strip = line % g.strips,
            .col = col,
            .c = item - col * g.channels,
            .any = item < g.items};
}

/* Where the thread's channels of a pixel, or of a window, lie in groups of lanes. */
__device__ inline int64_t pool_pixel(const pool_lines &g, const pool_place &at, int row, int col) {
    return ((at.image * g.h + row) * g.w + col) * g.channels + at.c;
}

__device__ inline int64_t pool_result(const pool_lines &g, const pool_place &at, int row, int col) {
    return ((at.image * g.p + row) * g.q + col) * g.channels + at.c;
}

template <int LANES>
__device__ inline channel_lanes<float, LANES> all_lanes(float value) {
    channel_lanes<float, LANES> lanes;
    FV_UNROLL
    for (int l = 0; l < LANES; ++l)
        lanes.at[l] = value;
    return lanes;
}

template <typename WINDOW, int LANES>
using pool_patch = channel_lanes<float, LANES>[WINDOW::PATCH_ROWS][WINDOW::EXTENT];

/* Reads all pixels under a strip of windows; `outside` stands for those beyond the image. */
template <typename WINDOW, int LANES>
__device__ void pool_read_patch(const pool_lines &g, const pool_place &at, const float *x, float outside,
                                pool_patch<WINDOW, LANES> &patch) {
    const int top = at.strip * (WINDOW::ROWS * WINDOW::STRIDE) - g.pad_top, left = at.col * WINDOW::STRIDE - g.pad_left;
    FV_UNROLL
    for (int i = 0; i < WINDOW::PATCH_ROWS; ++i) {
        FV_UNROLL
        for (int j = 0; j < WINDOW::EXTENT; ++j) {
            const int row = top + i, col = left + j;
            patch[i][j] = row >= 0 && row < g.h && col >= 0 && col < g.w
                              ? load_lanes<LANES>(x, pool_pixel(g, at, row, col))
                              : all_lanes<LANES>(outside);
        }
    }
}

/* Backward for the cells of a strip: reads window (p, q) by read(p, q), a default-made part where there is none, and
 * stores to each pixel what join(sum, part, tap) makes of all parts over it, the first windows first, from zeros. */
template <typename WINDOW, int LANES, typename PART, typename READ, typename JOIN>
__device__ void pool_gather(const pool_lines &g, const pool_place &at, const READ &read, const JOIN &join, float *dx) {
    constexpr int STRIDE = WINDOW::STRIDE, EXTENT = WINDOW::EXTENT, COVER = WINDOW::COVER;
    const int first_cell = at.strip * WINDOW::CELLS;
    PART parts[WINDOW::COVER_ROWS][COVER];
    FV_UNROLL
    for (int i = 0; i < WINDOW::COVER_ROWS; ++i) {
        FV_UNROLL
        for (int j = 0; j < COVER; ++j) {
            const int p = first_cell - (COVER - 1) + i, q = at.col - (COVER - 1) + j;
            parts[i][j] = p >= 0 && p < g.p && q >= 0 && q < g.q ? read(p, q) : PART{};
        }
    }
    FV_UNROLL
    for (int i = 0; i < WINDOW::CELLS * STRIDE; ++i) {
        FV_UNROLL
        for (int j = 0; j < STRIDE; ++j) {
            const int row = first_cell * STRIDE + i - g.pad_top, col = at.col * STRIDE + j - g.pad_left;
            if (row < 0 || row >= g.h || col < 0 || col >= g.w)
                continue;
            channel_lanes<float, LANES> sum = {};
            FV_UNROLL
            for (int a = 0; a < COVER; ++a) {
                FV_UNROLL
                for (int b = 0; b < COVER; ++b) {
                    const int r = i % STRIDE + (COVER - 1 - a) * STRIDE, s = j + (COVER - 1 - b) * STRIDE;
                    if (r < EXTENT && s < EXTENT)
                        join(sum, parts[i / STRIDE + a][b], r * EXTENT + s);
                }
            }
            store_lanes(dx, pool_pixel(g, at, row, col), sum);
        }
    }
}

/* ---- host ---- */

/* Calls launch.operator()<WINDOW>() of the descriptor's window, which is one of these; APART: of those that share no
 * pixels. */
template <bool APART, typename F>
auto pool_window_dispatch(const fv_pool2d &d, const F &launch) {
    if constexpr (APART)
        return launch.template operator()<pool_window<2, 2, 2>>();
    else if (d.r == 2)
        return launch.template operator()<pool_window<2, 2, 2>>();
    else
        return d.stride_h == 2 ? launch.template operator()<pool_window<3, 2, 2>>()
                               : launch.template operator()<pool_window<3, 1, 4>>();
}

inline bool pool_has_window(const fv_pool2d &d) {
    const bool square = d.r == d.s && d.stride_h == d.stride_w && d.dilation_h == 1 && d.dilation_w == 1;
    return square && ((d.r == 2 && d.stride_h == 2) || (d.r == 3 && (d.stride_h == 2 || d.stride_h == 1)));
}

/* The lines of a pass; `rows` of a strip of results, or of cells of `stride` pixels where that is not 0. False if they are
 * too many. */
inline bool pool_lines_of(const fv_pool2d &d, int lanes, int rows, int stride, pool_lines &lines, int64_t *blocks) {
    constexpr int64_t MOST = 1 << 29; /* places are counted in 32 bits, a strip's beyond the image */
    const int64_t down = stride ? ceil_div(d.h + d.pad_top, stride) : fv_pool_p(&d);
    const int64_t across = stride ? ceil_div(d.w + d.pad_left, stride) : fv_pool_q(&d);
    if (d.h + d.pad_top + d.pad_bottom > MOST || d.w + d.pad_left + d.pad_right > MOST || d.c > MOST ||
        across * (d.c / lanes) > MOST)
        return false;
    const int64_t items = across * (d.c / lanes), tiles = ceil_div(items, LINE_THREADS);
    lines = {.h = static_cast<int>(d.h),
             .w = static_cast<int>(d.w),
             .p = static_cast<int>(fv_pool_p(&d)),
             .q = static_cast<int>(fv_pool_q(&d)),
             .pad_top = static_cast<int>(d.pad_top),
             .pad_left = static_cast<int>(d.pad_left),
             .channels = static_cast<int>(d.c / lanes),
             .items = static_cast<int>(items),
             .strips = static_cast<int>(ceil_div(down, rows)),
             .tiles = static_cast<int>(tiles)};
    *blocks = d.n > MAX_BLOCKS ? d.n : d.n * lines.strips;
    *blocks = *blocks > MAX_BLOCKS ? *blocks : *blocks * tiles;
    return *blocks <= MAX_BLOCKS;
}

inline const char *pool_vector_supports(const fv_operation *op) {
    const fv_pool2d &d = op->pool;
    pool_lines lines;
    int64_t blocks;
    if (!pool_has_window(d))
        return "the window is none of 2x2 with stride 2 and 3x3 with stride 1 or 2, without dilation";
    const int stride = static_cast<int>(d.stride_h);
    return pool_lines_of(d, 1, 1, 0, lines, &blocks) && pool_lines_of(d, 1, 1, stride, lines, &blocks)
               ? NULL
               : "there are over 2^29 elements in a row or over 2^31-1 blocks";
}

/* The lines' threads, those behind the end of a line too; 0.93 of the memory's rate, as a copy kernel may reach. */
template <fv_pass PASS>
double pool_vector_estimate(const fv_operation *op, const fv_chip *chip) {
    const fv_pool2d &d = op->pool;
    const bool cells = (PASS == FV_BACKWARD_DATA) != (op->kind == FV_UNPOOL);
    const int lanes = pool_lanes(d);
    return pool_window_dispatch<false>(d, [&]<typename WINDOW>() {
        constexpr int TAPS = WINDOW::EXTENT * WINDOW::EXTENT;
        pool_lines lines;
        int64_t blocks;
        if (!pool_lines_of(d, lanes, cells ? WINDOW::CELLS : WINDOW::ROWS, cells ? WINDOW::STRIDE : 0, lines, &blocks))
            return static_cast<double>(INFINITY);
        const double reads = cells ? 2 * WINDOW::COVER_ROWS * WINDOW::COVER : WINDOW::PATCH_ROWS * WINDOW::EXTENT;
        const double results = cells ? WINDOW::CELLS : WINDOW::ROWS;
        const int64_t threads = ceil_div(ceil_div(lines.items, lines.tiles), WARP) * WARP;
        return pool_estimate<PASS>(op, chip, static_cast<double>(blocks * threads),
                                   80 + 8 * reads + results * TAPS * lanes * 3, 0.93);
    });
}

/* Calls launch.operator()<WINDOW, LANES>(lines, grid, threads) for lines of results or of CELLS; nothing to do without
 * images. */
template <bool CELLS, bool APART = false, typename F>
fv_status pool_vector_launch(const fv_pool2d &d, const fv_buffers *buffers, const F &launch) {
    if (d.n == 0)
        return FV_OK;
    return pool_window_dispatch<APART>(d, [&]<typename WINDOW>() {
        const auto launch_lanes = [&]<int LANES>() {
            pool_lines lines;
            int64_t blocks;
            if (!pool_lines_of(d, LANES, CELLS ? WINDOW::CELLS : WINDOW::ROWS, CELLS ? WINDOW::STRIDE : 0, lines,
                               &blocks))
                return fv_fail(FV_UNSUPPORTED, "pooling: over 2^29 elements in a row or over 2^31-1 blocks");
            /* Blocks as equal as whole warps allow. */
            const int64_t threads = ceil_div(ceil_div(lines.items, lines.tiles), WARP) * WARP;
            return launch.template operator()<WINDOW, LANES>(lines, dim3(static_cast<unsigned>(blocks)),
                                                             dim3(static_cast<unsigned>(threads)));
        };
        return takes_wide_lanes(d.c, buffers) ? launch_lanes.template operator()<WIDE_LANES>()
                                              : launch_lanes.template operator()<1>();
    });
}

} // namespace FV_NAMESPACE

#endif
