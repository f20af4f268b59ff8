/* fovea check, in parts: the options, how a failure reads, and the report in its five formats. */
#ifndef FOVEA_CLI_CHECK_H
#define FOVEA_CLI_CHECK_H

#include <stdio.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/table.h"
#include "verify/survey.h"

enum { FV_FORMAT_JUNIT = FV_FORMATS };

typedef struct fv_check_options {
    const char *backend; /* NULL: cuda if there is a device, else emulated */
    const char *against; /* names with commas between; NULL: the vendor's library beside that backend, if it is here */
    fv_filter filter;
    bool fills[FV_FILLS];
    char **words; /* the arguments that describe cases */
    int word_count;
    fv_case_list cases;
    bool builtin; /* the cases are those of tests/cases: every kernel must be exercised */
    int64_t random;
    uint64_t seed;
    int order; /* fv_thread_order; -1: not given */
    int threads;
    int format;
    bool self_test;
} fv_check_options;

/* ---- failures: check_failure.c ---- */

enum { FV_CASE_SIZE = 512, FV_REPLAY_SIZE = 1024, FV_WHERE_SIZE = 256 };

/* What happened, where in the tensor, who is the outlier, and the line that reproduces it; to a stream. */
void fv_failure_write(FILE *stream, const fv_check_options *options, const fv_finding *finding);

/* Looks for a smaller case on which the kernel fails in the same comparison, and tells it if there is one. */
void fv_failure_write_smallest(FILE *stream, const fv_check_options *options, const fv_finding *finding);

/* The line that reproduces it: the command that makes just this comparison. */
void fv_replay_line(const fv_check_options *options, const fv_finding *finding, char line[FV_REPLAY_SIZE]);

/* ---- the report: check_report.c, check_json.c and check_junit.c ---- */

enum { FV_SHOWN_PER_KERNEL = 3, FV_SHOWN = 24 };

typedef struct fv_report_sink {
    const fv_check_options *options;
    fv_progress progress;
    int64_t findings;          /* comparisons reported, */
    int64_t comparisons;       /* those of them that our kernels passed or failed, */
    int64_t elements;          /* in these; an empty tensor has none */
    int64_t outliers;          /* those that a witness alone failed, */
    int64_t against_reference; /* those that the reference alone contradicts, */
    int64_t failures;          /* and all that failed */
    int shown;                 /* of them in full */
    struct {
        const fv_kernel *kernel;
        char op[FV_CASE_SIZE];
    } show[FV_SHOWN];
    json_t *json;    /* array of failures, for JSON */
    FILE *stream;    /* what comes after the table, or makes up the report, for Markdown and JUnit */
    char *collected; /* by the stream */
    size_t collected_size;
} fv_report_sink;

/* End it in any case. */
fv_status fv_report_begin(fv_report_sink *sink, const fv_check_options *options);
void fv_report_end(fv_report_sink *sink);

/* Before the first case, after every comparison, and at the end. *good: nothing failed, something was compared, and with
 * the built-in cases every kernel was. */
void fv_report_head(fv_report_sink *sink, const fv_survey *survey);
void fv_report_finding(fv_report_sink *sink, const fv_finding *finding);
fv_status fv_report_survey(fv_report_sink *sink, const fv_survey *survey, bool *good);

/* A failure, and the whole report, as JSON; NULL without memory. fv_json_extend appends a new value to an array and
 * returns it, or ends both and returns NULL if one of them is NULL or there is no memory. */
json_t *fv_json_extend(json_t *array, json_t *value);
json_t *fv_failure_json(const fv_check_options *options, const fv_finding *finding);
fv_status fv_json_print(const fv_report_sink *sink, const fv_survey *survey, const fv_table *table, const char *verdict,
                        bool good);

/* One comparison as a JUnit test case. */
void fv_junit_finding(FILE *stream, const fv_check_options *options, const fv_finding *finding);

/* The whole as a JUnit report, with the test cases written so far. */
void fv_junit_print(const fv_report_sink *sink, const fv_survey *survey, const char *verdict, bool good);

/* ---- the self-test: check_selftest.c ---- */
fv_status fv_check_self_test(fv_context *context, const fv_check_options *options, bool *good);

#endif
