/* The oneDNN backend: Intel's CPU library (https://github.com/oneapi-src/oneDNN), version 2.x with its OpenMP threads.
 *
 * Convolution, pooling, linear layers, batch normalisation and what moves values about are oneDNN's. It has no assembly
 * of batches, no cross-entropy and no optimizers, so plain.c adds them as loops: training on the CPU must not fall back
 * to the double-precision reference for those. For a fixed number of threads every result has the same bits on every
 * run.
 */
#include "backends/onednn/onednn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

fv_status fv_onednn_check(dnnl_status_t status, const char *what) {
    static const struct {
        dnnl_status_t status;
        fv_status meaning;
        const char *word;
    } known[] = {
        {dnnl_out_of_memory, FV_NO_MEMORY, "out of memory"},
        {dnnl_invalid_arguments, FV_DEVICE, "invalid arguments"},
        {dnnl_unimplemented, FV_UNSUPPORTED, "not implemented"},
        {dnnl_iterator_ends, FV_UNSUPPORTED, "no implementation left"},
        {dnnl_runtime_error, FV_DEVICE, "runtime error"},
        {dnnl_not_required, FV_DEVICE, "not required"},
    };
    if (status == dnnl_success)
        return FV_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        if (known[i].status == status)
            return fv_fail(known[i].meaning, "onednn: cannot %s: %s", what, known[i].word);
    return fv_fail(FV_DEVICE, "onednn: cannot %s: status %d", what, (int)status);
}

static void close_onednn(fv_context *context) {
    fv_onednn_device *device = context->device;
    if (!device)
        return;
    dnnl_stream_destroy(device->stream);
    dnnl_engine_destroy(device->engine);
    free(device);
    context->device = NULL;
}

static fv_status create_stream(fv_onednn_device *device) {
    FV_TRY(fv_onednn_check(dnnl_engine_create(&device->engine, dnnl_cpu, 0), "create a CPU engine"));
    return fv_onednn_check(dnnl_stream_create(&device->stream, device->engine, dnnl_stream_default_flags),
                           "create a stream");
}

static fv_status open_onednn(fv_context *context, const fv_context_options *options) {
    /* More than there are processors is slow, but repeats the bits of a larger machine. Beyond reason, OpenMP would end
     * the process when the system refuses it a thread. */
    const int most = omp_get_num_procs() > 64 ? omp_get_num_procs() : 64;
    if (options->threads < 0 || options->threads > most)
        return fv_fail(FV_BAD_INPUT, "onednn: %d threads: expected 1 to %d, or 0 for one per processor",
                       options->threads, most);
    fv_onednn_device *device = calloc(1, sizeof *device);
    if (!device)
        return fv_fail(FV_NO_MEMORY, "onednn: no memory for a device");
    context->device = device;
    device->threads = options->threads ? options->threads : omp_get_num_procs();
    const fv_status status = create_stream(device);
    if (status != FV_OK) {
        close_onednn(context);
        return status;
    }
    const dnnl_version_t *version = dnnl_version();
    snprintf(context->description, sizeof context->description, "oneDNN %d.%d.%d, %d thread%s", version->major,
             version->minor, version->patch, device->threads, device->threads == 1 ? "" : "s");
    return FV_OK;
}

static const fv_kernel *const tables[] = {
    fv_onednn_conv2d,    fv_unfused_kernels,           fv_onednn_pooling, fv_onednn_upsample, fv_onednn_linear,
    fv_onednn_batchnorm, fv_unfused_batchnorm_kernels, fv_onednn_plain,   fv_onednn_moves,    NULL,
};

const fv_backend fv_backend_onednn = {
    .name = "onednn",
    .tables = tables,
    .open = open_onednn,
    .close = close_onednn,
    FV_HOST_MEMORY,
};
