#include "verify/compare.h"

#include <math.h>

#include "verify/guard.h"

double fv_element(fv_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case FV_F32:
        return (double)((const float *)data)[i];
    case FV_F64:
        return ((const double *)data)[i];
    case FV_I32:
        return ((const int32_t *)data)[i];
    case FV_U8:
        return ((const uint8_t *)data)[i];
    case FV_DTYPES:
        break;
    }
    return NAN;
}

double fv_wide_element(fv_dtype dtype, const void *data, int64_t i) {
    return fv_element(dtype == FV_F32 ? FV_F64 : dtype, data, i);
}

/* What a kernel that computed exactly would give. */
static double rounded(fv_dtype dtype, double value) {
    return dtype == FV_F32 ? (double)(float)value : value;
}

bool fv_compare(fv_tally *tally, fv_dtype dtype, double expected, double got, double bound) {
    const double difference = fabs(got - expected);
    const bool within = difference <= bound;
    /* Nothing better can be had; beyond the dtype's range the bound does not say so. */
    const bool best = got == expected || got == rounded(dtype, expected);
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
