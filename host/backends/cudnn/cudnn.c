/* The cudnn backend: NVIDIA's library, with the cuda backend standing in for what it lacks. */
#include "backends/cudnn/cudnn.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define FV_LIBRARY_TABLE fv_cudnn_api

#if CUDNN_MAJOR != 9
#error "written for cuDNN 9"
#endif

static const fv_library_symbol symbols[] = {FV_CUDNN_FUNCTIONS(FV_LIBRARY_SYMBOL)};

fv_status fv_cudnn_check(const fv_cudnn_api *api, cudnnStatus_t status, const char *what) {
    if (status == CUDNN_STATUS_SUCCESS)
        return FV_OK;
    /* The detail is the condition that failed, in cuDNN's own terms; it may be empty. */
    char detail[256] = "";
    api->last_error(detail, sizeof detail);
    detail[strcspn(detail, "\r\n")] = '\0';
    const bool unsupported = CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
    const bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    return fv_fail(unsupported ? FV_UNSUPPORTED
                   : memory    ? FV_NO_MEMORY
                               : FV_DEVICE,
                   "cudnn: cannot %s: %s%s%s%s", what, api->error_string(status), *detail ? " (" : "", detail,
                   *detail ? ")" : "");
}

fv_status fv_cudnn_get(fv_context *context, fv_cudnn_device **device) {
    fv_cudnn_device *d = context->device;
    const fv_cudnn_api *api = &d->api;
    *device = d;
    if (d->handle)
        return FV_OK;
    cudnnHandle_t handle = NULL;
    FV_TRY(FV_CUDNN(api, "create a handle", api->create(&handle)));
    const fv_status status = FV_CUDNN(api, "set the stream", api->set_stream(handle, d->cuda.stream));
    if (status == FV_OK)
        d->handle = handle;
    else
        (void)api->destroy(handle);
    return status;
}

bool fv_cudnn_fits(int64_t n, int64_t h, int64_t w, int64_t c) {
    int64_t elements = n;
    return !__builtin_mul_overflow(elements, h, &elements) && !__builtin_mul_overflow(elements, w, &elements) &&
           !__builtin_mul_overflow(elements, c, &elements) && elements <= INT_MAX;
}

cudnnDataType_t fv_cudnn_dtype(fv_dtype dtype) {
    return dtype == FV_BF16 ? CUDNN_DATA_BFLOAT16 : dtype == FV_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

fv_status fv_cudnn_tensor_create(const fv_cudnn_api *api, fv_dtype dtype, fv_layout layout, int64_t n, int64_t h,
                                 int64_t w, int64_t c, cudnnTensorDescriptor_t *tensor) {
    const cudnnTensorFormat_t format = layout == FV_NHWC ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW;
    FV_TRY(FV_CUDNN(api, "create a tensor descriptor", api->tensor_create(tensor)));
    return FV_CUDNN(api, "describe a tensor",
                    api->tensor_set(*tensor, format, fv_cudnn_dtype(dtype), (int)n, (int)c, (int)h, (int)w));
}

static fv_status open_device(fv_context *context, fv_cudnn_device *device) {
    FV_TRY(fv_cuda_open_device(context, &device->cuda));
    FV_TRY(
        fv_library_load("libcudnn.so." STRING(CUDNN_MAJOR), symbols, sizeof symbols / sizeof symbols[0], &device->api));
    const size_t version = device->api.version(), length = strlen(context->description);
    snprintf(context->description + length, sizeof context->description - length, ", cuDNN %zu.%zu", version / 10000,
             version % 10000 / 100);
    return FV_OK;
}

static void close_device(fv_cudnn_device *device) {
    fv_cudnn_convolution_forget(device);
    if (device->handle) {
        (void)cudaStreamSynchronize(device->cuda.stream);
        (void)device->api.destroy(device->handle);
    }
    fv_cuda_close_device(&device->cuda);
    free(device);
}

static fv_status open_cudnn(fv_context *context, const fv_context_options *options) {
    (void)options;
    fv_cudnn_device *device = calloc(1, sizeof *device);
    if (!device)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a context");
    const fv_status status = open_device(context, device);
    if (status != FV_OK)
        close_device(device);
    return status;
}

static void close_cudnn(fv_context *context) {
    close_device(context->device);
}

static const fv_kernel *const tables[] = {
    fv_cudnn_conv2d_kernels, fv_unfused_kernels,         fv_cudnn_pooling_kernels,
    fv_cublas_kernels,       fv_cudnn_batchnorm_kernels, fv_unfused_batchnorm_kernels,
    fv_cudnn_relu_kernels,   fv_cudnn_moves_kernels,     NULL,
};

const fv_backend fv_backend_cudnn = {
    .name = "cudnn",
    .tables = tables,
    .stand_in = &fv_backend_cuda,
    .open = open_cudnn,
    .close = close_cudnn,
    .allocate = fv_cuda_allocate,
    .deallocate = fv_cuda_deallocate,
    .upload = fv_cuda_upload,
    .download = fv_cuda_download,
    .fill = fv_cuda_fill,
    .copy = fv_cuda_copy,
    .synchronize = fv_cuda_synchronize,
    .time = fv_cuda_time,
    .machine = fv_cuda_machine,
    .conditions = fv_cuda_conditions,
};
