/* Factors of filters of rank 1, and that conv2d_spatial with the factors is conv2d with the filter. */
#include "by_hand.h"

enum { LARGEST = 81 };

static bool factor(const double *filter, int64_t r, int64_t s, double *column, double *row) {
    bool separable;
    if (fv_factor_filter(filter, r, s, column, row, &separable) != FV_OK)
        fail_msg("%s", fv_error_message());
    return separable;
}

static void expect_factors(const double *filter, int64_t r, int64_t s, const double *column, const double *row) {
    double u[LARGEST], v[LARGEST];
    assert_true(factor(filter, r, s, u, v));
    for (int64_t i = 0; i < r; ++i)
        assert_true(u[i] == column[i]);
    for (int64_t j = 0; j < s; ++j)
        assert_true(v[j] == row[j]);
}

static void integers_stay_integers(void **state) {
    (void)state;
    static const double binomial[] = {1, 2, 1, 2, 4, 2, 1, 2, 1}, smooth[] = {1, 2, 1}, slope[] = {-1, 0, 1};
    static const double falling[] = {1, 0, -1}, trough[] = {-1, -2, -1};
    static const double sobel_x[] = {-1, 0, 1, -2, 0, 2, -1, 0, 1}, sobel_y[] = {-1, -2, -1, 0, 0, 0, 1, 2, 1};
    static const double wide[] = {6, -9, 15, 10, -15, 25}, three_five[] = {3, 5}, odd[] = {2, -3, 5};
    static const double second[] = {0, 0, 0, 7}, below[] = {0, 1}, right[] = {0, 7}, one[] = {-5}, unit[] = {1};
    expect_factors(binomial, 3, 3, smooth, smooth);
    expect_factors(sobel_x, 3, 3, smooth, slope);
    expect_factors(sobel_y, 3, 3, falling, trough);
    expect_factors(wide, 2, 3, three_five, odd);
    expect_factors(second, 2, 2, below, right);
    expect_factors(one, 1, 1, unit, one);
    /* and so do integers times a power of two, or times any number that has few enough bits for a product */
    double scaled[9], row[3];
    for (int i = 0; i < 9; ++i)
        scaled[i] = binomial[i] / 16;
    for (int i = 0; i < 3; ++i)
        row[i] = smooth[i] / 16;
    expect_factors(scaled, 3, 3, smooth, row);
    static const double ones[] = {1, 1, 1};
    for (int i = 0; i < 9; ++i)
        scaled[i] = 1.0 / 9;
    for (int i = 0; i < 3; ++i)
        row[i] = 1.0 / 9;
    expect_factors(scaled, 3, 3, ones, row);
}

static void zeros_are_separable(void **state) {
    (void)state;
    static const double zeros[6] = {0};
    expect_factors(zeros, 2, 3, zeros, zeros);
}

static void other_ranks_are_not(void **state) {
    (void)state;
    static const double laplacian[] = {0, 1, 0, 1, -4, 1, 0, 1, 0}, identity[] = {1, 0, 0, 1};
    static const double diagonal[] = {3, 0, 0, 0, -2, 0, 0, 0, 1}, nearly[] = {1, 1, 1, 1 + 1e-12};
    static const double large[] = {1e15, 1e15, 1e15, 1e15 + 100};
    double u[3], v[3];
    assert_false(factor(laplacian, 3, 3, u, v));
    assert_false(factor(identity, 2, 2, u, v));
    assert_false(factor(diagonal, 3, 3, u, v));
    assert_false(factor(nearly, 2, 2, u, v));
    assert_false(factor(large, 2, 2, u, v));
}

/* A normalised Gaussian, as people compute it, at every scale. The header's 14 * 2^-53 hold for the exact product; here
 * it is rounded, and so is the difference. */
static void rounding_is_forgiven(void **state) {
    (void)state;
    for (int size = 1; size <= 9; size += 2)
        for (int scale = -600; scale <= 600; scale += 300) {
            double filter[LARGEST], u[9], v[9], sum = 0;
            for (int i = 0; i < size * size; ++i) {
                const double y = i / size - size / 2, x = i % size - size / 2;
                filter[i] = exp(-y * y / 3.7) * exp(-x * x / 2.9);
                sum += filter[i];
            }
            for (int i = 0; i < size * size; ++i)
                filter[i] = ldexp(filter[i] / sum, scale);
            assert_true(factor(filter, size, size, u, v));
            for (int i = 0; i < size * size; ++i) {
                assert_true(fabs(u[i / size] * v[i % size] - filter[i]) <= 16 * 0x1p-53 * filter[i]);
                assert_true(fabs(v[i % size]) <= 1 || size == 1);
            }
        }
}

static void refuses_what_is_no_filter(void **state) {
    (void)state;
    static const double bad[] = {1, NAN, 1, -INFINITY};
    double u[4], v[4];
    bool separable;
    assert_int_equal(fv_factor_filter(bad, 2, 2, u, v, &separable), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "a filter to factor: entry 0,1 is not finite");
    assert_int_equal(fv_factor_filter(bad + 2, 1, 2, u, v, &separable), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "a filter to factor: entry 0,1 is not finite");
    assert_int_equal(fv_factor_filter(bad, 0, 3, u, v, &separable), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "a filter to factor: 0x3 must be at least 1x1");
    assert_int_equal(fv_factor_filter(bad, 3, -1, u, v, &separable), FV_BAD_INPUT);
}

/* With integers both are exact, on every backend. */
static void factors_do_what_the_filter_does(void **state) {
    (void)state;
    static const double filters[][9] = {{1, 2, 1, 2, 4, 2, 1, 2, 1}, {-1, 0, 1, -2, 0, 2, -1, 0, 1}};
    for (int f = 0; f < 2; ++f)
        for (int i = 0; i < context_count; ++i) {
            double column[3], row[3];
            assert_true(factor(filters[f], 3, 3, column, row));
            float x[2 * 5 * 7], w[9], first[3], second[3], y[2 * 5 * 7];
            double expected[2 * 5 * 7];
            for (int e = 0; e < 2 * 5 * 7; ++e)
                x[e] = (float)(e * 37 % 19 - 9);
            for (int e = 0; e < 9; ++e)
                w[e] = (float)filters[f][e];
            for (int e = 0; e < 3; ++e)
                first[e] = (float)column[e], second[e] = (float)row[e];
            run(contexts[i], "conv2d n=2 c=1 h=5 w=7 k=1 kernel=3x3 pad=1", FV_FORWARD,
                (host_arrays){[FV_X] = x, [FV_W] = w, [FV_Y] = y});
            for (int e = 0; e < 2 * 5 * 7; ++e)
                expected[e] = (double)y[e];
            run(contexts[i], "conv2d_spatial n=2 c=1 h=5 w=7 m=1 k=1 kernel=3x3 pad=1", FV_FORWARD,
                (host_arrays){[FV_X] = x, [FV_W] = first, [FV_W2] = second, [FV_Y] = y});
            expect(contexts[i], "y", y, expected, 2 * 5 * 7);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_stay_integers),
        cmocka_unit_test(zeros_are_separable),
        cmocka_unit_test(other_ranks_are_not),
        cmocka_unit_test(rounding_is_forgiven),
        cmocka_unit_test(refuses_what_is_no_filter),
        cmocka_unit_test_setup_teardown(factors_do_what_the_filter_does, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
