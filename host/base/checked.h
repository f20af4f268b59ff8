/* Arithmetic on sizes that reports overflow instead of wrapping. */
#ifndef FOVEA_BASE_CHECKED_H
#define FOVEA_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* *result = a*b; false on overflow of int64_t. */
static inline bool fv_checked_mul(int64_t a, int64_t b, int64_t *result) {
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool fv_checked_add(int64_t a, int64_t b, int64_t *result) {
    return !__builtin_add_overflow(a, b, result);
}

/* Smallest multiple of `step` that is >= value; both positive. */
static inline int64_t fv_round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

static inline int64_t fv_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t fv_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

#endif
