/* Average pooling by its definition. x and dx are [n,h,w,c], y and dy [n,p,q,c]. */
#include "backends/reference/reference.h"
#include "ops/op.h"

/* How many of the window's positions along one axis d counts, see fv_avgpool. */
static int64_t counted(const fv_axis *axis, int64_t include_pad, int64_t output) {
    const int64_t before = include_pad ? axis->pad_before : 0, after = include_pad ? axis->pad_after : 0;
    int64_t count = 0;
    for (int64_t tap = 0; tap < axis->filter; ++tap) {
        const int64_t place = output * axis->stride + tap * axis->dilation - axis->pad_before;
        count += place >= -before && place < axis->input + after;
    }
    return count;
}

/* A visitor gets the place of an input pixel, that of an output which has it in its window, and the output's d. */
typedef void visitor(const double *in, double *out, int64_t x, int64_t y, double divisor);

static void into_y(const double *x, double *y, int64_t at_x, int64_t at_y, double divisor) {
    (void)divisor;
    y[at_y] += x[at_x];
}

static void into_dx(const double *dy, double *dx, int64_t at_x, int64_t at_y, double divisor) {
    dx[at_x] += dy[at_y] / divisor;
}

/* Where `whole` is not NULL, it is divided by d when its window is done. */
static void visit(const fv_operation *op, visitor *add, const double *in, double *out, double *whole) {
    const fv_avgpool *d = &op->avgpool;
    const fv_axis v = fv_pool_vertical(&op->pool), h = fv_pool_horizontal(&op->pool);
    const int64_t height = fv_axis_output(&v), width = fv_axis_output(&h);
    for (int64_t p = 0; p < height; ++p)
        for (int64_t q = 0; q < width; ++q) {
            const double divisor = (double)(counted(&v, d->include_pad, p) * counted(&h, d->include_pad, q));
            for (int64_t n = 0; n < d->n; ++n)
                for (int64_t c = 0; c < d->c; ++c) {
                    const int64_t y = ((n * height + p) * width + q) * d->c + c;
                    for (int64_t r = 0; r < d->r; ++r)
                        for (int64_t s = 0; s < d->s; ++s) {
                            const int64_t row = p * d->stride_h + r * d->dilation_h - d->pad_top;
                            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
                            if (row >= 0 && row < d->h && col >= 0 && col < d->w)
                                add(in, out, ((n * d->h + row) * d->w + col) * d->c + c, y, divisor);
                        }
                    if (whole)
                        whole[y] = divisor > 0 ? whole[y] / divisor : 0;
                }
        }
}

static void avgpool_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_pool2d *d = &op->pool;
    fv_reference_clear(at[FV_Y], d->n * fv_pool_p(d) * fv_pool_q(d) * d->c);
    visit(op, into_y, at[FV_X], at[FV_Y], at[FV_Y]);
}

static void avgpool_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_pool2d *d = &op->pool;
    fv_reference_clear(at[FV_DX], d->n * d->h * d->w * d->c);
    visit(op, into_dx, at[FV_DY], at[FV_DX], NULL);
}

FV_REFERENCE_RUN(avgpool_forward, FV_FORWARD)
FV_REFERENCE_RUN(avgpool_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_avgpool[] = {
    FV_REFERENCE_ROWS(FV_AVGPOOL, FV_FORWARD, avgpool_forward),
    FV_REFERENCE_ROWS(FV_AVGPOOL, FV_BACKWARD_DATA, avgpool_backward_data),
    FV_KERNELS_END,
};
