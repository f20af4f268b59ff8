/* conv2d_spatial: see fv_spatial in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/chain.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    {"m", FV_FIELD_COUNT, offsetof(fv_spatial, m), NULL, NULL},
    {"k", FV_FIELD_COUNT, offsetof(fv_spatial, k), NULL, NULL},
    FV_WINDOW_FIELDS,
    {"groups", FV_FIELD_COUNT, offsetof(fv_spatial, groups), "1", NULL},
    {"bias", FV_FIELD_COUNT, offsetof(fv_spatial, bias), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_spatial, dtype), "f32", NULL},
};

void fv_spatial_stages(const fv_spatial *d, fv_conv2d stages[2]) {
    stages[0] = (fv_conv2d){.n = d->n,
                            .c = d->c,
                            .h = d->h,
                            .w = d->w,
                            .r = d->r,
                            .s = 1,
                            .stride_h = d->stride_h,
                            .stride_w = 1,
                            .pad_top = d->pad_top,
                            .pad_bottom = d->pad_bottom,
                            .dilation_h = d->dilation_h,
                            .dilation_w = 1,
                            .k = d->m,
                            .groups = d->groups,
                            .dtype = d->dtype};
    stages[1] = (fv_conv2d){.n = d->n,
                            .c = d->m,
                            .h = fv_conv2d_p(&stages[0]),
                            .w = d->w,
                            .r = 1,
                            .s = d->s,
                            .stride_h = 1,
                            .stride_w = d->stride_w,
                            .pad_left = d->pad_left,
                            .pad_right = d->pad_right,
                            .dilation_h = 1,
                            .dilation_w = d->dilation_w,
                            .k = d->k,
                            .groups = d->groups,
                            .bias = d->bias,
                            .dtype = d->dtype};
}

static fv_status validate(const fv_operation *op) {
    const fv_spatial *d = &op->spatial;
    FV_TRY(fv_require_count("conv2d_spatial", "groups", d->groups, 1));
    FV_TRY(fv_require_count("conv2d_spatial", "m", d->m, 1));
    if (d->c % d->groups || d->m % d->groups || d->k % d->groups)
        return fv_fail(FV_BAD_INPUT, "conv2d_spatial: groups=%lld must divide c=%lld, m=%lld and k=%lld",
                       (long long)d->groups, (long long)d->c, (long long)d->m, (long long)d->k);
    return fv_chain_validate(op, "m");
}

const fv_op_info fv_spatial_info = {
    .name = "conv2d_spatial",
    .example = "conv2d_spatial n=1 c=1 h=1 w=1 m=1 k=1 kernel=1x1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_window_resolve,
    .validate = validate,
    .signature = fv_chain_signature,
    .macs = fv_chain_macs,
    .reduction = fv_chain_reduction,
    .integral = true,
    .exactness = fv_chain_exactness,
};
