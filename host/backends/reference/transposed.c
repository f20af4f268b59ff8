/* Transposed convolution by its definition: every input pixel adds its products to the output pixels that the window
 * covers. x and dx are [n,h,w,c], w and dw [c,r,s,k/groups], y and dy [n,p,q,k].
 *
 * All three passes visit the same products: x (n,i,j,c) meets y (n, i*stride + r*dilation - pad, .., g*K/G + k) through
 * filter tap (c,r,s,k). */
#include "backends/reference/products.h"
#include "backends/reference/reference.h"

static void visit(const fv_transposed *d, product *add, const double *in1, const double *in2, double *out) {
    const int64_t height = fv_transposed_p(d), width = fv_transposed_q(d);
    const int64_t cg = d->c / d->groups, kg = d->k / d->groups;
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t i = 0; i < d->h; ++i)
            for (int64_t j = 0; j < d->w; ++j)
                for (int64_t r = 0; r < d->r; ++r) {
                    const int64_t p = i * d->stride_h + r * d->dilation_h - d->pad_top;
                    if (p < 0 || p >= height)
                        continue;
                    for (int64_t s = 0; s < d->s; ++s) {
                        const int64_t q = j * d->stride_w + s * d->dilation_w - d->pad_left;
                        if (q < 0 || q >= width)
                            continue;
                        for (int64_t c = 0; c < d->c; ++c)
                            for (int64_t k = 0; k < kg; ++k)
                                add(in1, in2, out, ((n * d->h + i) * d->w + j) * d->c + c,
                                    ((c * d->r + r) * d->s + s) * kg + k,
                                    ((n * height + p) * width + q) * d->k + c / cg * kg + k);
                    }
                }
}

static int64_t outputs(const fv_transposed *d) {
    return d->n * fv_transposed_p(d) * fv_transposed_q(d) * d->k;
}

static void transposed_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_transposed *d = &op->transposed;
    fv_reference_begin_with_bias(at[FV_Y], outputs(d), at[FV_B], d->k);
    visit(d, into_y, at[FV_X], at[FV_W], at[FV_Y]);
}

static void transposed_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_transposed *d = &op->transposed;
    fv_reference_clear(at[FV_DX], d->n * d->h * d->w * d->c);
    visit(d, into_dx, at[FV_DY], at[FV_W], at[FV_DX]);
}

static void transposed_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_transposed *d = &op->transposed;
    fv_reference_clear(at[FV_DW], d->c * d->r * d->s * (d->k / d->groups));
    visit(d, into_dw, at[FV_X], at[FV_DY], at[FV_DW]);
    if (d->bias)
        fv_reference_sum_bias(at[FV_DB], d->k, at[FV_DY], outputs(d));
}

FV_REFERENCE_RUN(transposed_forward, FV_FORWARD)
FV_REFERENCE_RUN(transposed_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(transposed_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_transposed[] = {
    FV_REFERENCE_ALL_ROWS(FV_TRANSPOSED, FV_FORWARD, transposed_forward),
    FV_REFERENCE_ALL_ROWS(FV_TRANSPOSED, FV_BACKWARD_DATA, transposed_backward_data),
    FV_REFERENCE_ALL_ROWS(FV_TRANSPOSED, FV_BACKWARD_WEIGHTS, transposed_backward_weights),
    FV_KERNELS_END,
};
