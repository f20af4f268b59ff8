/* NVML comes with the driver (libnvidia-ml.so.1), its header with a part of the toolkit that many machines lack. So the
 * few functions and constants that are needed are declared here, as its documentation gives them; NVIDIA keeps those of
 * a published name as they are. Every function returns 0 for success.
 */
#include "backends/cuda/nvml.h"

#include <pthread.h>

#include "backends/cuda/library.h"
#include "backends/cuda/throttle.h"
#include "base/error.h"

typedef struct nvmlDevice_st *nvmlDevice_t;

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, SENSOR_GPU = 0 };

int nvmlInit_v2(void);
int nvmlSystemGetDriverVersion(char *version, unsigned length);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device);
int nvmlDeviceGetClockInfo(nvmlDevice_t device, int clock, unsigned *megahertz);
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees);
int nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatts);
/* Renamed to ...ClocksEventReasons in newer headers; drivers old and new have this one. */
int nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons);

#define FUNCTIONS(X)                                                                                                   \
    X(init, nvmlInit_v2)                                                                                               \
    X(driver, nvmlSystemGetDriverVersion)                                                                              \
    X(find, nvmlDeviceGetHandleByPciBusId_v2)                                                                          \
    X(clock, nvmlDeviceGetClockInfo)                                                                                   \
    X(temperature, nvmlDeviceGetTemperature)                                                                           \
    X(power, nvmlDeviceGetPowerUsage)                                                                                  \
    X(throttle, nvmlDeviceGetCurrentClocksThrottleReasons)

typedef struct nvml {
    FUNCTIONS(FV_LIBRARY_MEMBER)
} nvml;

#define FV_LIBRARY_TABLE nvml
static const fv_library_symbol symbols[] = {FUNCTIONS(FV_LIBRARY_SYMBOL)};

/* Loaded and initialised by the first who asks, until the process ends; `usable` false: there is none. */
static struct {
    pthread_once_t once;
    bool usable;
    nvml api;
} loaded = {.once = PTHREAD_ONCE_INIT};

static void load(void) {
    char message[1024];
    fv_error_save(message); /* that it is missing is no failure */
    loaded.usable =
        fv_library_load("libnvidia-ml.so.1", symbols, sizeof symbols / sizeof symbols[0], &loaded.api) == FV_OK &&
        loaded.api.init() == 0;
    fv_error_restore(message);
}

static const nvml *get(void) {
    return pthread_once(&loaded.once, load) == 0 && loaded.usable ? &loaded.api : NULL;
}

void fv_nvml_driver(char *version, unsigned size) {
    const nvml *api = get();
    if (!api || api->driver(version, size) != 0)
        version[0] = '\0';
}

void fv_nvml_conditions(const char *bus, fv_conditions *conditions) {
    const nvml *api = get();
    nvmlDevice_t device = NULL;
    unsigned value = 0;
    unsigned long long reasons = 0;
    *conditions = (fv_conditions){0};
    if (!api || api->find(bus, &device) != 0)
        return;
    if (api->clock(device, CLOCK_SM, &value) == 0)
        conditions->clock = (int)value;
    if (api->clock(device, CLOCK_MEMORY, &value) == 0)
        conditions->memory_clock = (int)value;
    if (api->temperature(device, SENSOR_GPU, &value) == 0)
        conditions->temperature = (int)value;
    if (api->power(device, &value) == 0)
        conditions->power = 1e-3 * value;
    if (api->throttle(device, &reasons) == 0)
        fv_throttle_words(reasons, conditions->throttled, sizeof conditions->throttled);
}
