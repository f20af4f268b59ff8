/* Which elements dropout keeps, for every backend alike: see fv_dropout in include/fovea/operations.h. */
#ifndef FOVEA_OPS_DROPOUT_H
#define FOVEA_OPS_DROPOUT_H

#include <fovea/operations.h>

#include "base/random.h"

#ifdef __cplusplus
extern "C" {
#endif

/* u >= rate as a comparison of integers, the same everywhere: u is bits / 2^24, so that it means bits >= the threshold,
 * rate * 2^24 rounded up. It is at most 2^24, which keeps nothing. */
uint32_t fv_dropout_threshold(const fv_dropout *d);

/* The 24 bits of element 4*quad + i are word[i] >> 8: one call of the generator serves four elements. */
static inline FV_HOST_DEVICE fv_philox fv_dropout_quad(int64_t seed, int32_t step, int64_t quad) {
    return fv_philox4x32((uint64_t)seed, (uint64_t)step, (uint64_t)quad);
}

static inline FV_HOST_DEVICE int fv_dropout_keeps(uint32_t word, uint32_t threshold) {
    return word >> 8 >= threshold;
}

#ifdef __cplusplus
}
#endif
#endif
