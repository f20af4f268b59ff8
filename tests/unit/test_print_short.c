/* The short text form: what a reader needs to know, and as good as the long one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cases/builtin.h"
#include "cases/cases.h"
#include "ops/op.h"

enum { TEXT_SIZE = 512, RANDOM_CASES = 5000 };

static void leaves_out_defaults(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"conv2d c=3 h=5 w=6 k=4 kernel=3", "conv2d c=3 h=5 w=6 k=4 kernel=3x3"},
        {"conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 stride=1x2 pad=same dilation=1 groups=1 dtype=f64",
         "conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 stride=1x2 pad=1,1,0,1 dtype=f64"},
        {"maxpool c=2 h=6 w=7 kernel=global", "maxpool c=2 h=6 w=7 kernel=6x7"},
        {"avgpool c=2 h=6 w=7 kernel=2 include_pad=0", "avgpool c=2 h=6 w=7 kernel=2x2 include_pad=0"},
        {"upsample c=2 h=6 w=7 size=6x7 mode=bilinear", "upsample c=2 h=6 w=7 size=6x7 mode=bilinear"},
        {"upsample c=2 h=6 w=7 size=6x7 mode=nearest align=0", "upsample c=2 h=6 w=7 size=6x7"},
        {"adam elements=5 epsilon=0.00000001 beta1=0.9 beta2=0.99", "adam elements=5 beta2=0.99"},
        {"batchnorm c=3 epsilon=0.00001", "batchnorm c=3"},
        {"concat c=5", "concat c=5"},
        {"linear c=1 k=1 n=1", "linear c=1 k=1"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i) {
        fv_operation op;
        char text[TEXT_SIZE], cut[10];
        if (fv_operation_parse(pairs[i][0], &op) != FV_OK)
            fail_msg("%s: %s", pairs[i][0], fv_error_message());
        assert_int_equal(fv_operation_print_short(&op, text, sizeof text), strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(fv_operation_print_short(&op, cut, sizeof cut), strlen(pairs[i][1]));
        assert_int_equal(strlen(cut), sizeof cut - 1);
        assert_int_equal(fv_operation_print_short(&op, NULL, 0), strlen(pairs[i][1]));
    }
}

static void expect_the_same(const fv_operation *op) {
    char text[TEXT_SIZE], short_text[TEXT_SIZE], again[TEXT_SIZE];
    const int length = fv_operation_print(op, text, sizeof text);
    assert_in_range(fv_operation_print_short(op, short_text, sizeof short_text), 1, length);
    fv_operation parsed;
    if (fv_operation_parse(short_text, &parsed) != FV_OK)
        fail_msg("%s: %s", short_text, fv_error_message());
    fv_operation_print(&parsed, again, sizeof again);
    assert_string_equal(again, text); /* which shows every field, reals to the last digit */
}

static void parses_back(void **state) {
    (void)state;
    fv_case_list list = {0};
    assert_int_equal(fv_cases_add_builtin(&list), FV_OK);
    for (const fv_builtin_text *text = fv_builtin_suites; text->path; ++text)
        assert_int_equal(fv_cases_add_suite(&list, text->name), FV_OK);
    for (int64_t i = 0; i < list.count; ++i)
        expect_the_same(&list.items[i].op);
    fv_cases_release(&list);
    for (uint64_t i = 0; i < RANDOM_CASES; ++i) {
        fv_operation op = fv_random_case(1, i, 0);
        expect_the_same(&op);
        fv_operation_set_dtype(&op, FV_F64);
        expect_the_same(&op);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_out_defaults),
        cmocka_unit_test(parses_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
