/* Max-unpooling by its definition. x, dx and argmax are [n,p,q,c], y and dy [n,h,w,c]; argmax is r*S + s. */
#include "backends/reference/reference.h"

#include "base/checked.h"

/* What the loops share. */
typedef struct plan {
    const fv_unpool *d;
    int64_t height, width; /* of argmax */
    const void *argmax;
    bool bytes;
} plan;

static plan plan_of(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_pool2d *pool = &op->pool;
    return (plan){&op->unpool, fv_pool_p(pool), fv_pool_q(pool), at[FV_ARGMAX], fv_pool_argmax(pool) == FV_U8};
}

static int64_t window_at(const plan *f, int64_t n, int64_t p, int64_t q, int64_t c) {
    return ((n * f->height + p) * f->width + q) * f->d->c + c;
}

/* The place in y of the pixel that a window names; -1 if that is nowhere. */
static int64_t pixel_named(const plan *f, int64_t n, int64_t p, int64_t q, int64_t c) {
    const fv_unpool *d = f->d;
    const int64_t window = window_at(f, n, p, q, c);
    const int64_t position = f->bytes ? ((const uint8_t *)f->argmax)[window] : ((const int32_t *)f->argmax)[window];
    if (position < 0 || position >= d->r * d->s)
        return -1;
    const int64_t row = p * d->stride_h + position / d->s * d->dilation_h - d->pad_top;
    const int64_t col = q * d->stride_w + position % d->s * d->dilation_w - d->pad_left;
    return row < 0 || row >= d->h || col < 0 || col >= d->w ? -1 : ((n * d->h + row) * d->w + col) * d->c + c;
}

/* The last to write is the first in row-major order. */
static void unpool_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const plan f = plan_of(op, at);
    const double *x = at[FV_X];
    double *y = at[FV_Y];
    fv_reference_clear(y, f.d->n * f.d->h * f.d->w * f.d->c);
    for (int64_t n = 0; n < f.d->n; ++n)
        for (int64_t p = f.height - 1; p >= 0; --p)
            for (int64_t q = f.width - 1; q >= 0; --q)
                for (int64_t c = 0; c < f.d->c; ++c) {
                    const int64_t pixel = pixel_named(&f, n, p, q, c);
                    if (pixel >= 0)
                        y[pixel] = x[window_at(&f, n, p, q, c)];
                }
}

/* Whether a window before (p,q) in row-major order names the pixel, too. Those that are further from it than a window
 * is long have no pixel in common with it. */
static bool is_taken(const plan *f, int64_t pixel, int64_t n, int64_t p, int64_t q, int64_t c) {
    const int64_t rows = (f->d->r - 1) * f->d->dilation_h / f->d->stride_h;
    const int64_t cols = (f->d->s - 1) * f->d->dilation_w / f->d->stride_w;
    for (int64_t i = fv_max(p - rows, 0); i <= p; ++i)
        for (int64_t j = fv_max(q - cols, 0); j <= fv_min(q + cols, f->width - 1) && (i < p || j < q); ++j)
            if (pixel_named(f, n, i, j, c) == pixel)
                return true;
    return false;
}

static void unpool_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const plan f = plan_of(op, at);
    const double *dy = at[FV_DY];
    double *dx = at[FV_DX];
    for (int64_t n = 0; n < f.d->n; ++n)
        for (int64_t p = 0; p < f.height; ++p)
            for (int64_t q = 0; q < f.width; ++q)
                for (int64_t c = 0; c < f.d->c; ++c) {
                    const int64_t pixel = pixel_named(&f, n, p, q, c);
                    dx[window_at(&f, n, p, q, c)] = pixel < 0 || is_taken(&f, pixel, n, p, q, c) ? 0 : dy[pixel];
                }
}

FV_REFERENCE_RUN(unpool_forward, FV_FORWARD)
FV_REFERENCE_RUN(unpool_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_unpool[] = {
    FV_REFERENCE_ROWS(FV_UNPOOL, FV_FORWARD, unpool_forward),
    FV_REFERENCE_ROWS(FV_UNPOOL, FV_BACKWARD_DATA, unpool_backward_data),
    FV_KERNELS_END,
};
