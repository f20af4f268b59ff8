#include "backends/cuda/blas.h"

#include <stdlib.h>

#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define FV_LIBRARY_TABLE fv_cublas_api

/* NVIDIA's recommendation for Hopper; setting it keeps cuBLAS from choosing by what happens to be free, and so from
 * computing in another order on another day. */
enum { WORKSPACE_BYTES = 32 * 1024 * 1024 };

static const fv_library_symbol symbols[] = {FV_CUBLAS_FUNCTIONS(FV_LIBRARY_SYMBOL)};

fv_status fv_cublas_check(const fv_cublas *blas, cublasStatus_t status, const char *what) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return FV_OK;
    return fv_fail(status == CUBLAS_STATUS_ALLOC_FAILED ? FV_NO_MEMORY : FV_DEVICE, "cublas: cannot %s: %s", what,
                   blas->api.status_string(status));
}

static fv_status create(fv_context *context, fv_cublas *blas) {
    const fv_cublas_api *api = &blas->api;
    FV_TRY(fv_library_load("libcublas.so." STRING(CUBLAS_VER_MAJOR), symbols, sizeof symbols / sizeof symbols[0],
                           &blas->api));
    FV_TRY(FV_CUBLAS(blas, "create a handle", api->create(&blas->handle)));
    FV_TRY(FV_CUBLAS(blas, "set the stream", api->set_stream(blas->handle, fv_cuda_stream(context))));
    /* After the stream, because setting that resets the workspace. */
    FV_TRY(fv_cuda_allocate(context, WORKSPACE_BYTES, &blas->workspace));
    FV_TRY(FV_CUBLAS(blas, "set the workspace", api->set_workspace(blas->handle, blas->workspace, WORKSPACE_BYTES)));
    /* The mode in which f32 is computed in f32, where a product does not ask for TF32 itself, and in which sums of 16-bit
     * products stay f32 where several blocks have parts of them. */
    const cublasMath_t mode = (cublasMath_t)(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    FV_TRY(FV_CUBLAS(blas, "set the math mode", api->set_math_mode(blas->handle, mode)));
    return FV_CUBLAS(blas, "forbid atomics", api->set_atomics_mode(blas->handle, CUBLAS_ATOMICS_NOT_ALLOWED));
}

fv_status fv_cublas_get(fv_context *context, fv_cublas **blas) {
    fv_cuda_device *device = fv_cuda_device_of(context);
    if (!device->blas) {
        fv_cublas *created = calloc(1, sizeof *created);
        if (!created)
            return fv_fail(FV_NO_MEMORY, "cublas: no memory for a handle");
        const fv_status status = create(context, created);
        if (status != FV_OK) {
            fv_cublas_destroy(created);
            return status;
        }
        device->blas = created;
    }
    *blas = device->blas;
    return FV_OK;
}

void fv_cublas_destroy(fv_cublas *blas) {
    if (!blas)
        return;
    if (blas->handle)
        (void)blas->api.destroy(blas->handle);
    if (blas->workspace)
        (void)cudaFree(blas->workspace);
    free(blas);
}
