/* Is an element right? What verify.c and excerpt_judge.c have in common. */
#ifndef FOVEA_VERIFY_COMPARE_H
#define FOVEA_VERIFY_COMPARE_H

#include <stdbool.h>

#include "ops/dtype.h"

/* What the elements that were compared could tell. Start with a zeroed one. */
typedef struct fv_tally {
    int64_t compared;
    int64_t nonzero; /* expected elements that are not zero */
    int64_t telling; /* those further from zero than their bound: a kernel that gave zero would be found out */
    double worst;    /* largest |error| / bound over all elements whose bound is not 0 */
} fv_tally;

/* Element `i` of a tensor of the reference, which is double where the kernel's is floating-point. */
double fv_wide_element(fv_dtype dtype, const void *data, int64_t i);

/* Whether `got`, of this dtype, is within its bound of what is expected, or the best that the dtype can say. */
bool fv_compare(fv_tally *tally, fv_dtype dtype, double expected, double got, double bound);

/* Adds what other elements could tell. */
void fv_tally_add(fv_tally *tally, const fv_tally *more);

/* Why agreement means nothing: zeros everywhere would have passed. NULL: it does mean something. */
const char *fv_tally_mistrust(const fv_tally *tally);

/* Whether element `i`, of `size` bytes, still holds the poison of guard.h. */
bool fv_unwritten(const void *data, size_t size, int64_t i);

#endif
