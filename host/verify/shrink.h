/* The smallest case on which a kernel still fails. */
#ifndef FOVEA_VERIFY_SHRINK_H
#define FOVEA_VERIFY_SHRINK_H

#include "verify/verify.h"

/* Makes a failing operation smaller, number by number, as long as the kernel goes on failing the same comparison on the
 * same seed. It tries no more than a fixed amount of work, so the result is the same on every machine; an operation that
 * cannot be made smaller, or is too large to be tried, stays as it is. */
void fv_shrink(fv_context *context, const fv_kernel *kernel, fv_fill fill, uint64_t seed, fv_operation *op);

#endif
