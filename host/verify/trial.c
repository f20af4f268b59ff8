/* A problem to judge kernels by: generated inputs and the reference's results. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ops/dtype.h"
#include "ops/op.h"
#include "verify/verify.h"

/* The inputs in the kernels' dtype. A backward pass's y is rounded on that way; the reference must see the same. */
static fv_status make_images(fv_trial *trial) {
    for (int i = 0; i < trial->count; ++i) {
        const fv_tensor_spec *spec = &trial->specs[i];
        if (spec->direction == FV_OUT)
            continue;
        trial->image[i] = malloc(fv_spec_bytes(spec) + 1);
        if (!trial->image[i])
            return fv_fail(FV_NO_MEMORY, "no memory for a tensor of %zu bytes", fv_spec_bytes(spec));
        void *wide = trial->inputs.at[spec->role];
        const int64_t elements = fv_shape_elements(&spec->shape);
        if (fv_dtype_is_real(spec->dtype)) {
            fv_narrow(spec->dtype, wide, trial->image[i], elements);
            fv_widen(spec->dtype, trial->image[i], wide, elements);
        } else {
            memcpy(trial->image[i], wide, fv_spec_bytes(spec));
        }
    }
    return FV_OK;
}

/* Copies the inputs and lets the reference compute on them. */
static fv_status expect(fv_trial *trial) {
    const fv_operation wide = fv_in_double(&trial->op);
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_operation_signature(&wide, trial->pass, specs);
    for (int i = 0; i < trial->count; ++i) {
        const fv_role role = specs[i].role;
        FV_TRY(fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), &trial->results.at[role]));
        if (specs[i].direction != FV_OUT)
            memcpy(trial->results.at[role], trial->inputs.at[role], fv_spec_bytes(&specs[i]));
    }
    return fv_run_reference(&trial->op, trial->pass, &trial->results);
}

fv_status fv_trial_begin(fv_trial *trial, const fv_operation *op, fv_pass pass, fv_fill fill, uint64_t seed) {
    *trial = (fv_trial){.op = *op, .pass = pass, .fill = fill};
    trial->count = fv_operation_signature(op, pass, trial->specs);
    if (fill == FV_EXACT && !fv_op_info_of(op->kind)->integral) {
        snprintf(trial->inapplicable, sizeof trial->inapplicable, "the operation does not map integers to integers");
        return FV_OK;
    }
    const fv_status status = fv_generate(op, pass, fill, seed, &trial->inputs);
    if (status == FV_UNSUPPORTED) {
        snprintf(trial->inapplicable, sizeof trial->inapplicable, "%s", fv_error_message());
        return FV_OK;
    }
    FV_TRY(status);
    FV_TRY(make_images(trial));
    return expect(trial);
}

fv_status fv_trial_begin_given(fv_trial *trial, const fv_operation *op, fv_pass pass, fv_host_tensors *inputs) {
    *trial = (fv_trial){.op = *op, .pass = pass, .fill = FV_BOUNDED, .inputs = *inputs};
    *inputs = (fv_host_tensors){0};
    trial->count = fv_operation_signature(op, pass, trial->specs);
    FV_TRY(make_images(trial));
    return expect(trial);
}

void fv_trial_end(fv_trial *trial) {
    for (int i = 0; i < trial->count; ++i) {
        free(trial->image[i]);
        free(trial->bounds[i]);
    }
    fv_host_tensors_release(&trial->inputs);
    fv_host_tensors_release(&trial->results);
    *trial = (fv_trial){0};
}

fv_status fv_trial_bounds(fv_trial *trial, int i, unsigned notes, const double **bounds) {
    const double slack = trial->fill == FV_EXACT ? fv_winograd_slack(&trial->op, trial->pass, notes) : 0;
    *bounds = NULL;
    if (trial->fill == FV_EXACT && slack == 0)
        return FV_OK;
    if (notes != trial->notes) {
        for (int j = 0; j < trial->count; ++j) {
            free(trial->bounds[j]);
            trial->bounds[j] = NULL;
        }
        trial->notes = notes;
    }
    if (!trial->bounds[i]) {
        const int64_t elements = fv_shape_elements(&trial->specs[i].shape);
        double *made = calloc((size_t)elements + 1, sizeof *made);
        if (!made)
            return fv_fail(FV_NO_MEMORY, "no memory for %lld error bounds", (long long)elements);
        fv_status status = FV_OK;
        for (int64_t e = 0; slack > 0 && e < elements; ++e)
            made[e] = slack;
        if (slack == 0)
            status = fv_error_bounds(&trial->op, trial->pass, trial->specs[i].role, notes, &trial->inputs,
                                     &trial->results, made);
        if (status != FV_OK)
            free(made); /* half-made bounds must not serve the next kernel */
        FV_TRY(status);
        trial->bounds[i] = made;
    }
    *bounds = trial->bounds[i];
    return FV_OK;
}
