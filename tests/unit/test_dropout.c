/* dropout: which elements are kept, on every backend that opens here. */
#include "by_hand.h"

#include "base/random.h"

enum { ELEMENTS = 40003 };
static float x[ELEMENTS], y[ELEMENTS], again[ELEMENTS];

static int drop(fv_context *context, const char *text, fv_pass pass, int32_t step, float *result) {
    for (int i = 0; i < ELEMENTS; ++i)
        x[i] = 1;
    host_arrays at = {[FV_STEP] = &step};
    at[pass == FV_FORWARD ? FV_X : FV_DY] = x;
    at[pass == FV_FORWARD ? FV_Y : FV_DX] = result;
    run(context, text, pass, at);
    int kept = 0;
    for (int i = 0; i < ELEMENTS; ++i)
        kept += result[i] != 0;
    return kept;
}

/* As fv_dropout says it, not as the kernels compute it; rates on and beside what 24 bits can hold. */
static void keeps_by_definition(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double rate;
        uint64_t seed;
    } cases[] = {{"dropout elements=40003 rate=0.5 seed=9", 0.5, 9},
                 {"dropout elements=40003 rate=0.3 seed=1099511627775", 0.3, 1099511627775},
                 {"dropout elements=40003 rate=0.75000005960464477539 seed=1", 0.75 + 0x1p-24, 1},
                 {"dropout elements=40003 rate=0.1 seed=0", 0.1, 0}};
    static const int32_t steps[] = {0, 1, 123456789, -1};
    for (int i = 0; i < context_count; ++i)
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; ++c) {
            const int32_t step = steps[c];
            (void)drop(contexts[i], cases[c].text, FV_FORWARD, step, y);
            for (int e = 0; e < ELEMENTS; ++e) {
                const double u = (double)fv_random_uniform(cases[c].seed, (uint64_t)step, (uint64_t)e);
                const float expected = u >= cases[c].rate ? (float)(1 / (1 - cases[c].rate)) : 0;
                if (y[e] != expected)
                    fail_msg("%s on %s: y[%d] is %.9g, expected %.9g", cases[c].text, fv_context_backend(contexts[i]),
                             e, (double)y[e], (double)expected);
            }
        }
}

/* Where an element's number equals the rate it is kept, beside it not: u >= rate. */
static void rate_on_a_number(void **state) {
    (void)state;
    const float u = fv_random_uniform(5, 3, 17);
    for (int i = 0; i < context_count; ++i)
        for (int above = 0; above < 2; ++above) {
            char text[96];
            snprintf(text, sizeof text, "dropout elements=40003 seed=5 rate=%.17g", (double)u + above * 0x1p-40);
            (void)drop(contexts[i], text, FV_FORWARD, 3, y);
            assert_int_equal(y[17] != 0, !above);
        }
}

static void replays(void **state) {
    (void)state;
    static const char text[] = "dropout elements=40003 rate=0.4 seed=2";
    for (int i = 0; i < context_count; ++i) {
        (void)drop(contexts[i], text, FV_FORWARD, 7, y);
        (void)drop(contexts[i], text, FV_FORWARD, 7, again);
        assert_memory_equal(y, again, sizeof y);
        (void)drop(contexts[i], text, FV_BACKWARD_DATA, 7, again); /* the gradient goes where the values went */
        assert_memory_equal(y, again, sizeof y);
        (void)drop(contexts[i], text, FV_FORWARD, 8, again);
        assert_memory_not_equal(y, again, sizeof y);
        (void)drop(contexts[i], "dropout elements=40003 rate=0.4 seed=3", FV_FORWARD, 7, again);
        assert_memory_not_equal(y, again, sizeof y);
    }
}

/* The number of kept elements is binomial. By Hoeffding's inequality it is further than sqrt(N ln(2/p) / 2) from its
 * mean with a probability below p: with p = 10^-9 no chance finding, and the seed is fixed. */
static void keeps_its_share(void **state) {
    (void)state;
    const double most = sqrt(ELEMENTS * log(2 / 1e-9) / 2);
    static const double rates[] = {0, 0.1, 0.5, 0.9};
    for (int i = 0; i < context_count; ++i)
        for (size_t r = 0; r < sizeof rates / sizeof rates[0]; ++r)
            for (int32_t step = 0; step < 3; ++step) {
                char text[96];
                snprintf(text, sizeof text, "dropout elements=40003 seed=11 rate=%g", rates[r]);
                const int kept = drop(contexts[i], text, FV_FORWARD, step, y);
                assert_true(fabs(kept - (1 - rates[r]) * ELEMENTS) <= (rates[r] > 0 ? most : 0));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_by_definition),
        cmocka_unit_test(rate_on_a_number),
        cmocka_unit_test(replays),
        cmocka_unit_test(keeps_its_share),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
