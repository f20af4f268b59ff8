/* softmax_xent by hand, on every backend that opens here: see test_values.c. */
#include "by_hand.h"

/* In units of 2^-24: the exponentials err by 4 (2 ulp), their sum by 6, the quotient by 11; the logarithm of the sum
 * (below 1.1) by 6 from the sum and 5 of its own, the loss by its rounding. */
static void softmax(void **state) {
    (void)state;
    enum { ROWS = 5, NUMBERS = 3, CLASSES = 3 };
    static const char text[] = "softmax_xent n=5 classes=3";
    static const double expected_y[ROWS * CLASSES] = {0.24472847105479764,
                                                      0.66524095577482190,
                                                      0.09003057317038046,
                                                      0,
                                                      0,
                                                      1,
                                                      1.0 / 3,
                                                      1.0 / 3,
                                                      1.0 / 3,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN};
    static const double expected_loss[ROWS] = {2.40760596444438, 1000, 1.0986122886681098, NAN, NAN};
    static const int32_t expected_predicted[NUMBERS] = {1, 2, 0};
    float x[ROWS * CLASSES] = {1000, 1001, 999, -1000, -1000, 0, 3, 3, 3, 1, NAN, 2, NAN, NAN, NAN}, y[ROWS * CLASSES],
                   loss[ROWS];
    int32_t labels[ROWS] = {2, 0, 1, 0, 2}, predicted[ROWS];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], text, FV_FORWARD, at);
        expect_near(contexts[i], "y", y, expected_y, ROWS * CLASSES, 11 * 0x1p-24);
        expect_near(contexts[i], "loss", loss, expected_loss, 1, 14 * 0x1p-24);
        expect(contexts[i], "loss", loss + 1, expected_loss + 1, 1); /* log(1) - (-1000 - 0) */
        expect_near(contexts[i], "loss", loss + 2, expected_loss + 2, ROWS - 2, 14 * 0x1p-24);
        expect_integers(contexts[i], "predicted", predicted, expected_predicted, NUMBERS);
        for (int n = NUMBERS; n < ROWS; ++n)
            assert_in_range(predicted[n], 0, CLASSES - 1);
    }
}

/* More classes than a warp has lanes, and the largest logit twice, in an order that shows who asks whom. */
static void softmax_many_classes(void **state) {
    (void)state;
    float x[40], y[40], loss;
    double expected_y[40];
    int32_t label = 34, predicted;
    for (int k = 0; k < 40; ++k) {
        x[k] = k == 1 || k == 34 ? 7 : -200;
        expected_y[k] = k == 1 || k == 34 ? 0.5 : 0; /* exp(-207) is below f32's smallest number */
    }
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = &label, [FV_Y] = y, [FV_LOSS] = &loss, [FV_PREDICTED] = &predicted};
        run(contexts[i], "softmax_xent n=1 classes=40", FV_FORWARD, at);
        expect(contexts[i], "y", y, expected_y, 40);
        expect_near(contexts[i], "loss", &loss, (const double[]){0.69314718055994531}, 1, 4 * 0x1p-24);
        assert_int_equal(predicted, 1);
    }
}

/* Two largest logits, in every pair of places: within a lane of a warp, in two lanes, in different turns of theirs. */
static void softmax_ties(void **state) {
    (void)state;
    enum { CLASSES = 70, ROWS = CLASSES * (CLASSES - 1) / 2 };
    static float x[ROWS * CLASSES], y[ROWS * CLASSES], loss[ROWS];
    static int32_t labels[ROWS], predicted[ROWS], first[ROWS];
    char text[64];
    snprintf(text, sizeof text, "softmax_xent n=%d classes=%d", (int)ROWS, (int)CLASSES);
    int row = 0;
    for (int32_t one = 0; one < CLASSES; ++one)
        for (int other = one + 1; other < CLASSES; ++other, ++row) {
            x[row * CLASSES + one] = x[row * CLASSES + other] = 2;
            first[row] = one;
        }
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], text, FV_FORWARD, at);
        expect_integers(contexts[i], "predicted", predicted, first, ROWS);
    }
}

/* Our kernels promise a NaN where the label is no class; of the other backends nothing is asked. Labels of the middle
 * rows, since a kernel that does not look would find its neighbours' logits there. */
static void softmax_label_of_no_class(void **state) {
    (void)state;
    float x[12] = {0}, y[12], loss[4];
    int32_t labels[4] = {0, -1, 3, 2}, predicted[4];
    const double expected[4] = {1.0986122886681098, NAN, NAN, 1.0986122886681098};
    int asked = 0;
    for (int i = 0; i < context_count; ++i) {
        const char *name = fv_context_backend(contexts[i]);
        if (strcmp(name, "emulated") != 0 && strcmp(name, "cuda") != 0)
            continue;
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], "softmax_xent n=4 classes=3", FV_FORWARD, at);
        expect_near(contexts[i], "loss", loss, expected, 4, 14 * 0x1p-24);
        ++asked;
    }
    assert_true(asked > 0);
}

static void softmax_backward(void **state) {
    (void)state;
    float y[6] = {0.25f, 0.75f, 0, 0.5f, 0.125f, 0.375f}, dx[6];
    int32_t labels[2] = {1, 2};
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_Y] = y, [FV_LABELS] = labels, [FV_DX] = dx};
        run(contexts[i], "softmax_xent n=2 classes=3", FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0.125, -0.125, 0, 0.25, 0.0625, -0.3125}, 6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax),          cmocka_unit_test(softmax_many_classes),
        cmocka_unit_test(softmax_ties),     cmocka_unit_test(softmax_label_of_no_class),
        cmocka_unit_test(softmax_backward),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
