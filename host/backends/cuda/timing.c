/* Timing on the GPU by events, and what the driver tells about the device.
 *
 * The first kernel of the work must find the stream busy, or the time holds the host's delay in queuing it: something
 * covers that time. Where the caches are to be emptied, they are overwritten as often as it takes; where they are to
 * stay as they are, the stream waits for a host function that only lets time pass (and ends by itself: work that waits
 * for the stream is not stuck). Whether the cover was long enough shows afterwards: the first event must not have come
 * to pass when the host is done; then no later kernel of the work waited for the host, either. Each sample tells how
 * long the next cover has to be, so that one hiccup of the host (or code that is loaded at a kernel's first call) costs
 * one attempt, and neither the samples nor the cases that follow.
 *
 * What the overwriting leaves in the L2 cache is not yet in memory: the work pays for writing it back, as whatever
 * comes after the work pays for what it leaves there.
 */
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"
#include "backends/cuda/nvml.h"
#include "base/clock.h"
#include "base/text.h"

enum { MOST_COVERS = 64, MOST_ATTEMPTS = 4 };

/* Seconds: a cover of the second kind, and from where on the host's delay does not matter. */
static const double pause_seconds = 50e-6, long_work = 0.1;

typedef struct sample {
    double seconds; /* of the work */
    double cover;   /* of one cover */
    double queuing; /* that the host took to queue the work */
    bool exposed;
} sample;

static fv_status create_events(fv_cuda_timer *timer) {
    cudaEvent_t *const events[] = {&timer->start, &timer->begin, &timer->end};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; ++i)
        if (!*events[i])
            FV_TRY(FV_CUDA("create an event", cudaEventCreate(events[i])));
    return FV_OK;
}

void fv_cuda_timer_destroy(fv_cuda_timer *timer) {
    const cudaEvent_t events[] = {timer->start, timer->begin, timer->end};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; ++i)
        if (events[i])
            (void)cudaEventDestroy(events[i]);
    *timer = (fv_cuda_timer){0};
}

static void CUDART_CB let_time_pass(void *seconds) {
    const double end = fv_clock_seconds() + *(const double *)seconds;
    while (fv_clock_seconds() < end) {
    }
}

static fv_status cover(fv_context *context, fv_cuda_timer *timer, void *scratch, size_t bytes) {
    for (int i = 0; bytes && i < timer->covers; ++i)
        FV_TRY(fv_cuda_fill(context, scratch, 1, bytes));
    if (bytes)
        return FV_OK;
    timer->pause = pause_seconds * timer->covers; /* the stream is idle: nobody reads it now */
    return FV_CUDA("queue a pause", cudaLaunchHostFunc(fv_cuda_stream(context), let_time_pass, &timer->pause));
}

static fv_status seconds_between(cudaEvent_t begin, cudaEvent_t end, double *seconds) {
    float milliseconds = 0;
    FV_TRY(FV_CUDA("read a time", cudaEventElapsedTime(&milliseconds, begin, end)));
    *seconds = 1e-3 * (double)milliseconds;
    return FV_OK;
}

static fv_status take_sample(fv_context *context, fv_cuda_timer *timer, void *scratch, size_t bytes, fv_work *work,
                             void *user, sample *s) {
    const cudaStream_t stream = fv_cuda_stream(context);
    FV_TRY(fv_cuda_synchronize(context));
    FV_TRY(FV_CUDA("record an event", cudaEventRecord(timer->start, stream)));
    FV_TRY(cover(context, timer, scratch, bytes));
    FV_TRY(FV_CUDA("record an event", cudaEventRecord(timer->begin, stream)));
    const double queued_from = fv_clock_seconds();
    FV_TRY(work(user));
    FV_TRY(FV_CUDA("record an event", cudaEventRecord(timer->end, stream)));
    const cudaError_t begun = cudaEventQuery(timer->begin);
    s->queuing = fv_clock_seconds() - queued_from;
    s->exposed = begun != cudaErrorNotReady;
    if (!s->exposed)
        (void)cudaGetLastError(); /* "not ready" is no error, but the next launch might take it for one of its own */
    else
        FV_TRY(FV_CUDA("ask for an event", begun));
    FV_TRY(FV_CUDA("wait for an event", cudaEventSynchronize(timer->end)));
    FV_TRY(seconds_between(timer->start, timer->begin, &s->cover));
    s->cover /= timer->covers;
    return seconds_between(timer->begin, timer->end, &s->seconds);
}

/* Twice as long as the host needed. */
static int covers_for(const sample *s) {
    const double covers = s->cover > 0 ? 1 + 2 * s->queuing / s->cover : MOST_COVERS;
    return covers < MOST_COVERS ? (int)covers : MOST_COVERS;
}

fv_status fv_cuda_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed) {
    fv_cuda_timer *timer = &fv_cuda_device_of(context)->timer;
    FV_TRY(create_events(timer));
    for (int attempt = 1;; ++attempt) {
        const bool longest = timer->covers == MOST_COVERS;
        sample s = {0};
        FV_TRY(take_sample(context, timer, scratch, bytes, work, user, &s));
        timer->covers = covers_for(&s);
        *seconds = s.seconds;
        *exposed = s.exposed;
        if (!s.exposed || longest || attempt == MOST_ATTEMPTS || s.seconds > long_work)
            return FV_OK;
    }
}

/* ---- the device ---- */

void fv_cuda_machine(const fv_context *context, fv_machine *machine) {
    struct cudaDeviceProp properties;
    char driver[80];
    int runtime = 0;
    *machine = (fv_machine){0};
    if (cudaGetDeviceProperties(&properties, fv_cuda_device_of(context)->ordinal) == cudaSuccess) {
        snprintf(machine->device, sizeof machine->device, "%.95s", properties.name);
        machine->cache = properties.l2CacheSize;
        machine->memory = (int64_t)properties.totalGlobalMem;
        machine->units = properties.multiProcessorCount;
    }
    fv_nvml_driver(driver, sizeof driver);
    if (*driver)
        fv_append(machine->libraries, sizeof machine->libraries, "driver %s, ", driver);
    if (cudaRuntimeGetVersion(&runtime) == cudaSuccess)
        fv_append(machine->libraries, sizeof machine->libraries, "CUDA %d.%d", runtime / 1000, runtime % 1000 / 10);
    const char *cudnn = strstr(context->description, ", cuDNN ");
    fv_append(machine->libraries, sizeof machine->libraries, "%s", cudnn ? cudnn : "");
    (void)cudaGetLastError();
}

void fv_cuda_conditions(const fv_context *context, fv_conditions *conditions) {
    char bus[32];
    *conditions = (fv_conditions){0};
    if (cudaDeviceGetPCIBusId(bus, sizeof bus, fv_cuda_device_of(context)->ordinal) == cudaSuccess)
        fv_nvml_conditions(bus, conditions);
    (void)cudaGetLastError();
}
