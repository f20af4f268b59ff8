/* Sweeps: one case becomes a series over an extent. */
#include "scratch.h"

#include "cases/cases.h"
#include "ops/op.h"

static void add(fv_case_list *list, const char *line) {
    if (fv_cases_add_lines(list, "list", line, strlen(line)) != FV_OK)
        fail_msg("%s", fv_error_message());
}

static void expect_short(const fv_case_list *list, int64_t index, const char *text, const char *label) {
    char printed[256];
    assert_true(index < list->count);
    fv_operation_print_short(&list->items[index].op, printed, sizeof printed);
    assert_string_equal(printed, text);
    assert_string_equal(list->items[index].label, label);
}

static void multiplies_and_adds(void **state) {
    (void)state;
    char keys[32];
    fv_case_list list = {0};
    add(&list, "conv2d n=7 c=3 h=8 w=8 k=4 kernel=3x3 pad=1 # a\nmaxpool n=7 c=3 h=8 w=8 kernel=2x2 # b\n");
    assert_int_equal(fv_cases_sweep(&list, "n=1:5:x2", keys), FV_OK);
    assert_string_equal(keys, "n");
    assert_int_equal(list.count, 6);
    expect_short(&list, 0, "conv2d c=3 h=8 w=8 k=4 kernel=3x3 pad=1", "a");
    expect_short(&list, 2, "conv2d n=4 c=3 h=8 w=8 k=4 kernel=3x3 pad=1", "a");
    expect_short(&list, 5, "maxpool n=4 c=3 h=8 w=8 kernel=2x2", "b");
    assert_int_equal(fv_cases_sweep(&list, "h,w=8:24:+8", keys), FV_OK); /* both together, and on top of the first */
    assert_string_equal(keys, "h,w");
    assert_int_equal(list.count, 18);
    expect_short(&list, 1, "conv2d c=3 h=16 w=16 k=4 kernel=3x3 pad=1", "a");
    fv_cases_release(&list);

    add(&list, "--conv --dir=BWD_W ic3ih9oc4kh3\n");
    assert_int_equal(fv_cases_sweep(&list, "kernel=3:3:+1", keys),
                     FV_OK); /* a single value, and both extents of a pair */
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].op.conv2d.s, 3);
    assert_int_equal(list.items[0].passes, 1 << FV_BACKWARD_WEIGHTS);
    fv_cases_release(&list);
}

static void ends_before_numbers_overflow(void **state) {
    (void)state;
    char keys[32];
    fv_case_list list = {0};
    add(&list, "relu elements=1\n");
    assert_int_equal(fv_cases_sweep(&list, "elements=1:1099511627775:x1000000000000", keys), FV_OK);
    assert_int_equal(list.count, 2);
    assert_true(list.items[1].op.relu.elements == 1000000000000);
    fv_cases_release(&list);
    add(&list, "relu elements=1\n");
    assert_int_equal(fv_cases_sweep(&list, "elements=1099511627775:1099511627775:x1099511627775", keys), FV_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(fv_cases_sweep(&list, "elements=0:1099511627775:+549755813888", keys), FV_OK);
    assert_int_equal(list.count, 2);
    fv_cases_release(&list);
}

static void leaves_out_what_does_not_fit(void **state) {
    (void)state;
    char keys[32];
    fv_case_list list = {0};
    add(&list, "conv2d c=6 h=8 w=8 k=12 kernel=3x3\n");
    assert_int_equal(fv_cases_sweep(&list, "groups=1:6:+1", keys), FV_OK);
    assert_int_equal(list.count, 4); /* 1, 2, 3, 6 */
    assert_int_equal(list.left_out, 2);
    assert_string_equal(list.first_left_out, "groups=4: conv2d: groups=4 must divide c=6 and k=12");
    assert_int_equal(fv_cases_sweep(&list, "h=1:4:+1", keys), FV_OK);
    assert_int_equal(list.left_out, 2 + 2 * 4);
    assert_string_equal(list.first_left_out, "groups=4: conv2d: groups=4 must divide c=6 and k=12");
    fv_cases_release(&list);
}

/* In one line, with the list as it was. */
static void refuses(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "expected KEY=FROM:TO:xSTEP"},
        {"n", "expected KEY=FROM:TO:xSTEP"},
        {"=1:2:+1", "expected KEY=FROM:TO:xSTEP"},
        {"n=", "expected whole numbers as in n=1:256:x2"},
        {"n=1", "expected whole numbers"},
        {"n=1:2", "expected whole numbers"},
        {"n=1:2:3", "expected whole numbers"},
        {"n=1:2:*3", "expected whole numbers"},
        {"n=1:2:x", "expected whole numbers"},
        {"n=1:2:x2.5", "expected whole numbers"},
        {"n=1:2:x2 ", "expected whole numbers"},
        {"n=-1:2:+1", "expected whole numbers"},
        {"n=1:8:+-1", "expected whole numbers"},
        {"n=2:1:+1", "a range that goes up"},
        {"n=1:1099511627776:+1", "ends below 2^40"},
        {"n=1:99999999999999999999:+1", "ends below 2^40"},
        {"n=1:8:+0", "a step of 1 or more"},
        {"n=1:8:x1", "by 2 or more"},
        {"n=1:8:x0", "by 2 or more"},
        {"n=0:8:x2", "numbers from 1 on"},
        {"n=1:1099511627775:+1", "1099511627775 values of 1 cases, expected at most 1048576"},
        {"n=1:1048577:+1", "expected at most 1048576"},
        {"m=1:8:x2", "conv2d has no such whole number as 'm', but n, c, h, w, k, kernel, stride, pad, dilation, "},
        {"dtype=1:8:x2", "no such whole number as 'dtype'"},
        {"n,m=1:8:x2", "no such whole number as 'm'"},
        {"n,,c=1:8:x2", "before and behind each comma"},
        {"n,=1:8:x2", "before and behind each comma"},
        {"n,c,n=1:8:x2", "key 'n' is given twice"},
        {"dilation,kernel,stride,groups,pad=1:2:+1", "the keys have 33 characters, expected at most 31"},
        {"groups=7:9:+1", "no value fits: conv2d: groups=9 must divide"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        char keys[32] = "as it was";
        fv_case_list list = {0};
        add(&list, "conv2d c=6 h=8 w=8 k=12 kernel=3x3\n");
        EXPECT_FAILURE(fv_cases_sweep(&list, bad[i][0], keys), FV_BAD_INPUT, "--sweep=", bad[i][1]);
        assert_int_equal(list.count, 1);
        assert_int_equal(list.left_out, 0);
        assert_string_equal(keys, "as it was");
        fv_cases_release(&list);
    }
    char keys[32];
    fv_case_list list = {0};
    EXPECT_FAILURE(fv_cases_sweep(&list, "n=1:2:+1", keys), FV_BAD_INPUT, "there are no cases to vary");
    add(&list, "adam elements=1\nconcat c=1,2\n");
    EXPECT_FAILURE(fv_cases_sweep(&list, "elements=1:2:+1", keys), FV_BAD_INPUT, "concat has no");
    EXPECT_FAILURE(fv_cases_sweep(&list, "beta1=1:2:+1", keys), FV_BAD_INPUT, "adam has no", "but elements, decayed");
    fv_cases_release(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplies_and_adds),
        cmocka_unit_test(ends_before_numbers_overflow),
        cmocka_unit_test(leaves_out_what_does_not_fit),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
