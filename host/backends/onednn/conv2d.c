/* conv2d and conv2d_transposed by oneDNN's direct algorithms (never Winograd, whose rounding errors are of another size).
 * A transposed convolution is oneDNN's deconvolution: to oneDNN the backward pass of a convolution, too, made of that
 * one's implementations. Both are described in the same words.
 *
 * Activations are used where they lie, in NHWC. oneDNN 2.6 has generated code or matrix products for that layout on
 * every instruction set from SSE 4.1 up and in every geometry tried. With AVX-512 on two cores of Zen 5, milliseconds
 * at batch 256, in NHWC and in oneDNN's choice with the conversions it needs:
 *
 *                              forward          backward_data    backward_weights
 *     28x28x1  -> 24, 5x5      0.81    0.94     -                1.13    1.00
 *     12x12x24 -> 32, 3x3      0.74    1.14     1.07    1.08     0.79    1.16
 *
 * Filters are converted to the layout that oneDNN chooses, which costs next to nothing: 0.002 ms for 32x3x3x24.
 * Our K,R,S,C/G is oneDNN's "ohwi"; with groups the same buffer reads as G,K/G,R,S,C/G, "gohwi". The filters C,R,S,K/G of
 * a transposed convolution are "ihwo": of logical shape [K, C, R, S], output channels contiguous. With groups the same
 * buffer reads as [G, K/G, C/G, R, S], of which the strides make G,C/G,R,S,K/G: "acdeb". Output padding needs no mention,
 * oneDNN derives it from the extents.
 *
 * bf16 wants AVX-512; oneDNN 2.6 has no f16 on CPUs.
 */
#include "backends/onednn/onednn.h"
#include "base/error.h"
#include "ops/op.h"

/* Either operation: its sizes, and what the two differ in. oneDNN has one type for the descriptors of both. */
typedef struct convolution {
    const fv_window2d *window;
    int64_t k, groups, bias, p, q;
    dnnl_format_tag_t dense, grouped; /* filters */
    dnnl_alg_kind_t direct;
    dnnl_status_t (*forward)(dnnl_convolution_desc_t *, dnnl_prop_kind_t, dnnl_alg_kind_t, const dnnl_memory_desc_t *x,
                             const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *b, const dnnl_memory_desc_t *y,
                             const dnnl_dims_t strides, const dnnl_dims_t dilations, const dnnl_dims_t pads_before,
                             const dnnl_dims_t pads_after);
    dnnl_status_t (*backward_data)(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *dx,
                                   const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *dy, const dnnl_dims_t strides,
                                   const dnnl_dims_t dilations, const dnnl_dims_t pads_before,
                                   const dnnl_dims_t pads_after);
    dnnl_status_t (*backward_weights)(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *x,
                                      const dnnl_memory_desc_t *dw, const dnnl_memory_desc_t *db,
                                      const dnnl_memory_desc_t *dy, const dnnl_dims_t strides,
                                      const dnnl_dims_t dilations, const dnnl_dims_t pads_before,
                                      const dnnl_dims_t pads_after);
} convolution;

static convolution convolution_of(const fv_operation *op) {
    if (op->kind == FV_CONV2D) {
        const fv_conv2d *d = &op->conv2d;
        return (convolution){.window = &op->window,
                             .k = d->k,
                             .groups = d->groups,
                             .bias = d->bias,
                             .p = fv_conv2d_p(d),
                             .q = fv_conv2d_q(d),
                             .dense = dnnl_ohwi,
                             .grouped = dnnl_gohwi,
                             .direct = dnnl_convolution_direct,
                             .forward = dnnl_dilated_convolution_forward_desc_init,
                             .backward_data = dnnl_dilated_convolution_backward_data_desc_init,
                             .backward_weights = dnnl_dilated_convolution_backward_weights_desc_init};
    }
    const fv_transposed *d = &op->transposed;
    return (convolution){.window = &op->window,
                         .k = d->k,
                         .groups = d->groups,
                         .bias = d->bias,
                         .p = fv_transposed_p(d),
                         .q = fv_transposed_q(d),
                         .dense = dnnl_ihwo,
                         .grouped = dnnl_acdeb,
                         .direct = dnnl_deconvolution_direct,
                         .forward = dnnl_dilated_deconvolution_forward_desc_init,
                         .backward_data = dnnl_dilated_deconvolution_backward_data_desc_init,
                         .backward_weights = dnnl_dilated_deconvolution_backward_weights_desc_init};
}

/* oneDNN's view of the operation. Results are f32 to a primitive, see fv_onednn_type. */
typedef struct view {
    convolution c;
    dnnl_memory_desc_t x, y, b, x_result, y_result, b_result;
    dnnl_memory_desc_t w;                      /* as our filters lie in memory */
    dnnl_memory_desc_t any_w, any_w_result;    /* the same in oneDNN's choice of layout */
    const dnnl_memory_desc_t *bias, *bias_sum; /* &b and &b_result, or NULL without one */
    dnnl_dims_t strides, dilations, pads_before, pads_after;
} view;

static fv_status describe_filter(const convolution *c, dnnl_data_type_t type, dnnl_format_tag_t grouped,
                                 dnnl_format_tag_t dense, dnnl_memory_desc_t *w) {
    const fv_window2d *d = c->window;
    const int64_t with_groups[] = {c->groups, c->k / c->groups, d->c / c->groups, d->r, d->s};
    if (c->groups > 1)
        return fv_onednn_layout(w, 5, with_groups, type, grouped);
    return fv_onednn_layout(w, 4, with_groups + 1, type, dense);
}

static fv_status look(const fv_operation *op, view *v) {
    const fv_window2d *d = &op->window;
    const convolution c = convolution_of(op);
    const int64_t x[] = {d->n, d->c, d->h, d->w}, y[] = {d->n, c.k, c.p, c.q};
    *v = (view){
        .c = c,
        .strides = {d->stride_h, d->stride_w},
        .dilations = {d->dilation_h - 1, d->dilation_w - 1}, /* to oneDNN, 0 is dense */
        .pads_before = {d->pad_top, d->pad_left},
        .pads_after = {d->pad_bottom, d->pad_right},
    };
    const dnnl_data_type_t type = fv_onednn_type(fv_operation_dtype(op));
    FV_TRY(fv_onednn_layout(&v->x, 4, x, type, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->x_result, 4, x, dnnl_f32, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->y, 4, y, type, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&v->y_result, 4, y, dnnl_f32, dnnl_nhwc));
    FV_TRY(describe_filter(&c, type, c.grouped, c.dense, &v->w));
    FV_TRY(describe_filter(&c, type, dnnl_format_tag_any, dnnl_format_tag_any, &v->any_w));
    FV_TRY(describe_filter(&c, dnnl_f32, dnnl_format_tag_any, dnnl_format_tag_any, &v->any_w_result));
    FV_TRY(fv_onednn_layout(&v->b, 1, &c.k, type, dnnl_x));
    FV_TRY(fv_onednn_layout(&v->b_result, 1, &c.k, dnnl_f32, dnnl_x));
    v->bias = c.bias ? &v->b : NULL;
    v->bias_sum = c.bias ? &v->b_result : NULL;
    return FV_OK;
}

static fv_status design_forward_primitive(const view *v, fv_onednn_design *design) {
    dnnl_convolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(v->c.forward(&descriptor, dnnl_forward_training, v->c.direct, &v->x, &v->any_w, v->bias,
                                        &v->y_result, v->strides, v->dilations, v->pads_before, v->pads_after),
                           "describe a convolution"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

/* A backward primitive is described in view of the forward one. */
static fv_status design_backward_primitive(const view *v, const dnnl_convolution_desc_t *descriptor,
                                           fv_onednn_design *design) {
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    return status;
}

/* As `design_forward_primitive`, with max(y, 0) in the end: attributes of this primitive alone. */
static fv_status design_forward_with_relu(const view *v, fv_onednn_design *design) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t done = dnnl_primitive_attr_clone(&attributes, design->attributes);
    if (done == dnnl_success)
        done = dnnl_post_ops_create(&post_ops);
    if (done == dnnl_success)
        done = dnnl_post_ops_append_eltwise(post_ops, 1, dnnl_eltwise_relu, 0, 0);
    if (done == dnnl_success)
        done = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    fv_status status = fv_onednn_check(done, "set a relu behind a convolution");
    if (status == FV_OK) {
        fv_onednn_design forward = {.engine = design->engine, .attributes = attributes};
        status = design_forward_primitive(v, &forward);
        design->primitive = forward.primitive;
    }
    dnnl_post_ops_destroy(post_ops);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(op, &v));
    const bool relu = op->kind == FV_CONV2D && op->conv2d.relu;
    FV_TRY(relu ? design_forward_with_relu(&v, design) : design_forward_primitive(&v, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &v.w);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &v.y);
    if (v.bias)
        fv_onednn_design_operand(design, FV_B, DNNL_ARG_BIAS, &v.b);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(op, &v));
    dnnl_convolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(v.c.backward_data(&descriptor, v.c.direct, &v.x_result, &v.any_w, &v.y, v.strides,
                                             v.dilations, v.pads_before, v.pads_after),
                           "describe a convolution's backward_data"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &v.w);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.x);
    return FV_OK;
}

static fv_status describe_backward_weights(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(op, &v));
    dnnl_convolution_desc_t descriptor;
    FV_TRY(fv_onednn_check(v.c.backward_weights(&descriptor, v.c.direct, &v.x, &v.any_w_result, v.bias_sum, &v.y,
                                                v.strides, v.dilations, v.pads_before, v.pads_after),
                           "describe a convolution's backward_weights"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_DW, DNNL_ARG_DIFF_WEIGHTS, &v.w);
    if (v.bias)
        fv_onednn_design_operand(design, FV_DB, DNNL_ARG_DIFF_BIAS, &v.b);
    return FV_OK;
}

/* oneDNN's convolution of either operation reads the larger image; for a transposed one, that is our output. */
static const char *supports(const fv_operation *op) {
    const fv_window2d *d = &op->window;
    const convolution c = convolution_of(op);
    const bool transposed = op->kind == FV_TRANSPOSED;
    const double reach[2] = {
        (double)(transposed ? c.p : d->h) + (double)d->pad_top + (double)d->pad_bottom + (double)d->stride_h +
            (double)d->dilation_h * (double)d->r,
        (double)(transposed ? c.q : d->w) + (double)d->pad_left + (double)d->pad_right + (double)d->stride_w +
            (double)d->dilation_w * (double)d->s,
    };
    return fv_onednn_too_large(op, transposed ? c.k : d->c, reach);
}

/* With a stride and fewer channels to read than a vector has lanes, oneDNN's 1x1 filter gradient writes past the scratch
 * memory that it asked for: github.com/uxlfoundation/oneDNN/issues/6035, still there in 3.12. The deconvolution's is made
 * of it. */
static const char *supports_weights(const fv_operation *op) {
    const fv_window2d *d = &op->window;
    const convolution c = convolution_of(op);
    const int64_t channels = (op->kind == FV_TRANSPOSED ? c.k : d->c) / c.groups;
    if (d->r == 1 && d->s == 1 && (d->stride_h > 1 || d->stride_w > 1) && channels < 16)
        return "oneDNN's strided 1x1 filter gradient of fewer than 16 channels writes outside its memory";
    return supports(op);
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->window.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->window.n, describe_backward_data, state);
}

static fv_status prepare_backward_weights(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->window.n, describe_backward_weights, state);
}

#define ROW(kind_, dtype_, pass_, supports_, prepare_)                                                                 \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = dtype_, .name = "direct", .deterministic = true,                        \
        .lacks = FV_ONEDNN_LACKS(dtype_), .supports = supports_, .prepare = prepare_, .release = fv_onednn_release,    \
        .workspace = fv_onednn_workspace, .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics,  \
        .run = fv_onednn_run, .fuses_relu = (kind_) == FV_CONV2D && (pass_) == FV_FORWARD                              \
    }

#define DATA_ROWS(kind, dtype)                                                                                         \
    ROW(kind, dtype, FV_FORWARD, supports, prepare_forward),                                                           \
        ROW(kind, dtype, FV_BACKWARD_DATA, supports, prepare_backward_data)
#define WEIGHTS_ROW(kind, dtype) ROW(kind, dtype, FV_BACKWARD_WEIGHTS, supports_weights, prepare_backward_weights)

/* No filter gradient in bf16: oneDNN 2.6's (jit_bf16) leaves weights unwritten that no window of the image meets, and of
 * some images one pixel wide, as "conv2d c=1 h=2 w=1 k=1 kernel=2x1 stride=1x2" shows. */
const fv_kernel fv_onednn_conv2d[] = {
    DATA_ROWS(FV_CONV2D, FV_F32),
    WEIGHTS_ROW(FV_CONV2D, FV_F32),
    DATA_ROWS(FV_CONV2D, FV_BF16),
    DATA_ROWS(FV_TRANSPOSED, FV_F32),
    WEIGHTS_ROW(FV_TRANSPOSED, FV_F32),
    DATA_ROWS(FV_TRANSPOSED, FV_BF16),
    FV_KERNELS_END,
};
