/* Whole matrix products, tile by tile: what the linear layer, the pointwise convolution and the emulator's stand-in for
 * cuBLAS launch.
 *
 *     result(m, n) = bias[n] + sum_l a(m, l) * b(l, n),    row_sums[m] = sum_l a(m, l)
 *
 * and, if wanted, 0 for a result below 0.
 *
 * A block computes a TILE x TILE tile through shared memory (product.cuh), 64 x 64 or, where those would be too few or
 * too wide, 32 x 32. Each sum is taken by one thread in the order of l: deterministic.
 *
 * Several products can stand side by side (the groups of a convolution), and a long sum can be cut into parts, which
 * other blocks take and whose results lie one behind the other. The rows of a or of the result may lie at the pixels
 * that a 1x1 window with stride and padding visits: see gathered_rows and scattered_rows. */
#ifndef FOVEA_PRODUCT_TILE_CUH
#define FOVEA_PRODUCT_TILE_CUH

#include "product.cuh"

namespace FV_NAMESPACE {

struct matrix_product {
    product_operand a, b;
    int64_t depth;     /* l runs below it */
    const float *bias; /* of each n; NULL: none */
    float *result;     /* element (m, n) at result[m * pitch + n] */
    int64_t pitch;
    float *row_sums; /* of a, for each m; NULL: not wanted */
    bool relu = false;

    /* Products side by side, and the floats from one's operands and results to the next one's. */
    int64_t count = 1;
    struct {
        int64_t a, b, bias, result, row_sums;
    } next = {};

    /* Parts of the sum, the values of l in each, and the floats from one part's results to the next one's. */
    int64_t parts = 1, per_part = INT64_MAX, part_pitch = 0;
};

/* How row m of a product lies in memory. */
struct dense_rows {
    static constexpr bool GATHERED = false, SCATTERED = false;
};

/* Row m belongs to output pixel m of a 1x1 window that walks over images with stride and padding. */
struct pixel_rows {
    int64_t p, q, h, w, stride_h, stride_w, pad_top, pad_left;

    /* The input pixel under the window; -1 if that is padding. */
    __device__ int64_t pixel(int64_t m) const {
        const int64_t line = m / q, image = line / p;
        const int64_t row = (line - image * p) * stride_h - pad_top, col = (m - line * q) * stride_w - pad_left;
        return row >= 0 && row < h && col >= 0 && col < w ? (image * h + row) * w + col : -1;
    }
};

/* a's row m is that pixel, or zeros. */
struct gathered_rows : pixel_rows {
    static constexpr bool GATHERED = true, SCATTERED = false;
};

/* The result's row m goes to that pixel, or nowhere; the pixels that the window steps over become 0. */
struct scattered_rows : pixel_rows {
    static constexpr bool GATHERED = false, SCATTERED = true;

    /* Calls visit(pixel) for the input pixels from where the window stands to where it stands next, down and across.
     * Together the windows visit each pixel once: the first stands in the padding or at 0, and after the last there is
     * no room for another step. */
    template <class VISIT>
    __device__ void for_each_pixel_to_next(int64_t m, const VISIT &visit) const {
        const int64_t line = m / q, image = line / p;
        const int64_t top = (line - image * p) * stride_h - pad_top, left = (m - line * q) * stride_w - pad_left;
        for (int64_t row = top > 0 ? top : 0; row < top + stride_h && row < h; ++row)
            for (int64_t col = left > 0 ? left : 0; col < left + stride_w && col < w; ++col)
                visit((image * h + row) * w + col);
    }
};

/* As product_stage<TILE, true>, of rows that lie at the given pixels; zeros for a pixel of -1. */
template <int TILE>
__device__ void product_stage_pixels(product_slice<TILE> &slice, const product_operand &operand, const int64_t *pixels,
                                     int64_t depth, int64_t depth_end) {
    FV_UNROLL
    for (int e = 0; e < TILE * PRODUCT_DEPTH; e += PRODUCT_THREADS<TILE>) {
        const int at = e + static_cast<int>(threadIdx.x);
        const int i = at / PRODUCT_DEPTH, l = at % PRODUCT_DEPTH;
        const bool inside = pixels[i] >= 0 && depth + l < depth_end;
        slice[l][i] = inside ? operand.data[pixels[i] * operand.row + (depth + l) * operand.step] : 0.0f;
    }
}

/* Zeros for the tile's columns of the pixels that the windows of its rows step over. */
template <int TILE>
__device__ void clear_between(const matrix_product &p, const scattered_rows &rows, int64_t first_m, int64_t first_n,
                              const int64_t *pixels, float *result) {
    const int64_t n = first_n + static_cast<int>(threadIdx.x) % TILE;
    for (int i = static_cast<int>(threadIdx.x) / TILE; i < TILE; i += PRODUCT_THREADS<TILE> / TILE)
        if (first_m + i < p.a.rows && n < p.b.rows)
            rows.for_each_pixel_to_next(first_m + i, [&](int64_t pixel) {
                if (pixel != pixels[i])
                    result[pixel * p.pitch + n] = 0.0f;
            });
}

template <int TILE, bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, class ROWS>
__global__ void __launch_bounds__(PRODUCT_THREADS<TILE>) product_tile_kernel(matrix_product p, ROWS rows) {
    static_assert(A_ALONG_DEPTH || !ROWS::GATHERED, "a gathered row lies along the depth");
    constexpr bool MAPPED = ROWS::GATHERED || ROWS::SCATTERED;
    __shared__ __align__(16) product_slice<TILE> a, b;
    __shared__ int64_t pixels[MAPPED ? TILE : 1];
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t tiles_m = ceil_div(p.a.rows, TILE), tiles_n = ceil_div(p.b.rows, TILE);
    const int64_t first_n = blockIdx.x % tiles_n * TILE;
    const int64_t first_m = blockIdx.x / tiles_n % tiles_m * TILE;
    const int64_t number = blockIdx.x / tiles_n / tiles_m;
    p.a.data += number * p.next.a;
    p.b.data += number * p.next.b;
    const int64_t first_l = blockIdx.y * p.per_part;
    const int64_t end_l = p.per_part < p.depth - first_l ? first_l + p.per_part : p.depth;
    float *const result = p.result + number * p.next.result + blockIdx.y * p.part_pitch;
    const bool sums_rows = p.row_sums && first_n == 0 && thread < TILE; /* one column of blocks does it for all */
    if constexpr (MAPPED) {
        if (thread < TILE)
            pixels[thread] = first_m + thread < p.a.rows ? rows.pixel(first_m + thread) : -1;
        __syncthreads();
    }

    float sum[4][4] = {};
    float row_sum = 0;
    for (int64_t depth = first_l; depth < end_l; depth += PRODUCT_DEPTH) {
        if constexpr (ROWS::GATHERED)
            product_stage_pixels<TILE>(a, p.a, pixels, depth, end_l);
        else
            product_stage<TILE, A_ALONG_DEPTH>(a, p.a, first_m, depth, end_l);
        product_stage<TILE, B_ALONG_DEPTH>(b, p.b, first_n, depth, end_l);
        __syncthreads();
        product_multiply<TILE>(a, b, sum);
        if (sums_rows)
            row_sum += product_row_sum<TILE>(a, thread);
        __syncthreads();
    }

    if (sums_rows && first_m + thread < p.a.rows)
        p.row_sums[number * p.next.row_sums + blockIdx.y * p.part_pitch + first_m + thread] = row_sum;
    if constexpr (ROWS::SCATTERED)
        clear_between<TILE>(p, rows, first_m, first_n, pixels, result);
    FV_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int64_t m = first_m + product_row<TILE>() + i;
        int64_t row = m;
        if constexpr (ROWS::SCATTERED)
            row = pixels[product_row<TILE>() + i];
        FV_UNROLL
        for (int j = 0; j < 4; ++j) {
            const int64_t n = first_n + product_column<TILE>() + j;
            if (m >= p.a.rows || row < 0 || n >= p.b.rows)
                continue;
            result[row * p.pitch + n] =
                rectified(sum[i][j] + (p.bias ? p.bias[number * p.next.bias + n] : 0.0f), p.relu);
        }
    }
}

/* The size of tile for `count` products of m x n: large ones, unless a side would leave half of them empty, or they
 * would be fewer than about one for each multiprocessor of a large device. */
inline int product_tile_of(int64_t m, int64_t n, int64_t count) {
    constexpr int64_t ENOUGH_BLOCKS = 128;
    return m > 32 && n > 32 && ceil_div(m, 64) * ceil_div(n, 64) * count >= ENOUGH_BLOCKS ? 64 : 32;
}

/* Why the products cannot be launched; NULL if they can. */
inline const char *product_refusal(int64_t m, int64_t n, int64_t count) {
    const int tile = product_tile_of(m, n, count);
    const double blocks =
        static_cast<double>(ceil_div(m, tile)) * static_cast<double>(ceil_div(n, tile)) * static_cast<double>(count);
    return blocks > static_cast<double>(MAX_BLOCKS) ? "the result has more than 2^31-1 tiles" : NULL;
}

/* The blocks of `count` products of m x n, of those that can be launched. */
inline unsigned product_blocks(int tile, int64_t m, int64_t n, int64_t count) {
    return static_cast<unsigned>(ceil_div(m, tile) * ceil_div(n, tile) * count);
}

/* Launches with tiles of a given size; nothing if the results have no elements. */
template <bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, class ROWS = dense_rows>
fv_status launch_product(fv_context *context, int tile, const matrix_product &p, const ROWS &rows = {}) {
    const dim3 grid(product_blocks(tile, p.a.rows, p.b.rows, p.count), static_cast<unsigned>(p.parts));
    if (grid.x == 0)
        return FV_OK;
    if (tile == 64)
        return FV_LAUNCH(context, (product_tile_kernel<64, A_ALONG_DEPTH, B_ALONG_DEPTH, ROWS>), grid,
                         PRODUCT_THREADS<64>, 0, p, rows);
    return FV_LAUNCH(context, (product_tile_kernel<32, A_ALONG_DEPTH, B_ALONG_DEPTH, ROWS>), grid, PRODUCT_THREADS<32>,
                     0, p, rows);
}

template <bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, class ROWS = dense_rows>
fv_status run_product(fv_context *context, const matrix_product &p, const ROWS &rows = {}) {
    return launch_product<A_ALONG_DEPTH, B_ALONG_DEPTH>(context, product_tile_of(p.a.rows, p.b.rows, p.count), p, rows);
}

} // namespace FV_NAMESPACE

#endif
