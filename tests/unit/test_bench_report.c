/* The report of fovea bench, from made-up records. */
#include "records.h"
#include "scratch.h"
#include "spoken.h"

#include "cli/bench.h"

/* What is said of a record in a format. */
static char *say(const fv_bench_record *record, fv_format format) {
    spoken s = spoken_begin();
    const fv_status status = fv_bench_print(record, format);
    char *text = spoken_end(&s);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    return text;
}

/* The line with these words, up to its end. */
static const char *line_of(char *text, const char *words) {
    expect_in(text, words);
    char *line = strstr(text, words);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void terminal(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "cuda (NVIDIA H200, CUDA 13.0) against cudnn (NVIDIA H200, cuDNN 9.19)\n");
    expect_in(text, "device: NVIDIA H200, 132 units, 60 MiB of cache, 141 GiB of memory; driver 580.82.07, ");
    expect_in(text, "ceilings: copy 4300 GB/s, f32 product 51.7 TFLOP/s by cublas linear 8192x8192x8192; measured "
                    "2026-11-19T08:00:00Z, in an earlier run\n");
    expect_in(text, "conditions: before 1980 MHz (memory 3201) 41 C 122 W; after 1755 MHz (memory 3201) 63 C 688 W "
                    "THROTTLED (power cap)\n");
    expect_in(text, "commit 0123456789abcdef0123456789abcdef01234567, 2026-11-20T16:18:23Z\n"
                    "fovea bench --backend cuda --against cudnn --suite resnet\n");
    expect_in(text, "\nVGG-19 3_2, forward f32: conv2d, floor 4579 us (compute); "
                    "conv2d n=64 c=256 h=56 w=56 k=256 kernel=3x3 pad=1");
    expect_in(text, "\n  winograd                WRONG 17 of 2048: 17 of 2048 elements of y are wrong\n");
    expect_in(text, "\n  pointwise *             no memory: the tensors take 98 GiB, the device has 41 GiB left\n");
    expect_in(text, "\n  cudnn cudnn_graph       failed: cudnn: CUDNN_STATUS_EXECUTION_FAILED\n");
    expect_in(text, "  there is no bound for its arithmetic\n");
    expect_in(text, "engine 38, math mode f32,..., best of 14\n");
    expect_in(text, "\nno variant supports 2 of the cases' passes; the first: conv2d n=1");
    expect_in(text, "\ntimed 5 variants on 4 cases, cudnn 4 times; 1 is wrong (cuda winograd on VGG-19 3_2, forward); "
                    "1 failed (cudnn cudnn_graph on ");
    expect_in(text, "; 1 found no memory; 1 has no bound; 1 did not settle\n");
    static const char *const marks[] = {"\n* ", "\n~ the spread was still above 0.5 % ", "\n! ", "\n% ", "\nx "};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; ++i)
        expect_in(text, marks[i]);
    const char *rule = strstr(text, "\n  ---");
    assert_non_null(rule);
    assert_in_range(strcspn(rule + 1, "\n"), 100, 172); /* columns that the table takes */

    assert_string_equal(line_of(text, "  im2col "), "  im2col                       37       5000         0.20     47.4"
                                                    "  82.7        91.6  C                   4000     0.80x  yes");
    free(text);
    fv_bench_record_release(&record);
}

/* Nothing is said of what does not occur. */
static void plain_record(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    record.against[0] = record.against_description[0] = '\0';
    record.before = record.after = (fv_conditions){0};
    record.machine = (fv_machine){0};
    record.ceilings = (fv_ceilings){0};
    record.commit[0] = '\0';
    record.complete = false;
    char *text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "cuda (NVIDIA H200, CUDA 13.0)\ndevice: not known\nceilings: copy not known\nprotocol: ");
    expect_in(text, "Fovea 0.1.0, 2026-11-20");
    expect_in(text, "\nstopped before the end; timed 0 variants on 0 cases\n");
    expect_absent(text, "samples  ");
    free(text);
    record.complete = true;
    text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "\ntimed 0 variants on 0 cases: no kernel matches\n");
    free(text);

    fv_bench_row row = record_ours(&record, "", "relu elements=8", "relu", FV_FORWARD, "elementwise", 2);
    row.floor = (fv_floor){0};
    record_put(&record, row);
    record.complete = true;
    text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "\nrelu elements=8, forward f32: relu, floor not known\n");
    expect_in(text, "\ntimed 1 variant on 1 case\n");
    expect_absent(text, "ratio");
    expect_absent(text, "expected us");
    expect_absent(text, "implementation");
    expect_absent(text, "\n* ");
    expect_absent(text, "\n~ ");
    expect_absent(text, "\n! ");
    free(text);
    fv_bench_record_release(&record);
}

/* A case of several passes and dtypes is one; one that is given twice is two. */
static void counted_cases(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    static const fv_pass passes[] = {FV_FORWARD, FV_BACKWARD_DATA, FV_FORWARD, FV_FORWARD};
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; ++i)
        record_put(&record, record_ours(&record, "", "relu elements=8", "relu", passes[i], "elementwise", 2));
    char *text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "\ntimed 4 variants on 3 cases, cudnn 0 times\n");
    free(text);
    record.count = 2;
    for (int i = 0; i < 2; ++i) {
        fv_bench_row row = record.rows[i];
        snprintf(row.op, sizeof row.op, "relu elements=8 slope=0 dtype=f64");
        snprintf(row.dtype, sizeof row.dtype, "f64");
        record_put(&record, row);
    }
    text = say(&record, FV_FORMAT_TABLE);
    expect_in(text, "\ntimed 4 variants on 1 case, cudnn 0 times\n");
    free(text);
    fv_bench_record_release(&record);
}

static void markdown(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *text = say(&record, FV_FORMAT_MARKDOWN);
    expect_in(text, "- device: NVIDIA H200");
    expect_in(text, "| MobileNet \"dw, 5\" \\| \xc3\xa9t\xc3\xa9 \\<56\xc2\xb2> | forward | f32 | depthwise \\* |");
    expect_in(text, "| expected us |");
    expect_in(text, "| WRONG 17 of 2048 | 17 of 2048 elements of y are wrong |");
    expect_in(text, "- `~` the spread");
    expect_in(text, "**timed 5 variants on 4 cases");
    free(text);
    fv_bench_record_release(&record);
}

static void csv(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    char *text = say(&record, FV_FORMAT_CSV);
    int lines = 0;
    for (const char *at = text; *at; ++at)
        lines += *at == '\n';
    assert_int_equal(lines, 1 + record.count);
    assert_int_equal(strncmp(text, "label,op,family,pass,", 21), 0);
    expect_in(text, "\"MobileNet \"\"dw, 5\"\" | \xc3\xa9t\xc3\xa9 <56\xc2\xb2>\",conv2d n=32");
    expect_in(text, ",im2col,,nhwc,no,no,no,0,timed,,yes,\"2 of 64 images, 8 of 256 output channels\",2048,0,0.312,37,"
                    "5000.000,4990.000,5010.000,4950.000,0.200,yes,no,0,236760072192,413401088,4579.498,compute,47.352,"
                    "82.680,91.590,,,4000.000,\"engine 38, math mode f32, tile 128x64, stages 4, split 1\",3600.000,"
                    "0.80000\n");
    expect_in(text, ",71.555,8000.000,0.80000,4000.000,"); /* the chosen one, expected to take longer */
    free(text);
    fv_bench_record_release(&record);
}

/* A saved record says what the fresh one said, and JSON says what the file says. */
static void saved_records_print_the_same(void **state) {
    (void)state;
    const scratch_name path = scratch_path("record.json");
    fv_bench_record record = record_full(), read = {0};
    assert_int_equal(fv_bench_write(&record, path.text), FV_OK);
    assert_int_equal(fv_bench_read(&read, path.text), FV_OK);
    for (fv_format format = 0; format < FV_FORMATS; ++format) {
        char *fresh = say(&record, format), *saved = say(&read, format);
        assert_string_equal(fresh, saved);
        if (format == FV_FORMAT_JSON)
            scratch_expect_text(path.text, fresh);
        free(fresh);
        free(saved);
    }
    fv_bench_record_release(&record);
    fv_bench_record_release(&read);
}

/* What a file says cannot move the cursor. */
static void hostile_texts(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    snprintf(record.rows[0].label, sizeof record.rows[0].label, "\x1b[2J\nlabel");
    snprintf(record.rows[2].reason, sizeof record.rows[2].reason, "\x1b[2J\nreason");
    snprintf(record.rows[2].kernel, sizeof record.rows[2].kernel, "\x1b[2J\nkernel");
    snprintf(record.machine.device, sizeof record.machine.device, "\x1b[2J\ndevice");
    for (fv_format format = 0; format < FV_FORMATS; ++format) {
        if (format == FV_FORMAT_CSV)
            continue; /* which is not for terminals */
        char *text = say(&record, format);
        expect_absent(text, "\x1b");
        expect_absent(text, "\nreason");
        free(text);
    }
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal),      cmocka_unit_test(plain_record), cmocka_unit_test(counted_cases),
        cmocka_unit_test(markdown),      cmocka_unit_test(csv),          cmocka_unit_test(saved_records_print_the_same),
        cmocka_unit_test(hostile_texts),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
