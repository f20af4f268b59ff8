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

/* Positions are quotients of whole numbers. None exceeds 2 * (h + 1) * (p + 1), which must fit 63 bits. */
static fv_status validate(const fv_operation *op) {
    const fv_upsample *d = &op->upsample;
    FV_TRY(fv_image_validate("upsample", d->n, d->c, d->h, d->w));
    FV_TRY(fv_require_count("upsample", "size", fv_min(d->p, d->q), 1));
    if (fv_max(fv_max(d->h, d->w), fv_max(d->p, d->q)) >= INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "upsample: height and width, of the input and the output, must be below 2^31-1");
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

/* At most so many output pixels read a given input pixel along an axis. nearest: those that lie on it, half a border
 * included, which is an interval of length 1. bilinear: those that lie less than 1 from it, an interval of length 2, or
 * beyond the border, where it ends after 1/2. Output pixels lie input/output apart, or (input-1)/(output-1) aligned. */
static int64_t readers(const fv_upsample *d, int64_t input, int64_t output) {
    const int64_t length = d->mode == FV_NEAREST ? 1 : 2;
    const int64_t pixels = d->align ? input - 1 : input, steps = d->align ? output - 1 : output;
    if (pixels == 0)
        return output;
    return fv_max(1, fv_min(output, (length * steps + pixels - 1) / pixels));
}

static int64_t all_readers(const fv_upsample *d) {
    return readers(d, d->h, d->p) * readers(d, d->w, d->q);
}

/* A bilinear product rounds a few times itself: each of two weights three times (its numerator, its denominator, their
 * quotient), their product, and the product with the value: 8 terms more than the sum has. */
static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_upsample *d = &op->upsample;
    (void)role;
    if (d->mode == FV_NEAREST)
        return pass == FV_FORWARD ? 0 : all_readers(d);
    return 8 + (pass == FV_FORWARD ? 4 : all_readers(d));
}

static int64_t common_divisor(int64_t a, int64_t b) {
    return b ? common_divisor(b, a % b) : a;
}

/* A number that all weights along an axis are multiples of the inverse of, if there is a power of two like that; else
 * 0. Without align positions are (2p + 1) * input / (2 * output) less one half. */
static double denominator(int64_t input, int64_t output, int64_t align) {
    const int64_t whole = align ? fv_max(output - 1, 1) : 2 * output, step = align ? input - 1 : input;
    const int64_t reduced = whole / common_divisor(whole, step), least = align ? 1 : 2;
    return (reduced & (reduced - 1)) == 0 ? (double)fv_max(reduced, least) : 0;
}

/* Weights add up to 1 forward; backward each reader brings its own. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    const fv_upsample *d = &op->upsample;
    const double terms = pass == FV_FORWARD ? 1 : (double)all_readers(d);
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
