/* avgpool: see fv_avgpool in include/fovea/operations.h. */
#include <math.h>

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

/* Two more for the division: dividing rounds once, multiplying by a rounded reciprocal twice. */
static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)pass, (void)role;
    return op->pool.r * op->pool.s + 2;
}

/* Exact where every divisor is the same power of two. */
static fv_exactness exactness(const fv_operation *op, fv_pass pass) {
    const fv_avgpool *d = &op->avgpool;
    (void)pass;
    int exponent;
    const double positions = (double)(d->r * d->s);
    const bool whole = !d->ceil && (d->include_pad || d->pad_top + d->pad_bottom + d->pad_left + d->pad_right == 0);
    return (fv_exactness){positions, 1, whole && frexp(positions, &exponent) == 0.5 ? positions : 0};
}

const fv_op_info fv_avgpool_info = {
    .name = "avgpool",
    .example = "avgpool n=1 c=1 h=1 w=1 kernel=1x1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_window_resolve,
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .integral = true,
    .exactness = exactness,
};
