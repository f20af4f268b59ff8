/* Resizing of images by its definition: every output pixel takes from, or gives back to, the pixels around its place.
 * x and dx are [n,h,w,c], y and dy [n,p,q,c]. */
#include "backends/reference/reference.h"

/* The pixels that an output reads along an axis: `pixel` with weight 1 - fraction, the next with `fraction`. */
typedef struct place {
    int64_t pixel;
    double fraction;
} place;

/* See fv_upsample. Places are quotients of whole numbers, so that none is rounded to its neighbour. */
static place place_of(const fv_upsample *d, int64_t output, int64_t input_size, int64_t output_size) {
    if (d->mode == FV_NEAREST)
        return (place){(2 * output + 1) * input_size / (2 * output_size), 0};
    int64_t numerator = (2 * output + 1) * input_size - output_size, denominator = 2 * output_size;
    if (d->align) {
        numerator = output * (input_size - 1);
        denominator = output_size > 1 ? output_size - 1 : 1;
    }
    if (numerator < 0)
        return (place){0, 0};
    if (numerator >= (input_size - 1) * denominator)
        return (place){input_size - 1, 0};
    return (place){numerator / denominator, (double)(numerator % denominator) / (double)denominator};
}

/* y += weight * x, or dx += weight * dy, over all pairs of an output and a pixel that it reads. */
static void visit(const fv_upsample *d, const double *in, double *out, bool backward) {
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < d->p; ++p)
            for (int64_t q = 0; q < d->q; ++q) {
                const place v = place_of(d, p, d->h, d->p), h = place_of(d, q, d->w, d->q);
                for (int r = 0; r < 2; ++r)
                    for (int s = 0; s < 2; ++s) {
                        const double weight = (r ? v.fraction : 1 - v.fraction) * (s ? h.fraction : 1 - h.fraction);
                        const int64_t x = ((n * d->h + v.pixel + r) * d->w + h.pixel + s) * d->c;
                        const int64_t y = ((n * d->p + p) * d->q + q) * d->c;
                        for (int64_t c = 0; c < d->c && weight > 0; ++c)
                            if (backward)
                                out[x + c] += weight * in[y + c];
                            else
                                out[y + c] += weight * in[x + c];
                    }
            }
}

static void upsample_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_upsample *d = &op->upsample;
    fv_reference_clear(at[FV_Y], d->n * d->p * d->q * d->c);
    visit(d, at[FV_X], at[FV_Y], false);
}

static void upsample_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_upsample *d = &op->upsample;
    fv_reference_clear(at[FV_DX], d->n * d->h * d->w * d->c);
    visit(d, at[FV_DY], at[FV_DX], true);
}

FV_REFERENCE_RUN(upsample_forward, FV_FORWARD)
FV_REFERENCE_RUN(upsample_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_upsample[] = {
    FV_REFERENCE_ROWS(FV_UPSAMPLE, FV_FORWARD, upsample_forward),
    FV_REFERENCE_ROWS(FV_UPSAMPLE, FV_BACKWARD_DATA, upsample_backward_data),
    FV_KERNELS_END,
};
