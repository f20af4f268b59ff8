/* The rows of a benchmark's record as lines: what the report and the comparison share. */
#ifndef FOVEA_CLI_BENCH_ROWS_H
#define FOVEA_CLI_BENCH_ROWS_H

#include "cli/bench.h"

enum { FV_BENCH_NAME_SIZE = 520 };

/* A row's operation without what is understood. */
void fv_bench_short_op(const fv_bench_row *row, char text[FV_BENCH_NAME_SIZE]);

/* A case in the fewest words: its label, or its text without defaults. */
void fv_bench_case_name(const fv_bench_row *row, char name[FV_BENCH_NAME_SIZE]);

/* A real that may not be known: an empty cell if it is NAN. */
void fv_bench_table_real(fv_table *table, double real);

/* Says a text in one line: what would move the cursor becomes a blank. */
void fv_bench_say_plain(const char *text);

/* Such a line by itself, in Markdown an item of a list; and one behind an empty line, in Markdown in bold. */
void fv_bench_say_item(fv_format format, const char *line);
void fv_bench_say_strong(fv_format format, const char *line);

/* The rows as a table: for a terminal under a line per case and pass, or in Markdown; and what their marks mean. */
fv_status fv_bench_say_rows(const fv_bench_record *record, fv_format format);

/* Everything that is known of the rows, as CSV: bench_csv.c. */
fv_status fv_bench_say_csv(const fv_bench_record *record);

#endif
