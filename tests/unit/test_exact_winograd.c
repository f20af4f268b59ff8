/* The exact comparison of Winograd kernels: which inputs it takes, what it lets differ, and that a lost product shows. */
#include "planted.h"

#include "ops/op.h"
#include "winograd.h"

static unsigned notes; /* of the row under test */

static void tell_notes(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op, (void)state;
    numerics->notes = notes;
}

static fv_kernel noted_row(const fv_operation *op, fv_pass pass, fault *spoil, unsigned its_notes) {
    fv_kernel row = planted_row(op, pass, spoil);
    notes = its_notes | FV_NOTE_EXACT_TRANSFORMS;
    row.numerics = tell_notes;
    return row;
}

/* ---- the numbers of exact_winograd.c, from the matrices */

static double sum_of(const float *row, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i)
        sum += fabs((double)row[i]);
    return sum;
}

/* T: products of what filters up to 3 and inputs up to 1 are transformed to, weighed and added up. */
static double largest_sum(const form *f) {
    double largest = 0;
    for (int p = 0; p < f->outputs; ++p) {
        double sum = 0;
        for (int i = 0; i < f->points; ++i)
            sum += fabs((double)f->output[p][i]) * 3 * sum_of(f->filter[i], TAPS) * sum_of(f->input[i], MOST);
        largest = fmax(largest, sum);
    }
    return largest;
}

static void sizes_of_sums(void **state) {
    (void)state;
    assert_true(fabs(largest_sum(&small) - 24) < 1e-5);
    assert_true(fabs(largest_sum(&large) - 144) < 1e-5);
    static const struct {
        const char *text;
        fv_pass pass;
        int range;
        double slack; /* of 4x4 tiles */
    } cases[] = {
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x3", FV_FORWARD, 8, 7 * 0x1p-24 * (144 * 144 * 8 * 64 + 8)},
        {"conv2d n=1 c=9 h=5 w=5 k=3 kernel=3x3", FV_FORWARD, 7, 7 * 0x1p-24 * (144 * 144 * 9 * 49 + 7)},
        {"conv2d n=1 c=520 h=5 w=5 k=3 kernel=3x3", FV_FORWARD, 1, 7 * 0x1p-24 * (144 * 144 * 520 + 1)},
        {"conv2d n=1 c=3 h=5 w=5 k=520 kernel=3x3", FV_BACKWARD_DATA, 1, 7 * 0x1p-24 * (144 * 144 * 520 + 1)},
        {"conv2d n=1 c=1040 h=5 w=5 k=2 kernel=3x3 groups=2 dtype=tf32", FV_FORWARD, 1,
         7 * 0x1p-24 * (144 * 144 * 520 + 1)},
        {"conv2d n=1 c=521 h=5 w=5 k=3 kernel=3x3", FV_FORWARD, 3, 7 * 0x1p-24 * (144 * 144 * 521 * 9 + 3)},
        {"conv2d n=1 c=7281 h=1 w=1 k=1 kernel=3x3 pad=1", FV_FORWARD, 1, 7 * 0x1p-24 * (144 * 144 * 7281. + 1)},
        {"conv2d n=1 c=7282 h=1 w=1 k=1 kernel=3x3 pad=1", FV_FORWARD, 0, 0},
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x3", FV_BACKWARD_WEIGHTS, 0, 0},
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x2", FV_FORWARD, 0, 0},
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x3 stride=2", FV_FORWARD, 0, 0},
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x3 dilation=1x2", FV_FORWARD, 0, 0},
        {"conv2d n=1 c=8 h=5 w=5 k=3 kernel=3x3 dtype=f16", FV_FORWARD, 0, 0},
        {"conv2d_transposed n=1 c=8 h=5 w=5 k=3 kernel=3x3", FV_FORWARD, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i].text);
        const unsigned exact = FV_NOTE_WINOGRAD_4X4 | FV_NOTE_EXACT_TRANSFORMS;
        if (fv_winograd_range(&op, cases[i].pass) != cases[i].range)
            fail_msg("%s: range %d, expected %d", cases[i].text, (int)fv_winograd_range(&op, cases[i].pass),
                     cases[i].range);
        assert_true(fabs(fv_winograd_slack(&op, cases[i].pass, exact) - cases[i].slack) <= 1e-6 * cases[i].slack);
        assert_true(fv_winograd_slack(&op, cases[i].pass, FV_NOTE_WINOGRAD_2X2 | FV_NOTE_EXACT_TRANSFORMS) == 0);
        assert_true(fv_winograd_slack(&op, cases[i].pass, FV_NOTE_WINOGRAD_4X4) == 0);
    }
}

static void inputs_are_of_that_range(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=4 c=64 h=9 w=9 k=4 kernel=3x3 bias=1"); /* 64 * 2^2 <= 520 < 64 * 3^2 */
    fv_host_tensors t;
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_EXACT, SEED, &t), FV_OK);
    bool largest[2] = {false};
    for (int i = 0; i < 4 * 64 * 9 * 9; ++i) {
        const double x = ((const double *)t.at[FV_X])[i], w = i < 4 * 64 * 9 ? ((const double *)t.at[FV_W])[i] / 9 : 0;
        assert_true(x == rint(x) && fabs(x) <= 2 && w == rint(w) && fabs(w) <= 2);
        largest[0] |= fabs(x) == 2;
        largest[1] |= fabs(w) == 2;
    }
    assert_true(largest[0] && largest[1]);
    fv_host_tensors_release(&t);
}

/* ---- verdicts */

/* Tiles of 2x2 are exact, bit for bit. */
static void small_tiles_round_nothing(void **state) {
    (void)state;
    static const char *const cases[] = {"conv2d n=2 c=3 h=7 w=6 k=4 kernel=3x3 pad=1 bias=1",
                                        "conv2d n=1 c=70 h=5 w=6 k=40 kernel=3x3 pad=2"};
    under_test = &small;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        for (fv_pass pass = FV_FORWARD; pass <= FV_BACKWARD_DATA; ++pass) {
            const fv_operation op = parse(cases[i]);
            fv_kernel row = noted_row(&op, pass, NULL, FV_NOTE_WINOGRAD_2X2);
            row.run = pass == FV_FORWARD ? run_winograd : run_winograd_data;
            const fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
            expect_verdict(cases[i], &verdict, FV_PASSED, "");
            assert_true(verdict.worst == 0);
        }
}

static float error; /* in one element */

static fv_status errs(const fv_operation *op, const fv_buffers *b) {
    (void)op;
    ((float *)b->at[FV_Y])[1] += error;
    return FV_OK;
}

/* The least that a lost product changes is seen, whatever the tiles and the channels; what may have been rounded is not. */
static void lost_products_show(void **state) {
    (void)state;
    static const unsigned tiles[] = {FV_NOTE_WINOGRAD_2X2, FV_NOTE_WINOGRAD_4X4};
    static const int channels[] = {1, 64, 300, 520};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; ++i)
        for (size_t j = 0; j < 2; ++j) {
            char text[128];
            snprintf(text, sizeof text, "conv2d n=1 c=%d h=6 w=6 k=2 kernel=3x3 pad=1", channels[i]);
            const fv_operation op = parse(text);
            const double slack = fv_winograd_slack(&op, FV_FORWARD, tiles[j] | FV_NOTE_EXACT_TRANSFORMS);
            fv_kernel row = noted_row(&op, FV_FORWARD, errs, tiles[j]);
            for (int sign = -1; sign <= 1; sign += 2) {
                error = (float)sign * FV_WINOGRAD_STEP;
                fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
                expect_verdict(text, &verdict, FV_FAILED, "1 of 72 elements of y are wrong");
                error = (float)(sign * (floor(64 * slack) / 64)); /* a multiple of what results have for grain */
                verdict = verify(&row, &op, FV_EXACT, SEED);
                expect_verdict(text, &verdict, FV_PASSED, "");
                error = (float)(sign * (floor(64 * slack) + 1) / 64);
                verdict = verify(&row, &op, FV_EXACT, SEED);
                expect_verdict(text, &verdict, FV_FAILED, "1 of 72 elements of y are wrong");
            }
        }
}

static void what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_pass pass;
        unsigned notes;
        const char *reason;
    } cases[] = {
        {"conv2d n=1 c=521 h=4 w=4 k=2 kernel=3x3", FV_FORWARD, FV_NOTE_WINOGRAD_4X4, "over so many channels"},
        {"conv2d n=1 c=7282 h=3 w=3 k=2 kernel=3x3", FV_FORWARD, FV_NOTE_WINOGRAD_2X2, "over so many channels"},
        {"conv2d n=1 c=5 h=4 w=4 k=2 kernel=3x3", FV_BACKWARD_WEIGHTS, FV_NOTE_WINOGRAD_2X2, "exact inputs"},
        {"conv2d n=1 c=5 h=4 w=4 k=2 kernel=3x3 stride=2", FV_FORWARD, FV_NOTE_WINOGRAD_4X4, "exact inputs"},
        {"conv2d n=1 c=5 h=4 w=4 k=2 kernel=3x3", FV_FORWARD, FV_NOTE_WINOGRAD_9X9, "do not map integers"},
        {"conv2d n=1 c=5 h=4 w=4 k=2 kernel=3x3", FV_FORWARD, FV_NOTE_WINOGRAD_2X2 | FV_NOTE_TF32,
         "do not map integers"},
        {"conv2d n=1 c=5 h=4 w=4 k=2 kernel=3x3", FV_FORWARD, FV_NOTE_WINOGRAD_2X2 | FV_NOTE_HALF_SUMS, "in f16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i].text);
        const fv_kernel row = noted_row(&op, cases[i].pass, NULL, cases[i].notes);
        const fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
        expect_verdict(cases[i].text, &verdict, FV_SKIPPED, cases[i].reason);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_sums),
        cmocka_unit_test(inputs_are_of_that_range),
        cmocka_unit_test(small_tiles_round_nothing),
        cmocka_unit_test(lost_products_show),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
