/* The formats that tensors are stored in, and what rounding to them costs.
 *
 *     dtype   stored as   significant bits   unit roundoff   least positive number
 *     f32     binary32    24                 2^-24           2^-149
 *     tf32    as f32: the operation permits that factors be rounded to 11 bits, its tensors stay f32
 *     bf16    the upper half of a binary32   8     2^-8      2^-133
 *     f16     binary16    11                 2^-11           2^-24
 *     f64     binary64    53                 2^-53           2^-1074
 *
 * (IEEE 754-2019; for bf16 Intel's "BFLOAT16 - Hardware Numerics Definition", 2018, but with subnormal numbers.) All
 * conversions round once, to nearest, ties to even; beyond the range they give infinities. */
#ifndef FOVEA_OPS_DTYPE_H
#define FOVEA_OPS_DTYPE_H

#include <stdbool.h>

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Floating-point, as an operation's is. */
static inline bool fv_dtype_is_real(fv_dtype dtype) {
    return dtype >= FV_FIRST_REAL && dtype <= FV_LAST_REAL;
}

/* What the tensors of an operation of this dtype are stored as: f32 for tf32, else itself. */
fv_dtype fv_dtype_stored(fv_dtype dtype);

/* Of one rounding to a stored dtype: relative to the result, and what it may add below the normal numbers: the least
 * number that there is, as half of it is 0 in f64. */
double fv_unit_roundoff(fv_dtype dtype);
double fv_least_number(fv_dtype dtype);

/* The nearest value that a stored dtype has; integers dtypes take the value as it is. */
double fv_rounded(fv_dtype dtype, double value);

/* Element `i` of a tensor, and setting it to the nearest value. */
double fv_element(fv_dtype dtype, const void *data, int64_t i);
void fv_set_element(fv_dtype dtype, void *data, int64_t i, double value);

/* Whole tensors of a floating-point dtype. */
void fv_widen(fv_dtype dtype, const void *from, double *to, int64_t elements);
void fv_narrow(fv_dtype dtype, const double *from, void *to, int64_t elements);

#ifdef __cplusplus
}
#endif
#endif
