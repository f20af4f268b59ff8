/* fovea bench --compare, on made-up records. */
#include "records.h"
#include "scratch.h"
#include "spoken.h"

#include "cli/bench.h"

static char *compare_files(const char *old, const char *new, fv_format format) {
    spoken s = spoken_begin();
    const fv_status status = fv_bench_compare(old, new, format);
    char *text = spoken_end(&s);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    return text;
}

static char *compare(const fv_bench_record *old, const fv_bench_record *new, fv_format format) {
    const scratch_name old_path = scratch_path("old.json"), new_path = scratch_path("new.json");
    assert_int_equal(fv_bench_write(old, old_path.text), FV_OK);
    assert_int_equal(fv_bench_write(new, new_path.text), FV_OK);
    return compare_files(old_path.text, new_path.text, format);
}

static void expect_said(const fv_bench_record *old, const fv_bench_record *new, const char *words) {
    char *text = compare(old, new, FV_FORMAT_TABLE);
    expect_in(text, words);
    free(text);
}

/* Another time with the same spread. */
static void scale(fv_bench_row *row, double factor) {
    row->timing.summary.median *= factor;
    row->timing.summary.low *= factor;
    row->timing.summary.high *= factor;
    row->timing.summary.least *= factor;
}

static void with_itself(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *text = compare(&record, &record, FV_FORMAT_TABLE);
    expect_in(text, "\nno difference: 9 variants within their noise; 3 not timed in both\n");
    expect_absent(text, "warning");
    expect_absent(text, "faster");
    expect_absent(text, "only in");
    expect_in(text, "wrong in both\n");
    expect_in(text, "no memory in both\n");
    free(text);
    fv_bench_record_release(&record);

    record = record_empty();
    expect_said(&record, &record, "\nnothing to compare: no variant was timed in both records\n");
    record_put(&record, record_ours(&record, "", "relu elements=8", "relu", FV_FORWARD, "elementwise", 2));
    expect_said(&record, &record, "\nno difference: 1 variant within its noise\n");
    fv_bench_record_release(&record);
}

static void changes(void **state) {
    (void)state;
    fv_bench_record old = record_full(), new = record_full();
    scale(&new.rows[0], 0.5);
    scale(&new.rows[1], 0.8);
    scale(&new.rows[5], 1.25);
    scale(&new.rows[7], 1.0039); /* the intervals of 0.2 % still touch */
    char *text = compare(&old, &new, FV_FORMAT_TABLE);
    expect_in(text,
              "\n2 faster (most: cuda direct_tile on VGG-19 3_2, forward, 2x), 1 slower (most: cuda direct_tile on "
              "VGG-19 3_2, backward_data, 0.8x), 6 the same within noise; 3 not timed in both\n");
    /* the mean of 2 and 1.25 */
    expect_in(text, "cuda     conv2d     forward        f32           2      1.581   1.250\n");
    expect_in(text, "cudnn    conv2d     forward        f32           2      1.000   1.000\n");
    free(text);

    scale(&new.rows[7], 1.0003);
    expect_said(&old, &new, ", 2 slower (most: ");
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

static void states(void **state) {
    (void)state;
    fv_bench_record old = record_full(), new = record_full();
    new.rows[2] = new.rows[1]; /* no longer wrong; then 11 of the old one is missing, and one is new */
    snprintf(new.rows[2].kernel, sizeof new.rows[2].kernel, "winograd");
    new.rows[0].state = FV_BENCH_FAILED;
    snprintf(new.rows[11].kernel, sizeof new.rows[11].kernel, "global");
    char *text = compare(&old, &new, FV_FORMAT_TABLE);
    expect_in(text, "was wrong\n");
    expect_in(text, "now failed\n");
    expect_in(text, "only in the new record\n");
    expect_in(text, "only in the old record\n");
    expect_in(text, "\nno difference: 7 variants within their noise; 6 not timed in both\n");
    free(text);
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

/* Rows that are there several times are paired in their order, wherever they stand. */
static void duplicates(void **state) {
    (void)state;
    fv_bench_record old = record_empty(), new = record_empty();
    static const double times[] = {1, 2, 3};
    for (int i = 0; i < 3; ++i)
        record_put(&old, record_ours(&old, "", "relu elements=8", "relu", FV_FORWARD, "elementwise", times[i]));
    record_put(&old, record_ours(&old, "", "relu elements=9", "relu", FV_FORWARD, "elementwise", 4));
    record_put(&new, old.rows[3]);
    for (int i = 0; i < 3; ++i)
        record_put(&new, old.rows[i]);
    expect_said(&old, &new, "\nno difference: 4 variants within their noise\n");
    --new.count; /* the third is missing */
    expect_said(&old, &new, "\nno difference: 3 variants within their noise; 1 not timed in both\n");
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

/* Each part of what makes a variant. */
static void other_variants(void **state) {
    (void)state;
    fv_bench_record old = record_empty(), new = record_empty();
    const fv_bench_row row = record_ours(&old, "", "relu elements=8", "relu", FV_FORWARD, "elementwise", 1);
    record_put(&old, row);
    record_put(&new, row);
    fv_bench_row *other = &new.rows[0];
    struct {
        char *text;
        const char *value;
    } parts[] = {{other->op, "relu elements=9 slope=0 dtype=f32"},
                 {other->pass, "backward_data"},
                 {other->dtype, "f64"},
                 {other->backend, "onednn"},
                 {other->kernel, "quad"},
                 {other->layout, "nchw"}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
        strcpy(parts[i].text, parts[i].value);
        expect_said(&old, &new, "\nnothing to compare: no variant was timed in both records; 2 not timed in both\n");
        *other = row;
    }
    snprintf(other->label, sizeof other->label, "what it is called does not matter");
    expect_said(&old, &new, "\nno difference: 1 variant within its noise\n");
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

/* Which of the rival's kernels is its best may change; its own rows are not those of a backend that was timed. */
static void rivals_are_one(void **state) {
    (void)state;
    fv_bench_record old = record_empty(), new = record_empty();
    const fv_bench_row ours = record_ours(&old, "", "relu elements=8", "relu", FV_FORWARD, "elementwise", 1);
    record_put(&old, ours);
    record_put(&old, record_rivals(&old, &ours, "nhwc", 1));
    record_put(&old, record_rivals(&old, &ours, "nchw", 1));
    for (int i = 0; i < 3; ++i)
        record_put(&new, old.rows[i]);
    snprintf(new.rows[1].kernel, sizeof new.rows[1].kernel, "cudnn_legacy");
    scale(&new.rows[1], 0.5);
    expect_said(&old, &new, "\n1 faster (most: cudnn cudnn_legacy on relu elements=8, forward, 2x), 2 the same within");
    new.rows[1].rival = false;
    expect_said(&old, &new, "\nno difference: 2 variants within their noise; 2 not timed in both\n");
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

static void warnings(void **state) {
    (void)state;
    fv_bench_record old = record_full(), new = record_full();
    new.ceilings.copy *= 1.04; /* measuring is not exact */
    new.ceilings.product[FV_F32] *= 0.97;
    char *text = compare(&old, &new, FV_FORMAT_TABLE);
    expect_absent(text, "warning");
    free(text);
    new.ceilings.copy = 2e12;
    new.ceilings.product[FV_F32] = 40e12;
    snprintf(new.machine.device, sizeof new.machine.device, "NVIDIA A100");
    snprintf(new.machine.libraries, sizeof new.machine.libraries, "CUDA 12.4");
    snprintf(new.commit, sizeof new.commit, "0123456-dirty");
    new.protocol.warm = true;
    new.after.throttled[0] = '\0';
    new.rows[0].timing.summary.samples = 6;
    old.rows[1].timing.summary.samples = 5;
    new.rows[2].timing.summary.samples = 5; /* it is wrong */
    new.complete = false;
    expect_said(
        &old, &new,
        "\nwarning: another device: NVIDIA H200, then NVIDIA A100; other libraries: driver 580.82.07, CUDA 13.0, "
        "cuDNN 9.19, then CUDA 12.4; copy ran at 4300, then at 2000 GB/s; f32 product ran at 51.7, then at 40 "
        "TFLOP/s; cold caches, then warm; 1 variant has fewer than 6 samples, too few to tell noise; throttling: "
        "power cap, then none; the new program has changes that are in no "
        "commit; the new run was "
        "stopped before the end\n");
    expect_said(&new, &new, "\nwarning: both programs have changes that are in no commit; both runs were stopped");
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

static void formats(void **state) {
    (void)state;
    fv_bench_record old = record_full(), new = record_full();
    scale(&new.rows[0], 0.5);
    char *text = compare(&old, &new, FV_FORMAT_JSON);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    const json_t *variant = json_array_get(json_object_get(json, "variants"), 0);
    assert_int_equal(json_array_size(json_object_get(json, "variants")), 12);
    assert_string_equal(json_string_value(json_object_get(variant, "case")), old.rows[0].op);
    assert_string_equal(json_string_value(json_object_get(variant, "change")), "faster");
    assert_true(json_real_value(json_object_get(variant, "ratio")) == 2);
    assert_int_equal(json_integer_value(json_object_get(json, "faster")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "same")), 8);
    assert_int_equal(json_integer_value(json_object_get(json, "not_in_both")), 3);
    assert_int_equal(json_array_size(json_object_get(json, "families")), 7);
    assert_string_equal(json_string_value(json_object_get(json, "warning")), "");
    json_decref(json);
    free(text);

    text = compare(&old, &new, FV_FORMAT_CSV);
    expect_in(
        text,
        "case,pass,dtype,backend,kernel,layout,old_us,old_spread_percent,new_us,new_spread_percent,ratio,change\n");
    expect_in(text, ",forward,f32,cuda,direct_tile,nhwc,6400,0.20,3200,0.20,2.000,faster\n");
    free(text);

    text = compare(&old, &new, FV_FORMAT_MARKDOWN);
    expect_in(
        text,
        "| VGG-19 3_2 | forward | f32 | cuda | direct_tile | nhwc | 6400 | 0.20 | 3200 | 0.20 | 2.000 | faster |");
    expect_in(text, "\n**1 faster (most: ");
    free(text);
    fv_bench_record_release(&old);
    fv_bench_record_release(&new);
}

static void bad_files(void **state) {
    (void)state;
    const scratch_name good = scratch_path("good.json"), none = scratch_path("none.json");
    fv_bench_record record = record_full();
    assert_int_equal(fv_bench_write(&record, good.text), FV_OK);
    EXPECT_FAILURE(fv_bench_compare(good.text, none.text, FV_FORMAT_TABLE), FV_BAD_INPUT, "none.json");
    EXPECT_FAILURE(fv_bench_compare(none.text, good.text, FV_FORMAT_TABLE), FV_BAD_INPUT, "none.json");
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_itself), cmocka_unit_test(changes),        cmocka_unit_test(states),
        cmocka_unit_test(duplicates),  cmocka_unit_test(other_variants), cmocka_unit_test(rivals_are_one),
        cmocka_unit_test(warnings),    cmocka_unit_test(formats),        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
