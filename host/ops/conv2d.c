/* conv2d: see fv_conv2d in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    {"k", FV_FIELD_COUNT, offsetof(fv_conv2d, k), NULL, NULL},
    FV_WINDOW_FIELDS,
    {"groups", FV_FIELD_COUNT, offsetof(fv_conv2d, groups), "1", NULL},
    {"bias", FV_FIELD_COUNT, offsetof(fv_conv2d, bias), "0", NULL},
    {"relu", FV_FIELD_OPTION, offsetof(fv_conv2d, relu), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_conv2d, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_conv2d *d = &op->conv2d;
    FV_TRY(fv_require_flag("conv2d", "relu", d->relu));
    return fv_convolution_validate("conv2d", &op->window, d->k, d->groups, d->bias);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_conv2d *d = &op->conv2d;
    fv_tensor_spec forward[4];
    if (d->relu && pass != FV_FORWARD)
        return 0;
    fv_spec_add(&forward[0], FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    fv_spec_add(&forward[1], FV_W, FV_IN, d->dtype, "krsc", d->k, d->r, d->s, d->c / d->groups);
    fv_spec_add(&forward[2], FV_B, FV_IN, d->dtype, "k", d->k, 0, 0, 0);
    fv_spec_add(&forward[3], FV_Y, FV_OUT, d->dtype, "npqk", d->n, fv_conv2d_p(d), fv_conv2d_q(d), d->k);
    return fv_weighted_signature(forward, d->bias, pass, specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)pass; /* the same products in every pass */
    return fv_convolution_macs(&op->window, op->conv2d.k, op->conv2d.groups);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_conv2d *d = &op->conv2d;
    (void)role; /* db is summed over the same pixels as dw */
    switch (pass) {
    case FV_FORWARD:
        return d->r * d->s * (d->c / d->groups) + d->bias;
    case FV_BACKWARD_DATA:
        return d->r * d->s * (d->k / d->groups);
    default:
        return d->n * fv_conv2d_p(d) * fv_conv2d_q(d);
    }
}

const fv_op_info fv_conv2d_info = {
    .name = "conv2d",
    .example = "conv2d n=1 c=1 h=1 w=1 k=1 kernel=1x1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .dtypes = FV_ALL_DTYPES,
    .resolve = fv_window_resolve,
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .needed = fv_window_needed,
    .integral = true,
};
