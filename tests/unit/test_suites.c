/* The suites of benchmarks/suites: what they hold, and how they are found. */
#include "scratch.h"

#include "cases/builtin.h"
#include "cases/cases.h"

/* Every line is an operation with a label, and no operation is measured twice. */
static void hold_labelled_operations_once(void **state) {
    (void)state;
    fv_case_list list = {0};
    for (const fv_builtin_text *text = fv_builtin_suites; text->path; ++text) {
        const int64_t before = list.count;
        if (fv_cases_add_suite(&list, text->name) != FV_OK)
            fail_msg("%s: %s", text->name, fv_error_message());
        assert_true(list.count > before);
    }
    assert_int_equal(list.left_out, 0);
    for (int64_t i = 0; i < list.count; ++i) {
        char text[256], other[256];
        fv_operation_print(&list.items[i].op, text, sizeof text);
        if (!list.items[i].label[0])
            fail_msg("%s has no source", text);
        for (int64_t k = 0; k < i; ++k) {
            fv_operation_print(&list.items[k].op, other, sizeof other);
            if (!strcmp(text, other))
                fail_msg("%s is there twice", text);
        }
    }
    fv_cases_release(&list);
}

/* The program holds the files as they are now, and no others. */
static void are_the_files(void **state) {
    (void)state;
    int files = 0;
    for (const fv_builtin_text *text = fv_builtin_suites; text->path; ++text, ++files) {
        scratch_name path;
        snprintf(path.text, sizeof path.text, "%s/%s.txt", FV_TEST_SUITES_DIR, text->name);
        size_t size;
        char *bytes = scratch_get(path.text, &size);
        assert_int_equal(size, text->size);
        assert_memory_equal(bytes, text->bytes, size);
        free(bytes);
        snprintf(path.text, sizeof path.text, "benchmarks/suites/%s.txt", text->name);
        assert_string_equal(text->path, path.text);
    }
    assert_int_equal(files, scratch_entries(FV_TEST_SUITES_DIR));
}

static void small_has_every_operation(void **state) {
    (void)state;
    fv_case_list list = {0};
    assert_int_equal(fv_cases_add_suite(&list, "small"), FV_OK);
    bool found[FV_KINDS] = {false};
    for (int64_t i = 0; i < list.count; ++i) {
        found[list.items[i].op.kind] = true;
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
            assert_true(fv_operation_macs(&list.items[i].op, pass) < 10000000); /* seconds, also on the emulator */
    }
    for (fv_kind kind = 0; kind < FV_KINDS; ++kind)
        if (!found[kind])
            fail_msg("there is no small %s", fv_kind_name(kind));
    fv_cases_release(&list);
}

/* "all" is every list of real layers, in the order of their names. */
static void all_is_all_but_small(void **state) {
    (void)state;
    fv_case_list all = {0}, each = {0};
    assert_int_equal(fv_cases_add_suite(&all, "all"), FV_OK);
    for (const fv_builtin_text *text = fv_builtin_suites; text->path; ++text)
        if (strcmp(text->name, "small") != 0)
            assert_int_equal(fv_cases_add_suite(&each, text->name), FV_OK);
    assert_int_equal(all.count, each.count);
    for (int64_t i = 0; i < all.count; ++i)
        assert_string_equal(all.items[i].label, each.items[i].label);
    fv_cases_release(&all);
    fv_cases_release(&each);
}

static void an_unknown_name_lists_the_others(void **state) {
    (void)state;
    fv_case_list list = {0};
    static const char *const bad[] = {"", "vgg.txt", "VGG", "al", "vgg,resnet", "../suites/vgg"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
        EXPECT_FAILURE(fv_cases_add_suite(&list, bad[i]), FV_BAD_INPUT, "unknown suite '", bad[i],
                       "': expected between, ", ", digits, ", ", vgg, or all");
    assert_int_equal(list.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hold_labelled_operations_once),    cmocka_unit_test(are_the_files),
        cmocka_unit_test(small_has_every_operation),        cmocka_unit_test(all_is_all_but_small),
        cmocka_unit_test(an_unknown_name_lists_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
