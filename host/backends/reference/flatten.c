/* Flattening: where each value of an image goes in the row of features. */
#include "backends/reference/reference.h"

/* Place of channel c of pixel (h,w) in image n's row. */
static int64_t place(const fv_flatten *d, int64_t n, int64_t h, int64_t w, int64_t c) {
    const int64_t within = d->order == FV_CHW ? (c * d->h + h) * d->w + w : (h * d->w + w) * d->c + c;
    return n * d->c * d->h * d->w + within;
}

static void flatten(const fv_flatten *d, const double *image, double *features, double *gradient) {
    int64_t i = 0; /* in the images */
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t h = 0; h < d->h; ++h)
            for (int64_t w = 0; w < d->w; ++w)
                for (int64_t c = 0; c < d->c; ++c, ++i)
                    if (image)
                        features[place(d, n, h, w, c)] = image[i];
                    else
                        gradient[i] = features[place(d, n, h, w, c)];
}

static void flatten_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    flatten(&op->flatten, at[FV_X], at[FV_Y], NULL);
}

static void flatten_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    flatten(&op->flatten, NULL, at[FV_DY], at[FV_DX]);
}

FV_REFERENCE_RUN(flatten_forward, FV_FORWARD)
FV_REFERENCE_RUN(flatten_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_flatten[] = {
    FV_REFERENCE_ROWS(FV_FLATTEN, FV_FORWARD, flatten_forward),
    FV_REFERENCE_ROWS(FV_FLATTEN, FV_BACKWARD_DATA, flatten_backward_data),
    FV_KERNELS_END,
};
