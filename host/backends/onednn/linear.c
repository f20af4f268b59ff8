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
static fv_status describe_matrix(dnnl_memory_desc_t *layout, dnnl_data_type_t type, int64_t rows, int64_t columns,
                                 dnnl_format_tag_t tag) {
    const int64_t dims[] = {rows, columns};
    return fv_onednn_layout(layout, 2, dims, type, tag);
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
    const dnnl_data_type_t type = fv_onednn_type(d->dtype);
    dnnl_memory_desc_t x, w, b, y, sums; /* sums: y, see fv_onednn_type */
    FV_TRY(describe_matrix(&x, type, d->n, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&w, type, d->c, d->k, dnnl_ba));
    FV_TRY(describe_matrix(&b, type, 1, d->k, dnnl_ab));
    FV_TRY(describe_matrix(&y, type, d->n, d->k, dnnl_ab));
    FV_TRY(describe_matrix(&sums, dnnl_f32, d->n, d->k, dnnl_ab));
    FV_TRY(design_matmul(design, &x, &w, d->bias ? &b : NULL, &sums));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC, &x);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &w);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &y);
    if (d->bias)
        fv_onednn_design_operand(design, FV_B, DNNL_ARG_BIAS, &b);
    return FV_OK;
}

static fv_status describe_backward_data(const fv_operation *op, fv_onednn_design *design) {
    const fv_linear *d = &op->linear;
    const dnnl_data_type_t type = fv_onednn_type(d->dtype);
    dnnl_memory_desc_t dy, w, dx, sums;
    FV_TRY(describe_matrix(&dy, type, d->n, d->k, dnnl_ab));
    FV_TRY(describe_matrix(&w, type, d->k, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&dx, type, d->n, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&sums, dnnl_f32, d->n, d->c, dnnl_ab));
    FV_TRY(design_matmul(design, &dy, &w, NULL, &sums));
    fv_onednn_design_operand(design, FV_DY, DNNL_ARG_SRC, &dy);
    fv_onednn_design_operand(design, FV_W, DNNL_ARG_WEIGHTS, &w);
    fv_onednn_design_operand(design, FV_DX, DNNL_ARG_DST, &dx);
    return FV_OK;
}

/* oneDNN describes a backward primitive in view of the forward one. */
static fv_status design_weights_primitive(fv_onednn_design *design, const fv_linear *d, const dnnl_memory_desc_t *x,
                                          const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *b,
                                          const dnnl_memory_desc_t *y) {
    dnnl_inner_product_desc_t forward, backward;
    dnnl_memory_desc_t w_sums, b_sums;
    FV_TRY(describe_matrix(&w_sums, dnnl_f32, d->k, d->c, dnnl_ab));
    FV_TRY(fv_onednn_layout(&b_sums, 1, &d->k, dnnl_f32, dnnl_x));
    FV_TRY(fv_onednn_check(dnnl_inner_product_forward_desc_init(&forward, dnnl_forward_training, x, w, b, y),
                           "describe a linear layer"));
    FV_TRY(fv_onednn_check(dnnl_inner_product_backward_weights_desc_init(&backward, x, &w_sums, b ? &b_sums : NULL, y),
                           "describe a linear layer's backward_weights"));
    fv_onednn_design hint = {.engine = design->engine, .attributes = design->attributes};
    FV_TRY(fv_onednn_design_primitive(&hint, &forward, NULL));
    const fv_status status = fv_onednn_design_primitive(design, &backward, hint.primitive);
    dnnl_primitive_desc_destroy(hint.primitive);
    return status;
}

static fv_status describe_backward_weights(const fv_operation *op, fv_onednn_design *design) {
    const fv_linear *d = &op->linear;
    const dnnl_data_type_t type = fv_onednn_type(d->dtype);
    dnnl_memory_desc_t x, dw, db, dy;
    FV_TRY(describe_matrix(&x, type, d->n, d->c, dnnl_ab));
    FV_TRY(describe_matrix(&dw, type, d->k, d->c, dnnl_ab));
    FV_TRY(fv_onednn_layout(&db, 1, &d->k, type, dnnl_x));
    FV_TRY(describe_matrix(&dy, type, d->n, d->k, dnnl_ab));
    FV_TRY(design_weights_primitive(design, d, &x, &dw, d->bias ? &db : NULL, &dy));
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

#define ROW(dtype_, pass_, name_, prepare_)                                                                            \
    {                                                                                                                  \
        .kind = FV_LINEAR, .pass = pass_, .dtype = dtype_, .name = name_, .deterministic = true,                       \
        .lacks = FV_ONEDNN_LACKS(dtype_), .supports = supports, .prepare = prepare_, .release = fv_onednn_release,     \
        .workspace = fv_onednn_workspace, .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics,  \
        .run = fv_onednn_run                                                                                           \
    }

#define ROWS(dtype)                                                                                                    \
    ROW(dtype, FV_FORWARD, "matmul", prepare_forward), ROW(dtype, FV_BACKWARD_DATA, "matmul", prepare_backward_data),  \
        ROW(dtype, FV_BACKWARD_WEIGHTS, "inner_product", prepare_backward_weights)

const fv_kernel fv_onednn_linear[] = {ROWS(FV_F32), ROWS(FV_BF16), FV_KERNELS_END};
