/* flatten: see fv_flatten in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const char *const orders[] = {"hwc", "chw", NULL};

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_flatten, n), "1", NULL},
    {"c", FV_FIELD_COUNT, offsetof(fv_flatten, c), NULL, NULL},
    {"h", FV_FIELD_COUNT, offsetof(fv_flatten, h), NULL, NULL},
    {"w", FV_FIELD_COUNT, offsetof(fv_flatten, w), NULL, NULL},
    {"order", FV_FIELD_CHOICE, offsetof(fv_flatten, order), "hwc", orders},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_flatten, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_flatten *d = &op->flatten;
    FV_TRY(fv_image_validate("flatten", d->n, d->c, d->h, d->w));
    if (d->order != FV_HWC && d->order != FV_CHW)
        return fv_fail(FV_BAD_INPUT, "flatten: order must be hwc or chw");
    return fv_require_product("flatten", "the number of features", (const int64_t[]){d->c, d->h, d->w}, 3);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_flatten *d = &op->flatten;
    const int64_t features = d->c * d->h * d->w;
    fv_tensor_spec *end = specs;
    if (pass == FV_FORWARD) {
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "ni", d->n, features, 0, 0);
    } else if (pass == FV_BACKWARD_DATA) {
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "ni", d->n, features, 0, 0);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    }
    return (int)(end - specs);
}

const fv_op_info fv_flatten_info = {
    .name = "flatten",
    .example = "flatten n=1 c=2 h=1 w=2 order=chw",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = fv_no_sums,
    .integral = true,
};
