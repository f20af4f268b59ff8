/* The emulator as C sees it: what an emulated context's device points to. See kernels/emulator/emulator.h. */
#ifndef FOVEA_BACKENDS_EMULATED_EMULATED_H
#define FOVEA_BACKENDS_EMULATED_EMULATED_H

#include <stdint.h>

#include <fovea/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Names of thread orders, by fv_thread_order. */
extern const char *const fv_order_names[FV_ORDER_VARIED + 1];

typedef struct fv_emulator fv_emulator;

/* seed: of the random orders. It begins with run 0. */
fv_status fv_emulator_create(fv_thread_order order, uint64_t seed, fv_emulator **emulator);

/* From now on orders depend on the seed and on run >= 0 alone, not on what was launched before. With FV_ORDER_VARIED,
 * run % 4 = 0: forward, 1: reverse, 2 and 3: random, as the order of threads and that of blocks. A fixed order stays;
 * with FV_ORDER_RANDOM each run draws another one. */
void fv_emulator_begin_run(fv_emulator *emulator, int run);

/* NULL is fine. */
void fv_emulator_destroy(fv_emulator *emulator);

#ifdef __cplusplus
}
#endif
#endif
