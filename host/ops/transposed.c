/* conv2d_transposed: see fv_transposed in include/fovea/operations.h. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

static const char name[] = "conv2d_transposed";

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    {"k", FV_FIELD_COUNT, offsetof(fv_transposed, k), NULL, NULL},
    FV_WINDOW_FIELDS,
    {"output_pad", FV_FIELD_PAIR, offsetof(fv_transposed, output_pad_h), "0", NULL},
    {"groups", FV_FIELD_COUNT, offsetof(fv_transposed, groups), "1", NULL},
    {"bias", FV_FIELD_COUNT, offsetof(fv_transposed, bias), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_transposed, dtype), "f32", NULL},
};

static int64_t output_of(const fv_axis *axis, int64_t output_pad) {
    return (axis->input - 1) * axis->stride - axis->pad_before - axis->pad_after + fv_axis_span(axis) + output_pad;
}

int64_t fv_transposed_p(const fv_transposed *d) {
    const fv_axis axis = fv_window_vertical((const fv_window2d *)d);
    return output_of(&axis, d->output_pad_h);
}

int64_t fv_transposed_q(const fv_transposed *d) {
    const fv_axis axis = fv_window_horizontal((const fv_window2d *)d);
    return output_of(&axis, d->output_pad_w);
}

fv_conv2d fv_transposed_mirror(const fv_transposed *d) {
    return (fv_conv2d){.n = d->n,
                       .c = d->k,
                       .h = fv_transposed_p(d),
                       .w = fv_transposed_q(d),
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
                       .k = d->c,
                       .groups = d->groups,
                       .bias = 0,
                       .dtype = d->dtype};
}

/* "same": the output is stride times the input; an odd rest goes to the end. */
static void pads_of_same(const fv_axis *axis, int64_t output_pad, int64_t *before, int64_t *after) {
    const int64_t total =
        fv_max(output_of(axis, output_pad) + axis->pad_before + axis->pad_after - axis->input * axis->stride, 0);
    *before = total / 2;
    *after = total - total / 2;
}

/* Checks that each member of an axis is in range, so that output_of() cannot overflow. */
static fv_status axis_range(const char *which, const fv_axis *axis, int64_t output_pad) {
    FV_TRY(fv_axis_range(name, which, axis));
    if (output_pad < 0 || output_pad >= axis->stride)
        return fv_fail(FV_BAD_INPUT, "%s: %s: output_pad %" PRId64 " must be at least 0 and below the stride, %" PRId64,
                       name, which, output_pad, axis->stride);
    return FV_OK;
}

static void resolve(fv_operation *op) {
    fv_transposed *d = &op->transposed;
    if (d->pad_top != FV_PAD_SAME)
        return;
    fv_axis v = fv_window_vertical(&op->window), h = fv_window_horizontal(&op->window);
    v.pad_before = v.pad_after = h.pad_before = h.pad_after = 0;
    d->pad_top = d->pad_bottom = d->pad_left = d->pad_right = 0;
    if (fv_image_validate(name, d->n, d->c, d->h, d->w) != FV_OK ||
        axis_range("height", &v, d->output_pad_h) != FV_OK || axis_range("width", &h, d->output_pad_w) != FV_OK)
        return; /* validation will refuse these by name */
    pads_of_same(&v, d->output_pad_h, &d->pad_top, &d->pad_bottom);
    pads_of_same(&h, d->output_pad_w, &d->pad_left, &d->pad_right);
}

static fv_status validate_axis(const char *which, const fv_axis *axis, int64_t output_pad) {
    FV_TRY(axis_range(which, axis, output_pad));
    const int64_t output = output_of(axis, output_pad);
    if (output < 1)
        return fv_fail(FV_BAD_INPUT,
                       "%s: %s: the padding leaves %" PRId64 " output pixels: (input-1)*stride - pads + "
                       "dilation*(kernel-1) + output_pad + 1 must be at least 1",
                       name, which, output);
    if (output > INT32_MAX || output + axis->pad_before + axis->pad_after + fv_axis_span(axis) > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "%s: %s: padded output and window together exceed 2^31-1 pixels", name, which);
    return FV_OK;
}

static fv_status validate(const fv_operation *op) {
    const fv_transposed *d = &op->transposed;
    FV_TRY(fv_image_validate(name, d->n, d->c, d->h, d->w));
    const fv_axis v = fv_window_vertical(&op->window), h = fv_window_horizontal(&op->window);
    FV_TRY(validate_axis("height", &v, d->output_pad_h));
    FV_TRY(validate_axis("width", &h, d->output_pad_w));
    FV_TRY(fv_require_groups(name, d->c, d->k, d->groups));
    FV_TRY(fv_require_flag(name, "bias", d->bias));
    const int64_t factors[] = {d->n, d->h, d->w, d->c, d->r, d->s, d->k / d->groups};
    return fv_require_product(name, "the number of multiply-accumulates", factors, 7);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_transposed *d = &op->transposed;
    fv_tensor_spec forward[4];
    fv_spec_add(&forward[0], FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    fv_spec_add(&forward[1], FV_W, FV_IN, d->dtype, "crsk", d->c, d->r, d->s, d->k / d->groups);
    fv_spec_add(&forward[2], FV_B, FV_IN, d->dtype, "k", d->k, 0, 0, 0);
    fv_spec_add(&forward[3], FV_Y, FV_OUT, d->dtype, "npqk", d->n, fv_transposed_p(d), fv_transposed_q(d), d->k);
    return fv_weighted_signature(forward, d->bias, pass, specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    const fv_transposed *d = &op->transposed;
    (void)pass; /* the same products in every pass */
    return d->n * d->h * d->w * d->c * d->r * d->s * (d->k / d->groups);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_transposed *d = &op->transposed;
    if (role == FV_DB)
        return d->n * fv_transposed_p(d) * fv_transposed_q(d);
    switch (pass) {
    case FV_FORWARD:
        return d->r * d->s * (d->c / d->groups) + d->bias;
    case FV_BACKWARD_DATA:
        return d->r * d->s * (d->k / d->groups);
    default:
        return d->n * d->h * d->w;
    }
}

const fv_op_info fv_transposed_info = {
    .name = name,
    .example = "conv2d_transposed n=1 c=1 h=1 w=1 k=1 kernel=1x1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .dtypes = FV_ALL_DTYPES,
    .resolve = resolve,
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .integral = true,
};
