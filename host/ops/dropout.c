/* dropout: see fv_dropout in include/fovea/operations.h. */
#include "ops/dropout.h"

#include <math.h>

#include "base/error.h"
#include "ops/op.h"

uint32_t fv_dropout_threshold(const fv_dropout *d) {
    return (uint32_t)ceil(d->rate * 0x1p24);
}

static const fv_field fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_dropout, elements), NULL, NULL},
    {"rate", FV_FIELD_REAL, offsetof(fv_dropout, rate), "0.5", NULL},
    {"seed", FV_FIELD_COUNT, offsetof(fv_dropout, seed), "1", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_dropout, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    FV_TRY(fv_require_count("dropout", "elements", op->dropout.elements, 0));
    FV_TRY(fv_require_count("dropout", "seed", op->dropout.seed, 0));
    if (!(op->dropout.rate >= 0 && op->dropout.rate < 1))
        return fv_fail(FV_BAD_INPUT, "dropout: rate=%g must be at least 0 and below 1", op->dropout.rate);
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_dropout *d = &op->dropout;
    fv_tensor_spec *end = specs;
    if (pass != FV_FORWARD && pass != FV_BACKWARD_DATA)
        return 0;
    end = fv_spec_add(end, pass == FV_FORWARD ? FV_X : FV_DY, FV_IN, d->dtype, "i", d->elements, 0, 0, 0);
    end = fv_spec_add(end, FV_STEP, FV_IN, FV_I32, "i", 1, 0, 0, 0);
    end = fv_spec_add(end, pass == FV_FORWARD ? FV_Y : FV_DX, FV_OUT, d->dtype, "i", d->elements, 0, 0, 0);
    return (int)(end - specs);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)pass, (void)role;
    return 1; /* one product with a rounded factor */
}

/* A factor of 1, 2, 4, ... is exact. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    (void)pass;
    int exponent;
    const double factor = 1 / (1 - op->dropout.rate);
    return (fv_exactness){factor, 1, frexp(factor, &exponent) == 0.5 ? 1 : 0};
}

const fv_op_info fv_dropout_info = {
    .name = "dropout",
    .example = "dropout elements=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .integral = true,
    .exactness = exactness,
};
