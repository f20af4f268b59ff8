/* Matrix products by cuBLAS for kernels that leave them to a library, in true fp32 and without atomics (blas.h). */
#ifndef FOVEA_BACKENDS_CUDA_PRODUCT_H
#define FOVEA_BACKENDS_CUDA_PRODUCT_H

#include "backends/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Row i, column j of a matrix is data[i*pitch + j], or data[j*pitch + i] of a transposed one. `next`: floats from one
 * product's matrix to the next one's. */
typedef struct fv_matrix {
    const float *data;
    int64_t pitch, next;
    bool transposed;
} fv_matrix;

/* `count` products: result = a b, or result += a b; a is m x depth, b depth x n, the result m x n and row-major. */
typedef struct fv_product {
    int64_t m, n, depth, count;
    fv_matrix a, b;
    float *result;
    int64_t pitch, next; /* of the result */
    bool accumulate;
} fv_product;

/* FV_UNSUPPORTED if cuBLAS cannot be loaded. */
fv_status fv_cublas_ready(fv_context *context);

/* Tensors on the device; extents and count at least 1. */
fv_status fv_cublas_multiply(fv_context *context, const fv_product *product);

#ifdef __cplusplus
}
#endif
#endif
