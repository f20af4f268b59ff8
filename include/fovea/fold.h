/* Folding: a batch normalisation behind a convolution, with its statistics fixed as in inference, is a part of the
 * convolution. */
#ifndef FOVEA_FOLD_H
#define FOVEA_FOLD_H

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The parameters of a batch normalisation of k channels, [k] each, and its epsilon. */
typedef struct fv_batchnorm_parameters {
    const float *gamma, *beta; /* scale and shift: w and b of fv_batchnorm */
    const float *mean, *variance;
    double epsilon;
} fv_batchnorm_parameters;

/* Makes filters and a bias with which the conv2d alone gives what conv2d and the inference batch normalisation of its
 * k outputs give (Jacob et al. 2018, arXiv:1712.05877, section 3.2): with scale = gamma / sqrt(variance + epsilon),
 *
 *     w_out[k,r,s,c] = w[k,r,s,c] * scale[k]        b_out[k] = (b[k] - mean[k]) * scale[k] + beta[k]
 *
 * w and w_out are [k, r, s, c/groups], b (NULL: zeros, whatever conv->bias says) and b_out [k]; w_out may be w, and
 * b_out b. It computes in double and rounds once. The folded convolution has a bias: use it with bias = 1. FV_BAD_INPUT
 * if the descriptor is refused, epsilon is not above 0, or a variance is negative or no number; nothing is written
 * then. */
FV_API fv_status fv_fold_batchnorm(const fv_conv2d *conv, const float *w, const float *b,
                                   const fv_batchnorm_parameters *batchnorm, float *w_out, float *b_out);

#ifdef __cplusplus
}
#endif
#endif
