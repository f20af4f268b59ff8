/* unpool: see fv_unpool in include/fovea/operations.h. */
#include "ops/op.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    FV_POOL_FIELDS,
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_unpool, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    return fv_pool_validate("unpool", &op->pool);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_unpool *d = &op->unpool;
    const int64_t p = fv_pool_p(&op->pool), q = fv_pool_q(&op->pool);
    fv_tensor_spec *end = specs;
    if (pass == FV_FORWARD) {
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_ARGMAX, FV_IN, fv_pool_argmax(&op->pool), "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
    } else if (pass == FV_BACKWARD_DATA) {
        end = fv_spec_add(end, FV_ARGMAX, FV_IN, fv_pool_argmax(&op->pool), "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "npqc", d->n, p, q, d->c);
    }
    return (int)(end - specs);
}

const fv_op_info fv_unpool_info = {
    .name = "unpool",
    .example = "unpool n=1 c=1 h=1 w=1 kernel=1x1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_pool_resolve,
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = fv_no_sums,
    .integral = true,
};
