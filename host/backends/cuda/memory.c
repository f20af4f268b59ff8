/* Device memory and copies.
 *
 * cudaMalloc, not the stream-ordered allocator: tensors are made once and live long, a pool would keep memory that the
 * "bytes free" of an out-of-memory message could not explain, and compute-sanitizer sees overruns of plain allocations
 * only.
 */
#include <string.h>

#include "backends/cuda/cuda.h"

fv_status fv_cuda_allocate(fv_context *context, size_t bytes, void **pointer) {
    (void)context;
    *pointer = NULL;
    /* An empty tensor still gets an address of its own. */
    const cudaError_t error = cudaMalloc(pointer, bytes ? bytes : 1);
    if (error != cudaErrorMemoryAllocation)
        return FV_CUDA("allocate device memory", error);
    (void)cudaGetLastError();
    size_t available = 0, total = 0;
    FV_TRY(FV_CUDA("read the amount of free memory", cudaMemGetInfo(&available, &total)));
    return fv_fail(FV_NO_MEMORY, "cuda: no device memory for %zu bytes: %zu of %zu are free", bytes, available, total);
}

void fv_cuda_deallocate(fv_context *context, void *pointer) {
    if (!pointer)
        return;
    /* Kernels that use the memory may still be queued. An error of theirs is the next synchronize's to report. */
    (void)cudaStreamSynchronize(fv_cuda_stream(context));
    (void)cudaFree(pointer);
    (void)cudaGetLastError();
}

fv_status fv_cuda_staging_create(fv_cuda_staging *staging) {
    void *host = NULL;
    FV_TRY(FV_CUDA("allocate pinned memory",
                   cudaHostAlloc(&host, FV_CUDA_STAGING_SLOTS * FV_CUDA_STAGING_BYTES, cudaHostAllocDefault)));
    staging->host = host;
    for (int slot = 0; slot < FV_CUDA_STAGING_SLOTS; ++slot)
        FV_TRY(FV_CUDA("create an event", cudaEventCreateWithFlags(&staging->copied[slot], cudaEventDisableTiming)));
    return FV_OK;
}

void fv_cuda_staging_destroy(fv_cuda_staging *staging) {
    for (int slot = 0; slot < FV_CUDA_STAGING_SLOTS; ++slot)
        if (staging->copied[slot])
            (void)cudaEventDestroy(staging->copied[slot]);
    if (staging->host)
        (void)cudaFreeHost(staging->host);
}

/* Copies into the next slot, waiting only if the slot's last copy, FV_CUDA_STAGING_SLOTS uploads ago, is still under
 * way. A training step sends a few numbers at a time; waiting for the stream each time would keep the device from
 * working ahead. */
static fv_status upload_staged(fv_cuda_device *device, void *to, const void *from, size_t bytes) {
    fv_cuda_staging *staging = &device->staging;
    const int slot = staging->next;
    staging->next = (slot + 1) % FV_CUDA_STAGING_SLOTS;
    unsigned char *host = staging->host + (size_t)slot * FV_CUDA_STAGING_BYTES;
    FV_TRY(FV_CUDA("wait for an upload", cudaEventSynchronize(staging->copied[slot])));
    memcpy(host, from, bytes);
    FV_TRY(FV_CUDA("upload", cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, device->stream)));
    return FV_CUDA("record an event", cudaEventRecord(staging->copied[slot], device->stream));
}

fv_status fv_cuda_upload(fv_context *context, void *device, const void *host, size_t bytes) {
    if (bytes == 0)
        return FV_OK;
    if (bytes <= FV_CUDA_STAGING_BYTES)
        return upload_staged(fv_cuda_device_of(context), device, host, bytes);
    const cudaStream_t stream = fv_cuda_stream(context);
    FV_TRY(FV_CUDA("upload", cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream)));
    return FV_CUDA("upload", cudaStreamSynchronize(stream));
}

fv_status fv_cuda_download(fv_context *context, void *host, const void *device, size_t bytes) {
    if (bytes == 0)
        return FV_OK;
    const cudaStream_t stream = fv_cuda_stream(context);
    FV_TRY(FV_CUDA("download", cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream)));
    return FV_CUDA("download", cudaStreamSynchronize(stream));
}

fv_status fv_cuda_fill(fv_context *context, void *device, int byte, size_t bytes) {
    if (bytes == 0)
        return FV_OK;
    return FV_CUDA("fill device memory", cudaMemsetAsync(device, byte, bytes, fv_cuda_stream(context)));
}

fv_status fv_cuda_copy(fv_context *context, void *to, const void *from, size_t bytes) {
    if (bytes == 0)
        return FV_OK;
    return FV_CUDA("copy within device memory",
                   cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, fv_cuda_stream(context)));
}

fv_status fv_cuda_synchronize(fv_context *context) {
    return FV_CUDA("finish the queued work", cudaStreamSynchronize(fv_cuda_stream(context)));
}
