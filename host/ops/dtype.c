#include "ops/dtype.h"

#include <math.h>
#include <string.h>

/* A binary format by its significant bits and its exponents: a number is `digits` bits times 2^e, with e at least
 * `least`; `most` is the first power of two beyond its range. Infinities keep the encoding's exponent all ones. */
typedef struct format {
    int digits, least, most;
} format;

static const format brain = {8, -133, 128}, half = {11, -24, 16};

const char *fv_dtype_name(fv_dtype dtype) {
    static const char *const names[FV_DTYPES] = {"f32", "tf32", "bf16", "f16", "f64", "i32", "u8"};
    return (unsigned)dtype < FV_DTYPES ? names[dtype] : "unknown";
}

size_t fv_dtype_size(fv_dtype dtype) {
    static const size_t sizes[FV_DTYPES] = {4, 4, 2, 2, 8, 4, 1};
    return (unsigned)dtype < FV_DTYPES ? sizes[dtype] : 0;
}

fv_dtype fv_dtype_stored(fv_dtype dtype) {
    return dtype == FV_TF32 ? FV_F32 : dtype;
}

double fv_unit_roundoff(fv_dtype dtype) {
    return dtype == FV_F64 ? 0x1p-53 : dtype == FV_BF16 ? 0x1p-8 : dtype == FV_F16 ? 0x1p-11 : 0x1p-24;
}

double fv_least_number(fv_dtype dtype) {
    return dtype == FV_F64 ? 0x1p-1074 : dtype == FV_BF16 ? 0x1p-133 : dtype == FV_F16 ? 0x1p-24 : 0x1p-149;
}

static double round_to(const format *f, double value) {
    if (value == 0 || !isfinite(value))
        return value;
    int exponent;
    frexp(value, &exponent); /* 2^(exponent-1) <= |value| < 2^exponent */
    const int grain = exponent - f->digits > f->least ? exponent - f->digits : f->least;
    const double nearest = ldexp(nearbyint(ldexp(value, -grain)), grain);
    return fabs(nearest) < ldexp(1, f->most) ? nearest : copysign((double)INFINITY, value);
}

double fv_rounded(fv_dtype dtype, double value) {
    switch (dtype) {
    case FV_F32:
    case FV_TF32:
        return (double)(float)value;
    case FV_BF16:
        return round_to(&brain, value);
    case FV_F16:
        return round_to(&half, value);
    default:
        return value;
    }
}

/* ---- bits ---- */

static uint16_t brain_bits(double value) {
    const float exact = (float)round_to(&brain, value); /* but for NaN, whose payload may go */
    uint32_t bits;
    memcpy(&bits, &exact, sizeof bits);
    return (uint16_t)(bits >> 16 | (isnan(exact) ? 0x40 : 0));
}

static double brain_value(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

/* Sign, 5 bits of exponent with a bias of 15, and 10 of the significand. */
static uint16_t half_bits(double value) {
    const unsigned sign = signbit(value) ? 0x8000 : 0;
    const double magnitude = fabs(round_to(&half, value));
    if (isnan(magnitude))
        return (uint16_t)(sign | 0x7e00);
    if (isinf(magnitude))
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x1p-14)
        return (uint16_t)(sign | (unsigned)(magnitude * 0x1p24));
    int exponent;
    const double fraction = frexp(magnitude, &exponent); /* the leading 1 adds one to the exponent field */
    return (uint16_t)(sign | ((unsigned)(exponent + 13) * 1024 + (unsigned)(fraction * 2048)));
}

static double half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double magnitude = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                             : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                            : ldexp(fraction, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* ---- tensors ---- */

double fv_element(fv_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case FV_F32:
    case FV_TF32:
        return (double)((const float *)data)[i];
    case FV_BF16:
        return brain_value(((const uint16_t *)data)[i]);
    case FV_F16:
        return half_value(((const uint16_t *)data)[i]);
    case FV_F64:
        return ((const double *)data)[i];
    case FV_I32:
        return ((const int32_t *)data)[i];
    case FV_U8:
        return ((const uint8_t *)data)[i];
    case FV_DTYPES:
        break;
    }
    return (double)NAN;
}

void fv_set_element(fv_dtype dtype, void *data, int64_t i, double value) {
    switch (dtype) {
    case FV_F32:
    case FV_TF32:
        ((float *)data)[i] = (float)value;
        break;
    case FV_BF16:
        ((uint16_t *)data)[i] = brain_bits(value);
        break;
    case FV_F16:
        ((uint16_t *)data)[i] = half_bits(value);
        break;
    case FV_F64:
        ((double *)data)[i] = value;
        break;
    case FV_I32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case FV_U8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case FV_DTYPES:
        break;
    }
}

void fv_widen(fv_dtype dtype, const void *from, double *to, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        to[i] = fv_element(dtype, from, i);
}

void fv_narrow(fv_dtype dtype, const double *from, void *to, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        fv_set_element(dtype, to, i, from[i]);
}
