/* The cuda backend: our kernels, and cuBLAS for linear layers. */
#include "backends/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chip.h"
#include "backends/cuda/blas.h"

extern const fv_kernel *const fv_cuda_tables[]; /* kernels/table.cu */

fv_cuda_device *fv_cuda_device_of(const fv_context *context) {
    return context->device;
}

cudaStream_t fv_cuda_stream(const fv_context *context) {
    return fv_cuda_device_of(context)->stream;
}

fv_status fv_cuda_check(cudaError_t error, const char *what) {
    if (error == cudaSuccess)
        return FV_OK;
    (void)cudaGetLastError();
    return fv_fail(error == cudaErrorMemoryAllocation ? FV_NO_MEMORY : FV_DEVICE, "cuda: cannot %s: %s", what,
                   cudaGetErrorString(error));
}

static fv_status require_device(void) {
    int devices = 0, driver = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error == cudaSuccess && devices > 0)
        return FV_OK;
    /* Without a driver the runtime calls it too old; its version is 0 then. */
    const bool driverless = cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0;
    (void)cudaGetLastError();
    return fv_fail(FV_UNSUPPORTED,
                   "cuda: no CUDA device: %s; use --backend emulated to run the same kernels on the CPU",
                   driverless ? "no NVIDIA driver is installed" : cudaGetErrorString(error));
}

/* Variables that make NVIDIA's libraries compute f32 in less, whatever a program asks for. */
static fv_status require_true_f32(void) {
    static const char *const overrides[] = {"NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION"};
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; ++i) {
        const char *value = getenv(overrides[i]);
        if (value && strcmp(value, "0") != 0)
            return fv_fail(FV_BAD_INPUT, "cuda: %s=%.20s in the environment makes f32 less than f32: unset it",
                           overrides[i], value);
    }
    return FV_OK;
}

static fv_status describe(fv_context *context, int ordinal) {
    struct cudaDeviceProp properties;
    int driver = 0, runtime = 0;
    FV_TRY(FV_CUDA("read the device's properties", cudaGetDeviceProperties(&properties, ordinal)));
    FV_TRY(FV_CUDA("read the driver's version", cudaDriverGetVersion(&driver)));
    FV_TRY(FV_CUDA("read the runtime's version", cudaRuntimeGetVersion(&runtime)));
    context->capability = properties.major * 10 + properties.minor;
    snprintf(context->description, sizeof context->description, "%.60s, sm_%d, driver %d.%d, runtime %d.%d",
             properties.name, context->capability, driver / 1000, driver % 1000 / 10, runtime / 1000,
             runtime % 1000 / 10);
    return FV_OK;
}

static double attribute(int ordinal, enum cudaDeviceAttr which) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, ordinal) == cudaSuccess)
        return value;
    (void)cudaGetLastError();
    return 0;
}

/* Clocks are in kHz, the bus's width in bits; memory moves data twice a clock. */
static void rate(fv_context *context, int ordinal) {
    const double bus = attribute(ordinal, cudaDevAttrGlobalMemoryBusWidth) / 8;
    const fv_data_sheet sheet = {.capability = context->capability,
                                 .units = (int)attribute(ordinal, cudaDevAttrMultiProcessorCount),
                                 .clock = 1e3 * attribute(ordinal, cudaDevAttrClockRate),
                                 .bandwidth = 2e3 * attribute(ordinal, cudaDevAttrMemoryClockRate) * bus,
                                 .cache = attribute(ordinal, cudaDevAttrL2CacheSize)};
    if (sheet.units > 0 && sheet.clock > 0)
        context->chip = fv_chip_of(&sheet);
}

fv_status fv_cuda_open_device(fv_context *context, fv_cuda_device *device) {
    FV_TRY(require_device());
    FV_TRY(require_true_f32());
    FV_TRY(FV_CUDA("select the device", cudaSetDevice(device->ordinal)));
    FV_TRY(describe(context, device->ordinal));
    rate(context, device->ordinal);
    /* Not ordered with the default stream, which other code in the process may use. */
    FV_TRY(FV_CUDA("create a stream", cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking)));
    FV_TRY(fv_cuda_staging_create(&device->staging));
    device->timer.covers = 1;
    context->device = device;
    return FV_OK;
}

void fv_cuda_close_device(fv_cuda_device *device) {
    if (device->stream)
        (void)cudaStreamSynchronize(device->stream);
    fv_cublas_destroy(device->blas);
    fv_cuda_staging_destroy(&device->staging);
    fv_cuda_timer_destroy(&device->timer);
    if (device->stream)
        (void)cudaStreamDestroy(device->stream);
    (void)cudaGetLastError();
}

static fv_status open_cuda(fv_context *context, const fv_context_options *options) {
    (void)options;
    fv_cuda_device *device = calloc(1, sizeof *device);
    if (!device)
        return fv_fail(FV_NO_MEMORY, "cuda: no memory for a context");
    const fv_status status = fv_cuda_open_device(context, device);
    if (status != FV_OK) {
        fv_cuda_close_device(device);
        free(device);
    }
    return status;
}

static void close_cuda(fv_context *context) {
    fv_cuda_close_device(context->device);
    free(context->device);
}

const fv_backend fv_backend_cuda = {
    .name = "cuda",
    .tables = fv_cuda_tables,
    .open = open_cuda,
    .close = close_cuda,
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
