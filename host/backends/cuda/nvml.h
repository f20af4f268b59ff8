/* What the driver's management library (NVML) tells about a GPU. It is only read from: nothing is ever set. */
#ifndef FOVEA_BACKENDS_CUDA_NVML_H
#define FOVEA_BACKENDS_CUDA_NVML_H

#include <stdbool.h>

#include "backends/kernel.h"

/* The driver's version, such as "580.82.07"; "" if there is no NVML. */
void fv_nvml_driver(char *version, unsigned size);

/* The state of the device at a PCI address, as cudaDeviceGetPCIBusId gives it: CUDA's device numbers are not NVML's,
 * which knows nothing of CUDA_VISIBLE_DEVICES. Zeros for what it does not tell. */
void fv_nvml_conditions(const char *bus, fv_conditions *conditions);

#endif
