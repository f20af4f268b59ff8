/* Linear layers: y = x w' and dx = dy w by oneDNN's matmul, dw = dy' x by its inner product, which sums db on the way.
 *
 * Weights stay as they are, K,C. A layout of oneDNN's own choice would have to be made anew on every call. Milliseconds
 * with AVX-512 on two cores of Zen 5, inner product in oneDNN's choice of layout counted with the conversion:
 *
 *                               forward                  backward_data            backward_weights
 *                               matmul  inner product    matmul  inner product    inner product
 *                                       as is   chosen           as is   chosen   as is   chosen
 *     n=256  800 -> 256         0.21    0.26    0.23     0.20    0.20    0.24     0.21    0.25
 *     n=64  2048 -> 1000        0.62    1.92    2.46     0.62    0.55    2.39     0.52    0.92
 */
#include "backends/onednn/onednn.h"
#include "base/error.h"

/* Row-major, or with dnnl_ba column-major: the transpose of a row-major matrix of columns x rows. */
static fv_status describe_matrix(dnnl_memory_desc_t *layout, int64_t rows, int64_t columns, dnnl_format_tag_t tag) {
    const int64_t dims[] = {rows, columns};
    return fv_onednn_layout(layout, 2, dims, dnnl_f32, tag);
}

static fv_status design_matmul(fv_onednn_design *design, const dnnl_memory_desc_t *left,
                               const dnnl_memory_desc_t *right, const dnnl_memory_desc_t *bias,
                               const dnnl_memory_desc_t *product) {
    dnnl_matmul_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_matmul_desc_init(&descriptor, left, right, bias, product), "describe a linear layer"));
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status describe_forward(const fv_operation *op, fv_onednn_design *design) {
    const fv_linear *d = &op->linear;
    dnnl_memory_desc_t x, w, b, y;
    FV_TRY(describe_matrix(&x, d->n, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&w, d->c, d->k, dnnl_ba));
    FV_TRY(describe_matrix(&b, 1, d->k, dnnl_ab));
    FV_TRY(describe_matrix(&y, d->n, d->k, dnnl_ab));
    FV_TRY(design_matmul(design, &x, &w, d->bias ? &b : NULL, &y));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &x);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &w);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &y);
    if (d->bias)
        fv_onednn_design_operand(design, FV_B, DNNL_ARG_BIAS, &b);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    const fv_linear *d = &op->linear;
    dnnl_memory_desc_t dy, w, dx;
    FV_TRY(describe_matrix(&dy, d->n, d->k, dnnl_ab));
    FV_TRY(describe_matrix(&w, d->k, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&dx, d->n, d->c, dnnl_ab));
    FV_TRY(design_matmul(design, &dy, &w, NULL, &dx));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_SRC, &dy);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &w);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DST, &dx);
    return FV_OK;
}

/* oneDNN describes a backward primitive in view of the forward one. */
static fv_status design_weights_primitive(fv_onednn_design *design, const dnnl_memory_desc_t *x,
                                          const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *b,
                                          const dnnl_memory_desc_t *y) {
    dnnl_inner_product_desc_t forward, backward;
    FV_TRY(fv_onednn_check(dnnl_inner_product_forward_desc_init(&forward, dnnl_forward_training, x, w, b, y),
                           "describe a linear layer"));
    FV_TRY(fv_onednn_check(dnnl_inner_product_backward_weights_desc_init(&backward, x, w, b, y),
                           "describe a linear layer's backward_weights"));
    fv_onednn_design hint = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(fv_onednn_design_primitive(&hint, &forward, NULL));
    const fv_status status = fv_onednn_design_primitive(design, &backward, hint.primitive);
    dnnl_primitive_desc_destroy(hint.primitive);
    return status;
}

static fv_status describe_backward_weights(const fv_operation *op, fv_onednn_design *design) {
    const fv_linear *d = &op->linear;
    dnnl_memory_desc_t x, dw, db, dy;
    FV_TRY(describe_matrix(&x, d->n, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&dw, d->k, d->c, dnnl_ab));
    FV_TRY(fv_onednn_layout(&db, 1, &d->k, dnnl_f32, dnnl_x));
    FV_TRY(describe_matrix(&dy, d->n, d->k, dnnl_ab));
    FV_TRY(design_weights_primitive(design, &x, &dw, d->bias ? &db : NULL, &dy));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &x);
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_DIFF_DST, &dy);
    fv_onednn_design_operand(design, FV_DW, DNNL_ARG_DIFF_WEIGHTS, &dw);
    if (d->bias)
        fv_onednn_design_operand(design, FV_DB, DNNL_ARG_DIFF_BIAS, &db);
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

#define ROW(pass_, name_, prepare_)                                                                                    \
    {                                                                                                                  \
        .kind = FV_LINEAR, .pass = pass_, .dtype = FV_F32, .name = name_, .deterministic = true, .supports = supports, \
        .prepare = prepare_, .release = fv_onednn_release, .workspace = fv_onednn_workspace,                           \
        .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics, .run = fv_onednn_run               \
    }

const fv_kernel fv_onednn_linear[] = {
    ROW(FV_FORWARD, "matmul", prepare_forward),
    ROW(FV_BACKWARD_DATA, "matmul", prepare_backward_data),
    ROW(FV_BACKWARD_WEIGHTS, "inner_product", prepare_backward_weights),
    FV_KERNELS_END,
};
