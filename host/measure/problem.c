#include "measure/problem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "verify/guard.h"

/* A host copy of an input in the problem's layout, to be freed unless it is the excerpt's own. */
static fv_status in_layout(const fv_problem *problem, int i, void **image) {
    const fv_excerpt *excerpt = problem->excerpt;
    const fv_tensor_spec *spec = &excerpt->specs[i];
    *image = excerpt->image[i];
    if (problem->layout == FV_NHWC)
        return FV_OK;
    FV_TRY(fv_host_allocate(NULL, fv_spec_bytes(spec), image));
    fv_layout_convert(spec, FV_NHWC, problem->layout, excerpt->image[i], *image);
    return FV_OK;
}

static fv_status send_input(const fv_problem *problem, int i) {
    fv_context *context = problem->context;
    void *image;
    FV_TRY(in_layout(problem, i, &image));
    const fv_status status =
        context->backend->upload(context, problem->device[i], image, fv_spec_bytes(&problem->excerpt->specs[i]));
    if (image != problem->excerpt->image[i])
        fv_host_deallocate(NULL, image);
    return status;
}

fv_status fv_problem_begin(fv_problem *problem, fv_context *context, fv_excerpt *excerpt, fv_layout layout) {
    *problem = (fv_problem){.context = context, .excerpt = excerpt, .layout = layout};
    for (int i = 0; i < excerpt->count; ++i)
        FV_TRY(context->backend->allocate(context, fv_spec_bytes(&excerpt->specs[i]), &problem->device[i]));
    return fv_problem_refresh(problem);
}

fv_status fv_problem_refresh(const fv_problem *problem) {
    for (int i = 0; i < problem->excerpt->count; ++i)
        if (problem->excerpt->specs[i].direction != FV_OUT)
            FV_TRY(send_input(problem, i));
    return FV_OK;
}

void fv_problem_end(fv_problem *problem) {
    for (int i = 0; i < FV_MAX_SPECS; ++i)
        if (problem->device[i])
            problem->context->backend->deallocate(problem->context, problem->device[i]);
    *problem = (fv_problem){0};
}

fv_status fv_run_begin(fv_run *run, const fv_problem *problem, const fv_call *call) {
    *run = (fv_run){.problem = problem, .call = call};
    for (int i = 0; i < problem->excerpt->count; ++i)
        run->buffers.at[problem->excerpt->specs[i].role] = problem->device[i];
    return problem->context->backend->allocate(problem->context, call->workspace, &run->buffers.workspace);
}

void fv_run_end(fv_run *run) {
    if (run->buffers.workspace)
        run->problem->context->backend->deallocate(run->problem->context, run->buffers.workspace);
    *run = (fv_run){0};
}

/* Whether the kernel writes this tensor. */
static bool written(const fv_run *run, int i) {
    const fv_tensor_spec *spec = &run->problem->excerpt->specs[i];
    return spec->direction != FV_IN && !(run->call->kernel->omits >> spec->role & 1);
}

static fv_status poison(const fv_run *run) {
    const fv_problem *problem = run->problem;
    const fv_backend *backend = problem->context->backend;
    for (int i = 0; i < problem->excerpt->count; ++i) {
        const fv_tensor_spec *spec = &problem->excerpt->specs[i];
        if (spec->direction == FV_OUT)
            FV_TRY(backend->fill(problem->context, problem->device[i], FV_POISON, fv_spec_bytes(spec)));
        else if (spec->direction == FV_INOUT)
            FV_TRY(send_input(problem, i));
    }
    return backend->fill(problem->context, run->buffers.workspace, FV_POISON, run->call->workspace);
}

/* Copies a tensor to the host, in NHWC. */
static fv_status fetch(const fv_problem *problem, int i, void **output) {
    const fv_tensor_spec *spec = &problem->excerpt->specs[i];
    const size_t bytes = fv_spec_bytes(spec);
    void *raw = NULL;
    FV_TRY(fv_host_allocate(NULL, bytes, output));
    if (problem->layout == FV_NHWC)
        return problem->context->backend->download(problem->context, *output, problem->device[i], bytes);
    FV_TRY(fv_host_allocate(NULL, bytes, &raw));
    const fv_status status = problem->context->backend->download(problem->context, raw, problem->device[i], bytes);
    if (status == FV_OK)
        fv_layout_convert(spec, problem->layout, FV_NHWC, raw, *output);
    fv_host_deallocate(NULL, raw);
    return status;
}

static fv_status queue(void *user) {
    const fv_run *run = user;
    return fv_call_run(run->call, &run->buffers);
}

/* Runs it once; *ran is false if that is the kernel's failure. */
static fv_status run_once(fv_run *run, bool *ran) {
    fv_context *context = run->problem->context;
    fv_status status = queue(run);
    if (status == FV_OK)
        status = context->backend->synchronize(context);
    *ran = status == FV_OK;
    return status == FV_MISMATCH || status == FV_DEVICE ? FV_OK : status;
}

/* An input has to be what it was. */
static fv_status check_input(const fv_problem *problem, int i, fv_proof *proof) {
    const fv_tensor_spec *spec = &problem->excerpt->specs[i];
    const size_t size = fv_dtype_size(spec->dtype), bytes = fv_spec_bytes(spec);
    const char *expected = problem->excerpt->image[i];
    void *input = NULL;
    const fv_status status = fetch(problem, i, &input);
    int64_t changed = 0;
    if (status == FV_OK && memcmp(input, expected, bytes) != 0)
        for (size_t at = 0; at < bytes; at += size)
            changed += memcmp((const char *)input + at, expected + at, size) != 0;
    fv_host_deallocate(NULL, input);
    if (changed == 0)
        return status;
    proof->outcome = FV_FAILED;
    if (!*proof->reason)
        snprintf(proof->reason, sizeof proof->reason, "wrote to %" PRId64 " elements of its input %s", changed,
                 fv_role_name(spec->role));
    proof->wrong += changed;
    proof->compared += changed;
    return FV_OK;
}

fv_status fv_run_prove(fv_run *run, fv_proof *proof) {
    fv_excerpt *excerpt = run->problem->excerpt;
    void *outputs[FV_MAX_SPECS] = {NULL};
    bool ran = false;
    fv_status status;
    *proof = (fv_proof){.outcome = FV_FAILED};
    FV_TRY_GOTO(status, poison(run), done);
    FV_TRY_GOTO(status, run_once(run, &ran), done);
    if (!ran) {
        snprintf(proof->reason, sizeof proof->reason, "%.*s", (int)sizeof proof->reason - 1, fv_error_message());
        goto done;
    }
    for (int i = 0; i < excerpt->count; ++i)
        if (written(run, i))
            FV_TRY_GOTO(status, fetch(run->problem, i, &outputs[i]), done);
    const fv_numerics numerics = fv_call_numerics(run->call);
    status = fv_excerpt_judge(excerpt, run->call->kernel, &numerics, (const void *const *)outputs, proof);
done:
    for (int i = 0; i < excerpt->count; ++i)
        fv_host_deallocate(NULL, outputs[i]);
    return status;
}

fv_status fv_run_check_inputs(const fv_run *run, fv_proof *proof) {
    const fv_excerpt *excerpt = run->problem->excerpt;
    for (int i = 0; i < excerpt->count; ++i)
        if (excerpt->specs[i].direction == FV_IN)
            FV_TRY(check_input(run->problem, i, proof));
    return FV_OK;
}

fv_status fv_run_time(fv_run *run, const fv_scratch *scratch, const fv_protocol *protocol, fv_timing *timing) {
    return fv_measure(scratch, protocol, queue, run, timing);
}
