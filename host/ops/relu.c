/* relu: see fv_relu in include/fovea/operations.h. */
#include <math.h>

#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_relu, elements), NULL, NULL},
    {"slope", FV_FIELD_REAL, offsetof(fv_relu, slope), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_relu, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    FV_TRY(fv_require_count("relu", "elements", op->relu.elements, 0));
    if (!(op->relu.slope >= 0 && op->relu.slope < 1)) /* else y > 0 would not tell where x was */
        return fv_fail(FV_BAD_INPUT, "relu: slope=%g must be at least 0 and below 1", op->relu.slope);
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_relu *d = &op->relu;
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "i", d->elements, 0, 0, 0);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "i", d->elements, 0, 0, 0);
        break;
    case FV_BACKWARD_DATA:
        end = fv_spec_add(end, FV_Y, FV_IN, d->dtype, "i", d->elements, 0, 0, 0);
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "i", d->elements, 0, 0, 0);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "i", d->elements, 0, 0, 0);
        break;
    default:
        break;
    }
    return (int)(end - specs);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)pass, (void)role;
    return op->relu.slope > 0; /* with 0 it selects */
}

/* A slope of 1/2, 1/4, ... is exact. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    (void)pass;
    int exponent;
    const double slope = op->relu.slope, grain = slope > 0 ? 1 / slope : 1;
    return (fv_exactness){1, 1, frexp(slope, &exponent) == 0.5 || slope == 0 ? grain : 0};
}

const fv_op_info fv_relu_info = {
    .name = "relu",
    .example = "relu elements=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .integral = true,
    .exactness = exactness,
};
