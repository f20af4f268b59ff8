/* The exact comparison for Winograd convolution: inputs on which a kernel whose transforms divide, rather than multiply
 * by rounded reciprocals, rounds nothing at all with tiles of 2x2, and nothing before its last transform with tiles of
 * 4x4.
 *
 * The matrices (Lavin and Gray 2016, as in bounds_winograd.c) are of integers but for G, the filters', which divides by
 * 2, or by 4, 6 and 24; twice, for rows and columns. So filters are 9 times a small integer, at most R, and what they
 * are multiplied with is an integer up to R: after a division by 3^2 only powers of two are left in denominators, and
 * sums are exact as long as they stay below 2^24 times their grain. Every product of the convolution is then a multiple
 * of 9, and one that is lost, unless it is 0, is an error of 9 or more.
 *
 * In one dimension, with filters 3 times an integer up to 1, the largest |G w| and |B' x| at each point, their product,
 * and the grain of G w:
 *
 *     2x2, points 0, 1, -1, infinity         |G w|  3, 9/2, 9/2, 3                    grain  3, 3/2, 3/2, 3
 *                                            |B' x| 2, 2, 2, 2
 *     4x4, points 0, 1, -1, 2, -2, infinity  |G w|  3/4, 3/2, 3/2, 7/8, 7/8, 3        grain  3/4, 1/2, 1/2, 1/8, 1/8, 3
 *                                            |B' x| 10, 10, 10, 6, 6, 10
 *
 *     sums over channels    the largest product in grains: 6 (2x2) and 42 (4x4); so C R^2 6^2 or C R^2 42^2 < 2^24
 *     output transform      weighs the products by A, 1 or 1 to 8, and adds them up: T = 24 (2x2) and 144 (4x4), the latter
 *                           for the last output, 2 * 15 + 8 * 2 * 21/4 + 30. In two dimensions T^2 C R^2, and
 *                           with a bias R more, to stay below 2^24 grains: of 1/4, and of 1/64.
 *
 * For 2x2 that is C R^2 up to 7281: nothing is rounded. For 4x4 it is 12; beyond that the output transform may round,
 * each term in at most 3 additions along either axis and one of the bias, so that the error is at most
 *
 *     7 u / (1 - 7 u) * (T^2 C R^2 + R),        u = 2^-24.
 *
 * As long as this is below 9/2, up to C R^2 = 520, a lost product is seen for certain: no result can be within the
 * error of both sums. R is chosen so. */
#include <math.h>

#include "base/checked.h"
#include "ops/dtype.h"
#include "verify/verify.h"

static const double step = FV_WINOGRAD_STEP;

/* T^2 and the grain of the output transform. */
typedef struct form {
    double most, grain;
} form;
static const form small = {24 * 24, 1 / 4.}, large = {144 * 144, 1 / 64.};

/* The products in a sum at one point, C. */
static double channels(const fv_conv2d *d, fv_pass pass) {
    return (double)((pass == FV_FORWARD ? d->c : d->k) / d->groups);
}

/* What the output transform may round, of sums of `c` channels. */
static double rounded_away(const form *f, double c, int64_t range) {
    const double most = f->most * c * (double)(range * range) + (double)range, roundings = 7 * 0x1p-24;
    return most < 0x1p24 * f->grain ? 0 : roundings / (1 - roundings) * most;
}

static bool possible(const fv_operation *op, fv_pass pass) {
    const fv_conv2d *d = &op->conv2d;
    return op->kind == FV_CONV2D && pass != FV_BACKWARD_WEIGHTS && fv_dtype_stored(d->dtype) == FV_F32 && d->r == 3 &&
           d->s == 3 && d->stride_h * d->stride_w * d->dilation_h * d->dilation_w == 1;
}

int64_t fv_winograd_range(const fv_operation *op, fv_pass pass) {
    enum { MOST = 8 };
    if (!possible(op, pass))
        return 0;
    const double c = channels(&op->conv2d, pass);
    for (int64_t range = MOST; range > 0; --range)
        if (rounded_away(&large, c, range) < step / 2)
            return range;
    for (int64_t range = MOST; range > 0; --range)
        if (rounded_away(&small, c, range) == 0)
            return range;
    return 0;
}

double fv_winograd_slack(const fv_operation *op, fv_pass pass, unsigned notes) {
    const int64_t range = notes & FV_NOTE_EXACT_TRANSFORMS ? fv_winograd_range(op, pass) : 0;
    if (range == 0)
        return 0;
    return rounded_away(notes & FV_NOTE_WINOGRAD_4X4 ? &large : &small, channels(&op->conv2d, pass), range);
}

const char *fv_winograd_inexact(const fv_operation *op, fv_pass pass, unsigned notes) {
    if (!(notes & FV_NOTE_EXACT_TRANSFORMS) || notes & (FV_NOTE_WINOGRAD_9X9 | FV_NOTE_TF32 | FV_NOTE_TF32_CUT))
        return "its transforms do not map integers to integers";
    if (!possible(op, pass))
        return "exact inputs for Winograd's transforms are known for 3x3 filters without stride and dilation, in f32";
    return fv_winograd_range(op, pass) > 0 && fv_winograd_slack(op, pass, notes) < step / 2
               ? NULL
               : "over so many channels its transforms round by more than a lost product would change";
}
