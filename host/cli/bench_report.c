/* The report of fovea bench: where and how, line by line, means, and a verdict; all of it from the record. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/bench_rows.h"
#include "ops/op.h"

enum { LINE_SIZE = 2048 };

/* ---- where and how: a line each, in Markdown the items of a list ---- */

/* "cuda (NVIDIA H200, CUDA 13.0) against cudnn (...)" */
static void say_backends(const fv_bench_record *record, fv_format format) {
    char line[LINE_SIZE] = "";
    fv_append(line, sizeof line, "%s (%s)", record->backend, record->description);
    if (*record->against)
        fv_append(line, sizeof line, " against %s (%s)", record->against, record->against_description);
    fv_bench_say_item(format, line);
}

/* Bytes as "60 MiB". */
static void add_bytes(char line[LINE_SIZE], int64_t bytes, const char *what) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; ++unit)
        value /= 1024;
    if (bytes > 0)
        fv_append(line, LINE_SIZE, ", %.4g %s %s", value, units[unit], what);
}

static void say_machine(const fv_bench_record *record, fv_format format) {
    const fv_machine *machine = &record->machine;
    char line[LINE_SIZE] = "";
    fv_append(line, sizeof line, "device: %s", *machine->device ? machine->device : "not known");
    if (machine->units)
        fv_append(line, sizeof line, ", %d units", machine->units);
    add_bytes(line, machine->cache, "of cache");
    add_bytes(line, machine->memory, "of memory");
    if (*machine->libraries)
        fv_append(line, sizeof line, "; %s", machine->libraries);
    fv_bench_say_item(format, line);
}

static void say_ceilings(const fv_bench_record *record, fv_format format) {
    const fv_ceilings *ceilings = &record->ceilings;
    char line[LINE_SIZE] = "ceilings: ";
    if (ceilings->copy > 0)
        fv_append(line, sizeof line, "copy %.4g GB/s", 1e-9 * ceilings->copy);
    else
        fv_append(line, sizeof line, "copy not known");
    for (fv_dtype dtype = 0; dtype < FV_DTYPES; ++dtype)
        if (ceilings->product[dtype] > 0)
            fv_append(line, sizeof line, ", %s product %.4g TFLOP/s%s%s", fv_dtype_name(dtype),
                      1e-12 * ceilings->product[dtype], *ceilings->product_by[dtype] ? " by " : "",
                      ceilings->product_by[dtype]);
    if (*ceilings->measured)
        fv_append(line, sizeof line, "; measured %s%s", ceilings->measured,
                  ceilings->cached ? ", in an earlier run" : "");
    fv_bench_say_item(format, line);
}

static bool is_known(const fv_conditions *conditions) {
    return conditions->clock || conditions->memory_clock || conditions->temperature || conditions->power > 0 ||
           *conditions->throttled;
}

static void add_conditions(char line[LINE_SIZE], const char *when, const fv_conditions *conditions) {
    fv_append(line, LINE_SIZE, "%s", when);
    if (conditions->clock)
        fv_append(line, LINE_SIZE, " %d MHz", conditions->clock);
    if (conditions->memory_clock)
        fv_append(line, LINE_SIZE, " (memory %d)", conditions->memory_clock);
    if (conditions->temperature)
        fv_append(line, LINE_SIZE, " %d C", conditions->temperature);
    if (conditions->power > 0)
        fv_append(line, LINE_SIZE, " %.0f W", conditions->power);
    if (*conditions->throttled)
        fv_append(line, LINE_SIZE, " THROTTLED (%s)", conditions->throttled);
    if (!is_known(conditions))
        fv_append(line, LINE_SIZE, " not known");
}

static void say_conditions(const fv_bench_record *record, fv_format format) {
    char line[LINE_SIZE] = "conditions: ";
    if (!is_known(&record->before) && !is_known(&record->after))
        return;
    add_conditions(line, "before", &record->before);
    add_conditions(line, "; after", &record->after);
    fv_bench_say_item(format, line);
}

static void say_protocol(const fv_bench_record *record, fv_format format) {
    const fv_protocol *protocol = &record->protocol;
    char line[LINE_SIZE] = "";
    fv_append(line, sizeof line,
              "protocol: median of at least %" PRId64
              " samples and %.3g s, until the spread is below %.3g %% or %.3g s are over; %s caches; seed %" PRIu64,
              protocol->samples, protocol->least, 100 * protocol->noise, protocol->most,
              protocol->warm ? "warm" : "cold", record->seed);
    fv_bench_say_item(format, line);
}

static void say_origin(const fv_bench_record *record, fv_format format) {
    char line[LINE_SIZE] = "";
    fv_append(line, sizeof line, "Fovea %s%s%s%s%s", record->version, *record->commit ? ", commit " : "",
              record->commit, *record->date ? ", " : "", record->date);
    if (*record->sweep)
        fv_append(line, sizeof line, "; sweep of %s", record->sweep);
    fv_bench_say_item(format, line);
    if (*record->command)
        fv_bench_say_item(format, record->command);
}

static void say_head(const fv_bench_record *record, fv_format format) {
    say_backends(record, format);
    say_machine(record, format);
    say_ceilings(record, format);
    say_conditions(record, format);
    say_protocol(record, format);
    say_origin(record, format);
    fv_say("\n");
}

/* ---- means ---- */

static void put_mean(fv_table *table, const fv_geomean *mean, double unit) {
    if (mean->count)
        fv_table_real(table, unit * fv_geomean_value(mean));
    else
        fv_table_empty(table);
}

static void put_ratios(fv_table *table, const fv_geomean *mean) {
    put_mean(table, mean, 1);
    if (mean->count)
        fv_table_real(table, mean->worst);
    else
        fv_table_empty(table);
}

static fv_status say_groups(const fv_bench_record *record, fv_format format) {
    static const fv_column columns[] = {
        {"family", "family", FV_CELL_TEXT, 0},
        {"pass", "pass", FV_CELL_TEXT, 0},
        {"dtype", "dtype", FV_CELL_TEXT, 0},
        {"cases", "cases", FV_CELL_COUNT, 0},
        {"percent_of_floor", "% of floor", FV_CELL_REAL, 3},
        {"compared", "compared", FV_CELL_COUNT, 0},
        {"fastest", "ratio of fastest", FV_CELL_REAL, 3},
        {"fastest_worst", "its worst", FV_CELL_REAL, 3},
        {"chosen", "ratio of chosen", FV_CELL_REAL, 3},
        {"chosen_worst", "its worst", FV_CELL_REAL, 3},
    };
    const size_t column_count = sizeof columns / sizeof columns[0], without_rival = 5;
    fv_bench_group *groups;
    int64_t count;
    fv_table table;
    FV_TRY(fv_bench_groups(record, &groups, &count));
    fv_table_begin(&table, columns, *record->against ? column_count : without_rival);
    for (int64_t i = 0; i < count; ++i) {
        fv_table_text(&table, groups[i].family);
        fv_table_text(&table, groups[i].pass);
        fv_table_text(&table, groups[i].dtype);
        fv_table_count(&table, groups[i].cases);
        put_mean(&table, &groups[i].share, 100);
        if (!*record->against)
            continue;
        fv_table_count(&table, groups[i].fastest.count);
        put_ratios(&table, &groups[i].fastest);
        put_ratios(&table, &groups[i].chosen);
    }
    free(groups);
    fv_status status = FV_OK;
    if (count) {
        fv_bench_say_strong(format, "geometric means");
        fv_say("\n");
        status = fv_table_print(&table, format);
    }
    fv_table_release(&table);
    return status;
}

/* ---- the verdict ---- */

/* How often something happened, and to whom first. */
typedef struct tally {
    int64_t count;
    const fv_bench_row *first;
} tally;

static void note(tally *t, const fv_bench_row *row) {
    t->first = t->count++ ? t->first : row;
}

/* "; 2 are wrong" */
static void add_count(char line[LINE_SIZE], int64_t count, const char *one, const char *many) {
    if (count)
        fv_append(line, LINE_SIZE, "; %" PRId64 " %s", count, count == 1 ? one : many);
}

/* "; 2 are wrong (first: cuda direct_tile on VGG-19 3_2, forward)" */
static void add_tally(char line[LINE_SIZE], const tally *t, const char *one, const char *many) {
    char name[FV_BENCH_NAME_SIZE];
    add_count(line, t->count, one, many);
    if (!t->count)
        return;
    fv_bench_case_name(t->first, name);
    fv_append(line, LINE_SIZE, " (%s%s %s on %s, %s)", t->count > 1 ? "first: " : "", t->first->backend,
              t->first->kernel, name, t->first->pass);
}

/* Whether two rows are of one operation, in whatever dtype. */
static bool same_operation(const fv_bench_row *a, const fv_bench_row *b) {
    fv_operation x, y;
    char in_f64[2][sizeof a->op];
    if (strcmp(a->label, b->label) != 0 || fv_operation_parse(a->op, &x) != FV_OK ||
        fv_operation_parse(b->op, &y) != FV_OK)
        return false;
    fv_operation_set_dtype(&x, FV_F64);
    fv_operation_set_dtype(&y, FV_F64);
    fv_operation_print(&x, in_f64[0], sizeof in_f64[0]);
    fv_operation_print(&y, in_f64[1], sizeof in_f64[1]);
    return !strcmp(in_f64[0], in_f64[1]);
}

/* Cases in the record, all passes and dtypes of one together; a case that is given twice is two. */
static int64_t count_cases(const fv_bench_record *record) {
    const fv_bench_row *first = NULL; /* of the case */
    int64_t count = 0;
    for (int64_t begin = 0; begin < record->count; begin = fv_bench_case_end(record, begin)) {
        const fv_bench_row *row = &record->rows[begin];
        const bool again = first && !strcmp(row->pass, first->pass) && !strcmp(row->dtype, first->dtype);
        if (first && !again && same_operation(row, first))
            continue;
        first = row;
        ++count;
    }
    return count;
}

static void say_verdict(const fv_bench_record *record, fv_format format) {
    char line[LINE_SIZE] = "";
    tally states[FV_BENCH_STATES] = {{0}};
    int64_t ours = 0, unproved = 0, unsettled = 0;
    for (int64_t i = 0; i < record->count; ++i) {
        const fv_bench_row *row = &record->rows[i];
        const bool timed = row->state == FV_BENCH_TIMED;
        note(&states[row->state], row);
        ours += timed && !row->rival;
        unproved += timed && !row->verified;
        unsettled += timed && !row->timing.settled;
    }
    const int64_t cases = count_cases(record), rivals = states[FV_BENCH_TIMED].count - ours;
    if (!record->complete)
        fv_append(line, sizeof line, "stopped before the end; ");
    fv_append(line, sizeof line, "timed %" PRId64 " variant%s on %" PRId64 " case%s", ours, ours == 1 ? "" : "s", cases,
              cases == 1 ? "" : "s");
    if (!record->count && !record->unsupported && record->complete)
        fv_append(line, sizeof line, ": no kernel matches");
    if (*record->against)
        fv_append(line, sizeof line, ", %s %" PRId64 " time%s", record->against, rivals, rivals == 1 ? "" : "s");
    add_tally(line, &states[FV_BENCH_WRONG], "is wrong", "are wrong");
    add_tally(line, &states[FV_BENCH_FAILED], "failed", "failed");
    add_count(line, states[FV_BENCH_NO_MEMORY].count, "found no memory", "found no memory");
    add_count(line, unproved, "has no bound", "have no bound");
    add_count(line, unsettled, "did not settle", "did not settle");
    fv_bench_say_strong(format, line);
}

static void say_unsupported(const fv_bench_record *record) {
    char line[LINE_SIZE] = "";
    if (!record->unsupported)
        return;
    fv_append(line, sizeof line, "no variant supports %" PRId64 " of the cases' passes%s%s", record->unsupported,
              *record->first_unsupported ? "; the first: " : "", record->first_unsupported);
    fv_say("\n");
    fv_bench_say_plain(line);
    fv_say("\n");
}

/* No kernel can do less than the floor asks, unless it does less arithmetic than it seems to. */
static void say_doubts(const fv_bench_record *record) {
    int64_t faster = 0;
    for (int64_t i = 0; i < record->count; ++i) {
        const fv_bench_row *row = &record->rows[i];
        faster += row->state == FV_BENCH_TIMED && row->timing.summary.high < row->floor.seconds;
    }
    if (faster)
        fv_say(
            "\n%" PRId64 " variant%s faster than the floor: the ceilings were measured on a busy machine "
            "(--measure-ceilings: again), memory reads faster than it copies, or arithmetic is saved, as by Winograd\n",
            faster, faster == 1 ? " is" : "s are");
}

/* ---- the whole ---- */

static fv_status say_json(const fv_bench_record *record) {
    char *text;
    FV_TRY(fv_bench_to_text(record, &text));
    fv_say("%s\n", text);
    free(text);
    return FV_OK;
}

fv_status fv_bench_print(const fv_bench_record *record, fv_format format) {
    if (format == FV_FORMAT_JSON)
        return say_json(record);
    if (format == FV_FORMAT_CSV)
        return fv_bench_say_csv(record);
    say_head(record, format);
    if (record->count)
        FV_TRY(fv_bench_say_rows(record, format));
    FV_TRY(say_groups(record, format));
    say_unsupported(record);
    say_doubts(record);
    say_verdict(record, format);
    return FV_OK;
}
