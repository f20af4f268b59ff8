/* upsample: see fv_upsample in include/fovea/operations.h. */
#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

static const char *const modes[] = {"nearest", "bilinear", NULL};

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_upsample, n), "1", NULL},
    {"c", FV_FIELD_COUNT, offsetof(fv_upsample, c), NULL, NULL},
    {"h", FV_FIELD_COUNT, offsetof(fv_upsample, h), NULL, NULL},
    {"w", FV_FIELD_COUNT, offsetof(fv_upsample, w), NULL, NULL},
    {"size", FV_FIELD_PAIR, offsetof(fv_upsample, p), NULL, NULL},
    {"mode", FV_FIELD_CHOICE, offsetof(fv_upsample, mode), "nearest", modes},
    {"align", FV_FIELD_COUNT, offsetof(fv_upsample, align), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_upsample, dtype), "f32", NULL},
};

/* Positions are computed in whole numbers: (2p + 1) * h must fit 63 bits, and kernels may want 32. */
static fv_status validate(const fv_operation *op) {
    const fv_upsample *d = &op->upsample;
    FV_TRY(fv_image_validate("upsample", d->n, d->c, d->h, d->w));
    const int64_t extents[] = {d->h, d->w, d->p, d->q};
    for (int i = 0; i < 4; ++i) {
        FV_TRY(fv_require_count("upsample", i < 2 ? "input" : "size", extents[i], 1));
        if (extents[i] > INT32_MAX)
            return fv_fail(FV_BAD_INPUT, "upsample: an image's side of %lld must be at most 2^31-1",
                           (long long)extents[i]);
    }
    if (d->mode != FV_NEAREST && d->mode != FV_BILINEAR)
        return fv_fail(FV_BAD_INPUT, "upsample: mode must be nearest or bilinear");
    FV_TRY(fv_require_flag("upsample", "align", d->align));
    if (d->align && d->mode == FV_NEAREST)
        return fv_fail(FV_BAD_INPUT, "upsample: align=1 goes with mode=bilinear only");
    return FV_OK;
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_upsample *d = &op->upsample;
    fv_tensor_spec *end = specs;
    if (pass == FV_FORWARD) {
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "npqc", d->n, d->p, d->q, d->c);
    } else if (pass == FV_BACKWARD_DATA) {
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "npqc", d->n, d->p, d->q, d->c);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    }
    return (int)(end - specs);
}

/* At most so many output pixels read a given input pixel along an axis: those whose position lies within 1 of it, and at
 * the border those beyond, no further than 1/2. */
static int64_t readers(int64_t input, int64_t output) {
    return 2 * ((output + input - 1) / input) + 2;
}

/* Each product of two weights and a value rounds a few times: 8 terms more than the sum has. */
static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_upsample *d = &op->upsample;
    (void)role;
    if (d->mode == FV_NEAREST)
        return pass == FV_FORWARD ? 0 : readers(d->h, d->p) * readers(d->w, d->q);
    return 8 + (pass == FV_FORWARD ? 4 : readers(d->h, d->p) * readers(d->w, d->q));
}

/* The denominator of positions along an axis, if a power of two; else 0. */
static double denominator(int64_t input, int64_t output, int64_t align) {
    int64_t d = align ? fv_max(output - 1, 1) : 2 * output, numerator = align ? input - 1 : input;
    while (d % 2 == 0 && numerator % 2 == 0) {
        d /= 2;
        numerator /= 2;
    }
    while (d > 1 && d % 2 == 1 && numerator % d == 0)
        d = 1;
    return (d & (d - 1)) == 0 ? (double)d : 0;
}

static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    const fv_upsample *d = &op->upsample;
    const double terms = pass == FV_FORWARD ? 1 : (double)(readers(d->h, d->p) * readers(d->w, d->q));
    if (d->mode == FV_NEAREST)
        return (fv_exactness){terms, 1, 1};
    return (fv_exactness){terms, 1, denominator(d->h, d->p, d->align) * denominator(d->w, d->q, d->align)};
}

const fv_op_info fv_upsample_info = {
    .name = "upsample",
    .example = "upsample n=1 c=1 h=1 w=1 size=2x2 mode=bilinear",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .integral = true,
    .exactness = exactness,
};
