/* The matrix products between Winograd's transforms: many of them side by side,
 *
 *     m_b[i][j] = sum_l v_b[i][l] * u_b[l][j]     for each product b, i < rows, l < depth, j < columns.
 *
 * The operands lie in workspace, laid out for this kernel: rows of v are `depth` and rows of u and m `columns` long,
 * rounded up to four floats, so that every access is of 16 bytes; the floats between are neither read nor needed.
 *
 * Method: a block computes 128 rows x COLUMNS (64 or 128) columns with 2*COLUMNS threads, each of which keeps 8 x 8
 * sums in registers. The depth is taken in slices of 16, of which the next is copied asynchronously while one is
 * multiplied.
 *
 *     shared memory   2 slices of 128 x 20 floats of v (4 are padding) and 16 x COLUMNS of u: 36 KiB (28 KiB for 64)
 *     registers       64 sums, 32 of v (8 rows x 4 of the depth), 8 of u: below 128, so that 512 threads fit an SM
 *     intensity       shared memory: 64 products for four reads of 16 bytes; L2: 128 x 128 products for 1 KiB, 32 FLOP
 *                     per byte, 8 bytes per cycle and SM at the full rate of 128 FMA
 *     occupancy       16 warps an SM (25 %): 4 to a scheduler, each with 64 independent FMA per step
 *
 * A thread's rows are four apart and its columns four neighbours, twice; a thread reads v along the depth, four at
 * once, as it lies in memory, which takes as many reads as a transposed slice would. Bank conflicts: 16 lanes are
 * served together if lanes that differ in bit 0, or those that differ in bit 1, read the same 16 bytes; so bit 0
 * chooses the column and bit 1 the row. The 8 column places of such a half are 128 contiguous bytes, its 2 rows lie 20
 * banks apart: no conflict, two passes a read, 8 cycles of shared memory for 16 cycles of FMA. Copies of v write 64
 * bytes of each of 8 rows, two of which overlap in 4 banks: 2 cycles instead of 1 for an eighth of the traffic.
 *
 * Each sum is taken by one thread in the order of l: deterministic. */
#ifndef FOVEA_CONV2D_WINOGRAD_PRODUCT_CUH
#define FOVEA_CONV2D_WINOGRAD_PRODUCT_CUH

#include "async_copy.cuh"

namespace FV_NAMESPACE {

struct winograd_products {
    const float *v, *u;
    float *m;
    int64_t rows, depth, columns, count; /* count: the products side by side, dense one behind the other */
};

constexpr int WINOGRAD_ROWS = 128, WINOGRAD_DEPTH = 16, WINOGRAD_V_PITCH = WINOGRAD_DEPTH + 4;
constexpr int WINOGRAD_QUAD = 4; /* floats of one access */

template <int COLUMNS>
constexpr int WINOGRAD_THREADS = 2 * COLUMNS;

template <int COLUMNS>
constexpr int WINOGRAD_SLICE = WINOGRAD_ROWS *WINOGRAD_V_PITCH + WINOGRAD_DEPTH *COLUMNS; /* floats of both operands */

inline int64_t whole_quads(int64_t floats) {
    return ceil_div(floats, WINOGRAD_QUAD) * WINOGRAD_QUAD;
}

/* Bytes of a quad of which `left` floats or fewer remain. */
__device__ inline int valid_bytes(int left) {
    return left >= WINOGRAD_QUAD ? 16 : left > 0 ? left * 4 : 0;
}

/* Where a block has got to: its rows of v and columns of u at the next slice, and what is left from there on. */
struct winograd_front {
    const float *v, *u;
    int rows, depth, columns; /* of rows and columns no more than a block takes */
    int v_pitch, u_pitch;
};

/* Begins to copy the next slice and goes behind it. Beyond the depth both are zeros; rows and columns beyond the edges
 * are whatever is easiest to read, as no sum of theirs is wanted. */
template <int COLUMNS>
__device__ void winograd_stage(winograd_front &front, float *slice) {
    constexpr int QUADS_DEEP = WINOGRAD_DEPTH / WINOGRAD_QUAD, QUADS_WIDE = COLUMNS / WINOGRAD_QUAD;
    const int thread = static_cast<int>(threadIdx.x);
    const int l = thread % QUADS_DEEP * WINOGRAD_QUAD, bytes = valid_bytes(front.depth - l);
    FV_UNROLL
    for (int e = 0; e < WINOGRAD_ROWS * QUADS_DEEP; e += WINOGRAD_THREADS<COLUMNS>) {
        const int row = (e + thread) / QUADS_DEEP, from = row < front.rows ? row : front.rows - 1;
        async_copy<16>(&slice[row * WINOGRAD_V_PITCH + l], front.v + (bytes ? from * front.v_pitch + l : 0), bytes);
    }
    float *const columns = slice + WINOGRAD_ROWS * WINOGRAD_V_PITCH;
    const int column = thread % QUADS_WIDE * WINOGRAD_QUAD;
    FV_UNROLL
    for (int e = 0; e < WINOGRAD_DEPTH * QUADS_WIDE; e += WINOGRAD_THREADS<COLUMNS>) {
        const int row = (e + thread) / QUADS_WIDE;
        const bool inside = row < front.depth && column < front.columns;
        async_copy<16>(&columns[row * COLUMNS + column], front.u + (inside ? row * front.u_pitch + column : 0),
                       inside ? 16 : 0);
    }
    front.v += WINOGRAD_DEPTH;
    front.u += static_cast<int64_t>(WINOGRAD_DEPTH) * front.u_pitch;
    front.depth -= WINOGRAD_DEPTH;
}

/* The thread's first row and column; the others are 4 * i rows down and 32 columns further. */
__device__ inline int winograd_row() {
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    return warp % 4 * 32 + (lane >> 1 & 1) + (lane >> 3 & 2);
}

__device__ inline int winograd_column() {
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    return warp / 4 * 64 + ((lane & 1) + (lane >> 1 & 6)) * WINOGRAD_QUAD;
}

__device__ inline void read_quad(const float *from, float (&to)[WINOGRAD_QUAD]) {
    const float4 quad = *reinterpret_cast<const float4 *>(from);
    to[0] = quad.x, to[1] = quad.y, to[2] = quad.z, to[3] = quad.w;
}

/* sum += the product of the slice's operands. */
template <int COLUMNS>
__device__ void winograd_multiply(const float *slice, float (&sum)[8][2][WINOGRAD_QUAD]) {
    const float *const rows = slice + winograd_row() * WINOGRAD_V_PITCH;
    const float *const columns = slice + WINOGRAD_ROWS * WINOGRAD_V_PITCH + winograd_column();
    FV_UNROLL
    for (int quad = 0; quad < WINOGRAD_DEPTH; quad += WINOGRAD_QUAD) {
        float v[8][WINOGRAD_QUAD];
        FV_UNROLL
        for (int i = 0; i < 8; ++i)
            read_quad(&rows[4 * i * WINOGRAD_V_PITCH + quad], v[i]);
        FV_UNROLL
        for (int l = 0; l < WINOGRAD_QUAD; ++l) {
            float u[2][WINOGRAD_QUAD];
            read_quad(&columns[(quad + l) * COLUMNS], u[0]);
            read_quad(&columns[(quad + l) * COLUMNS + 32], u[1]);
            FV_UNROLL
            for (int i = 0; i < 8; ++i) {
                FV_UNROLL
                for (int j = 0; j < 2 * WINOGRAD_QUAD; ++j)
                    sum[i][j / 4][j % 4] += v[i][l] * u[j / 4][j % 4];
            }
        }
    }
}

template <int COLUMNS>
__global__ void __launch_bounds__(WINOGRAD_THREADS<COLUMNS>, 512 / WINOGRAD_THREADS<COLUMNS>)
    conv2d_winograd_product_kernel(winograd_products p) {
    FV_DYNAMIC_SHARED(float, slices);
    const int64_t across = ceil_div(p.columns, COLUMNS), down = ceil_div(p.rows, WINOGRAD_ROWS);
    const int64_t first_column = blockIdx.x % across * COLUMNS, first_row = blockIdx.x / across % down * WINOGRAD_ROWS;
    const int64_t number = blockIdx.x / across / down;
    const int64_t v_pitch = (p.depth + 3) / 4 * 4, u_pitch = (p.columns + 3) / 4 * 4;
    const int64_t rows = p.rows - first_row, columns = p.columns - first_column;
    winograd_front front = {.v = p.v + (number * p.rows + first_row) * v_pitch,
                            .u = p.u + number * p.depth * u_pitch + first_column,
                            .rows = static_cast<int>(rows < WINOGRAD_ROWS ? rows : WINOGRAD_ROWS),
                            .depth = static_cast<int>(p.depth),
                            .columns = static_cast<int>(columns < COLUMNS ? columns : COLUMNS),
                            .v_pitch = static_cast<int>(v_pitch),
                            .u_pitch = static_cast<int>(u_pitch)};

    float sum[8][2][WINOGRAD_QUAD] = {};
    const int slice_count = (front.depth + WINOGRAD_DEPTH - 1) / WINOGRAD_DEPTH;
    winograd_stage<COLUMNS>(front, slices);
    async_copy_commit();
    for (int slice = 0; slice < slice_count; ++slice) {
        if (front.depth > 0)
            winograd_stage<COLUMNS>(front, slices + (slice + 1) % 2 * WINOGRAD_SLICE<COLUMNS>);
        async_copy_commit();
        async_copy_wait<1>();
        __syncthreads();
        winograd_multiply<COLUMNS>(slices + slice % 2 * WINOGRAD_SLICE<COLUMNS>, sum);
        __syncthreads();
    }

    float *const m = p.m + (number * p.rows + first_row) * u_pitch + first_column;
    FV_UNROLL
    for (int i = 0; i < 8; ++i) {
        const int row = winograd_row() + 4 * i;
        FV_UNROLL
        for (int j = 0; j < 2; ++j) {
            const int column = winograd_column() + 32 * j;
            if (row < front.rows && column < front.columns)
                *reinterpret_cast<float4 *>(&m[static_cast<int64_t>(row) * front.u_pitch + column]) =
                    make_float4(sum[i][j][0], sum[i][j][1], sum[i][j][2], sum[i][j][3]);
        }
    }
}

inline int64_t winograd_product_blocks(int wide, const winograd_products &p) {
    return ceil_div(p.columns, wide) * ceil_div(p.rows, WINOGRAD_ROWS) * p.count;
}

constexpr int64_t WINOGRAD_ENOUGH_BLOCKS = 1024;

/* Whether blocks should be 128 columns wide: not if they were half empty, or fewer than is enough, so that a device of
 * about 132 SMs would stand idle for much of its last turn. */
inline bool winograd_wide(const winograd_products &p, int64_t enough) {
    return ceil_div(p.columns, 64) % 2 == 0 && winograd_product_blocks(128, p) >= enough;
}

template <int COLUMNS>
fv_status launch_winograd_products(fv_context *context, const winograd_products &p) {
    return FV_LAUNCH(context, (conv2d_winograd_product_kernel<COLUMNS>),
                     dim3(static_cast<unsigned>(winograd_product_blocks(COLUMNS, p))), WINOGRAD_THREADS<COLUMNS>,
                     2 * WINOGRAD_SLICE<COLUMNS> * sizeof(float), p);
}

inline fv_status run_winograd_products(fv_context *context, const winograd_products &p) {
#ifdef FV_EMULATED
    constexpr int64_t ENOUGH = 32; /* so that small cases, too, have wide blocks */
#else
    constexpr int64_t ENOUGH = WINOGRAD_ENOUGH_BLOCKS;
#endif
    return winograd_wide(p, ENOUGH) ? launch_winograd_products<128>(context, p)
                                    : launch_winograd_products<64>(context, p);
}

} // namespace FV_NAMESPACE

#endif
