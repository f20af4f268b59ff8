/* avgpool: see fv_avgpool in include/fovea/operations.h. */
#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    FV_POOL_FIELDS,
    {"include_pad", FV_FIELD_COUNT, offsetof(fv_avgpool, include_pad), "1", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_avgpool, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    FV_TRY(fv_pool_validate("avgpool", &op->pool));
    return fv_require_flag("avgpool", "include_pad", op->avgpool.include_pad);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_avgpool *d = &op->avgpool;
    const int64_t p = fv_pool_p(&op->pool), q = fv_pool_q(&op->pool);
    fv_tensor_spec *end = specs;
    if (pass == FV_FORWARD) {
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "npqc", d->n, p, q, d->c);
    } else if (pass == FV_BACKWARD_DATA) {
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    }
    return (int)(end - specs);
}

/* The most positions of a window that lie in the image, or, going back, the most windows that cover a pixel. */
static int64_t most_terms(const fv_operation *op, fv_pass pass) {
    const fv_pool2d *d = &op->pool;
    return pass == FV_FORWARD ? fv_min(d->r, d->h) * fv_min(d->s, d->w)
                              : fv_min(d->r, fv_pool_p(d)) * fv_min(d->s, fv_pool_q(d));
}

/* Two more for the division: dividing rounds once, multiplying by a rounded reciprocal twice. */
static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)role;
    return most_terms(op, pass) + 2;
}

/* The largest of an axis's divisors if all are powers of two, else 0. Windows that lose no position all have the same
 * one; others may have any down to 0, which is nowhere divided by. */
static double divisor(const fv_axis *axis, int64_t include_pad) {
    fv_axis without = *axis;
    without.ceil = 0;
    const bool whole =
        fv_axis_output(axis) == fv_axis_output(&without) && (include_pad || axis->pad_before + axis->pad_after == 0);
    const bool power = (axis->filter & (axis->filter - 1)) == 0;
    return whole ? power * (double)axis->filter : axis->filter <= 2 ? (double)axis->filter : 0;
}

/* Results are multiples of 1/grain. Forward they are at most as large as the inputs, and the sum before its division,
 * divided by so much, has the same multiples and limit; backward they add up. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    const fv_axis v = fv_pool_vertical(&op->pool), h = fv_pool_horizontal(&op->pool);
    const double grain = divisor(&v, op->avgpool.include_pad) * divisor(&h, op->avgpool.include_pad);
    return (fv_exactness){pass == FV_FORWARD ? 1 : (double)most_terms(op, pass), 1, grain};
}

const fv_op_info fv_avgpool_info = {
    .name = "avgpool",
    .example = "avgpool n=1 c=1 h=1 w=1 kernel=1x1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_pool_resolve,
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .needed = fv_pool_needed,
    .integral = true,
    .exactness = exactness,
};
