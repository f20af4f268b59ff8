/* relu: see fv_relu in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_relu, elements), NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_relu, dtype), "f32"},
};

static fv_status validate(const fv_operation *op) {
    return fv_require_count("relu", "elements", op->relu.elements, 0);
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

static int64_t no_macs(const fv_operation *op, fv_pass pass) {
    (void)op, (void)pass;
    return 0;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)pass, (void)role;
    return 0; /* it selects */
}

const fv_op_info fv_relu_info = {
    .name = "relu",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = no_macs,
    .reduction = reduction,
    .integral = true,
};
