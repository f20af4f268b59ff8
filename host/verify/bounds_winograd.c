/* The error bound of Winograd convolution.
 *
 * In one dimension, m outputs of a filter of r taps come from t = m + r - 1 products:
 *
 *     y[p] = sum_i A[i][p] * (sum_s G[i][s] w[s]) * (sum_l B[i][l] x[l]),      sum_i A[i][p] G[i][s] B[i][l] = [l = p+s]
 *
 * with the matrices of Cook and Toom's interpolation; in two dimensions each matrix is applied to rows and to columns
 * (Lavin and Gray 2016, CVPR). The same three serve all passes: backward data correlates dy with the turned filter, and
 * backward weights exchanges the places of A and G. Scaling a row of one matrix and unscaling it in another, in which
 * implementations differ, changes nothing below.
 *
 * The transformed values are far larger than their result, and do not belong to one output alone, so a bound by
 * magnitudes, such as that of Barabasz et al. (2020, ACM TOMS 46(4)), lies a thousandfold above what occurs. This one
 * is by second moments. Model: rounding errors are independent and uniform within u times the value rounded, and, as
 * fv_generate sees to it, the inputs are independent and symmetric about 0, with mean squares X and W. Let R be the
 * number of transformed tiles that are summed, D the largest of  sum_i A[i][p]^2 |G[i]|^2 |B[i]|^2  over p. Every
 * rounding of a chain adds, over all its places in the algorithm, to the mean square of an output's error at most
 * R X W D^2 u^2 / 3:
 *
 *     transformed inputs and their products: the mean square at place (i, j) is X |B_i|^2 |B_j|^2, and so on; places
 *         are independent, so squares add up. Between rows and columns, places in one row go together, and the
 *         identity above makes D of their row and r or m, which is at most D, of the other.
 *     sums over R: partial sums grow from 1 to R terms, so that R of them count (R + 1) / 2.
 *     output transform: terms are not independent, so a partial sum of k terms counts k, by Cauchy's inequality.
 *
 * A row of k coefficients rounds each coefficient and each term, which count 1 each together, and k - 1 partial sums.
 *
 * The error is thus a polynomial of degree 3 in independent symmetric variables, with a known mean square s^2. Such a
 * one exceeds tail * s with a probability below exp(-(3/2e) tail^(2/3)) (O'Donnell 2014, Analysis of Boolean Functions,
 * theorem 9.23). The tail is chosen so that this is exp(-8), as 4 is for the bound of verify.h.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "verify/verify.h"

enum { MOST = 6 }; /* points of the largest form */

typedef struct form {
    fv_numerical_note note;
    int outputs, taps;
    double points[MOST - 1]; /* all but the last, which is infinity */
} form;

/* Lavin and Gray's points, which our kernels take. cuDNN does not say which it takes; these are the usual ones. */
static const form forms[] = {
    {FV_NOTE_WINOGRAD_2X2, 2, 3, {0, 1, -1}},
    {FV_NOTE_WINOGRAD_4X4, 4, 3, {0, 1, -1, 2, -2}},
};

/* A matrix with one row per point: that of the outputs, of the filter or of the input. */
typedef struct matrix {
    int columns;
    double at[MOST][MOST];
} matrix;

/* Row i holds the powers of point i, divided by `divisor`; that of infinity holds the highest power alone. */
static matrix evaluation(const form *f, int columns, const double divisor[MOST]) {
    const int last = f->outputs + f->taps - 2;
    matrix result = {.columns = columns};
    for (int i = 0; i < last; ++i)
        for (int e = 0; e < columns; ++e)
            result.at[i][e] = pow(f->points[i], e) / divisor[i];
    result.at[last][columns - 1] = 1;
    return result;
}

/* Row i holds the coefficients of the product of (x - point) over the other finite points; its value at point i goes
 * to divisor[i]. */
static matrix interpolation(const form *f, double divisor[MOST]) {
    const int last = f->outputs + f->taps - 2;
    matrix result = {.columns = last + 1};
    for (int i = 0; i <= last; ++i) {
        double *row = result.at[i];
        row[0] = divisor[i] = 1;
        for (int j = 0; j < last; ++j) {
            if (j == i)
                continue;
            for (int e = last; e >= 0; --e)
                row[e] = (e > 0 ? row[e - 1] : 0) - f->points[j] * row[e];
            divisor[i] *= i < last ? f->points[i] - f->points[j] : 1;
        }
    }
    return result;
}

static double row_square(const matrix *m, int row) {
    double sum = 0;
    for (int e = 0; e < m->columns; ++e)
        sum += m->at[row][e] * m->at[row][e];
    return sum;
}

/* D for outputs made by the columns of `out` from inputs transformed by the rows of `a` and `b`. */
static double largest_gain(const matrix *out, const matrix *a, const matrix *b, int points) {
    double largest = 0;
    for (int e = 0; e < out->columns; ++e) {
        double gain = 0;
        for (int i = 0; i < points; ++i)
            gain += out->at[i][e] * out->at[i][e] * row_square(a, i) * row_square(b, i);
        largest = fmax(largest, gain);
    }
    return largest;
}

/* The most terms that a transform adds up: along the rows for an input, along the columns for the output. */
static double most_terms(const matrix *m, int points, bool along_columns) {
    int most = 0;
    for (int line = 0; line < (along_columns ? m->columns : points); ++line) {
        int terms = 0;
        for (int i = 0; i < (along_columns ? points : m->columns); ++i)
            terms += (along_columns ? m->at[i][line] : m->at[line][i]) != 0;
        most = terms > most ? terms : most;
    }
    return most;
}

/* Roundings of the three transforms, each applied twice. */
static double transform_roundings(const matrix *out, const matrix *a, const matrix *b, int points) {
    const double terms = most_terms(out, points, true);
    return 2 * (most_terms(a, points, false) + 1) + 2 * (most_terms(b, points, false) + 1) +
           2 * (2 + terms * (terms + 1) / 2 - 1);
}

/* R. Filters of more than r taps are cut into pieces; a weight's gradient is summed over all tiles of all images. */
static double summed_tiles(const form *f, const fv_conv2d *d, fv_pass pass) {
    const double pieces = ceil((double)d->r / f->taps) * ceil((double)d->s / f->taps);
    if (pass == FV_BACKWARD_WEIGHTS)
        return (double)d->n * ceil((double)fv_conv2d_p(d) / f->outputs) * ceil((double)fv_conv2d_q(d) / f->outputs);
    return pieces * (double)((pass == FV_FORWARD ? d->c : d->k) / d->groups);
}

/* The product of the mean squares of the two inputs that are multiplied. */
static double input_squares(const fv_operation *op, fv_pass pass, const fv_host_tensors *tensors) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    double product = 1;
    for (int i = 0; i < count; ++i) {
        if (specs[i].direction != FV_IN || specs[i].role == FV_B)
            continue;
        const int64_t elements = fv_shape_elements(&specs[i].shape);
        const double *value = tensors->at[specs[i].role];
        double sum = 0;
        for (int64_t e = 0; e < elements; ++e)
            sum += value[e] * value[e];
        product *= sum / (double)fv_max(elements, 1);
    }
    return product;
}

/* The root of the mean square of an output's error under one form. */
static double error_size(const form *f, const fv_conv2d *d, fv_pass pass, double u, double u_in, double u_sums) {
    const int points = f->outputs + f->taps - 1;
    double divisor[MOST], one[MOST];
    for (int i = 0; i < MOST; ++i)
        one[i] = 1;
    const matrix input = interpolation(f, divisor), filter = evaluation(f, f->taps, divisor);
    const matrix output = evaluation(f, f->outputs, one);
    const bool weights = pass == FV_BACKWARD_WEIGHTS;
    const matrix *out = weights ? &filter : &output, *other = weights ? &output : &filter;
    const double tiles = summed_tiles(f, d, pass), gain = largest_gain(out, other, &input, points);
    const double transforms = transform_roundings(out, other, &input, points);
    const double roundings = transforms * u * u + 2 * u_in * u_in + (1 + (tiles + 1) / 2) * u_sums * u_sums;
    return gain * sqrt(tiles * roundings / 3);
}

void fv_winograd_bounds(const fv_operation *op, fv_pass pass, unsigned notes, double u, double u_in, double u_sums,
                        const fv_host_tensors *tensors, const double *results, double *bounds, int64_t elements) {
    const double tail = pow(8 * 2 * exp(1) / 3, 1.5);
    double size = 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; ++i)
        if (notes & forms[i].note)
            size = fmax(size, error_size(&forms[i], &op->conv2d, pass, u, u_in, u_sums));
    const double common = tail * size * sqrt(input_squares(op, pass, tensors));
    for (int64_t e = 0; e < elements; ++e)
        bounds[e] = common + u * fabs(results[e]); /* u*|y|: a bias is added last */
}
