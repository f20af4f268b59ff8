/* How fovea check tells of a failure: as text, as JSON and as JUnit's XML. */
#include "staged.h"

#include <sys/wait.h>
#include <unistd.h>

#include "cli/check.h"
#include "cli/signals.h"

static fv_status run_nan(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return run_and_add(context, op, state, b, NAN);
}

static fv_status run_refusing(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)op, (void)state, (void)b;
    return fv_fail(FV_DEVICE, "a < b & \"c\"");
}

static const fv_kernel nan_rows[] = {ROW("gives_nan", .run = run_nan), FV_KERNELS_END};
static const fv_kernel refusing_rows[] = {ROW("refusing", .run = run_refusing), FV_KERNELS_END};

/* ---- a survey whose failures are written down */

static const fv_check_options options = {.seed = SEED, .order = FV_ORDER_REVERSE, .threads = 3};

typedef struct record {
    FILE *text, *xml;
    json_t *json;
    char *written, *tests;
    size_t written_size, tests_size;
} record;

static void note(void *user, const fv_finding *finding) {
    record *r = user;
    fv_junit_finding(r->xml, &options, finding);
    if (finding->verdict->outcome != FV_FAILED)
        return;
    fv_failure_write(r->text, &options, finding);
    json_array_append_new(r->json, fv_failure_json(&options, finding));
}

static record survey(const fv_kernel *ours, const fv_kernel *vendor) {
    record r = {.json = json_array()};
    fv_case item = {.op = parse("relu elements=8"), .passes = FV_ALL_PASSES};
    const fv_case_list cases = {.items = &item, .count = 1};
    stage first, second;
    r.text = open_memstream(&r.written, &r.written_size);
    r.xml = open_memstream(&r.tests, &r.tests_size);
    fv_survey s = {.context = stage_with(&first, "ours", ours),
                   .witness = {{.context = stage_with(&second, "vendor", vendor)}},
                   .witnesses = 1,
                   .cases = &cases,
                   .fills = {true, false},
                   .seed = SEED,
                   .on_finding = note,
                   .user = &r};
    assert_int_equal(fv_survey_run(&s), FV_OK);
    fv_survey_end(&s);
    fclose(r.text);
    fclose(r.xml);
    return r;
}

static void release(record *r) {
    free(r->written);
    free(r->tests);
    json_decref(r->json);
}

static void expect_in(const char *text, const char *words) {
    if (!strstr(text, words))
        fail_msg("no \"%s\" in:\n%s", words, text);
}

static const char *member(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

/* ---- what they say */

static const char replay[] = "fovea check --backend ours --pass forward --dtype f32 --kernel one_off --fill exact "
                             "--seed 5 --order reverse --threads 3 'relu elements=8 slope=0 dtype=f32'";

static void failures_as_text(void **state) {
    (void)state;
    record r = survey(one_off_rows, right_rows);
    expect_in(r.written, "FAILED ours one_off, relu forward, exact: 1 of 8 elements of y are wrong\n"
                         "  relu elements=8 slope=0 dtype=f32\n"
                         "  y(i) ");
    expect_in(r.written, "\n  (3)  ");
    expect_in(r.written, "  where: i=3\n    i  ...#....  8\n"
                         "  vendor right agrees with the reference\n"
                         "  outlier: ours\n"
                         "  replay: ");
    expect_in(r.written, replay);
    release(&r);

    r = survey(one_off_rows, one_off_rows);
    expect_in(r.written, "  vendor one_off differs from the reference\n  outlier: reference\n");
    release(&r);

    /* The witness's failure can be replayed with the witness in our place, whatever our order of threads. */
    r = survey(right_rows, one_off_rows);
    expect_in(r.written, "FAILED vendor one_off, relu forward, exact: ");
    expect_in(r.written, "  our kernel agrees with the reference\n  outlier: vendor\n"
                         "  replay: fovea check --backend vendor --pass forward --dtype f32 --kernel one_off "
                         "--fill exact --seed 5 --threads 3 'relu elements=8 slope=0 dtype=f32'\n");
    release(&r);
}

static void smaller_cases(void **state) {
    (void)state;
    /* Its fourth element is the wrong one. */
    char *smallest = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&smallest, &size);
    const fv_operation op = parse("relu elements=8");
    stage alone;
    const fv_verdict verdict = {.outcome = FV_FAILED, .compared = 8, .wrong = 1};
    const fv_finding finding = {
        .context = stage_with(&alone, "ours", one_off_rows), .kernel = one_off_rows, .op = &op, .verdict = &verdict};
    fv_failure_write_smallest(stream, &options, &finding);
    fclose(stream);
    assert_string_equal(smallest, "  smallest failing case found: relu elements=4 slope=0 dtype=f32\n");
    free(smallest);
}

static void failures_as_json(void **state) {
    (void)state;
    record r = survey(one_off_rows, right_rows);
    assert_int_equal(json_array_size(r.json), 1);
    const json_t *failure = json_array_get(r.json, 0), *point = json_array_get(json_object_get(failure, "points"), 0);
    assert_string_equal(member(failure, "replay"), replay);
    assert_string_equal(member(failure, "outlier"), "ours");
    assert_string_equal(member(failure, "case"), "relu elements=8 slope=0 dtype=f32");
    assert_string_equal(member(failure, "where"), "i=3");
    assert_int_equal(json_integer_value(json_object_get(failure, "wrong")), 1);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(point, "at"), "i")), 3);
    assert_true(json_real_value(json_object_get(point, "difference")) == 1);
    assert_string_equal(member(json_array_get(json_object_get(failure, "opinions"), 0), "outcome"), "passed");
    release(&r);

    r = survey(nan_rows, right_rows);
    failure = json_array_get(r.json, 0);
    assert_string_equal(member(json_array_get(json_object_get(failure, "points"), 0), "got"), "nan");
    expect_in(member(failure, "reason"), "1 of them NaN");
    release(&r);
}

static void findings_as_junit(void **state) {
    (void)state;
    record r = survey(right_rows, right_rows);
    assert_string_equal(r.tests, "  <testcase classname=\"ours.relu.forward.f32.right\" "
                                 "name=\"exact relu elements=8 slope=0 dtype=f32\"/>\n");
    release(&r);
    r = survey(refusing_rows, right_rows);
    expect_in(r.tests, "<failure message=\"a &lt; b &amp; &quot;c&quot;\">FAILED ours refusing");
    expect_in(r.tests, "a &lt; b &amp; &quot;c&quot;\n  relu");
    expect_in(r.tests, "</failure>\n  </testcase>\n");
    release(&r);
}

/* ---- crashes */

/* Writes to the first page, where nothing is; or, as cmocka takes AddressSanitizer's SIGSEGV away, to a guard band. */
static fv_status run_crashing(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)op, (void)state;
    uintptr_t place = (uintptr_t)b->at[FV_Y] & 4095;
#if defined(__SANITIZE_ADDRESS__)
    place = (uintptr_t)((float *)b->at[FV_Y] + op->relu.elements);
#endif
    *(volatile float *)place = 1;
    return FV_OK;
}

static const fv_kernel crashing_rows[] = {ROW("crashing", .run = run_crashing), FV_KERNELS_END};

static void tell(void *user, const fv_finding *finding) {
    (void)user;
    char line[FV_REPLAY_SIZE];
    fv_replay_line(&options, finding, line);
    fv_now_running(line);
}

/* What a process that surveys these rows says to its end. */
static void crash(const fv_kernel *ours, const fv_kernel *vendor, char *words, size_t size) {
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fv_case item = {.op = parse("relu elements=8"), .passes = FV_ALL_PASSES};
        const fv_case_list cases = {.items = &item, .count = 1};
        stage first, second;
        fv_survey s = {.context = stage_with(&first, "ours", ours),
                       .witness = {{.context = stage_with(&second, "vendor", vendor)}},
                       .witnesses = 1,
                       .cases = &cases,
                       .fills = {true, false},
                       .seed = SEED,
                       .on_begin = tell};
        dup2(ends[1], STDERR_FILENO);
        fv_catch_crashes();
        const fv_status end = fv_survey_run(&s);
        _exit(end == FV_OK ? 0 : 1);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; length + 1 < size && (got = read(ends[0], words + length, size - length - 1)) > 0;)
        length += (size_t)got;
    words[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_not_equal(status, 0);
}

static void crashes_have_last_words(void **state) {
    (void)state;
    static char words[1 << 16];
    crash(crashing_rows, right_rows, words, sizeof words);
    expect_in(words, "fovea: crashed in: fovea check --backend ours --pass forward --dtype f32 --kernel crashing "
                     "--fill exact --seed 5 "
                     "--order reverse --threads 3 'relu elements=8 slope=0 dtype=f32'");
    crash(right_rows, crashing_rows, words, sizeof words);
    expect_in(
        words,
        "fovea: crashed in: fovea check --backend vendor --pass forward --dtype f32 --fill exact --seed 5 --threads 3 "
        "'relu elements=8 slope=0 dtype=f32'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_as_text),        cmocka_unit_test(smaller_cases),
        cmocka_unit_test(failures_as_json),        cmocka_unit_test(findings_as_junit),
        cmocka_unit_test(crashes_have_last_words),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
