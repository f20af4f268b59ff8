#include "ops/chain.h"

#include <math.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/dtype.h"

void fv_chain_stages(const fv_operation *op, fv_operation stages[2]) {
    fv_conv2d stage[2];
    if (op->kind == FV_SEPARABLE)
        fv_separable_stages(&op->separable, stage);
    else
        fv_spatial_stages(&op->spatial, stage);
    for (int i = 0; i < 2; ++i)
        stages[i] = (fv_operation){.kind = FV_CONV2D, .conv2d = stage[i]};
}

fv_status fv_chain_validate(const fv_operation *op, const char *middle) {
    const char *name = fv_kind_name(op->kind);
    fv_operation stages[2];
    FV_TRY(fv_window_validate(name, &op->window));
    fv_chain_stages(op, stages);
    const fv_conv2d *first = &stages[0].conv2d, *second = &stages[1].conv2d;
    FV_TRY(fv_require_count(name, middle, first->k, 1));
    FV_TRY(fv_require_count(name, "k", second->k, 1));
    FV_TRY(fv_require_flag(name, "bias", second->bias));
    for (int i = 0; i < 2; ++i) {
        const fv_status status = fv_conv2d_info.validate(&stages[i]);
        if (status != FV_OK)
            return fv_fail_within(status, "%s: the %s stage", name, i == 0 ? "first" : "second");
    }
    for (int i = 0; i < 2; ++i) /* both, twice, are what going back by weights takes */
        FV_TRY(fv_require_product(name, "the number of multiply-accumulates",
                                  (const int64_t[]){fv_conv2d_info.macs(&stages[i], FV_FORWARD), 4}, 2));
    return FV_OK;
}

int fv_chain_signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs) {
    fv_operation stages[2];
    fv_chain_stages(op, stages);
    const fv_conv2d *a = &stages[0].conv2d, *b = &stages[1].conv2d;
    const fv_dtype dtype = fv_dtype_stored(a->dtype);
    const int64_t p = fv_conv2d_p(b), q = fv_conv2d_q(b);
    fv_tensor_spec x = {FV_X, FV_IN, dtype, {4, {a->n, a->h, a->w, a->c}}, "nhwc"};
    fv_tensor_spec w = {FV_W, FV_IN, dtype, {4, {a->k, a->r, a->s, a->c / a->groups}}, "mrsc"};
    fv_tensor_spec w2 = {FV_W2, FV_IN, dtype, {4, {b->k, b->r, b->s, b->c / b->groups}}, "krsm"};
    fv_tensor_spec bias = {FV_B, FV_IN, dtype, {1, {b->k}}, "k"};
    fv_tensor_spec y = {FV_Y, FV_OUT, dtype, {4, {b->n, p, q, b->k}}, "npqk"};
    fv_tensor_spec *end = specs;
    switch (pass) {
    case FV_FORWARD:
        *end++ = x, *end++ = w, *end++ = w2;
        if (b->bias)
            *end++ = bias;
        *end++ = y;
        break;
    case FV_BACKWARD_DATA:
        y.role = FV_DY, y.direction = FV_IN;
        x.role = FV_DX, x.direction = FV_OUT;
        *end++ = y, *end++ = w, *end++ = w2, *end++ = x;
        break;
    case FV_BACKWARD_WEIGHTS:
        y.role = FV_DY, y.direction = FV_IN;
        *end++ = x, *end++ = y, *end++ = w, *end++ = w2;
        w.role = FV_DW, w2.role = FV_DW2, bias.role = FV_DB;
        w.direction = w2.direction = bias.direction = FV_OUT;
        *end++ = w, *end++ = w2;
        if (b->bias)
            *end++ = bias;
        break;
    case FV_PASSES:
        break;
    }
    return (int)(end - specs);
}

int64_t fv_chain_macs(const fv_operation *op, fv_pass pass) {
    fv_operation stages[2];
    fv_chain_stages(op, stages);
    const int64_t both = fv_conv2d_info.macs(&stages[0], FV_FORWARD) + fv_conv2d_info.macs(&stages[1], FV_FORWARD);
    return pass == FV_BACKWARD_WEIGHTS ? 2 * both : both;
}

/* The lengths of the two sums, one within the other, behind an output; the inner is 1 where there is none. */
static void lengths_of(const fv_operation *op, fv_pass pass, fv_role role, double *inner, double *outer) {
    fv_operation stages[2];
    fv_chain_stages(op, stages);
    const fv_op_info *conv = &fv_conv2d_info;
    if (pass == FV_FORWARD) {
        *inner = (double)conv->reduction(&stages[0], FV_FORWARD, FV_Y);
        *outer = (double)conv->reduction(&stages[1], FV_FORWARD, FV_Y);
    } else if (pass == FV_BACKWARD_DATA) {
        *inner = (double)conv->reduction(&stages[1], FV_BACKWARD_DATA, FV_DX);
        *outer = (double)conv->reduction(&stages[0], FV_BACKWARD_DATA, FV_DX);
    } else {
        *inner = role == FV_DW    ? (double)conv->reduction(&stages[1], FV_BACKWARD_DATA, FV_DX)
                 : role == FV_DW2 ? (double)conv->reduction(&stages[0], FV_FORWARD, FV_Y)
                                  : 1;
        *outer = (double)conv->reduction(&stages[role != FV_DW], FV_BACKWARD_WEIGHTS, role == FV_DB ? FV_DB : FV_DW);
    }
}

int64_t fv_chain_reduction(const fv_operation *op, fv_pass pass, fv_role role) {
    double inner, outer;
    lengths_of(op, pass, role, &inner, &outer);
    if (role == FV_DB)
        return (int64_t)outer;
    const double root = sqrt(inner) + sqrt(outer);
    return (int64_t)ceil(root * root) + 1;
}

fv_exactness fv_chain_exactness(const fv_operation *op, fv_pass pass) {
    double inner, outer, inner2, outer2;
    lengths_of(op, pass, pass == FV_BACKWARD_WEIGHTS ? FV_DW : FV_Y, &inner, &outer);
    lengths_of(op, pass, pass == FV_BACKWARD_WEIGHTS ? FV_DW2 : FV_Y, &inner2, &outer2);
    return (fv_exactness){fmax(inner * outer, inner2 * outer2), 3, 1};
}
