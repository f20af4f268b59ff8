/* Max-pooling by its definition. x and dx are [n,h,w,c], y, dy and argmax [n,p,q,c]; argmax is r*S + s. */
#include "backends/reference/reference.h"

#include <math.h>

static void maxpool_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_maxpool *d = &op->maxpool;
    const int64_t height = fv_maxpool_p(d), width = fv_maxpool_q(d);
    const bool bytes = fv_maxpool_argmax(d) == FV_U8;
    const double *x = at[FV_X];
    double *y = at[FV_Y];
    int64_t out = 0;
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < height; ++p)
            for (int64_t q = 0; q < width; ++q)
                for (int64_t c = 0; c < d->c; ++c, ++out) {
                    double best = -INFINITY;
                    int64_t position = 0;
                    bool found = false;
                    for (int64_t r = 0; r < d->r; ++r)
                        for (int64_t s = 0; s < d->s; ++s) {
                            const int64_t row = p * d->stride_h + r * d->dilation_h - d->pad_top;
                            const int64_t col = q * d->stride_w + s * d->dilation_w - d->pad_left;
                            if (row < 0 || row >= d->h || col < 0 || col >= d->w)
                                continue;
                            const double value = x[((n * d->h + row) * d->w + col) * d->c + c];
                            if (!found || value > best) {
                                best = value;
                                position = r * d->s + s;
                                found = true;
                            }
                        }
                    y[out] = best;
                    if (bytes)
                        ((uint8_t *)at[FV_ARGMAX])[out] = (uint8_t)position;
                    else
                        ((int32_t *)at[FV_ARGMAX])[out] = (int32_t)position;
                }
}

static void maxpool_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_maxpool *d = &op->maxpool;
    const int64_t height = fv_maxpool_p(d), width = fv_maxpool_q(d);
    const bool bytes = fv_maxpool_argmax(d) == FV_U8;
    const double *dy = at[FV_DY];
    double *dx = at[FV_DX];
    fv_reference_clear(dx, d->n * d->h * d->w * d->c);
    int64_t out = 0;
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < height; ++p)
            for (int64_t q = 0; q < width; ++q)
                for (int64_t c = 0; c < d->c; ++c, ++out) {
                    const int64_t position =
                        bytes ? ((const uint8_t *)at[FV_ARGMAX])[out] : ((const int32_t *)at[FV_ARGMAX])[out];
                    const int64_t row = p * d->stride_h + position / d->s * d->dilation_h - d->pad_top;
                    const int64_t col = q * d->stride_w + position % d->s * d->dilation_w - d->pad_left;
                    /* outside only for a window wholly in the padding */
                    if (row >= 0 && row < d->h && col >= 0 && col < d->w)
                        dx[((n * d->h + row) * d->w + col) * d->c + c] += dy[out];
                }
}

FV_REFERENCE_RUN(maxpool_forward, FV_FORWARD)
FV_REFERENCE_RUN(maxpool_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_maxpool[] = {
    FV_REFERENCE_ROWS(FV_MAXPOOL, FV_FORWARD, maxpool_forward),
    FV_REFERENCE_ROWS(FV_MAXPOOL, FV_BACKWARD_DATA, maxpool_backward_data),
    FV_KERNELS_END,
};
