/* What moves values about, by oneDNN: concat, add, and flatten, which is a reorder. The gradients of concat and add are
 * in plain.c. */
#include "backends/onednn/onednn.h"
#include "base/error.h"

static const char *supports_size(const fv_operation *op) {
    return fv_onednn_too_large(op, 1, (const double[]){1, 1});
}

/* ---- concat ---- */

static fv_status describe_concat(const fv_operation *op, fv_onednn_design *design) {
    static const fv_role roles[FV_MAX_PARTS] = {FV_X, FV_X2, FV_X3, FV_X4};
    const fv_concat *d = &op->concat;
    dnnl_memory_desc_t x[FV_MAX_PARTS], y;
    int parts = 0;
    int64_t channels = 0;
    for (; parts < FV_MAX_PARTS && d->c[parts]; ++parts) {
        const int64_t extents[] = {d->n, d->c[parts], d->h, d->w};
        FV_TRY(fv_onednn_layout(&x[parts], 4, extents, dnnl_f32, dnnl_nhwc));
        fv_onednn_design_operand(design, roles[parts], DNNL_ARG_MULTIPLE_SRC + parts, &x[parts]);
        channels += d->c[parts];
    }
    const int64_t extents[] = {d->n, channels, d->h, d->w};
    FV_TRY(fv_onednn_layout(&y, 4, extents, dnnl_f32, dnnl_nhwc));
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &y);
    return fv_onednn_check(
        dnnl_concat_primitive_desc_create(&design->primitive, &y, parts, 1, x, design->attributes, design->engine),
        "find a concatenation");
}

static fv_status prepare_concat(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->concat.n, describe_concat, state);
}

/* ---- add ---- */

static fv_status describe_add(const fv_operation *op, fv_onednn_design *design) {
    dnnl_memory_desc_t all;
    dnnl_binary_desc_t descriptor;
    FV_TRY(fv_onednn_layout(&all, 1, &op->add.elements, dnnl_f32, dnnl_a));
    FV_TRY(
        fv_onednn_check(dnnl_binary_desc_init(&descriptor, dnnl_binary_add, &all, &all, &all), "describe an addition"));
    fv_onednn_design_operand(design, FV_X, DNNL_ARG_SRC_0, &all);
    fv_onednn_design_operand(design, FV_X2, DNNL_ARG_SRC_1, &all);
    fv_onednn_design_operand(design, FV_Y, DNNL_ARG_DST, &all);
    return fv_onednn_design_primitive(design, &descriptor, NULL);
}

static fv_status prepare_add(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->add.elements, describe_add, state);
}

/* ---- flatten ---- */

/* From the images to the rows of features, or back. */
static fv_status describe_flatten(const fv_operation *op, fv_role from, fv_role to, fv_onednn_design *design) {
    const fv_flatten *d = &op->flatten;
    const int64_t extents[] = {d->n, d->c, d->h, d->w};
    dnnl_memory_desc_t images, features;
    FV_TRY(fv_onednn_layout(&images, 4, extents, dnnl_f32, dnnl_nhwc));
    FV_TRY(fv_onednn_layout(&features, 4, extents, dnnl_f32, d->order == FV_CHW ? dnnl_nchw : dnnl_nhwc));
    const dnnl_memory_desc_t *source = from == FV_X ? &images : &features, *target = to == FV_Y ? &features : &images;
    fv_onednn_design_operand(design, from, DNNL_ARG_FROM, source);
    fv_onednn_design_operand(design, to, DNNL_ARG_TO, target);
    return fv_onednn_check(dnnl_reorder_primitive_desc_create(&design->primitive, source, design->engine, target,
                                                              design->engine, design->attributes),
                           "find a reorder");
}

static fv_status describe_flatten_forward(const fv_operation *op, fv_onednn_design *design) {
    return describe_flatten(op, FV_X, FV_Y, design);
}

static fv_status describe_flatten_backward(const fv_operation *op, fv_onednn_design *design) {
    return describe_flatten(op, FV_DY, FV_DX, design);
}

static fv_status prepare_flatten_forward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->flatten.n, describe_flatten_forward, state);
}

static fv_status prepare_flatten_backward(fv_context *context, const fv_operation *op, void **state) {
    return fv_onednn_prepare(context, op, op->flatten.n, describe_flatten_backward, state);
}

#define ROW(kind_, pass_, name_, prepare_)                                                                             \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = name_, .deterministic = true,                           \
        .supports = supports_size, .prepare = prepare_, .release = fv_onednn_release,                                  \
        .workspace = fv_onednn_workspace, .workspace_rule = FV_ONEDNN_WORKSPACE_RULE, .numerics = fv_onednn_numerics,  \
        .run = fv_onednn_run                                                                                           \
    }

const fv_kernel fv_onednn_moves[] = {
    ROW(FV_CONCAT, FV_FORWARD, "concat", prepare_concat),
    ROW(FV_ADD, FV_FORWARD, "binary", prepare_add),
    ROW(FV_FLATTEN, FV_FORWARD, "reorder", prepare_flatten_forward),
    ROW(FV_FLATTEN, FV_BACKWARD_DATA, "reorder", prepare_flatten_backward),
    FV_KERNELS_END,
};
