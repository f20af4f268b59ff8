/* Error bounds of batch normalisation, first order in u unless said; N pixels to a channel, g = 4 sqrt(N) u, the bound
 * of a sum of N terms in terms of their magnitudes (verify.h). Written for the algorithm that takes the mean first and
 * the squared deviations from it then, of all pixels at once or of parts that are combined (Chan, Golub and LeVeque
 * 1983, The American Statistician 37(3)): not for the mean of squares less the square of the mean, whose error grows
 * with the square of the condition number.
 *
 * Statistics. With m and v the exact mean and variance, s = sqrt(v), r = sqrt(m^2 + v) the root mean square:
 *
 *     mean        a sum, whose terms add up to at most N r in magnitude, a division, and a rounding:
 *                 M = (g + 2u) r.
 *     variance    Deviations from a mean that is off by e add e^2 to the variance, and deviations of parts' means, each
 *                 of which may be off by M, at most 2 s M. The deviations, their squares and the division round: 5u,
 *                 the sum g: V = (g + 5u) v + 2 s M + M^2.
 *                 Relative to v it is (g + 5u) + 2 k (g + 2u) + ..., with k = r / s: the condition number.
 *     rstd        1 / sqrt(variance + epsilon), of a variance between v - V (not below 0) and v + V. The error below is
 *                 the larger one; the sum, epsilon, root (2 ulp where it is rsqrt) and quotient round: 6u of it at
 *                 most. It is not linearised, as V may exceed v. Where the variance is given, V = M = 0. A library that
 *                 is given rstd but asks for the variance, 1/rstd^2 - epsilon, has it within the same 6u.
 *
 * Forward. y = w (x - mean) rstd + b, where the scale w * rstd and the shift b - mean * w * rstd may be taken first:
 * the error of the mean, and three roundings of x and of the mean, scaled, that of rstd on the deviation; the rest
 * rounds.
 *
 * Backward. db is a sum. dw = rstd * sum dy * (x - mean), deviations first. dx = w rstd (dy - (db + X dw) / N), with
 * X = (x - mean) rstd: the errors of db and dw, and roundings of every term.
 *
 * With a ReLU: forward its result is no further off than what it is given; backward dy counts where the y that all are
 * given is above 0, which is exact. */
#include <math.h>

#include "verify/verify.h"

typedef struct channel {
    double pixels, sums;     /* N, and g */
    double mean, mean_error; /* m, and M */
    double variance, variance_error;
    double rstd, rstd_error;
} channel;

static void set_rstd(const fv_batchnorm *d, double u, channel *k) {
    k->rstd = 1 / sqrt(k->variance + d->epsilon);
    const double largest = (1 + 6 * u) / sqrt(fmax(k->variance - k->variance_error, 0) + d->epsilon);
    k->rstd_error = largest - k->rstd;
}

static channel given_channel(const fv_batchnorm *d, fv_pass pass, const fv_host_tensors *t, int64_t c, double u) {
    channel k = {.pixels = (double)(d->n * d->h * d->w)};
    k.sums = 4 * sqrt(k.pixels) * u;
    if (d->training && pass != FV_FORWARD) {
        k.mean = ((const double *)t->at[FV_SAVED_MEAN])[c];
        k.rstd = ((const double *)t->at[FV_SAVED_RSTD])[c];
        k.rstd_error = 6 * u * k.rstd;
        return k;
    }
    k.mean = ((const double *)t->at[FV_MEAN])[c];
    k.variance = ((const double *)t->at[FV_VARIANCE])[c];
    set_rstd(d, u, &k);
    return k;
}

static channel measured_channel(const fv_batchnorm *d, const double *x, int64_t c, double u) {
    const int64_t elements = d->n * d->h * d->w * d->c;
    channel k = {.pixels = (double)(d->n * d->h * d->w)};
    k.sums = 4 * sqrt(k.pixels) * u;
    for (int64_t i = c; i < elements; i += d->c)
        k.mean += x[i] / k.pixels;
    for (int64_t i = c; i < elements; i += d->c)
        k.variance += (x[i] - k.mean) * (x[i] - k.mean) / k.pixels;
    k.mean_error = (k.sums + 2 * u) * sqrt(k.mean * k.mean + k.variance);
    k.variance_error =
        (k.sums + 5 * u) * k.variance + 2 * sqrt(k.variance) * k.mean_error + k.mean_error * k.mean_error;
    set_rstd(d, u, &k);
    return k;
}

/* Of (1 - momentum) * before + momentum * now: what `now` is off by, and four roundings of either. */
static double mixed_bound(const fv_batchnorm *d, double before, double now, double now_error, double u) {
    return d->momentum * now_error + 4 * u * ((1 - d->momentum) * fabs(before) + d->momentum * (fabs(now) + now_error));
}

static void forward_bounds(const fv_batchnorm *d, fv_role role, const fv_host_tensors *t, int64_t c, double u,
                           double *bounds) {
    const double *x = t->at[FV_X], w = fabs(((const double *)t->at[FV_W])[c]);
    const double b = fabs(((const double *)t->at[FV_B])[c]);
    const channel k = d->training ? measured_channel(d, x, c, u) : given_channel(d, FV_FORWARD, t, c, u);
    const double unbiased = k.pixels > 1 ? k.pixels / (k.pixels - 1) : 1;
    if (role == FV_SAVED_MEAN)
        bounds[c] = k.mean_error;
    else if (role == FV_SAVED_RSTD)
        bounds[c] = k.rstd_error;
    else if (role == FV_MEAN)
        bounds[c] = mixed_bound(d, ((const double *)t->at[FV_MEAN])[c], k.mean, k.mean_error, u);
    else if (role == FV_VARIANCE)
        bounds[c] = mixed_bound(d, ((const double *)t->at[FV_VARIANCE])[c], k.variance * unbiased,
                                (k.variance_error + 2 * u * k.variance) * unbiased, u);
    else
        for (int64_t i = c; i < d->n * d->h * d->w * d->c; i += d->c) {
            const double deviation = fabs(x[i] - k.mean), rstd = k.rstd + k.rstd_error;
            bounds[i] = w * rstd * (k.mean_error + 3 * u * (fabs(x[i]) + fabs(k.mean))) + w * deviation * k.rstd_error +
                        2 * u * (w * deviation * rstd + b);
        }
}

/* dy behind the normalisation. */
static double gradient(const fv_batchnorm *d, const fv_host_tensors *t, int64_t i) {
    return d->relu && !(((const double *)t->at[FV_Y])[i] > 0) ? 0 : ((const double *)t->at[FV_DY])[i];
}

static void backward_bounds(const fv_batchnorm *d, fv_role role, const fv_host_tensors *t, int64_t c, double u,
                            double *bounds) {
    const double *x = t->at[FV_X], w = fabs(((const double *)t->at[FV_W])[c]);
    const int64_t elements = d->n * d->h * d->w * d->c;
    const channel k = given_channel(d, FV_BACKWARD_DATA, t, c, u);
    const double rstd = k.rstd + k.rstd_error;
    double sum = 0, products = 0; /* magnitudes of db and dw */
    for (int64_t i = c; i < elements; i += d->c) {
        sum += fabs(gradient(d, t, i));
        products += fabs(gradient(d, t, i) * (x[i] - k.mean)) * rstd;
    }
    const double sum_error = (k.sums + u) * sum,
                 products_error = (k.sums + 4 * u) * products + products * k.rstd_error / k.rstd;
    if (role == FV_DB)
        bounds[c] = sum_error;
    else if (role == FV_DW)
        bounds[c] = products_error;
    else
        for (int64_t i = c; i < elements; i += d->c) {
            const double normal = fabs(x[i] - k.mean) * rstd;
            const double through = d->training ? (sum + normal * products) / k.pixels : 0;
            const double through_error = d->training ? (sum_error + normal * products_error) / k.pixels : 0;
            bounds[i] =
                w * rstd * (through_error + (5 * u + 2 * k.rstd_error / k.rstd) * (fabs(gradient(d, t, i)) + through));
        }
}

void fv_batchnorm_bounds(const fv_operation *op, fv_pass pass, fv_role role, double u, const fv_host_tensors *tensors,
                         double *bounds) {
    const fv_batchnorm *d = &op->batchnorm;
    for (int64_t c = 0; c < d->c; ++c)
        if (pass == FV_FORWARD)
            forward_bounds(d, role, tensors, c, u, bounds);
        else
            backward_bounds(d, role, tensors, c, u, bounds);
}
