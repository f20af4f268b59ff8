/* What a convolution does with each of its products, in its three passes: for references that visit them one by one. */
#ifndef FOVEA_BACKENDS_REFERENCE_PRODUCTS_H
#define FOVEA_BACKENDS_REFERENCE_PRODUCTS_H

#include <stdint.h>

/* A visitor gets the places of one product in x, w and y. */
typedef void product(const double *in1, const double *in2, double *out, int64_t x, int64_t w, int64_t y);

static inline void into_y(const double *x, const double *w, double *y, int64_t at_x, int64_t at_w, int64_t at_y) {
    y[at_y] += x[at_x] * w[at_w];
}

static inline void into_dx(const double *dy, const double *w, double *dx, int64_t at_x, int64_t at_w, int64_t at_y) {
    dx[at_x] += dy[at_y] * w[at_w];
}

static inline void into_dw(const double *x, const double *dy, double *dw, int64_t at_x, int64_t at_w, int64_t at_y) {
    dw[at_w] += x[at_x] * dy[at_y];
}

#endif
