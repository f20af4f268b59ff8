/* batchnorm by hand, on every backend that opens here; its stability; its gradients. */
#include "by_hand.h"
#include "parse.h"

#include "base/random.h"
#include "verify/verify.h"

/* ---- numbers that are exact: deviations of 1.5 and three times -0.5 have the variance 0.75, epsilon makes it 1 */

static void training(void **state) {
    (void)state;
    static const char text[] = "batchnorm n=2 c=2 h=1 w=2 epsilon=0.25 momentum=0.5";
    float x[8] = {11.5f, 3, 9.5f, 3, 9.5f, 5, 9.5f, 1}, w[2] = {2, 0}, b[2] = {1, 7}, y[8];
    float dy[8] = {1, 1, 0, 1, 0, 1, 0, 1}, dx[8], dw[2], db[2], saved_mean[2], saved_rstd[2];
    for (int i = 0; i < context_count; ++i) {
        float mean[2] = {0, 1}, variance[2] = {3, 0};
        host_arrays at = {[FV_X] = x,
                          [FV_W] = w,
                          [FV_B] = b,
                          [FV_MEAN] = mean,
                          [FV_VARIANCE] = variance,
                          [FV_Y] = y,
                          [FV_DY] = dy,
                          [FV_DX] = dx,
                          [FV_DW] = dw,
                          [FV_DB] = db,
                          [FV_SAVED_MEAN] = saved_mean,
                          [FV_SAVED_RSTD] = saved_rstd};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){4, 7, 0, 7, 0, 7, 0, 7}, 8);
        expect(contexts[i], "saved_mean", saved_mean, (const double[]){10, 3}, 2);
        expect(contexts[i], "saved_rstd", saved_rstd, (const double[]){1}, 1);
        expect(contexts[i], "mean", mean, (const double[]){5, 2}, 2);
        /* the unbiased variances are 1 and 8/3 */
        expect(contexts[i], "variance", variance, (const double[]){2}, 1);
        expect_near(contexts[i], "variance", variance + 1, (const double[]){4.0 / 3}, 1, 3 * 0x1p-24);
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0.375, 0, -0.125, 0, -0.125, 0, -0.125, 0}, 8);
        expect(contexts[i], "dw", dw, (const double[]){1.5, 0}, 2);
        expect(contexts[i], "db", db, (const double[]){1, 4}, 2);
    }
}

static void inference(void **state) {
    (void)state;
    static const char text[] = "batchnorm n=2 c=1 h=1 w=2 training=0 epsilon=0.25";
    float x[4] = {11.5f, 9.5f, 9.5f, 10}, w[1] = {2}, b[1] = {1}, mean[1] = {10}, variance[1] = {0.75f}, y[4];
    float dy[4] = {1, 0, 0, 3}, dx[4], dw[1], db[1];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_W] = w,   [FV_B] = b,   [FV_MEAN] = mean, [FV_VARIANCE] = variance,
                          [FV_Y] = y, [FV_DY] = dy, [FV_DX] = dx, [FV_DW] = dw,     [FV_DB] = db};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){4, 0, 0, 1}, 4);
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){2, 0, 0, 6}, 4);
        expect(contexts[i], "dw", dw, (const double[]){1.5}, 1);
        expect(contexts[i], "db", db, (const double[]){4}, 1);
    }
}

/* One pixel has no variance, biased or not; a NaN stays in its channel. */
static void one_pixel(void **state) {
    (void)state;
    float x[2] = {5, NAN}, w[2] = {3, 3}, b[2] = {2, 2}, y[2], saved_mean[2], saved_rstd[2];
    for (int i = 0; i < context_count; ++i) {
        float mean[2] = {1, 1}, variance[2] = {8, 8};
        host_arrays at = {[FV_X] = x,
                          [FV_W] = w,
                          [FV_B] = b,
                          [FV_MEAN] = mean,
                          [FV_VARIANCE] = variance,
                          [FV_Y] = y,
                          [FV_SAVED_MEAN] = saved_mean,
                          [FV_SAVED_RSTD] = saved_rstd};
        run(contexts[i], "batchnorm n=1 c=2 h=1 w=1 epsilon=0.25 momentum=0.5", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){2, NAN}, 2);
        expect(contexts[i], "saved_mean", saved_mean, (const double[]){5, NAN}, 2);
        expect(contexts[i], "saved_rstd", saved_rstd, (const double[]){2, NAN}, 2);
        expect(contexts[i], "mean", mean, (const double[]){3, NAN}, 2);
        expect(contexts[i], "variance", variance, (const double[]){4, NAN}, 2);
    }
}

/* A mean whose square no f32 holds, of pixels that do not deviate from it. */
static void far_mean(void **state) {
    (void)state;
    float x[4] = {0x1p65f, 0x1p65f, 0x1p65f, 0x1p65f}, w = 3, b = 2, y[4], saved_mean, saved_rstd;
    for (int i = 0; i < context_count; ++i) {
        float mean = 0, variance = 8;
        host_arrays at = {[FV_X] = x,
                          [FV_W] = &w,
                          [FV_B] = &b,
                          [FV_MEAN] = &mean,
                          [FV_VARIANCE] = &variance,
                          [FV_Y] = y,
                          [FV_SAVED_MEAN] = &saved_mean,
                          [FV_SAVED_RSTD] = &saved_rstd};
        run(contexts[i], "batchnorm n=1 c=1 h=2 w=2 epsilon=0.25 momentum=0.5", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){2, 2, 2, 2}, 4);
        expect(contexts[i], "saved_mean", &saved_mean, (const double[]){0x1p65}, 1);
        expect(contexts[i], "saved_rstd", &saved_rstd, (const double[]){2}, 1);
        expect(contexts[i], "variance", &variance, (const double[]){4}, 1);
    }
}

/* ---- a large mean must not cancel the variance away */

enum { PIXELS = 2000, CHANNELS = 3 };

/* The mean of squares less the square of the mean, in f32: what the bound must not let pass. */
static double naive_variance(const float *x, int c) {
    float sum = 0, squares = 0;
    for (int i = c; i < PIXELS * CHANNELS; i += CHANNELS) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    const float mean = sum / PIXELS;
    return (double)(squares / PIXELS - mean * mean);
}

/* Deviations of 0.01 around 1000, and in one channel around -1000 in ever higher steps. */
static void fill_offset(float *x) {
    for (int i = 0; i < PIXELS * CHANNELS; ++i) {
        const float deviation = 0.02f * fv_random_uniform(1, 2, (uint64_t)i) - 0.01f;
        const int pixel = i / CHANNELS;
        x[i] = i % CHANNELS == 2 ? -1000 + 0.02f * (float)pixel / PIXELS - 0.01f : 1000 + deviation;
    }
}

static void large_mean(void **state) {
    (void)state;
    const fv_operation op = parse("batchnorm n=2 c=3 h=20 w=50");
    static float x[PIXELS * CHANNELS], y[PIXELS * CHANNELS];
    static const fv_role outputs[] = {FV_Y, FV_SAVED_MEAN, FV_SAVED_RSTD, FV_MEAN, FV_VARIANCE};
    fv_host_tensors in, truth;
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, 1, &in), FV_OK);
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, 1, &truth), FV_OK);
    fill_offset(x);
    float small[FV_ROLES][CHANNELS];
    for (int i = 0; i < PIXELS * CHANNELS; ++i)
        ((double *)in.at[FV_X])[i] = ((double *)truth.at[FV_X])[i] = (double)x[i];
    const fv_role given[] = {FV_W, FV_B, FV_MEAN, FV_VARIANCE};
    for (size_t r = 0; r < 4; ++r)
        for (int c = 0; c < CHANNELS; ++c) {
            double *value = in.at[given[r]];
            small[given[r]][c] = (float)value[c];
            value[c] = ((double *)truth.at[given[r]])[c] = (double)small[given[r]][c];
        }
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &truth), FV_OK);
    double bounds[FV_ROLES][CHANNELS];
    static double y_bounds[PIXELS * CHANNELS];
    for (size_t r = 0; r < sizeof outputs / sizeof outputs[0]; ++r)
        assert_int_equal(fv_error_bounds(&op, FV_FORWARD, outputs[r], 0, &in, &truth,
                                         outputs[r] == FV_Y ? y_bounds : bounds[outputs[r]]),
                         FV_OK);
    for (int c = 0; c < CHANNELS; ++c) {
        const double was = ((double *)in.at[FV_VARIANCE])[c], naive = 0.9 * was + 0.1 * naive_variance(x, c);
        assert_false(fabs(naive - ((double *)truth.at[FV_VARIANCE])[c]) <= bounds[FV_VARIANCE][c]);
    }
    for (int i = 0; i < context_count; ++i) {
        float now[FV_ROLES][CHANNELS];
        memcpy(now, small, sizeof now);
        host_arrays at = {[FV_X] = x, [FV_Y] = y};
        for (size_t r = 0; r < 4; ++r)
            at[given[r]] = now[given[r]];
        at[FV_SAVED_MEAN] = now[FV_SAVED_MEAN];
        at[FV_SAVED_RSTD] = now[FV_SAVED_RSTD];
        run(contexts[i], "batchnorm n=2 c=3 h=20 w=50", FV_FORWARD, at);
        for (size_t r = 1; r < sizeof outputs / sizeof outputs[0]; ++r)
            for (int c = 0; c < CHANNELS; ++c)
                expect_near(contexts[i], fv_role_name(outputs[r]), now[outputs[r]] + c,
                            (double *)truth.at[outputs[r]] + c, 1, bounds[outputs[r]][c]);
        for (int e = 0; e < PIXELS * CHANNELS; ++e)
            expect_near(contexts[i], "y", y + e, (double *)truth.at[FV_Y] + e, 1, y_bounds[e]);
    }
    fv_host_tensors_release(&in);
    fv_host_tensors_release(&truth);
}

/* ---- finite differences, on the reference */

enum { MOST = 64 };

/* <dy, y>; *error bounds its rounding errors. */
static double inner(const fv_operation *op, const fv_host_tensors *t, const double *dy, int elements, double *error) {
    double bounds[MOST], sum = 0;
    assert_int_equal(fv_run_reference(op, FV_FORWARD, t), FV_OK);
    assert_int_equal(fv_error_bounds(op, FV_FORWARD, FV_Y, 0, t, t, bounds), FV_OK);
    *error = 0;
    for (int i = 0; i < elements; ++i) {
        sum += dy[i] * ((const double *)t->at[FV_Y])[i];
        *error += fabs(dy[i]) * (bounds[i] + elements * 0x1p-53 * fabs(((const double *)t->at[FV_Y])[i]));
    }
    return sum;
}

/* The third derivative of <dy, y> by pixel i, within a step h of where it is. Moving x_i by t moves the deviations by
 * t (1 at i) - t/N, and s = variance + epsilon to s + 2at + bt^2, with a = d_i/N and b = (N-1)/N^2. So of a channel
 *     <dy, y> = w (A + tB) s^(-1/2) + ..., A = sum dy d, B = dy_i - sum dy / N,
 * and with s' = 2(a + bt), s'' = 2b, s''' = 0 its third derivative is w ((A + tB) f''' + 3 B f''), where f = s^(-1/2),
 *     f'' = 3/4 s'^2 s^(-5/2) - 1/2 s'' s^(-3/2),     f''' = -15/8 s'^3 s^(-7/2) + 9/4 s' s'' s^(-5/2). */
static double third_derivative(const fv_batchnorm *d, const double *x, const double *dy, double w, int i, double h) {
    const int pixels = (int)(d->n * d->h * d->w), c = i % (int)d->c;
    double mean = 0, variance = 0, together = 0, sum = 0;
    for (int p = 0; p < pixels; ++p)
        mean += x[p * d->c + c] / pixels;
    for (int p = 0; p < pixels; ++p) {
        const double deviation = x[p * d->c + c] - mean;
        variance += deviation * deviation / pixels;
        together += dy[p * d->c + c] * deviation;
        sum += dy[p * d->c + c];
    }
    const double a = fabs(x[i] - mean) / pixels, b = (pixels - 1.0) / pixels / pixels;
    const double s = variance + d->epsilon - 2 * a * h, first = 2 * (a + b * h), second = 2 * b;
    const double f2 = 0.75 * first * first * pow(s, -2.5) + 0.5 * second * pow(s, -1.5);
    const double f3 = 1.875 * first * first * first * pow(s, -3.5) + 2.25 * first * second * pow(s, -2.5);
    const double moving = fabs(dy[i] - sum / pixels);
    return fabs(w) * ((fabs(together) + h * moving) * f3 + 3 * moving * f2);
}

/* Central differences err by h^2/6 times the third derivative, which is 0 where y is linear, plus the errors of the two
 * values over 2h, which also cover the rounding of the statistics that the gradient is given, and the gradient's
 * own. */
static void check_differences(const fv_operation *op, const fv_host_tensors *t, const fv_host_tensors *back, fv_role by,
                              fv_role gradient) {
    const fv_batchnorm *d = &op->batchnorm;
    const int elements = (int)(d->n * d->h * d->w * d->c), count = by == FV_X ? elements : (int)d->c;
    const double h = 0x1p-13, *dy = back->at[FV_DY], *got = back->at[gradient];
    double own[MOST];
    assert_int_equal(fv_error_bounds(op, FV_BACKWARD_DATA, gradient, 0, back, back, own), FV_OK);
    double *place = t->at[by];
    for (int i = 0; i < count; ++i) {
        const double before = place[i];
        const double third = by == FV_X && d->training
                                 ? third_derivative(d, t->at[FV_X], dy, ((double *)t->at[FV_W])[i % d->c], i, h)
                                 : 0;
        double above_error, below_error;
        place[i] = before + h;
        const double above = inner(op, t, dy, elements, &above_error);
        place[i] = before - h;
        const double below = inner(op, t, dy, elements, &below_error);
        place[i] = before;
        const double tolerance = h * h / 6 * third + (above_error + below_error) / (2 * h) + own[i];
        if (!(fabs((above - below) / (2 * h) - got[i]) <= tolerance))
            fail_msg("by %s[%d]: difference quotient %.17g, gradient %.17g, tolerance %g", fv_role_name(by), i,
                     (above - below) / (2 * h), got[i], tolerance);
    }
}

static void differences(void **state) {
    (void)state;
    static const char *const texts[] = {"batchnorm n=2 c=3 h=2 w=3 dtype=f64",
                                        "batchnorm n=1 c=1 h=1 w=2 epsilon=0.125 dtype=f64",
                                        "batchnorm n=2 c=3 h=2 w=3 training=0 dtype=f64"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        const fv_operation op = parse(texts[i]);
        fv_host_tensors forward, backward;
        assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, 5, &forward), FV_OK);
        assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_BOUNDED, 5, &backward), FV_OK);
        assert_int_equal(fv_run_reference(&op, FV_BACKWARD_DATA, &backward), FV_OK);
        check_differences(&op, &forward, &backward, FV_X, FV_DX);
        check_differences(&op, &forward, &backward, FV_W, FV_DW);
        check_differences(&op, &forward, &backward, FV_B, FV_DB);
        fv_host_tensors_release(&forward);
        fv_host_tensors_release(&backward);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training), cmocka_unit_test(inference),  cmocka_unit_test(one_pixel),
        cmocka_unit_test(far_mean), cmocka_unit_test(large_mean), cmocka_unit_test(differences),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
