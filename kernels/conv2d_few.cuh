/* Images of few channels (stems, digits): what forward and the filter gradient share.
 *
 * Channels last, the channels of neighbouring pixels are neighbours in memory. So a row of an image is one dense run of
 * w*c floats, and a filter row of s taps meets a dense run of s*c of them: a convolution of an image with few channels is
 * one with a single channel along rows, whose filter has `run` = s*c taps and moves by `step` = stride_w*c floats from
 * result to result. That fills registers and accesses where three channels would fill three lanes of four. (With
 * dilation_w > 1 a filter row is s runs of c floats, dilation_w*c apart.)
 *
 * A block stages a window of such rows in shared memory, as floats without regard to pixels and channels, by asynchronous
 * copies: of 16 bytes where rows, padding and tensor allow, else of 4, of which a warp's are contiguous. Zeros stand for
 * what lies outside of the image.
 *
 * A window holds the rows that `chunk` filter rows meet under a tile of results: either all rows from the first to the
 * last, or, where these are fewer (stride or dilation leave rows out), `chunk` rows for each row of results. */
#ifndef FOVEA_CONV2D_FEW_CUH
#define FOVEA_CONV2D_FEW_CUH

#include "async_copy.cuh"
#include "base/checked.h"
#include "conv2d_tile_run.cuh"

namespace FV_NAMESPACE {

constexpr int FEW_THREADS = 128;
constexpr int64_t FEW_BLOCKS = 3 * 132; /* what an H200 holds at a time; more would only wait */
constexpr int64_t FEW_MAX_EXTENT =
    1 << 28; /* rows and columns are counted in 32 bits, the last tile's beyond the image */
constexpr int64_t FEW_SHARED = 72 * 1024; /* three blocks share 228 KiB */

/* The operation as runs of floats. */
struct few_geometry {
    int64_t images;
    int h, row; /* rows of an image and the floats of each */
    int p, q, k;
    int filter_rows;
    int runs, run, apart;                   /* of a filter row: runs, floats of each and from one to the next */
    int step;                               /* floats from result to result along a row */
    int stride_h, dilation_h, pad_top, pad; /* the last in floats */
    int filter;                             /* floats of a filter */
};

/* How it is cut. */
struct few_tiles {
    int rows, cols;           /* results of a tile */
    int down, across;         /* tiles of an image */
    int64_t count, per_block; /* tiles of all images, and how many of them a block takes one after the other */
    int channels, channel_tiles;
    int chunk; /* filter rows that a window serves */
};

/* A window in shared memory. */
struct few_window {
    int rows, width, pitch;
    int period, jump, within; /* window row i holds image row i / period * jump + i % period * within of its tile */
    int vertical, tap;        /* window rows from result to result and from filter row to filter row */
    int quads;                /* 1: copied in 16 bytes */
};

/* Where a tile lies: its image and first result. */
struct few_place {
    int64_t image;
    int row, col;
};

__device__ inline few_place few_place_of(const few_tiles &tiles, int64_t tile) {
    const int64_t line = tile / tiles.across, image = line / tiles.down;
    return {.image = image,
            .row = static_cast<int>(line - image * tiles.down) * tiles.rows,
            .col = static_cast<int>(tile - line * tiles.across) * tiles.cols};
}

/* Begins to copy `count` floats from data[at] on, UNIT to a lane and turn: those that exist(i) says, else zeros. */
template <int UNIT, typename F>
__device__ void few_copy_line(int count, const float *data, int64_t at, float *to, const F &exists) {
    for (int i = UNIT * (static_cast<int>(threadIdx.x) % WARP); i < count; i += UNIT * WARP) {
        const bool there = exists(i);
        async_copy<4 * UNIT>(to + i, there ? data + (at + i) : data, there ? 4 * UNIT : 0);
    }
}

/* Begins to copy the window under a tile that filter rows from `first` on meet. */
__device__ inline void few_stage_window(const few_geometry &d, const few_window &window, const few_place &place,
                                        int first, const float *x, float *to) {
    const int col = place.col * d.step - d.pad, top = place.row * d.stride_h - d.pad_top + first * d.dilation_h;
    for (int i = static_cast<int>(threadIdx.x) / WARP; i < window.rows; i += static_cast<int>(blockDim.x) / WARP) {
        const int row = top + i / window.period * window.jump + i % window.period * window.within;
        const bool inside = row >= 0 && row < d.h;
        const int64_t at = (place.image * d.h + row) * d.row + col;
        const auto exists = [&](int j) { return inside && col + j >= 0 && col + j < d.row; };
        if (window.quads)
            few_copy_line<4>(window.width, x, at, to + i * window.pitch, exists);
        else
            few_copy_line<1>(window.width, x, at, to + i * window.pitch, exists);
    }
}

/* ---- host ---- */

inline const char *few_refusal(const fv_conv2d &d) {
    if (d.c > 4 || d.groups > 1)
        return "there are more than 4 input channels, or groups";
    if (d.h + d.pad_top + d.pad_bottom > FEW_MAX_EXTENT || (d.w + d.pad_left + d.pad_right) * d.c > FEW_MAX_EXTENT ||
        d.k > FEW_MAX_EXTENT || d.r * d.s * d.c > FEW_MAX_EXTENT)
        return "rows, floats of a row, output channels or weights of a filter are over 2^28";
    return d.stride_w * d.c > FEW_MAX_EXTENT ? "the horizontal stride is over 2^28 floats" : NULL;
}

/* few_refusal has found nothing. A stride down or a dilation that nothing takes is 1: they may be up to 2^31-1. */
inline few_geometry few_geometry_of(const fv_conv2d &d) {
    const int c = static_cast<int>(d.c), s = static_cast<int>(d.s);
    const bool dense = d.dilation_w == 1 || d.s == 1;
    const int run = dense ? s * c : c;
    return {.images = d.n,
            .h = static_cast<int>(d.h),
            .row = static_cast<int>(d.w) * c,
            .p = static_cast<int>(fv_conv2d_p(&d)),
            .q = static_cast<int>(fv_conv2d_q(&d)),
            .k = static_cast<int>(d.k),
            .filter_rows = static_cast<int>(d.r),
            .runs = dense ? 1 : s,
            .run = run,
            .apart = dense ? run : static_cast<int>(d.dilation_w) * c,
            .step = static_cast<int>(d.stride_w) * c,
            .stride_h = fv_conv2d_p(&d) == 1 ? 1 : static_cast<int>(d.stride_h),
            .dilation_h = d.r == 1 ? 1 : static_cast<int>(d.dilation_h),
            .pad_top = static_cast<int>(d.pad_top),
            .pad = static_cast<int>(d.pad_left) * c,
            .filter = static_cast<int>(d.r) * s * c};
}

/* The floats that a vector may read behind the last result's run without using them. */
constexpr int FEW_SLACK = 16;

/* The window of a tile, but for its place among the banks; false if it is too large for any block. */
inline bool few_window_of(const few_geometry &d, const few_tiles &tiles, few_window &window) {
    const int64_t span = (tiles.rows - 1) * static_cast<int64_t>(d.stride_h) +
                         (tiles.chunk - 1) * static_cast<int64_t>(d.dilation_h) + 1;
    const int64_t each = static_cast<int64_t>(tiles.rows) * tiles.chunk;
    const int64_t width =
        (tiles.cols - 1) * static_cast<int64_t>(d.step) + (d.runs - 1) * static_cast<int64_t>(d.apart) + d.run;
    const int64_t rows = fv_min(span, each), pitch = fv_round_up(width + FEW_SLACK, 4);
    if (rows > MAX_SHARED_BYTES || pitch > MAX_SHARED_BYTES || rows * pitch > MAX_SHARED_BYTES)
        return false;
    const bool whole = span <= each;
    window = {.rows = static_cast<int>(rows),
              .width = static_cast<int>(fv_round_up(width, 4)),
              .pitch = static_cast<int>(pitch),
              .period = whole ? static_cast<int>(rows) : tiles.chunk,
              .jump = d.stride_h,
              .within = whole ? 1 : d.dilation_h,
              .vertical = whole ? d.stride_h : tiles.chunk,
              .tap = whole ? d.dilation_h : 1,
              .quads = d.row % 4 == 0 && d.pad % 4 == 0};
    return true;
}

/* Cuts the results of all images into tiles of these rows and columns. */
inline void few_cut(const few_geometry &d, few_tiles &tiles) {
    tiles.down = static_cast<int>(ceil_div(d.p, tiles.rows));
    tiles.across = static_cast<int>(ceil_div(d.q, tiles.cols));
    tiles.count = d.images * tiles.down * tiles.across;
}

/* So many that all blocks run at once, `others` for each of those along the tiles: one more would wait for all. */
inline int64_t few_tiles_per_block(int64_t tiles, int64_t others) {
    return fv_max(1, ceil_div(tiles, fv_max(1, FEW_BLOCKS / others)));
}

inline bool few_aligned(const float *data) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

} // namespace FV_NAMESPACE

#endif
