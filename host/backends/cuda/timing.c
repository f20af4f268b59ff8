/* Timing on the GPU by events, and what the driver tells about the device.
 *
 * The first kernel of the work must find the stream busy, or the time holds the host's delay in queuing it: the caches
 * are overwritten as often as it takes to queue everything meanwhile. Whether that was often enough shows afterwards:
 * the first event must not have come to pass when the host is done.
 */
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"

enum { MOST_COVERS = 64 };

typedef struct interval {
    cudaEvent_t begin, end;
} interval;

static fv_status time_once(fv_context *context, const interval *events, int covers, void *scratch, size_t bytes,
                           fv_work *work, void *user, double *seconds, bool *exposed) {
    cudaStream_t stream = fv_cuda_stream(context);
    float milliseconds = 0;
    FV_TRY(fv_cuda_synchronize(context));
    for (int i = 0; bytes && i < covers; ++i)
        FV_TRY(fv_cuda_fill(context, scratch, 1, bytes));
    FV_TRY(FV_CUDA("record an event", cudaEventRecord(events->begin, stream)));
    FV_TRY(work(user));
    FV_TRY(FV_CUDA("record an event", cudaEventRecord(events->end, stream)));
    const cudaError_t begun = cudaEventQuery(events->begin);
    *exposed = begun != cudaErrorNotReady;
    if (begun != cudaErrorNotReady)
        FV_TRY(FV_CUDA("ask for an event", begun));
    FV_TRY(FV_CUDA("wait for an event", cudaEventSynchronize(events->end)));
    FV_TRY(FV_CUDA("read a time", cudaEventElapsedTime(&milliseconds, events->begin, events->end)));
    *seconds = 1e-3 * (double)milliseconds;
    return FV_OK;
}

fv_status fv_cuda_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed) {
    fv_cuda_device *device = fv_cuda_device_of(context);
    interval events = {NULL, NULL};
    fv_status status;
    FV_TRY_GOTO(status, FV_CUDA("create an event", cudaEventCreate(&events.begin)), done);
    FV_TRY_GOTO(status, FV_CUDA("create an event", cudaEventCreate(&events.end)), done);
    for (;;) {
        FV_TRY_GOTO(status, time_once(context, &events, device->covers, scratch, bytes, work, user, seconds, exposed),
                    done);
        if (!*exposed || !bytes || device->covers >= MOST_COVERS)
            break;
        device->covers *= 2; /* and so for what is timed after this */
    }
done:
    if (events.begin)
        (void)cudaEventDestroy(events.begin);
    if (events.end)
        (void)cudaEventDestroy(events.end);
    return status;
}

void fv_cuda_machine(const fv_context *context, fv_machine *machine) {
    *machine = (fv_machine){0};
    snprintf(machine->device, sizeof machine->device, "%.95s", context->description);
}

void fv_cuda_conditions(const fv_context *context, fv_conditions *conditions) {
    (void)context;
    *conditions = (fv_conditions){0};
}
