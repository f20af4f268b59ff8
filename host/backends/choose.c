#include "backends/choose.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backends/chip.h"

/* The sum of the calls that a row is made of, each by the row of the same backend that is expected to be the fastest:
 * one that was measured to be faster counts when the whole is measured. */
static double expect_steps(const fv_kernel *kernel, const fv_context *context, const fv_operation *op) {
    fv_kernel_step steps[FV_MOST_STEPS];
    const int count = kernel->steps(op, steps);
    double sum = 0;
    for (int i = 0; i < count; ++i) {
        fv_candidates candidates;
        fv_candidates_find(&candidates, context, context->backend, &steps[i].op, steps[i].pass);
        sum += candidates.count ? candidates.items[0].expected : NAN;
    }
    return sum;
}

double fv_kernel_expected(const fv_kernel *kernel, const fv_context *context, const fv_operation *op) {
    if (kernel->estimate)
        return kernel->estimate(op, fv_context_chip(context));
    return kernel->steps ? expect_steps(kernel, context, op) : NAN;
}

/* Whether a comes before b, which is before it in the table. */
static bool overtakes(const fv_candidate *a, const fv_candidate *b) {
    return a->expected < b->expected || (isnan(b->expected) && !isnan(a->expected));
}

static void insert(fv_candidates *candidates, fv_candidate added) {
    int place = candidates->count++;
    for (; place > 0 && overtakes(&added, &candidates->items[place - 1]); --place)
        candidates->items[place] = candidates->items[place - 1];
    candidates->items[place] = added;
}

void fv_candidates_find(fv_candidates *candidates, const fv_context *context, const fv_backend *backend,
                        const fv_operation *op, fv_pass pass) {
    candidates->count = 0;
    candidates->refusal = NULL;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));) {
        if (kernel->kind != op->kind || kernel->pass != pass || kernel->on_request ||
            candidates->count == FV_MOST_CANDIDATES)
            continue;
        const char *refusal = fv_kernel_refusal(kernel, context, op, pass);
        if (!refusal)
            insert(candidates, (fv_candidate){kernel, fv_kernel_expected(kernel, context, op)});
        else if (!candidates->refusal)
            candidates->refusal = refusal;
    }
}

/* Puts the chosen row in front; false if it is not among them. */
static bool bring_forward(fv_candidates *candidates, const fv_choice *choice) {
    for (int i = 0; i < candidates->count; ++i) {
        const fv_candidate found = candidates->items[i];
        if (found.kernel->dtype != choice->dtype || strcmp(found.kernel->name, choice->kernel) != 0)
            continue;
        memmove(&candidates->items[1], &candidates->items[0], (size_t)i * sizeof found);
        candidates->items[0] = found;
        return true;
    }
    return false;
}

void fv_candidates_prefer(fv_candidates *candidates, fv_context *context, const fv_backend *backend,
                          const fv_operation *op, fv_pass pass) {
    fv_choice choice;
    const bool own_memory = backend == context->backend || backend == context->backend->stand_in;
    if (!context->selection || !own_memory || candidates->count < 2)
        return;
    if (fv_selection_recall(context, backend, op, pass, &choice) && bring_forward(candidates, &choice))
        return;
    if (!fv_selection_tunes(context) || !fv_candidates_time(candidates, context, op, pass, &choice))
        return;
    fv_selection_keep(context, backend, op, pass, &choice);
    bring_forward(candidates, &choice);
}

void fv_context_say(fv_context *context, const char *format, ...) {
    char line[512];
    if (!context->notice)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->notice(context->notice_user, line);
}
