/* Batch normalisation by oneDNN, in NHWC.
 *
 * oneDNN keeps the variance where we keep rstd = 1 / sqrt(variance + epsilon), and knows no running statistics. Forward
 * it writes the batch's variance where saved_rstd goes, and a loop over the channels updates the running ones and turns
 * it into rstd. Backward it gets a variance made of rstd, behind its own workspace.
 *
 * Its ReLU wants a mask from forward to backward, where we have y; only in inference it does without. */
#include <math.h>
#include <string.h>

#include "backends/onednn/onednn.h"
#include "base/error.h"

static int64_t pixels_of(const fv_batchnorm *d) {
    return d->n * d->h * d->w;
}

typedef struct view {
    dnnl_memory_desc_t image, channels;
    unsigned flags;
} view;

static fv_status look(const fv_batchnorm *d, view *v) {
    const int64_t image[] = {d->n, d->c, d->h, d->w};
    v->flags = dnnl_use_scale | dnnl_use_shift | (d->training ? 0u : (unsigned)dnnl_use_global_stats) |
               (d->relu ? (unsigned)dnnl_fuse_norm_relu : 0u);
    FV_TRY(fv_onednn_layout(&v->image, 4, image, dnnl_f32, dnnl_nhwc));
    return fv_onednn_layout(&v->channels, 1, &d->c, dnnl_f32, dnnl_a);
}

static fv_status design_forward_primitive(const fv_batchnorm *d, const view *v, fv_onednn_design *design) {
    dnnl_batch_normalization_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_batch_normalization_forward_desc_init(
                               &descriptor, d->relu ? dnnl_forward_inference : dnnl_forward_training, &v->image,
                               (float)d->epsilon, v->flags),
                           "describe a batch normalisation"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    const fv_batchnorm *d = &op->batchnorm;
    view v;
    FV_TRY(look(d, &v));
    FV_TRY(design_forward_primitive(d, &v, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.image);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_SCALE, &v.channels);
    fv_onednn_design_operand(design, FV_B, DNNL_ARG_SHIFT, &v.channels);
    fv_onednn_design_operand(design, d->training ? FV_SAVED_MEAN : FV_MEAN, DNNL_ARG_MEAN, &v.channels);
    fv_onednn_design_operand(design, d->training ? FV_SAVED_RSTD : FV_VARIANCE, DNNL_ARG_VARIANCE, &v.channels);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &v.image);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    const fv_batchnorm *d = &op->batchnorm;
    view v;
    FV_TRY(look(d, &v));
    dnnl_batch_normalization_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_batch_normalization_backward_desc_init(&descriptor, dnnl_backward, &v.image, &v.image,
                                                                       (float)d->epsilon, v.flags),
                           "describe a batch normalisation's backward_data"));
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(d, &v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, &descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    FV_TRY(status);
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.image);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_SCALE, &v.channels);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_SHIFT,
                             &v.channels); /* it asks for one, though no gradient needs it */
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.image);
    fv_onednn_design_operand(design, d->training ? FV_SAVED_MEAN : FV_MEAN, DNNL_ARG_MEAN, &v.channels);
    fv_onednn_design_operand(design, FV_VARIANCE, DNNL_ARG_VARIANCE, &v.channels);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.image);
    fv_onednn_design_operand(design, FV_DW, DNNL_ARG_DIFF_SCALE, &v.channels);
    fv_onednn_design_operand(design, FV_DB, DNNL_ARG_DIFF_SHIFT, &v.channels);
    return FV_OK;
}

static const char *supports(const fv_operation *op) {
    const fv_batchnorm *d = &op->batchnorm;
    return fv_onednn_too_large(op, d->c, (const double[]){(double)d->h, (double)d->w});
}

static const char *supports_forward(const fv_operation *op) {
    return op->batchnorm.relu && op->batchnorm.training ? "oneDNN keeps a mask, not y, for the gradient of its ReLU"
                                                        : supports(op);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->batchnorm.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->batchnorm.n, describe_backward_data, state);
}

static size_t workspace_backward_data(const fv_operation *op, const void *state) {
    return fv_onednn_workspace(op, state) + (size_t)op->batchnorm.c * sizeof(float);
}

static float mixed(double momentum, float before, double now) {
    return (float)((1 - momentum) * before + momentum * now);
}

static fv_status forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const fv_batchnorm *d = &op->batchnorm;
    if (d->n == 0)
        return FV_OK;
    FV_TRY(fv_onednn_run(context, op, state, buffers));
    if (!d->training)
        return FV_OK;
    const double pixels = (double)pixels_of(d), unbiased = pixels > 1 ? pixels / (pixels - 1) : 1;
    const float *saved_mean = buffers->at[FV_SAVED_MEAN];
    float *saved_rstd = buffers->at[FV_SAVED_RSTD], *mean = buffers->at[FV_MEAN], *variance = buffers->at[FV_VARIANCE];
    for (int64_t c = 0; c < d->c; ++c) {
        const double now = saved_rstd[c]; /* still the variance */
        mean[c] = mixed(d->momentum, mean[c], saved_mean[c]);
        variance[c] = mixed(d->momentum, variance[c], now * unbiased);
        saved_rstd[c] = (float)(1 / sqrt(now + d->epsilon));
    }
    return FV_OK;
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const fv_batchnorm *d = &op->batchnorm;
    if (d->n == 0) { /* sums over nothing */
        memset(buffers->at[FV_DW], 0, (size_t)d->c * sizeof(float));
        memset(buffers->at[FV_DB], 0, (size_t)d->c * sizeof(float));
        return FV_OK;
    }
    if (!d->training)
        return fv_onednn_run(context, op, state, buffers);
    fv_buffers with_variance = *buffers;
    float *variance = (float *)((char *)buffers->workspace + fv_onednn_workspace(op, state));
    const float *rstd = buffers->at[FV_SAVED_RSTD];
    for (int64_t c = 0; c < d->c; ++c)
        variance[c] = (float)(1 / ((double)rstd[c] * rstd[c]) - d->epsilon);
    with_variance.at[FV_VARIANCE] = variance;
    return fv_onednn_run(context, op, state, &with_variance);
}

#define ROW(pass_, supports_, prepare_, workspace_, rule, run_)                                                        \
    {                                                                                                                  \
        .kind = FV_BATCHNORM, .pass = pass_, .dtype = FV_F32, .name = "batch_normalization", .deterministic = true,    \
        .fuses_relu = (pass_) == FV_FORWARD, .supports = supports_, .prepare = prepare_, .release = fv_onednn_release, \
        .workspace = workspace_, .workspace_rule = rule, .numerics = fv_onednn_numerics, .run = run_                   \
    }

const fv_kernel fv_onednn_batchnorm[] = {
    ROW(FV_FORWARD, supports_forward, prepare_forward, fv_onednn_workspace, FV_ONEDNN_WORKSPACE_RULE, forward),
    ROW(FV_BACKWARD_DATA, supports, prepare_backward_data, workspace_backward_data,
        FV_ONEDNN_WORKSPACE_RULE ", and 4 c", backward_data),
    FV_KERNELS_END,
};
