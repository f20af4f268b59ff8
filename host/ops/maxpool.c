/* maxpool: see fv_maxpool in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_maxpool, n), "1"},
    {"c", FV_FIELD_COUNT, offsetof(fv_maxpool, c), NULL},
    {"h", FV_FIELD_COUNT, offsetof(fv_maxpool, h), NULL},
    {"w", FV_FIELD_COUNT, offsetof(fv_maxpool, w), NULL},
    {"kernel", FV_FIELD_PAIR, offsetof(fv_maxpool, r), NULL},
    {"stride", FV_FIELD_PAIR, offsetof(fv_maxpool, stride_h), "1"},
    {"pad", FV_FIELD_PADS, offsetof(fv_maxpool, pad_top), "0"},
    {"dilation", FV_FIELD_PAIR, offsetof(fv_maxpool, dilation_h), "1"},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_maxpool, dtype), "f32"},
};

static fv_axis vertical(const fv_maxpool *d) {
    return (fv_axis){d->h, d->r, d->stride_h, d->pad_top, d->pad_bottom, d->dilation_h};
}

static fv_axis horizontal(const fv_maxpool *d) {
    return (fv_axis){d->w, d->s, d->stride_w, d->pad_left, d->pad_right, d->dilation_w};
}

int64_t fv_maxpool_p(const fv_maxpool *d) {
    const fv_axis axis = vertical(d);
    return fv_axis_output(&axis);
}

int64_t fv_maxpool_q(const fv_maxpool *d) {
    const fv_axis axis = horizontal(d);
    return fv_axis_output(&axis);
}

static void resolve(fv_operation *op) {
    fv_maxpool *d = &op->maxpool;
    if (d->pad_top != FV_PAD_SAME)
        return;
    const fv_axis v = vertical(d), h = horizontal(d);
    fv_axis_same(&v, &d->pad_top, &d->pad_bottom);
    fv_axis_same(&h, &d->pad_left, &d->pad_right);
}

static fv_status validate(const fv_operation *op) {
    const fv_maxpool *d = &op->maxpool;
    FV_TRY(fv_require_count("maxpool", "n", d->n, 0));
    FV_TRY(fv_require_count("maxpool", "c", d->c, 1));
    FV_TRY(fv_require_count("maxpool", "h", d->h, 1));
    FV_TRY(fv_require_count("maxpool", "w", d->w, 1));
    const fv_axis v = vertical(d), h = horizontal(d);
    FV_TRY(fv_axis_validate("maxpool", "height", &v));
    FV_TRY(fv_axis_validate("maxpool", "width", &h));
    /* argmax is at most an i32 */
    if (d->r * d->s > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "maxpool: the window has more than 2^31-1 positions");
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_maxpool *d = &op->maxpool;
    const int64_t p = fv_maxpool_p(d), q = fv_maxpool_q(d);
    const fv_dtype index = d->r * d->s <= 256 ? FV_U8 : FV_I32;
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, 4, d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, 4, d->n, p, q, d->c);
        end = fv_spec_add(end, FV_ARGMAX, FV_OUT, index, 4, d->n, p, q, d->c);
        break;
    case FV_BACKWARD_DATA:
        /* x and y are for vendors that look for the maximum again; ours read argmax. */
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, 4, d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_IN, d->dtype, 4, d->n, p, q, d->c);
        end = fv_spec_add(end, FV_ARGMAX, FV_IN, index, 4, d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, 4, d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, 4, d->n, d->h, d->w, d->c);
        break;
    default:
        break;
    }
    return (int)(end - specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)op, (void)pass; /* comparisons and additions only */
    return 0;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)role;
    /* Going back, an input may have been the maximum of every window that covers it. */
    return pass == FV_FORWARD ? 0 : op->maxpool.r * op->maxpool.s;
}

const fv_op_info fv_maxpool_info = {
    .name = "maxpool",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = resolve,
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .integral = true,
};
