/* Medians, their intervals, and means of ratios. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "measure/measure.h"

enum { MOST = 20000 };

/* The numbers 1 to count, in an order that is neither ascending nor descending. */
static fv_summary of_ranks(int64_t count) {
    static double seconds[MOST];
    for (int64_t i = 0; i < count; ++i)
        seconds[i] = (double)(i * 7919 % count + 1); /* 7919 is prime, and divides none of the counts */
    return fv_summarize(seconds, count);
}

/* Ranks by hand: the largest r with P(Bin(n, 1/2) < r) <= 0.025, from tables of the binomial distribution, as textbooks
 * list them for the interval of a median. */
static void intervals(void **state) {
    (void)state;
    static const struct {
        int64_t count, low, high;
    } known[] = {
        {1, 1, 1},    {2, 1, 2},    {5, 1, 5},    {6, 1, 6},    {7, 1, 7},     {8, 1, 8},           {9, 2, 8},
        {10, 2, 9},   {11, 2, 10},  {12, 3, 10},  {15, 4, 12},  {17, 5, 13},   {20, 6, 15},         {25, 8, 18},
        {30, 10, 21}, {40, 14, 27}, {50, 18, 33}, {70, 27, 44}, {100, 40, 61}, {10000, 4902, 5099},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        const fv_summary summary = of_ranks(known[i].count);
        assert_int_equal(summary.samples, known[i].count);
        assert_int_equal((int64_t)summary.low, known[i].low);
        assert_int_equal((int64_t)summary.high, known[i].high);
        assert_true(summary.least == 1);
        assert_true(summary.median == (double)(known[i].count + 1) / 2);
    }
}

static void spreads(void **state) {
    (void)state;
    fv_summary summary = {.samples = 10, .median = 4, .low = 3, .high = 4.5, .least = 2};
    assert_true(fv_spread(&summary) == 0.1875);
    summary.low = summary.high = 4;
    assert_true(fv_spread(&summary) == 0);
    summary = (fv_summary){.samples = 10}; /* below the clock's resolution */
    assert_true(fv_spread(&summary) == 0);
    summary.high = 1;
    assert_true(fv_spread(&summary) == 1);
}

/* How many of 2000 intervals hold the true median, for times as they are: a floor and a long tail. The median of
 * 1 - log(1-u) is 1 + log 2. The random numbers are the same on every run. */
static int covered(int64_t count) {
    enum { TRIALS = 2000 };
    int hits = 0;
    for (uint64_t trial = 0; trial < TRIALS; ++trial) {
        double seconds[64];
        for (int64_t i = 0; i < count; ++i)
            seconds[i] = 1 - log(1 - (double)fv_random_uniform(5, trial, (uint64_t)i));
        const fv_summary summary = fv_summarize(seconds, count);
        hits += summary.low <= 1 + log(2) && 1 + log(2) <= summary.high;
    }
    return hits;
}

/* How many of the intervals should, by the binomial distribution: all but 2/2^5, 2/2^6, 2*(1 + 10)/2^10 and
 * 2*(1 + 20 + 190 + 1140 + 4845 + 15504)/2^20 of them; within three standard deviations of that many. */
static void coverage(void **state) {
    (void)state;
    static const struct {
        int64_t count;
        double share;
    } known[] = {{5, 0.9375}, {6, 0.96875}, {10, 1 - 22 / 1024.0}, {20, 1 - 43400 / 1048576.0}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        const double expected = 2000 * known[i].share, deviation = sqrt(expected * (1 - known[i].share));
        assert_true(fabs(covered(known[i].count) - expected) <= 3 * deviation);
    }
}

static void means(void **state) {
    (void)state;
    fv_geomean mean = {0};
    assert_true(fv_geomean_value(&mean) == 0);
    static const double ratios[] = {2, 0.5, 8, 0, -1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; ++i)
        fv_geomean_add(&mean, ratios[i]);
    assert_int_equal(mean.count, 3);
    assert_true(mean.worst == 0.5);
    assert_true(fabs(fv_geomean_value(&mean) - 2) < 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals),
        cmocka_unit_test(spreads),
        cmocka_unit_test(coverage),
        cmocka_unit_test(means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
