/* The ladder of optimisations, and that benchmarks/ladder.txt and the kernel table agree. */
#include "scratch.h"

#include "records.h"
#include "spoken.h"

#include "backends/kernel.h"
#include "cli/bench.h"
#include "cli/bench_ladder.h"

/* ---- the file ---- */

static bool is_in_table(const fv_reason *reason) {
    fv_kernel_cursor cursor = {0};
    const fv_backend *backend = fv_backend_find("emulated");
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
        if (!strcmp(fv_kind_name(kernel->kind), reason->operation) && !strcmp(kernel->name, reason->kernel))
            return true;
    return false;
}

static void test_file_and_table_agree(void **state) {
    (void)state;
    fv_reasons reasons = {0};
    if (fv_reasons_read(&reasons, FV_TEST_LADDER) != FV_OK)
        fail_msg("%s", fv_error_message());
    for (int64_t i = 0; i < reasons.count; ++i)
        if (!is_in_table(&reasons.items[i]))
            fail_msg("no kernel of ours is %s %s", reasons.items[i].operation, reasons.items[i].kernel);
    fv_kernel_cursor cursor = {0};
    int kernels = 0;
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(fv_backend_find("emulated"), &cursor)); ++kernels)
        if (!fv_reasons_find(&reasons, fv_kind_name(kernel->kind), kernel->name)[0])
            fail_msg("the ladder does not say why there is %s %s", fv_kind_name(kernel->kind), kernel->name);
    assert_true(kernels > 0);
    fv_reasons_release(&reasons);
}

static void test_reasons(void **state) {
    (void)state;
    static const char text[] = "# a comment\n\n  conv2d direct:  simple: one # two\nconv2d tile_8x8: shared 'memory'\n";
    const scratch_name path = scratch_path("reasons");
    scratch_put(path.text, text, sizeof text - 1);
    fv_reasons reasons = {0};
    assert_int_equal(fv_reasons_read(&reasons, path.text), FV_OK);
    assert_int_equal(reasons.count, 2);
    assert_string_equal(fv_reasons_find(&reasons, "conv2d", "direct"), "simple: one");
    assert_string_equal(fv_reasons_find(&reasons, "conv2d", "tile_8x8"), "shared 'memory'");
    assert_string_equal(fv_reasons_find(&reasons, "conv2d", "tile"), "");
    assert_string_equal(fv_reasons_find(&reasons, "linear", "direct"), "");
    fv_reasons_release(&reasons);
}

static void test_malformed_reasons(void **state) {
    (void)state;
    static const char *const lines[] = {"conv2d",        "conv2d direct",         "conv2d direct:", "conv2d : why",
                                        "conv2d: why x", "conv2d direct because", "direct: why"};
    const scratch_name path = scratch_path("malformed");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; ++i) {
        char text[256];
        const int length = snprintf(text, sizeof text, "# first\nconv2d im2col: good\n%s\n", lines[i]);
        scratch_put(path.text, text, (size_t)length);
        fv_reasons reasons = {0};
        EXPECT_FAILURE(fv_reasons_read(&reasons, path.text), FV_BAD_INPUT, path.text, ":3: ", "OPERATION KERNEL: why");
        fv_reasons_release(&reasons);
    }
    static const char twice[] = "conv2d direct: one\nconv2d direct: two\n";
    scratch_put(path.text, twice, sizeof twice - 1);
    fv_reasons reasons = {0};
    EXPECT_FAILURE(fv_reasons_read(&reasons, path.text), FV_BAD_INPUT, ":2: ", "conv2d direct");
    fv_reasons_release(&reasons);
    EXPECT_FAILURE(fv_reasons_read(&reasons, scratch_path("none").text), FV_BAD_INPUT, "none");
}

/* ---- the ladder ---- */

static void expect_ladder(const fv_bench_record *record, const fv_reasons *reasons, const char *expected) {
    spoken s = spoken_begin();
    const fv_status status = fv_bench_print_ladder(record, reasons);
    char *text = spoken_end(&s);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_string_equal(text, expected);
    free(text);
}

static void put(fv_bench_record *record, const char *label, const char *text, const char *kernel, double microseconds,
                double floor) {
    fv_bench_row row = record_ours(record, label, text, "conv2d", FV_FORWARD, kernel, microseconds);
    row.floor.seconds = floor * 1e-6;
    record_put(record, row);
}

static void put_rival(fv_bench_record *record, const char *layout, double microseconds) {
    const fv_bench_row ours = record->rows[record->count - 1];
    fv_bench_row row = record_rivals(record, &ours, layout, microseconds);
    row.floor = ours.floor;
    record_put(record, row);
}

static const char first_case[] = "conv2d n=1 c=8 h=8 w=8 k=8 kernel=3x3";
static const char second_case[] = "conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3";

/* Two cases, on which the means are 50 % and 100 % by 200 % and 50 %; the NCHW time does not count. */
static void test_means_and_order(void **state) {
    (void)state;
    fv_reason items[] = {{"conv2d", "tile", NULL}, {"conv2d", "direct", NULL}};
    char why[] = "keeps | in registers", other[] = "the formula";
    items[0].why = why;
    items[1].why = other;
    const fv_reasons reasons = {.items = items, .count = 2};
    fv_bench_record record = record_empty();
    put(&record, "first", first_case, "tile", 100, 50);
    put(&record, "first", first_case, "direct", 800, 50);
    put_rival(&record, "nhwc", 200);
    put_rival(&record, "nchw", 10);
    put(&record, "second", second_case, "tile", 400, 50);
    put(&record, "second", second_case, "direct", 800, 50);
    put(&record, "second", second_case, "broken", 0, 50);
    record.rows[record.count - 1].state = FV_BENCH_WRONG;
    const fv_bench_row last = record.rows[record.count - 2];
    record_put(&record, record_rivals(&record, &last, "nhwc", 200));
    record.rows[record.count - 1].floor.seconds = 50e-6;
    expect_ladder(&record, &reasons,
                  "##### conv2d, forward, f32\n"
                  "\n"
                  "| variant | cases | % of cudnn | % of floor | us on first | why |\n"
                  "|---|---:|---:|---:|---:|---|\n"
                  "| broken | 0 |  |  |  | wrong in 1 case |\n"
                  "| direct | 2 | 25.0 | 6.25 | 800.0 | the formula |\n"
                  "| cudnn's best | 2 | 100 | 25.0 | 200.0 |  |\n"
                  "| tile | 2 | 100 | 25.0 | 100.0 | keeps \\| in registers |\n");
    fv_bench_record_release(&record);
}

/* The reasons are about our kernels: a library's row of the same name has none. */
static void test_reasons_are_ours(void **state) {
    (void)state;
    char why[] = "the formula";
    fv_reason items[] = {{"conv2d", "direct", why}};
    const fv_reasons reasons = {.items = items, .count = 1};
    fv_bench_record record = record_empty();
    record.against[0] = '\0';
    snprintf(record.backend, sizeof record.backend, "onednn");
    put(&record, "first", first_case, "direct", 100, 50);
    expect_ladder(&record, &reasons,
                  "##### conv2d, forward, f32\n"
                  "\n"
                  "| variant | cases | % of floor | us on first | why |\n"
                  "|---|---:|---:|---:|---|\n"
                  "| direct | 1 | 50.0 | 100.0 |  |\n");
    fv_bench_record_release(&record);
}

/* Passes and families have a ladder each, in the order of the record; a case comes up again after others. */
static void test_ladders(void **state) {
    (void)state;
    const fv_reasons reasons = {0};
    fv_bench_record record = record_empty();
    record.against[0] = '\0';
    fv_bench_row row;
    put(&record, "", first_case, "tile", 100, 50);
    row = record_ours(&record, "", first_case, "conv2d", FV_BACKWARD_DATA, "tile", 300);
    row.floor.seconds = 30e-6;
    record_put(&record, row);
    put(&record, "", second_case, "direct", 50, 5);
    expect_ladder(&record, &reasons,
                  "##### conv2d, forward, f32\n"
                  "\n"
                  "| variant | cases | % of floor | us on conv2d c=8 h=8 w=8 k=8 kernel=3x3 | why |\n"
                  "|---|---:|---:|---:|---|\n"
                  "| direct | 1 | 10.0 |  |  |\n"
                  "| tile | 1 | 50.0 | 100.0 |  |\n"
                  "\n"
                  "##### conv2d, backward_data, f32\n"
                  "\n"
                  "| variant | cases | % of floor | us on conv2d c=8 h=8 w=8 k=8 kernel=3x3 | why |\n"
                  "|---|---:|---:|---:|---|\n"
                  "| tile | 1 | 10.0 | 300.0 |  |\n");
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_and_table_agree), cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_malformed_reasons),    cmocka_unit_test(test_means_and_order),
        cmocka_unit_test(test_reasons_are_ours),     cmocka_unit_test(test_ladders),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
