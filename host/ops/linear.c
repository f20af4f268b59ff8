/* linear: see fv_linear in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

#include <inttypes.h>

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_linear, n), "1", NULL},
    {"c", FV_FIELD_COUNT, offsetof(fv_linear, c), NULL, NULL},
    {"k", FV_FIELD_COUNT, offsetof(fv_linear, k), NULL, NULL},
    {"bias", FV_FIELD_COUNT, offsetof(fv_linear, bias), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_linear, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_linear *d = &op->linear;
    FV_TRY(fv_require_count("linear", "n", d->n, 0));
    FV_TRY(fv_require_count("linear", "c", d->c, 1));
    FV_TRY(fv_require_count("linear", "k", d->k, 1));
    FV_TRY(fv_require_flag("linear", "bias", d->bias));
    const int64_t factors[] = {d->n, d->c, d->k};
    return fv_require_product("linear", "the number of multiply-accumulates", factors, 3);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_linear *d = &op->linear;
    fv_tensor_spec forward[4];
    fv_spec_add(&forward[0], FV_X, FV_IN, d->dtype, "nc", d->n, d->c, 0, 0);
    fv_spec_add(&forward[1], FV_W, FV_IN, d->dtype, "kc", d->k, d->c, 0, 0);
    fv_spec_add(&forward[2], FV_B, FV_IN, d->dtype, "k", d->k, 0, 0, 0);
    fv_spec_add(&forward[3], FV_Y, FV_OUT, d->dtype, "nk", d->n, d->k, 0, 0);
    return fv_weighted_signature(forward, d->bias, pass, specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)pass; /* the same products in every pass */
    return op->linear.n * op->linear.c * op->linear.k;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_linear *d = &op->linear;
    (void)role;
    switch (pass) {
    case FV_FORWARD:
        return d->c + d->bias;
    case FV_BACKWARD_DATA:
        return d->k;
    default:
        return d->n;
    }
}

const fv_op_info fv_linear_info = {
    .name = "linear",
    .example = "linear n=1 c=1 k=1 bias=1",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .dtypes = FV_ALL_DTYPES,
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .integral = true,
};
