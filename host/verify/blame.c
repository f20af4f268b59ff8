#include "verify/blame.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"

void fv_opinion_release(fv_opinion *opinion) {
    fv_host_tensors_release(&opinion->outputs);
    *opinion = (fv_opinion){0};
}

void fv_opinion_ask(fv_trial *trial, fv_context *context, fv_opinion *opinion) {
    *opinion = (fv_opinion){.context = context};
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(context->backend, &cursor));) {
        if (kernel->on_request || fv_kernel_refusal(kernel, context, &trial->op, trial->pass))
            continue;
        if (fv_trial_judge(trial, context, kernel, &opinion->outputs, &opinion->verdict) != FV_OK)
            fv_verdict_not_reached(&opinion->verdict);
        if (opinion->verdict.outcome == FV_UNSUPPORTED_CASE)
            continue;
        if (opinion->verdict.outcome == FV_PASSED || opinion->verdict.outcome == FV_FAILED)
            opinion->kernel = kernel;
        break;
    }
}

bool fv_opinion_confirms(const fv_opinion *opinion) {
    return opinion->kernel && opinion->verdict.outcome == FV_PASSED;
}

static bool agree_on(const double *a, const double *b, const double *bound_a, const double *bound_b, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i) {
        const double bound = (bound_a ? bound_a[i] : 0) + (bound_b ? bound_b[i] : 0);
        if (!(a[i] == b[i] || fabs(a[i] - b[i]) <= bound))
            return false;
    }
    return true;
}

fv_status fv_opinions_agree(fv_trial *trial, const fv_opinion *a, const fv_opinion *b, bool *agree) {
    bool compared = false;
    *agree = true;
    for (int i = 0; i < trial->count && *agree; ++i) {
        const fv_role role = trial->specs[i].role;
        const double *bound_a, *bound_b;
        if (!a->outputs.at[role] || !b->outputs.at[role])
            continue;
        compared = true;
        /* Asking for other notes ends the first bounds' life: keep a copy. */
        const size_t elements = (size_t)fv_shape_elements(&trial->specs[i].shape);
        double *copy = calloc(elements + 1, sizeof *copy);
        if (!copy)
            return fv_fail(FV_NO_MEMORY, "no memory to compare two opinions");
        fv_status status = fv_trial_bounds(trial, i, a->verdict.numerics.notes, &bound_a);
        for (size_t e = 0; status == FV_OK && bound_a && e < elements; ++e)
            copy[e] = bound_a[e];
        if (status == FV_OK)
            status = fv_trial_bounds(trial, i, b->verdict.numerics.notes, &bound_b);
        if (status == FV_OK)
            *agree = agree_on(a->outputs.at[role], b->outputs.at[role], copy, bound_b, (int64_t)elements);
        free(copy);
        FV_TRY(status);
    }
    *agree &= compared;
    return FV_OK;
}

/* Whether a kernel is at fault whatever anybody thinks of its result. */
static bool convicts_itself(const fv_opinion *ours) {
    return ours->verdict.wrong == 0 || (ours->kernel->deterministic && !ours->verdict.deterministic);
}

fv_status fv_outlier(fv_trial *trial, const fv_opinion *ours, const fv_opinion *others, int count, const char **name) {
    *name = "";
    for (int i = 0; i < count; ++i) {
        bool agree = false;
        if (!others[i].kernel)
            continue;
        if (convicts_itself(ours) || fv_opinion_confirms(&others[i])) {
            *name = ours->context->backend->name;
            return FV_OK;
        }
        FV_TRY(fv_opinions_agree(trial, ours, &others[i], &agree));
        if (agree)
            *name = "reference";
        else if (!**name)
            *name = "nobody";
    }
    return FV_OK;
}
