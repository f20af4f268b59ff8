#include "verify/compare.h"

#include <math.h>

#include "verify/guard.h"

double fv_wide_element(fv_dtype dtype, const void *data, int64_t i) {
    return fv_element(fv_dtype_is_real(dtype) ? FV_F64 : dtype, data, i);
}

bool fv_compare(fv_tally *tally, fv_dtype dtype, double expected, double got, double bound) {
    const double difference = fabs(got - expected);
    const bool within = difference <= bound;
    /* Nothing better can be had; beyond the dtype's range the bound does not say so. */
    const bool best = !within && (got == expected || got == fv_rounded(dtype, expected));
    ++tally->compared;
    tally->nonzero += expected != 0;
    tally->telling += !(fabs(expected) <= bound);
    if (bound > 0 && (within || !best) && difference / bound > tally->worst)
        tally->worst = difference / bound;
    return within || best;
}

void fv_tally_add(fv_tally *tally, const fv_tally *more) {
    tally->compared += more->compared;
    tally->nonzero += more->nonzero;
    tally->telling += more->telling;
    tally->worst = more->worst > tally->worst ? more->worst : tally->worst;
}

const char *fv_tally_mistrust(const fv_tally *tally) {
    if (tally->telling > 0 || tally->compared == 0)
        return NULL;
    return tally->nonzero ? "the error bounds are so wide that zeros would pass" : "all expected elements are zero";
}

bool fv_unwritten(const void *data, size_t size, int64_t i) {
    const uint8_t *byte = (const uint8_t *)data + (size_t)i * size;
    for (size_t b = 0; b < size; ++b)
        if (byte[b] != FV_POISON)
            return false;
    return true;
}
