/* add: see fv_add in include/fovea/operations.h. */
#include "ops/op.h"

static const fv_field fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_add, elements), NULL, NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_add, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    return fv_require_count("add", "elements", op->add.elements, 0);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_add *d = &op->add;
    const fv_role forward[] = {FV_X, FV_X2, FV_Y}, backward[] = {FV_DX, FV_DX2, FV_DY};
    fv_tensor_spec *end = specs;
    if (pass != FV_FORWARD && pass != FV_BACKWARD_DATA)
        return 0;
    for (int i = 0; i < 3; ++i)
        end = fv_spec_add(end, pass == FV_FORWARD ? forward[i] : backward[i],
                          (pass == FV_FORWARD) == (i < 2) ? FV_IN : FV_OUT, d->dtype, "i", d->elements, 0, 0, 0);
    return (int)(end - specs);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)role;
    return pass == FV_FORWARD ? 2 : 0; /* going back it copies */
}

const fv_op_info fv_add_info = {
    .name = "add",
    .example = "add elements=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .integral = true,
};
