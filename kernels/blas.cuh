/* Matrix products that a kernel file leaves to a library: cuBLAS on the GPU. Under the emulator plain loops stand in, so
 * that what comes before and after can be checked anywhere. */
#ifndef FOVEA_BLAS_CUH
#define FOVEA_BLAS_CUH

#include "backends/cuda/product.h"
#include "kernel.cuh"

namespace FV_NAMESPACE {

#ifdef FV_EMULATED

inline fv_status blas_ready(fv_context *) {
    return FV_OK;
}

inline fv_status blas_multiply(fv_context *, const fv_product &p) {
    const auto at = [](const fv_matrix &matrix, int64_t number, int64_t i, int64_t j) {
        return matrix.data[number * matrix.next + (matrix.transposed ? j * matrix.pitch + i : i * matrix.pitch + j)];
    };
    for (int64_t number = 0; number < p.count; ++number)
        for (int64_t i = 0; i < p.m; ++i)
            for (int64_t j = 0; j < p.n; ++j) {
                float *const result = &p.result[number * p.next + i * p.pitch + j];
                float sum = p.accumulate ? *result : 0.0f;
                for (int64_t l = 0; l < p.depth; ++l)
                    sum += at(p.a, number, i, l) * at(p.b, number, l, j);
                *result = sum;
            }
    return FV_OK;
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
