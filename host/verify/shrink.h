/* A small case on which a kernel still fails. */
#ifndef FOVEA_VERIFY_SHRINK_H
#define FOVEA_VERIFY_SHRINK_H

#include "verify/verify.h"

/* Makes an operation on which the kernel failed with this verdict smaller, number by number, as long as it goes on
 * failing the same comparison on the same seed in the same way: by wrong elements, or by what it did besides. It tries no
 * more than a fixed amount of work, so the result is the same on every machine; an operation that cannot be made smaller,
 * or is too large to be tried, stays as it is. So does one on which a device failed, which may be lost. */
void fv_shrink(fv_context *context, const fv_kernel *kernel, fv_fill fill, uint64_t seed, const fv_verdict *verdict,
               fv_operation *op);

#endif
