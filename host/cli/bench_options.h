/* What fovea bench is asked for. */
#ifndef FOVEA_CLI_BENCH_OPTIONS_H
#define FOVEA_CLI_BENCH_OPTIONS_H

#include "cases/cases.h"
#include "cli/bench_ladder.h"
#include "cli/filter.h"
#include "cli/table.h"
#include "measure/measure.h"

typedef struct fv_bench_options {
    const char *backend; /* NULL: auto */
    const char *against; /* NULL: the vendor's library beside that backend; "none" */
    fv_filter filter;
    fv_protocol protocol;
    char **words; /* the arguments that describe cases, or the second record of a comparison */
    int word_count;
    fv_case_list cases;
    const char *sweep;
    uint64_t seed;
    int threads;
    bool measure_ceilings;
    bool resume; /* what an earlier run has left in the file `out` */
    fv_format format;
    const char *out, *plot, *ladder; /* files; NULL: none */
    fv_reasons reasons;              /* what the last one says */
    const char *compare, *from;      /* records to be read instead of measuring */
} fv_bench_options;

/* Reads the arguments into options; what is wrong with one of them ends the program with one line and status 2. Release
 * them in any case. */
void fv_bench_options_parse(int argc, char **argv, fv_bench_options *options);
void fv_bench_options_release(fv_bench_options *options);

/* FV_BAD_INPUT if options contradict each other. */
fv_status fv_bench_options_check(const fv_bench_options *options);

#endif
