/* The emulator as C sees it: what an emulated context's device points to. See kernels/emulator/emulator.h. */
#ifndef FOVEA_BACKENDS_EMULATED_EMULATED_H
#define FOVEA_BACKENDS_EMULATED_EMULATED_H

#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_emulator fv_emulator;

/* order: 0 forward, 1 reverse, 2 random, drawn from seed. */
fv_status fv_emulator_create(int order, uint64_t seed, fv_emulator **emulator);

/* NULL is fine. */
void fv_emulator_destroy(fv_emulator *emulator);

#ifdef __cplusplus
}
#endif
#endif
