#include "cli/bench_rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "ops/op.h"

enum { MOST_COLUMNS = 20, SHORT_NOTE = 28 };

/* ---- texts ---- */

void fv_bench_short_op(const fv_bench_row *row, char text[FV_BENCH_NAME_SIZE]) {
    fv_operation op;
    if (fv_operation_parse(row->op, &op) == FV_OK)
        fv_operation_print_short(&op, text, FV_BENCH_NAME_SIZE);
    else
        snprintf(text, FV_BENCH_NAME_SIZE, "%s", row->op);
}

void fv_bench_case_name(const fv_bench_row *row, char name[FV_BENCH_NAME_SIZE]) {
    if (*row->label)
        snprintf(name, FV_BENCH_NAME_SIZE, "%s", row->label);
    else
        fv_bench_short_op(row, name);
}

/* "direct_tile", "direct_tile *" if it is the one that runs by itself, "cudnn cudnn_graph nchw" of a rival. */
static void variant_name(const fv_bench_row *row, char name[FV_BENCH_NAME_SIZE]) {
    snprintf(name, FV_BENCH_NAME_SIZE, "%s%s%s%s%s%s", row->rival ? row->backend : "", row->rival ? " " : "",
             row->kernel, strcmp(row->layout, "nhwc") != 0 ? " " : "",
             strcmp(row->layout, "nhwc") != 0 ? row->layout : "", row->chosen && !row->rival ? " *" : "");
}

void fv_bench_table_real(fv_table *table, double real) {
    if (isnan(real))
        fv_table_empty(table);
    else
        fv_table_real(table, real);
}

void fv_bench_say_plain(const char *text) {
    for (; *text; ++text)
        fv_say("%c", (unsigned char)*text < ' ' ? ' ' : *text);
}

void fv_bench_say_item(fv_format format, const char *line) {
    fv_say("%s", format == FV_FORMAT_MARKDOWN ? "- " : "");
    fv_bench_say_plain(line);
    fv_say("\n");
}

void fv_bench_say_strong(fv_format format, const char *line) {
    fv_say("\n%s", format == FV_FORMAT_MARKDOWN ? "**" : "");
    fv_bench_say_plain(line);
    fv_say("%s\n", format == FV_FORMAT_MARKDOWN ? "**" : "");
}

/* "no memory", or of a wrong one "WRONG 17 of 2048". */
static void describe_state(const fv_bench_row *row, char text[96]) {
    if (row->state == FV_BENCH_WRONG || row->wrong)
        snprintf(text, 96, "WRONG %" PRId64 " of %" PRId64, row->wrong, row->compared);
    else if (row->state != FV_BENCH_TIMED)
        snprintf(text, 96, "%s", fv_bench_state_name(row->state));
    else
        snprintf(text, 96, "%s", row->verified ? "yes" : "no bound");
}

static void describe_ratio(double ratio, char text[32]) {
    text[0] = '\0';
    if (!isnan(ratio))
        snprintf(text, 32, ratio < 0.1 ? "%7.2gx" : "%7.2fx", ratio);
}

/* What a library chose to run, cut to `most` characters, and of how many ways. */
static void describe_implementation(const fv_bench_row *row, size_t most, char text[256]) {
    const bool cut = strlen(row->implementation) > most;
    snprintf(text, 256, "%.*s%s", (int)(cut ? most - 3 : most), row->implementation, cut ? "..." : "");
    if (row->ways > 1)
        fv_append(text, 256, "%sbest of %d", *text ? ", " : "", row->ways);
}

/* ---- for people ---- */

/* Which columns a table has. */
typedef struct layout {
    fv_format format;
    bool rival, marks, notes, expected;
    char rival_title[24];
    fv_column columns[MOST_COLUMNS];
    size_t count;
} layout;

static const char *marks_of(const fv_bench_row *row) {
    static const char *const marks[2][2] = {{"", "!"}, {"~", "~!"}};
    return row->state == FV_BENCH_TIMED ? marks[!row->timing.settled][row->timing.exposed] : "";
}

static void add_column(layout *l, const char *key, const char *title, fv_cell_kind kind, int digits) {
    l->columns[l->count++] = (fv_column){key, title, kind, digits};
}

static void lay_out(layout *l, const fv_bench_record *record, fv_format format) {
    *l = (layout){.format = format};
    for (int64_t i = 0; i < record->count; ++i) {
        const fv_bench_row *row = &record->rows[i];
        l->rival |= row->rival;
        l->marks |= *marks_of(row) != '\0';
        l->notes |= *row->implementation || row->ways > 1;
        l->expected |= row->expected > 0;
    }
    snprintf(l->rival_title, sizeof l->rival_title, "%s us", record->against);
    if (format == FV_FORMAT_MARKDOWN) {
        add_column(l, "case", "case", FV_CELL_TEXT, 0);
        add_column(l, "pass", "pass", FV_CELL_TEXT, 0);
        add_column(l, "dtype", "dtype", FV_CELL_TEXT, 0);
    }
    add_column(l, "variant", "variant", FV_CELL_TEXT, 0);
    add_column(l, "samples", "samples", FV_CELL_COUNT, 0);
    add_column(l, "median_us", "median us", FV_CELL_REAL, 4);
    if (l->marks)
        add_column(l, "marks", "", FV_CELL_TEXT, 0);
    add_column(l, "spread_percent", "spread %", FV_CELL_REAL, 2);
    add_column(l, "tflops", "TFLOP/s", FV_CELL_REAL, 3);
    add_column(l, "gb_per_s", "GB/s", FV_CELL_REAL, 3);
    add_column(l, "percent_of_floor", "% of floor", FV_CELL_REAL, 3);
    add_column(l, "bound", "", FV_CELL_TEXT, 0);
    if (l->expected)
        add_column(l, "expected_us", "expected us", FV_CELL_REAL, 4);
    if (l->rival) {
        add_column(l, "rival_us", l->rival_title, FV_CELL_REAL, 4);
        add_column(l, "ratio", "   ratio", FV_CELL_TEXT, 0);
    }
    add_column(l, "verified", "verified", FV_CELL_TEXT, 0);
    if (l->notes || format == FV_FORMAT_MARKDOWN)
        add_column(l, "note", format == FV_FORMAT_MARKDOWN ? "note" : "implementation", FV_CELL_TEXT, 0);
}

static void put_case(fv_table *table, const fv_bench_row *row) {
    char name[FV_BENCH_NAME_SIZE];
    fv_bench_case_name(row, name);
    fv_table_text(table, name);
    fv_table_text(table, row->pass);
    fv_table_text(table, row->dtype);
}

static void put_note(fv_table *table, const layout *l, const fv_bench_row *row) {
    char note[640];
    const bool brief = l->format == FV_FORMAT_TABLE; /* which has a line of its own for the reason */
    describe_implementation(row, brief ? SHORT_NOTE : sizeof row->implementation, note);
    if (!brief)
        fv_append(note, sizeof note, "%s%s", *note && *row->reason ? "; " : "", row->reason);
    fv_table_text(table, note);
}

static void put_line(fv_table *table, const layout *l, const fv_bench_row *row, const fv_bench_row *rival) {
    const fv_bench_figures figures = fv_bench_figures_of(row, rival);
    const bool timed = row->state == FV_BENCH_TIMED;
    char name[FV_BENCH_NAME_SIZE], ratio[32], verified[96];
    if (l->format == FV_FORMAT_MARKDOWN)
        put_case(table, row);
    variant_name(row, name);
    fv_table_text(table, name);
    if (timed)
        fv_table_count(table, row->timing.summary.samples);
    else
        fv_table_empty(table);
    fv_bench_table_real(table, figures.median_us);
    if (l->marks)
        fv_table_text(table, marks_of(row));
    fv_bench_table_real(table, figures.spread_percent);
    fv_bench_table_real(table, figures.tflops);
    fv_bench_table_real(table, figures.gb_per_s);
    fv_bench_table_real(table, figures.percent_of_floor);
    fv_table_text(table, isnan(figures.percent_of_floor) ? "" : row->floor.compute_bound ? "C" : "M");
    if (l->expected)
        fv_bench_table_real(table, figures.expected_us);
    if (l->rival) {
        describe_ratio(figures.ratio, ratio);
        fv_bench_table_real(table, row->rival ? NAN : figures.rival_us);
        fv_table_text(table, ratio);
    }
    describe_state(row, verified);
    fv_table_text(table, timed || l->format == FV_FORMAT_MARKDOWN ? verified : ""); /* see say_variant */
    if (l->notes || l->format == FV_FORMAT_MARKDOWN)
        put_note(table, l, row);
}

/* ---- on a terminal ---- */

/* The line above a case's variants. */
static void say_case(const fv_bench_row *row) {
    char name[FV_BENCH_NAME_SIZE], line[3 * FV_BENCH_NAME_SIZE] = "";
    fv_bench_case_name(row, name);
    fv_append(line, sizeof line, "%s, %s %s: %s, floor ", name, row->pass, row->dtype, row->family);
    if (row->floor.seconds > 0)
        fv_append(line, sizeof line, row->floor.seconds < 1e-3 ? "%.4g us (%s)" : "%.0f us (%s)",
                  1e6 * row->floor.seconds, row->floor.compute_bound ? "compute" : "memory");
    else
        fv_append(line, sizeof line, "not known");
    fv_bench_short_op(row, name);
    if (*row->label)
        fv_append(line, sizeof line, "; %s", name);
    fv_bench_say_plain(line);
    fv_say("\n");
}

/* A variant's line of the printed table, or, if it was not timed, why. */
static void say_variant(const fv_bench_row *row, const char *line, size_t length, size_t name_width) {
    char name[FV_BENCH_NAME_SIZE], verified[96];
    if (row->state == FV_BENCH_TIMED) {
        fv_say("  %.*s\n", (int)length, line);
        if (*row->reason) {
            fv_say("  %*s  ", (int)name_width, "");
            fv_bench_say_plain(row->reason);
            fv_say("\n");
        }
        return;
    }
    variant_name(row, name);
    describe_state(row, verified);
    fv_say("  ");
    fv_bench_say_plain(name);
    fv_say("%*s%s%s", (int)(name_width - strlen(name)) + 2, "", verified, *row->reason ? ": " : "");
    fv_bench_say_plain(row->reason);
    fv_say("\n");
}

static size_t widest_name(const fv_bench_record *record) {
    size_t width = strlen("variant");
    for (int64_t i = 0; i < record->count; ++i) {
        char name[FV_BENCH_NAME_SIZE];
        variant_name(&record->rows[i], name);
        width = strlen(name) > width ? strlen(name) : width;
    }
    return width;
}

/* The lines of a printed table, which are one for its titles, one below it and one for each row; between them those of
 * the cases. */
static void say_grouped(const fv_bench_record *record, const char *text) {
    const size_t width = widest_name(record);
    for (int i = 0; i < 2; ++i) {
        const size_t length = strcspn(text, "\n");
        fv_say("  %.*s\n", (int)length, text);
        text += length + 1;
    }
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        say_case(&record->rows[begin]);
        for (int64_t i = begin; i < end; ++i) {
            const size_t length = strcspn(text, "\n");
            say_variant(&record->rows[i], text, length, width);
            text += length + (text[length] == '\n');
        }
    }
}

static void say_mark(fv_format format, const char *mark, const char *meaning) {
    fv_say(format == FV_FORMAT_MARKDOWN ? "- `%s` %s\n" : "%s %s\n", mark, meaning);
}

static void say_legend(const fv_bench_record *record, fv_format format) {
    bool chosen = false, unsettled = false, exposed = false;
    char late[96];
    for (int64_t i = 0; i < record->count; ++i) {
        const fv_bench_row *row = &record->rows[i];
        chosen |= row->chosen && !row->rival;
        unsettled |= row->state == FV_BENCH_TIMED && !row->timing.settled;
        exposed |= row->state == FV_BENCH_TIMED && row->timing.exposed;
    }
    snprintf(late, sizeof late, "the spread was still above %.3g %% when time ran out", 100 * record->protocol.noise);
    fv_say("\n");
    if (chosen)
        say_mark(format, "*", "runs when no other is asked for");
    if (unsettled)
        say_mark(format, "~", late);
    if (exposed)
        say_mark(format, "!", "the device waited for the host: the time holds gaps");
    say_mark(format, "%", "of the floor that compute (C) or memory (M) sets");
    if (*record->against)
        say_mark(format, "x", "the rival's best time in NHWC over ours");
}

fv_status fv_bench_say_rows(const fv_bench_record *record, fv_format format) {
    layout l;
    fv_table table;
    char *text;
    lay_out(&l, record, format);
    fv_table_begin(&table, l.columns, l.count);
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        const fv_bench_row *rival = fv_bench_rival(record, begin, end, "nhwc");
        for (int64_t i = begin; i < end; ++i)
            put_line(&table, &l, &record->rows[i], rival);
    }
    const fv_status status = fv_table_render(&table, format, &text);
    fv_table_release(&table);
    FV_TRY(status);
    if (format == FV_FORMAT_TABLE)
        say_grouped(record, text);
    else
        fv_say("%s", text);
    free(text);
    say_legend(record, format);
    return FV_OK;
}
