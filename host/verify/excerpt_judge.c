/* What a kernel gave for a large problem, held against an excerpt of it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/text.h"
#include "verify/compare.h"
#include "verify/excerpt.h"

/* What is wrong with one output. No right result is NaN, as the inputs are finite; and poison is NaN in floating-point
 * tensors. Others are compared whole. */
typedef struct faults {
    int64_t nan;          /* NaN anywhere, */
    int64_t nan_compared; /* those of them that lie in the excerpt, */
    int64_t unwritten;    /* and those that are poison */
    int64_t wrong;        /* other elements of the excerpt beyond their bounds */
    fv_point first;       /* of those; the index is that in the whole tensor */
} faults;

static void count_nan(const fv_tensor_spec *spec, const void *data, faults *found) {
    enum { PARALLEL = 1 << 16 }; /* fewer elements are not worth the start of threads */
    const int64_t elements = fv_shape_elements(&spec->shape);
    const size_t size = fv_dtype_size(spec->dtype);
    int64_t nan = 0, unwritten = 0;
#ifdef _OPENMP
#pragma omp parallel for if (elements >= PARALLEL) reduction(+ : nan, unwritten)
#endif
    for (int64_t e = 0; e < elements; ++e)
        if (isnan(fv_element(spec->dtype, data, e))) {
            ++nan;
            unwritten += fv_unwritten(data, size, e);
        }
    found->nan = nan;
    found->unwritten = spec->direction == FV_OUT ? unwritten : 0;
}

/* Elements from `begin` to `end` of the part's tensor `i`. */
static void compare_range(const fv_excerpt *excerpt, int i, const double *bounds, const void *data, int64_t begin,
                          int64_t end, fv_tally *tally, faults *found) {
    const fv_tensor_spec *part = &excerpt->part.specs[i];
    const void *results = excerpt->part.results.at[part->role];
    for (int64_t e = begin; e < end; ++e) {
        const int64_t place = fv_excerpt_locate(excerpt, i, e);
        const fv_point point = {place, fv_wide_element(part->dtype, results, e), fv_element(part->dtype, data, place),
                                bounds[e]};
        const bool right = fv_compare(tally, part->dtype, point.expected, point.got, point.bound);
        if (isnan(point.got))
            ++found->nan_compared;
        else if (!right && found->wrong++ == 0)
            found->first = point;
    }
}

/* In pieces for as many threads; what they find is put together in the elements' order. */
static fv_status compare(fv_excerpt *excerpt, int i, unsigned notes, const void *data, fv_tally *tally, faults *found) {
    enum { PIECES = 64, PARALLEL = 1 << 16 };
    const int64_t elements = fv_shape_elements(&excerpt->part.specs[i].shape);
    fv_tally tallies[PIECES] = {{0}};
    faults finds[PIECES] = {{0}};
    const double *bounds;
    FV_TRY(fv_trial_bounds(&excerpt->part, i, notes, &bounds));
#ifdef _OPENMP
#pragma omp parallel for if (elements >= PARALLEL)
#endif
    for (int64_t p = 0; p < PIECES; ++p) {
        const int64_t each = elements / PIECES + 1;
        compare_range(excerpt, i, bounds, data, fv_min(p * each, elements), fv_min((p + 1) * each, elements),
                      &tallies[p], &finds[p]);
    }
    for (int p = 0; p < PIECES; ++p) {
        fv_tally_add(tally, &tallies[p]);
        found->nan_compared += finds[p].nan_compared;
        if (found->wrong == 0)
            found->first = finds[p].first;
        found->wrong += finds[p].wrong;
    }
    return FV_OK;
}

static void say_place(const fv_tensor_spec *spec, int64_t index, char *text, size_t size) {
    int64_t at[FV_MAX_RANK];
    fv_map_coordinates(&spec->shape, index, at);
    fv_append(text, size, "%s[", fv_role_name(spec->role));
    for (int axis = 0; axis < spec->shape.rank; ++axis)
        fv_append(text, size, "%s%" PRId64, axis ? "," : "", at[axis]);
    fv_append(text, size, "]");
}

static void say_faults(const fv_excerpt *excerpt, int i, const faults *found, char *text, size_t size) {
    const fv_tensor_spec *spec = &excerpt->specs[i];
    const char *role = fv_role_name(spec->role);
    *text = 0;
    if (found->wrong) {
        fv_append(text, size, "%" PRId64 " of %" PRId64 " elements of %s that were compared are wrong, first ",
                  found->wrong, fv_shape_elements(&excerpt->part.specs[i].shape), role);
        say_place(spec, found->first.index, text, size);
        fv_append(text, size, " = %.9g, expected %.9g", found->first.got, found->first.expected);
    }
    if (found->nan)
        fv_append(text, size, "%s%" PRId64 " of %" PRId64 " elements of %s are NaN", *text ? "; " : "", found->nan,
                  fv_shape_elements(&spec->shape), role);
    if (found->unwritten)
        fv_append(text, size, ", %" PRId64 " of them poison (never written, or taken from what never was)",
                  found->unwritten);
}

static void judge(fv_proof *proof, const fv_tally *tally, const char *refusal) {
    const char *mistrust = fv_tally_mistrust(tally);
    proof->compared = tally->compared;
    proof->worst = tally->worst;
    proof->outcome = proof->wrong ? FV_FAILED : refusal ? FV_SKIPPED : mistrust ? FV_MISTRUSTED : FV_PASSED;
    if (!proof->wrong && proof->outcome != FV_PASSED)
        snprintf(proof->reason, sizeof proof->reason, "%s", refusal ? refusal : mistrust);
}

fv_status fv_excerpt_judge(fv_excerpt *excerpt, const fv_kernel *kernel, const fv_numerics *numerics,
                           const void *const outputs[FV_MAX_SPECS], fv_proof *proof) {
    const char *refusal = fv_notes_refusal(&excerpt->op, excerpt->pass, FV_BOUNDED, numerics->notes);
    fv_tally tally = {0};
    *proof = (fv_proof){.outcome = FV_PASSED};
    for (int i = 0; i < excerpt->count; ++i) {
        const fv_tensor_spec *spec = &excerpt->specs[i];
        if (spec->direction == FV_IN || kernel->omits >> spec->role & 1)
            continue;
        if (!outputs[i])
            return fv_fail(FV_BAD_INPUT, "the outputs to be judged lack %s", fv_role_name(spec->role));
        faults found = {0};
        count_nan(spec, outputs[i], &found);
        if (!refusal)
            FV_TRY(compare(excerpt, i, numerics->notes, outputs[i], &tally, &found));
        if (proof->wrong == 0 && found.wrong + found.nan > 0)
            say_faults(excerpt, i, &found, proof->reason, sizeof proof->reason);
        proof->wrong += found.wrong + found.nan;
        tally.compared += found.nan - found.nan_compared;
    }
    judge(proof, &tally, refusal);
    return FV_OK;
}
