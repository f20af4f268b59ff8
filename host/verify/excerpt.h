/* Is the result of a full-size problem right? Proof by an excerpt.
 *
 * The reference is a thousand times slower than a GPU. But an output element of a convolution depends on one image and
 * one filter (or, of a gradient, one input channel), so that the reference can compute some images and channels of a
 * large problem, at every position of theirs, from the same inputs. The kernel runs on the whole problem; the elements
 * of the excerpt are compared within the bounded comparison's bounds (verify.h), and no others may keep the poison that
 * outputs held before the run. Problems within the budget, and operations without products, are compared whole.
 */
#ifndef FOVEA_VERIFY_EXCERPT_H
#define FOVEA_VERIFY_EXCERPT_H

#include "verify/verify.h"

/* What of a problem is compared: images, groups, and within each group output and input channels; each list is sorted. */
typedef struct fv_excerpt {
    fv_operation op; /* the whole problem */
    fv_pass pass;
    int count;
    fv_tensor_spec specs[FV_MAX_SPECS]; /* of the whole problem, as the kernels see them */
    void *image[FV_MAX_SPECS];          /* its inputs as the kernels see them, in NHWC; NULL for pure outputs */
    fv_trial part;                      /* the excerpt as an operation of its own, with the reference's results */
    /* Where along each axis of the whole tensor the part's elements lie; NULL: it is not cut. */
    int64_t *index[FV_MAX_SPECS][FV_MAX_RANK];
    char scope[64]; /* in words: "whole", "n=2 of 50, k=8 of 64", "c=1 of 512, over budget" if no part fits it */
} fv_excerpt;

typedef struct fv_proof {
    fv_outcome outcome; /* passed, failed, or skipped if there is no bound for the kernel's arithmetic */
    char reason[320];   /* one line; "" if passed */
    int64_t compared;   /* elements, over all outputs; those elsewhere that are NaN are among them */
    int64_t wrong;      /* of them beyond their bound, or poison anywhere */
    double worst;       /* largest |error| / bound */
} fv_proof;

/* Inputs are real numbers from (seed, role, index). `budget` is in multiply-accumulates of the reference. End it in any
 * case. FV_NO_MEMORY: the host has too little. */
fv_status fv_excerpt_begin(fv_excerpt *excerpt, const fv_operation *op, fv_pass pass, uint64_t seed, double budget);
void fv_excerpt_end(fv_excerpt *excerpt);

/* Judges what a kernel with these numerics gave: outputs[i] is the whole tensor specs[i] in host memory, in NHWC; NULL for
 * inputs and for what the kernel omits. */
fv_status fv_excerpt_judge(fv_excerpt *excerpt, const fv_kernel *kernel, const fv_numerics *numerics,
                           const void *const outputs[FV_MAX_SPECS], fv_proof *proof);

/* Where element `element` of the part's tensor `i` lies in the whole one. */
int64_t fv_excerpt_locate(const fv_excerpt *excerpt, int i, int64_t element);

/* Copies a tensor from one layout to another: NHWC <-> NCHW for rank 4, as it is for others. */
void fv_layout_convert(const fv_tensor_spec *spec, fv_layout from, fv_layout to, const void *source, void *result);

#endif
