/* batch: gathers and normalises a batch of images; see fv_batch in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_batch, n), "1", NULL},
    {"items", FV_FIELD_COUNT, offsetof(fv_batch, items), NULL, NULL},
    {"elements", FV_FIELD_COUNT, offsetof(fv_batch, elements), NULL, NULL},
    {"scale", FV_FIELD_REAL, offsetof(fv_batch, scale), "1", NULL},
    {"shift", FV_FIELD_REAL, offsetof(fv_batch, shift), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_batch, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    FV_TRY(fv_require_count("batch", "n", op->batch.n, 0));
    FV_TRY(fv_require_count("batch", "items", op->batch.items, 1));
    FV_TRY(fv_require_count("batch", "elements", op->batch.elements, 1));
    if (op->batch.scale - op->batch.scale != 0 || op->batch.shift - op->batch.shift != 0)
        return fv_fail(FV_BAD_INPUT, "batch: scale=%g and shift=%g must be finite", op->batch.scale, op->batch.shift);
    if (op->batch.items > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "batch: items must be below 2^31");
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_batch *d = &op->batch;
    if (pass != FV_FORWARD)
        return 0;
    fv_tensor_spec *end = specs;
    end = fv_spec_add(end, FV_IMAGES, FV_IN, FV_U8, "mi", d->items, d->elements, 0, 0);
    end = fv_spec_add(end, FV_IMAGE_LABELS, FV_IN, FV_U8, "m", d->items, 0, 0, 0);
    end = fv_spec_add(end, FV_ORDER, FV_IN, FV_I32, "n", d->n, 0, 0, 0);
    end = fv_spec_add(end, FV_X, FV_OUT, d->dtype, "ni", d->n, d->elements, 0, 0);
    end = fv_spec_add(end, FV_LABELS, FV_OUT, FV_I32, "n", d->n, 0, 0, 0);
    return (int)(end - specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)pass;
    return op->batch.n * op->batch.elements;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)pass;
    return role == FV_LABELS ? 0 : 2;
}

/* Of the data set only the batch. */
static int64_t needed(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)pass;
    return op->batch.n * (role == FV_IMAGES ? op->batch.elements : 1);
}

const fv_op_info fv_batch_info = {
    .name = "batch",
    .example = "batch n=1 items=1 elements=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .needed = needed,
};
