/* Tables in their four formats. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"

static const fv_column columns[] = {
    {"name", "layer", FV_CELL_TEXT, 0},  {"count", "n", FV_CELL_COUNT, 0},  {"ms", "time (ms)", FV_CELL_REAL, 3},
    {"good", "good", FV_CELL_YES_NO, 0}, {"note", "note", FV_CELL_TEXT, 0},
};

static void begin(fv_table *table) {
    fv_table_begin(table, columns, sizeof columns / sizeof columns[0]);
}

static void add(fv_table *table, const char *name, int64_t count, double ms, bool good, const char *note) {
    fv_table_text(table, name);
    fv_table_count(table, count);
    fv_table_real(table, ms);
    fv_table_yes_no(table, good);
    fv_table_text(table, note);
}

static void add_empty(fv_table *table) {
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; ++i)
        fv_table_empty(table);
}

static void expect(const fv_table *table, fv_format format, const char *expected) {
    char *text;
    if (fv_table_render(table, format, &text) != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_string_equal(text, expected);
    free(text);
}

static void terminal(void **state) {
    (void)state;
    fv_table table;
    begin(&table);
    add(&table, "conv1", 24, 0.8125, true, "fine");
    add(&table, "a layer of some length", -1234567, 1234.5678, false, "two\nlines\tand a tab");
    add_empty(&table);
    add(&table, NULL, 1, 0, true, NULL);
    expect(&table, FV_FORMAT_TABLE,
           "layer                          n  time (ms)  good  note\n"
           "----------------------  --------  ---------  ----  -------------------\n"
           "conv1                         24      0.812  yes   fine\n"
           "a layer of some length  -1234567       1235  no    two lines and a tab\n"
           "\n"
           "                               1       0.00  yes\n");
    fv_table_release(&table);
}

static void without_rows(void **state) {
    (void)state;
    fv_table table;
    begin(&table);
    expect(&table, FV_FORMAT_TABLE, "layer  n  time (ms)  good  note\n-----  -  ---------  ----  ----\n");
    expect(&table, FV_FORMAT_JSON, "[]\n");
    expect(&table, FV_FORMAT_CSV, "name,count,ms,good,note\n");
    expect(&table, FV_FORMAT_MARKDOWN, "| layer | n | time (ms) | good | note |\n|---|---:|---:|---|---|\n");
    fv_table_release(&table);
}

static void csv(void **state) {
    (void)state;
    fv_table table;
    begin(&table);
    add(&table, "a,b", 1, 2.5, true, "say \"no\"");
    add(&table, "a\r\nb", INT64_MIN, NAN, false, " | ");
    add_empty(&table);
    expect(&table, FV_FORMAT_CSV,
           "name,count,ms,good,note\n"
           "\"a,b\",1,2.50,yes,\"say \"\"no\"\"\"\n"
           "\"a\r\nb\",-9223372036854775808,nan,no, | \n"
           ",,,,\n");
    fv_table_release(&table);
}

static void markdown(void **state) {
    (void)state;
    fv_table table;
    begin(&table);
    add(&table, "a|b", 1, 2.5, true, "k*r*s \\ `x` <b> [1]\nback_ward");
    add_empty(&table);
    expect(&table, FV_FORMAT_MARKDOWN,
           "| layer | n | time (ms) | good | note |\n"
           "|---|---:|---:|---|---|\n"
           "| a\\|b | 1 | 2.50 | yes | k\\*r\\*s \\\\ \\`x\\` \\<b> \\[1] back_ward |\n"
           "|  |  |  |  |  |\n");
    fv_table_release(&table);
}

static void json(void **state) {
    (void)state;
    fv_table table;
    begin(&table);
    add(&table, "\"quoted\"\n", INT64_MAX, 1.0 / 3, true, "K\xc3\xb6ln");
    add(&table, "K\xf6ln", 0, INFINITY, false, "");
    add_empty(&table);
    expect(&table, FV_FORMAT_JSON,
           "[\n"
           "  {\"name\": \"\\\"quoted\\\"\\n\", \"count\": 9223372036854775807, \"ms\": 0.333, \"good\": true, "
           "\"note\": \"K\xc3\xb6ln\"},\n"
           "  {\"name\": \"K?ln\", \"count\": 0, \"ms\": null, \"good\": false, \"note\": \"\"},\n"
           "  {\"name\": null, \"count\": null, \"ms\": null, \"good\": null, \"note\": null}\n"
           "]\n");
    char *text;
    json_t *rows, *read;
    assert_int_equal(fv_table_rows(&table, &rows), FV_OK);
    assert_int_equal(fv_table_render(&table, FV_FORMAT_JSON, &text), FV_OK);
    read = json_loads(text, 0, NULL);
    assert_non_null(read);
    assert_true(json_equal(read, rows));
    assert_int_equal(json_array_size(rows), 3);
    json_decref(read);
    json_decref(rows);
    free(text);
    fv_table_release(&table);
}

/* Each real as text, and the number that JSON has for it. */
static void reals(void **state) {
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
        double json;
    } cases[] = {
        {0.5, 3, "0.500", 0.5},
        {9.996, 3, "10.0", 10},
        {-99.95, 3, "-100", -100},
        {123456.7, 3, "123457", 123457},
        {0.00001234, 2, "0.000012", 0.000012},
        {0.000001234, 2, "1.2e-06", 1.2e-6},
        {999999999999999.0, 4, "1.000e+15", 1e15},
        {99999999999999.0, 1, "99999999999999", 99999999999999.0},
        {-DBL_MAX, 2, "-1.8e+308", 0}, /* beyond a double: null */
        {DBL_TRUE_MIN, 1, "5e-324", DBL_TRUE_MIN},
        {0.1, 15, "0.100000000000000", 0.1},
        {7, 1, "7", 7},
        {0, 2, "0.0", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_column column = {"x", "x", FV_CELL_REAL, cases[i].digits};
        fv_table table;
        fv_table_begin(&table, &column, 1);
        fv_table_real(&table, cases[i].value);
        char expected[64], *text;
        snprintf(expected, sizeof expected, "x\n%s\n", cases[i].text);
        expect(&table, FV_FORMAT_CSV, expected);
        assert_int_equal(fv_table_render(&table, FV_FORMAT_JSON, &text), FV_OK);
        json_t *rows = json_loads(text, 0, NULL);
        const json_t *number = json_object_get(json_array_get(rows, 0), "x");
        if (isfinite(strtod(cases[i].text, NULL)))
            assert_true(json_is_real(number) && json_real_value(number) == cases[i].json);
        else
            assert_true(json_is_null(number));
        json_decref(rows);
        free(text);
        fv_table_release(&table);
    }
    const fv_column column = {"x", "x", FV_CELL_REAL, 3};
    fv_table table;
    fv_table_begin(&table, &column, 1);
    fv_table_real(&table, -NAN);
    fv_table_real(&table, INFINITY);
    fv_table_real(&table, -INFINITY);
    expect(&table, FV_FORMAT_CSV, "x\nnan\ninf\n-inf\n");
    expect(&table, FV_FORMAT_JSON, "[\n  {\"x\": null},\n  {\"x\": null},\n  {\"x\": null}\n]\n");
    fv_table_release(&table);
}

/* A table that was filled wrongly is refused in all forms, and leaks nothing. */
static void wrong_cells(void **state) {
    (void)state;
    fv_table table;
    char *text;
    json_t *rows;
    begin(&table);
    fv_table_text(&table, "a");
    assert_int_equal(fv_table_render(&table, FV_FORMAT_CSV, &text), FV_BAD_INPUT);
    assert_null(text);
    assert_string_equal(fv_error_message(), "table: the last row has 1 cells: expected 5");
    fv_table_text(&table, "a count is due");
    add_empty(&table);
    fv_table_text(&table, "good once more");
    assert_int_equal(fv_table_rows(&table, &rows), FV_BAD_INPUT);
    assert_null(rows);
    assert_string_equal(fv_error_message(), "table: column 'count' was given a cell of another kind");
    fv_table_release(&table);
    begin(&table);
    assert_int_equal(fv_table_render(&table, FV_FORMATS, &text), FV_BAD_INPUT);
    fv_table_release(&table);
}

/* Rows beyond the first allocation. */
static void many_rows(void **state) {
    (void)state;
    fv_table table;
    json_t *rows;
    begin(&table);
    for (int i = 0; i < 1000; ++i)
        add(&table, "row", i, i, i % 2, "x");
    assert_int_equal(fv_table_rows(&table, &rows), FV_OK);
    assert_int_equal(json_array_size(rows), 1000);
    for (size_t i = 0; i < 1000; ++i)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, i), "count")), i);
    json_decref(rows);
    fv_table_release(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal),    cmocka_unit_test(without_rows), cmocka_unit_test(csv),
        cmocka_unit_test(markdown),    cmocka_unit_test(json),         cmocka_unit_test(reals),
        cmocka_unit_test(wrong_cells), cmocka_unit_test(many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
