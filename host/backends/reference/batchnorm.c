/* Batch normalisation, channel by channel: the mean first, then the squared deviations from it. */
#include "backends/reference/reference.h"

#include <math.h>

static int64_t pixels_of(const fv_batchnorm *d) {
    return d->n * d->h * d->w;
}

/* What a channel is normalised by. */
typedef struct moments {
    double mean, variance;
} moments;

static moments batch_moments(const fv_batchnorm *d, const double *x, int64_t c) {
    const int64_t pixels = pixels_of(d);
    moments m = {0, 0};
    for (int64_t i = 0; i < pixels; ++i)
        m.mean += x[i * d->c + c];
    m.mean /= (double)pixels;
    for (int64_t i = 0; i < pixels; ++i)
        m.variance += (x[i * d->c + c] - m.mean) * (x[i * d->c + c] - m.mean);
    m.variance /= (double)pixels;
    return m;
}

static double mixed(double momentum, double before, double now) {
    return (1 - momentum) * before + momentum * now;
}

static double rectified(const fv_batchnorm *d, double y) {
    return d->relu && y < 0 ? 0 : y;
}

static void batchnorm_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_batchnorm *d = &op->batchnorm;
    const double *x = at[FV_X], *w = at[FV_W], *b = at[FV_B];
    double *y = at[FV_Y], *mean = at[FV_MEAN], *variance = at[FV_VARIANCE];
    const double pixels = (double)pixels_of(d), unbiased = pixels > 1 ? pixels / (pixels - 1) : 1;
    for (int64_t c = 0; c < d->c; ++c) {
        const moments m = d->training ? batch_moments(d, x, c) : (moments){mean[c], variance[c]};
        const double rstd = 1 / sqrt(m.variance + d->epsilon);
        for (int64_t i = c; i < pixels_of(d) * d->c; i += d->c)
            y[i] = rectified(d, w[c] * (x[i] - m.mean) * rstd + b[c]);
        if (!d->training)
            continue;
        ((double *)at[FV_SAVED_MEAN])[c] = m.mean;
        ((double *)at[FV_SAVED_RSTD])[c] = rstd;
        mean[c] = mixed(d->momentum, mean[c], m.mean);
        variance[c] = mixed(d->momentum, variance[c], m.variance * unbiased);
    }
}

/* dy behind the normalisation: only where y > 0, if a ReLU follows it. */
static double gradient_at(const fv_batchnorm *d, void *const at[FV_ROLES], int64_t i) {
    return d->relu && !(((const double *)at[FV_Y])[i] > 0) ? 0 : ((const double *)at[FV_DY])[i];
}

/* With X = (x - mean) * rstd: db = sum dy, dw = sum dy*X, and dx = w * rstd * dy where mean and rstd are given; where
 * they are the batch's they take their part of it, dx = w * rstd * (dy - (db + X*dw) / pixels). With a ReLU behind it, dy is gradient_at. */
static void batchnorm_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_batchnorm *d = &op->batchnorm;
    const double *x = at[FV_X], *w = at[FV_W];
    double *dx = at[FV_DX], *dw = at[FV_DW], *db = at[FV_DB];
    for (int64_t c = 0; c < d->c; ++c) {
        const double mean = ((const double *)at[d->training ? FV_SAVED_MEAN : FV_MEAN])[c];
        const double rstd = d->training ? ((const double *)at[FV_SAVED_RSTD])[c]
                                        : 1 / sqrt(((const double *)at[FV_VARIANCE])[c] + d->epsilon);
        dw[c] = db[c] = 0;
        for (int64_t i = c; i < pixels_of(d) * d->c; i += d->c) {
            db[c] += gradient_at(d, at, i);
            dw[c] += gradient_at(d, at, i) * (x[i] - mean) * rstd;
        }
        for (int64_t i = c; i < pixels_of(d) * d->c; i += d->c) {
            const double through = d->training ? (db[c] + (x[i] - mean) * rstd * dw[c]) / (double)pixels_of(d) : 0;
            dx[i] = w[c] * rstd * (gradient_at(d, at, i) - through);
        }
    }
}

FV_REFERENCE_RUN(batchnorm_forward, FV_FORWARD)
FV_REFERENCE_RUN(batchnorm_backward_data, FV_BACKWARD_DATA)

const fv_kernel fv_reference_batchnorm[] = {
    FV_REFERENCE_ROWS(FV_BATCHNORM, FV_FORWARD, batchnorm_forward),
    FV_REFERENCE_ROWS(FV_BATCHNORM, FV_BACKWARD_DATA, batchnorm_backward_data),
    FV_KERNELS_END,
};
