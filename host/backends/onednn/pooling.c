/* Max and average pooling by oneDNN, in NHWC.
 *
 * What oneDNN calls the primitive's workspace is our argmax: for NHWC it holds, as u8 in NHWC, the position r*S + s of
 * the first maximum within its window. That is not documented, so the layout is checked when a plan is made, and the
 * contents by the same verification as any other result. oneDNN starts from the lowest finite number: where a window's
 * largest element is -infinity, y is -FLT_MAX and argmax 0.
 *
 * oneDNN knows no ceil mode: what a last window takes beyond the padding is told as padding. A maximum, and an average
 * over the image's pixels, is the same; an average that includes padding would count it.
 */
#include "backends/onednn/onednn.h"
#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

typedef struct view {
    dnnl_alg_kind_t algorithm;
    dnnl_memory_desc_t x, y, argmax;
    dnnl_dims_t strides, window, pads_before, pads_after;
} view;

/* Padding at the end with which the windows of an axis are as many without ceil. */
static int64_t pad_after(const fv_axis *axis) {
    fv_axis without = *axis;
    without.ceil = 0;
    if (fv_axis_output(&without) == fv_axis_output(axis))
        return axis->pad_after;
    return fv_max((fv_axis_output(axis) - 1) * axis->stride + fv_axis_span(axis) - axis->input - axis->pad_before, 0);
}

static fv_status look(const fv_operation *op, view *v) {
    const fv_pool2d *d = &op->pool;
    const fv_axis vertical = fv_pool_vertical(d), horizontal = fv_pool_horizontal(d);
    const int64_t x[] = {d->n, d->c, d->h, d->w}, y[] = {d->n, d->c, fv_pool_p(d), fv_pool_q(d)};
    *v = (view){
        .algorithm = op->kind == FV_MAXPOOL         ? dnnl_pooling_max
                     : op->avgpool.include_pad == 1 ? dnnl_pooling_avg_include_padding
                                                    : dnnl_pooling_avg_exclude_padding,
        .strides = {d->stride_h, d->stride_w},
        .window = {d->r, d->s},
        .pads_before = {d->pad_top, d->pad_left},
        .pads_after = {pad_after(&vertical), pad_after(&horizontal)},
    };
    FV_TRY(fv_onednn_layout(&v->x, 4, x, dnnl_f32, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->y, 4, y, dnnl_f32, dnnl_nhwc));
    return fv_onednn_layout(&v->argmax, 4, y, dnnl_u8, dnnl_nhwc);
}

static fv_status design_forward_primitive(const view *v, fv_onednn_design *design) {
    dnnl_pooling_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_pooling_forward_desc_init(&descriptor, dnnl_forward_training, v->algorithm, &v->x,
                                                          &v->y, v->strides, v->window, v->pads_before, v->pads_after),
                           "describe a pooling"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

/* A maximum's position is an operand; an average has none. */
static fv_status design_argmax(const view *v, fv_onednn_design *design) {
    if (v->algorithm != dnnl_pooling_max)
        return FV_OK;
    const dnnl_memory_desc_t *theirs = dnnl_primitive_desc_query_md(design->primitive, dnnl_query_workspace_md, 0);
    if (!theirs || !dnnl_memory_desc_equal(theirs, &v->argmax))
        return fv_fail(FV_UNSUPPORTED, "onednn: the pooling's workspace is not an NHWC u8 argmax");
    fv_onednn_design_operand(design, FV_ARGMAX, DNNL_ARG_WORKSPACE, &v->argmax);
    return FV_OK;
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(op, &v));
    FV_TRY(design_forward_primitive(&v, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &v.y);
    return design_argmax(&v, design);
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(op, &v));
    dnnl_pooling_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_pooling_backward_desc_init(&descriptor, v.algorithm, &v.x, &v.y, v.strides, v.window,
                                                           v.pads_before, v.pads_after),
                           "describe a pooling's backward_data"));
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(&v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, &descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    FV_TRY(status);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.x);
    return design_argmax(&v, design);
}

static const char *supports_pooling(const fv_operation *op) {
    const fv_pool2d *d = &op->pool;
    const fv_axis v = fv_pool_vertical(d), h = fv_pool_horizontal(d);
    const int64_t bottom = pad_after(&v), right = pad_after(&h);
    if ((d->dilation_h > 1 && d->r > 1) || (d->dilation_w > 1 && d->s > 1))
        return "oneDNN 2 has only unoptimised code for dilated pooling";
    if (d->pad_top >= d->r || bottom >= d->r || d->pad_left >= d->s || right >= d->s)
        return "oneDNN refuses padding that can hold a whole window";
    const double reach[2] = {
        (double)d->h + (double)d->pad_top + (double)bottom + (double)d->stride_h + (double)d->r,
        (double)d->w + (double)d->pad_left + (double)right + (double)d->stride_w + (double)d->s,
    };
    return fv_onednn_too_large(op, d->c, reach);
}

static const char *supports_max(const fv_operation *op) {
    const fv_maxpool *d = &op->maxpool;
    if (d->r > 255 || d->s > 255 || d->r * d->s > 255)
        return "oneDNN stores the argmax of a window with more than 255 positions in 32 bits";
    return supports_pooling(op);
}

static const char *supports_average(const fv_operation *op) {
    const fv_axis v = fv_pool_vertical(&op->pool), h = fv_pool_horizontal(&op->pool);
    if (op->avgpool.include_pad && (pad_after(&v) > v.pad_after || pad_after(&h) > h.pad_after))
        return "oneDNN would count what ceil adds to the padding";
    return supports_pooling(op);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->pool.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->pool.n, describe_backward_data, state);
}

#define ROW(kind_, pass_, supports_, prepare_)                                                                         \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = "pooling", .deterministic = true,                       \
        .supports = supports_, .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,    \
        .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics, .run = fv_onednn_run               \
    }

const fv_kernel fv_onednn_pooling[] = {
    ROW(FV_MAXPOOL, FV_FORWARD, supports_max, prepare_forward),
    ROW(FV_MAXPOOL, FV_BACKWARD_DATA, supports_max, prepare_backward_data),
    ROW(FV_AVGPOOL, FV_FORWARD, supports_average, prepare_forward),
    ROW(FV_AVGPOOL, FV_BACKWARD_DATA, supports_average, prepare_backward_data),
    FV_KERNELS_END,
};
