/* flatten: y[n,:] = an image's values in a row, x [n,h,w,c] in the order of memory (hwc) or channel by channel (chw),
 * and dx from dy the other way. Per image, chw is the transpose of a matrix of h*w rows and c columns.
 *
 * Variants
 *     copy      where both orders are the same: hwc, one channel, one pixel. One thread per element.
 *     tile      a block transposes a tile of 32 x 32 through shared memory: rows are read and columns written by
 *               neighbouring threads, so both are coalesced. A row of padding keeps the columns of the tile in
 *               different banks. As many tiles as blocks can be.
 * Deterministic, bound by memory.
 *
 * 8 bytes moved per element. Expected on an H200: copy 90 % and tile 75 % of a copy's rate, as one tile waits at one
 * barrier for 4 KiB. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int TILE = 32, TILE_ROWS = 8; /* a block of TILE x TILE_ROWS threads moves TILE rows in turns of TILE_ROWS */

__global__ void flatten_copy_kernel(int64_t elements, const float *from, float *to) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        to[i] = from[i];
}

/* to[image][column][row] = from[image][row][column] */
__global__ void flatten_tile_kernel(int64_t rows, int64_t columns, const float *from, float *to) {
    __shared__ float tile[TILE][TILE + 1];
    const int64_t tiles_across = ceil_div(columns, TILE), tiles_down = ceil_div(rows, TILE);
    const int64_t first_column = blockIdx.x % tiles_across * TILE;
    const int64_t first_row = blockIdx.x / tiles_across % tiles_down * TILE;
    const int64_t image = blockIdx.x / tiles_across / tiles_down;
    from += image * rows * columns;
    to += image * rows * columns;
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    for (int turn = y; turn < TILE; turn += TILE_ROWS)
        if (first_row + turn < rows && first_column + x < columns)
            tile[turn][x] = from[(first_row + turn) * columns + first_column + x];
    __syncthreads();
    for (int turn = y; turn < TILE; turn += TILE_ROWS)
        if (first_column + turn < columns && first_row + x < rows)
            to[(first_column + turn) * rows + first_row + x] = tile[x][turn];
}

fv_status run_copy(fv_context *context, const fv_flatten &d, const float *from, float *to) {
    const int64_t elements = d.n * d.h * d.w * d.c;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, flatten_copy_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0, elements, from,
                     to);
}

int64_t tile_count(const fv_flatten &d) {
    return ceil_div(d.h * d.w, TILE) * ceil_div(d.c, TILE) * d.n;
}

fv_status run_tile(fv_context *context, const fv_flatten &d, int64_t rows, int64_t columns, const float *from,
                   float *to) {
    if (d.n == 0)
        return FV_OK;
    return FV_LAUNCH(context, flatten_tile_kernel, dim3(static_cast<unsigned>(tile_count(d))), dim3(TILE, TILE_ROWS), 0,
                     rows, columns, from, to);
}

fv_status flatten_forward_copy(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return run_copy(context, op->flatten, input(buffers, FV_X), output(buffers, FV_Y));
}

fv_status flatten_backward_data_copy(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return run_copy(context, op->flatten, input(buffers, FV_DY), output(buffers, FV_DX));
}

fv_status flatten_forward_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_flatten &d = op->flatten;
    return run_tile(context, d, d.h * d.w, d.c, input(buffers, FV_X), output(buffers, FV_Y));
}

fv_status flatten_backward_data_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_flatten &d = op->flatten;
    return run_tile(context, d, d.c, d.h * d.w, input(buffers, FV_DY), output(buffers, FV_DX));
}

const char *supports_copy(const fv_operation *op) {
    const fv_flatten &d = op->flatten;
    return d.order == FV_HWC || d.c == 1 || d.h * d.w == 1 ? NULL : "the order of the values changes";
}

const char *supports_tile(const fv_operation *op) {
    const fv_flatten &d = op->flatten;
    if (d.order != FV_CHW)
        return "the order of the values stays";
    return tile_count(d) > MAX_BLOCKS ? "the images have more than 2^31-1 tiles" : NULL;
}

} // namespace

const fv_kernel flatten_kernels[] = {
    FV_KERNEL_F32(FV_FLATTEN, FV_FORWARD, "copy", .supports = supports_copy, .run = flatten_forward_copy),
    FV_KERNEL_F32(FV_FLATTEN, FV_FORWARD, "tile", .supports = supports_tile, .run = flatten_forward_tile),
    FV_KERNEL_F32(FV_FLATTEN, FV_BACKWARD_DATA, "copy", .supports = supports_copy, .run = flatten_backward_data_copy),
    FV_KERNEL_F32(FV_FLATTEN, FV_BACKWARD_DATA, "tile", .supports = supports_tile, .run = flatten_backward_data_tile),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
