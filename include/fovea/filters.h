/* Filters apart from any operation. */
#ifndef FOVEA_FILTERS_H
#define FOVEA_FILTERS_H

#include <stdbool.h>
#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Says whether an r x s filter is the product of a column and a row, so that conv2d_spatial does with r+s products what
 * conv2d does with r*s, and finds the two: filter[i*s+j] = column[i] * row[j].
 *
 * Where the product can be exact, it is: a filter of integers, or of integers times a power of two, has factors of that
 * kind, with a column that no integer above 1 divides and that is positive where the filter is largest: [1 2 1; 2 4 2;
 * 1 2 1] gives [1 2 1] and [1 2 1]. Otherwise the product must equal the filter to within the roundings to double of
 * its entries, 14 * 2^-53 of each (derived in host/ops/filters.c); so a filter whose entries were rounded to float
 * after they were multiplied is not separable. A filter of zeros gives zeros.
 *
 * *separable tells; if it is false, column and row hold nothing of use. FV_BAD_INPUT if r or s is below 1 or an entry
 * is not finite. */
FV_API fv_status fv_factor_filter(const double *filter, int64_t r, int64_t s, double *column, double *row,
                                  bool *separable);

#ifdef __cplusplus
}
#endif
#endif
