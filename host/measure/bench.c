#include "measure/bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "base/error.h"
#include "ops/op.h"

/* One pass of one case, while its variants are measured. */
typedef struct subject {
    fv_bench *bench;
    int64_t case_index;
    const char *label;
    fv_operation op; /* in the dtype of the rows */
    fv_pass pass;
    fv_excerpt excerpt;
    fv_problem problem;    /* where the variants run one after the other; anew after one that went wrong */
    fv_scratch scratch[2]; /* ours and the rival's */
    int64_t earlier;       /* rows of the record that were there before */
    bool stopped;
} subject;

/* ---- rows of the record ---- */

static fv_bench_row blank_row(const subject *s, const fv_context *context) {
    fv_bench_row row = {.rival = context == s->bench->rival,
                        .floor = fv_floor_of(&s->bench->record->ceilings, &s->op, s->pass)};
    snprintf(row.label, sizeof row.label, "%s", s->label);
    fv_operation_print(&s->op, row.op, sizeof row.op);
    snprintf(row.family, sizeof row.family, "%s", fv_family(&s->op));
    snprintf(row.pass, sizeof row.pass, "%s", fv_pass_name(s->pass));
    snprintf(row.dtype, sizeof row.dtype, "%s", fv_dtype_name(fv_operation_dtype(&s->op)));
    snprintf(row.backend, sizeof row.backend, "%s", context->backend->name);
    return row;
}

static fv_status keep(subject *s, const fv_bench_row *row) {
    FV_TRY(fv_bench_record_add(s->bench->record, row));
    if (s->bench->on_end && !s->bench->on_end(s->bench->user, s->case_index))
        s->stopped = true;
    return FV_OK;
}

static void set_layout(fv_bench_row *row, fv_layout layout) {
    snprintf(row->layout, sizeof row->layout, "%s", layout == FV_NCHW ? "nchw" : "nhwc");
}

/* ---- what an earlier run has measured ---- */

/* Of a rival there is one row in each layout, whichever kernel that is. */
static bool was_measured(const subject *s, const fv_bench_row *row) {
    const fv_bench_row *rows = s->bench->record->rows;
    for (int64_t i = 0; i < s->earlier; ++i)
        if (fv_bench_same_problem(&rows[i], row) && rows[i].rival == row->rival &&
            !strcmp(rows[i].layout, row->layout) && (row->rival || !strcmp(rows[i].kernel, row->kernel)))
            return true;
    return false;
}

/* Whether the pass is done: of the last one that it came to, the earlier run may have left variants. */
static bool was_finished(const subject *s) {
    const fv_bench_row *rows = s->bench->record->rows, row = blank_row(s, s->bench->context);
    bool there = false;
    for (int64_t i = 0; i < s->earlier; ++i)
        there |= fv_bench_same_problem(&rows[i], &row);
    return there && !fv_bench_same_problem(&rows[s->earlier - 1], &row);
}

/* ---- which rows ---- */

static bool concerns(const subject *s, const fv_kernel *kernel) {
    return kernel->kind == s->op.kind && kernel->pass == s->pass && kernel->dtype == fv_operation_dtype(&s->op);
}

static bool is_ours(const subject *s, const fv_kernel *kernel) {
    return concerns(s, kernel) && (!s->bench->selects || s->bench->selects(s->bench->user, kernel));
}

static bool is_there_ours(const subject *s) {
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(s->bench->context->backend, &cursor));)
        if (is_ours(s, kernel))
            return true;
    return false;
}

/* The row that runs when nobody asks for another; NULL if none does. */
static const fv_kernel *chosen_kernel(const subject *s) {
    fv_call call;
    const fv_status status = fv_call_prepare_own(&call, s->bench->context, &s->op, s->pass);
    const fv_kernel *kernel = status == FV_OK ? call.kernel : NULL;
    fv_call_release(&call);
    return kernel;
}

/* ---- measuring ---- */

/* Puts the problem into the memory of a context, unless it is there, or says in the row why that cannot be done. */
static bool place(subject *s, fv_context *context, fv_layout layout, fv_bench_row *row) {
    fv_scratch *scratch = &s->scratch[context == s->bench->rival];
    fv_status status = scratch->context ? FV_OK : fv_scratch_allocate(scratch, context);
    if (s->problem.context != context || s->problem.layout != layout) {
        fv_problem_end(&s->problem);
        if (status == FV_OK)
            status = fv_problem_begin(&s->problem, context, &s->excerpt, layout);
    }
    if (status == FV_OK)
        return true;
    row->state = status == FV_NO_MEMORY ? FV_BENCH_NO_MEMORY : FV_BENCH_FAILED;
    snprintf(row->reason, sizeof row->reason, "%.*s", (int)sizeof row->reason - 1, fv_error_message());
    return false;
}

/* Measures one variant and keeps its row, unless it does not support the case, or an earlier run has its row. */
static fv_status measure(subject *s, fv_context *context, fv_variant *variant, fv_bench_row *row) {
    bool lost = false;
    fv_status status = FV_OK;
    set_layout(row, variant->kernels[0]->layout);
    snprintf(row->kernel, sizeof row->kernel, "%s", variant->kernels[0]->name);
    if (was_measured(s, row))
        return FV_OK;
    if (s->bench->on_begin)
        s->bench->on_begin(s->bench->user, row);
    if (place(s, context, variant->kernels[0]->layout, row)) {
        variant->problem = &s->problem;
        variant->scratch = &s->scratch[context == s->bench->rival];
        variant->protocol = &s->bench->protocol;
        status = fv_variant_measure(variant, row, &lost);
    }
    if (status != FV_UNSUPPORTED && row->state != FV_BENCH_TIMED)
        fv_problem_end(&s->problem); /* what went wrong may have written to the inputs */
    s->stopped |= lost;
    return status == FV_OK ? keep(s, row) : status;
}

/* The estimates of kernels are of GPUs. */
static double expect(const subject *s, const fv_kernel *kernel) {
    const fv_context *context = s->bench->context;
    const double expected = context->backend->host_memory ? NAN : fv_kernel_expected(kernel, context, &s->op);
    return expected > 0 ? expected : 0;
}

/* Our variants, in the table's order. *measured: those that support the case. */
static fv_status measure_ours(subject *s, int *measured, char reason[320]) {
    fv_context *context = s->bench->context;
    const fv_kernel *chosen = chosen_kernel(s);
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; !s->stopped && (kernel = fv_kernel_next(context->backend, &cursor));) {
        if (!is_ours(s, kernel))
            continue;
        const char *refusal = fv_kernel_refusal(kernel, context, &s->op, s->pass);
        fv_status status = FV_UNSUPPORTED;
        if (!refusal) {
            fv_variant variant = {.kernels = {kernel}, .count = 1};
            fv_bench_row row = blank_row(s, context);
            row.chosen = kernel == chosen;
            row.yardstick = kernel->on_request;
            row.expected = expect(s, kernel);
            status = measure(s, context, &variant, &row);
            refusal = fv_error_message();
        }
        if (status == FV_OK)
            ++*measured;
        else if (status != FV_UNSUPPORTED)
            return status;
        else if (!*reason)
            snprintf(reason, 320, "%.*s", 319, refusal);
    }
    return FV_OK;
}

/* The rival's best in one layout, of all its rows. */
static fv_status measure_rival(subject *s, fv_layout layout) {
    fv_context *rival = s->bench->rival;
    fv_variant variant = {.pinned = true};
    const int most = sizeof variant.kernels / sizeof variant.kernels[0];
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; variant.count < most && (kernel = fv_kernel_next(rival->backend, &cursor));)
        if (concerns(s, kernel) && kernel->layout == layout && !fv_kernel_refusal(kernel, rival, &s->op, s->pass))
            variant.kernels[variant.count++] = kernel;
    if (variant.count == 0)
        return FV_OK;
    fv_bench_row row = blank_row(s, rival);
    const fv_status status = measure(s, rival, &variant, &row);
    return status == FV_UNSUPPORTED ? FV_OK : status;
}

static void note_unsupported(subject *s, const char *reason) {
    fv_bench_record *record = s->bench->record;
    if (record->unsupported++ > 0)
        return;
    char text[sizeof record->first_unsupported / 2];
    fv_operation_print_short(&s->op, text, sizeof text);
    snprintf(record->first_unsupported, sizeof record->first_unsupported, "%s %s: %.280s", text, fv_pass_name(s->pass),
             reason);
}

/* One row that stands for all variants. */
static fv_status keep_failure(subject *s, fv_status status) {
    fv_bench_row row = blank_row(s, s->bench->context);
    row.state = status == FV_NO_MEMORY ? FV_BENCH_NO_MEMORY : FV_BENCH_FAILED;
    snprintf(row.kernel, sizeof row.kernel, "all");
    set_layout(&row, FV_NHWC);
    snprintf(row.reason, sizeof row.reason, "%.*s", (int)sizeof row.reason - 1, fv_error_message());
    if (was_measured(s, &row))
        return FV_OK;
    if (s->bench->on_begin)
        s->bench->on_begin(s->bench->user, &row);
    return keep(s, &row);
}

static fv_status measure_pass(subject *s) {
    int measured = 0;
    char reason[320] = "";
    if (was_finished(s))
        return FV_OK;
    const fv_status status = fv_excerpt_begin(&s->excerpt, &s->op, s->pass, s->bench->seed, s->bench->budget);
    if (status != FV_OK)
        return keep_failure(s, status);
    FV_TRY(measure_ours(s, &measured, reason));
    if (measured == 0 && !s->stopped)
        note_unsupported(s, reason);
    for (fv_layout layout = FV_NHWC; s->bench->rival && measured && !s->stopped && layout <= FV_NCHW; ++layout)
        FV_TRY(measure_rival(s, layout));
    return FV_OK;
}

/* All passes that the case asks for and rows of ours have, in each of their dtypes. */
static fv_status measure_case(subject *s, const fv_case *item) {
    fv_status status = FV_OK;
    s->label = item->label;
    s->op = item->op;
    for (fv_dtype dtype = FV_FIRST_REAL; dtype <= FV_LAST_REAL; ++dtype) {
        if (!fv_op_has_dtype(fv_op_info_of(s->op.kind), dtype))
            continue;
        fv_operation_set_dtype(&s->op, dtype);
        for (s->pass = 0; s->pass < FV_PASSES && status == FV_OK && !s->stopped; ++s->pass)
            if (item->passes >> s->pass & 1 && fv_operation_has_pass(&s->op, s->pass) && is_there_ours(s)) {
                status = measure_pass(s);
                fv_problem_end(&s->problem);
                fv_excerpt_end(&s->excerpt);
            }
    }
    return status;
}

fv_status fv_bench_run(fv_bench *bench) {
    subject s = {.bench = bench, .earlier = bench->record->count};
    fv_status status = FV_OK;
    bench->record->unsupported = 0; /* those are gone through again */
    bench->record->first_unsupported[0] = '\0';
    for (s.case_index = 0; s.case_index < bench->cases->count && status == FV_OK && !s.stopped; ++s.case_index)
        status = measure_case(&s, &bench->cases->items[s.case_index]);
    fv_scratch_release(&s.scratch[0]);
    fv_scratch_release(&s.scratch[1]);
    bench->record->complete = status == FV_OK && !s.stopped;
    return status;
}
