/* Timing on the CPU: the wall clock around the work, and what the system tells about the processor. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/kernel.h"
#include "base/error.h"

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

fv_status fv_host_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed) {
    (void)context;
    *exposed = false;
    if (bytes)
        memset(scratch, 1, bytes);
    const double start = now();
    FV_TRY(work(user));
    *seconds = now() - start;
    return FV_OK;
}

void fv_host_machine(const fv_context *context, fv_machine *machine) {
    *machine = (fv_machine){.units = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    snprintf(machine->device, sizeof machine->device, "%.95s", context->description);
}

void fv_host_conditions(const fv_context *context, fv_conditions *conditions) {
    (void)context;
    *conditions = (fv_conditions){0};
}
