/* Running a kernel on a trial and judging what it did. */
#include "verify/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "ops/op.h"
#include "verify/compare.h"
#include "verify/excerpt.h"
#include "verify/guard.h"

const char *fv_fill_name(fv_fill fill) {
    static const char *const names[FV_FILLS] = {"exact", "bounded"};
    return names[fill];
}

const char *fv_outcome_name(fv_outcome outcome) {
    static const char *const names[FV_OUTCOMES] = {"passed", "failed", "unsupported", "skipped", "mistrusted"};
    return names[outcome];
}

/* One kernel on one trial. */
typedef struct session {
    fv_trial *trial;
    fv_context *context;
    const fv_kernel *kernel;
    fv_call call;
    fv_guarded tensor[FV_MAX_SPECS + 1]; /* the last one is the workspace */
    void *scratch;                       /* holds any of the tensors, for kernels of another layout */
    fv_verdict *verdict;
} session;

static void judge(fv_verdict *verdict, fv_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void judge(fv_verdict *verdict, fv_outcome outcome, const char *format, ...) {
    if (verdict->outcome == FV_FAILED)
        return; /* the first failure stays */
    verdict->outcome = outcome;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->reason, sizeof verdict->reason, format, arguments);
    va_end(arguments);
}

/* ---- running ---- */

static fv_status allocate(session *s) {
    const fv_trial *trial = s->trial;
    size_t most = 1;
    for (int i = 0; i < trial->count; ++i) {
        const size_t bytes = fv_spec_bytes(&trial->specs[i]);
        FV_TRY(fv_guarded_allocate(s->context, bytes, trial->specs[i].direction != FV_IN, &s->tensor[i]));
        most = bytes > most ? bytes : most;
    }
    if (s->kernel->layout != FV_NHWC) {
        s->scratch = malloc(most);
        if (!s->scratch)
            return fv_fail(FV_NO_MEMORY, "no memory for a tensor of %zu bytes", most);
    }
    return fv_guarded_allocate(s->context, s->call.workspace, true, &s->tensor[trial->count]);
}

/* Sends a tensor as the kernel wants it, and fetches it as everybody else does: in NHWC. */
static fv_status send(session *s, int i) {
    const void *image = s->trial->image[i];
    if (image && s->scratch) {
        fv_layout_convert(&s->trial->specs[i], FV_NHWC, s->kernel->layout, image, s->scratch);
        image = s->scratch;
    }
    return fv_guarded_send(s->context, &s->tensor[i], image);
}

static fv_status fetch(session *s, int i) {
    FV_TRY(fv_guarded_fetch(s->context, &s->tensor[i]));
    if (s->scratch) {
        fv_layout_convert(&s->trial->specs[i], s->kernel->layout, FV_NHWC, fv_guarded_data(&s->tensor[i]), s->scratch);
        fv_guarded_replace(&s->tensor[i], s->scratch);
    }
    return FV_OK;
}

static fv_status run_once(session *s, int run) {
    const fv_trial *trial = s->trial;
    fv_buffers buffers = {0};
    for (int i = 0; i < trial->count; ++i)
        FV_TRY(send(s, i));
    FV_TRY(fv_guarded_send(s->context, &s->tensor[trial->count], NULL));
    for (int i = 0; i < trial->count; ++i)
        buffers.at[trial->specs[i].role] = fv_guarded_device(&s->tensor[i]);
    buffers.workspace = fv_guarded_device(&s->tensor[trial->count]);
    if (s->context->backend->begin_run)
        s->context->backend->begin_run(s->context, 2 * (int)trial->fill + run);
    const fv_status status = fv_call_run(&s->call, &buffers);
    for (int i = 0; i < trial->count; ++i)
        FV_TRY(fetch(s, i));
    FV_TRY(fv_guarded_fetch(s->context, &s->tensor[trial->count]));
    return status;
}

static bool omitted(const session *s, int i) {
    return s->kernel->omits >> s->trial->specs[i].role & 1;
}

static bool compared(const session *s, int i) {
    return s->trial->specs[i].direction != FV_IN && !omitted(s, i);
}

static void check_untouched(session *s) {
    const fv_trial *trial = s->trial;
    for (int i = 0; i <= trial->count; ++i) {
        const char *name = i == trial->count ? "workspace" : fv_role_name(trial->specs[i].role);
        int64_t offset;
        if (fv_guarded_trespassed(&s->tensor[i], &offset)) {
            judge(s->verdict, FV_FAILED, "wrote outside %s, at byte %" PRId64 " of %zu", name, offset,
                  s->tensor[i].bytes);
            return;
        }
        const bool input = i < trial->count && trial->specs[i].direction == FV_IN;
        if (i == trial->count || (!input && !omitted(s, i)))
            continue;
        const uint8_t *data = fv_guarded_data(&s->tensor[i]);
        bool touched = trial->image[i] && memcmp(data, trial->image[i], s->tensor[i].bytes);
        for (size_t b = 0; !trial->image[i] && b < s->tensor[i].bytes; ++b)
            touched |= data[b] != FV_POISON;
        if (touched)
            judge(s->verdict, FV_FAILED, "wrote to %s %s", input ? "its input" : "what it says it omits,", name);
    }
}

/* That a run fails, or touches what is not its own, is the kernel's fault. *finished: there is a result to compare. */
static fv_status run_and_judge(session *s, int run, bool *finished) {
    const fv_status status = run_once(s, run);
    *finished = status == FV_OK;
    if (status == FV_MISMATCH || status == FV_DEVICE)
        judge(s->verdict, FV_FAILED, "%s", fv_error_message());
    else if (status != FV_OK)
        return status;
    check_untouched(s);
    return FV_OK;
}

/* ---- comparing ---- */

static void note_wrong(fv_verdict *verdict, const fv_tensor_spec *spec, const uint8_t *data, const fv_point *point) {
    if (verdict->wrong == 0) {
        verdict->spec = *spec;
        fv_map_begin(&verdict->map, &spec->shape);
    }
    if (verdict->spec.role != spec->role)
        return;
    ++verdict->wrong;
    fv_map_note(&verdict->map, point->index);
    if (spec->direction == FV_OUT && fv_unwritten(data, fv_dtype_size(spec->dtype), point->index))
        ++verdict->unwritten;
    else if (isnan(point->got))
        ++verdict->nan;
    if (verdict->points < FV_MAX_POINTS)
        verdict->point[verdict->points++] = *point;
}

/* Compares one output. */
static fv_status compare(session *s, int i, fv_verdict *verdict, fv_tally *tally) {
    const fv_tensor_spec *spec = &s->trial->specs[i];
    const uint8_t *data = fv_guarded_data(&s->tensor[i]);
    const int64_t elements = fv_shape_elements(&spec->shape);
    const double *bounds;
    FV_TRY(fv_trial_bounds(s->trial, i, verdict->numerics.notes, &bounds));
    for (int64_t e = 0; e < elements; ++e) {
        const fv_point point = {e, fv_wide_element(spec->dtype, s->trial->results.at[spec->role], e),
                                fv_element(spec->dtype, data, e), bounds ? bounds[e] : 0};
        if (!fv_compare(tally, spec->dtype, point.expected, point.got, point.bound))
            note_wrong(verdict, spec, data, &point);
    }
    return FV_OK;
}

static void say_wrong(const fv_verdict *verdict, char *text, size_t size) {
    snprintf(text, size, "%" PRId64 " of %" PRId64 " elements of %s are wrong", verdict->wrong,
             fv_shape_elements(&verdict->spec.shape), fv_role_name(verdict->spec.role));
    if (verdict->unwritten)
        fv_append(text, size, ", %" PRId64 " of them poison (never written, or taken from what never was)",
                  verdict->unwritten);
    if (verdict->nan)
        fv_append(text, size, ", %" PRId64 " of them NaN", verdict->nan);
}

static fv_status compare_all(session *s, fv_verdict *verdict) {
    fv_tally tally = {0};
    for (int i = 0; i < s->trial->count; ++i)
        if (compared(s, i))
            FV_TRY(compare(s, i, verdict, &tally));
    verdict->compared = tally.compared;
    verdict->worst = tally.worst;
    const char *mistrust = fv_tally_mistrust(&tally);
    char text[192];
    if (verdict->wrong) {
        say_wrong(verdict, text, sizeof text);
        judge(verdict, FV_FAILED, "%s", text);
    } else if (mistrust) {
        judge(verdict, FV_MISTRUSTED, "%s", mistrust);
    }
    return FV_OK;
}

/* ---- running again ---- */

/* What went wrong first stays; that the runs differ says more about why. */
static void judge_difference(session *s, const fv_verdict *second) {
    fv_verdict *verdict = s->verdict;
    const char *why = s->context->backend->begin_run
                          ? "two runs differ with the order of the threads: a barrier is missing, or they race"
                          : "two runs differ, but the table calls it deterministic";
    if (verdict->outcome == FV_FAILED) {
        fv_append(verdict->reason, sizeof verdict->reason, "; %s", why);
        return;
    }
    char text[192] = "";
    if (second->wrong)
        say_wrong(second, text, sizeof text);
    judge(verdict, FV_FAILED, "%s%s%s%s", why, second->wrong ? " (" : "", text, second->wrong ? " in the second)" : "");
}

/* Takes over the second run's wrong elements if the first run had none. */
static void adopt(fv_verdict *verdict, const fv_verdict *second) {
    if (verdict->wrong || !second->wrong)
        return;
    const fv_verdict first = *verdict;
    *verdict = *second;
    verdict->outcome = first.outcome;
    memcpy(verdict->reason, first.reason, sizeof first.reason);
    verdict->compared = first.compared;
    verdict->repeated = first.repeated;
    verdict->deterministic = first.deterministic;
}

/* Runs again on the same inputs: the outputs must have the same bits if the row says so, and be right if not. */
static fv_status check_repeat(session *s) {
    const fv_trial *trial = s->trial;
    fv_verdict *verdict = s->verdict, second = {.outcome = FV_PASSED, .numerics = verdict->numerics};
    uint8_t *first[FV_MAX_SPECS] = {0};
    bool finished;
    fv_status status = FV_OK;
    for (int i = 0; i < trial->count; ++i) {
        first[i] = malloc(s->tensor[i].bytes + 1);
        if (!first[i])
            FV_TRY_GOTO(status, fv_fail(FV_NO_MEMORY, "no memory to compare two runs"), done);
        memcpy(first[i], fv_guarded_data(&s->tensor[i]), s->tensor[i].bytes);
    }
    FV_TRY_GOTO(status, run_and_judge(s, 1, &finished), done);
    if (!finished)
        goto done;
    verdict->repeated = verdict->deterministic = true;
    for (int i = 0; i < trial->count; ++i)
        verdict->deterministic &= !memcmp(first[i], fv_guarded_data(&s->tensor[i]), s->tensor[i].bytes);
    if (verdict->deterministic)
        goto done;
    FV_TRY_GOTO(status, compare_all(s, &second), done);
    if (s->kernel->deterministic)
        judge_difference(s, &second);
    else if (second.outcome == FV_FAILED)
        judge(verdict, FV_FAILED, "in the second of two runs, %s", second.reason);
    adopt(verdict, &second);
done:
    for (int i = 0; i < trial->count; ++i)
        free(first[i]);
    return status;
}

/* ---- the whole ---- */

static fv_status copy_outputs(const session *s, fv_host_tensors *outputs) {
    for (int i = 0; i < s->trial->count; ++i) {
        const fv_tensor_spec *spec = &s->trial->specs[i];
        const int64_t elements = fv_shape_elements(&spec->shape);
        if (!compared(s, i))
            continue;
        FV_TRY(fv_host_allocate(NULL, (size_t)elements * sizeof(double), &outputs->at[spec->role]));
        for (int64_t e = 0; e < elements; ++e)
            ((double *)outputs->at[spec->role])[e] = fv_element(spec->dtype, fv_guarded_data(&s->tensor[i]), e);
    }
    return FV_OK;
}

/* Why the exact comparison says nothing about this kernel; NULL if it does. */
static const char *inapplicable(const fv_trial *trial, const fv_kernel *kernel) {
    if (*trial->inapplicable)
        return trial->inapplicable;
    /* Integers tie. A backward pass that looks for the maximum again may find another one than argmax says. */
    if (trial->fill == FV_EXACT && kernel->pass != FV_FORWARD && kernel->omits >> FV_ARGMAX & 1)
        return "integers tie, and the kernel does not read argmax";
    return NULL;
}

fv_status fv_trial_judge(fv_trial *trial, fv_context *context, const fv_kernel *kernel, fv_host_tensors *outputs,
                         fv_verdict *verdict) {
    session s = {.trial = trial, .context = context, .kernel = kernel, .verdict = verdict};
    bool finished;
    *verdict = (fv_verdict){.outcome = FV_PASSED};
    if (outputs)
        *outputs = (fv_host_tensors){0};
    const char *reason = inapplicable(trial, kernel);
    if (reason) {
        judge(verdict, FV_SKIPPED, "%s", reason);
        return FV_OK;
    }
    fv_status status = fv_call_prepare_kernel(&s.call, context, kernel, &trial->op, trial->pass);
    if (status == FV_UNSUPPORTED)
        judge(verdict, FV_UNSUPPORTED_CASE, "%s", fv_error_message());
    if (status != FV_OK)
        return status == FV_UNSUPPORTED ? FV_OK : status;
    verdict->numerics = fv_call_numerics(&s.call);
    reason = fv_notes_refusal(&trial->op, trial->pass, trial->fill, verdict->numerics.notes);
    if (reason) {
        judge(verdict, FV_SKIPPED, "%s", reason);
        goto done;
    }
    FV_TRY_GOTO(status, allocate(&s), done);
    FV_TRY_GOTO(status, run_and_judge(&s, 0, &finished), done);
    if (!finished)
        goto done;
    FV_TRY_GOTO(status, compare_all(&s, verdict), done);
    if (outputs)
        FV_TRY_GOTO(status, copy_outputs(&s, outputs), done);
    FV_TRY_GOTO(status, check_repeat(&s), done);
done:
    for (int i = 0; i <= trial->count; ++i)
        fv_guarded_release(context, &s.tensor[i]);
    free(s.scratch);
    fv_call_release(&s.call);
    return status;
}

void fv_verdict_not_reached(fv_verdict *verdict) {
    verdict->outcome = FV_FAILED;
    snprintf(verdict->reason, sizeof verdict->reason, "%.*s", (int)sizeof verdict->reason - 1, fv_error_message());
}

fv_status fv_verify(fv_context *context, const fv_kernel *kernel, const fv_operation *op, fv_pass pass, fv_fill fill,
                    uint64_t seed, fv_verdict *verdict) {
    fv_trial trial;
    fv_status status = fv_trial_begin(&trial, op, pass, fill, seed);
    if (status == FV_OK)
        status = fv_trial_judge(&trial, context, kernel, NULL, verdict);
    fv_trial_end(&trial);
    return status;
}
