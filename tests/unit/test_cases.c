/* Lists of cases: text, files in three dialects, the built-in lists. */
#include "scratch.h"

#include "cases/cases.h"

/* Reads `text` as a file named "list". */
static fv_status read_text(fv_case_list *list, const char *text) {
    return fv_cases_add_lines(list, "list", text, strlen(text));
}

static void expect_case(const fv_case_list *list, int64_t index, const char *text, unsigned passes) {
    char printed[256];
    assert_true(index < list->count);
    fv_operation_print(&list->items[index].op, printed, sizeof printed);
    assert_string_equal(printed, text);
    assert_int_equal(list->items[index].passes, passes);
}

static void expect_refused(fv_status status, fv_case_list *list, const char *message) {
    assert_int_equal(status, FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), message);
    fv_cases_release(list);
}

/* The same where the message ends in the names of all operations. */
static void expect_unknown(fv_status status, fv_case_list *list, const char *beginning) {
    static const char next[] = ": expected conv2d, ";
    const size_t length = strlen(beginning);
    assert_int_equal(status, FV_BAD_INPUT);
    assert_memory_equal(fv_error_message(), beginning, length);
    assert_memory_equal(fv_error_message() + length, next, sizeof next - 1);
    fv_cases_release(list);
}

static void adds_operations_from_text(void **state) {
    (void)state;
    fv_case_list list = {0};
    assert_int_equal(fv_cases_add_text(&list, "linear c=3 k=4"), FV_OK);
    assert_int_equal(fv_cases_add_text(&list, "  relu elements=5 maxpool c=1 h=4\tw=4 kernel=2 relu elements=6 "),
                     FV_OK);
    assert_int_equal(list.count, 4);
    expect_case(&list, 0, "linear n=1 c=3 k=4 bias=0 dtype=f32", FV_ALL_PASSES);
    expect_case(&list, 1, "relu elements=5 slope=0 dtype=f32", FV_ALL_PASSES);
    expect_case(&list, 2, "maxpool n=1 c=1 h=4 w=4 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0 dtype=f32",
                FV_ALL_PASSES);
    expect_case(&list, 3, "relu elements=6 slope=0 dtype=f32", FV_ALL_PASSES);
    fv_cases_release(&list);
    assert_int_equal(list.count, 0);
}

/* The messages are those of fv_operation_parse. */
static void refuses_text(void **state) {
    (void)state;
    static const char *const bad[] = {"", " ", "n=1", "conv", "relu", "relu elements=x", "linear c=3 k=4 n=1 n=2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        fv_case_list list = {0};
        fv_operation op;
        assert_int_equal(fv_operation_parse(bad[i], &op), FV_BAD_INPUT);
        scratch_name message;
        snprintf(message.text, sizeof message.text, "%s", fv_error_message());
        expect_refused(fv_cases_add_text(&list, bad[i]), &list, message.text);
    }
    fv_case_list list = {0};
    expect_refused(fv_cases_add_text(&list, "relu elements=1 size=2 linear c=1"), &list, "relu: unknown key 'size'");
    expect_refused(fv_cases_add_text(&list, "relu elements=1 linear c=1"), &list, "linear: key 'k' is missing");
}

static void grows(void **state) {
    (void)state;
    fv_case_list list = {0};
    fv_operation op;
    assert_int_equal(fv_operation_parse("relu elements=1", &op), FV_OK);
    for (int64_t i = 0; i < 1000; ++i) {
        op.relu.elements = i;
        assert_int_equal(fv_cases_add(&list, &op, 1u << FV_FORWARD), FV_OK);
    }
    for (int64_t i = 0; i < 1000; ++i)
        assert_int_equal(list.items[i].op.relu.elements, i);
    fv_cases_release(&list);
}

/* Comments, blank lines, Windows line ends, a last line without an end, and all dialects in one file. */
static void reads_a_file(void **state) {
    (void)state;
    static const char text[] = "# a comment\r\n"
                               "\r\n"
                               "relu elements=7   # another\r\n"
                               "   \t \n"
                               "\tlinear c=3 k=4\n"
                               "--ip --dir=FWD_D mb1ic2oc3n\"a#b\" # a third\n"
                               "./bin/MIOpenDriver conv -n 1 -c 1 -H 3 -W 3 -k 1 -F 4 -# 1\n"
                               "mb4ic5oc6";
    const scratch_name path = scratch_path("mixed.txt");
    scratch_put(path.text, text, sizeof text - 1);
    fv_case_list list = {0};
    assert_int_equal(fv_cases_read(&list, path.text), FV_OK);
    assert_int_equal(list.count, 5);
    assert_int_equal(list.left_out, 0);
    assert_string_equal(list.first_left_out, "");
    expect_case(&list, 0, "relu elements=7 slope=0 dtype=f32", FV_ALL_PASSES);
    expect_case(&list, 1, "linear n=1 c=3 k=4 bias=0 dtype=f32", FV_ALL_PASSES);
    expect_case(&list, 2, "linear n=1 c=2 k=3 bias=0 dtype=f32", 1u << FV_FORWARD);
    expect_case(&list, 3, "conv2d n=1 c=1 h=3 w=3 k=1 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0 dtype=f32",
                1u << FV_BACKWARD_WEIGHTS);
    expect_case(&list, 4, "linear n=4 c=5 k=6 bias=0 dtype=f32", 1u << FV_FORWARD);
    fv_cases_release(&list);

    scratch_put(path.text, "", 0);
    assert_int_equal(fv_cases_read(&list, path.text), FV_OK);
    assert_int_equal(list.count, 0);
}

/* The comment at a line's end names its cases, in all dialects and through included files. */
static void keeps_comments_as_labels(void **state) {
    (void)state;
    static const char included[] = "mb1ic2oc3  # inner\nmb1ic2oc4\n";
    const scratch_name inner = scratch_path("inner.txt");
    scratch_put(inner.text, included, sizeof included - 1);
    static const char text[] = "# nobody's\n"
                               "relu elements=1\n"
                               "relu elements=2 #  VGG-19 1_2 \t\r\n"
                               "relu elements=3 ## a # b\n"
                               "relu elements=4 #\n"
                               "--ip --mb=2,3 ic5oc6 # two\n"
                               "MIOpenDriver conv -n 1 -c 1 -H 3 -W 3 -k 1 # a MIOpenDriver's\n"
                               "--batch=inner.txt # outer";
    const scratch_name path = scratch_path("labels.txt");
    scratch_put(path.text, text, sizeof text - 1);
    fv_case_list list = {0};
    if (fv_cases_read(&list, path.text) != FV_OK)
        fail_msg("%s", fv_error_message());
    static const char *const labels[] = {"",      "VGG-19 1_2", "a # b", "",     "two", "two", "a MIOpenDriver's",
                                         "inner", "inner",      "outer", "outer"};
    assert_int_equal(list.count, sizeof labels / sizeof labels[0]);
    for (int64_t i = 0; i < list.count; ++i)
        assert_string_equal(list.items[i].label, labels[i]);
    fv_cases_release(&list);
    assert_int_equal(fv_cases_add_text(&list, "relu elements=1"), FV_OK);
    assert_string_equal(list.items[0].label, "");
    fv_cases_release(&list);
}

/* A label is whole characters of UTF-8, whatever the comment is. */
static void labels_are_text(void **state) {
    (void)state;
#define SIXTY "123456789012345678901234567890123456789012345678901234567890"
    static const char *const pairs[][2] = {
        {SIXTY "abcde", SIXTY "abc"},
        {SIXTY "a\xc3\xa9z", SIXTY "a\xc3\xa9"},
        {SIXTY "ab\xc3\xa9z", SIXTY "ab"},
        {SIXTY "\xe2\x82\xac", SIXTY "\xe2\x82\xac"},
        {SIXTY "\xf0\x9f\x98\x80", SIXTY},
        {SIXTY "ab  c", SIXTY "ab"},
        {"a\xff\xc3", "a??"},                                      /* no lead byte, half a character */
        {"\xc0\xaf \xe0\x9f\xbf \xf0\x8f\xbf\xbf", "?? ??? ????"}, /* longer than need be */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"},             /* half a pair, above U+10FFFF */
        {"\xed\x9f\xbf \xf4\x8f\xbf\xbf", "\xed\x9f\xbf \xf4\x8f\xbf\xbf"},
        {"tab\there \x1b[1m\x7f", "tab here  [1m"},
    };
#undef SIXTY
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i) {
        char line[256];
        snprintf(line, sizeof line, "relu elements=1 # %s\n", pairs[i][0]);
        fv_case_list list = {0};
        assert_int_equal(read_text(&list, line), FV_OK);
        assert_string_equal(list.items[0].label, pairs[i][1]);
        fv_cases_release(&list);
    }
}

static void names_file_and_line(void **state) {
    (void)state;
    fv_case_list list = {0};
    expect_refused(read_text(&list, "relu elements=1\n# fine\nrelu element=1\n"), &list,
                   "list:3: relu: unknown key 'element'");
    expect_unknown(read_text(&list, "\n\nconvolve n=1"), &list, "list:3: unknown operation 'convolve'");
    expect_refused(read_text(&list, "relu elements=1 relu elements=2"), &list,
                   "list:1: relu: 'relu' is not of the form key=value");
    expect_refused(read_text(&list, "relu elements=1#2"), &list, "list:1: relu: elements=1#2: expected a whole number");
    expect_refused(read_text(&list, "--conv\n--dir=FWD\n"), &list,
                   "list:2: --dir=FWD: expected FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB or BWD_DW");
    expect_refused(read_text(&list, "MIOpenDriver conv -n\n"), &list,
                   "list:1: -n (--batchsize): expected a value behind it");
    expect_refused(read_text(&list, "--dt=f32,\\\n"), &list,
                   "list: the last line ends in a backslash, expected another one to continue it");
    static const char nul[] = "relu elements=1\nrelu elements=1\0\n";
    expect_refused(fv_cases_add_lines(&list, "list", nul, sizeof nul - 1), &list,
                   "list:2: the line holds a NUL byte, expected text");
    expect_unknown(read_text(&list, "\177ELF\2\1\1"), &list, "list:1: unknown operation ' ELF   '");
}

static void refuses_long_lines(void **state) {
    (void)state;
    fv_case_list list = {0};
    char *text = malloc(20000);
    assert_non_null(text);
    memset(text, ' ', 20000);
    memcpy(text, "relu elements=1", 15);
    assert_int_equal(fv_cases_add_lines(&list, "list", text, 16383), FV_OK);
    assert_int_equal(list.count, 1);
    fv_cases_release(&list);
    expect_refused(fv_cases_add_lines(&list, "list", text, 16384), &list,
                   "list:1: the line has 16384 characters, expected at most 16383");
    free(text);
}

static void refuses_what_is_no_file(void **state) {
    (void)state;
    fv_case_list list = {0};
    const scratch_name missing = scratch_path("missing.txt");
    assert_int_equal(fv_cases_read(&list, missing.text), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "missing.txt"));
    assert_int_equal(fv_cases_read(&list, scratch_folder), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "directory"));
    const scratch_name huge = scratch_path("huge.txt");
    scratch_put(huge.text, "", 0);
    assert_int_equal(truncate(huge.text, (1 << 26) + 1), 0);
    assert_int_equal(fv_cases_read(&list, huge.text), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "expected a list of cases of at most"));
    fv_cases_release(&list);
}

/* The program holds the files of tests/cases as they are now. */
static void builtin_lists_are_the_files(void **state) {
    (void)state;
    fv_case_list builtin = {0}, files = {0};
    if (fv_cases_add_builtin(&builtin) != FV_OK)
        fail_msg("%s", fv_error_message());
    DIR *folder = opendir(FV_TEST_CASES_DIR);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".txt") != 0)
            continue;
        scratch_name path;
        snprintf(path.text, sizeof path.text, "%s/%s", FV_TEST_CASES_DIR, entry->d_name);
        if (fv_cases_read(&files, path.text) != FV_OK)
            fail_msg("%s", fv_error_message());
    }
    closedir(folder);
    assert_true(builtin.count > 0);
    assert_int_equal(builtin.count, files.count);
    assert_int_equal(builtin.left_out, 0);
    /* The folder's order is not the program's. */
    for (int64_t i = 0; i < builtin.count; ++i) {
        char text[256], other[256] = "";
        fv_operation_print(&builtin.items[i].op, text, sizeof text);
        for (int64_t k = 0; k < files.count && strcmp(text, other) != 0; ++k)
            fv_operation_print(&files.items[k].op, other, sizeof other);
        assert_string_equal(text, other);
        assert_int_equal(builtin.items[i].passes, FV_ALL_PASSES);
    }
    fv_cases_release(&builtin);
    fv_cases_release(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_operations_from_text),
        cmocka_unit_test(refuses_text),
        cmocka_unit_test(grows),
        cmocka_unit_test(reads_a_file),
        cmocka_unit_test(keeps_comments_as_labels),
        cmocka_unit_test(labels_are_text),
        cmocka_unit_test(names_file_and_line),
        cmocka_unit_test(refuses_long_lines),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(builtin_lists_are_the_files),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
