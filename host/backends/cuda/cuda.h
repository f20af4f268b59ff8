/* The CUDA device behind a context, shared by the cuda and cudnn backends.
 *
 * Everything runs in one stream of the device's own: copies, cuBLAS, cuDNN and our kernels are ordered by it. The
 * device is the first that the process may see (CUDA_VISIBLE_DEVICES chooses).
 */
#ifndef FOVEA_BACKENDS_CUDA_CUDA_H
#define FOVEA_BACKENDS_CUDA_CUDA_H

#include <cuda_runtime_api.h>

#include "backends/kernel.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pinned host memory through which small uploads pass, so that they need not wait for the stream: see memory.c. */
enum { FV_CUDA_STAGING_SLOTS = 16, FV_CUDA_STAGING_BYTES = 16 * 1024 };

typedef struct fv_cuda_staging {
    unsigned char *host; /* FV_CUDA_STAGING_SLOTS slots of FV_CUDA_STAGING_BYTES */
    cudaEvent_t copied[FV_CUDA_STAGING_SLOTS];
    int next;
} fv_cuda_staging;

/* What fv_cuda_time keeps from call to call: see timing.c. */
typedef struct fv_cuda_timer {
    cudaEvent_t start, begin, end; /* NULL until it is first used */
    int covers;                    /* how long the host's queuing of the work is to be covered; at least 1 */
    double pause;                  /* seconds: argument of a queued host function */
} fv_cuda_timer;

typedef struct fv_cuda_device {
    cudaStream_t stream;
    int ordinal;
    fv_cuda_timer timer;
    fv_cuda_staging staging;
    struct fv_cublas *blas; /* NULL until a linear layer asks for it, see blas.h */
} fv_cuda_device;

fv_cuda_device *fv_cuda_device_of(const fv_context *context);
cudaStream_t fv_cuda_stream(const fv_context *context);

/* FV_OK, or a failure that says "cuda: cannot WHAT: error text". Clears the runtime's record of the error, which the
 * next kernel launch would otherwise take for its own. */
fv_status fv_cuda_check(cudaError_t error, const char *what);
#define FV_CUDA(what, call) fv_cuda_check((call), (what))

/* Opens into a device that is zeroed, and may be the first member of a larger one; fills the context's device,
 * capability and description. FV_UNSUPPORTED if there is no device or no driver. */
fv_status fv_cuda_open_device(fv_context *context, fv_cuda_device *device);
void fv_cuda_close_device(fv_cuda_device *device);

/* The memory functions of the vtable, the same for both backends. */
fv_status fv_cuda_allocate(fv_context *context, size_t bytes, void **pointer);
void fv_cuda_deallocate(fv_context *context, void *pointer);
fv_status fv_cuda_upload(fv_context *context, void *device, const void *host, size_t bytes);
fv_status fv_cuda_download(fv_context *context, void *host, const void *device, size_t bytes);
fv_status fv_cuda_fill(fv_context *context, void *device, int byte, size_t bytes);
fv_status fv_cuda_copy(fv_context *context, void *to, const void *from, size_t bytes);
fv_status fv_cuda_synchronize(fv_context *context);

/* The vtable's entries for measuring (timing.c). */
fv_status fv_cuda_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed);
void fv_cuda_machine(const fv_context *context, fv_machine *machine);
void fv_cuda_conditions(const fv_context *context, fv_conditions *conditions);
void fv_cuda_timer_destroy(fv_cuda_timer *timer);

fv_status fv_cuda_staging_create(fv_cuda_staging *staging);
void fv_cuda_staging_destroy(fv_cuda_staging *staging);

/* Linear layers by cuBLAS: rows of both backends. */
extern const fv_kernel fv_cublas_kernels[];

extern const fv_backend fv_backend_cuda;

#ifdef __cplusplus
}
#endif
#endif
