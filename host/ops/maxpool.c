/* maxpool: see fv_maxpool in include/fovea/operations.h. */
#include "base/checked.h"
#include "ops/op.h"

static const fv_field fields[] = {
    FV_IMAGE_FIELDS,
    FV_POOL_FIELDS,
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_maxpool, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    return fv_pool_validate("maxpool", &op->pool);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_maxpool *d = &op->maxpool;
    const int64_t p = fv_maxpool_p(d), q = fv_maxpool_q(d);
    const fv_dtype index = fv_maxpool_argmax(d);
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_OUT, d->dtype, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_ARGMAX, FV_OUT, index, "npqc", d->n, p, q, d->c);
        break;
    case FV_BACKWARD_DATA:
        /* x and y are for vendors that look for the maximum again; ours read argmax. */
        end = fv_spec_add(end, FV_X, FV_IN, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        end = fv_spec_add(end, FV_Y, FV_IN, d->dtype, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_ARGMAX, FV_IN, index, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DY, FV_IN, d->dtype, "npqc", d->n, p, q, d->c);
        end = fv_spec_add(end, FV_DX, FV_OUT, d->dtype, "nhwc", d->n, d->h, d->w, d->c);
        break;
    default:
        break;
    }
    return (int)(end - specs);
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_pool2d *d = &op->pool;
    (void)role;
    /* Going back, an input may have been the maximum of every window that covers it. */
    return pass == FV_FORWARD ? 0 : fv_min(d->r, fv_pool_p(d)) * fv_min(d->s, fv_pool_q(d));
}

/* argmax says where dy goes: x and y need not be read for that. */
static int64_t needed(const fv_operation *op, fv_pass pass, fv_role role) {
    return pass == FV_BACKWARD_DATA && (role == FV_X || role == FV_Y) ? 0 : fv_pool_needed(op, pass, role);
}

const fv_op_info fv_maxpool_info = {
    .name = "maxpool",
    .example = "maxpool n=1 c=1 h=1 w=1 kernel=1x1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .resolve = fv_pool_resolve,
    .validate = validate,
    .signature = signature,
    .macs = fv_no_macs,
    .reduction = reduction,
    .needed = needed,
    .integral = true,
};
