/* The error bound of deformable convolution.
 *
 * A result is a sum of K terms, but a term is more than one product: of a pixel, its two weights (each 1 minus a
 * fraction, one rounding), the mask, and one or two of w and dy, and where x is interpolated, its four pixels are added
 * up first. That is at most 8 roundings besides those of the sum:
 *
 *     y, dw    1 - down, 1 - right, the products with these two, two additions of pixels, the products with mask and w or dy
 *     dx       dy * w, 1 - down, 1 - right, the products with mask, the two weights and dy * w: 6
 *     dmask    dy * w, and as y without mask: 8
 *     doffset  dy * w, the difference of two pixels, 1 - down or 1 - right, the product with it, the addition of the other
 *              difference, the products with dy * w and mask: 7
 *
 * With K + 8 in the place of K the argument of verify.h stands: |error| <= 4 sqrt(K + 8) u S. The places themselves are
 * the same in all precisions, see fv_generate.
 *
 * S is what the reference makes of absolute values, but for doffset, where the difference of two pixels x1 - x0 has to
 * become |x1| + |x0|. That is twice what lies half-way between the pixels |x0| and |x1|: so S of the offset by rows is
 * 2 |mask| times what dmask would be, on absolute values, if the tap were half-way between its rows; and by columns. */
#include <math.h>

#include "ops/op.h"
#include "verify/verify.h"

enum { ROUNDINGS_PER_TERM = 8 };

/* The inputs that make dmask half of S / |mask|: absolute values, a mask of ones, and taps half-way between their rows
 * (axis 0) or columns (axis 1). */
static void fill_half_way(const fv_tensor_spec *spec, const double *from, int axis, double *to) {
    for (int64_t i = 0; i < fv_shape_elements(&spec->shape); ++i)
        if (spec->role == FV_MASK)
            to[i] = 1;
        else if (spec->role == FV_OFFSET)
            to[i] = i % 2 == axis ? floor(from[i]) + 0.5 : from[i];
        else
            to[i] = fabs(from[i]);
}

static fv_status bound_offsets(const fv_operation *op, const fv_host_tensors *tensors, int axis, double factor,
                               double least, double *bounds) {
    fv_operation masked = fv_in_double(op);
    masked.deformable.mask = 1;
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(&masked, FV_BACKWARD_DATA, specs);
    fv_host_tensors half_way = {0};
    fv_status status = FV_OK;
    int64_t taps = 0;
    for (int i = 0; i < count && status == FV_OK; ++i) {
        const fv_role role = specs[i].role;
        status = fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), &half_way.at[role]);
        if (status == FV_OK && specs[i].direction == FV_IN)
            fill_half_way(&specs[i], tensors->at[role], axis, half_way.at[role]);
        if (role == FV_DMASK)
            taps = fv_shape_elements(&specs[i].shape);
    }
    if (status == FV_OK)
        status = fv_run_reference(&masked, FV_BACKWARD_DATA, &half_way);
    const double *mask = tensors->at[FV_MASK], *half = half_way.at[FV_DMASK];
    for (int64_t t = 0; status == FV_OK && t < taps; ++t)
        bounds[2 * t + axis] = factor * 2 * (op->deformable.mask ? fabs(mask[t]) : 1) * half[t] + least;
    fv_host_tensors_release(&half_way);
    return status;
}

fv_status fv_deformable_bounds(const fv_operation *op, fv_pass pass, fv_role role, double reduction, double u,
                               double underflow, const fv_host_tensors *tensors, double *bounds, int64_t elements) {
    const double roundings = role == FV_DB ? reduction : reduction + ROUNDINGS_PER_TERM;
    const double factor = 4 * sqrt(roundings) * u, least = roundings * underflow;
    if (role != FV_DOFFSET)
        return fv_sum_bounds(op, pass, role, tensors, factor, least, bounds, elements);
    const fv_status status = bound_offsets(op, tensors, 0, factor, least, bounds);
    return status == FV_OK ? bound_offsets(op, tensors, 1, factor, least, bounds) : status;
}
