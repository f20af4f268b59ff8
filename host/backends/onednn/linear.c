/* Linear layers by oneDNN's inner product.
 *
 * Weights stay as they are, K,C. A layout of oneDNN's own choice would have to be made anew on every call and gains
 * nothing over that: with AVX-512 on two cores of Zen 5, 800 -> 256 at batch 256 takes 0.26, 0.21 and 0.21 ms (forward,
 * backward_data, backward_weights) as it is, against 0.23, 0.25 and 0.26 ms with conversion; at small batches the
 * conversion would dominate.
 */
#include "backends/onednn/onednn.h"
#include "base/error.h"

typedef struct view {
    dnnl_memory_desc_t x, w, b, y;
    const dnnl_memory_desc_t *bias; /* &b, or NULL without one */
} view;

static fv_status look(const fv_linear *d, view *v) {
    const int64_t x[] = {d->n, d->c}, w[] = {d->k, d->c}, y[] = {d->n, d->k};
    FV_TRY(fv_onednn_layout(&v->x, 2, x, dnnl_f32, dnnl_ab));
    FV_TRY(fv_onednn_layout(&v->w, 2, w, dnnl_f32, dnnl_ab));
    FV_TRY(fv_onednn_layout(&v->y, 2, y, dnnl_f32, dnnl_ab));
    FV_TRY(fv_onednn_layout(&v->b, 1, &d->k, dnnl_f32, dnnl_x));
    v->bias = d->bias ? &v->b : NULL;
    return FV_OK;
}

static fv_status design_forward_primitive(const view *v, fv_onednn_design *design) {
    dnnl_inner_product_desc_t descriptor;
    FV_TRY(fv_onednn_check(
        dnnl_inner_product_forward_desc_init(&descriptor, dnnl_forward_training, &v->x, &v->w, v->bias, &v->y),
        "describe a linear layer"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status design_backward_primitive(const view *v, const dnnl_inner_product_desc_t *descriptor,
                                           fv_onednn_design *design) {
    fv_onednn_design forward = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(design_forward_primitive(v, &forward));
    const fv_status status = fv_onednn_design_primitive(design, descriptor, forward.primitive);
    dnnl_primitive_desc_destroy(forward.primitive);
    return status;
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->linear, &v));
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
    FV_TRY(look(&op->linear, &v));
    dnnl_inner_product_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_inner_product_backward_data_desc_init(&descriptor, &v.x, &v.w, &v.y),
                           "describe a linear layer's backward_data"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &v.w);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DIFF_SRC, &v.x);
    return FV_OK;
}

static fv_status describe_backward_weights(const fv_operation *op, fv_onednn_design *design) {
    view v;
    FV_TRY(look(&op->linear, &v));
    dnnl_inner_product_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_inner_product_backward_weights_desc_init(&descriptor, &v.x, &v.w, v.bias, &v.y),
                           "describe a linear layer's backward_weights"));
    FV_TRY(design_backward_primitive(&v, &descriptor, design));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &v.x);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &v.y);
    fv_onednn_design_operand(design, FV_DW, DNNL_ARG_DIFF_WEIGHTS, &v.w);
    if (v.bias)
        fv_onednn_design_operand(design, FV_DB, DNNL_ARG_DIFF_BIAS, &v.b);
    return FV_OK;
}

static const char *supports(const fv_operation *op) {
    return fv_onednn_too_large(op, 1, (const double[2]){1, 1});
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->linear.n, describe_forward, state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->linear.n, describe_backward_data, state);
}

static fv_status prepare_backward_weights(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->linear.n, describe_backward_weights, state);
}

#define ROW(pass_, prepare_)                                                                                           \
    {                                                                                                                  \
        .kind = FV_LINEAR, .pass = pass_, .dtype = FV_F32, .name = "inner_product", .deterministic = true,             \
        .supports = supports, .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,     \
        .run = fv_onednn_run                                                                                           \
    }

const fv_kernel fv_onednn_linear[] = {
    ROW(FV_FORWARD, prepare_forward),
    ROW(FV_BACKWARD_DATA, prepare_backward_data),
    ROW(FV_BACKWARD_WEIGHTS, prepare_backward_weights),
    FV_KERNELS_END,
};
