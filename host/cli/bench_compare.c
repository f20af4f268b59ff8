/* Two records of fovea bench side by side. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/bench_pairs.h"
#include "cli/bench_rows.h"

enum { LINE_SIZE = 2048 };

/* Ceilings that differ by more than this share are another chip's, or the same one's in another state. It decides about
 * a warning alone. */
static const double same_ceiling = 0.05;

typedef struct comparison {
    const char *paths[2];
    fv_bench_record records[2]; /* old and new */
    fv_bench_pair *pairs;       /* see fv_bench_find_pairs */
    int64_t count;
    int64_t changes[FV_BENCH_CHANGES];
    char verdict[LINE_SIZE], warning[LINE_SIZE];
} comparison;

/* ---- in words ---- */

static const fv_bench_row *either(const fv_bench_pair *p) {
    return p->new ? p->new : p->old;
}

static void add_largest(comparison *c, fv_bench_change kind, const char *word) {
    const fv_bench_pair *largest = NULL;
    char name[FV_BENCH_NAME_SIZE];
    for (int64_t i = 0; i < c->count; ++i) {
        const fv_bench_pair *p = &c->pairs[i];
        if (fv_bench_change_of(p) == kind &&
            (!largest || (kind == FV_BENCH_FASTER ? fv_bench_ratio_of(p) > fv_bench_ratio_of(largest)
                                                  : fv_bench_ratio_of(p) < fv_bench_ratio_of(largest))))
            largest = p;
    }
    if (!largest)
        return;
    fv_bench_case_name(largest->new, name);
    fv_append(c->verdict, LINE_SIZE, "%s%" PRId64 " %s (most: %s %s on %s, %s, %.3gx)", *c->verdict ? ", " : "",
              c->changes[kind], word, largest->new->backend, largest->new->kernel, name, largest->new->pass,
              fv_bench_ratio_of(largest));
}

static void decide(comparison *c) {
    for (int64_t i = 0; i < c->count; ++i)
        ++c->changes[fv_bench_change_of(&c->pairs[i])];
    const int64_t same = c->changes[FV_BENCH_SAME], apart = c->changes[FV_BENCH_NO_PAIR];
    if (c->changes[FV_BENCH_FASTER] + c->changes[FV_BENCH_SLOWER]) {
        add_largest(c, FV_BENCH_FASTER, "faster");
        add_largest(c, FV_BENCH_SLOWER, "slower");
        fv_append(c->verdict, LINE_SIZE, ", %" PRId64 " the same within noise", same);
    } else if (same) {
        fv_append(c->verdict, LINE_SIZE, "no difference: %" PRId64 " variant%s within %s noise", same,
                  same == 1 ? "" : "s", same == 1 ? "its" : "their");
    } else {
        fv_append(c->verdict, LINE_SIZE, "nothing to compare: no variant was timed in both records");
    }
    if (apart)
        fv_append(c->verdict, LINE_SIZE, "; %" PRId64 " not timed in both", apart);
}

static bool far_apart(double a, double b) {
    return fabs(a - b) > same_ceiling * fmax(a, b);
}

static bool is_dirty(const fv_bench_record *record) {
    static const char suffix[] = "-dirty";
    const size_t length = strlen(record->commit), end = strlen(suffix);
    return length >= end && !strcmp(record->commit + length - end, suffix);
}

/* What slowed the device down, at the end or else at the beginning. */
static const char *throttling(const fv_bench_record *record) {
    return *record->after.throttled    ? record->after.throttled
           : *record->before.throttled ? record->before.throttled
                                       : "none";
}

/* Pairs of times of which one has an interval that holds the median in fewer than 95 of 100 runs: see fv_summarize. */
static int64_t count_rough(const comparison *c) {
    enum { ENOUGH = 6 };
    int64_t count = 0;
    for (int64_t i = 0; i < c->count; ++i) {
        const fv_bench_pair *p = &c->pairs[i];
        count += fv_bench_change_of(p) != FV_BENCH_NO_PAIR &&
                 (p->old->timing.summary.samples < ENOUGH || p->new->timing.summary.samples < ENOUGH);
    }
    return count;
}

/* What stands in the way of comparing, in one line. */
static void warn(comparison *c) {
    const fv_bench_record *old = &c->records[0], *new = &c->records[1];
    char *line = c->warning;
    if (strcmp(old->machine.device, new->machine.device) != 0)
        fv_append(line, LINE_SIZE, "; another device: %s, then %s", old->machine.device, new->machine.device);
    if (strcmp(old->machine.libraries, new->machine.libraries) != 0)
        fv_append(line, LINE_SIZE, "; other libraries: %s, then %s", old->machine.libraries, new->machine.libraries);
    if (far_apart(old->ceilings.copy, new->ceilings.copy))
        fv_append(line, LINE_SIZE, "; copy ran at %.4g, then at %.4g GB/s", 1e-9 * old->ceilings.copy,
                  1e-9 * new->ceilings.copy);
    for (fv_dtype dtype = 0; dtype < FV_DTYPES; ++dtype)
        if (far_apart(old->ceilings.product[dtype], new->ceilings.product[dtype]))
            fv_append(line, LINE_SIZE, "; %s product ran at %.4g, then at %.4g TFLOP/s", fv_dtype_name(dtype),
                      1e-12 * old->ceilings.product[dtype], 1e-12 * new->ceilings.product[dtype]);
    if (old->protocol.warm != new->protocol.warm)
        fv_append(line, LINE_SIZE, "; %s caches, then %s", old->protocol.warm ? "warm" : "cold",
                  new->protocol.warm ? "warm" : "cold");
    const int64_t rough = count_rough(c);
    if (rough)
        fv_append(line, LINE_SIZE, "; %" PRId64 " variant%s fewer than 6 samples, too few to tell noise", rough,
                  rough == 1 ? " has" : "s have");
    if (strcmp(throttling(old), throttling(new)) != 0)
        fv_append(line, LINE_SIZE, "; throttling: %s, then %s", throttling(old), throttling(new));
    if (is_dirty(old) || is_dirty(new))
        fv_append(line, LINE_SIZE, "; %s changes that are in no commit",
                  is_dirty(old) && is_dirty(new) ? "both programs have"
                  : is_dirty(old)                ? "the old program has"
                                                 : "the new program has");
    if (!old->complete || !new->complete)
        fv_append(line, LINE_SIZE, "; %s stopped before the end",
                  !old->complete && !new->complete ? "both runs were"
                  : !old->complete                 ? "the old run was"
                                                   : "the new run was");
    memmove(line, line + (*line ? 2 : 0), strlen(line + (*line ? 2 : 0)) + 1);
}

/* ---- means of each family, of each backend: the rival's times tell whether the machine is the same ---- */

typedef struct family {
    const fv_bench_row *row; /* of which it has its name */
    fv_geomean mean;
} family;

static bool same_family(const fv_bench_row *a, const fv_bench_row *b) {
    return !strcmp(a->backend, b->backend) && fv_bench_same_group(a, b);
}

/* From malloc: at most one for each pair. */
static fv_status find_families(const comparison *c, family **families, int64_t *count) {
    *count = 0;
    *families = calloc((size_t)c->count + 1, sizeof **families);
    if (!*families)
        return fv_fail(FV_NO_MEMORY, "no memory for the means of a comparison");
    for (int64_t i = 0; i < c->count; ++i) {
        int64_t at = 0;
        if (isnan(fv_bench_ratio_of(&c->pairs[i])))
            continue;
        while (at < *count && !same_family((*families)[at].row, c->pairs[i].new))
            ++at;
        *count += at == *count;
        (*families)[at].row = c->pairs[i].new;
        fv_geomean_add(&(*families)[at].mean, fv_bench_ratio_of(&c->pairs[i]));
    }
    return FV_OK;
}

/* ---- tables ---- */

static const fv_column pair_columns[] = {
    {"case", "case", FV_CELL_TEXT, 0},       {"pass", "pass", FV_CELL_TEXT, 0},
    {"dtype", "dtype", FV_CELL_TEXT, 0},     {"backend", "backend", FV_CELL_TEXT, 0},
    {"kernel", "kernel", FV_CELL_TEXT, 0},   {"layout", "layout", FV_CELL_TEXT, 0},
    {"old_us", "old us", FV_CELL_REAL, 4},   {"old_spread_percent", "+- %", FV_CELL_REAL, 2},
    {"new_us", "new us", FV_CELL_REAL, 4},   {"new_spread_percent", "+- %", FV_CELL_REAL, 2},
    {"ratio", "old / new", FV_CELL_REAL, 4}, {"change", "change", FV_CELL_TEXT, 0},
};

static const fv_column family_columns[] = {
    {"backend", "backend", FV_CELL_TEXT, 0},    {"family", "family", FV_CELL_TEXT, 0},
    {"pass", "pass", FV_CELL_TEXT, 0},          {"dtype", "dtype", FV_CELL_TEXT, 0},
    {"variants", "variants", FV_CELL_COUNT, 0}, {"ratio", "old / new", FV_CELL_REAL, 4},
    {"worst", "worst", FV_CELL_REAL, 4},
};

static void put_time(fv_table *table, const fv_bench_row *row) {
    if (fv_bench_is_timed(row)) {
        const fv_bench_figures figures = fv_bench_figures_of(row, NULL);
        fv_table_real(table, figures.median_us);
        fv_table_real(table, figures.spread_percent);
    } else {
        fv_table_empty(table);
        fv_table_empty(table);
    }
}

/* For other programs the whole text of a case; for people its name. */
static void fill_pairs(fv_table *table, const comparison *c, bool whole_text) {
    fv_table_begin(table, pair_columns, sizeof pair_columns / sizeof pair_columns[0]);
    for (int64_t i = 0; i < c->count; ++i) {
        const fv_bench_row *row = either(&c->pairs[i]);
        char text[FV_BENCH_NAME_SIZE];
        fv_bench_case_name(row, text);
        fv_table_text(table, whole_text ? row->op : text);
        fv_table_text(table, row->pass);
        fv_table_text(table, row->dtype);
        fv_table_text(table, row->backend);
        fv_table_text(table, row->kernel);
        fv_table_text(table, row->layout);
        put_time(table, c->pairs[i].old);
        put_time(table, c->pairs[i].new);
        fv_bench_table_real(table, fv_bench_ratio_of(&c->pairs[i]));
        fv_bench_describe_change(&c->pairs[i], text);
        fv_table_text(table, text);
    }
}

static fv_status fill_families(fv_table *table, const comparison *c) {
    family *families;
    int64_t count;
    fv_table_begin(table, family_columns, sizeof family_columns / sizeof family_columns[0]);
    FV_TRY(find_families(c, &families, &count));
    for (int64_t i = 0; i < count; ++i) {
        fv_table_text(table, families[i].row->backend);
        fv_table_text(table, families[i].row->family);
        fv_table_text(table, families[i].row->pass);
        fv_table_text(table, families[i].row->dtype);
        fv_table_count(table, families[i].mean.count);
        fv_table_real(table, fv_geomean_value(&families[i].mean));
        fv_table_real(table, families[i].mean.worst);
    }
    free(families);
    return FV_OK;
}

/* ---- the whole ---- */

static void say_source(const comparison *c, int which, fv_format format) {
    const fv_bench_record *record = &c->records[which];
    char line[LINE_SIZE] = "";
    fv_append(line, sizeof line, "%s: %s on %s, commit %s, %s", which ? "new" : "old", c->paths[which],
              *record->machine.device ? record->machine.device : record->description,
              *record->commit ? record->commit : "not known", record->date);
    fv_bench_say_item(format, line);
}

static fv_status say_for_people(const comparison *c, const fv_table *pairs, const fv_table *families,
                                fv_format format) {
    say_source(c, 0, format);
    say_source(c, 1, format);
    fv_say("\n");
    FV_TRY(fv_table_print(pairs, format));
    if (families->cell_count) {
        fv_say("\n");
        FV_TRY(fv_table_print(families, format));
    }
    if (*c->warning) {
        char line[LINE_SIZE + 16];
        snprintf(line, sizeof line, "warning: %s", c->warning);
        fv_bench_say_strong(format, line);
    }
    fv_bench_say_strong(format, c->verdict);
    return FV_OK;
}

static fv_status say_json(const comparison *c, const fv_table *pairs, const fv_table *families) {
    json_t *pair_rows = NULL, *family_rows = NULL;
    FV_TRY(fv_table_rows(pairs, &pair_rows));
    const fv_status status = fv_table_rows(families, &family_rows);
    if (status != FV_OK) {
        json_decref(pair_rows);
        return status;
    }
    json_t *json =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "old", fv_json_text(c->paths[0]), "new",
                  fv_json_text(c->paths[1]), "variants", pair_rows, "families", family_rows, "warning",
                  fv_json_text(c->warning), "same", (json_int_t)c->changes[FV_BENCH_SAME], "faster",
                  (json_int_t)c->changes[FV_BENCH_FASTER], "slower", (json_int_t)c->changes[FV_BENCH_SLOWER],
                  "not_in_both", (json_int_t)c->changes[FV_BENCH_NO_PAIR], "verdict", fv_json_text(c->verdict));
    char *text = json ? json_dumps(json, JSON_INDENT(2) | FV_JSON_REALS) : NULL;
    json_decref(json);
    if (!text)
        return fv_fail(FV_NO_MEMORY, "no memory for a comparison as JSON");
    fv_say("%s\n", text);
    free(text);
    return FV_OK;
}

static fv_status say(const comparison *c, fv_format format) {
    fv_table pairs, families = {0};
    fv_status status;
    fill_pairs(&pairs, c, format == FV_FORMAT_JSON || format == FV_FORMAT_CSV);
    FV_TRY_GOTO(status, fill_families(&families, c), done);
    if (format == FV_FORMAT_JSON)
        status = say_json(c, &pairs, &families);
    else if (format == FV_FORMAT_CSV)
        status = fv_table_print(&pairs, format);
    else
        status = say_for_people(c, &pairs, &families, format);
done:
    fv_table_release(&pairs);
    fv_table_release(&families);
    return status;
}

fv_status fv_bench_compare(const char *old_path, const char *new_path, fv_format format) {
    comparison c = {.paths = {old_path, new_path}};
    fv_status status;
    FV_TRY_GOTO(status, fv_bench_read(&c.records[0], old_path), done);
    FV_TRY_GOTO(status, fv_bench_read(&c.records[1], new_path), done);
    FV_TRY_GOTO(status, fv_bench_find_pairs(&c.records[0], &c.records[1], &c.pairs, &c.count), done);
    decide(&c);
    warn(&c);
    status = say(&c, format);
done:
    free(c.pairs);
    fv_bench_record_release(&c.records[0]);
    fv_bench_record_release(&c.records[1]);
    return status;
}
