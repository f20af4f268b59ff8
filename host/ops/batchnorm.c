/* batchnorm: see fv_batchnorm in include/fovea/operations.h. */
#include "base/error.h"
#include "ops/op.h"

static const fv_field fields[] = {
    {"n", FV_FIELD_COUNT, offsetof(fv_batchnorm, n), "1", NULL},
    {"c", FV_FIELD_COUNT, offsetof(fv_batchnorm, c), NULL, NULL},
    {"h", FV_FIELD_COUNT, offsetof(fv_batchnorm, h), "1", NULL},
    {"w", FV_FIELD_COUNT, offsetof(fv_batchnorm, w), "1", NULL},
    {"training", FV_FIELD_COUNT, offsetof(fv_batchnorm, training), "1", NULL},
    {"relu", FV_FIELD_OPTION, offsetof(fv_batchnorm, relu), "0", NULL},
    {"epsilon", FV_FIELD_REAL, offsetof(fv_batchnorm, epsilon), "1e-05", NULL},
    {"momentum", FV_FIELD_REAL, offsetof(fv_batchnorm, momentum), "0.1", NULL},
    {"dtype", FV_FIELD_DTYPE, offsetof(fv_batchnorm, dtype), "f32", NULL},
};

static fv_status validate(const fv_operation *op) {
    const fv_batchnorm *d = &op->batchnorm;
    FV_TRY(fv_image_validate("batchnorm", d->n, d->c, d->h, d->w));
    FV_TRY(fv_require_flag("batchnorm", "training", d->training));
    FV_TRY(fv_require_flag("batchnorm", "relu", d->relu));
    if (d->training && d->n == 0)
        return fv_fail(FV_BAD_INPUT, "batchnorm: training=1 needs n of at least 1: nothing has no mean");
    if (!(d->epsilon >= 0x1p-126 && d->epsilon <= 1)) /* a normal number in f32, too */
        return fv_fail(FV_BAD_INPUT, "batchnorm: epsilon=%g must be 2^-126 to 1", d->epsilon);
    if (!(d->momentum >= 0 && d->momentum <= 1))
        return fv_fail(FV_BAD_INPUT, "batchnorm: momentum=%g must be 0 to 1", d->momentum);
    return FV_OK;
}

static fv_tensor_spec *add_channels(fv_tensor_spec *end, fv_role role, fv_direction direction, const fv_batchnorm *d) {
    return fv_spec_add(end, role, direction, d->dtype, "c", d->c, 0, 0, 0);
}

static int signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    const fv_batchnorm *d = &op->batchnorm;
    const fv_shape image = {4, {d->n, d->h, d->w, d->c}};
    const fv_direction running = d->training ? FV_INOUT : FV_IN;
    fv_tensor_spec *end = specs;
    if (pass != FV_FORWARD && pass != FV_BACKWARD_DATA)
        return 0;
    end = fv_spec_add_shape(end, FV_X, FV_IN, d->dtype, "nhwc", image);
    end = add_channels(end, FV_W, FV_IN, d);
    if (pass == FV_FORWARD) {
        end = add_channels(end, FV_B, FV_IN, d);
        end = add_channels(end, FV_MEAN, running, d);
        end = add_channels(end, FV_VARIANCE, running, d);
        end = fv_spec_add_shape(end, FV_Y, FV_OUT, d->dtype, "nhwc", image);
        if (d->training) {
            end = add_channels(end, FV_SAVED_MEAN, FV_OUT, d);
            end = add_channels(end, FV_SAVED_RSTD, FV_OUT, d);
        }
        return (int)(end - specs);
    }
    if (d->relu)
        end = fv_spec_add_shape(end, FV_Y, FV_IN, d->dtype, "nhwc", image);
    end = fv_spec_add_shape(end, FV_DY, FV_IN, d->dtype, "nhwc", image);
    end = add_channels(end, d->training ? FV_SAVED_MEAN : FV_MEAN, FV_IN, d);
    end = add_channels(end, d->training ? FV_SAVED_RSTD : FV_VARIANCE, FV_IN, d);
    end = fv_spec_add_shape(end, FV_DX, FV_OUT, d->dtype, "nhwc", image);
    end = add_channels(end, FV_DW, FV_OUT, d);
    end = add_channels(end, FV_DB, FV_OUT, d);
    return (int)(end - specs);
}

static int64_t macs(const fv_operation *op, fv_pass pass) {
    (void)pass; /* one scaling of every element */
    return op->batchnorm.n * op->batchnorm.h * op->batchnorm.w * op->batchnorm.c;
}

static int64_t reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    (void)pass, (void)role; /* means over a channel's pixels; the bound itself is in verify/bounds_batchnorm.c */
    return op->batchnorm.training ? op->batchnorm.n * op->batchnorm.h * op->batchnorm.w : 1;
}

const fv_op_info fv_batchnorm_info = {
    .name = "batchnorm",
    .example = "batchnorm n=1 c=1 h=1 w=2",
    .fields = fields,
    .field_count = sizeof fields / sizeof fields[0],
    .validate = validate,
    .signature = signature,
    .macs = macs,
    .reduction = reduction,
    .integral = false,
};
