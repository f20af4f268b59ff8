/* Pictures of a record: what the script for gnuplot holds. */
#include <stdlib.h>

#include "records.h"

#include "cli/bench_plot.h"

static char *script_of(const fv_bench_record *record, fv_plot_kind kind) {
    fv_plot plot;
    char *text = NULL;
    size_t size;
    if (fv_plot_prepare(&plot, record) != FV_OK)
        fail_msg("%s", fv_error_message());
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fv_plot_write_script(&plot, kind, out);
    fclose(out);
    fv_plot_release(&plot);
    return text;
}

static void expect(const char *script, const char *part) {
    if (!strstr(script, part))
        fail_msg("the script lacks '%s':\n%s", part, script);
}

static void expect_no(const char *script, const char *part) {
    if (strstr(script, part))
        fail_msg("the script has '%s':\n%s", part, script);
}

/* ---- the script ---- */

/* By hand: VGG-19 3_2 has 2 * 64*56*56*256 * 256*9 FLOP and 4 * (2 * 64*56*56*256 + 256*256*9) bytes, so 572.712746 FLOP
 * per byte; in 5000, 8000 and 4000 us 47.35, 29.60 and 59.19 TFLOP/s. MobileNet's depthwise layer has 2 * 32*56*56*128 * 9
 * FLOP on 4 * (2 * 32*56*56*128 + 128*9) bytes. The ridge lies at 51.7 TFLOP/s / 4.3 TB/s. */
static void test_roofline(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script, "$family0 << EOD\n572.712746 47.3520144\n572.712746 29.595009\nEOD\n");
    expect(script, "$family1 << EOD\n2.24989911 7.7070336\nEOD\n");
    expect(script, "572.712746 47.3520144 0 11.8380036 59.190018 6 ");
    expect(script, "572.712746 29.595009 0 29.595009 59.190018 6 ");
    expect(script, "2.24989911 7.7070336 0 -4.20383651 3.50319709 4 ");
    expect(script, "\n12.0232558 51.7\n");
    expect(script, "'f32 product 51.7 TFLOP/s'");
    expect(script, "'copy 4.3 TB/s'");
    expect(script, "title 'conv2d'");
    expect(script, "title 'cudnn (outlines)'");
    expect_no(script, "title 'pointwise'"); /* was not timed */
    expect(script, "commit 0123456789ab, ");
    free(script);
    snprintf(record.commit, sizeof record.commit, "0123456789ab-dirty");
    script = script_of(&record, FV_PLOT_SVG);
    expect(script, "commit 0123456789ab-dirty, ");
    free(script);
    fv_bench_record_release(&record);
}

/* The pooling layer reads 50*112*112*64 floats and writes a quarter of them, with a byte each for the argmax: 210.7 MB,
 * in 60 us 81.68 % of 4.3 TB/s. */
static void test_bandwidth(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script, "$memory3 << EOD\n210.7392 81.6818605\nEOD\n");
    record.ceilings.copy = 0;
    free(script);
    script = script_of(&record, FV_PLOT_SVG);
    expect(script, "$memory3 << EOD\n210.7392 3512.32\nEOD\n");
    expect(script, "'GB/s'");
    expect_no(script, "copy 4.3");
    free(script);
    fv_bench_record_release(&record);
}

static void test_bars(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *script = script_of(&record, FV_PLOT_PNG);
    expect(script, "$bars0 << EOD\n0.8 0 0.8 1 -0.36 0.36\n0.5 1 0.5 1 0.64 1.36\nEOD\n");
    expect(script, "$bars1 << EOD\n2.2 2 1 2.2 1.64 2.36\nEOD\n");
    expect(script, "set label 'VGG-19 3_2, forward' at graph 0, first 0 right");
    expect(script, "set label 'backward_data' at graph 0, first 1 right");
    expect(script, "set label 'no memory' at first 1, first 3 left");
    expect(script, "set label 'no rival' at first 1, first 4 left");
    expect(script, "geometric mean 0.958"); /* (0.8 * 0.5 * 2.2)^(1/3) */
    free(script);

    /* Without a rival the bars are shares of the floor: of 4579.5 us of arithmetic in 5000. */
    int64_t ours = 0;
    for (int64_t i = 0; i < record.count; ++i)
        if (!record.rows[i].rival)
            record.rows[ours++] = record.rows[i];
    record.count = ours;
    record.against[0] = '\0';
    script = script_of(&record, FV_PLOT_PNG);
    expect(script, "$bars1 << EOD\n91.5899699 0 0 91.5899699 -0.36 0.36\n57.2437312 1 ");
    expect(script, "set label '92 %' at first 91.5899699");
    expect(script, "title 'bound by memory'");
    expect_no(script, "_pairs");
    expect_no(script, "outlines");
    free(script);
    fv_bench_record_release(&record);
}

static void put_quoted(const char *text, const char *expected) {
    char *quoted = NULL;
    size_t size;
    FILE *out = open_memstream(&quoted, &size);
    assert_non_null(out);
    fv_plot_put_text(out, text);
    fclose(out);
    assert_string_equal(quoted, expected);
    free(quoted);
}

static void test_texts(void **state) {
    (void)state;
    put_quoted("", "''");
    put_quoted("it's 'so'", "'it’s ’so’'");
    put_quoted("\"a\" \\ @b_c^{d} `e` %f $g #h", "'\"a\" \\ @b_c^{d} `e` %f $g #h'");
    put_quoted("a\nEOD\n\tb\x7f", "'a EOD  b '");
    put_quoted("K\xc3\xb6ln \xe2\x82\xac", "'K\xc3\xb6ln \xe2\x82\xac'");
    put_quoted("K\xf6ln, \xe2\x82", "'K?ln, ?"
                                    "?'");
}

/* A name that several layers have is told apart by their extents. */
static void test_ambiguous_labels(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    record_put(&record, record_ours(&record, "layer", "linear n=1 c=2 k=3", "linear", FV_FORWARD, "tile", 5));
    record_put(&record, record_ours(&record, "layer", "linear n=2 c=2 k=3", "linear", FV_FORWARD, "tile", 5));
    record_put(&record, record_ours(&record, "other", "linear n=2 c=2 k=3", "linear", FV_FORWARD, "tile", 5));
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script, "set label 'layer: c=2 k=3' at");
    expect(script, "set label 'layer: n=2 c=2 k=3' at");
    expect(script, "set label 'other' at");
    free(script);
    fv_bench_record_release(&record);
}

static void test_long_chart(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    for (int i = 1; i <= FV_PLOT_MOST_BARS + 1; ++i) {
        char text[64];
        snprintf(text, sizeof text, "relu elements=%d", i);
        record_put(&record, record_ours(&record, "", text, "relu", FV_FORWARD, "elementwise", i));
    }
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script, "'relu elements=400'");
    expect_no(script, "'relu elements=401'");
    expect(script, "the first 400 of 401");
    free(script);
    fv_bench_record_release(&record);
}

/* ---- sweeps ---- */

/* Our kernels "tile" and "direct" and the rival's for h = w = each value; direct is not timed at 4. */
static void put_sweep(fv_bench_record *record, const char *base, const int *values, int count) {
    for (int i = 0; i < count; ++i) {
        char text[256];
        snprintf(text, sizeof text, "conv2d %s h=%d w=%d", base, values[i], values[i]);
        record_put(record, record_ours(record, "", text, "conv2d", FV_FORWARD, "tile", 10 * values[i]));
        fv_bench_row row = record_ours(record, "", text, "conv2d", FV_FORWARD, "direct", 100 * values[i]);
        row.state = values[i] == 4 ? FV_BENCH_WRONG : FV_BENCH_TIMED;
        record_put(record, row);
        record_put(record, record_rivals(record, &row, "nhwc", 20 * values[i]));
    }
}

static void test_sweep(void **state) {
    (void)state;
    static const int by_factors[] = {2, 4, 8, 16}, by_steps[] = {2, 4, 6, 8};
    fv_bench_record record = record_empty();
    snprintf(record.sweep, sizeof record.sweep, "h,w");
    put_sweep(&record, "c=8 k=8 kernel=1x1", by_factors, 4);
    put_sweep(&record, "c=8 k=16 kernel=1x1", by_steps, 4);
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script,
           "$curve0_1 << EOD\n2 20 19.96 20.04\n4 40 39.92 40.08\n8 80 79.84 80.16\n16 160 159.68 160.32\nEOD\n");
    expect(script, "$curve0_2 << EOD\n2 200 199.6 200.4\n\n8 800 798.4 801.6\n16 1600 1596.8 1603.2\nEOD\n");
    expect(script, "$curve0_0 << EOD\n2 40 ");
    expect(script, "$floor0 << EOD\n2 ");
    expect(script, "$curve1_1 << EOD\n2 20 19.96 20.04\n4 40 39.92 40.08\n6 60 59.88 60.12\n8 80 79.84 80.16\nEOD\n");
    expect(script, "'conv2d c=8 k=8 kernel=1x1'");
    expect(script, "'conv2d c=8 k=16 kernel=1x1'");
    expect(script, "set logscale x\nset xrange [1.73913043:18.4]\nset xtics ('2' 2, '4' 4, '8' 8, '16' 16)");
    expect(script, "set xrange [1.76:8.24]\nset xtics ('2' 2, '4' 4, '6' 6, '8' 8)");
    expect(script, "set ylabel 'time (µs)'");
    expect_no(script, "$curve2");
    free(script);
    record.sweep[0] = '\0';
    script = script_of(&record, FV_PLOT_SVG);
    expect_no(script, "$curve");
    free(script);
    fv_bench_record_release(&record);
}

/* The same base twice is two sweeps; filters sweep with the padding that "same" gives them; long times are in ms. */
static void test_sweeps_begin_anew(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    snprintf(record.sweep, sizeof record.sweep, "kernel");
    for (int again = 0; again < 2; ++again)
        for (int r = 1; r <= 5; r += 2) {
            char text[256];
            snprintf(text, sizeof text, "conv2d c=8 h=8 w=8 k=8 kernel=%dx%d pad=same", r, r);
            for (fv_pass pass = FV_FORWARD; pass <= FV_BACKWARD_DATA; ++pass)
                record_put(&record, record_ours(&record, "", text, "conv2d", pass, "tile", 50e3 * r));
        }
    char *script = script_of(&record, FV_PLOT_SVG);
    expect(script, "$curve0_1 << EOD\n1 50 49.9 50.1\n3 150 149.7 150.3\n5 250 249.5 250.5\nEOD\n");
    expect(script, "$curve3_1 << EOD\n1 50 49.9 50.1\n3 150 149.7 150.3\n5 250 249.5 250.5\nEOD\n");
    expect_no(script, "$curve4");
    expect(script, "set ylabel 'time (ms)'");
    expect(script, "h=8 w=8 k=8, backward_data'");
    free(script);
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roofline), cmocka_unit_test(test_bandwidth),         cmocka_unit_test(test_bars),
        cmocka_unit_test(test_texts),    cmocka_unit_test(test_ambiguous_labels),  cmocka_unit_test(test_long_chart),
        cmocka_unit_test(test_sweep),    cmocka_unit_test(test_sweeps_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
