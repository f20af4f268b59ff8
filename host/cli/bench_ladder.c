/* The ladder of optimisations: for each family and pass the variants from the slowest to the fastest, the rival among
 * them, and why each is there. */
#include "cli/bench_ladder.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cases/lines.h"
#include "cli/bench_rows.h"

/* ---- reasons ---- */

/* Cuts the first word of a line, as far as the member holds. */
static bool take_word(const char **line, char word[96]) {
    return fv_next_word(line, word) == FV_OK && word[0];
}

static fv_status read_reason(void *user, const fv_place *place, const char *line, const char *label) {
    (void)place, (void)label;
    fv_reasons *reasons = user;
    fv_reason reason = {.why = NULL};
    const bool named = take_word(&line, reason.operation) && take_word(&line, reason.kernel);
    const size_t length = strlen(reason.kernel);
    while (isspace((unsigned char)*line))
        ++line;
    if (!named || length < 2 || reason.kernel[length - 1] != ':' || !*line)
        return fv_fail(FV_BAD_INPUT, "expected 'OPERATION KERNEL: why'");
    reason.kernel[length - 1] = '\0';
    if (fv_reasons_find(reasons, reason.operation, reason.kernel)[0])
        return fv_fail(FV_BAD_INPUT, "a second line for %s %s", reason.operation, reason.kernel);
    if (reasons->count == reasons->capacity) {
        const int64_t capacity = reasons->capacity ? 2 * reasons->capacity : 64;
        fv_reason *grown = reallocarray(reasons->items, (size_t)capacity, sizeof *grown);
        if (!grown)
            return fv_fail(FV_NO_MEMORY, "no memory for %lld lines", (long long)capacity);
        reasons->items = grown;
        reasons->capacity = capacity;
    }
    reason.why = strdup(line);
    if (!reason.why)
        return fv_fail(FV_NO_MEMORY, "no memory for the line");
    reasons->items[reasons->count++] = reason;
    return FV_OK;
}

fv_status fv_reasons_read(fv_reasons *reasons, const char *path) {
    return fv_each_line_of_file(path, read_reason, reasons);
}

void fv_reasons_release(fv_reasons *reasons) {
    for (int64_t i = 0; i < reasons->count; ++i)
        free(reasons->items[i].why);
    free(reasons->items);
    *reasons = (fv_reasons){.items = NULL};
}

const char *fv_reasons_find(const fv_reasons *reasons, const char *operation, const char *kernel) {
    for (int64_t i = 0; i < reasons->count; ++i)
        if (!strcmp(reasons->items[i].operation, operation) && !strcmp(reasons->items[i].kernel, kernel))
            return reasons->items[i].why;
    return "";
}

/* ---- one ladder ---- */

enum { MOST_RUNGS = 64 };

/* A variant on the cases of a family's pass; the rival's best is one, too. */
typedef struct rung {
    char name[64], operation[96];
    bool rival;
    bool explained;           /* it is of our kernels, which the reasons are about */
    int64_t cases, wrong;     /* timed; and wrong, so not timed */
    fv_geomean vendor, share; /* the rival's time, and the floor's, over this one's */
    double example;           /* median on the first case, seconds; 0: not timed */
    double height;            /* what the rungs are sorted by */
} rung;

typedef struct ladder {
    const fv_bench_record *record;
    const fv_bench_row *first; /* whose family, pass and dtype it is, and the example */
    rung rungs[MOST_RUNGS];
    int count;
} ladder;

/* The rung of a row's variant, which is added if it is new; NULL: there are too many. */
static rung *find_rung(ladder *l, const fv_bench_row *row) {
    char name[sizeof l->rungs[0].name];
    if (row->rival)
        snprintf(name, sizeof name, "%s's best", row->backend);
    else
        snprintf(name, sizeof name, "%s", row->kernel);
    for (int i = 0; i < l->count; ++i)
        if (l->rungs[i].rival == row->rival && !strcmp(l->rungs[i].name, name))
            return &l->rungs[i];
    if (l->count == MOST_RUNGS)
        return NULL;
    rung *new = &l->rungs[l->count++];
    *new = (rung){.rival = row->rival};
    new->explained = !strcmp(row->backend, "cuda") || !strcmp(row->backend, "emulated");
    snprintf(new->name, sizeof new->name, "%s", name);
    const char *text = row->op;
    if (fv_next_word(&text, new->operation) != FV_OK)
        new->operation[0] = '\0';
    return new;
}

static void count_row(ladder *l, const fv_bench_row *row, const fv_bench_row *rival, bool is_first) {
    rung *r = find_rung(l, row);
    if (!r)
        return;
    const double seconds = row->timing.summary.median;
    r->wrong += row->state == FV_BENCH_WRONG;
    if (row->state != FV_BENCH_TIMED || !(seconds > 0))
        return;
    ++r->cases;
    if (rival)
        fv_geomean_add(&r->vendor, rival->timing.summary.median / seconds);
    if (row->floor.seconds > 0)
        fv_geomean_add(&r->share, row->floor.seconds / seconds);
    if (is_first)
        r->example = seconds;
}

/* Ours, row for row, and of the rival its best in NHWC. */
static void count_case(ladder *l, int64_t begin, int64_t end, bool is_first) {
    const fv_bench_row *rival = fv_bench_rival(l->record, begin, end, "nhwc");
    for (int64_t i = begin; i < end; ++i)
        if (!l->record->rows[i].rival)
            count_row(l, &l->record->rows[i], rival, is_first);
    if (rival)
        count_row(l, rival, rival, is_first);
}

static int by_height(const void *a, const void *b) {
    const rung *first = a, *second = b;
    const int order = (first->height > second->height) - (first->height < second->height);
    return order ? order : strcmp(first->name, second->name);
}

/* From the slowest to the fastest: by the rival's time if each was compared with it, else by the floor's. What was not
 * timed is at the bottom. */
static void sort_rungs(ladder *l) {
    bool compared = true;
    for (int i = 0; i < l->count; ++i)
        compared &= !l->rungs[i].cases || l->rungs[i].vendor.count;
    for (int i = 0; i < l->count; ++i)
        l->rungs[i].height = fv_geomean_value(compared ? &l->rungs[i].vendor : &l->rungs[i].share);
    qsort(l->rungs, (size_t)l->count, sizeof l->rungs[0], by_height);
}

/* ---- Markdown, to stand below a heading of the fourth level in benchmarks/RESULTS.md ---- */

static void put_mean(fv_table *table, const fv_geomean *mean) {
    if (mean->count)
        fv_table_real(table, 100 * fv_geomean_value(mean));
    else
        fv_table_empty(table);
}

static void put_rung(fv_table *table, const rung *r, bool compared, const fv_reasons *reasons) {
    const char *reason = r->explained ? fv_reasons_find(reasons, r->operation, r->name) : "";
    char why[1024] = "";
    if (r->wrong)
        fv_append(why, sizeof why, "wrong in %lld case%s", (long long)r->wrong, r->wrong > 1 ? "s" : "");
    fv_append(why, sizeof why, "%s%s", *why && *reason ? "; " : "", reason);
    fv_table_text(table, r->name);
    fv_table_count(table, r->cases);
    if (compared)
        put_mean(table, &r->vendor);
    put_mean(table, &r->share);
    if (r->example > 0)
        fv_table_real(table, 1e6 * r->example);
    else
        fv_table_empty(table);
    fv_table_text(table, why);
}

static fv_status print_rungs(const ladder *l, const fv_reasons *reasons) {
    const bool compared = l->record->against[0] != '\0';
    char vendor[32], name[FV_BENCH_NAME_SIZE], example[FV_BENCH_NAME_SIZE + 8];
    snprintf(vendor, sizeof vendor, "%% of %s", l->record->against);
    fv_bench_case_name(l->first, name);
    snprintf(example, sizeof example, "us on %s", name);
    fv_column columns[6];
    size_t count = 0;
    columns[count++] = (fv_column){"variant", "variant", FV_CELL_TEXT, 0};
    columns[count++] = (fv_column){"cases", "cases", FV_CELL_COUNT, 0};
    if (compared)
        columns[count++] = (fv_column){"vendor", vendor, FV_CELL_REAL, 3};
    columns[count++] = (fv_column){"floor", "% of floor", FV_CELL_REAL, 3};
    columns[count++] = (fv_column){"example", example, FV_CELL_REAL, 4};
    columns[count++] = (fv_column){"why", "why", FV_CELL_TEXT, 0};
    fv_table table;
    fv_table_begin(&table, columns, count);
    for (int i = 0; i < l->count; ++i)
        put_rung(&table, &l->rungs[i], compared, reasons);
    const fv_status status = fv_table_print(&table, FV_FORMAT_MARKDOWN);
    fv_table_release(&table);
    return status;
}

/* The ladder of the case that begins at `begin` and of all later ones like it. */
static fv_status print_ladder(const fv_bench_record *record, int64_t begin, const fv_reasons *reasons) {
    ladder *l = calloc(1, sizeof *l);
    if (!l)
        return fv_fail(FV_NO_MEMORY, "no memory for a ladder of %d rungs", MOST_RUNGS);
    *l = (ladder){.record = record, .first = &record->rows[begin]};
    for (int64_t at = begin, end; at < record->count; at = end) {
        end = fv_bench_case_end(record, at);
        if (fv_bench_same_group(l->first, &record->rows[at]))
            count_case(l, at, end, at == begin);
    }
    sort_rungs(l);
    fv_say("%s##### %s, %s, %s\n\n", begin ? "\n" : "", l->first->family, l->first->pass, l->first->dtype);
    const fv_status status = print_rungs(l, reasons);
    free(l);
    return status;
}

/* A case like it came before. */
static bool is_told(const fv_bench_record *record, int64_t begin) {
    for (int64_t at = 0; at < begin; ++at)
        if (fv_bench_same_group(&record->rows[begin], &record->rows[at]))
            return true;
    return false;
}

fv_status fv_bench_print_ladder(const fv_bench_record *record, const fv_reasons *reasons) {
    for (int64_t begin = 0; begin < record->count; begin = fv_bench_case_end(record, begin))
        if (!is_told(record, begin))
            FV_TRY(print_ladder(record, begin, reasons));
    return FV_OK;
}
