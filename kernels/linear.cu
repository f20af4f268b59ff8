/* linear: y[n,k] = b[k] + sum_c x[n,c] w[k,c], and its gradients dx[n,c] = sum_k dy[n,k] w[k,c],
 * dw[k,c] = sum_n dy[n,k] x[n,c], db[k] = sum_n dy[n,k].
 *
 * All are one matrix product, result[m][n] = sum_l a(m,l) b(l,n), and differ in what m, n and l stand for and in which
 * of them lies contiguous in memory. Any sizes. Each sum is taken by one thread in the order of l: deterministic.
 *
 * Variant
 *     tile   a block computes a 64 x 64 tile through shared memory (product.cuh); 32 x 32 where the larger tiles
 *            would be too few to keep every multiprocessor busy. */
#include "product.cuh"

namespace FV_NAMESPACE {

namespace {

struct linear_product {
    product_operand a, b;
    int64_t depth;     /* l runs below it */
    const float *bias; /* of each n; NULL: none */
    float *result;     /* [m][n], row-major */
    float *row_sums;   /* of a, for each m; NULL: not wanted */
};

template <int TILE, bool A_ALONG_DEPTH, bool B_ALONG_DEPTH>
__global__ void __launch_bounds__(PRODUCT_THREADS<TILE>) linear_tile(linear_product p) {
    __shared__ __align__(16) product_slice<TILE> a, b;
    const int64_t tiles_n = ceil_div(p.b.rows, TILE);
    const int64_t first_m = blockIdx.x / tiles_n * TILE;
    const int64_t first_n = blockIdx.x % tiles_n * TILE;
    const int thread = static_cast<int>(threadIdx.x);
    const bool sums_rows = p.row_sums && first_n == 0 && thread < TILE; /* one column of blocks does it for all */
    float sum[4][4] = {};
    float row_sum = 0;
    for (int64_t depth = 0; depth < p.depth; depth += PRODUCT_DEPTH) {
        product_stage<TILE, A_ALONG_DEPTH>(a, p.a, first_m, depth, p.depth);
        product_stage<TILE, B_ALONG_DEPTH>(b, p.b, first_n, depth, p.depth);
        __syncthreads();
        product_multiply<TILE>(a, b, sum);
        if (sums_rows)
            row_sum += product_row_sum<TILE>(a, thread);
        __syncthreads();
    }
    if (sums_rows && first_m + thread < p.a.rows)
        p.row_sums[first_m + thread] = row_sum;
    FV_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int64_t m = first_m + product_row<TILE>() + i;
        FV_UNROLL
        for (int j = 0; j < 4; ++j) {
            const int64_t n = first_n + product_column<TILE>() + j;
            if (m < p.a.rows && n < p.b.rows)
                p.result[m * p.b.rows + n] = sum[i][j] + (p.bias ? p.bias[n] : 0.0f);
        }
    }
}

int64_t tile_count(int64_t m, int64_t n, int tile) {
    return ceil_div(m, tile) * ceil_div(n, tile);
}

template <bool A_ALONG_DEPTH, bool B_ALONG_DEPTH>
fv_status run_tile(fv_context *context, const linear_product &p) {
    constexpr int64_t ENOUGH_BLOCKS = 128; /* about one for each multiprocessor of a large device */
    const int64_t large = tile_count(p.a.rows, p.b.rows, 64), small = tile_count(p.a.rows, p.b.rows, 32);
    if (large == 0)
        return FV_OK;
    if (large >= ENOUGH_BLOCKS)
        return FV_LAUNCH(context, (linear_tile<64, A_ALONG_DEPTH, B_ALONG_DEPTH>), dim3(static_cast<unsigned>(large)),
                         PRODUCT_THREADS<64>, 0, p);
    return FV_LAUNCH(context, (linear_tile<32, A_ALONG_DEPTH, B_ALONG_DEPTH>), dim3(static_cast<unsigned>(small)),
                     PRODUCT_THREADS<32>, 0, p);
}

fv_status linear_forward_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_tile<true, true>(context, {.a = {input(buffers, FV_X), d.c, 1, d.n},
                                          .b = {input(buffers, FV_W), d.c, 1, d.k},
                                          .depth = d.c,
                                          .bias = input(buffers, FV_B),
                                          .result = output(buffers, FV_Y),
                                          .row_sums = nullptr});
}

fv_status linear_backward_data_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_tile<true, false>(context, {.a = {input(buffers, FV_DY), d.k, 1, d.n},
                                           .b = {input(buffers, FV_W), 1, d.c, d.c},
                                           .depth = d.k,
                                           .bias = nullptr,
                                           .result = output(buffers, FV_DX),
                                           .row_sums = nullptr});
}

fv_status linear_backward_weights_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_tile<false, false>(context, {.a = {input(buffers, FV_DY), 1, d.k, d.k},
                                            .b = {input(buffers, FV_X), 1, d.c, d.c},
                                            .depth = d.n,
                                            .bias = nullptr,
                                            .result = output(buffers, FV_DW),
                                            .row_sums = output(buffers, FV_DB)});
}

const char *too_many_tiles = "the result has more than 2^31-1 tiles";

const char *supports_data(const fv_operation *op) {
    const fv_linear &d = op->linear;
    return tile_count(d.n, d.c > d.k ? d.c : d.k, 64) > MAX_BLOCKS ? too_many_tiles : NULL;
}

const char *supports_weights(const fv_operation *op) {
    return tile_count(op->linear.k, op->linear.c, 64) > MAX_BLOCKS ? too_many_tiles : NULL;
}

} // namespace

const fv_kernel linear_kernels[] = {
    {.kind = FV_LINEAR,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "tile",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_data,
     .run = linear_forward_tile},
    {.kind = FV_LINEAR,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "tile",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_data,
     .run = linear_backward_data_tile},
    {.kind = FV_LINEAR,
     .pass = FV_BACKWARD_WEIGHTS,
     .dtype = FV_F32,
     .name = "tile",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_weights,
     .run = linear_backward_weights_tile},
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
