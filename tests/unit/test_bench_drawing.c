/* gnuplot draws a record, and what happens where it cannot. */
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "records.h"

#include "cli/bench.h"

static bool has_gnuplot(void) {
    return system("command -v gnuplot > /dev/null") == 0;
}

static void expect_svg(const char *path, const char *word) {
    size_t size;
    char *text = scratch_get(path, &size);
    static const char end[] = "</svg>";
    assert_memory_equal(text, "<?xml", 5);
    while (size > 0 && text[size - 1] <= ' ')
        text[--size] = '\0';
    assert_true(size > sizeof end && !strcmp(text + size - strlen(end), end));
    assert_non_null(strstr(text, word));
    free(text);
}

static void expect_png(const char *path) {
    static const unsigned char head[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const unsigned char end[] = {'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    size_t size;
    char *bytes = scratch_get(path, &size);
    assert_true(size > sizeof head + sizeof end);
    assert_memory_equal(bytes, head, sizeof head);
    assert_memory_equal(bytes + size - sizeof end, end, sizeof end);
    free(bytes);
}

static void draw(const fv_bench_record *record, const char *path) {
    if (fv_bench_plot(record, path) != FV_OK)
        fail_msg("%s", fv_error_message());
}

static void test_drawing(void **state) {
    (void)state;
    if (!has_gnuplot())
        skip();
    fv_bench_record record = record_full();
    const scratch_name svg = scratch_path("full.svg"), png = scratch_path("full.PNG");
    draw(&record, svg.text);
    expect_svg(svg.text, "VGG-19 3_2, forward");
    draw(&record, png.text);
    expect_png(png.text);
    scratch_put(svg.text, "old", 3);
    draw(&record, svg.text);
    expect_svg(svg.text, "NVIDIA H200");
    remove(svg.text);
    remove(png.text);

    /* Nothing is known about the chip. */
    record.ceilings = (fv_ceilings){0};
    for (int64_t i = 0; i < record.count; ++i)
        record.rows[i].floor.seconds = 0;
    draw(&record, svg.text);
    expect_svg(svg.text, "VGG-19 3_2, forward");
    remove(svg.text);
    fv_bench_record_release(&record);
}

/* Labels come from files that others wrote: no text of theirs is a command. */
static void test_hostile_labels(void **state) {
    (void)state;
    if (!has_gnuplot())
        skip();
    const scratch_name folder = scratch_path("hostile"), owned = scratch_path("hostile/owned");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    static const char *const labels[] = {"`touch owned`", "'\nsystem('touch owned')\n'",
                                         "' . system('touch owned') . '", "\"@x & <y> \\", "%s%n {/Symbol a}_1"};
    char home[1024];
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(chdir(folder.text), 0);
    fv_bench_record record = record_empty();
    snprintf(record.machine.device, sizeof record.machine.device, "'; system('touch owned'); '`touch owned`");
    for (int i = 0; i < 5; ++i)
        record_put(&record,
                   record_ours(&record, labels[i], "linear n=8 c=8 k=8", labels[i], FV_FORWARD, labels[i], 5 + i));
    draw(&record, "hostile.svg");
    assert_int_equal(chdir(home), 0);
    assert_int_not_equal(access(owned.text, F_OK), 0);
    const scratch_name svg = scratch_path("hostile/hostile.svg");
    expect_svg(svg.text, "`touch owned`");
    expect_svg(svg.text, "@x &amp; &lt;y> \\");
    expect_svg(svg.text, "%s%n {/Symbol a}_1");
    fv_bench_record_release(&record);
}

static void test_sweep(void **state) {
    (void)state;
    if (!has_gnuplot())
        skip();
    const scratch_name svg = scratch_path("sweep.svg");
    fv_bench_record record = record_empty();
    snprintf(record.sweep, sizeof record.sweep, "n");
    for (int n = 1; n <= 8; n *= 2) {
        char text[64];
        snprintf(text, sizeof text, "linear n=%d c=8 k=8", n);
        const fv_bench_row row = record_ours(&record, "", text, "linear", FV_FORWARD, "tile", 10 + n);
        record_put(&record, row);
        record_put(&record, record_rivals(&record, &row, "nhwc", 9 + n));
    }
    draw(&record, svg.text);
    expect_svg(svg.text, "<text>linear c=8 k=8</text>");
    remove(svg.text);
    fv_bench_record_release(&record);
}

/* ---- failures ---- */

static void test_nothing_to_draw(void **state) {
    (void)state;
    const scratch_name folder = scratch_path("nothing"), svg = scratch_path("nothing/a.svg");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    fv_bench_record record = record_full();
    EXPECT_FAILURE(fv_bench_plot(&record, "a.pdf"), FV_BAD_INPUT, "a.pdf", ".svg or .png");
    EXPECT_FAILURE(fv_bench_plot(&record, "svg"), FV_BAD_INPUT, "svg", ".svg or .png");
    for (int64_t i = 0; i < record.count; ++i)
        record.rows[i].state = FV_BENCH_WRONG;
    EXPECT_FAILURE(fv_bench_plot(&record, svg.text), FV_BAD_INPUT, "no case was timed");
    fv_bench_record_release(&record);
    record = record_empty();
    EXPECT_FAILURE(fv_bench_plot(&record, svg.text), FV_BAD_INPUT, "no case was timed");
    assert_int_equal(scratch_entries(folder.text), 0);
}

/* Runs with this PATH, and expects that the old file stays and is alone in its folder. */
static void fail_with_path(const char *path, fv_status status, const char *word, const char *other) {
    const scratch_name folder = scratch_path("failed"), svg = scratch_path("failed/a.svg");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    scratch_put(svg.text, "old", 3);
    fv_bench_record record = record_full();
    char *saved = strdup(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    assert_non_null(saved);
    setenv("PATH", path, 1);
    const fv_status got = fv_bench_plot(&record, svg.text);
    setenv("PATH", saved, 1);
    free(saved);
    fv_bench_record_release(&record);
    EXPECT_FAILURE(got, status, "gnuplot", word, other);
    scratch_expect_text(svg.text, "old");
    assert_int_equal(scratch_entries(folder.text), 1);
    remove(svg.text);
    remove(folder.text);
}

static void test_no_gnuplot(void **state) {
    (void)state;
    fail_with_path(scratch_folder, FV_UNSUPPORTED, "there is no gnuplot", "apt install gnuplot-nox");
}

/* Programs of that name that go wrong in their own ways. */
static void test_failing_gnuplot(void **state) {
    (void)state;
    static const struct {
        const char *script, *word, *other;
    } cases[] = {
        {"#!/bin/sh\nprintf 'half a picture'\nprintf '\\nplot x\\n     ^\\n  line 3: all is lost\\n\\n' >&2\nexit 3\n",
         "exit status 3", ": line 3: all is lost"},
        {"#!/bin/sh\nkill -9 $$\n", "signal 9", "no message"},
        {"#!/bin/sh\nexit 0\n", "drew nothing", "no message"},
    };
    const scratch_name folder = scratch_path("fake"), program = scratch_path("fake/gnuplot");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        scratch_put(program.text, cases[i].script, strlen(cases[i].script));
        assert_int_equal(chmod(program.text, 0755), 0);
        fail_with_path(folder.text, FV_IO, cases[i].word, cases[i].other);
    }
}

static void test_unwritable_targets(void **state) {
    (void)state;
    if (!has_gnuplot())
        skip();
    const scratch_name folder = scratch_path("targets"), missing = scratch_path("targets/none/a.svg");
    const scratch_name png = scratch_path("targets/a.png");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    fv_bench_record record = record_full();
    EXPECT_FAILURE(fv_bench_plot(&record, missing.text), FV_IO, missing.text, strerror(ENOENT));

    /* A file may be larger than the script, but not as large as the picture: as on a disk that is full. */
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit limit = {.rlim_cur = 1 << 16, .rlim_max = old.rlim_max};
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const fv_status status = fv_bench_plot(&record, png.text);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    EXPECT_FAILURE(status, FV_IO, png.text, strerror(EFBIG));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* gnuplot was not left behind */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(scratch_entries(folder.text), 0);
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_hostile_labels),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_nothing_to_draw),
        cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_failing_gnuplot),
        cmocka_unit_test(test_unwritable_targets),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
