/* fovea bench, in parts: the options, and what is made of a record. */
#ifndef FOVEA_CLI_BENCH_H
#define FOVEA_CLI_BENCH_H

#include "cli/cli.h"
#include "cli/table.h"
#include "measure/record.h"

/* ---- the report: bench_report.c ---- */

/* A record in one of the four formats, to standard output by fv_say: in words the machine, its ceilings and conditions,
 * then a line per variant, then the means of each family. JSON is fv_bench_to_json's, CSV the lines alone. */
fv_status fv_bench_print(const fv_bench_record *record, fv_format format);

/* ---- a record while it is measured: bench_resume.c ---- */

/* Writes what was measured so far, and that this variant did not come to its end: which is so if the program does not
 * survive it. Not into pipes and the like. That it cannot be written will show at the end. */
void fv_bench_save(fv_bench_record *record, const fv_bench_row *running, const char *path);

/* Reads such a file into a zeroed record, to go on behind its rows. FV_BAD_INPUT if it is of another backend, commit or
 * seed. */
fv_status fv_bench_take_over(fv_bench_record *record, const char *path, const char *backend, const char *against,
                             uint64_t seed);

/* ---- two records side by side: bench_compare.c ---- */

/* Reads both and prints, for each variant that both have timed, the two times, their ratio (old over new) and whether they
 * differ by more than noise; then the means of each family, and what only one of them has. */
fv_status fv_bench_compare(const char *old_path, const char *new_path, fv_format format);

/* ---- pictures: bench_plot.c ---- */

/* Draws a record by gnuplot to PATH.svg or PATH.png: a roofline, a bar chart of the ratios to the rival and, if the cases
 * are a sweep, how the time grows. FV_BAD_INPUT: another suffix, nothing timed; FV_UNSUPPORTED: no gnuplot. */
fv_status fv_bench_plot(const fv_bench_record *record, const char *path);

/* FV_OK if the name can be drawn to, as far as that can be said before. */
fv_status fv_bench_check_plot(const char *path);

/* ---- the ladder: bench_ladder.c ---- */

/* Markdown for benchmarks/RESULTS.md: for each family and pass the variants with their time relative to the rival's best and
 * to the floor, geometric means over the cases, and why each is there. */
struct fv_reasons;
fv_status fv_bench_print_ladder(const fv_bench_record *record, const struct fv_reasons *reasons);

#endif
