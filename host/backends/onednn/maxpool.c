/* Max-pooling by oneDNN, in NHWC.
 *
 * What oneDNN calls the primitive's workspace is our argmax: for NHWC it holds, as u8 in NHWC, the position r*S + s of
 * the first maximum within its window. That is not documented, so the layout is checked when a plan is made, and the
 * contents by the same verification as any other result. oneDNN starts from the lowest finite number: where a window's
 * largest element is -infinity, y is -FLT_MAX and argmax 0.
 */
#include "backends/onednn/onednn.h"
#include "base/error.h"

typedef struct view {
    dnnl_memory_desc_t x, y, argmax;
    dnnl_dims_t strides, window, pads_before, pads_after;
} view;

static fv_status look(const fv_maxpool *d, view *v) {
    const int64_t x[] = {d->n, d->c, d->h, d->w}, y[] = {d->n, d->c, fv_maxpool_p(d), fv_maxpool_q(d)};
    *v = (view){
        .strides = {d->stride_h, d->stride_w},
        .window = {d->r, d->s},
        .pads_before = {d->pad_top, d->pad_left},
        .pads_after = {d->pad_bottom, d->pad_right},
    };
    FV_TRY(fv_onednn_layout(&v->x, 4, x, dnnl_f32, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->y, 4, y, dnnl_f32, dnnl_nhwc));
    return fv_onednn_layout(&v->argmax, 4, y, dnnl_u8, dnnl_nhwc);
}

static fv_status design_forward_primitive(const view *v, fv_onednn_design *design) {
    dnnl_pooling_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_pooling_forward_desc_init(&descriptor, dnnl_forward_training, dnnl_pooling_max, &v->x,
                                                          &v->y, v->strides, v->window, v->pads_before, v->pads_after),
                           "describe a pooling"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status require_our_argmax(const view *v, const_dnnl_primitive_desc_t primitive) {
    const dnnl_memory_desc_t *theirs = dnnl_primitive_desc_query_md(primitive, dnnl_query_workspace_md, 0);
    if (!theirs || !dnnl_memory_desc_equal(theirs, &v->argmax))
        return fv_fail(FV_UNSUPPORTED, "onednn: the pooling's workspace is not an NHWC u8 argmax");
    return FV_OK;
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->maxpool, &v));
    FV_TRY(design_forward_primitive(&v, design));
    FV_TRY(require_our_argmax(&v, design->primitive));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &v.y);
    fv_onednn_design_operand(design, FV_ARGMAX, DNNL_ARG_WORKSPACE, &v.argmax);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->maxpool, &v));
    dnnl_pooling_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_pooling_backward_desc_init(&descriptor, dnnl_pooling_max, &v.x, &v.y, v.strides,
                                                           v.window, v.pads_before, v.pads_after),
                           "describe a pooling's backward_data"));
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(&v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, &descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    FV_TRY(status);
    FV_TRY(require_our_argmax(&v, design->primitive));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_ARGMAX, DNNL_ARG_WORKSPACE, &v.argmax);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.x);
    return FV_OK;
}

static const char *supports(const fv_operation *op) {
    const fv_maxpool *d = &op->maxpool;
    if ((d->dilation_h > 1 && d->r > 1) || (d->dilation_w > 1 && d->s > 1))
        return "oneDNN 2 has only unoptimised code for dilated pooling";
    if (d->r > 255 || d->s > 255 || d->r * d->s > 255)
        return "oneDNN stores the argmax of a window with more than 255 positions in 32 bits";
    if (d->pad_top >= d->r || d->pad_bottom >= d->r || d->pad_left >= d->s || d->pad_right >= d->s)
        return "oneDNN refuses padding that can hold a whole window";
    const double reach[2] = {
        (double)d->h + (double)d->pad_top + (double)d->pad_bottom + (double)d->stride_h + (double)d->r,
        (double)d->w + (double)d->pad_left + (double)d->pad_right + (double)d->stride_w + (double)d->s,
    };
    return fv_onednn_too_large(op, d->c, reach);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->maxpool.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->maxpool.n, describe_backward_data, state);
}

#define ROW(pass_, prepare_)                                                                                           \
    {                                                                                                                  \
        .kind = FV_MAXPOOL, .pass = pass_, .dtype = FV_F32, .name = "pooling", .deterministic = true,                  \
        .supports = supports, .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,     \
        .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics, .run = fv_onednn_run               \
    }

const fv_kernel fv_onednn_maxpool[] = {
    ROW(FV_FORWARD, prepare_forward),
    ROW(FV_BACKWARD_DATA, prepare_backward_data),
    FV_KERNELS_END,
};
