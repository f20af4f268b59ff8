/* One pass of one case in a device's memory: calls are proved right on it, then timed. */
#ifndef FOVEA_MEASURE_PROBLEM_H
#define FOVEA_MEASURE_PROBLEM_H

#include "measure/measure.h"
#include "verify/excerpt.h"

typedef struct fv_problem {
    fv_context *context;
    fv_excerpt *excerpt; /* not its own */
    fv_layout layout;
    void *device[FV_MAX_SPECS]; /* tensors, as excerpt->specs, in this layout */
} fv_problem;

/* Places the excerpt's inputs, which are no zeros, into the context's memory. FV_NO_MEMORY: they do not fit. End it in any
 * case. */
fv_status fv_problem_begin(fv_problem *problem, fv_context *context, fv_excerpt *excerpt, fv_layout layout);
void fv_problem_end(fv_problem *problem);

/* Sends the inputs again: kernels that were not proved have run on them. */
fv_status fv_problem_refresh(const fv_problem *problem);

/* A call on a problem's tensors, ready to be run: with workspace of its own. Release it in any case. */
typedef struct fv_run {
    const fv_problem *problem;
    const fv_call *call;
    fv_buffers buffers;
} fv_run;
fv_status fv_run_begin(fv_run *run, const fv_problem *problem, const fv_call *call);
void fv_run_end(fv_run *run);

/* Runs the call on poisoned outputs and judges them. A call that fails to run, FV_MISMATCH or FV_DEVICE, is a failure. */
fv_status fv_run_prove(fv_run *run, fv_proof *proof);

/* Makes a proof a failure if the inputs are not what they were before all runs; then the problem must be refreshed. */
fv_status fv_run_check_inputs(const fv_run *run, fv_proof *proof);

/* Times it. */
fv_status fv_run_time(fv_run *run, const fv_scratch *scratch, const fv_protocol *protocol, fv_timing *timing);

#endif
