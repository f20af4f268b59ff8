/* The order of the training images. */
#ifndef FOVEA_TRAINING_SHUFFLE_H
#define FOVEA_TRAINING_SHUFFLE_H

#include <stdint.h>

/* Fills order[count] with a permutation of 0 .. count-1 that depends on (seed, epoch) alone: Fisher and Yates's shuffle
 * with counter-based random numbers. count < 2^31. */
void fv_shuffle(int32_t *order, int64_t count, uint64_t seed, int64_t epoch);

#endif
