/* Convolution by its definition. x and dx are [n,h,w,c], w and dw [k,r,s,c/groups], y and dy [n,p,q,k].
 *
 * All three passes visit the same products: output (n,p,q,k) meets input (n,y,x,g*C/G + c) through filter tap
 * (k,r,s,c). */
#include "backends/reference/reference.h"

/* The sizes that the loops share. */
typedef struct sizes {
    int64_t p, q;   /* output height and width */
    int64_t cg, kg; /* input and output channels of one group */
} sizes;

static sizes sizes_of(const fv_conv2d *d) {
    return (sizes){fv_conv2d_p(d), fv_conv2d_q(d), d->c / d->groups, d->k / d->groups};
}

static void conv2d_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_conv2d *d = &op->conv2d;
    const sizes z = sizes_of(d);
    const double *x = at[FV_X], *w = at[FV_W], *b = at[FV_B];
    double *y = at[FV_Y];
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < z.p; ++p)
            for (int64_t q = 0; q < z.q; ++q)
                for (int64_t k = 0; k < d->k; ++k) {
                    double sum = d->bias ? b[k] : 0;
                    const int64_t first_channel = k / z.kg * z.cg;
                    for (int64_t r = 0; r < d->r; ++r) {
                        const int64_t row =
                            p * d->stride_h + r * d->dilation_h - d->pad_top; /* input row under tap r */
                        if (row < 0 || row >= d->h)
                            continue;
                        for (int64_t s = 0; s < d->s; ++s) {
                            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
                            if (col < 0 || col >= d->w)
                                continue;
                            const double *pixel = x + ((n * d->h + row) * d->w + col) * d->c + first_channel;
                            const double *tap = w + ((k * d->r + r) * d->s + s) * z.cg;
                            for (int64_t c = 0; c < z.cg; ++c)
                                sum += pixel[c] * tap[c];
                        }
                    }
                    y[((n * z.p + p) * z.q + q) * d->k + k] = d->relu && sum < 0 ? 0 : sum;
                }
}

static void conv2d_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_conv2d *d = &op->conv2d;
    const sizes z = sizes_of(d);
    const double *dy = at[FV_DY], *w = at[FV_W];
    double *dx = at[FV_DX];
    fv_reference_clear(dx, d->n * d->h * d->w * d->c);
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < z.p; ++p)
            for (int64_t q = 0; q < z.q; ++q)
                for (int64_t k = 0; k < d->k; ++k) {
                    const double gradient = dy[((n * z.p + p) * z.q + q) * d->k + k];
                    const int64_t first_channel = k / z.kg * z.cg;
                    for (int64_t r = 0; r < d->r; ++r) {
                        const int64_t row = p * d->stride_h + r * d->dilation_h - d->pad_top;
                        if (row < 0 || row >= d->h)
                            continue;
                        for (int64_t s = 0; s < d->s; ++s) {
                            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
                            if (col < 0 || col >= d->w)
                                continue;
                            double *pixel = dx + ((n * d->h + row) * d->w + col) * d->c + first_channel;
                            const double *tap = w + ((k * d->r + r) * d->s + s) * z.cg;
                            for (int64_t c = 0; c < z.cg; ++c)
                                pixel[c] += gradient * tap[c];
                        }
                    }
                }
}

static void conv2d_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_conv2d *d = &op->conv2d;
    const sizes z = sizes_of(d);
    const double *x = at[FV_X], *dy = at[FV_DY];
    double *dw = at[FV_DW], *db = at[FV_DB];
    fv_reference_clear(dw, d->k * d->r * d->s * z.cg);
    if (d->bias)
        fv_reference_clear(db, d->k);
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < z.p; ++p)
            for (int64_t q = 0; q < z.q; ++q)
                for (int64_t k = 0; k < d->k; ++k) {
                    const double gradient = dy[((n * z.p + p) * z.q + q) * d->k + k];
                    const int64_t first_channel = k / z.kg * z.cg;
                    if (d->bias)
                        db[k] += gradient;
                    for (int64_t r = 0; r < d->r; ++r) {
                        const int64_t row = p * d->stride_h + r * d->dilation_h - d->pad_top;
                        if (row < 0 || row >= d->h)
                            continue;
                        for (int64_t s = 0; s < d->s; ++s) {
                            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
                            if (col < 0 || col >= d->w)
                                continue;
                            const double *pixel = x + ((n * d->h + row) * d->w + col) * d->c + first_channel;
                            double *tap = dw + ((k * d->r + r) * d->s + s) * z.cg;
                            for (int64_t c = 0; c < z.cg; ++c)
                                tap[c] += gradient * pixel[c];
                        }
                    }
                }
}

FV_REFERENCE_RUN(conv2d_forward, FV_FORWARD)
FV_REFERENCE_RUN(conv2d_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(conv2d_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_conv2d[] = {
    FV_REFERENCE_ALL_ROWS(FV_CONV2D, FV_FORWARD, conv2d_forward),
    FV_REFERENCE_ALL_ROWS(FV_CONV2D, FV_BACKWARD_DATA, conv2d_backward_data),
    FV_REFERENCE_ALL_ROWS(FV_CONV2D, FV_BACKWARD_WEIGHTS, conv2d_backward_weights),
    FV_KERNELS_END,
};
