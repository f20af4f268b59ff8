/* softmax_xent: softmax with cross-entropy; see fv_softmax_xent in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_softmax_xent, n), "1", NULL},
    {"classes", FV_FIELD_COUNT, offsetof(fv_softmax_xent, classes), NULL, NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_softmax_xent, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    FV_TRY(fv_require_count("softmax_xent", "n", op->softmax_xent.n, 0));
    FV_TRY(fv_require_count("softmax_xent", "classes", op->softmax_xent.classes, 1));
    if (op->softmax_xent.classes > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "softmax_xent: classes must be below 2^31");
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_softmax_xent *d = &op->softmax_xent;
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nk", d->n, d->classes, 0, 0);
        end = fv_spec_add(end, FV_LABELS, FV_IN, FV_I32, "n", d->n, 0, 0, 0);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "nk", d->n, d->classes, 0, 0);
        end = fv_spec_add(end, FV_LOSS, FV_OUT, d->dtype, "n", d->n, 0, 0, 0);
        end = fv_spec_add(end, FV_PREDICTED, FV_OUT, FV_I32, "n", d->n, 0, 0, 0);
        break;
    case FV_BACKWARD_DATA:
        end = fv_spec_add(end, FV_Y, FV_IN, d->dtype, "nk", d->n, d->classes, 0, 0);
        end = fv_spec_add(end, FV_LABELS, FV_IN, FV_I32, "n", d->n, 0, 0, 0);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "nk", d->n, d->classes, 0, 0);
        break;
    default:
        break;
    }
    return (int)(end - specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    return pass == FV_FORWARD ? op->softmax_xent.n * op->softmax_xent.classes : 0;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    if (pass == FV_BACKWARD_DATA)
        return 2; /* one subtraction, one division */
    return role == FV_PREDICTED ? 0 : op->softmax_xent.classes;
}

const fv_op_info fv_softmax_xent_info = {
    .name = "softmax_xent",
    .example = "softmax_xent n=1 classes=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
};
