/* For the tests of other programs' case files: what a text must be read as, and why a part of it is left out or refused. */
#ifndef FOVEA_TESTS_DIALECTS_H
#define FOVEA_TESTS_DIALECTS_H

#include "scratch.h"

#include "cases/cases.h"

enum { F = 1 << FV_FORWARD, D = 1 << FV_BACKWARD_DATA, W = 1 << FV_BACKWARD_WEIGHTS };

static inline fv_status read_text(fv_case_list *list, const char *text) {
    return fv_cases_add_lines(list, "list", text, strlen(text));
}

/* The cases as lines "PASSES OPERATION", without what all operations have at its default. */
static inline void expect_cases(const char *text, const char *expected, int64_t left_out) {
    fv_case_list list = {0};
    if (read_text(&list, text) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    char lines[4096] = "";
    for (int64_t i = 0; i < list.count; ++i) {
        char one[256];
        const unsigned passes = list.items[i].passes;
        fv_operation_print(&list.items[i].op, one, sizeof one);
        char *end = strstr(one, " dtype=f32");
        assert_non_null(end);
        *end = '\0';
        const size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "%s%s%s%s %s", i ? "\n" : "", passes & F ? "F" : "",
                 passes & D ? "D" : "", passes & W ? "W" : "", one);
    }
    if (strcmp(lines, expected) != 0)
        fail_msg("%s\n  gives    %s\n  expected %s", text, lines, expected);
    assert_int_equal(list.left_out, left_out);
    fv_cases_release(&list);
}

typedef const char *pair[2];

static inline void expect_all(const pair *pairs, size_t count) {
    for (size_t i = 0; i < count; ++i)
        expect_cases(pairs[i][0], pairs[i][1], 0);
}
#define EXPECT_ALL(pairs) expect_all(pairs, sizeof(pairs) / sizeof(pairs)[0])

static inline void expect_left_out(const char *text, const char *reason) {
    fv_case_list list = {0};
    if (read_text(&list, text) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    assert_int_equal(list.count, 0);
    assert_int_equal(list.left_out, 1);
    assert_string_equal(list.first_left_out, reason);
    fv_cases_release(&list);
}

static inline void expect_refused(const char *text, const char *words) {
    fv_case_list list = {0};
    if (read_text(&list, text) != FV_BAD_INPUT || !strstr(fv_error_message(), words) ||
        strncmp(fv_error_message(), "list:1: ", 8) != 0)
        fail_msg("%s: %s; expected list:1: and '%s'", text, fv_error_message(), words);
    fv_cases_release(&list);
}

#endif
