/* Choosing a kernel for an operation and running it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/choose.h"
#include "base/error.h"
#include "ops/op.h"

extern const fv_backend fv_backend_reference;

/* An operation of tf32 permits a loss of accuracy, it does not ask for it. */
static bool serves(fv_dtype kernel, fv_dtype operation) {
    return kernel == operation || (kernel == FV_F32 && operation == FV_TF32);
}

static bool fuses_relu(const fv_operation *op) {
    return (op->kind == FV_CONV2D && op->conv2d.relu) || (op->kind == FV_BATCHNORM && op->batchnorm.relu);
}

const char *fv_kernel_lacks(const fv_kernel *kernel, const fv_context *context) {
    if (kernel->min_capability > context->capability && !context->backend->host_memory)
        return "the device's compute capability is too low";
    return kernel->lacks ? kernel->lacks(context) : NULL;
}

const char *fv_kernel_refusal(const fv_kernel *kernel, const fv_context *context, const fv_operation *op,
                              fv_pass pass) {
    if (kernel->kind != op->kind || kernel->pass != pass)
        return "it is a kernel of another operation or pass";
    if (!serves(kernel->dtype, fv_operation_dtype(op)))
        return "no kernel of this dtype";
    if (fuses_relu(op) && !kernel->fuses_relu)
        return "it has no ReLU at its end";
    const char *lacking = fv_kernel_lacks(kernel, context);
    if (lacking)
        return lacking;
    return kernel->supports ? kernel->supports(op) : NULL;
}

/* `way` is one of the row's ways, or -1 for what it prepares by itself. */
static fv_status prepare_row(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                             fv_pass pass, int way) {
    *call = (fv_call){.context = context, .kernel = kernel, .op = *op, .pass = pass};
    if (way >= 0)
        FV_TRY(kernel->prepare_way(context, op, way, &call->state));
    else if (kernel->prepare)
        FV_TRY(kernel->prepare(context, op, &call->state));
    call->workspace = kernel->workspace ? kernel->workspace(op, call->state) : 0;
    return FV_OK;
}

static fv_status prepare_given(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                               fv_pass pass, int way) {
    memset(call, 0, sizeof *call);
    const char *refusal = fv_kernel_refusal(kernel, context, op, pass);
    if (refusal)
        return fv_fail(FV_UNSUPPORTED, "%s %s: %s", context->backend->name, kernel->name, refusal);
    return prepare_row(call, context, kernel, op, pass, way);
}

fv_status fv_call_prepare_kernel(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                                 fv_pass pass) {
    return prepare_given(call, context, kernel, op, pass, -1);
}

fv_status fv_call_ways(fv_context *context, const fv_kernel *kernel, const fv_operation *op, int *count) {
    *count = 1;
    return kernel->ways ? kernel->ways(context, op, count) : FV_OK;
}

fv_status fv_call_prepare_way(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                              fv_pass pass, int way) {
    return prepare_given(call, context, kernel, op, pass, kernel->ways ? way : -1);
}

/* Takes the best row of `backend` that can run the operation. FV_UNSUPPORTED and the first reason met if none can. */
static fv_status prepare_from(fv_call *call, fv_context *context, const fv_backend *backend, const fv_operation *op,
                              fv_pass pass, char reason[256]) {
    fv_candidates candidates;
    fv_candidates_find(&candidates, context, backend, op, pass);
    fv_candidates_prefer(&candidates, context, backend, op, pass);
    if (!*reason && candidates.refusal)
        snprintf(reason, 256, "%s", candidates.refusal);
    for (int i = 0; i < candidates.count; ++i) {
        const fv_status status = prepare_row(call, context, candidates.items[i].kernel, op, pass, -1);
        if (status != FV_UNSUPPORTED)
            return status;
        if (!*reason)
            snprintf(reason, 256, "%s", fv_error_message());
    }
    return FV_UNSUPPORTED;
}

static void announce_stand_in(fv_context *context, const fv_operation *op, fv_pass pass, const char *stand_in,
                              const char *reason) {
    if (!context->notice || context->noticed[op->kind][pass])
        return;
    context->noticed[op->kind][pass] = true;
    fv_context_say(context, "%s: %s %s is done by %s (%s)", context->backend->name, fv_kind_name(op->kind),
                   fv_pass_name(pass), stand_in, *reason ? reason : "it has no such kernel");
}

fv_status fv_call_prepare(fv_call *call, fv_context *context, const fv_operation *op, fv_pass pass) {
    memset(call, 0, sizeof *call);
    const fv_backend *const candidates[] = {context->backend, context->backend->stand_in, &fv_backend_reference};
    char reason[256] = "";
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; ++i) {
        if (!candidates[i])
            continue;
        const fv_status status = prepare_from(call, context, candidates[i], op, pass, reason);
        if (status == FV_UNSUPPORTED)
            continue;
        if (status == FV_OK && i > 0)
            announce_stand_in(context, op, pass, candidates[i]->name, reason);
        if (status == FV_OK && candidates[i] == &fv_backend_reference && !context->backend->host_memory) {
            call->bridged = true;
            call->workspace = 0; /* the bridge allocates it on the host */
        }
        return status;
    }
    return fv_fail(FV_UNSUPPORTED, "%s: no kernel for %s %s: %s", context->backend->name, fv_kind_name(op->kind),
                   fv_pass_name(pass), *reason ? reason : "the operation has no such pass");
}

fv_status fv_call_prepare_own(fv_call *call, fv_context *context, const fv_operation *op, fv_pass pass) {
    memset(call, 0, sizeof *call);
    char reason[256] = "";
    const fv_status status = prepare_from(call, context, context->backend, op, pass, reason);
    if (status != FV_UNSUPPORTED)
        return status;
    return fv_fail(FV_UNSUPPORTED, "%s: no kernel of its own for %s %s: %s", context->backend->name,
                   fv_kind_name(op->kind), fv_pass_name(pass), *reason ? reason : "it has no such kernel");
}

/* Runs a host kernel on device tensors: fetches the inputs, runs, sends the outputs back. */
static fv_status run_bridged(const fv_call *call, const fv_buffers *buffers) {
    const fv_backend *backend = call->context->backend;
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(&call->op, call->pass, specs);
    fv_buffers host = {0};
    fv_status status = FV_OK;
    for (int i = 0; i < count; ++i) {
        void **place = &host.at[specs[i].role];
        FV_TRY_GOTO(status, fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), place), done);
        if (specs[i].direction != FV_OUT)
            FV_TRY_GOTO(status,
                        backend->download(call->context, *place, buffers->at[specs[i].role], fv_spec_bytes(&specs[i])),
                        done);
    }
    if (call->kernel->workspace)
        FV_TRY_GOTO(status, fv_host_allocate(NULL, call->kernel->workspace(&call->op, call->state), &host.workspace),
                    done);
    FV_TRY_GOTO(status, call->kernel->run(call->context, &call->op, call->state, &host), done);
    for (int i = 0; i < count; ++i)
        if (specs[i].direction != FV_IN)
            FV_TRY_GOTO(status,
                        backend->upload(call->context, buffers->at[specs[i].role], host.at[specs[i].role],
                                        fv_spec_bytes(&specs[i])),
                        done);
done:
    for (int role = 0; role < FV_ROLES; ++role)
        fv_host_deallocate(NULL, host.at[role]);
    fv_host_deallocate(NULL, host.workspace);
    return status;
}

fv_status fv_call_run(const fv_call *call, const fv_buffers *buffers) {
    if (call->bridged)
        return run_bridged(call, buffers);
    return call->kernel->run(call->context, &call->op, call->state, buffers);
}

bool fv_notes_fall_short(fv_dtype dtype, unsigned notes) {
    static const unsigned roundings = FV_NOTE_TF32 | FV_NOTE_TF32_CUT,
                          transforms = FV_NOTE_WINOGRAD_2X2 | FV_NOTE_WINOGRAD_4X4 | FV_NOTE_WINOGRAD_9X9 | FV_NOTE_FFT;
    unsigned less = FV_NOTE_HALF_SUMS;
    if (dtype == FV_F32 || dtype == FV_F64)
        less |= roundings;
    if (dtype == FV_BF16 || dtype == FV_F16)
        less |= transforms;
    return notes & less;
}

fv_numerics fv_call_numerics(const fv_call *call) {
    fv_numerics numerics = {0};
    if (call->kernel->numerics)
        call->kernel->numerics(&call->op, call->state, &numerics);
    return numerics;
}

void fv_call_release(fv_call *call) {
    if (call->kernel && call->kernel->release)
        call->kernel->release(call->state);
    memset(call, 0, sizeof *call);
}
