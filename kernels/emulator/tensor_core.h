/* The twins of mma.sync and ldmatrix, for mma.cuh. They exchange fragments at a warp barrier.
 *
 * Sums as tensor cores make them, as far as is known (Fasi, Higham, Mikaitis and Pranesh 2021, PeerJ CS 7:e330):
 * products are exact; those of a step of 4 (tf32) or 8 (16 bits) and the sum before are brought to the largest exponent
 * among them, where bits below the 24 of an f32 are cut off; they are added without error and the sum is cut off
 * towards zero. Chips that were measured keep up to three bits more, so that their errors are rather smaller. */
#ifndef FOVEA_EMULATOR_TENSOR_CORE_H
#define FOVEA_EMULATOR_TENSOR_CORE_H

#include <stdint.h>

#include "emulator/emulator.h"

namespace fv_emulated {

enum factor_format { FACTORS_BF16, FACTORS_F16, FACTORS_TF32 };

constexpr int MMA_MOST = 4; /* of mma side by side, in each direction */

/* d[i][j] += a[i] b[j] for i < down and j < right, on this lane's fragments and those of the others: arrays
 * [down][right][4], [down][4] and [right][2]. */
void multiply_fragments(factor_format format, int down, int right, float *d, const uint32_t *a, const uint32_t *b,
                        site where);

/* r[4 m + i] = this lane's part of matrix i of load m, of which the lane gives one row of 16 bytes, rows[m]. */
void load_fragments(bool transposed, int count, uint32_t *r, const void *const *rows, site where);

} // namespace fv_emulated

#endif
