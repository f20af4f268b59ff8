/* linear: y[n,k] = b[k] + sum_c x[n,c] w[k,c], and its gradients dx[n,c] = sum_k dy[n,k] w[k,c],
 * dw[k,c] = sum_n dy[n,k] x[n,c], db[k] = sum_n dy[n,k].
 *
 * All are one matrix product, result[m][n] = sum_l a(m,l) b(l,n), and differ in what m, n and l stand for and in which
 * of them lies contiguous in memory. Any sizes. Each sum is taken by one thread in the order of l: deterministic.
 *
 * Variant
 *     tile   a block computes a tile of the result through shared memory: see product_tile.cuh.
 *
 * 16 FLOP per byte of L2 at tiles of 64 x 64. Expected on an H200: 40 to 45 % of the FMA peak on large products, where
 * cuBLAS reaches 70 %; a digits network's layers fill some tens of 132 multiprocessors: 5 to 10 %. */
#include "issue_estimate.cuh"
#include "product_tile.cuh"

namespace FV_NAMESPACE {

namespace {

fv_status linear_forward_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_product<true, true>(context, {.a = {input(buffers, FV_X), d.c, 1, d.n},
                                             .b = {input(buffers, FV_W), d.c, 1, d.k},
                                             .depth = d.c,
                                             .bias = input(buffers, FV_B),
                                             .result = output(buffers, FV_Y),
                                             .pitch = d.k,
                                             .row_sums = nullptr});
}

fv_status linear_backward_data_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_product<true, false>(context, {.a = {input(buffers, FV_DY), d.k, 1, d.n},
                                              .b = {input(buffers, FV_W), 1, d.c, d.c},
                                              .depth = d.k,
                                              .bias = nullptr,
                                              .result = output(buffers, FV_DX),
                                              .pitch = d.c,
                                              .row_sums = nullptr});
}

fv_status linear_backward_weights_tile(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_linear &d = op->linear;
    return run_product<false, false>(context, {.a = {input(buffers, FV_DY), 1, d.k, d.k},
                                               .b = {input(buffers, FV_X), 1, d.c, d.c},
                                               .depth = d.n,
                                               .bias = nullptr,
                                               .result = output(buffers, FV_DW),
                                               .pitch = d.c,
                                               .row_sums = output(buffers, FV_DB)});
}

const char *supports_forward(const fv_operation *op) {
    return product_refusal(op->linear.n, op->linear.k, 1);
}

const char *supports_data(const fv_operation *op) {
    return product_refusal(op->linear.n, op->linear.c, 1);
}

const char *supports_weights(const fv_operation *op) {
    return product_refusal(op->linear.k, op->linear.c, 1);
}

template <fv_pass PASS>
double estimate_tile(const fv_operation *op, const fv_chip *chip) {
    const fv_linear &d = op->linear;
    const int64_t m = PASS == FV_BACKWARD_WEIGHTS ? d.k : d.n, n = PASS == FV_FORWARD ? d.k : d.c;
    const int64_t depth = PASS == FV_FORWARD ? d.c : PASS == FV_BACKWARD_DATA ? d.k : d.n;
    issued_work work = product_work({.m = static_cast<double>(m),
                                     .n = static_cast<double>(n),
                                     .depth = static_cast<double>(depth),
                                     .count = 1,
                                     .tile = product_tile_of(m, n, 1)},
                                    STAGE_DENSE, STAGE_DENSE);
    work.bytes = bytes_of(op, PASS);
    return expected_issue(*chip, work);
}

} // namespace

const fv_kernel linear_kernels[] = {
    FV_KERNEL_F32(FV_LINEAR, FV_FORWARD, "tile", .supports = supports_forward, .estimate = estimate_tile<FV_FORWARD>,
                  .run = linear_forward_tile),
    FV_KERNEL_F32(FV_LINEAR, FV_BACKWARD_DATA, "tile", .supports = supports_data,
                  .estimate = estimate_tile<FV_BACKWARD_DATA>, .run = linear_backward_data_tile),
    FV_KERNEL_F32(FV_LINEAR, FV_BACKWARD_WEIGHTS, "tile", .supports = supports_weights,
                  .estimate = estimate_tile<FV_BACKWARD_WEIGHTS>, .run = linear_backward_weights_tile),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
