/* Error bounds, derived operation by operation; see verify.h. None is tuned. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "ops/op.h"
#include "verify/verify.h"

static double unit_roundoff(fv_dtype dtype) {
    return dtype == FV_F64 ? 0x1p-53 : 0x1p-24;
}

/* Copies a pass's tensors with the absolute values of the floating-point inputs. The learning rate is negated instead,
 * so that an update adds up the magnitudes of what it would subtract. */
static fv_status take_magnitudes(const fv_tensor_spec *specs, int count, const fv_host_tensors *from,
                                 fv_host_tensors *to) {
    memset(to, 0, sizeof *to);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        FV_TRY(fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), &to->at[role]));
        if (specs[i].direction == FV_OUT)
            continue;
        memcpy(to->at[role], from->at[role], fv_spec_bytes(&specs[i]));
        if (specs[i].dtype != FV_F64)
            continue;
        double *value = to->at[role];
        for (int64_t e = 0; e < fv_shape_elements(&specs[i].shape); ++e)
            value[e] = fabs(value[e]);
        if (role == FV_RATE)
            value[0] = -value[0];
    }
    return FV_OK;
}

/* S for sums of products and for updates: the reference on magnitudes. */
static fv_status sum_bounds(const fv_operation *op, fv_pass pass, fv_role role, const fv_host_tensors *tensors,
                            double factor, double *bounds, int64_t elements) {
    fv_operation wide = fv_in_double(op);
    if (wide.kind == FV_BATCH) {
        wide.batch.scale = fabs(wide.batch.scale);
        wide.batch.shift = fabs(wide.batch.shift);
    }
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(&wide, pass, specs);
    fv_host_tensors magnitudes;
    fv_status status = take_magnitudes(specs, count, tensors, &magnitudes);
    if (status == FV_OK)
        status = fv_run_reference(&wide, pass, &magnitudes);
    if (status == FV_OK)
        for (int64_t i = 0; i < elements; ++i)
            bounds[i] = factor * ((const double *)magnitudes.at[role])[i];
    fv_host_tensors_release(&magnitudes);
    return status;
}

/* Softmax forward. With R the spread of a row's logits and K classes: subtracting the maximum costs u*R in the
 * exponent; exp is good to 2 ulp = 4u; the sum of K terms adds (K-1)u and inherits R*u + 4u; the quotient rounds once
 * more. So y is good to (2R + K + 10)u relative, down to the underflow threshold, and the loss, log(sum) - (x - max),
 * to the sum's relative error plus R*u plus log's 2 ulp plus its own rounding. */
static void softmax_bounds(const fv_softmax_xent *d, fv_role role, const fv_host_tensors *tensors,
                           const fv_host_tensors *results, double u, double *bounds) {
    const double classes = (double)d->classes;
    for (int64_t n = 0; n < d->n; ++n) {
        const double *x = (const double *)tensors->at[FV_X] + n * d->classes;
        double low = x[0], high = x[0];
        for (int64_t k = 1; k < d->classes; ++k) {
            low = fmin(low, x[k]);
            high = fmax(high, x[k]);
        }
        const double relative = (2 * (high - low) + classes + 10) * u;
        if (role == FV_LOSS)
            bounds[n] = relative + 4 * u * log(classes) + 2 * u * fabs(((const double *)results->at[FV_LOSS])[n]);
        for (int64_t k = 0; role == FV_Y && k < d->classes; ++k)
            bounds[n * d->classes + k] = relative * ((const double *)results->at[FV_Y])[n * d->classes + k] + 0x1p-126;
    }
}

/* Softmax backward: (y - onehot)/n, where y is at most 1: one subtraction and one division. */
static void softmax_gradient_bounds(const fv_softmax_xent *d, const fv_host_tensors *results, double u,
                                    double *bounds) {
    for (int64_t i = 0; i < d->n * d->classes; ++i)
        bounds[i] = 3 * u * fabs(((const double *)results->at[FV_DX])[i]);
}

fv_status fv_error_bounds(const fv_operation *op, fv_pass pass, fv_role role, const fv_host_tensors *tensors,
                          const fv_host_tensors *results, double *bounds) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    int64_t elements = 0;
    for (int i = 0; i < count; ++i)
        if (specs[i].role == role)
            elements = fv_shape_elements(&specs[i].shape);
    const double u = unit_roundoff(fv_operation_dtype(op));
    const int64_t reduction = fv_op_info_of(op->kind)->reduction(op, pass, role);
    if (reduction == 0)
        memset(bounds, 0, (size_t)elements * sizeof *bounds);
    else if (op->kind == FV_SOFTMAX_XENT && pass == FV_FORWARD)
        softmax_bounds(&op->softmax_xent, role, tensors, results, u, bounds);
    else if (op->kind == FV_SOFTMAX_XENT)
        softmax_gradient_bounds(&op->softmax_xent, results, u, bounds);
    else
        return sum_bounds(op, pass, role, tensors, 4 * sqrt((double)reduction) * u, bounds, elements);
    return FV_OK;
}
