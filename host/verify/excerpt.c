/* An excerpt: the inputs of the whole problem, and a part of it that the reference can bear. */
#include "verify/excerpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "verify/compare.h"
#include "verify/excerpt_select.h"

/* Where element `element` of a part's tensor lies in the whole one. */
static int64_t locate(const fv_shape *whole, const fv_shape *part, int64_t *const index[FV_MAX_RANK], int64_t element) {
    bool cut = false;
    for (int axis = 0; axis < part->rank; ++axis)
        cut |= index[axis] != NULL;
    if (!cut)
        return element;
    int64_t place = 0, stride = 1;
    for (int axis = part->rank - 1; axis >= 0; --axis) {
        const int64_t i = element % part->dim[axis];
        element /= part->dim[axis];
        place += (index[axis] ? index[axis][i] : i) * stride;
        stride *= whole->dim[axis];
    }
    return place;
}

int64_t fv_excerpt_locate(const fv_excerpt *excerpt, int i, int64_t element) {
    return locate(&excerpt->specs[i].shape, &excerpt->part.specs[i].shape, excerpt->index[i], element);
}

static fv_status make_image(fv_excerpt *excerpt, int i, uint64_t seed) {
    const fv_tensor_spec *spec = &excerpt->specs[i];
    excerpt->image[i] = malloc(fv_spec_bytes(spec) + 1);
    if (!excerpt->image[i])
        return fv_fail(FV_NO_MEMORY, "no memory for a tensor of %zu bytes", fv_spec_bytes(spec));
    fv_generate_reals(spec, seed, excerpt->image[i]);
    return FV_OK;
}

/* The part's input `i`, in double. */
static fv_status gather(const fv_excerpt *excerpt, const fv_tensor_spec *part, int i, fv_host_tensors *inputs) {
    const fv_tensor_spec *whole = &excerpt->specs[i];
    const int64_t elements = fv_shape_elements(&part->shape);
    FV_TRY(fv_host_allocate(NULL, (size_t)elements * sizeof(double), &inputs->at[part->role]));
    double *value = inputs->at[part->role];
    for (int64_t e = 0; e < elements; ++e)
        value[e] =
            fv_element(whole->dtype, excerpt->image[i], locate(&whole->shape, &part->shape, excerpt->index[i], e));
    return FV_OK;
}

/* The inputs of a part have no other than random values: operations that take what the forward pass gave are compared
 * whole. */
static fv_status begin_part(fv_excerpt *excerpt, const fv_selection *selection, uint64_t seed) {
    fv_tensor_spec part[FV_MAX_SPECS];
    fv_operation_signature(&selection->part, excerpt->pass, part);
    fv_host_tensors inputs = {0};
    fv_status status = FV_OK;
    for (int i = 0; i < excerpt->count; ++i) {
        const fv_tensor_spec *spec = &excerpt->specs[i];
        for (int axis = 0; axis < spec->shape.rank; ++axis)
            FV_TRY_GOTO(
                status,
                fv_selection_index(selection, spec->axes[axis], spec->shape.dim[axis], &excerpt->index[i][axis]),
                failed);
        if (spec->direction != FV_IN)
            continue;
        FV_TRY_GOTO(status, make_image(excerpt, i, seed), failed);
        FV_TRY_GOTO(status, gather(excerpt, &part[i], i, &inputs), failed);
    }
    return fv_trial_begin_given(&excerpt->part, &selection->part, excerpt->pass, &inputs);
failed:
    fv_host_tensors_release(&inputs);
    return status;
}

static fv_status begin_whole(fv_excerpt *excerpt, uint64_t seed) {
    FV_TRY(fv_trial_begin(&excerpt->part, &excerpt->op, excerpt->pass, FV_BOUNDED, seed));
    for (int i = 0; i < excerpt->count; ++i)
        excerpt->image[i] = excerpt->part.image[i];
    return FV_OK;
}

/* That the host can hold it all at once: an allocation that is too large may succeed all the same, and end the process
 * when it is used. Of each tensor there is a copy for the kernel, one as it lies in a backend's memory, which may be
 * the host's, and one on the way from there; of those that are compared whole also one in double for the reference's
 * inputs, one for its results, one for the magnitudes that bounds are made from, and the bounds; and the tensors of the
 * forward pass, whose results a backward pass may take. */
static fv_status require_memory(const fv_excerpt *excerpt, bool whole) {
    fv_tensor_spec forward[FV_MAX_SPECS];
    const int forward_count = fv_operation_signature(&excerpt->op, FV_FORWARD, forward);
    const double there = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double bytes = 0;
    for (int i = 0; i < excerpt->count; ++i) {
        const double elements = (double)fv_shape_elements(&excerpt->specs[i].shape);
        bytes += 3 * elements * (double)fv_dtype_size(excerpt->specs[i].dtype);
        bytes += whole ? (excerpt->specs[i].direction == FV_IN ? 3 : 4) * elements * sizeof(double) : 0;
    }
    for (int i = 0; whole && excerpt->pass != FV_FORWARD && i < forward_count; ++i)
        bytes += (double)fv_shape_elements(&forward[i].shape) * sizeof(double);
    if (bytes < there)
        return FV_OK;
    return fv_fail(FV_NO_MEMORY, "no memory to prove the result: it takes %.3g GB, and the host has %.3g", 1e-9 * bytes,
                   1e-9 * there);
}

fv_status fv_excerpt_begin(fv_excerpt *excerpt, const fv_operation *op, fv_pass pass, uint64_t seed, double budget) {
    *excerpt = (fv_excerpt){.op = *op, .pass = pass};
    excerpt->count = fv_operation_signature(op, pass, excerpt->specs);
    fv_selection selection;
    fv_status status = fv_selection_make(op, pass, seed, budget, &selection);
    fv_selection_describe(&selection, excerpt->scope, sizeof excerpt->scope);
    const bool whole = fv_selection_whole(&selection);
    if (status == FV_OK)
        status = require_memory(excerpt, whole);
    if (status == FV_OK && whole)
        status = begin_whole(excerpt, seed);
    else if (status == FV_OK)
        status = begin_part(excerpt, &selection, seed);
    fv_selection_release(&selection);
    return status;
}

void fv_excerpt_end(fv_excerpt *excerpt) {
    for (int i = 0; i < excerpt->count; ++i) {
        if (excerpt->image[i] != excerpt->part.image[i]) /* of a whole problem they are the trial's */
            free(excerpt->image[i]);
        for (int axis = 0; axis < FV_MAX_RANK; ++axis)
            free(excerpt->index[i][axis]);
    }
    fv_trial_end(&excerpt->part);
    *excerpt = (fv_excerpt){0};
}
