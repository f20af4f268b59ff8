/* Memory of the CPU backends. */
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "backends/kernel.h"
#include "base/checked.h"
#include "base/error.h"

enum { ALIGNMENT = 256, PARALLEL_BYTES = 8 * 1024 * 1024 };

fv_status fv_host_allocate(fv_context *context, size_t bytes, void **pointer) {
    (void)context;
    *pointer = NULL;
    /* An empty tensor still gets an address of its own. */
    if (bytes <= (size_t)INT64_MAX - ALIGNMENT)
        *pointer = aligned_alloc(ALIGNMENT, (size_t)fv_round_up(bytes ? (int64_t)bytes : 1, ALIGNMENT));
    return *pointer ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for %zu bytes", bytes);
}

void fv_host_deallocate(fv_context *context, void *pointer) {
    (void)context;
    free(pointer);
}

static fv_status copy(void *to, const void *from, size_t bytes) {
    if (bytes)
        memcpy(to, from, bytes);
    return FV_OK;
}

fv_status fv_host_upload(fv_context *context, void *device, const void *host, size_t bytes) {
    (void)context;
    return copy(device, host, bytes);
}

fv_status fv_host_download(fv_context *context, void *host, const void *device, size_t bytes) {
    (void)context;
    return copy(host, device, bytes);
}

fv_status fv_host_fill(fv_context *context, void *device, int byte, size_t bytes) {
    (void)context;
    if (bytes)
        memset(device, byte, bytes);
    return FV_OK;
}

/* Copies past the caches where the processor can: a store into a cache first fetches the line that it overwrites, half as
 * much traffic again. */
static void stream(char *to, const char *from, size_t bytes) {
    size_t done = 0;
#ifdef __SSE2__
    if (bytes >= sizeof(__m128i)) {
        done = (size_t)(-(uintptr_t)to % sizeof(__m128i));
        memcpy(to, from, done);
        for (; done + sizeof(__m128i) <= bytes; done += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(void *)(to + done),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + done)));
        _mm_sfence();
    }
#endif
    memcpy(to + done, from + done, bytes - done);
}

/* One core cannot move as many bytes as the memory can. */
fv_status fv_host_copy(fv_context *context, void *to, const void *from, size_t bytes) {
    (void)context;
#ifdef _OPENMP
    if (bytes >= PARALLEL_BYTES) {
#pragma omp parallel
        {
            const size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
            const size_t share = bytes / threads / ALIGNMENT * ALIGNMENT, begin = thread * share;
            stream((char *)to + begin, (const char *)from + begin, thread + 1 == threads ? bytes - begin : share);
        }
        return FV_OK;
    }
#endif
    return copy(to, from, bytes);
}

fv_status fv_host_synchronize(fv_context *context) {
    (void)context;
    return FV_OK;
}
