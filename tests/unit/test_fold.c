/* fv_fold_batchnorm: the folded convolution gives what conv2d and batchnorm give, one behind the other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fold.h>

#include "backends/kernel.h"
#include "base/random.h"
#include "verify/verify.h"

enum { MOST = 1024 };

static void draw(float *values, int64_t count, uint64_t stream, float least) {
    for (int64_t i = 0; i < count; ++i)
        values[i] = least + (1 - least) * fv_random_uniform(3, stream, (uint64_t)i);
}

static void widen(double *to, const float *from, int64_t count, int magnitudes) {
    for (int64_t i = 0; i < count; ++i)
        to[i] = magnitudes ? fabs((double)from[i]) : (double)from[i];
}

/* y of a conv2d in double precision; of the magnitudes of all that it adds up. */
static void convolve(const fv_conv2d *conv, const float *x, const float *w, const float *b, int magnitudes, double *y) {
    static double wide_x[MOST], wide_w[MOST], wide_b[MOST];
    fv_operation op = {.kind = FV_CONV2D, .conv2d = *conv};
    op.conv2d.bias = b != NULL;
    widen(wide_x, x, conv->n * conv->h * conv->w * conv->c, magnitudes);
    widen(wide_w, w, conv->k * conv->r * conv->s * conv->c / conv->groups, magnitudes);
    if (b)
        widen(wide_b, b, conv->k, magnitudes);
    const fv_host_tensors t = {{[FV_X] = wide_x, [FV_W] = wide_w, [FV_B] = b ? wide_b : NULL, [FV_Y] = y}};
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
}

static void normalise(const fv_conv2d *conv, const fv_batchnorm_parameters *p, double *x, double *y) {
    static double gamma[MOST], beta[MOST], mean[MOST], variance[MOST];
    const fv_operation op = {.kind = FV_BATCHNORM,
                             .batchnorm = {.n = conv->n,
                                           .c = conv->k,
                                           .h = fv_conv2d_p(conv),
                                           .w = fv_conv2d_q(conv),
                                           .epsilon = p->epsilon,
                                           .momentum = 0.1}};
    widen(gamma, p->gamma, conv->k, 0);
    widen(beta, p->beta, conv->k, 0);
    widen(mean, p->mean, conv->k, 0);
    widen(variance, p->variance, conv->k, 0);
    const fv_host_tensors t = {
        {[FV_X] = x, [FV_W] = gamma, [FV_B] = beta, [FV_MEAN] = mean, [FV_VARIANCE] = variance, [FV_Y] = y}};
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
}

static struct { float x[MOST], w[MOST], b[MOST], gamma[MOST], beta[MOST], mean[MOST], variance[MOST]; } in;

static fv_batchnorm_parameters draw_all(void) {
    draw(in.x, MOST, 0, -1);
    draw(in.w, MOST, 1, -1);
    draw(in.b, MOST, 2, -1);
    draw(in.gamma, MOST, 3, -1);
    draw(in.beta, MOST, 4, -1);
    draw(in.mean, MOST, 5, -1);
    draw(in.variance, MOST, 6, 0.25f);
    return (fv_batchnorm_parameters){in.gamma, in.beta, in.mean, in.variance, 1e-3};
}

static fv_conv2d parse_conv(const char *text) {
    fv_operation op;
    assert_int_equal(fv_operation_parse(text, &op), FV_OK);
    return op.conv2d;
}

/* Each folded value is rounded once, to within u of itself, so that the results differ by at most u times the sum of
 * the magnitudes. All else is computed in double, where 2^-40 is a wide bound for sums of a dozen terms. */
static void folds(const char *text, const float *b, int in_place) {
    const fv_conv2d conv = parse_conv(text);
    const fv_batchnorm_parameters p = draw_all();
    static double between[MOST], expected[MOST], got[MOST], sum[MOST];
    static float own_w[MOST], own_b[MOST];
    convolve(&conv, in.x, in.w, b, 0, between);
    normalise(&conv, &p, between, expected);
    float *w_out = in_place ? in.w : own_w, *b_out = in_place ? in.b : own_b;
    assert_int_equal(fv_fold_batchnorm(&conv, in.w, b, &p, w_out, b_out), FV_OK);
    convolve(&conv, in.x, w_out, b_out, 0, got);
    convolve(&conv, in.x, w_out, b_out, 1, sum);
    for (int64_t i = 0; i < conv.n * fv_conv2d_p(&conv) * fv_conv2d_q(&conv) * conv.k; ++i) {
        const int64_t k = i % conv.k;
        const double scale = fabs((double)in.gamma[k]) / sqrt((double)in.variance[k] + p.epsilon);
        const double all = sum[i] + (fabs((double)in.mean[k]) + 1) * scale + fabs((double)in.beta[k]);
        if (!(fabs(got[i] - expected[i]) <= 0x1p-24 * sum[i] + 0x1p-40 * all))
            fail_msg("%s: y[%ld] is %.17g, expected %.17g", text, (long)i, got[i], expected[i]);
    }
}

static void equals_both(void **state) {
    (void)state;
    folds("conv2d n=2 c=4 h=5 w=6 k=6 kernel=3x2 groups=2 pad=1 stride=2x1 bias=1", in.b, 0);
    folds("conv2d n=1 c=3 h=4 w=4 k=5 kernel=3x3", NULL, 0);
    folds("conv2d n=1 c=6 h=5 w=5 k=6 kernel=3x3 groups=6 bias=1", in.b, 1);
}

/* ---- on kernels ---- */

static fv_context *emulated(void) {
    fv_context *context;
    assert_int_equal(fv_context_create("emulated", NULL, &context), FV_OK);
    return context;
}

/* Runs a prepared call on host memory; returns what its kernel says of its arithmetic. */
static unsigned run_call(fv_call *call, fv_buffers buffers) {
    const unsigned notes = fv_call_numerics(call).notes;
    buffers.workspace = call->workspace ? malloc(call->workspace) : NULL;
    assert_false(call->bridged);
    assert_int_equal(fv_call_run(call, &buffers), FV_OK);
    free(buffers.workspace);
    fv_call_release(call);
    return notes;
}

/* The error bounds of a forward pass on these inputs. */
static void bounds_of(const fv_operation *op, unsigned notes, const fv_buffers *buffers, double *bounds) {
    static double wide[FV_ROLES][MOST];
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_host_tensors t = {{0}};
    const int count = fv_operation_signature(op, FV_FORWARD, specs);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        t.at[role] = wide[role];
        widen(wide[role], buffers->at[role], fv_shape_elements(&specs[i].shape), 0);
    }
    assert_int_equal(fv_error_bounds(op, FV_FORWARD, FV_Y, notes, &t, &t, bounds), FV_OK);
}

/* y of conv2d and batchnorm with a ReLU, by the kernels that are chosen, and by how much it may be off. */
static void normalised_by_kernels(fv_context *context, const fv_conv2d *conv, const fv_batchnorm_parameters *p,
                                  float *y, double *bounds) {
    static float between[MOST];
    static double conv_bounds[MOST];
    const fv_operation op = {.kind = FV_CONV2D, .conv2d = *conv};
    const fv_operation norm = {.kind = FV_BATCHNORM,
                               .batchnorm = {.n = conv->n,
                                             .c = conv->k,
                                             .h = fv_conv2d_p(conv),
                                             .w = fv_conv2d_q(conv),
                                             .relu = 1,
                                             .epsilon = p->epsilon,
                                             .momentum = 0.1}};
    const fv_buffers first = {
        .at = {[FV_X] = in.x, [FV_W] = in.w, [FV_B] = conv->bias ? in.b : NULL, [FV_Y] = between}};
    const fv_buffers second = {.at = {[FV_X] = between,
                                      [FV_W] = in.gamma,
                                      [FV_B] = in.beta,
                                      [FV_MEAN] = in.mean,
                                      [FV_VARIANCE] = in.variance,
                                      [FV_Y] = y}};
    fv_call call;
    assert_int_equal(fv_call_prepare(&call, context, &op, FV_FORWARD), FV_OK);
    bounds_of(&op, run_call(&call, first), &first, conv_bounds);
    assert_int_equal(fv_call_prepare(&call, context, &norm, FV_FORWARD), FV_OK);
    bounds_of(&norm, run_call(&call, second), &second, bounds);
    for (int64_t i = 0; i < conv->n * fv_conv2d_p(conv) * fv_conv2d_q(conv) * conv->k; ++i)
        bounds[i] +=
            conv_bounds[i] * fabs((double)in.gamma[i % conv->k]) / sqrt((double)in.variance[i % conv->k] + p->epsilon);
}

/* Both ways are off by their bounds at most, and folding rounds every parameter once: u times the sum of magnitudes. The
 * ReLU brings nothing further apart. Returns how many kernels can do the folded convolution. */
static int folds_on_kernels(const char *text) {
    const fv_conv2d conv = parse_conv(text);
    const fv_batchnorm_parameters p = draw_all();
    static float w[MOST], b[MOST], expected[MOST], got[MOST];
    static double sum[MOST], expected_bounds[MOST], got_bounds[MOST];
    fv_context *context = emulated();
    normalised_by_kernels(context, &conv, &p, expected, expected_bounds);
    assert_int_equal(fv_fold_batchnorm(&conv, in.w, conv.bias ? in.b : NULL, &p, w, b), FV_OK);
    convolve(&conv, in.x, w, b, 1, sum);
    fv_operation op = {.kind = FV_CONV2D, .conv2d = conv};
    op.conv2d.bias = op.conv2d.relu = 1;
    const fv_buffers buffers = {.at = {[FV_X] = in.x, [FV_W] = w, [FV_B] = b, [FV_Y] = got}};
    fv_kernel_cursor cursor = {0};
    int kernels = 0;
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(context->backend, &cursor));) {
        fv_call call;
        if (fv_kernel_refusal(kernel, context, &op, FV_FORWARD))
            continue;
        assert_int_equal(fv_call_prepare_kernel(&call, context, kernel, &op, FV_FORWARD), FV_OK);
        bounds_of(&op, run_call(&call, buffers), &buffers, got_bounds);
        ++kernels;
        for (int64_t i = 0; i < conv.n * fv_conv2d_p(&conv) * fv_conv2d_q(&conv) * conv.k; ++i)
            if (!(fabs((double)got[i] - (double)expected[i]) <= expected_bounds[i] + got_bounds[i] + 0x1p-24 * sum[i]))
                fail_msg("%s %s: y[%ld] is %.9g, expected %.9g", text, kernel->name, (long)i, (double)got[i],
                         (double)expected[i]);
    }
    fv_context_destroy(context);
    return kernels;
}

static void equals_both_on_kernels(void **state) {
    (void)state;
    assert_in_range(folds_on_kernels("conv2d n=2 c=4 h=5 w=6 k=6 kernel=3x2 groups=2 pad=1 stride=2x1 bias=1"), 3, 20);
    assert_in_range(folds_on_kernels("conv2d n=1 c=3 h=4 w=4 k=5 kernel=3x3"), 3, 20);
    assert_in_range(folds_on_kernels("conv2d n=1 c=6 h=5 w=5 k=9 kernel=1x1 bias=1"), 3, 20);
}

static void refuses(fv_conv2d conv, fv_batchnorm_parameters p, const char *message) {
    float w[64] = {0}, w_out[64] = {7}, b_out[4] = {7};
    assert_int_equal(fv_fold_batchnorm(&conv, w, NULL, &p, w_out, b_out), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), message);
    assert_true(w_out[0] == 7 && b_out[0] == 7);
}

static void refuses_nonsense(void **state) {
    (void)state;
    const fv_conv2d conv = parse_conv("conv2d n=1 c=1 h=3 w=3 k=4 kernel=3x3");
    const float numbers[4] = {1, 1, 1, 1}, negative[4] = {1, 1, -0.5f, 1}, none[4] = {1, NAN, 1, 1};
    const fv_batchnorm_parameters p = {numbers, numbers, numbers, numbers, 1e-5};
    fv_batchnorm_parameters bad = p;
    bad.epsilon = 0;
    refuses(conv, bad, "fold: epsilon=0 must be above 0");
    bad = p;
    bad.variance = negative;
    refuses(conv, bad, "fold: variance[2]=-0.5 must be at least 0");
    bad.variance = none;
    refuses(conv, bad, "fold: variance[1]=nan must be at least 0");
    fv_conv2d odd = conv;
    odd.groups = 3;
    refuses(odd, p, "conv2d: groups=3 must divide c=1 and k=4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_both),
        cmocka_unit_test(equals_both_on_kernels),
        cmocka_unit_test(refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
