/* What the verifier generates: integers whose sums are exact, indices in range, plausible real numbers. */
#include "planted.h"

/* ---- generated inputs */

/* Smallest and largest element; all must be integers if `integers`. */
static void find_extremes(const double *value, int64_t elements, bool integers, double *low, double *high) {
    *low = *high = value[0];
    for (int64_t i = 0; i < elements; ++i) {
        assert_true(!integers || value[i] == rint(value[i]));
        *low = fmin(*low, value[i]);
        *high = fmax(*high, value[i]);
    }
}

static void exact_inputs_keep_sums_exact(void **state) {
    (void)state;
    static const struct {
        int terms, range; /* terms * range^2 <= 2^24, and range <= 8 */
    } cases[] = {{1, 8}, {1000, 8}, {1 << 18, 8}, {1 << 19, 5}, {1 << 20, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        for (int backward = 0; backward < 2; ++backward) {
            const int terms = cases[i].terms, range = cases[i].range;
            const fv_operation row = {.kind = FV_LINEAR, .linear = {1, terms, 1, 0, FV_F32}};
            const fv_operation column = {.kind = FV_LINEAR, .linear = {terms, 1, 1, 0, FV_F32}};
            fv_host_tensors t;
            assert_int_equal(
                fv_generate(backward ? &column : &row, backward ? FV_BACKWARD_WEIGHTS : FV_FORWARD, FV_EXACT, SEED, &t),
                FV_OK);
            const fv_role roles[] = {FV_X, backward ? FV_DY : FV_W};
            for (int j = 0; j < 2; ++j) {
                double low, high;
                find_extremes(t.at[roles[j]], terms, true, &low, &high);
                if (!(low >= -range && high <= range && (terms == 1 || (low == -range && high == range))))
                    fail_msg("sums of %d terms: inputs from %g to %g, expected +-%d", terms, low, high, range);
            }
            fv_host_tensors_release(&t);
        }
    /* One window of 2^25 positions over a single pixel: multiples of 2^-25 up to 1 want more than 24 bits. */
    const fv_operation longest = parse("avgpool c=1 h=1 w=1 kernel=8192x4096 pad=4096,4095,2048,2047");
    fv_host_tensors t;
    assert_int_equal(fv_generate(&longest, FV_BACKWARD_DATA, FV_EXACT, SEED, &t), FV_UNSUPPORTED);
    assert_int_equal(fv_generate(&longest, FV_BACKWARD_DATA, FV_BOUNDED, SEED, &t), FV_OK);
    fv_host_tensors_release(&t);
}

/* Every index below `limit` occurs, and no other. */
static void assert_covers(const fv_tensor_spec *spec, const void *data, int limit) {
    bool *occurs = calloc((size_t)limit, sizeof *occurs);
    int covered = 0;
    for (int64_t i = 0; i < fv_shape_elements(&spec->shape); ++i) {
        const int value = spec->dtype == FV_U8 ? ((const uint8_t *)data)[i] : ((const int32_t *)data)[i];
        if (value < 0 || value >= limit)
            fail_msg("%s: %d is not below %d", fv_role_name(spec->role), value, limit);
        covered += !occurs[value];
        occurs[value] = true;
    }
    if (covered != limit)
        fail_msg("%s: %d values of %d occur", fv_role_name(spec->role), covered, limit);
    free(occurs);
}

static void indices_are_in_range(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_pass pass;
        fv_role role;
        int limit;
    } cases[] = {
        {"softmax_xent n=300 classes=7", FV_FORWARD, FV_LABELS, 7},
        {"softmax_xent n=300 classes=7", FV_BACKWARD_DATA, FV_LABELS, 7},
        {"batch n=300 items=6 elements=999", FV_FORWARD, FV_ORDER, 6},
        {"batch n=3 items=6 elements=999", FV_FORWARD, FV_IMAGES, 256},
        {"batch n=3 items=3000 elements=1", FV_FORWARD, FV_IMAGE_LABELS, 256},
        {"maxpool n=9 c=3 h=8 w=8 kernel=3x2", FV_BACKWARD_DATA, FV_ARGMAX, 6},
        {"maxpool n=16 c=64 h=17 w=20 kernel=17x17", FV_BACKWARD_DATA, FV_ARGMAX, 289},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i].text);
        fv_tensor_spec specs[FV_MAX_SPECS];
        fv_host_tensors t;
        assert_int_equal(fv_generate(&op, cases[i].pass, FV_BOUNDED, SEED, &t), FV_OK);
        int found = 0;
        for (int j = fv_operation_signature(&op, cases[i].pass, specs) - 1; j >= 0; --j)
            if (specs[j].role == cases[i].role && ++found)
                assert_covers(&specs[j], t.at[cases[i].role], cases[i].limit);
        assert_int_equal(found, 1);
        fv_host_tensors_release(&t);
    }
}

/* Real inputs spread over [-1, 1); second moments are not negative; results of a forward pass are what it gives. */
static void real_inputs_are_plausible(void **state) {
    (void)state;
    fv_host_tensors t;
    fv_operation op = parse("adam elements=1000");
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, SEED, &t), FV_OK);
    const double *rate = t.at[FV_RATE];
    assert_true(rate[0] > 0 && rate[1] > 1 && rate[2] > 1);
    static const fv_role roles[] = {FV_W, FV_DW, FV_M, FV_V};
    for (size_t i = 0; i < 4; ++i) {
        const double *value = t.at[roles[i]];
        int negative = 0;
        for (int e = 0; e < 1000; ++e)
            negative += value[e] < 0;
        double low, high;
        find_extremes(value, 1000, false, &low, &high);
        assert_true(low >= -1 && high > 0.9 && high <= 1);
        assert_true(roles[i] == FV_V ? negative == 0 : negative > 400 && negative < 600);
    }
    fv_host_tensors_release(&t);

    op = parse("relu elements=1000");
    assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_BOUNDED, SEED, &t), FV_OK);
    int zeros = 0;
    for (int e = 0; e < 1000; ++e) {
        const double y = ((const double *)t.at[FV_Y])[e];
        assert_true(y >= 0);
        zeros += y == 0;
    }
    assert_in_range(zeros, 400, 600);
    fv_host_tensors_release(&t);

    op = parse("softmax_xent n=3 classes=5");
    assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_BOUNDED, SEED, &t), FV_OK);
    for (int n = 0; n < 3; ++n) {
        double sum = 0;
        for (int k = 0; k < 5; ++k)
            sum += ((const double *)t.at[FV_Y])[5 * n + k];
        assert_true(fabs(sum - 1) <= 16 * DBL_EPSILON);
    }
    fv_host_tensors_release(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_inputs_keep_sums_exact),
        cmocka_unit_test(indices_are_in_range),
        cmocka_unit_test(real_inputs_are_plausible),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
