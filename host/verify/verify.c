#include "verify/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ops/op.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(pointer, bytes) __asan_poison_memory_region(pointer, bytes)
#define ALLOW(pointer, bytes) __asan_unpoison_memory_region(pointer, bytes)
#else
#define FORBID(pointer, bytes) ((void)(pointer), (void)(bytes))
#define ALLOW(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

enum { BAND = 256, PATTERN = 0xFF }; /* a float, double or index of 0xFF bytes is a NaN or out of range */

const char *fv_outcome_name(fv_outcome outcome) {
    static const char *const names[FV_OUTCOMES] = {"passed", "failed", "unsupported", "skipped", "mistrusted"};
    return names[outcome];
}

/* One tensor of the pass, on the device between two guard bands. */
typedef struct guarded {
    size_t bytes;
    uint8_t *device; /* band, data, band */
    uint8_t *before; /* host image of the data before the run */
    uint8_t *after;  /* host image of the whole after the first run */
} guarded;

typedef struct trial {
    fv_context *context;
    const fv_operation *op;
    fv_pass pass;
    fv_fill fill;
    unsigned omits; /* the kernel's */
    int count;
    fv_tensor_spec specs[FV_MAX_SPECS]; /* as the kernel sees them */
    guarded tensor[FV_MAX_SPECS + 1];   /* the last one is the workspace */
    fv_host_tensors inputs, results;    /* double: as generated, and after the reference */
} trial;

static void judge(fv_verdict *verdict, fv_outcome outcome, const char *format, ...) {
    if (verdict->outcome == FV_FAILED)
        return; /* the first failure stays */
    verdict->outcome = outcome;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->reason, sizeof verdict->reason, format, arguments);
    va_end(arguments);
}

static fv_status allocate_guarded(fv_context *context, size_t bytes, guarded *g) {
    g->bytes = bytes;
    void *device;
    FV_TRY(context->backend->allocate(context, bytes + 2 * BAND, &device));
    g->device = device;
    g->before = malloc(bytes ? bytes : 1);
    g->after = malloc(bytes + 2 * BAND);
    return g->before && g->after ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory to verify a tensor of %zu bytes", bytes);
}

/* Sends the data between fresh bands; on the host, forbids the bands. */
static fv_status send(fv_context *context, guarded *g) {
    memset(g->after, PATTERN, g->bytes + 2 * BAND);
    memcpy(g->after + BAND, g->before, g->bytes);
    FV_TRY(context->backend->upload(context, g->device, g->after, g->bytes + 2 * BAND));
    if (context->backend->host_memory) {
        FORBID(g->device, BAND);
        FORBID(g->device + BAND + g->bytes, BAND);
    }
    return FV_OK;
}

static fv_status fetch(fv_context *context, guarded *g) {
    if (context->backend->host_memory)
        ALLOW(g->device, g->bytes + 2 * BAND);
    return context->backend->download(context, g->after, g->device, g->bytes + 2 * BAND);
}

/* Doubles to the kernel's dtype; generated values are exact in it. */
static void narrow(const fv_tensor_spec *spec, const void *from, uint8_t *to) {
    const int64_t elements = fv_shape_elements(&spec->shape);
    if (spec->dtype != FV_F32) {
        memcpy(to, from, fv_spec_bytes(spec));
        return;
    }
    for (int64_t i = 0; i < elements; ++i)
        ((float *)(void *)to)[i] = (float)((const double *)from)[i];
}

static double element(const fv_tensor_spec *spec, const uint8_t *data, int64_t i) {
    switch (spec->dtype) {
    case FV_F32:
        return (double)((const float *)(const void *)data)[i];
    case FV_F64:
        return ((const double *)(const void *)data)[i];
    case FV_I32:
        return ((const int32_t *)(const void *)data)[i];
    case FV_U8:
        return data[i];
    case FV_DTYPES:
        break;
    }
    return NAN;
}

/* The reference's element; integers are not widened. */
static double expected_element(const fv_tensor_spec *spec, const void *data, int64_t i) {
    const fv_tensor_spec wide = {.dtype = spec->dtype == FV_F32 ? FV_F64 : spec->dtype};
    return element(&wide, data, i);
}

static fv_status prepare_trial(trial *t, size_t workspace) {
    for (int i = 0; i <= t->count; ++i) {
        const bool is_workspace = i == t->count;
        FV_TRY(allocate_guarded(t->context, is_workspace ? workspace : fv_spec_bytes(&t->specs[i]), &t->tensor[i]));
        if (!is_workspace && t->specs[i].direction != FV_OUT) {
            /* A backward pass's y is rounded on its way to the kernel; the reference must see what the kernel sees. */
            narrow(&t->specs[i], t->inputs.at[t->specs[i].role], t->tensor[i].before);
            if (t->specs[i].dtype == FV_F32)
                for (int64_t e = 0; e < fv_shape_elements(&t->specs[i].shape); ++e)
                    ((double *)t->inputs.at[t->specs[i].role])[e] = element(&t->specs[i], t->tensor[i].before, e);
        } else {
            memset(t->tensor[i].before, PATTERN, t->tensor[i].bytes);
        }
    }
    return FV_OK;
}

/* Copies the inputs and lets the reference compute on them. */
static fv_status expect(trial *t) {
    const fv_operation wide = fv_in_double(t->op);
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_operation_signature(&wide, t->pass, specs);
    for (int i = 0; i < t->count; ++i) {
        FV_TRY(fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), &t->results.at[specs[i].role]));
        if (specs[i].direction != FV_OUT)
            memcpy(t->results.at[specs[i].role], t->inputs.at[specs[i].role], fv_spec_bytes(&specs[i]));
    }
    return fv_run_reference(t->op, t->pass, &t->results);
}

static fv_status run_once(trial *t, const fv_call *call) {
    fv_buffers buffers = {0};
    for (int i = 0; i <= t->count; ++i)
        FV_TRY(send(t->context, &t->tensor[i]));
    for (int i = 0; i < t->count; ++i)
        buffers.at[t->specs[i].role] = t->tensor[i].device + BAND;
    buffers.workspace = t->tensor[t->count].device + BAND;
    const fv_status status = fv_call_run(call, &buffers);
    for (int i = 0; i <= t->count; ++i)
        FV_TRY(fetch(t->context, &t->tensor[i]));
    return status;
}

static bool omitted(const trial *t, int i) {
    return t->omits >> t->specs[i].role & 1;
}

static const char *tensor_name(const trial *t, int i) {
    return i == t->count ? "workspace" : fv_role_name(t->specs[i].role);
}

static void check_untouched(const trial *t, fv_verdict *verdict) {
    for (int i = 0; i <= t->count; ++i) {
        const guarded *g = &t->tensor[i];
        for (size_t b = 0; b < 2 * BAND; ++b) {
            const size_t place = b < BAND ? b : b + g->bytes;
            if (g->after[place] != PATTERN) {
                const int64_t offset = (int64_t)place - BAND;
                judge(verdict, FV_FAILED, "wrote outside %s, at byte %" PRId64 " of %zu", tensor_name(t, i), offset,
                      g->bytes);
                return;
            }
        }
        const bool input = i < t->count && t->specs[i].direction == FV_IN;
        if ((input || (i < t->count && omitted(t, i))) && memcmp(g->after + BAND, g->before, g->bytes))
            judge(verdict, FV_FAILED, "wrote to %s %s", input ? "its input" : "what it says it omits,",
                  tensor_name(t, i));
    }
}

/* One run. That it fails, or touches what is not its own, is the kernel's fault. */
static fv_status run_and_judge(trial *t, const fv_call *call, fv_verdict *verdict) {
    const fv_status status = run_once(t, call);
    if (status == FV_MISMATCH || status == FV_DEVICE)
        judge(verdict, FV_FAILED, "%s", fv_error_message());
    else if (status != FV_OK)
        return status;
    check_untouched(t, verdict);
    return FV_OK;
}

static void note_wrong(fv_verdict *verdict, const fv_tensor_spec *spec, int64_t index, double expected, double got,
                       double bound) {
    if (verdict->wrong == 0)
        verdict->spec = *spec;
    if (verdict->spec.role != spec->role)
        return;
    ++verdict->wrong;
    if (verdict->points < FV_MAX_POINTS)
        verdict->point[verdict->points++] = (fv_point){index, expected, got, bound};
}

/* Compares one output and adds to *nonzero how many of the expected elements are not zero. */
static fv_status compare(const trial *t, int i, fv_verdict *verdict, int64_t *nonzero) {
    const fv_tensor_spec *spec = &t->specs[i];
    const int64_t elements = fv_shape_elements(&spec->shape);
    double *bounds = calloc((size_t)elements + 1, sizeof *bounds);
    if (!bounds)
        return fv_fail(FV_NO_MEMORY, "no memory for %" PRId64 " error bounds", elements);
    fv_status status = FV_OK;
    if (t->fill == FV_BOUNDED)
        status = fv_error_bounds(t->op, t->pass, spec->role, &t->inputs, &t->results, bounds);
    for (int64_t e = 0; status == FV_OK && e < elements; ++e) {
        const double expected = expected_element(spec, t->results.at[spec->role], e);
        const double got = element(spec, t->tensor[i].after + BAND, e);
        const double difference = fabs(got - expected);
        *nonzero += expected != 0;
        if (bounds[e] > 0 && difference / bounds[e] > verdict->worst)
            verdict->worst = difference / bounds[e];
        if (!(got == expected || difference <= bounds[e]))
            note_wrong(verdict, spec, e, expected, got, bounds[e]);
    }
    verdict->compared += elements;
    free(bounds);
    return status;
}

static fv_status compare_all(trial *t, fv_verdict *verdict) {
    int64_t nonzero = 0;
    for (int i = 0; i < t->count; ++i)
        if (t->specs[i].direction != FV_IN && !omitted(t, i))
            FV_TRY(compare(t, i, verdict, &nonzero));
    if (verdict->wrong)
        judge(verdict, FV_FAILED, "%" PRId64 " of %" PRId64 " elements of %s are wrong", verdict->wrong,
              fv_shape_elements(&verdict->spec.shape), fv_role_name(verdict->spec.role));
    else if (nonzero == 0 && verdict->compared > 0)
        judge(verdict, FV_MISTRUSTED, "all expected elements are zero");
    return FV_OK;
}

/* Runs again on the same inputs; the outputs must have the same bits if the row says so. */
static fv_status check_repeat(trial *t, const fv_call *call, fv_verdict *verdict) {
    uint8_t *first[FV_MAX_SPECS] = {0};
    fv_status status = FV_OK;
    for (int i = 0; i < t->count; ++i) {
        first[i] = malloc(t->tensor[i].bytes + 1);
        if (!first[i])
            FV_TRY_GOTO(status, fv_fail(FV_NO_MEMORY, "no memory to compare two runs"), done);
        memcpy(first[i], t->tensor[i].after + BAND, t->tensor[i].bytes);
    }
    FV_TRY_GOTO(status, run_and_judge(t, call, verdict), done);
    verdict->deterministic = true;
    for (int i = 0; i < t->count; ++i)
        verdict->deterministic &= !memcmp(first[i], t->tensor[i].after + BAND, t->tensor[i].bytes);
    if (!verdict->deterministic && call->kernel->deterministic)
        judge(verdict, FV_FAILED, "two runs differ, but the table calls it deterministic");
    /* Bits that may differ must still be right. */
    fv_verdict second = {.outcome = FV_PASSED};
    if (!verdict->deterministic && verdict->outcome != FV_FAILED)
        FV_TRY_GOTO(status, compare_all(t, &second), done);
    if (second.outcome == FV_FAILED)
        *verdict = second;
done:
    for (int i = 0; i < t->count; ++i)
        free(first[i]);
    return status;
}

static void release_trial(trial *t) {
    for (int i = 0; i <= t->count; ++i) {
        if (t->tensor[i].device)
            t->context->backend->deallocate(t->context, t->tensor[i].device);
        free(t->tensor[i].before);
        free(t->tensor[i].after);
    }
    fv_host_tensors_release(&t->inputs);
    fv_host_tensors_release(&t->results);
}

/* Why this comparison says nothing about this kernel; NULL if it does. */
static const char *inapplicable(const fv_kernel *kernel, const fv_operation *op, fv_fill fill) {
    if (fill == FV_BOUNDED)
        return NULL;
    if (!fv_op_info_of(op->kind)->integral)
        return "the operation does not map integers to integers";
    /* Integers tie. A backward pass that looks for the maximum again may find another one than argmax says. */
    if (kernel->pass != FV_FORWARD && kernel->omits >> FV_ARGMAX & 1)
        return "integers tie, and the kernel does not read argmax";
    return NULL;
}

fv_status fv_verify(fv_context *context, const fv_kernel *kernel, const fv_operation *op, fv_pass pass, fv_fill fill,
                    uint64_t seed, fv_verdict *verdict) {
    *verdict = (fv_verdict){.outcome = FV_PASSED};
    const char *reason = inapplicable(kernel, op, fill);
    if (reason) {
        judge(verdict, FV_SKIPPED, "%s", reason);
        return FV_OK;
    }
    fv_call call;
    fv_status status = fv_call_prepare_kernel(&call, context, kernel, op, pass);
    if (status == FV_UNSUPPORTED)
        judge(verdict, FV_UNSUPPORTED_CASE, "%s", fv_error_message());
    if (status != FV_OK)
        return status == FV_UNSUPPORTED ? FV_OK : status;

    trial t = {.context = context, .op = op, .pass = pass, .fill = fill, .omits = kernel->omits};
    t.count = fv_operation_signature(op, pass, t.specs);
    status = fv_generate(op, pass, fill, seed, &t.inputs);
    if (status == FV_UNSUPPORTED) {
        judge(verdict, FV_SKIPPED, "%s", fv_error_message());
        status = FV_OK;
        goto done;
    }
    if (status != FV_OK)
        goto done;
    FV_TRY_GOTO(status, prepare_trial(&t, call.workspace), done);
    FV_TRY_GOTO(status, expect(&t), done);
    FV_TRY_GOTO(status, run_and_judge(&t, &call, verdict), done);
    FV_TRY_GOTO(status, compare_all(&t, verdict), done);
    FV_TRY_GOTO(status, check_repeat(&t, &call, verdict), done);
done:
    release_trial(&t);
    fv_call_release(&call);
    return status;
}
