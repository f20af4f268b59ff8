#include "verify/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ops/op.h"

static bool selected(const fv_survey *s, const fv_kernel *kernel) {
    return !s->selects || s->selects(s->user, kernel);
}

static fv_status list_rows(fv_survey *s) {
    fv_kernel_cursor cursor = {0};
    int count = 0;
    while (fv_kernel_next(s->context->backend, &cursor))
        ++count;
    s->rows = calloc((size_t)count + 1, sizeof *s->rows);
    if (!s->rows)
        return fv_fail(FV_NO_MEMORY, "no memory for a survey of %d kernels", count);
    cursor = (fv_kernel_cursor){0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(s->context->backend, &cursor));)
        if (selected(s, kernel))
            s->rows[s->row_count++] = (fv_survey_row){.kernel = kernel};
    return FV_OK;
}

/* One trial, with the opinions that it has got so far. */
typedef struct hearing {
    fv_survey *survey;
    const fv_operation *op;
    fv_pass pass;
    fv_fill fill;
    bool begun, asked, confirmed; /* confirmed: a row of ours was right */
    fv_trial trial;
    fv_opinion others[FV_MAX_WITNESSES];
} hearing;

static fv_finding finding_of(const hearing *h, fv_context *context, const fv_kernel *kernel) {
    return (fv_finding){.context = context,
                        .kernel = kernel,
                        .pass = h->pass,
                        .witness = context != h->survey->context,
                        .op = h->op,
                        .fill = h->fill,
                        .outlier = ""};
}

/* What is about to run. */
static void announce(const hearing *h, fv_context *context, const fv_kernel *kernel) {
    const fv_survey *s = h->survey;
    const fv_finding finding = finding_of(h, context, kernel);
    if (s->on_begin)
        s->on_begin(s->user, &finding);
}

static void report(const hearing *h, const fv_opinion *opinion, const char *outlier) {
    const fv_survey *s = h->survey;
    fv_finding finding = finding_of(h, opinion->context, opinion->kernel);
    finding.verdict = &opinion->verdict;
    finding.outlier = outlier;
    finding.others = h->others;
    finding.other_count = s->witnesses;
    if (s->on_finding)
        s->on_finding(s->user, &finding);
}

/* Counts what a kernel says that it ran. */
static fv_status note_implementation(fv_survey *s, const fv_opinion *opinion) {
    const char *description = opinion->verdict.numerics.description;
    if (!opinion->kernel || !*description)
        return FV_OK;
    for (size_t i = 0; i < s->implementation_count; ++i) {
        fv_implementation *known = &s->implementations[i];
        if (known->kernel == opinion->kernel && !strcmp(known->description, description)) {
            ++known->comparisons;
            return FV_OK;
        }
    }
    fv_implementation *grown = reallocarray(s->implementations, s->implementation_count + 1, sizeof *grown);
    if (!grown)
        return fv_fail(FV_NO_MEMORY, "no memory for a survey");
    s->implementations = grown;
    fv_implementation *added = &grown[s->implementation_count++];
    *added = (fv_implementation){.context = opinion->context, .kernel = opinion->kernel, .comparisons = 1};
    snprintf(added->description, sizeof added->description, "%s", description);
    return FV_OK;
}

static fv_status ask_witnesses(hearing *h) {
    fv_status status = FV_OK;
    for (int i = 0; !h->asked && i < h->survey->witnesses; ++i) {
        announce(h, h->survey->witness[i].context, NULL);
        fv_opinion_ask(&h->trial, h->survey->witness[i].context, &h->others[i]);
        FV_KEEP(status, note_implementation(h->survey, &h->others[i]));
        h->survey->witness[i].opinions += h->others[i].kernel != NULL;
    }
    h->asked = true;
    return status;
}

/* Judges one row; *outlier as fv_outlier says. */
static fv_status hear(hearing *h, fv_opinion *ours, const char **outlier) {
    fv_survey *s = h->survey;
    fv_verdict *verdict = &ours->verdict;
    const char *refusal = fv_kernel_refusal(ours->kernel, s->context, h->op, h->pass);
    if (refusal) {
        *verdict = (fv_verdict){.outcome = FV_UNSUPPORTED_CASE};
        snprintf(verdict->reason, sizeof verdict->reason, "%s", refusal);
        return FV_OK;
    }
    if (!h->begun) {
        const fv_status status = fv_trial_begin(&h->trial, h->op, h->pass, h->fill, s->seed);
        if (status != FV_OK)
            fv_trial_end(&h->trial); /* the next row tries again */
        FV_TRY(status);
        h->begun = true;
    }
    announce(h, s->context, ours->kernel);
    const fv_status judged = fv_trial_judge(&h->trial, s->context, ours->kernel, &ours->outputs, verdict);
    s->lost = (judged != FV_OK || verdict->outcome == FV_FAILED) && fv_context_is_lost(s->context);
    if (judged != FV_OK || s->lost)
        return judged;
    if (verdict->outcome == FV_PASSED || verdict->outcome == FV_FAILED) {
        FV_TRY(note_implementation(s, ours));
        FV_TRY(ask_witnesses(h));
    }
    h->confirmed |= verdict->outcome == FV_PASSED;
    return verdict->outcome == FV_FAILED ? fv_outlier(&h->trial, ours, h->others, s->witnesses, outlier) : FV_OK;
}

static void count_comparison(fv_survey_row *row, fv_fill fill, const fv_verdict *verdict) {
    row->passed[fill] += verdict->outcome == FV_PASSED;
    if (verdict->worst > row->worst)
        row->worst = verdict->worst;
    row->repeated += verdict->repeated;
    row->reproduced += verdict->deterministic;
    if (verdict->outcome != FV_PASSED && verdict->outcome != FV_FAILED && !*row->idle)
        memcpy(row->idle, verdict->reason, sizeof row->idle);
}

/* The more telling of a case's two outcomes. */
static fv_outcome combine(fv_outcome a, fv_outcome b) {
    static const int weight[FV_OUTCOMES] = {
        [FV_SKIPPED] = 0, [FV_UNSUPPORTED_CASE] = 1, [FV_MISTRUSTED] = 2, [FV_PASSED] = 3, [FV_FAILED] = 4};
    return weight[a] > weight[b] ? a : b;
}

static void hear_row(hearing *h, fv_survey_row *row, fv_outcome *outcome) {
    fv_opinion ours = {.context = h->survey->context, .kernel = row->kernel};
    const char *outlier = "";
    if (hear(h, &ours, &outlier) != FV_OK)
        fv_verdict_not_reached(&ours.verdict);
    count_comparison(row, h->fill, &ours.verdict);
    *outcome = combine(*outcome, ours.verdict.outcome);
    report(h, &ours, outlier);
    fv_opinion_release(&ours);
}

/* Witnesses that differ from the reference where a row of ours does not. */
static void report_outliers(hearing *h) {
    for (int i = 0; i < h->survey->witnesses; ++i)
        if (h->confirmed && h->others[i].kernel && h->others[i].verdict.outcome == FV_FAILED) {
            ++h->survey->witness[i].outliers;
            report(h, &h->others[i], h->others[i].context->backend->name);
        }
}

static bool concerns(const fv_survey_row *row, const fv_operation *op, fv_pass pass) {
    return row->kernel->kind == op->kind && row->kernel->pass == pass && row->kernel->dtype == fv_operation_dtype(op);
}

/* One pass of one operation: all rows that are meant for it, on both comparisons. */
static fv_status survey_pass(fv_survey *s, const fv_operation *op, fv_pass pass) {
    fv_outcome *outcomes = calloc((size_t)s->row_count + 1, sizeof *outcomes);
    if (!outcomes)
        return fv_fail(FV_NO_MEMORY, "no memory for a survey of %d kernels", s->row_count);
    for (int i = 0; i < s->row_count; ++i)
        outcomes[i] = FV_SKIPPED;
    for (fv_fill fill = 0; fill < FV_FILLS; ++fill) {
        hearing h = {.survey = s, .op = op, .pass = pass, .fill = fill};
        for (int i = 0; s->fills[fill] && !s->lost && i < s->row_count; ++i)
            if (concerns(&s->rows[i], op, pass))
                hear_row(&h, &s->rows[i], &outcomes[i]);
        report_outliers(&h);
        for (int i = 0; i < s->witnesses; ++i)
            fv_opinion_release(&h.others[i]);
        fv_trial_end(&h.trial);
    }
    for (int i = 0; i < s->row_count; ++i)
        if (concerns(&s->rows[i], op, pass)) {
            ++s->rows[i].cases;
            ++s->rows[i].count[outcomes[i]];
        }
    free(outcomes);
    return FV_OK;
}

fv_status fv_survey_run(fv_survey *s) {
    FV_TRY(list_rows(s));
    for (int64_t i = 0; i < s->cases->count; ++i) {
        const fv_case *item = &s->cases->items[i];
        for (fv_dtype dtype = FV_FIRST_REAL; dtype <= FV_LAST_REAL; ++dtype) {
            fv_operation op = item->op;
            if (!fv_op_has_dtype(fv_op_info_of(op.kind), dtype))
                continue;
            fv_operation_set_dtype(&op, dtype);
            for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
                if (item->passes >> pass & 1 && fv_operation_has_pass(&op, pass) && !s->lost)
                    FV_TRY(survey_pass(s, &op, pass));
        }
        if (s->lost)
            break;
        ++s->cases_done;
        if (s->on_case && !s->on_case(s->user, s->cases_done, s->cases->count))
            break;
    }
    return FV_OK;
}

void fv_survey_end(fv_survey *s) {
    free(s->rows);
    free(s->implementations);
    s->rows = NULL;
    s->implementations = NULL;
    s->row_count = 0;
    s->implementation_count = 0;
}
