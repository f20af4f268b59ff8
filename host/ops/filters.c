/* Factors of filters of rank 1. */
#include <fovea/filters.h>

#include <inttypes.h>
#include <math.h>

#include "base/error.h"

enum { SIGNIFICANT_BITS = 53 };

typedef struct filter_view {
    const double *entries;
    int64_t r, s;
    int64_t pivot_i, pivot_j; /* the first of the largest entries in magnitude */
} filter_view;

static double entry(const filter_view *f, int64_t i, int64_t j) {
    return f->entries[i * f->s + j];
}

/* Whether column * row is within `relative` of every entry. */
static bool reproduces(const filter_view *f, const double *column, const double *row, double relative) {
    for (int64_t i = 0; i < f->r; ++i)
        for (int64_t j = 0; j < f->s; ++j)
            if (!(fabs(fma(column[i], row[j], -entry(f, i, j))) <= relative * fabs(entry(f, i, j))))
                return false;
    return true;
}

static double gcd(double a, double b) {
    while (b > 0) {
        const double rest = fmod(a, b);
        a = b;
        b = rest;
    }
    return a;
}

/* The greatest e such that value is a whole multiple of 2^e; value is not 0. */
static int last_bit(double value) {
    int exponent;
    int64_t digits = (int64_t)ldexp(frexp(fabs(value), &exponent), SIGNIFICANT_BITS);
    exponent -= SIGNIFICANT_BITS;
    for (; digits % 2 == 0; digits /= 2)
        ++exponent;
    return exponent;
}

/* Factors a filter of integers times 2^e. If it is g * u v' with coprime entries in u and in v, its pivot's column is
 * g * v[pivot] * u, whose greatest common divisor is g * |v[pivot]|: dividing by that gives u, and the pivot's row
 * divided by u[pivot] gives g * v. All divisions leave no rest. False if the entries have too many bits to be such
 * integers, or the rank is not 1. */
static bool factor_integers(const filter_view *f, double *column, double *row) {
    const double pivot = entry(f, f->pivot_i, f->pivot_j);
    int e = last_bit(pivot);
    for (int64_t i = 0; i < f->r * f->s; ++i)
        if (f->entries[i] != 0 && last_bit(f->entries[i]) < e)
            e = last_bit(f->entries[i]);
    if (ilogb(pivot) - e >= SIGNIFICANT_BITS)
        return false;
    double divisor = 0;
    for (int64_t i = 0; i < f->r; ++i)
        divisor = gcd(fabs(ldexp(entry(f, i, f->pivot_j), -e)), divisor);
    for (int64_t i = 0; i < f->r; ++i)
        column[i] = copysign(1, pivot) * ldexp(entry(f, i, f->pivot_j), -e) / divisor;
    for (int64_t j = 0; j < f->s; ++j)
        row[j] = entry(f, f->pivot_i, j) / column[f->pivot_i];
    return reproduces(f, column, row, 0);
}

/* Factors a filter whose entries are those of a filter of rank 1 after up to three roundings each: of the product of a
 * column's and a row's entry, of a common factor, of a division by their sum. So f[i][j] = c[i] r[j] (1 + d)^3, |d| <=
 * u = 2^-53. The column is taken as it stands at the pivot, the row as the pivot's divided by the pivot, which rounds
 * once more. Their product then is c[i] r[j] times the (1 + d)^3 of the entries (i, pivot), (pivot, j) and, inverted,
 * (pivot, pivot), and the (1 + d) of the division; with the (1 + d)^3 of f[i][j] itself that makes a difference of at
 * most 13 u |f[i][j]| to first order. The terms in u^2 are less than another u. With the largest entry as pivot no
 * quotient exceeds 1. (All this is for normal numbers.) */
static bool factor_rounded(const filter_view *f, double *column, double *row) {
    for (int64_t i = 0; i < f->r; ++i)
        column[i] = entry(f, i, f->pivot_j);
    for (int64_t j = 0; j < f->s; ++j)
        row[j] = entry(f, f->pivot_i, j) / column[f->pivot_i];
    return reproduces(f, column, row, 14 * 0x1p-53);
}

fv_status fv_factor_filter(const double *filter, int64_t r, int64_t s, double *column, double *row, bool *separable) {
    if (r < 1 || s < 1)
        return fv_fail(FV_BAD_INPUT, "a filter to factor: %" PRId64 "x%" PRId64 " must be at least 1x1", r, s);
    filter_view f = {filter, r, s, 0, 0};
    for (int64_t i = 0; i < r; ++i)
        for (int64_t j = 0; j < s; ++j) {
            if (!isfinite(entry(&f, i, j)))
                return fv_fail(FV_BAD_INPUT, "a filter to factor: entry %" PRId64 ",%" PRId64 " is not finite", i, j);
            if (fabs(entry(&f, i, j)) > fabs(entry(&f, f.pivot_i, f.pivot_j)))
                f.pivot_i = i, f.pivot_j = j;
        }
    if (entry(&f, f.pivot_i, f.pivot_j) == 0) {
        for (int64_t i = 0; i < r; ++i)
            column[i] = 0;
        for (int64_t j = 0; j < s; ++j)
            row[j] = 0;
        *separable = true;
        return FV_OK;
    }
    *separable = factor_integers(&f, column, row) || factor_rounded(&f, column, row);
    return FV_OK;
}
