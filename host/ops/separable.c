/* conv2d_separable: see fv_separable in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/chain.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    {"multiplier", FV_FIELD_COUNT, offsetof(fv_separable, multiplier), "1", NULL},
    {"k", FV_FIELD_COUNT, offsetof(fv_separable, k), NULL, NULL},
    FV_WINDOW_FIELDS,
    {"bias", FV_FIELD_COUNT, offsetof(fv_separable, bias), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_separable, dtype), "f32", NULL},
};

void fv_separable_stages(const fv_separable *d, fv_conv2d stages[2]) {
    const int64_t middle = d->c * d->multiplier;
    stages[0] = (fv_conv2d){.n = d->n,
                            .c = d->c,
                            .h = d->h,
                            .w = d->w,
                            .r = d->r,
                            .s = d->s,
                            .stride_h = d->stride_h,
                            .stride_w = d->stride_w,
                            .pad_top = d->pad_top,
                            .pad_bottom = d->pad_bottom,
                            .pad_left = d->pad_left,
                            .pad_right = d->pad_right,
                            .dilation_h = d->dilation_h,
                            .dilation_w = d->dilation_w,
                            .k = middle,
                            .groups = d->c,
                            .dtype = d->dtype};
    stages[1] = (fv_conv2d){.n = d->n,
                            .c = middle,
                            .h = fv_conv2d_p(&stages[0]),
                            .w = fv_conv2d_q(&stages[0]),
                            .r = 1,
                            .s = 1,
                            .stride_h = 1,
                            .stride_w = 1,
                            .dilation_h = 1,
                            .dilation_w = 1,
                            .k = d->k,
                            .groups = 1,
                            .bias = d->bias,
                            .dtype = d->dtype};
}

static fv_status validate(const fv_operation *op) {
    const fv_separable *d = &op->separable;
    FV_TRY(fv_require_count("conv2d_separable", "c", d->c, 1));
    FV_TRY(fv_require_count("conv2d_separable", "multiplier", d->multiplier, 1));
    FV_TRY(fv_require_product("conv2d_separable", "c*multiplier", (const int64_t[]){d->c, d->multiplier}, 2));
    return fv_chain_validate(op, "c*multiplier");
}

const fv_op_info fv_separable_info = {
    .name = "conv2d_separable",
    .example = "conv2d_separable n=1 c=1 h=1 w=1 k=1 kernel=1x1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .dtypes = 1 << FV_TF32,
    .resolve = fv_window_resolve,
    .validate = validate,
    .signature = fv_chain_signature,
    .macs = fv_chain_macs,
    .reduction = fv_chain_reduction,
    .integral = true,
    .exactness = fv_chain_exactness,
};
