/* Matrix products that a kernel file leaves to a library: cuBLAS on the GPU. Under the emulator our own tiled product
 * stands in, so that what comes before and after can be checked anywhere. */
#ifndef FOVEA_BLAS_CUH
#define FOVEA_BLAS_CUH

#include "backends/cuda/product.h"
#include "product_tile.cuh"

namespace FV_NAMESPACE {

#ifdef FV_EMULATED

inline fv_status blas_ready(fv_context *) {
    return FV_OK;
}

inline fv_status blas_multiply(fv_context *context, const fv_product &p) {
    const char *reason = product_refusal(p.m, p.n, p.count);
    if (reason)
        return fv_fail(FV_UNSUPPORTED, "product: %s", reason);
    const matrix_product product = {
        .a = {p.a.data, p.a.transposed ? 1 : p.a.pitch, p.a.transposed ? p.a.pitch : 1, p.m},
        .b = {p.b.data, p.b.transposed ? p.b.pitch : 1, p.b.transposed ? 1 : p.b.pitch, p.n},
        .depth = p.depth,
        .bias = nullptr,
        .result = p.result,
        .pitch = p.pitch,
        .row_sums = nullptr,
        .accumulate = p.accumulate,
        .count = p.count,
        .next = {.a = p.a.next, .b = p.b.next, .bias = 0, .result = p.next, .row_sums = 0},
    };
    if (p.a.transposed)
        return p.b.transposed ? run_product<false, true>(context, product)
                              : run_product<false, false>(context, product);
    return p.b.transposed ? run_product<true, true>(context, product) : run_product<true, false>(context, product);
}

#else

inline fv_status blas_ready(fv_context *context) {
    return fv_cublas_ready(context);
}

inline fv_status blas_multiply(fv_context *context, const fv_product &product) {
    return fv_cublas_multiply(context, &product);
}

#endif

} // namespace FV_NAMESPACE

#endif
