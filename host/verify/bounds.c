/* Error bounds, derived operation by operation; see verify.h. None is tuned. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "ops/dtype.h"
#include "ops/op.h"
#include "verify/verify.h"

enum {
    WINOGRAD = FV_NOTE_WINOGRAD_2X2 | FV_NOTE_WINOGRAD_4X4 | FV_NOTE_WINOGRAD_9X9,
};

static const double eleven_bits = 0x1p-11; /* unit roundoff of f16 and tf32 */

static bool has_16_bits(const fv_operation *op) {
    return fv_dtype_size(fv_operation_dtype(op)) == 2;
}

/* How far inputs are from what is multiplied, relative to them. What is rounded to nearest is at most half as far off as
 * what is cut off; what is stored in 16 bits has no more than 11 that matter. */
static double input_roundoff(const fv_operation *op, unsigned notes) {
    if (has_16_bits(op))
        return 0;
    return notes & FV_NOTE_TF32_CUT ? 2 * eleven_bits : notes & FV_NOTE_TF32 ? eleven_bits : 0;
}

/* The format that sums are kept in: operations of bf16, f16 and tf32 add in f32. */
static fv_dtype sums_of(const fv_operation *op) {
    return fv_operation_dtype(op) == FV_F64 ? FV_F64 : FV_F32;
}

/* Of the sums. */
static double unit_roundoff(const fv_operation *op) {
    return fv_unit_roundoff(sums_of(op));
}

/* Inputs rounded to 11 bits do not stand in the way of the exact comparison: exact inputs are at most 72. */
static const char *exact_refusal(const fv_operation *op, fv_pass pass, unsigned notes) {
    if (notes & FV_NOTE_HALF_SUMS)
        return "integers above 2^11 are not exact in f16, which holds the sums";
    if (notes & FV_NOTE_FFT)
        return "its transforms do not map integers to integers";
    return notes & WINOGRAD ? fv_winograd_inexact(op, pass, notes) : NULL;
}

const char *fv_notes_refusal(const fv_operation *op, fv_pass pass, fv_fill fill, unsigned notes) {
    if (fill == FV_EXACT)
        return exact_refusal(op, pass, notes);
    if (notes & FV_NOTE_FFT)
        return "no error bound: the length of the Fourier transform is not known";
    if (notes & FV_NOTE_WINOGRAD_9X9)
        return "no error bound: the interpolation points of 9x9 Winograd tiles are not known";
    if (notes & WINOGRAD && has_16_bits(op))
        return "no error bound: the format of the transformed values is not known";
    if (notes & FV_NOTE_HALF_SUMS && fv_operation_dtype(op) == FV_BF16)
        return "no error bound: the format of its sums is not known";
    const fv_conv2d *d = &op->conv2d;
    if (notes & WINOGRAD && (op->kind != FV_CONV2D || d->stride_h * d->stride_w * d->dilation_h * d->dilation_w != 1))
        return "no error bound: it is derived for Winograd convolutions without stride and dilation";
    return NULL;
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
        if (specs[i].dtype != FV_F64 || role == FV_OFFSET) /* an offset is a place, not a factor */
            continue;
        double *value = to->at[role];
        for (int64_t e = 0; e < fv_shape_elements(&specs[i].shape); ++e)
            value[e] = fabs(value[e]);
        if (role == FV_RATE)
            value[0] = -value[0];
    }
    return FV_OK;
}

fv_status fv_sum_bounds(const fv_operation *op, fv_pass pass, fv_role role, const fv_host_tensors *tensors,
                        double factor, double least, double *bounds, int64_t elements) {
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
            bounds[i] = factor * ((const double *)magnitudes.at[role])[i] + least;
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

/* Results of up to three roundings: softmax backward is (y - onehot)/n, where y is at most 1, one subtraction and one
 * division; relu with a slope one product with a rounded factor. They may underflow. */
static void rounding_bounds(const fv_operation *op, const double *result, double *bounds, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        bounds[i] = 3 * unit_roundoff(op) * fabs(result[i]) + fv_least_number(sums_of(op));
}

/* Results that are stored in less than their sums are rounded once more: computed values of |y| + bound at most. */
static void add_storage(fv_dtype dtype, const double *result, double *bounds, int64_t elements) {
    const double u = fv_unit_roundoff(dtype), least = fv_least_number(dtype);
    for (int64_t i = 0; i < elements; ++i)
        bounds[i] += u * (fabs(result[i]) + bounds[i]) + least;
}

static bool is_chain(fv_kind kind) {
    return kind == FV_SEPARABLE || kind == FV_SPATIAL;
}

/* What a product may be off by, relative to it: below, "11 bits", "3xtf32" and "chains". */
static double product_roundoff(const fv_operation *op, unsigned notes) {
    const double v = notes & FV_NOTE_3XTF32 ? eleven_bits : input_roundoff(op, notes);
    const double one = notes & FV_NOTE_3XTF32 ? 3 * v * v + 2 * v * v * v + 2 * v * v * v * v : 2 * v + v * v;
    return is_chain(op->kind) ? 2 * one + one * one : one;
}

/* Sums of K products under the notes that leave them sums of products; relative to S:
 *
 *     sums        4 sqrt(K) u as in verify.h. With u = 2^-11 this is no longer small, and the theorem's own form stands:
 *                 exp(4 sqrt(K) u + K u^2 / (1 - u)) - 1.
 *     underflow   Below its normal numbers a format is coarser than u says: each of K roundings may add half the least
 *                 number that it has, whatever S is: 2^-25 for sums in f16. For f32 and f64 the whole of it is taken,
 *                 as half of it is 0 in f64.
 *     11 bits     (1 + d1)(1 + d2) - 1 with |d1|, |d2| <= v is at most 2v + v^2 in each product, at worst the same in all
 *                 of them: v = 2^-11 for inputs rounded to nearest, 2^-10 for those cut off, and normal numbers.
 *     3xtf32      x = big + small + e with both parts rounded to 11 bits: |small| <= v(1 + v)|x|, |e| <= v^2 |x|. Of x w,
 *                 small*small is left out and what e touches: at most (v^2 (1 + v)^2 + 2 v^2 + v^4)|x w|.
 *
 *     chains      conv2d_separable and conv2d_spatial multiply what a product gave by a third factor: each of the two
 *                 products may be off by its share, and by (1 + share)^2 - 1 both.
 *
 * Tensor cores truncate their sums (Fasi et al. 2021, PeerJ CS 7:e330), which the model behind 4 sqrt(K) u leaves out.
 * A step of four products or more loses at most 2u of its sum, always towards zero; sums of random signs stay small
 * enough, against S, for that to vanish in the bound. */
static fv_status product_bounds(const fv_operation *op, fv_pass pass, fv_role role, unsigned notes, double reduction,
                                const fv_host_tensors *tensors, double *bounds, int64_t elements) {
    const bool half_sums = notes & FV_NOTE_HALF_SUMS;
    const double u = half_sums ? eleven_bits : unit_roundoff(op);
    const double first_order = 4 * sqrt(reduction) * u;
    const double sums = half_sums ? expm1(first_order + reduction * u * u / (1 - u)) : first_order;
    const double underflow = half_sums ? 0x1p-25 : fv_least_number(sums_of(op));
    const double products = product_roundoff(op, notes);
    return fv_sum_bounds(op, pass, role, tensors, products + sums + products * sums, reduction * underflow, bounds,
                         elements);
}

/* Errors of what is cut off are not symmetric about 0, as bounds_winograd.c takes them to be: on the average both factors
 * of all products are too small alike, which makes the result so, by at most 2v. */
static void winograd_bounds(const fv_operation *op, fv_pass pass, unsigned notes, const fv_host_tensors *tensors,
                            const double *result, double *bounds, int64_t elements) {
    const double u = unit_roundoff(op), v = input_roundoff(op, notes);
    fv_winograd_bounds(op, pass, notes, u, v, notes & FV_NOTE_HALF_SUMS ? eleven_bits : u, tensors, result, bounds,
                       elements);
    for (int64_t i = 0; notes & FV_NOTE_TF32_CUT && i < elements; ++i)
        bounds[i] += 2 * v * fabs(result[i]);
}

/* Whether an output is made of products of two inputs, which is what notes are about. A bias gradient is not. */
static bool of_products(fv_kind kind, fv_role role) {
    return (kind == FV_CONV2D || kind == FV_TRANSPOSED || kind == FV_LINEAR || is_chain(kind)) && role != FV_DB;
}

fv_status fv_error_bounds(const fv_operation *op, fv_pass pass, fv_role role, unsigned notes,
                          const fv_host_tensors *tensors, const fv_host_tensors *results, double *bounds) {
    fv_tensor_spec spec = {0};
    const int64_t elements = fv_operation_tensor(op, pass, role, &spec) ? fv_shape_elements(&spec.shape) : 0;
    const double u = unit_roundoff(op);
    const int64_t reduction = fv_op_info_of(op->kind)->reduction(op, pass, role);
    if (!of_products(op->kind, role))
        notes = 0;
    if (reduction == 0)
        memset(bounds, 0, (size_t)elements * sizeof *bounds);
    else if (op->kind == FV_SOFTMAX_XENT && pass == FV_FORWARD)
        softmax_bounds(&op->softmax_xent, role, tensors, results, u, bounds);
    else if (op->kind == FV_SOFTMAX_XENT || op->kind == FV_RELU)
        rounding_bounds(op, results->at[role], bounds, elements);
    else if (op->kind == FV_BATCHNORM)
        fv_batchnorm_bounds(op, pass, role, u, tensors, bounds);
    else if (op->kind == FV_DEFORMABLE)
        return fv_deformable_bounds(op, pass, role, (double)reduction, u, fv_least_number(sums_of(op)), tensors, bounds,
                                    elements);
    else if (notes & WINOGRAD)
        winograd_bounds(op, pass, notes, tensors, results->at[role], bounds, elements);
    else
        FV_TRY(product_bounds(op, pass, role, notes, (double)reduction, tensors, bounds, elements));
    if (reduction > 0 && fv_dtype_stored(fv_operation_dtype(op)) != sums_of(op))
        add_storage(fv_operation_dtype(op), results->at[role], bounds, elements);
    return FV_OK;
}
