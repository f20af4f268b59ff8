/* Is this kernel right? One kernel, one pass of one operation, compared with the double-precision reference.
 *
 * Two independent comparisons:
 *   exact    Inputs are small integers, sized so that every partial sum is exact in the accumulator; nothing may differ.
 *            (Winograd's 4x4 tiles may differ over many channels, but by less than half of what a lost product would
 *            change: exact_winograd.c.)
 *   bounded  Inputs are real numbers; per element |error| <= 4*sqrt(K)*u*S, with K the reduction length, u the unit
 *            roundoff of the sums (2^-24 but for f64) and S the same sums taken over absolute values, from one more
 *            reference pass; results stored in bf16 or f16 round once more. It is the probabilistic rounding-error bound of Higham and Mary (2019, SIAM J. Sci. Comput. 41(5)) at
 *            confidence factor 4.
 *            Kernels whose row notes another arithmetic have bounds of their own, derived in bounds.c and
 *            bounds_winograd.c; so have batch normalisation, in bounds_batchnorm.c, and deformable convolution, in
 *            bounds_deformable.c. Where a comparison does not apply to an arithmetic it is skipped, with the reason.
 * Exact inputs are so small that 3xTF32's small parts are 0: a lost product of those shows in the bounded comparison of
 * short sums alone. Where only the bounded comparison applies (sums in f16, other libraries' Winograd kernels, and ours over hundreds of
 * channels), small faults go unseen: one lost product of 576 is within the bound of sums in f16, one lost channel of 64
 * within that of Winograd's 4x4 tiles on tf32.
 * Outputs and workspace hold NaN patterns before the run, and every buffer lies between guard bands; afterwards inputs
 * and guard bands must be untouched. Every kernel runs twice and must give the same bits if its row says so; the
 * emulator takes the threads in another order the second time. Kernels of another layout get their tensors in it; all
 * that is said here of places is in NHWC.
 */
#ifndef FOVEA_VERIFY_VERIFY_H
#define FOVEA_VERIFY_VERIFY_H

#include "backends/kernel.h"
#include "verify/map.h"

typedef enum fv_fill { FV_EXACT, FV_BOUNDED, FV_FILLS } fv_fill;

typedef enum fv_outcome {
    FV_PASSED,
    FV_FAILED,
    FV_UNSUPPORTED_CASE, /* the kernel refuses the case */
    FV_SKIPPED,          /* this comparison does not apply to the operation, or to the kernel's arithmetic */
    FV_MISTRUSTED,       /* zeros everywhere would have passed: agreement means nothing */
    FV_OUTCOMES
} fv_outcome;

enum { FV_MAX_POINTS = 10 };

typedef struct fv_point {
    int64_t index; /* row-major, within the tensor */
    double expected, got, bound;
} fv_point;

typedef struct fv_verdict {
    fv_outcome outcome;
    char reason[320];     /* one line; "" if passed */
    fv_numerics numerics; /* of the kernel on this case */
    fv_tensor_spec spec;  /* the first wrong tensor, if elements are wrong */
    int64_t wrong;        /* wrong elements of that tensor, */
    int64_t unwritten;    /* those of them that still hold what they held before the run, */
    int64_t nan;          /* and those that are another NaN */
    int64_t compared;     /* elements compared, over all outputs */
    int points;
    fv_point point[FV_MAX_POINTS];
    fv_error_map map;   /* of that tensor */
    double worst;       /* largest |error| / bound over all elements whose bound is not 0 */
    bool repeated;      /* it ran twice to the end, */
    bool deterministic; /* and gave the same bits */
} fv_verdict;

const char *fv_fill_name(fv_fill fill);
const char *fv_outcome_name(fv_outcome outcome);

/* The verdict on one row of the context's backend. A status other than FV_OK means that the check itself could not be
 * carried out (no memory, say). */
fv_status fv_verify(fv_context *context, const fv_kernel *kernel, const fv_operation *op, fv_pass pass, fv_fill fill,
                    uint64_t seed, fv_verdict *verdict);

/* ---- the same in parts, for several kernels on one problem ---- */

/* Host tensors of one pass, indexed by role; floating-point ones are double whatever the operation's dtype. */
typedef struct fv_host_tensors {
    void *at[FV_ROLES];
} fv_host_tensors;
void fv_host_tensors_release(fv_host_tensors *tensors);

/* One pass of an operation on generated inputs, with what the reference makes of them. */
typedef struct fv_trial {
    fv_operation op;
    fv_pass pass;
    fv_fill fill;
    char inapplicable[160]; /* why this comparison says nothing about the operation; "": it does, and the rest is set */
    int count;
    fv_tensor_spec specs[FV_MAX_SPECS]; /* as the kernels see them */
    void *image[FV_MAX_SPECS];          /* inputs as the kernels see them; NULL for pure outputs */
    fv_host_tensors inputs, results;    /* double: before the pass, and after the reference */
    double *bounds[FV_MAX_SPECS];       /* of outputs, for kernels with `notes`; NULL until asked for */
    unsigned notes;
} fv_trial;

/* End it in any case; fv_trial_end is fine on a zeroed one. */
fv_status fv_trial_begin(fv_trial *trial, const fv_operation *op, fv_pass pass, fv_fill fill, uint64_t seed);
void fv_trial_end(fv_trial *trial);

/* The same on inputs that are given, for the bounded comparison. They are taken over, whatever comes of it. */
fv_status fv_trial_begin_given(fv_trial *trial, const fv_operation *op, fv_pass pass, fv_host_tensors *inputs);

/* The error bounds of output `i` for a kernel with these numerical notes, valid until asked for other notes. NULL: all
 * are 0. */
fv_status fv_trial_bounds(fv_trial *trial, int i, unsigned notes, const double **bounds);

/* Runs the kernel and judges it. `outputs`, unless NULL, gets what the first run gave, in double; release it. */
fv_status fv_trial_judge(fv_trial *trial, fv_context *context, const fv_kernel *kernel, fv_host_tensors *outputs,
                         fv_verdict *verdict);

/* Where that could not be carried out: a failure, for the reason that the thread's message gives. */
void fv_verdict_not_reached(fv_verdict *verdict);

/* ---- parts, also of use to tests ---- */

/* Inputs for a pass: from (seed, role, index) alone. Inputs that are results of the forward pass (y, argmax) come from
 * the reference's forward pass on generated inputs, so that they are consistent. Outputs are allocated. FV_UNSUPPORTED:
 * there are no inputs that make sums of this length exact. */
fv_status fv_generate(const fv_operation *op, fv_pass pass, fv_fill fill, uint64_t seed, fv_host_tensors *tensors);

/* One floating-point input of the bounded comparison, rounded to the dtype of the spec. */
void fv_generate_reals(const fv_tensor_spec *spec, uint64_t seed, void *data);

/* The same operation on double tensors. */
fv_operation fv_in_double(const fv_operation *op);

/* Runs the reference on such tensors. */
fv_status fv_run_reference(const fv_operation *op, fv_pass pass, const fv_host_tensors *tensors);

/* Why this comparison says nothing about a kernel whose arithmetic has these notes (a bit set of fv_numerical_note);
 * NULL if it does. */
const char *fv_notes_refusal(const fv_operation *op, fv_pass pass, fv_fill fill, unsigned notes);

/* The part of it for Winograd's transforms and the exact comparison, in exact_winograd.c. */
const char *fv_winograd_inexact(const fv_operation *op, fv_pass pass, unsigned notes);

/* Where such kernels can do the pass, its exact inputs are integers of at most fv_winograd_range() in size, and filters
 * that many times FV_WINOGRAD_STEP. 0: they cannot, or not exactly. */
enum { FV_WINOGRAD_STEP = 9 };
int64_t fv_winograd_range(const fv_operation *op, fv_pass pass);

/* By how much the results of a kernel with these notes may differ on exact inputs; 0 for all but some Winograd kernels. */
double fv_winograd_slack(const fv_operation *op, fv_pass pass, unsigned notes);

/* Fills bounds[elements] for output `role`: what the error of a correct kernel with these notes stays below;
 * fv_notes_refusal has said that there is a bound. `tensors` holds the inputs as they were before the pass (they matter
 * for FV_INOUT tensors) and `results` those after the reference ran. */
fv_status fv_error_bounds(const fv_operation *op, fv_pass pass, fv_role role, unsigned notes,
                          const fv_host_tensors *tensors, const fv_host_tensors *results, double *bounds);

/* The part of fv_error_bounds for Winograd's transforms, in bounds_winograd.c. `u` is the unit roundoff of the
 * transforms, `u_in` that of the transformed values before they are multiplied (0: not rounded again), `u_sums` that of
 * the sums over channels. The inputs must be independent and symmetric about 0, as fv_generate draws them. */
void fv_winograd_bounds(const fv_operation *op, fv_pass pass, unsigned notes, double u, double u_in, double u_sums,
                        const fv_host_tensors *tensors, const double *results, double *bounds, int64_t elements);

/* The part for batch normalisation, in bounds_batchnorm.c. */
void fv_batchnorm_bounds(const fv_operation *op, fv_pass pass, fv_role role, double u, const fv_host_tensors *tensors,
                         double *bounds);
/* The same for conv2d_deformable, in bounds_deformable.c. `reduction` is K, and `underflow` what one rounding may add
 * below the normal numbers. */
fv_status fv_deformable_bounds(const fv_operation *op, fv_pass pass, fv_role role, double reduction, double u,
                               double underflow, const fv_host_tensors *tensors, double *bounds, int64_t elements);

/* bounds = factor * S + least, with S by the reference on absolute values: for sums of products and for updates. */
fv_status fv_sum_bounds(const fv_operation *op, fv_pass pass, fv_role role, const fv_host_tensors *tensors,
                        double factor, double least, double *bounds, int64_t elements);

#endif
