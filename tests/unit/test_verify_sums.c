/* Error bounds of the operations whose results are sums of products: where no input is negative, S of verify.h is the
 * result itself, so that the bound must be 4 sqrt(K) u times the result, with K counted here by hand. And of batch
 * normalisation, by its own formulas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verify/verify.h"

#define TRANSPOSED "conv2d_transposed n=2 c=4 h=3 w=4 k=6 kernel=3x2 stride=2 groups=2 bias=1"
#define SEPARABLE "conv2d_separable n=2 c=3 h=5 w=6 multiplier=2 k=4 kernel=3x2 bias=1"
#define SPATIAL "conv2d_spatial n=2 c=2 h=5 w=6 m=4 k=4 kernel=3x2 groups=2"
#define UNSHARED "conv2d_unshared n=2 c=4 h=5 w=5 k=6 kernel=3 groups=2 bias=1"
#define AVERAGE "avgpool n=2 c=3 h=5 w=6 kernel=3x2 stride=2x1"

/* One sum within the other, of K1 and K2 terms: see ops/chain.h. */
static double chained(double inner, double outer) {
    return ceil(inner + outer + 2 * sqrt(inner * outer)) + 1;
}

static void take_magnitudes(const fv_operation *op, fv_pass pass, const fv_host_tensors *t) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const fv_operation wide = fv_in_double(op);
    const int count = fv_operation_signature(&wide, pass, specs);
    for (int i = 0; i < count; ++i)
        for (int64_t e = 0; specs[i].dtype == FV_F64 && e < fv_shape_elements(&specs[i].shape); ++e) {
            double *value = (double *)t->at[specs[i].role] + e;
            *value = specs[i].direction == FV_IN ? fabs(*value) : 0;
        }
}

static void check(const char *text, fv_pass pass, fv_role role, double terms) {
    fv_operation op;
    fv_host_tensors t;
    fv_tensor_spec specs[FV_MAX_SPECS];
    int64_t elements = 0;
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_int_equal(fv_generate(&op, pass, FV_BOUNDED, 3, &t), FV_OK);
    take_magnitudes(&op, pass, &t);
    assert_int_equal(fv_run_reference(&op, pass, &t), FV_OK);
    for (int i = fv_operation_signature(&op, pass, specs); i-- > 0;)
        if (specs[i].role == role)
            elements = fv_shape_elements(&specs[i].shape);
    double *bounds = malloc((size_t)elements * sizeof *bounds);
    assert_non_null(bounds);
    assert_int_equal(fv_error_bounds(&op, pass, role, 0, &t, &t, bounds), FV_OK);
    for (int64_t i = 0; i < elements; ++i) {
        const double result = ((const double *)t.at[role])[i];
        const double expected = 4 * sqrt(terms) * 0x1p-24 * result + terms * 0x1p-149;
        if (!(fabs(bounds[i] - expected) <= 0x1p-40 * expected)) /* sums of at most 2^10 terms in double */
            fail_msg("%s: bound %d of %s is %.17g, expected %.17g", text, (int)i, fv_role_name(role), bounds[i],
                     expected);
    }
    free(bounds);
    fv_host_tensors_release(&t);
}

static void convolutions(void **state) {
    (void)state;
    check(TRANSPOSED, FV_FORWARD, FV_Y, 3 * 2 * 2 + 1);
    check(TRANSPOSED, FV_BACKWARD_DATA, FV_DX, 3 * 2 * 3);
    check(TRANSPOSED, FV_BACKWARD_WEIGHTS, FV_DW, 2 * 3 * 4);
    check(TRANSPOSED, FV_BACKWARD_WEIGHTS, FV_DB, 2 * 7 * 8);
    check(SEPARABLE, FV_FORWARD, FV_Y, chained(3 * 2, 6 + 1));
    check(SEPARABLE, FV_BACKWARD_DATA, FV_DX, chained(4, 3 * 2 * 2));
    check(SEPARABLE, FV_BACKWARD_WEIGHTS, FV_DW, chained(4, 2 * 3 * 5));
    check(SEPARABLE, FV_BACKWARD_WEIGHTS, FV_DW2, chained(3 * 2, 2 * 3 * 5));
    check(SEPARABLE, FV_BACKWARD_WEIGHTS, FV_DB, 2 * 3 * 5);
    check(SPATIAL, FV_FORWARD, FV_Y, chained(3, 2 * 2));
    check(SPATIAL, FV_BACKWARD_DATA, FV_DX, chained(2 * 2, 3 * 2));
    check(SPATIAL, FV_BACKWARD_WEIGHTS, FV_DW, chained(2 * 2, 2 * 3 * 6));
    check(SPATIAL, FV_BACKWARD_WEIGHTS, FV_DW2, chained(3, 2 * 3 * 5));
    check(UNSHARED, FV_FORWARD, FV_Y, 9 * 2 + 1);
    check(UNSHARED, FV_BACKWARD_DATA, FV_DX, 9 * 3);
    check(UNSHARED, FV_BACKWARD_WEIGHTS, FV_DW, 2);
    check(UNSHARED, FV_BACKWARD_WEIGHTS, FV_DB, 2);
}

/* Besides the terms: two roundings of a division, eight of bilinear weights. */
static void the_rest(void **state) {
    (void)state;
    check(AVERAGE, FV_FORWARD, FV_Y, 3 * 2 + 2);
    check(AVERAGE, FV_BACKWARD_DATA, FV_DX, 2 * 2 + 2);
    check("upsample c=3 h=3 w=4 size=6x8 mode=bilinear", FV_FORWARD, FV_Y, 4 + 8);
    check("upsample c=3 h=3 w=4 size=6x8 mode=bilinear", FV_BACKWARD_DATA, FV_DX, 4 * 4 + 8);
    check("upsample c=3 h=3 w=4 size=6x8", FV_BACKWARD_DATA, FV_DX, 2 * 2);
    check("dropout elements=64 rate=0.3", FV_FORWARD, FV_Y, 1);
    check("dropout elements=64 rate=0.3", FV_BACKWARD_DATA, FV_DX, 1);
    check("add elements=64", FV_FORWARD, FV_Y, 2);
}

/* Of bounds_batchnorm.c, what has a closed form: M = (g + 2u) sqrt(m^2 + v) of the batch's mean, V = (g + 5u) v + 2
 * sqrt(v) M + M^2 of its variance, which momentum=1 makes the running one but for roundings, and g + u of db. */
static void batch_normalisation(void **state) {
    (void)state;
    enum { CHANNELS = 3, PIXELS = 40 };
    fv_operation op;
    fv_host_tensors forward, backward;
    double mean[CHANNELS], variance[CHANNELS], db[CHANNELS];
    assert_int_equal(fv_operation_parse("batchnorm n=2 c=3 h=4 w=5 momentum=1", &op), FV_OK);
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, 3, &forward), FV_OK);
    assert_int_equal(fv_error_bounds(&op, FV_FORWARD, FV_SAVED_MEAN, 0, &forward, &forward, mean), FV_OK);
    assert_int_equal(fv_error_bounds(&op, FV_FORWARD, FV_VARIANCE, 0, &forward, &forward, variance), FV_OK);
    assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_BOUNDED, 3, &backward), FV_OK);
    assert_int_equal(fv_error_bounds(&op, FV_BACKWARD_DATA, FV_DB, 0, &backward, &backward, db), FV_OK);
    const double u = 0x1p-24, g = 4 * sqrt(PIXELS) * u, unbiased = PIXELS / (PIXELS - 1.0);
    for (int c = 0; c < CHANNELS; ++c) {
        double sum = 0, squares = 0, magnitudes = 0;
        for (int i = c; i < PIXELS * CHANNELS; i += CHANNELS) {
            const double x = ((const double *)forward.at[FV_X])[i];
            sum += x;
            squares += x * x;
            magnitudes += fabs(((const double *)backward.at[FV_DY])[i]);
        }
        const double v = squares / PIXELS - sum / PIXELS * (sum / PIXELS);
        const double m_error = (g + 2 * u) * sqrt(squares / PIXELS);
        const double v_error = ((g + 5 * u) * v + 2 * sqrt(v) * m_error + m_error * m_error) * unbiased;
        assert_true(fabs(mean[c] - m_error) <= 0x1p-40 * m_error);
        assert_true(variance[c] >= v_error && variance[c] <= v_error + 8 * u * v * unbiased);
        assert_true(fabs(db[c] - (g + u) * magnitudes) <= 0x1p-40 * db[c]);
    }
    fv_host_tensors_release(&forward);
    fv_host_tensors_release(&backward);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions), cmocka_unit_test(the_rest),
                                       cmocka_unit_test(batch_normalisation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
