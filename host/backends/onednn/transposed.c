/* Transposed convolution by oneDNN's deconvolution primitive, direct algorithm. To oneDNN it is the backward pass of a
 * convolution, too, and takes that one's implementations.
 *
 * Our filters C,R,S,K/G are oneDNN's "ihwo": of logical shape [K, C, R, S], output channels contiguous. With groups the
 * same buffer reads as [G, K/G, C/G, R, S], of which the strides make G,C/G,R,S,K/G: "acdeb". Output padding needs no
 * mention, oneDNN derives it from the extents. */
#include "backends/onednn/onednn.h"
#include "base/error.h"

/* oneDNN's view of the operation. */
typedef struct view {
    dnnl_memory_desc_t x, y, b;
    dnnl_memory_desc_t w;           /* as our filters lie in memory */
    dnnl_memory_desc_t any_w;       /* the same in oneDNN's choice of layout */
    const dnnl_memory_desc_t *bias; /* &b, or NULL without one */
    dnnl_dims_t strides, dilations, pads_before, pads_after;
} view;

static fv_status describe_filter(const fv_transposed *d, dnnl_format_tag_t grouped, dnnl_format_tag_t dense,
                                 dnnl_memory_desc_t *w) {
    const int64_t with_groups[] = {d->groups, d->k / d->groups, d->c / d->groups, d->r, d->s};
    if (d->groups > 1)
        return fv_onednn_layout(w, 5, with_groups, dnnl_f32, grouped);
    return fv_onednn_layout(w, 4, with_groups + 1, dnnl_f32, dense);
}

static fv_status look(const fv_transposed *d, view *v) {
    const int64_t x[] = {d->n, d->c, d->h, d->w}, y[] = {d->n, d->k, fv_transposed_p(d), fv_transposed_q(d)};
    *v = (view){
        .strides = {d->stride_h, d->stride_w},
        .dilations = {d->dilation_h - 1, d->dilation_w - 1}, /* to oneDNN, 0 is dense */
        .pads_before = {d->pad_top, d->pad_left},
        .pads_after = {d->pad_bottom, d->pad_right},
    };
    FV_TRY(fv_onednn_layout(&v->x, 4, x, dnnl_f32, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->y, 4, y, dnnl_f32, dnnl_nhwc));
    FV_TRY(describe_filter(d, dnnl_acdeb, dnnl_ihwo, &v->w));
    FV_TRY(describe_filter(d, dnnl_format_tag_any, dnnl_format_tag_any, &v->any_w));
    FV_TRY(fv_onednn_layout(&v->b, 1, &d->k, dnnl_f32, dnnl_x));
    v->bias = d->bias ? &v->b : NULL;
    return FV_OK;
}

static fv_status design_forward_primitive(const view *v, fv_onednn_design *design) {
    dnnl_deconvolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_dilated_deconvolution_forward_desc_init(
                               &descriptor, dnnl_forward_training, dnnl_deconvolution_direct, &v->x, &v->any_w, v->bias,
                               &v->y, v->strides, v->dilations, v->pads_before, v->pads_after),
                           "describe a deconvolution"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

/* A backward primitive is described in view of the forward one. */
static fv_status design_backward_primitive(const view *v, const dnnl_deconvolution_desc_t *descriptor,
                                           fv_onednn_design *design) {
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    return status;
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->transposed, &v));
    FV_TRY(design_forward_primitive(&v, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &v.w);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &v.y);
    if (v.bias)
        fv_onednn_design_operand(design, FV_B, DNNL_ARG_BIAS, &v.b);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->transposed, &v));
    dnnl_deconvolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_dilated_deconvolution_backward_data_desc_init(&descriptor, dnnl_deconvolution_direct,
                                                                              &v.x, &v.any_w, &v.y, v.strides,
                                                                              v.dilations, v.pads_before, v.pads_after),
                           "describe a deconvolution's backward_data"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &v.w);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.x);
    return FV_OK;
}

static fv_status describe_backward_weights(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->transposed, &v));
    dnnl_deconvolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_dilated_deconvolution_backward_weights_desc_init(
                               &descriptor, dnnl_deconvolution_direct, &v.x, &v.any_w, v.bias, &v.y, v.strides,
                               v.dilations, v.pads_before, v.pads_after),
                           "describe a deconvolution's backward_weights"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_DW, DNNL_ARG_DIFF_WEIGHTS, &v.w);
    if (v.bias)
        fv_onednn_design_operand(design, FV_DB, DNNL_ARG_DIFF_BIAS, &v.b);
    return FV_OK;
}

/* The larger image is the output. */
static const char *supports(const fv_operation *op) {
    const fv_transposed *d = &op->transposed;
    const double reach[2] = {
        (double)fv_transposed_p(d) + (double)d->pad_top + (double)d->pad_bottom + (double)d->stride_h +
            (double)d->dilation_h * (double)d->r,
        (double)fv_transposed_q(d) + (double)d->pad_left + (double)d->pad_right + (double)d->stride_w +
            (double)d->dilation_w * (double)d->s,
    };
    return fv_onednn_too_large(op, d->k, reach);
}

/* The 1x1 filter gradient of a strided convolution writes outside its memory (conv2d.c), and this one is made of it;
 * what the convolution reads is our output. */
static const char *supports_weights(const fv_operation *op) {
    const fv_transposed *d = &op->transposed;
    if (d->r == 1 && d->s == 1 && (d->stride_h > 1 || d->stride_w > 1) && d->k / d->groups < 16)
        return "oneDNN's strided 1x1 filter gradient of fewer than 16 channels writes outside its memory";
    return supports(op);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->transposed.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->transposed.n, describe_backward_data, state);
}

static fv_status prepare_backward_weights(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->transposed.n, describe_backward_weights, state);
}

#define ROW(pass_, supports_, prepare_)                                                                                \
    {                                                                                                                  \
        .kind = FV_TRANSPOSED, .pass = pass_, .dtype = FV_F32, .name = "direct", .deterministic = true,                \
        .supports = supports_, .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,    \
        .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics, .run = fv_onednn_run               \
    }

const fv_kernel fv_onednn_transposed[] = {
    ROW(FV_FORWARD, supports, prepare_forward),
    ROW(FV_BACKWARD_DATA, supports, prepare_backward_data),
    ROW(FV_BACKWARD_WEIGHTS, supports_weights, prepare_backward_weights),
    FV_KERNELS_END,
};
