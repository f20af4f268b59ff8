/* A made-up record of fovea bench, in which everything occurs that a record can hold: layers with and without a label,
 * several passes, a rival in two layouts, every state, timings that did not settle or were held up by the host. */
#ifndef FOVEA_TESTS_UNIT_RECORDS_H
#define FOVEA_TESTS_UNIT_RECORDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "measure/record.h"

/* A record of that device without rows. */
static inline fv_bench_record record_empty(void) {
    return (fv_bench_record){
        .version = "0.1.0",
        .commit = "0123456789abcdef0123456789abcdef01234567",
        .date = "2026-11-20T16:18:23Z",
        .backend = "cuda",
        .against = "cudnn",
        .description = "NVIDIA H200, CUDA 13.0",
        .against_description = "NVIDIA H200, cuDNN 9.19",
        .command = "fovea bench --backend cuda --against cudnn --suite resnet",
        .machine = {.device = "NVIDIA H200",
                    .libraries = "driver 580.82.07, CUDA 13.0, cuDNN 9.19",
                    .cache = INT64_C(60) << 20,
                    .memory = INT64_C(141) << 30,
                    .units = 132},
        .before = {.clock = 1980, .memory_clock = 3201, .temperature = 41, .power = 121.5},
        .after = {.clock = 1755, .memory_clock = 3201, .temperature = 63, .power = 688.25, .throttled = "power cap"},
        .ceilings = {.copy = 4.3e12,
                     .product = {[FV_F32] = 51.7e12},
                     .product_by = {[FV_F32] = "cublas linear 8192x8192x8192"},
                     .measured = "2026-11-19T08:00:00Z",
                     .cached = true},
        .protocol = {.samples = 10, .least = 0.5, .noise = 0.005, .most = 3},
        .seed = 1,
        .complete = true,
    };
}

/* A row of ours, timed and right: with a spread of 0.2 % around this median. `text` is an operation, maybe short. */
static inline fv_bench_row record_ours(const fv_bench_record *record, const char *label, const char *text,
                                       const char *family, fv_pass pass, const char *kernel, double microseconds) {
    fv_bench_row row = {.layout = "nhwc", .state = FV_BENCH_TIMED, .verified = true, .compared = 2048, .worst = 0.3125};
    fv_operation op;
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s", fv_error_message());
    fv_operation_print(&op, row.op, sizeof row.op);
    snprintf(row.label, sizeof row.label, "%s", label);
    snprintf(row.family, sizeof row.family, "%s", family);
    snprintf(row.pass, sizeof row.pass, "%s", fv_pass_name(pass));
    snprintf(row.dtype, sizeof row.dtype, "f32");
    snprintf(row.backend, sizeof row.backend, "%s", record->backend);
    snprintf(row.kernel, sizeof row.kernel, "%s", kernel);
    snprintf(row.scope, sizeof row.scope, "2 of 64 images, 8 of 256 output channels");
    row.timing = (fv_timing){.summary = {.samples = 37,
                                         .median = microseconds * 1e-6,
                                         .low = microseconds * 0.998e-6,
                                         .high = microseconds * 1.002e-6,
                                         .least = microseconds * 0.99e-6},
                             .settled = true};
    row.floor = (fv_floor){.flop = 2 * fv_operation_macs(&op, pass), .bytes = fv_operation_bytes(&op, pass)};
    const double arithmetic = (double)row.floor.flop / record->ceilings.product[FV_F32];
    const double traffic = (double)row.floor.bytes / record->ceilings.copy;
    row.floor.compute_bound = arithmetic > traffic;
    row.floor.seconds = row.floor.compute_bound ? arithmetic : traffic;
    return row;
}

/* What the rival has to say about the same problem. */
static inline fv_bench_row record_rivals(const fv_bench_record *record, const fv_bench_row *ours, const char *layout,
                                         double microseconds) {
    fv_operation op;
    fv_operation_parse(ours->op, &op);
    fv_pass pass = FV_FORWARD;
    while (strcmp(fv_pass_name(pass), ours->pass) != 0)
        ++pass;
    fv_bench_row row = record_ours(record, ours->label, ours->op, ours->family, pass, "cudnn_graph", microseconds);
    snprintf(row.backend, sizeof row.backend, "%s", record->against);
    snprintf(row.layout, sizeof row.layout, "%s", layout);
    snprintf(row.implementation, sizeof row.implementation, "engine 38, math mode f32, tile 128x64, stages 4, split 1");
    row.rival = true;
    row.ways = 14;
    row.workspace = 1 << 20;
    return row;
}

static inline void record_put(fv_bench_record *record, fv_bench_row row) {
    assert_int_equal(fv_bench_record_add(record, &row), FV_OK);
}

/* The whole. Release it. */
static inline fv_bench_record record_full(void) {
    static const char vgg[] = "conv2d n=64 c=256 h=56 w=56 k=256 kernel=3x3 pad=1";
    static const char mobile[] = "conv2d n=32 c=128 h=56 w=56 k=128 kernel=3x3 pad=1 groups=128";
    static const char wide[] = "conv2d n=512 c=2048 h=112 w=112 k=2048 kernel=1x1";
    static const char pool[] = "maxpool n=50 c=64 h=112 w=112 kernel=3x3 stride=2 pad=1";
    fv_bench_record record = record_empty();
    fv_bench_row row;
    record.unsupported = 2;
    snprintf(record.first_unsupported, sizeof record.first_unsupported,
             "conv2d n=1 c=4 h=8 w=8 k=4 kernel=40x40 pad=20 forward: windows of at most 31x31");

    /* Dense: the chosen row is not the fastest one, and one is wrong. */
    row = record_ours(&record, "VGG-19 3_2", vgg, "conv2d", FV_FORWARD, "direct_tile", 6400);
    row.chosen = true;
    row.expected = 8000e-6;
    record_put(&record, row);
    record_put(&record, record_ours(&record, "VGG-19 3_2", vgg, "conv2d", FV_FORWARD, "im2col", 5000));
    row = record_ours(&record, "VGG-19 3_2", vgg, "conv2d", FV_FORWARD, "winograd", 0);
    row.state = FV_BENCH_WRONG;
    row.verified = false;
    row.wrong = 17;
    row.worst = 1234.5;
    row.timing = (fv_timing){0};
    snprintf(row.reason, sizeof row.reason, "17 of 2048 elements of y are wrong");
    record_put(&record, row);
    record_put(&record, record_rivals(&record, &record.rows[0], "nhwc", 4000));
    record_put(&record, record_rivals(&record, &record.rows[0], "nchw", 3600));

    row = record_ours(&record, "VGG-19 3_2", vgg, "conv2d", FV_BACKWARD_DATA, "direct_tile", 8000);
    row.chosen = true;
    record_put(&record, row);
    record_put(&record, record_rivals(&record, &row, "nhwc", 4000));

    /* Depthwise, faster than the rival; a label with all that has to be escaped somewhere. */
    row = record_ours(&record, "MobileNet \"dw, 5\" | \xc3\xa9t\xc3\xa9 <56\xc2\xb2>", mobile, "depthwise", FV_FORWARD,
                      "depthwise", 30);
    row.chosen = true;
    row.timing.exposed = true;
    record_put(&record, row);
    record_put(&record, record_rivals(&record, &row, "nhwc", 66));

    /* Without a label: neither ours nor the rival's could be run. */
    row = record_ours(&record, "", wide, "pointwise", FV_FORWARD, "pointwise", 0);
    row.chosen = true;
    row.state = FV_BENCH_NO_MEMORY;
    row.verified = false;
    row.compared = 0;
    row.worst = 0;
    row.scope[0] = '\0';
    row.timing = (fv_timing){0};
    snprintf(row.reason, sizeof row.reason, "the tensors take 98 GiB, the device has 41 GiB left");
    record_put(&record, row);
    fv_bench_row rival = record_rivals(&record, &row, "nhwc", 0);
    rival.state = FV_BENCH_FAILED;
    rival.verified = false;
    rival.timing = (fv_timing){0};
    snprintf(rival.reason, sizeof rival.reason, "cudnn: CUDNN_STATUS_EXECUTION_FAILED");
    record_put(&record, rival);

    /* Not settled, and nothing is known about its being right; no rival. */
    row = record_ours(&record, "ResNet-50 pool1", pool, "maxpool", FV_FORWARD, "direct", 60);
    row.chosen = true;
    row.verified = false;
    row.compared = 0;
    row.worst = 0;
    row.timing.settled = false;
    row.timing.summary.low *= 0.9;
    snprintf(row.reason, sizeof row.reason, "there is no bound for its arithmetic");
    record_put(&record, row);
    return record;
}

#endif
