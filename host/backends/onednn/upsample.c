/* Resizing of images by oneDNN's resampling, in NHWC. Its positions are ours without aligned corners, computed in f32:
 * nearest rounds them, halves up, which is our floor((p + 1/2) * h / P), as long as no quotient is rounded across a
 * half; linear has weights with an absolute error that grows with the image, unless every position is exact.
 */
#include "backends/onednn/onednn.h"
#include "base/error.h"

static fv_status look(const fv_upsample *d, dnnl_memory_desc_t *x, dnnl_memory_desc_t *y) {
    const int64_t input[] = {d->n, d->c, d->h, d->w}, output[] = {d->n, d->c, d->p, d->q};
    FV_TRY(fv_onednn_layout(x, 4, input, dnnl_f32, dnnl_nhwc));
    return fv_onednn_layout(y, 4, output, dnnl_f32, dnnl_nhwc);
}

static dnnl_alg_kind_t algorithm(const fv_upsample *d) {
    return d->mode == FV_NEAREST ? dnnl_resampling_nearest : dnnl_resampling_linear;
}

static fv_status design_forward_primitive(const fv_upsample *d, const dnnl_memory_desc_t *x,
                                          const dnnl_memory_desc_t *y, fv_onednn_design *design) {
    dnnl_resampling_desc_t descriptor;
    FV_TRY(
        fv_onednn_check(dnnl_resampling_forward_desc_init(&descriptor, dnnl_forward_training, algorithm(d), NULL, x, y),
                        "describe a resampling"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    dnnl_memory_desc_t x, y;
    FV_TRY(look(&op->upsample, &x, &y));
    FV_TRY(design_forward_primitive(&op->upsample, &x, &y, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &x);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &y);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    const fv_upsample *d = &op->upsample;
    dnnl_memory_desc_t x, y;
    FV_TRY(look(d, &x, &y));
    dnnl_resampling_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_resampling_backward_desc_init(&descriptor, algorithm(d), NULL, &x, &y),
                           "describe a resampling's backward_data"));
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(d, &x, &y, &forward));
    const fv_status status = fv_onednn_design_primitive(design, &descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    FV_TRY(status);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &y);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &x);
    return FV_OK;
}

/* Whether all positions along an axis, (p + 1/2) * input / output, and what they are computed from are exact in f32. */
static bool is_exact(int64_t input, int64_t output) {
    int64_t a = input, b = output;
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    const int64_t reduced = output / a;
    return (reduced & (reduced - 1)) == 0 && 2 * input * output < 1 << 24;
}

/* Whether no quotient can be rounded to or across a half that it is not: it lies at least 1/(2 * output) from one. */
static bool is_clear(int64_t input, int64_t output) {
    return input * output < 1 << 21;
}

static const char *supports(const fv_operation *op) {
    const fv_upsample *d = &op->upsample;
    const double reach[2] = {(double)d->h + (double)d->p, (double)d->w + (double)d->q};
    if (d->align)
        return "oneDNN has no aligned corners";
    if (d->mode == FV_BILINEAR && !(is_exact(d->h, d->p) && is_exact(d->w, d->q)))
        return "oneDNN computes weights in f32 from positions that are not exact there";
    if (d->mode == FV_NEAREST && !(is_clear(d->h, d->p) && is_clear(d->w, d->q)))
        return "oneDNN rounds positions in f32, which may meet another pixel";
    return fv_onednn_too_large(op, d->c, reach);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->upsample.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->upsample.n, describe_backward_data, state);
}

#define ROW(pass_, prepare_)                                                                                           \
    {                                                                                                                  \
        .kind = FV_UPSAMPLE, .pass = pass_, .dtype = FV_F32, .name = "resampling", .deterministic = true,              \
        .supports = supports, .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,     \
        .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics, .run = fv_onednn_run               \
    }

const fv_kernel fv_onednn_upsample[] = {
    ROW(FV_FORWARD, prepare_forward),
    ROW(FV_BACKWARD_DATA, prepare_backward_data),
    FV_KERNELS_END,
};
