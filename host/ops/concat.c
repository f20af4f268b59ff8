/* concat: see fv_concat in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_concat, n), "1", NULL},
    {"h", FV_FIELD_COUNT, offsetof(fv_concat, h), "1", NULL},
    {"w", FV_FIELD_COUNT, offsetof(fv_concat, w), "1", NULL},
    {"c", FV_FIELD_LIST, offsetof(fv_concat, c), NULL, NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_concat, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_concat *d = &op->concat;
    FV_TRY(fv_image_validate("concat", d->n, 1, d->h, d->w));
    bool ended = false;
    for (int i = 0; i < FV_MAX_PARTS; ++i) {
        if (d->c[i] != 0 || i == 0)
            FV_TRY(fv_require_count("concat", "c", d->c[i], 1));
        if (ended && d->c[i] != 0)
            return fv_fail(FV_BAD_INPUT, "concat: c has a part behind one without channels");
        ended |= d->c[i] == 0;
    }
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    static const fv_role parts[][FV_MAX_PARTS] = {{FV_X, FV_X2, FV_X3, FV_X4}, {FV_DX, FV_DX2, FV_DX3, FV_DX4}};
    const fv_concat *d = &op->concat;
    const bool forward = pass == FV_FORWARD;
    fv_tensor_spec *end = specs;
    int64_t channels = 0;
    if (pass != FV_FORWARD && pass != FV_BACKWARD_DATA)
        return 0;
    for (int i = 0; i < FV_MAX_PARTS && d->c[i]; ++i) {
        end =
            fv_spec_add(end, parts[!forward][i], forward ? FV_IN : FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c[i]);
        channels += d->c[i];
    }
    end = fv_spec_add(end, forward ? FV_Y : FV_DY, forward ? FV_OUT : FV_IN, d->dtype, "nhwk", d->n, d->h, d->w,
                      channels);
    return (int)(end - specs);
}

const fv_op_info fv_concat_info = {
    .name = "concat",
    .example = "concat c=1,1,1,1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = fv_no_sums,
    .integral = true,
};
