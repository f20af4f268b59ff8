/* sgd and adam: see fv_sgd and fv_adam in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

#include <inttypes.h>

static const fv_field sgd_fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_sgd, elements), NULL, NULL},
    {"decayed", FV_FIELD_COUNT, offsetof(fv_sgd, decayed), "0", NULL},
    {"momentum", FV_FIELD_REAL, offsetof(fv_sgd, momentum), "0", NULL},
    {"weight_decay", FV_FIELD_REAL, offsetof(fv_sgd, weight_decay), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_sgd, dtype), "f32", NULL},
};

static const fv_field adam_fields[] = {
    {"elements", FV_FIELD_COUNT, offsetof(fv_adam, elements), NULL, NULL},
    {"decayed", FV_FIELD_COUNT, offsetof(fv_adam, decayed), "0", NULL},
    {"beta1", FV_FIELD_REAL, offsetof(fv_adam, beta1), "0.9", NULL},
    {"beta2", FV_FIELD_REAL, offsetof(fv_adam, beta2), "0.999", NULL},
    {"epsilon", FV_FIELD_REAL, offsetof(fv_adam, epsilon), "1e-8", NULL},
    {"weight_decay", FV_FIELD_REAL, offsetof(fv_adam, weight_decay), "0", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_adam, dtype), "f32", NULL},
};

static fv_status validate_counts(const char *name, int64_t elements, int64_t decayed) {
    FV_TRY(fv_require_count(name, "elements", elements, 0));
    FV_TRY(fv_require_count(name, "decayed", decayed, 0));
    if (decayed > elements)
        return fv_fail(FV_BAD_INPUT, "%s: decayed=%" PRId64 " exceeds elements=%" PRId64, name, decayed, elements);
    return FV_OK;
}

static fv_status validate_fraction(const char *name, const char *key, double value) {
    if (!(value >= 0 && value < 1))
        return fv_fail(FV_BAD_INPUT, "%s: %s=%g must be at least 0 and below 1", name, key, value);
    return FV_OK;
}

static fv_status validate_decay(const char *name, double value) {
    if (!(value >= 0 && value < 1e6))
        return fv_fail(FV_BAD_INPUT, "%s: weight_decay=%g must be at least 0 and below 1e6", name, value);
    return FV_OK;
}

static fv_status validate_sgd(const fv_operation *op) {
    FV_TRY(validate_counts("sgd", op->sgd.elements, op->sgd.decayed));
    FV_TRY(validate_decay("sgd", op->sgd.weight_decay));
    return validate_fraction("sgd", "momentum", op->sgd.momentum);
}

static fv_status validate_adam(const fv_operation *op) {
    FV_TRY(validate_counts("adam", op->adam.elements, op->adam.decayed));
    FV_TRY(validate_fraction("adam", "beta1", op->adam.beta1));
    FV_TRY(validate_fraction("adam", "beta2", op->adam.beta2));
    FV_TRY(validate_decay("adam", op->adam.weight_decay));
    if (!(op->adam.epsilon > 0 && op->adam.epsilon < 1e6))
        return fv_fail(FV_BAD_INPUT, "adam: epsilon=%g must be above 0 and below 1e6", op->adam.epsilon);
    return FV_OK;
}

static fv_tensor_spec *common_specs(fv_tensor_spec *end, fv_dtype dtype, int64_t elements) {
    end = fv_spec_add(end, FV_W, FV_INOUT, dtype, "i", elements, 0, 0, 0);
    end = fv_spec_add(end, FV_DW, FV_IN, dtype, "i", elements, 0, 0, 0);
    end = fv_spec_add(end, FV_M, FV_INOUT, dtype, "i", elements, 0, 0, 0);
    return fv_spec_add(end, FV_RATE, FV_IN, dtype, "i", 3, 0, 0, 0);
}

static int signature_sgd(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    if (pass != FV_FORWARD)
        return 0;
    return (int)(common_specs(specs, op->sgd.dtype, op->sgd.elements) - specs);
}

static int signature_adam(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    if (pass != FV_FORWARD)
        return 0;
    fv_tensor_spec *end = common_specs(specs, op->adam.dtype, op->adam.elements);
    end = fv_spec_add(end, FV_V, FV_INOUT, op->adam.dtype, "i", op->adam.elements, 0, 0, 0);
    return (int)(end - specs);
}

static int64_t macs_sgd(const fv_operation *op, fv_pass pass) {
    (void)pass;
    return 3 * op->sgd.elements;
}

static int64_t macs_adam(const fv_operation *op, fv_pass pass) {
    (void)pass;
    return 6 * op->adam.elements;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)pass, (void)role;
    return 16; /* roundings on the way to one element, hyperparameters rounded to f32 included */
}

const fv_op_info fv_sgd_info = {
    .name = "sgd",
    .example = "sgd elements=1",
    .fields = sgd_fields,
    .field_count = sizeof sgd_fields / sizeof sgd_fields[0],
    .validate = validate_sgd,
    .signature = signature_sgd,
    .macs = macs_sgd,
    .reduction = reduction,
};

const fv_op_info fv_adam_info = {
    .name = "adam",
    .example = "adam elements=1",
    .fields = adam_fields,
    .field_count = sizeof adam_fields / sizeof adam_fields[0],
    .validate = validate_adam,
    .signature = signature_adam,
    .macs = macs_adam,
    .reduction = reduction,
};
