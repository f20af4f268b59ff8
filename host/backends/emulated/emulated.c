/* The emulated backend: the CUDA kernels on the CPU. Slow; made to check kernels where there is no GPU, and with
 * sanitizers. */
#include "backends/emulated/emulated.h"

#include <inttypes.h>
#include <stdio.h>

#include "backends/kernel.h"
#include "base/error.h"
#include "base/text.h"

extern const fv_kernel *const fv_emulated_tables[];

const char *const fv_order_names[FV_ORDER_VARIED + 1] = {"forward", "reverse", "random", "varied"};

static fv_status open_emulated(fv_context *context, const fv_context_options *options) {
    const fv_thread_order order = options->thread_order;
    if (order > FV_ORDER_VARIED)
        return fv_fail(FV_BAD_INPUT,
                       "emulated: thread order %d must be 0 (forward), 1 (reverse), 2 (random) or 3 (varied)",
                       (int)order);
    fv_emulator *emulator;
    FV_TRY(fv_emulator_create(order, options->seed, &emulator));
    context->device = emulator;
    snprintf(context->description, sizeof context->description, "CUDA kernels on the CPU, %s thread order",
             fv_order_names[order]);
    if (order == FV_ORDER_RANDOM)
        fv_append(context->description, sizeof context->description, ", seed %" PRIu64, options->seed);
    return FV_OK;
}

static void close_emulated(fv_context *context) {
    fv_emulator_destroy(context->device);
}

static void begin_run(fv_context *context, int run) {
    fv_emulator_begin_run(context->device, run);
}

extern const fv_backend fv_backend_emulated;
const fv_backend fv_backend_emulated = {
    .name = "emulated",
    .tables = fv_emulated_tables,
    .open = open_emulated,
    .close = close_emulated,
    .begin_run = begin_run,
    FV_HOST_MEMORY,
};
