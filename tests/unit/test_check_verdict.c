/* The last line of fovea check: what makes it good, and what it says of what does not. */
#include "staged.h"

#include <unistd.h>

#include "cli/check.h"

static const fv_kernel refusing_rows[] = {ROW("right", .run = run_right),
                                          ROW("refusing", .run = run_right, .supports = never), FV_KERNELS_END};
static const fv_kernel other_rows[] = {
    ROW("right", .run = run_right),
    {.kind = FV_LINEAR, .pass = FV_FORWARD, .dtype = FV_F32, .name = "tile", .deterministic = true, .run = run_right},
    FV_KERNELS_END};
static const fv_kernel breaking_rows[] = {ROW("breaking", .run = run_breaking), FV_KERNELS_END};
#define WRONG(title) ROW(title, .run = run_one_off)
static const fv_kernel seven_rows[] = {WRONG("a"), WRONG("b"), WRONG("c"), WRONG("d"),
                                       WRONG("e"), WRONG("f"), WRONG("g"), FV_KERNELS_END};

/* ---- a whole check, whose report is read back */

static void note(void *user, const fv_finding *finding) {
    fv_report_finding(user, finding);
}

/* The JSON that the report writes to standard output. */
static json_t *written(fv_report_sink *sink, const fv_survey *survey, bool *good) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    const int terminal = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    const fv_status status = fv_report_survey(sink, survey, good);
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    assert_int_equal(status, FV_OK);
    rewind(file);
    json_t *report = json_loadf(file, 0, NULL);
    fclose(file);
    assert_non_null(report);
    return report;
}

typedef struct play {
    const fv_kernel *ours, *vendor; /* NULL: no vendor */
    bool builtin, only_exact;
    const char *verdict;
} play;

static void expect_verdict_line(const play *p) {
    fv_case items[2] = {{.op = parse("relu elements=8"), .passes = FV_ALL_PASSES},
                        {.op = parse("relu elements=64"), .passes = FV_ALL_PASSES}};
    const fv_case_list cases = {.items = items, .count = 2};
    const fv_check_options options = {
        .builtin = p->builtin, .fills = {true, !p->only_exact}, .seed = SEED, .order = -1, .format = FV_FORMAT_JSON};
    stage ours, vendor;
    fv_report_sink sink;
    bool good;
    broken = false;
    assert_int_equal(fv_report_begin(&sink, &options), FV_OK);
    fv_survey s = {.context = stage_with(&ours, "ours", p->ours),
                   .cases = &cases,
                   .fills = {true, !p->only_exact},
                   .seed = SEED,
                   .on_finding = note,
                   .user = &sink};
    ours.backend.synchronize = synchronize;
    if (p->vendor)
        s.witness[s.witnesses++].context = stage_with(&vendor, "vendor", p->vendor);
    assert_int_equal(fv_survey_run(&s), FV_OK);
    json_t *report = written(&sink, &s, &good);
    const char *verdict = json_string_value(json_object_get(report, "verdict"));
    assert_string_equal(verdict, p->verdict);
    assert_int_equal(good, !strncmp(p->verdict, "passed: ", 8));
    assert_int_equal(json_is_true(json_object_get(report, "passed")), good);
    json_decref(report);
    fv_survey_end(&s);
    fv_report_end(&sink);
}

static void verdicts(void **state) {
    (void)state;
    static const play plays[] = {
        {right_rows, NULL, true, false, "passed: 1 kernel on 2 cases, 4 comparisons"},
        {right_rows, right_rows, true, false, "passed: 1 kernel on 2 cases, 4 comparisons; vendor agrees on 4"},
        {one_off_rows, right_rows, true, false, "FAILED: relu forward one_off (2 of 2 cases)"},
        /* a vendor or a reference that is the outlier fails the check too */
        {right_rows, one_off_rows, false, false, "FAILED: vendor is the outlier in 4 of 4 comparisons"},
        {one_off_rows, one_off_rows, false, false,
         "FAILED: relu forward one_off (2 of 2 cases); the reference is the outlier in 4 comparisons"},
        /* with the built-in cases each kernel must have its turn, unless not all comparisons were asked for */
        {refusing_rows, NULL, true, false, "FAILED: relu forward refusing (no case exercises it: it never can)"},
        {refusing_rows, NULL, false, false, "passed: 1 kernel on 2 cases, 4 comparisons"},
        {refusing_rows, NULL, true, true, "passed: 1 kernel on 2 cases, 2 comparisons"},
        {other_rows, NULL, true, false,
         "FAILED: linear forward tile (no case exercises it: there is none of its operation)"},
        {seven_rows, NULL, false, true,
         "FAILED: relu forward a (2 of 2 cases), relu forward b (2 of 2 cases), relu forward c (2 of 2 cases), "
         "relu forward d (2 of 2 cases), relu forward e (2 of 2 cases), relu forward f (2 of 2 cases) and 1 more "
         "kernel"},
        {breaking_rows, NULL, true, false,
         "stopped after 0 of 2 cases; FAILED: relu forward breaking (1 of 1 cases); the device stopped working there"},
    };
    for (size_t i = 0; i < sizeof plays / sizeof plays[0]; ++i)
        expect_verdict_line(&plays[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts)};
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
