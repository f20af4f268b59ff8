/* What all operations have in common. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/text.h"
#include "ops/dtype.h"
#include "ops/op.h"

_Static_assert(FV_ROLES <= 64 && FV_KINDS <= 32, "sets of roles are 64 bits, sets of kinds are 32");

const fv_op_info *fv_op_info_of(fv_kind kind) {
    static const fv_op_info *const table[FV_KINDS] = {
        [FV_CONV2D] = &fv_conv2d_info,       [FV_TRANSPOSED] = &fv_transposed_info,
        [FV_SEPARABLE] = &fv_separable_info, [FV_SPATIAL] = &fv_spatial_info,
        [FV_UNSHARED] = &fv_unshared_info,   [FV_DEFORMABLE] = &fv_deformable_info,
        [FV_MAXPOOL] = &fv_maxpool_info,     [FV_AVGPOOL] = &fv_avgpool_info,
        [FV_UNPOOL] = &fv_unpool_info,       [FV_UPSAMPLE] = &fv_upsample_info,
        [FV_LINEAR] = &fv_linear_info,       [FV_BATCHNORM] = &fv_batchnorm_info,
        [FV_RELU] = &fv_relu_info,           [FV_DROPOUT] = &fv_dropout_info,
        [FV_CONCAT] = &fv_concat_info,       [FV_ADD] = &fv_add_info,
        [FV_FLATTEN] = &fv_flatten_info,     [FV_SOFTMAX_XENT] = &fv_softmax_xent_info,
        [FV_BATCH] = &fv_batch_info,         [FV_SGD] = &fv_sgd_info,
        [FV_ADAM] = &fv_adam_info,
    };
    return table[kind];
}

const char *fv_pass_name(fv_pass pass) {
    static const char *const names[FV_PASSES] = {"forward", "backward_data", "backward_weights"};
    return (unsigned)pass < FV_PASSES ? names[pass] : "unknown pass";
}

const char *fv_kind_name(fv_kind kind) {
    return (unsigned)kind < FV_KINDS ? fv_op_info_of(kind)->name : "unknown";
}

const char *fv_role_name(fv_role role) {
    static const char *const names[FV_ROLES] = {
        [FV_X] = "x",
        [FV_W] = "w",
        [FV_B] = "b",
        [FV_Y] = "y",
        [FV_DX] = "dx",
        [FV_DW] = "dw",
        [FV_DB] = "db",
        [FV_DY] = "dy",
        [FV_ARGMAX] = "argmax",
        [FV_LABELS] = "labels",
        [FV_LOSS] = "loss",
        [FV_PREDICTED] = "predicted",
        [FV_IMAGES] = "images",
        [FV_ORDER] = "order",
        [FV_IMAGE_LABELS] = "image_labels",
        [FV_M] = "m",
        [FV_V] = "v",
        [FV_RATE] = "rate",
        [FV_W2] = "w2",
        [FV_DW2] = "dw2",
        [FV_OFFSET] = "offset",
        [FV_DOFFSET] = "doffset",
        [FV_MASK] = "mask",
        [FV_DMASK] = "dmask",
        [FV_X2] = "x2",
        [FV_X3] = "x3",
        [FV_X4] = "x4",
        [FV_DX2] = "dx2",
        [FV_DX3] = "dx3",
        [FV_DX4] = "dx4",
        [FV_MEAN] = "mean",
        [FV_VARIANCE] = "variance",
        [FV_SAVED_MEAN] = "saved_mean",
        [FV_SAVED_RSTD] = "saved_rstd",
        [FV_STEP] = "step",
    };
    return (unsigned)role < FV_ROLES ? names[role] : "unknown";
}

int64_t fv_shape_elements(const fv_shape *shape) {
    int64_t elements = 1;
    for (int i = 0; i < shape->rank; ++i)
        elements *= shape->dim[i];
    return elements;
}

size_t fv_spec_bytes(const fv_tensor_spec *spec) {
    return (size_t)fv_shape_elements(&spec->shape) * fv_dtype_size(spec->dtype);
}

fv_tensor_spec *fv_spec_add(fv_tensor_spec *spec, fv_role role, fv_direction direction, fv_dtype dtype,
                            const char *axes, int64_t d0, int64_t d1, int64_t d2, int64_t d3) {
    return fv_spec_add_shape(spec, role, direction, dtype, axes, (fv_shape){(int)strlen(axes), {d0, d1, d2, d3}});
}

fv_tensor_spec *fv_spec_add_shape(fv_tensor_spec *spec, fv_role role, fv_direction direction, fv_dtype dtype,
                                  const char *axes, fv_shape shape) {
    *spec = (fv_tensor_spec){role, direction, fv_dtype_stored(dtype), shape, axes};
    return spec + 1;
}

static fv_tensor_spec *add_alike(fv_tensor_spec *spec, fv_role role, fv_direction direction,
                                 const fv_tensor_spec *model) {
    return fv_spec_add_shape(spec, role, direction, model->dtype, model->axes, model->shape);
}

int fv_weighted_signature(const fv_tensor_spec forward[4], int64_t bias, fv_pass pass, fv_tensor_spec *specs) {
    const fv_tensor_spec *x = &forward[0], *w = &forward[1], *b = &forward[2], *y = &forward[3];
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        end = add_alike(end, FV_X, FV_IN, x);
        end = add_alike(end, FV_W, FV_IN, w);
        if (bias)
            end = add_alike(end, FV_B, FV_IN, b);
        end = add_alike(end, FV_Y, FV_OUT, y);
        break;
    case FV_BACKWARD_DATA:
        end = add_alike(end, FV_DY, FV_IN, y);
        end = add_alike(end, FV_W, FV_IN, w);
        end = add_alike(end, FV_DX, FV_OUT, x);
        break;
    case FV_BACKWARD_WEIGHTS:
        end = add_alike(end, FV_X, FV_IN, x);
        end = add_alike(end, FV_DY, FV_IN, y);
        end = add_alike(end, FV_DW, FV_OUT, w);
        if (bias)
            end = add_alike(end, FV_DB, FV_OUT, b);
        break;
    case FV_PASSES:
        break;
    }
    return (int)(end - specs);
}

int64_t fv_no_macs(const fv_operation *op, fv_pass pass) {
    (void)op, (void)pass;
    return 0;
}

int64_t fv_no_sums(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)op, (void)pass, (void)role;
    return 0;
}

int fv_operation_signature(const fv_operation *op, fv_pass pass, fv_tensor_spec specs[FV_MAX_SPECS]) {
    return fv_op_info_of(op->kind)->signature(op, pass, specs);
}

bool fv_operation_tensor(const fv_operation *op, fv_pass pass, fv_role role, fv_tensor_spec *spec) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i)
        if (specs[i].role == role) {
            *spec = specs[i];
            return true;
        }
    return false;
}

int fv_operation_has_pass(const fv_operation *op, fv_pass pass) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    return fv_operation_signature(op, pass, specs) > 0;
}

/* Refuses operations one of whose tensors is too large to count. */
static fv_status require_addressable(const fv_op_info *info, const fv_operation *op) {
    /* So that a pass's bytes fit 63 bits: of up to 15 tensors, where one that is read and written counts twice. */
    const int64_t most_elements = (int64_t)1 << 56;
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = info->signature(op, pass, specs);
        for (int i = 0; i < count; ++i) {
            int64_t elements = 1;
            for (int d = 0; d < specs[i].shape.rank; ++d)
                if (!fv_checked_mul(elements, fv_max(specs[i].shape.dim[d], 1), &elements) || elements > most_elements)
                    return fv_fail(FV_BAD_INPUT, "%s: tensor %s has more than 2^56 elements", info->name,
                                   fv_role_name(specs[i].role));
        }
    }
    return FV_OK;
}

bool fv_op_has_dtype(const fv_op_info *info, fv_dtype dtype) {
    return dtype == FV_F32 || dtype == FV_F64 || (fv_dtype_is_real(dtype) && info->dtypes >> dtype & 1);
}

void fv_op_list_dtypes(const fv_op_info *info, char *text, size_t size) {
    for (fv_dtype d = FV_FIRST_REAL; d <= FV_LAST_REAL; ++d)
        if (fv_op_has_dtype(info, d))
            fv_append(text, size, "%s%s",
                      d == FV_FIRST_REAL  ? ""
                      : d == FV_LAST_REAL ? " or "
                                          : ", ",
                      fv_dtype_name(d));
}

static fv_status require_dtype(const fv_op_info *info, fv_dtype dtype) {
    if (fv_op_has_dtype(info, dtype))
        return FV_OK;
    char expected[64] = "";
    fv_op_list_dtypes(info, expected, sizeof expected);
    return fv_fail(FV_BAD_INPUT, "%s: dtype=%s: expected %s", info->name, fv_dtype_name(dtype), expected);
}

fv_status fv_operation_validate(const fv_operation *op) {
    if ((unsigned)op->kind >= FV_KINDS)
        return fv_fail(FV_BAD_INPUT, "operation: no kind has number %d", (int)op->kind);
    const fv_op_info *info = fv_op_info_of(op->kind);
    FV_TRY(info->validate(op));
    FV_TRY(require_dtype(info, fv_operation_dtype(op)));
    return require_addressable(info, op);
}

int64_t fv_operation_macs(const fv_operation *op, fv_pass pass) {
    return fv_operation_has_pass(op, pass) ? fv_op_info_of(op->kind)->macs(op, pass) : 0;
}

int64_t fv_operation_bytes(const fv_operation *op, fv_pass pass) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    const fv_op_info *info = fv_op_info_of(op->kind);
    int64_t bytes = 0;
    for (int i = 0; i < count; ++i)
        if (specs[i].direction == FV_IN && info->needed)
            bytes += info->needed(op, pass, specs[i].role) * (int64_t)fv_dtype_size(specs[i].dtype);
        else
            bytes += (int64_t)fv_spec_bytes(&specs[i]) * (specs[i].direction == FV_INOUT ? 2 : 1);
    return bytes;
}

fv_status fv_require_count(const char *name, const char *key, int64_t value, int64_t minimum) {
    if (value < minimum)
        return fv_fail(FV_BAD_INPUT, "%s: %s=%" PRId64 " must be at least %" PRId64, name, key, value, minimum);
    if (value >= (int64_t)1 << 40)
        return fv_fail(FV_BAD_INPUT, "%s: %s=%" PRId64 " must be below 2^40", name, key, value);
    return FV_OK;
}

fv_status fv_require_flag(const char *name, const char *key, int64_t value) {
    if (value != 0 && value != 1)
        return fv_fail(FV_BAD_INPUT, "%s: %s=%" PRId64 " must be 0 or 1", name, key, value);
    return FV_OK;
}

fv_status fv_require_groups(const char *name, int64_t c, int64_t k, int64_t groups) {
    FV_TRY(fv_require_count(name, "k", k, 1));
    FV_TRY(fv_require_count(name, "groups", groups, 1));
    if (c % groups || k % groups)
        return fv_fail(FV_BAD_INPUT, "%s: groups=%" PRId64 " must divide c=%" PRId64 " and k=%" PRId64, name, groups, c,
                       k);
    return FV_OK;
}

fv_status fv_require_product(const char *name, const char *what, const int64_t *factors, int count) {
    int64_t product = 1;
    for (int i = 0; i < count; ++i)
        if (!fv_checked_mul(product, fv_max(factors[i], 1), &product) || product > (int64_t)1 << 62)
            return fv_fail(FV_BAD_INPUT, "%s: %s exceeds 2^62", name, what);
    return FV_OK;
}
