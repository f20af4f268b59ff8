/* Is this kernel right? One kernel, one operation, compared with the double-precision reference.
 *
 * Two independent comparisons:
 *   exact    Inputs are small integers, sized so that every partial sum is exact in the accumulator; nothing may differ.
 *   bounded  Inputs are real numbers; per element |error| <= 4*sqrt(K)*u*S, with K the reduction length, u the unit
 *            roundoff (2^-24 for f32) and S the same sums taken over absolute values, from one more reference pass. It
 *            is the probabilistic rounding-error bound of Higham and Mary (2019, SIAM J. Sci. Comput. 41(5)) at
 *            confidence factor 4.
 * Outputs, workspace and the guard bands around every buffer hold NaN patterns before the run; afterwards inputs and
 * guard bands must be untouched. Where the host can reach the memory and AddressSanitizer is on, the bands also trap
 * reads.
 */
#ifndef FOVEA_VERIFY_VERIFY_H
#define FOVEA_VERIFY_VERIFY_H

#include "backends/kernel.h"

typedef enum fv_fill { FV_EXACT, FV_BOUNDED } fv_fill;

typedef enum fv_outcome {
    FV_PASSED,
    FV_FAILED,
    FV_UNSUPPORTED_CASE, /* the kernel refuses the case */
    FV_SKIPPED,          /* this comparison does not apply to the operation */
    FV_MISTRUSTED,       /* nothing but zeros was expected: agreement would mean nothing */
    FV_OUTCOMES
} fv_outcome;

enum { FV_MAX_POINTS = 10 };

typedef struct fv_point {
    int64_t index; /* row-major, within the tensor */
    double expected, got, bound;
} fv_point;

typedef struct fv_verdict {
    fv_outcome outcome;
    char reason[320];    /* one line; "" if passed */
    fv_tensor_spec spec; /* the first wrong tensor, if elements are wrong */
    int64_t wrong;       /* wrong elements of that tensor */
    int64_t compared;    /* elements compared, over all outputs */
    int points;
    fv_point point[FV_MAX_POINTS];
    double worst;       /* largest |error| / bound over all elements whose bound is not 0 */
    bool deterministic; /* two runs gave the same bits */
} fv_verdict;

const char *fv_outcome_name(fv_outcome outcome);

/* The verdict on one row of the context's backend. A status other than FV_OK means that the check itself could not be
 * carried out (no memory, say). */
fv_status fv_verify(fv_context *context, const fv_kernel *kernel, const fv_operation *op, fv_pass pass, fv_fill fill,
                    uint64_t seed, fv_verdict *verdict);

/* ---- parts, also of use to tests ---- */

/* Host tensors of one pass, indexed by role; floating-point ones are double whatever the operation's dtype. */
typedef struct fv_host_tensors {
    void *at[FV_ROLES];
} fv_host_tensors;
void fv_host_tensors_release(fv_host_tensors *tensors);

/* Inputs for a pass: from (seed, role, index) alone. Inputs that are results of the forward pass (y, argmax) come from
 * the reference's forward pass on generated inputs, so that they are consistent. Outputs are allocated. */
fv_status fv_generate(const fv_operation *op, fv_pass pass, fv_fill fill, uint64_t seed, fv_host_tensors *tensors);

/* The same operation on double tensors. */
fv_operation fv_in_double(const fv_operation *op);

/* Runs the reference on such tensors. */
fv_status fv_run_reference(const fv_operation *op, fv_pass pass, const fv_host_tensors *tensors);

/* Fills bounds[elements] for output `role`: what a correct f32 or f64 kernel's error stays below. `tensors` holds the
 * inputs as they were before the pass (they matter for FV_INOUT tensors) and `results` those after the reference
 * ran. */
fv_status fv_error_bounds(const fv_operation *op, fv_pass pass, fv_role role, const fv_host_tensors *tensors,
                          const fv_host_tensors *results, double *bounds);

#endif
