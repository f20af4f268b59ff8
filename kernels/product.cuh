/* The core of a tiled matrix product, shared by the linear layer and the filter gradient:
 *
 *     sum[m][n] += sum over l of a(m, l) * b(l, n)
 *
 * A block of (TILE/4)^2 threads computes a TILE x TILE tile. Both operands pass through shared memory in slices of
 * PRODUCT_DEPTH values of l, so that each value read from global memory serves TILE products; each thread keeps 4 x 4
 * sums in registers, so that eight values read from shared memory serve sixteen products. */
#ifndef FOVEA_PRODUCT_CUH
#define FOVEA_PRODUCT_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

constexpr int PRODUCT_DEPTH = 16;

template <int TILE>
constexpr int PRODUCT_THREADS = (TILE / 4) * (TILE / 4);

/* One operand's slice; slice[l][i] with four floats of padding, which keep rows 16-byte aligned and spread columns
 * over banks. */
template <int TILE>
using product_slice = float[PRODUCT_DEPTH][TILE + 4];

/* A matrix in global memory: element (i, l) at data[i * row + l * step]. */
struct product_operand {
    const float *data;
    int64_t row, step;
    int64_t rows; /* i runs below it */
};

/* Fills a slice with the operand's rows from `first`, l from `depth` up to depth_end; zeros beyond the edges.
 * ALONG_DEPTH: l lies contiguous in memory, so neighbouring threads read neighbouring l; else neighbouring i. */
template <int TILE, bool ALONG_DEPTH>
__device__ void product_stage(product_slice<TILE> &slice, const product_operand &operand, int64_t first, int64_t depth,
                              int64_t depth_end) {
    FV_UNROLL
    for (int e = 0; e < TILE * PRODUCT_DEPTH; e += PRODUCT_THREADS<TILE>) {
        const int at = e + static_cast<int>(threadIdx.x);
        const int i = ALONG_DEPTH ? at / PRODUCT_DEPTH : at % TILE;
        const int l = ALONG_DEPTH ? at % PRODUCT_DEPTH : at / TILE;
        const bool inside = first + i < operand.rows && depth + l < depth_end;
        slice[l][i] = inside ? operand.data[(first + i) * operand.row + (depth + l) * operand.step] : 0.0f;
    }
}

/* First row (m) and column (n) of the calling thread's 4 x 4 sums within the tile. */
template <int TILE>
__device__ inline int product_row() {
    return static_cast<int>(threadIdx.x) / (TILE / 4) * 4;
}

template <int TILE>
__device__ inline int product_column() {
    return static_cast<int>(threadIdx.x) % (TILE / 4) * 4;
}

/* sum += the product of two slices. */
template <int TILE>
__device__ void product_multiply(const product_slice<TILE> &a, const product_slice<TILE> &b, float (&sum)[4][4]) {
    FV_UNROLL
    for (int l = 0; l < PRODUCT_DEPTH; ++l) {
        const float4 rows = *reinterpret_cast<const float4 *>(&a[l][product_row<TILE>()]);
        const float4 columns = *reinterpret_cast<const float4 *>(&b[l][product_column<TILE>()]);
        const float m[4] = {rows.x, rows.y, rows.z, rows.w};
        const float n[4] = {columns.x, columns.y, columns.z, columns.w};
        FV_UNROLL
        for (int i = 0; i < 4; ++i) {
            FV_UNROLL
            for (int j = 0; j < 4; ++j)
                sum[i][j] += m[i] * n[j];
        }
    }
}

/* Adds up a slice over l for row i. */
template <int TILE>
__device__ float product_row_sum(const product_slice<TILE> &slice, int i) {
    float sum = 0;
    FV_UNROLL
    for (int l = 0; l < PRODUCT_DEPTH; ++l)
        sum += slice[l][i];
    return sum;
}

} // namespace FV_NAMESPACE

#endif
