/* conv2d_deformable: see fv_deformable in include/fovea/operations.h. */
#include <inttypes.h>

#include "base/error.h"
#include "ops/op.h"

static const char name[] = "conv2d_deformable";

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    {"k", FV_FIELD_COUNT, offsetof(fv_deformable, k), NULL, NULL},
    FV_WINDOW_FIELDS,
    {"groups", FV_FIELD_COUNT, offsetof(fv_deformable, groups), "1", NULL},
    {"offset_groups", FV_FIELD_COUNT, offsetof(fv_deformable, offset_groups), "1", NULL},
    {"mask", FV_FIELD_COUNT, offsetof(fv_deformable, mask), "0", NULL},
    {"bias", FV_FIELD_COUNT, offsetof(fv_deformable, bias), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_deformable, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_deformable *d = &op->deformable;
    FV_TRY(fv_window_validate(name, &op->window));
    FV_TRY(fv_require_groups(name, d->c, d->k, d->groups));
    FV_TRY(fv_require_count(name, "offset_groups", d->offset_groups, 1));
    if (d->c % d->offset_groups)
        return fv_fail(FV_BAD_INPUT, "%s: offset_groups=%" PRId64 " must divide c=%" PRId64, name, d->offset_groups,
                       d->c);
    FV_TRY(fv_require_flag(name, "mask", d->mask));
    FV_TRY(fv_require_flag(name, "bias", d->bias));
    const int64_t p = fv_window_p(&op->window), q = fv_window_q(&op->window);
    /* four pixels for each; there are fewer offsets than these, as offset_groups <= c <= k*c/groups */
    return fv_require_product(name, "the number of pixels read by multiply-accumulates",
                              (const int64_t[]){d->n, p, q, d->k, d->r, d->s, d->c / d->groups, 4}, 8);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_deformable *d = &op->deformable;
    const int64_t p = fv_window_p(&op->window), q = fv_window_q(&op->window), taps = d->offset_groups * d->r * d->s;
    const fv_tensor_spec x = {FV_X, FV_IN, d->dtype, {4, {d->n, d->h, d->w, d->c}}, "nhwc"};
    const fv_tensor_spec w = {FV_W, FV_IN, d->dtype, {4, {d->k, d->r, d->s, d->c / d->groups}}, "krsc"};
    const fv_tensor_spec offset = {FV_OFFSET, FV_IN, d->dtype, {4, {d->n, p, q, 2 * taps}}, "npqo"};
    const fv_tensor_spec mask = {FV_MASK, FV_IN, d->dtype, {4, {d->n, p, q, taps}}, "npqt"};
    fv_tensor_spec *end = specs;
    if (pass != FV_FORWARD && pass != FV_BACKWARD_DATA && pass != FV_BACKWARD_WEIGHTS)
        return 0;
    *end++ = x;
    if (pass != FV_BACKWARD_WEIGHTS)
        *end++ = w;
    *end++ = offset;
    if (d->mask)
        *end++ = mask;
    if (pass == FV_FORWARD && d->bias)
        end = fv_spec_add(end, FV_B, FV_IN, d->dtype, "k", d->k, 0, 0, 0);
    end = fv_spec_add(end, pass == FV_FORWARD ? FV_Y : FV_DY, pass == FV_FORWARD ? FV_OUT : FV_IN, d->dtype, "npqk",
                      d->n, p, q, d->k);
    if (pass == FV_BACKWARD_DATA) {
        end = fv_spec_add_shape(end, FV_DX, FV_OUT, d->dtype, x.axes, x.shape);
        end = fv_spec_add_shape(end, FV_DOFFSET, FV_OUT, d->dtype, offset.axes, offset.shape);
        if (d->mask)
            end = fv_spec_add_shape(end, FV_DMASK, FV_OUT, d->dtype, mask.axes, mask.shape);
    } else if (pass == FV_BACKWARD_WEIGHTS) {
        end = fv_spec_add_shape(end, FV_DW, FV_OUT, d->dtype, w.axes, w.shape);
        if (d->bias)
            end = fv_spec_add(end, FV_DB, FV_OUT, d->dtype, "k", d->k, 0, 0, 0);
    }
    return (int)(end - specs);
}

/* The convolution's products alone; interpolating costs a few more for every tap and channel. */
static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)pass; /* the same products in every pass */
    return fv_convolution_macs(&op->window, op->deformable.k, op->deformable.groups);
}

/* Where a pixel is read four times for a tap, each counts. Any number of taps may read a pixel, so dx may be a sum over
 * all of them. */
static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_deformable *d = &op->deformable;
    const int64_t taps = d->r * d->s, pixels = fv_window_p(&op->window) * fv_window_q(&op->window);
    const int64_t cg = d->c / d->groups, kg = d->k / d->groups;
    switch (pass) {
    case FV_FORWARD:
        return 4 * taps * cg + d->bias;
    case FV_BACKWARD_DATA:
        return role == FV_DX ? pixels * taps * kg : 4 * kg * (d->c / d->offset_groups);
    default:
        return role == FV_DB ? d->n * pixels : 4 * d->n * pixels;
    }
}

/* Exact offsets and masks are multiples of 1/4 (verify/generate.c): interpolated values have a grain of 1/16. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    double terms = 0;
    for (fv_role role = 0; role < FV_ROLES; ++role) {
        fv_tensor_spec spec;
        if (fv_operation_tensor(op, pass, role, &spec) && spec.direction == FV_OUT &&
            (double)reduction(op, pass, role) > terms)
            terms = (double)reduction(op, pass, role);
    }
    return (fv_exactness){terms, pass == FV_BACKWARD_DATA ? 3 : 2, op->deformable.mask ? 64 : 16};
}

const fv_op_info fv_deformable_info = {
    .name = name,
    .example = "conv2d_deformable n=1 c=1 h=1 w=1 k=1 kernel=1x1 mask=1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_window_resolve,
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .integral = true,
    .exactness = exactness,
};
