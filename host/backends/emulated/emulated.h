/* The emulator as C sees it: what an emulated context's device points to. See kernels/emulator/emulator.h. */
#ifndef FOVEA_BACKENDS_EMULATED_EMULATED_H
#define FOVEA_BACKENDS_EMULATED_EMULATED_H

#include <stdint.h>

#include <fovea/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_emulator fv_emulator;

/* seed: of the random order. */
fv_status fv_emulator_create(fv_thread_order order, uint64_t seed, fv_emulator **emulator);

/* NULL is fine. */
void fv_emulator_destroy(fv_emulator *emulator);

#ifdef __cplusplus
}
#endif
#endif
