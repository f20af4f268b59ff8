/* Columns and rows, printed as an aligned table for a terminal, JSON, CSV or Markdown.
 *
 *     static const fv_column columns[] = {{"kernel", "kernel", FV_CELL_TEXT, 0}, {"ms", "time (ms)", FV_CELL_REAL, 4}};
 *     fv_table table;
 *     fv_table_begin(&table, columns, 2);
 *     fv_table_text(&table, "direct_tile");
 *     fv_table_real(&table, 0.81);
 *     status = fv_table_print(&table, FV_FORMAT_TABLE);
 *     fv_table_release(&table);
 *
 * Cells are appended row after row, from left to right. Appending never fails: a lack of memory or a cell of the wrong
 * kind is told when the rows are asked for.
 */
#ifndef FOVEA_CLI_TABLE_H
#define FOVEA_CLI_TABLE_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <fovea/status.h>

typedef enum fv_format { FV_FORMAT_TABLE, FV_FORMAT_JSON, FV_FORMAT_CSV, FV_FORMAT_MARKDOWN, FV_FORMATS } fv_format;

typedef enum fv_cell_kind {
    FV_CELL_TEXT,
    FV_CELL_COUNT,
    FV_CELL_REAL,
    FV_CELL_YES_NO /* true and false in JSON */
} fv_cell_kind;

typedef struct fv_column {
    const char *key;   /* in JSON and in the first line of CSV */
    const char *title; /* the head of the column elsewhere */
    fv_cell_kind kind;
    int digits; /* of reals: significant ones, 1 to 15, the same in every format */
} fv_column;

typedef struct fv_cell {
    bool empty;
    union {
        char *text;
        int64_t count;
        double real;
        bool yes;
    };
} fv_cell;

typedef struct fv_table {
    const fv_column *columns;
    size_t column_count;
    size_t cell_count, capacity;
    fv_cell *cells; /* row after row */
    bool no_memory;
    const fv_column *misused; /* the first that was given a cell of another kind */
} fv_table;

/* `columns` must outlive the table. */
void fv_table_begin(fv_table *table, const fv_column *columns, size_t count);
void fv_table_release(fv_table *table);

/* The next cell. An empty one is null in JSON and empty elsewhere; so is a NULL text. Reals that are no numbers are
 * null in JSON and "nan", "inf" or "-inf" elsewhere. */
void fv_table_empty(fv_table *table);
void fv_table_text(fv_table *table, const char *text); /* copies the text */
void fv_table_count(fv_table *table, int64_t count);
void fv_table_real(fv_table *table, double real);
void fv_table_yes_no(fv_table *table, bool yes);

/* The whole table as text, from malloc. */
fv_status fv_table_render(const fv_table *table, fv_format format, char **text);

/* The same to standard output, by fv_say. */
fv_status fv_table_print(const fv_table *table, fv_format format);

/* The rows as a new array of objects, to be part of something larger. Dump that with FV_JSON_REALS among the flags, or
 * rounded numbers grow a tail of digits. */
fv_status fv_table_rows(const fv_table *table, json_t **rows);
#define FV_JSON_REALS JSON_REAL_PRECISION(15)

/* The value of --format. `extra` is the name of one more format that the command has, for which FV_FORMATS is
 * returned; NULL: it has none. A bad value ends the program with one line and status 2. */
int fv_option_format(const struct argp_state *state, const char *text, const char *extra);

#endif
