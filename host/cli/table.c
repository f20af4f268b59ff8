#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/table.h"

enum { NUMBER_SIZE = 64, GAP = 2 /* blanks between the columns of a table */ };

/* ---- filling ---- */

void fv_table_begin(fv_table *table, const fv_column *columns, size_t count) {
    *table = (fv_table){.columns = columns, .column_count = count};
}

void fv_table_release(fv_table *table) {
    for (size_t i = 0; i < table->cell_count; ++i)
        if (table->columns[i % table->column_count].kind == FV_CELL_TEXT && !table->cells[i].empty)
            free(table->cells[i].text);
    free(table->cells);
    *table = (fv_table){0};
}

/* The next cell, empty; NULL if there is no memory for it. */
static fv_cell *append(fv_table *table) {
    if (table->cell_count == table->capacity) {
        const size_t capacity = table->capacity ? 2 * table->capacity : 64;
        fv_cell *grown = reallocarray(table->cells, capacity, sizeof *grown);
        if (!grown) {
            table->no_memory = true;
            return NULL;
        }
        table->cells = grown;
        table->capacity = capacity;
    }
    fv_cell *cell = &table->cells[table->cell_count++];
    *cell = (fv_cell){.empty = true};
    return cell;
}

/* The same, for a value of this kind; NULL also where the column is of another, and the cell stays empty. */
static fv_cell *append_of_kind(fv_table *table, fv_cell_kind kind) {
    const fv_column *column = &table->columns[table->cell_count % table->column_count];
    fv_cell *cell = append(table);
    if (column->kind == kind)
        return cell;
    if (!table->misused)
        table->misused = column;
    return NULL;
}

void fv_table_empty(fv_table *table) {
    append(table);
}

void fv_table_text(fv_table *table, const char *text) {
    fv_cell *cell = append_of_kind(table, FV_CELL_TEXT);
    if (!cell || !text)
        return;
    char *copy = strdup(text);
    if (copy)
        *cell = (fv_cell){.text = copy};
    else
        table->no_memory = true;
}

void fv_table_count(fv_table *table, int64_t count) {
    fv_cell *cell = append_of_kind(table, FV_CELL_COUNT);
    if (cell)
        *cell = (fv_cell){.count = count};
}

void fv_table_real(fv_table *table, double real) {
    fv_cell *cell = append_of_kind(table, FV_CELL_REAL);
    if (cell)
        *cell = (fv_cell){.real = real};
}

void fv_table_yes_no(fv_table *table, bool yes) {
    fv_cell *cell = append_of_kind(table, FV_CELL_YES_NO);
    if (cell)
        *cell = (fv_cell){.yes = yes};
}

static fv_status require_whole(const fv_table *table) {
    if (table->no_memory)
        return fv_fail(FV_NO_MEMORY, "no memory for a table of %zu cells", table->cell_count);
    if (table->misused)
        return fv_fail(FV_BAD_INPUT, "table: column '%s' was given a cell of another kind", table->misused->key);
    if (table->cell_count % table->column_count)
        return fv_fail(FV_BAD_INPUT, "table: the last row has %zu cells: expected %zu",
                       table->cell_count % table->column_count, table->column_count);
    return FV_OK;
}

/* ---- cells as text ---- */

/* With `digits` significant digits, trailing zeros among them, or with all digits before the decimal point if those are
 * more. The decimal point is one: no part of the program leaves the C locale. */
static void print_real(double real, int digits, char text[NUMBER_SIZE]) {
    if (isnan(real) || isinf(real)) {
        snprintf(text, NUMBER_SIZE, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    snprintf(text, NUMBER_SIZE, "%.*e", digits - 1, real);
    const long exponent = strtol(strchr(text, 'e') + 1, NULL, 10); /* after rounding, which may add a digit */
    const long decimals = digits - 1 - exponent;
    if (exponent >= -5 && exponent < 15)
        snprintf(text, NUMBER_SIZE, "%.*f", (int)(decimals > 0 ? decimals : 0), real);
}

/* The cell's text: its own, a constant, or in `number`. */
static const char *cell_text(const fv_column *column, const fv_cell *cell, char number[NUMBER_SIZE]) {
    if (cell->empty)
        return "";
    switch (column->kind) {
    case FV_CELL_TEXT:
        return cell->text;
    case FV_CELL_YES_NO:
        return cell->yes ? "yes" : "no";
    case FV_CELL_COUNT:
        snprintf(number, NUMBER_SIZE, "%" PRId64, cell->count);
        return number;
    case FV_CELL_REAL:
        print_real(cell->real, column->digits, number);
        return number;
    }
    return "";
}

static bool is_number(const fv_column *column) {
    return column->kind == FV_CELL_COUNT || column->kind == FV_CELL_REAL;
}

/* One line of text: anything that would move the cursor becomes a blank; `escaped` get a backslash. */
static void put_line(FILE *out, const char *text, const char *escaped) {
    for (; *text; ++text) {
        if (strchr(escaped, *text))
            fputc('\\', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
}

/* ---- table ---- */

/* `blanks` is what is still to be written before the next text: there are none at the end of a line. */
static void put_aligned(FILE *out, const char *text, size_t width, bool right, size_t *blanks) {
    const size_t length = strlen(text), slack = width - length;
    if (length) {
        fprintf(out, "%*s", (int)(*blanks + (right ? slack : 0)), "");
        put_line(out, text, "");
        *blanks = right ? 0 : slack;
    } else {
        *blanks += width;
    }
    *blanks += GAP;
}

static void find_widths(const fv_table *table, size_t *widths) {
    for (size_t i = 0; i < table->column_count; ++i)
        widths[i] = strlen(table->columns[i].title);
    for (size_t i = 0; i < table->cell_count; ++i) {
        char number[NUMBER_SIZE];
        const size_t column = i % table->column_count;
        const size_t length = strlen(cell_text(&table->columns[column], &table->cells[i], number));
        widths[column] = length > widths[column] ? length : widths[column];
    }
}

static void write_table(const fv_table *table, const size_t *widths, FILE *out) {
    size_t blanks = 0;
    for (size_t i = 0; i < table->column_count; ++i)
        put_aligned(out, table->columns[i].title, widths[i], is_number(&table->columns[i]), &blanks);
    fputc('\n', out);
    for (size_t i = 0; i < table->column_count; ++i) {
        fprintf(out, "%*s", i ? GAP : 0, "");
        for (size_t dash = 0; dash < widths[i]; ++dash)
            fputc('-', out);
    }
    for (size_t i = 0; i < table->cell_count; ++i) {
        char number[NUMBER_SIZE];
        const size_t c = i % table->column_count;
        const fv_column *column = &table->columns[c];
        if (c == 0) {
            fputc('\n', out);
            blanks = 0;
        }
        put_aligned(out, cell_text(column, &table->cells[i], number), widths[c], is_number(column), &blanks);
    }
    fputc('\n', out);
}

static fv_status render_table(const fv_table *table, FILE *out) {
    size_t *widths = calloc(table->column_count, sizeof *widths);
    if (!widths)
        return fv_fail(FV_NO_MEMORY, "no memory for a table of %zu columns", table->column_count);
    find_widths(table, widths);
    write_table(table, widths, out);
    free(widths);
    return FV_OK;
}

/* ---- Markdown, as GitHub and pandoc read it ---- */

static void render_markdown(const fv_table *table, FILE *out) {
    static const char special[] = "\\|*`<["; /* an underscore within a word is not */
    for (size_t i = 0; i < table->column_count; ++i) {
        fputs(i ? " | " : "| ", out);
        put_line(out, table->columns[i].title, special);
    }
    fputs(" |\n|", out);
    for (size_t i = 0; i < table->column_count; ++i)
        fputs(is_number(&table->columns[i]) ? "---:|" : "---|", out);
    for (size_t i = 0; i < table->cell_count; ++i) {
        char number[NUMBER_SIZE];
        const size_t c = i % table->column_count;
        fputs(c ? " | " : i ? " |\n| " : "\n| ", out);
        put_line(out, cell_text(&table->columns[c], &table->cells[i], number), special);
    }
    fputs(table->cell_count ? " |\n" : "\n", out);
}

/* ---- CSV, quoted as RFC 4180 has it; its lines end as Unix's do ---- */

static void put_quoted(FILE *out, const char *text) {
    if (!text[strcspn(text, "\",\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; ++text) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void render_csv(const fv_table *table, FILE *out) {
    for (size_t i = 0; i < table->column_count; ++i) {
        fputs(i ? "," : "", out);
        put_quoted(out, table->columns[i].key);
    }
    for (size_t i = 0; i < table->cell_count; ++i) {
        char number[NUMBER_SIZE];
        const size_t c = i % table->column_count;
        fputs(c ? "," : "\n", out);
        put_quoted(out, cell_text(&table->columns[c], &table->cells[i], number));
    }
    fputc('\n', out);
}

/* ---- JSON ---- */

/* null for what is no number, or is none any more after rounding up. */
static json_t *json_rounded(double real, int digits) {
    char text[NUMBER_SIZE];
    print_real(real, digits, text);
    const double rounded = strtod(text, NULL);
    return isfinite(rounded) ? json_real(rounded) : json_null();
}

static json_t *json_cell(const fv_column *column, const fv_cell *cell) {
    if (cell->empty)
        return json_null();
    switch (column->kind) {
    case FV_CELL_TEXT:
        return fv_json_text(cell->text);
    case FV_CELL_COUNT:
        return json_integer(cell->count);
    case FV_CELL_YES_NO:
        return json_boolean(cell->yes);
    case FV_CELL_REAL:
        return json_rounded(cell->real, column->digits);
    }
    return NULL;
}

/* The row that begins at `cells`; NULL if there is no memory. */
static json_t *json_row(const fv_table *table, const fv_cell *cells) {
    json_t *row = json_object();
    for (size_t i = 0; row && i < table->column_count; ++i)
        if (json_object_set_new(row, table->columns[i].key, json_cell(&table->columns[i], &cells[i])) != 0) {
            json_decref(row);
            row = NULL;
        }
    return row;
}

fv_status fv_table_rows(const fv_table *table, json_t **rows) {
    *rows = NULL;
    FV_TRY(require_whole(table));
    json_t *array = json_array();
    for (size_t i = 0; array && i < table->cell_count; i += table->column_count)
        if (json_array_append_new(array, json_row(table, &table->cells[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    *rows = array;
    return array ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for a table as JSON");
}

/* An array with a line for each row. */
static fv_status render_json(const fv_table *table, FILE *out) {
    fputc('[', out);
    for (size_t i = 0; i < table->cell_count; i += table->column_count) {
        json_t *row = json_row(table, &table->cells[i]);
        fputs(i ? ",\n  " : "\n  ", out);
        const int failed = row ? json_dumpf(row, out, FV_JSON_REALS) : -1;
        json_decref(row);
        if (failed)
            return fv_fail(FV_NO_MEMORY, "no memory for a table as JSON");
    }
    fputs(table->cell_count ? "\n]\n" : "]\n", out);
    return FV_OK;
}

/* ---- all formats ---- */

static fv_status render(const fv_table *table, fv_format format, FILE *out) {
    switch (format) {
    case FV_FORMAT_TABLE:
        return render_table(table, out);
    case FV_FORMAT_JSON:
        return render_json(table, out);
    case FV_FORMAT_CSV:
        render_csv(table, out);
        return FV_OK;
    case FV_FORMAT_MARKDOWN:
        render_markdown(table, out);
        return FV_OK;
    case FV_FORMATS:
        break;
    }
    return fv_fail(FV_BAD_INPUT, "table: no format has number %d", (int)format);
}

fv_status fv_table_render(const fv_table *table, fv_format format, char **text) {
    size_t size;
    *text = NULL;
    FV_TRY(require_whole(table));
    FILE *out = open_memstream(text, &size);
    if (!out)
        return fv_fail(FV_NO_MEMORY, "no memory for a table as text");
    fv_status status = render(table, format, out);
    const bool cut = ferror(out) != 0;
    if ((fclose(out) != 0 || cut || !*text) && status == FV_OK)
        status = fv_fail(FV_NO_MEMORY, "no memory for a table as text");
    if (status != FV_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

fv_status fv_table_print(const fv_table *table, fv_format format) {
    char *text;
    FV_TRY(fv_table_render(table, format, &text));
    fv_say("%s", text);
    free(text);
    return FV_OK;
}

int fv_option_format(const struct argp_state *state, const char *text, const char *extra) {
    const char *const names[FV_FORMATS + 1] = {"table", "json", "csv", "markdown", extra};
    return fv_option_choice(state, "format", text, names, extra ? FV_FORMATS + 1 : FV_FORMATS);
}
