/* conv2d_unshared by its definition. x and dx are [n,h,w,c], w and dw [p,q,k,r,s,c/groups], b and db [p,q,k], y and dy
 * [n,p,q,k].
 *
 * All three passes visit the same products: x (n, p*stride + r*dilation - pad, .., g*C/G + c) meets y (n,p,q,k) through
 * the weight (p,q,k,r,s,c), which serves no other position. */
#include "backends/reference/products.h"
#include "backends/reference/reference.h"

static int64_t positions_of(const fv_operation *op) {
    return fv_window_p(&op->window) * fv_window_q(&op->window);
}

/* The products of output position (n,p,q), channel k. */
static void visit_output(const fv_unshared *d, int64_t n, int64_t p, int64_t q, int64_t k, int64_t w, int64_t y,
                         product *add, const double *in1, const double *in2, double *out) {
    const int64_t cg = d->c / d->groups, first_channel = k / (d->k / d->groups) * cg;
    for (int64_t r = 0; r < d->r; ++r)
        for (int64_t s = 0; s < d->s; ++s) {
            const int64_t row = p * d->stride_h + r * d->dilation_h - d->pad_top;
            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
            if (row < 0 || row >= d->h || col < 0 || col >= d->w)
                continue;
            for (int64_t c = 0; c < cg; ++c)
                add(in1, in2, out, ((n * d->h + row) * d->w + col) * d->c + first_channel + c,
                    w + (r * d->s + s) * cg + c, y);
        }
}

static void visit(const fv_operation *op, product *add, const double *in1, const double *in2, double *out) {
    const fv_unshared *d = &op->unshared;
    const int64_t positions = positions_of(op), width = fv_window_q(&op->window);
    const int64_t weights = d->r * d->s * (d->c / d->groups);
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t at = 0; at < positions; ++at)
            for (int64_t k = 0; k < d->k; ++k)
                visit_output(d, n, at / width, at % width, k, (at * d->k + k) * weights,
                             (n * positions + at) * d->k + k, add, in1, in2, out);
}

static void unshared_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_unshared *d = &op->unshared;
    const int64_t outputs = positions_of(op) * d->k;
    fv_reference_begin_with_bias(at[FV_Y], d->n * outputs, at[FV_B], outputs);
    visit(op, into_y, at[FV_X], at[FV_W], at[FV_Y]);
}

static void unshared_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_unshared *d = &op->unshared;
    fv_reference_clear(at[FV_DX], d->n * d->h * d->w * d->c);
    visit(op, into_dx, at[FV_DY], at[FV_W], at[FV_DX]);
}

static void unshared_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_unshared *d = &op->unshared;
    const int64_t outputs = positions_of(op) * d->k;
    fv_reference_clear(at[FV_DW], outputs * d->r * d->s * (d->c / d->groups));
    visit(op, into_dw, at[FV_X], at[FV_DY], at[FV_DW]);
    if (d->bias)
        fv_reference_sum_bias(at[FV_DB], outputs, at[FV_DY], d->n * outputs);
}

FV_REFERENCE_RUN(unshared_forward, FV_FORWARD)
FV_REFERENCE_RUN(unshared_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(unshared_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_unshared[] = {
    FV_REFERENCE_ROWS(FV_UNSHARED, FV_FORWARD, unshared_forward),
    FV_REFERENCE_ROWS(FV_UNSHARED, FV_BACKWARD_DATA, unshared_backward_data),
    FV_REFERENCE_ROWS(FV_UNSHARED, FV_BACKWARD_WEIGHTS, unshared_backward_weights),
    FV_KERNELS_END,
};
