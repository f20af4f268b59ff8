/* The gradients of a deformable convolution by x, the offsets and the mask, for a chunk of images at a time:
 *
 *     columns[l][g][t][c] = sum_k dy[l][k] * w[k][t][c]        the gradient of what tap t gave at pixel l, before the mask
 *     dmask[l,t]      = sum_c columns * X                      over the channels of the offset group; X: x at the tap
 *     doffset[l,2t..] = mask * sum_c columns * dX/d(row, col)
 *     dx[n,a,b,c]     = sum over the taps that read pixel (a,b) of mask * weight of the pixel * columns
 *
 * The columns, r*s times as large as x, lie in the workspace: a chunk is as many images as have 2^21 columns (8 MiB, so
 * that all their readers find them in the L2 cache, and some 500 tiles of the product, so that a chunk fills the
 * device), and one image at least.
 *
 * dx: where a tap reads is data, so a pixel cannot compute its readers. Adding to dx by atomics would depend on the order
 * in which blocks run. Instead a block owns 8 x 8 pixels of 64 channels, looks through the image's taps in order and adds
 * those that reach its pixels; a warp owns a row of them and a lane two channels, so nothing is added to by two threads.
 * To look through all taps would cost each block p*q*r*s; but neighbouring taps read neighbouring pixels as long as
 * offsets are small, so a first kernel notes the rectangle of first pixels of every 256 taps, and a block skips 256 taps
 * whose rectangle misses its tile by looking at that, 32 rectangles at a time. With offsets of a few pixels that leaves
 * some ten times the taps that are used, each looked at by one thread; with offsets anywhere in the image it leaves them
 * all, which is correct and slow. Sorting the taps by pixel would bound the cost there, and cost several passes over all
 * taps everywhere. */
#ifndef FOVEA_CONV2D_DEFORMABLE_DATA_CUH
#define FOVEA_CONV2D_DEFORMABLE_DATA_CUH

#include "conv2d_deformable_taps.cuh"

namespace FV_NAMESPACE {

constexpr int64_t CHUNK_COLUMNS = 1 << 21;
constexpr int GATHER_SIDE = 8; /* rows of a tile, one for each warp, and its columns */
constexpr int GATHER_CHANNELS = 2 * WARP;
constexpr int GATHER_THREADS = GATHER_SIDE * WARP;
constexpr int GATHER_TAPS = GATHER_THREADS; /* looked at together, one by each thread */
constexpr unsigned ALL_LANES = 0xffffffffu;

/* The columns of tap 0 at pixel 0 of the chunk, for a channel; those of tap t at pixel l are t*cg + l*groups*columns
 * further on. */
__device__ inline const float *column_of(const deformable_shape &g, const float *columns, int64_t channel) {
    const int64_t group = channel / g.cg;
    return columns + group * g.columns + channel - group * g.cg;
}

/* ---- dmask and doffset ---- */

/* `lanes` neighbouring threads, a power of two up to 16, take the channels of one tap and add up what they find. */
static __global__ void deformable_offsets_kernel(deformable_shape g, moved_taps taps, int lanes, const float *columns,
                                                 float *doffset, float *dmask) {
    const int lane = static_cast<int>(threadIdx.x) % lanes;
    const int64_t together = thread_count() / lanes;
    for (int64_t at = thread_index() / lanes; at - at % (WARP / lanes) < g.pixels * g.taps; at += together) {
        const bool inside = at < g.pixels * g.taps;
        float by_row = 0, by_col = 0, by_mask = 0;
        if (inside) {
            const int64_t pixel = at / g.taps, number = at - pixel * g.taps;
            const int64_t offset_group = number / g.window, tap = number - offset_group * g.window;
            const filter_place filter = filter_place_of(g, pixel);
            const tap_place place = taps.place(g.d, filter.row + tap / g.d.s * g.d.dilation_h,
                                               filter.col + tap % g.d.s * g.d.dilation_w, at);
            const float *const image = taps.x + filter.image * g.d.h * g.d.w * g.d.c;
            const int64_t first = offset_group * g.channels;
            for (int64_t c = first + lane; c < first + g.channels; c += lanes) {
                const float column = column_of(g, columns, c)[pixel * g.d.groups * g.columns + tap * g.cg];
                const tap_corners corners = tap_load(g.d, image + c, place);
                by_row += column * corners.by_row(place);
                by_col += column * corners.by_col(place);
                by_mask += column * corners.value(place);
            }
        }
        for (int distance = lanes / 2; distance > 0; distance /= 2) {
            by_row += __shfl_xor_sync(ALL_LANES, by_row, distance);
            by_col += __shfl_xor_sync(ALL_LANES, by_col, distance);
            by_mask += __shfl_xor_sync(ALL_LANES, by_mask, distance);
        }
        if (!inside || lane != 0)
            continue;
        doffset[2 * at] = taps.weight(at) * by_row;
        doffset[2 * at + 1] = taps.weight(at) * by_col;
        if (dmask)
            dmask[at] = by_mask;
    }
}

/* ---- dx ---- */

/* The taps of one offset group in one image, numbered i = (p*Q + q)*r*s + tap. */
struct tap_list {
    int64_t image, offset_group, count;

    __device__ tap_list(const deformable_shape &g, int64_t image_, int64_t offset_group_)
        : image(image_), offset_group(offset_group_), count(g.p * g.q * g.window) {}

    /* Tap i's place in `mask`. */
    __device__ int64_t index(const deformable_shape &g, int64_t i) const {
        const int64_t pixel = i / g.window;
        return (image * g.p * g.q + pixel) * g.taps + offset_group * g.window + i - pixel * g.window;
    }

    /* Where its columns lie, see column_of. */
    __device__ int64_t columns(const deformable_shape &g, int64_t i) const {
        const int64_t pixel = i / g.window;
        return (image * g.p * g.q + pixel) * g.d.groups * g.columns + (i - pixel * g.window) * g.cg;
    }

    __device__ tap_place place(const deformable_shape &g, const moved_taps &taps, int64_t i) const {
        const int64_t pixel = i / g.window, tap = i - pixel * g.window;
        const filter_place filter = filter_place_of(g, pixel);
        return taps.place(g.d, filter.row + tap / g.d.s * g.d.dilation_h, filter.col + tap % g.d.s * g.d.dilation_w,
                          index(g, i));
    }
};

/* Which first pixels occur among GATHER_TAPS taps; none if the first row lies behind the last. */
struct tap_box {
    int top, bottom, left, right;

    __device__ void include(const tap_box &other) {
        top = other.top < top ? other.top : top;
        bottom = other.bottom > bottom ? other.bottom : bottom;
        left = other.left < left ? other.left : left;
        right = other.right > right ? other.right : right;
    }
};

constexpr tap_box NO_TAPS = {INT32_MAX, NOWHERE, INT32_MAX, NOWHERE};

/* One warp per box. */
static __global__ void deformable_boxes_kernel(deformable_shape g, moved_taps taps, int64_t boxes, tap_box *box) {
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    const int64_t all = g.d.n * g.offset_groups * boxes;
    for (int64_t at = thread_index() / WARP; at < all; at += thread_count() / WARP) {
        const tap_list list(g, at / boxes / g.offset_groups, at / boxes % g.offset_groups);
        tap_box found = NO_TAPS;
        for (int64_t i = at % boxes * GATHER_TAPS + lane; i < (at % boxes + 1) * GATHER_TAPS && i < list.count;
             i += WARP) {
            const tap_place place = list.place(g, taps, i);
            if (place.row != NOWHERE && place.col != NOWHERE)
                found.include({place.row, place.row, place.col, place.col});
        }
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            found.include(
                {__shfl_xor_sync(ALL_LANES, found.top, distance), __shfl_xor_sync(ALL_LANES, found.bottom, distance),
                 __shfl_xor_sync(ALL_LANES, found.left, distance), __shfl_xor_sync(ALL_LANES, found.right, distance)});
        if (lane == 0)
            box[at] = found;
    }
}

/* A tap that reaches the tile: its first pixel within the tile, -1 at least, what it gives, and where its columns lie. */
struct tap_hit {
    int row, col;
    float down, right, weight;
    int64_t columns; /* as in column_of */
};

/* Whether any of four pixels, the first of which is in the box, is in the tile from (row, col). */
__device__ inline bool reaches(const tap_box &box, int64_t row, int64_t col) {
    return box.bottom >= row - 1 && box.top < row + GATHER_SIDE && box.right >= col - 1 && box.left < col + GATHER_SIDE;
}

/* Lists, in order, those of the GATHER_TAPS taps from `base` that reach the tile from (row, col). Returns their number.
 * The caller may read the hits until it calls again. */
__device__ inline int find_hits(const deformable_shape &g, const moved_taps &taps, const tap_list &list, int64_t row,
                                int64_t col, int64_t base, int (&counts)[GATHER_SIDE], tap_hit (&hits)[GATHER_TAPS]) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int64_t i = base + thread;
    tap_place place = {NOWHERE, NOWHERE, 0, 0};
    if (i < list.count)
        place = list.place(g, taps, i);
    const bool hit = reaches({place.row, place.row, place.col, place.col}, row, col);
    const unsigned of_warp = __ballot_sync(ALL_LANES, hit);
    if (lane == 0)
        counts[warp] = __popc(of_warp);
    __syncthreads();
    int before = __popc(of_warp & ((1u << lane) - 1)), all = 0;
    for (int other = 0; other < GATHER_SIDE; ++other) {
        before += other < warp ? counts[other] : 0;
        all += counts[other];
    }
    if (hit)
        hits[before] = {static_cast<int>(place.row - row),
                        static_cast<int>(place.col - col),
                        place.down,
                        place.right,
                        taps.weight(list.index(g, i)),
                        list.columns(g, i)};
    __syncthreads();
    return all;
}

/* Adds what a tap gives to row `row` of the tile; a lane's two channels come from low and high, NULL beyond the last. */
__device__ inline void add_hit(const tap_hit &hit, int row, const float *low, const float *high,
                               float (&sums)[GATHER_SIDE][GATHER_CHANNELS]) {
    const int lane = static_cast<int>(threadIdx.x) % WARP, below = row - hit.row;
    if (below < 0 || below > 1)
        return;
    const float vertical = hit.weight * (below ? hit.down : 1.0f - hit.down);
    const float first = low ? low[hit.columns] : 0.0f, second = high ? high[hit.columns] : 0.0f;
    FV_UNROLL
    for (int beside = 0; beside < 2; ++beside) {
        const int col = hit.col + beside;
        if (col < 0 || col >= GATHER_SIDE)
            continue;
        const float factor = vertical * (beside ? hit.right : 1.0f - hit.right);
        sums[col][lane] += factor * first;
        sums[col][lane + WARP] += factor * second;
    }
}

/* Block order: slices of an offset group's channels, offset groups, tiles across, tiles down, images. No barrier guards
 * the sums, as each is one thread's own. */
static __global__ void __launch_bounds__(GATHER_THREADS, 4)
    deformable_gather_kernel(deformable_shape g, moved_taps taps, int64_t boxes, const tap_box *box,
                             const float *columns, float *dx) {
    __shared__ float sums[GATHER_SIDE][GATHER_SIDE][GATHER_CHANNELS];
    __shared__ tap_hit hits[GATHER_TAPS];
    __shared__ int counts[GATHER_SIDE];
    const int lane = static_cast<int>(threadIdx.x) % WARP, row = static_cast<int>(threadIdx.x) / WARP;
    const int64_t slices = ceil_div(g.channels, GATHER_CHANNELS);
    const int64_t across = ceil_div(g.d.w, GATHER_SIDE), downwards = ceil_div(g.d.h, GATHER_SIDE);
    const int64_t offset_group = blockIdx.x / slices % g.offset_groups;
    const int64_t tile = blockIdx.x / slices / g.offset_groups, image = tile / across / downwards;
    const int64_t top = tile / across % downwards * GATHER_SIDE, left = tile % across * GATHER_SIDE;
    const int64_t c = offset_group * g.channels + blockIdx.x % slices * GATHER_CHANNELS + lane;
    const int64_t end = (offset_group + 1) * g.channels;
    const float *const low = c < end ? column_of(g, columns, c) : nullptr;
    const float *const high = c + WARP < end ? column_of(g, columns, c + WARP) : nullptr;
    const tap_list list(g, image, offset_group);
    box += (image * g.offset_groups + offset_group) * boxes;

    for (int col = 0; col < GATHER_SIDE; ++col)
        sums[row][col][lane] = sums[row][col][lane + WARP] = 0;
    for (int64_t first_box = 0; first_box < boxes; first_box += WARP) {
        const int64_t mine = first_box + lane;
        const unsigned reached = __ballot_sync(ALL_LANES, mine < boxes && reaches(box[mine], top, left));
        for (int i = 0; i < WARP; ++i) {
            if (!(reached >> i & 1)) /* the same in all warps */
                continue;
            const int count = find_hits(g, taps, list, top, left, (first_box + i) * GATHER_TAPS, counts, hits);
            for (int h = 0; h < count; ++h)
                add_hit(hits[h], row, low, high, sums[row]);
        }
    }
    for (int col = 0; col < GATHER_SIDE; ++col) {
        if (top + row >= g.d.h || left + col >= g.d.w)
            continue;
        float *const pixel = dx + ((image * g.d.h + top + row) * g.d.w + left + col) * g.d.c;
        if (low)
            pixel[c] = sums[row][col][lane];
        if (high)
            pixel[c + WARP] = sums[row][col][lane + WARP];
    }
}

} // namespace FV_NAMESPACE

#endif
