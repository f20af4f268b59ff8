/* Kernels with planted faults, for testing the tests: one sound kernel for FV_RELU forward, and the same with one
 * mistake each. They are no part of the emulated backend's tables, and run on emulated contexts only. */
#ifndef FOVEA_BACKENDS_EMULATED_FAULTY_H
#define FOVEA_BACKENDS_EMULATED_FAULTY_H

#include "backends/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In this order: "sound", right for any number of elements in any thread order, then "no_barrier", "no_wait",
 * "divergent_barrier" and "early_return". Every thread order exposes these four, given at least 256 elements and, for
 * early_return, no multiple of 256. FV_KERNELS_END ends the array. */
extern const fv_kernel fv_faulty_kernels[];

#ifdef __cplusplus
}
#endif
#endif
