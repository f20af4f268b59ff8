/* cuBLAS on a device, loaded and set up when first asked for: that takes tens of milliseconds. */
#ifndef FOVEA_BACKENDS_CUDA_BLAS_H
#define FOVEA_BACKENDS_CUDA_BLAS_H

#include <cublas_v2.h>

#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"

/* The functions with 64-bit sizes, which never wrap. */
#define FV_CUBLAS_FUNCTIONS(X)                                                                                         \
    X(create, cublasCreate_v2)                                                                                         \
    X(destroy, cublasDestroy_v2)                                                                                       \
    X(set_stream, cublasSetStream_v2)                                                                                  \
    X(set_workspace, cublasSetWorkspace_v2)                                                                            \
    X(set_math_mode, cublasSetMathMode)                                                                                \
    X(set_atomics_mode, cublasSetAtomicsMode)                                                                          \
    X(status_string, cublasGetStatusString)                                                                            \
    X(gemm, cublasGemmEx_64)                                                                                           \
    X(sgemm_batched, cublasSgemmStridedBatched_64)

typedef struct fv_cublas_api {
    FV_CUBLAS_FUNCTIONS(FV_LIBRARY_MEMBER)
} fv_cublas_api;

typedef struct fv_cublas {
    fv_cublas_api api;
    cublasHandle_t handle;
    void *workspace;
} fv_cublas;

/* FV_UNSUPPORTED if the library cannot be loaded. */
fv_status fv_cublas_get(fv_context *context, fv_cublas **blas);

/* Fine on NULL. */
void fv_cublas_destroy(fv_cublas *blas);

/* FV_OK, or a failure that says "cublas: cannot WHAT: error text". */
fv_status fv_cublas_check(const fv_cublas *blas, cublasStatus_t status, const char *what);
#define FV_CUBLAS(blas, what, call) fv_cublas_check((blas), (call), (what))

#endif
