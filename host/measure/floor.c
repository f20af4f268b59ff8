/* The least time that a case can take, and the family it counts for. */
#include "base/checked.h"
#include "measure/ceilings.h"
#include "ops/op.h"

/* Where tf32 is not known it is taken to be no faster than f32, whose kernels serve it. */
static double product_rate(const fv_ceilings *ceilings, fv_dtype dtype) {
    const double rate = ceilings->product[dtype];
    return dtype == FV_TF32 && !(rate > 0) ? ceilings->product[FV_F32] : rate;
}

fv_floor fv_floor_of(const fv_ceilings *ceilings, const fv_operation *op, fv_pass pass) {
    fv_floor floor = {.bytes = fv_operation_bytes(op, pass)};
    if (!fv_checked_mul(2, fv_operation_macs(op, pass), &floor.flop))
        floor.flop = INT64_MAX;
    const double rate = product_rate(ceilings, fv_operation_dtype(op));
    const double arithmetic = rate > 0 ? (double)floor.flop / rate : 0;
    const double traffic = ceilings->copy > 0 ? (double)floor.bytes / ceilings->copy : 0;
    floor.compute_bound = arithmetic > traffic;
    floor.seconds = floor.compute_bound ? arithmetic : traffic;
    return floor;
}

static bool is_dilated(int64_t dilation, int64_t taps) {
    return dilation > 1 && taps > 1;
}

static const char *conv2d_family(const fv_conv2d *d) {
    if (d->groups > 1)
        return d->groups == d->c ? "depthwise" : "grouped";
    if (d->r == 1 && d->s == 1)
        return "pointwise";
    return is_dilated(d->dilation_h, d->r) || is_dilated(d->dilation_w, d->s) ? "dilated" : "conv2d";
}

const char *fv_family(const fv_operation *op) {
    return op->kind == FV_CONV2D ? conv2d_family(&op->conv2d) : fv_kind_name(op->kind);
}
