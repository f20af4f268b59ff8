#include "cli/bench_pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The rival's best may be another of its kernels than it was. */
static int by_variant(const fv_bench_row *a, const fv_bench_row *b) {
    int order = strcmp(a->op, b->op);
    order = order ? order : strcmp(a->pass, b->pass);
    order = order ? order : strcmp(a->dtype, b->dtype);
    order = order ? order : strcmp(a->backend, b->backend);
    order = order ? order : a->rival - b->rival;
    order = order || a->rival ? order : strcmp(a->kernel, b->kernel);
    return order ? order : strcmp(a->layout, b->layout);
}

/* Rows of one record, the same variants in their order. */
static int by_variant_and_place(const void *a, const void *b) {
    const fv_bench_row *x = *(const fv_bench_row *const *)a, *y = *(const fv_bench_row *const *)b;
    const int order = by_variant(x, y);
    return order ? order : (x > y) - (x < y);
}

/* Pairs in the order of the new record's rows; those without one, in the order of the old one's, come last. */
static int by_place(const void *a, const void *b) {
    const fv_bench_pair *x = a, *y = b;
    if (!x->new || !y->new)
        return x->new ? -1 : y->new ? 1 : (x->old > y->old) - (x->old < y->old);
    return (x->new > y->new) - (x->new < y->new);
}

/* Pointers to the rows, sorted; from malloc. */
static const fv_bench_row **sorted(const fv_bench_record *record) {
    const fv_bench_row **rows = calloc((size_t)record->count + 1, sizeof *rows);
    for (int64_t i = 0; rows && i < record->count; ++i)
        rows[i] = &record->rows[i];
    if (rows)
        qsort(rows, (size_t)record->count, sizeof *rows, by_variant_and_place);
    return rows;
}

static int64_t merge(const fv_bench_row **old, int64_t old_count, const fv_bench_row **new, int64_t new_count,
                     fv_bench_pair *pairs) {
    int64_t count = 0;
    for (int64_t i = 0, j = 0; i < old_count || j < new_count;) {
        const int order = i == old_count ? 1 : j == new_count ? -1 : by_variant(old[i], new[j]);
        pairs[count++] = (fv_bench_pair){order <= 0 ? old[i] : NULL, order >= 0 ? new[j] : NULL};
        i += order <= 0;
        j += order >= 0;
    }
    return count;
}

fv_status fv_bench_find_pairs(const fv_bench_record *old, const fv_bench_record *new, fv_bench_pair **pairs,
                              int64_t *count) {
    const fv_bench_row **old_rows = sorted(old), **new_rows = sorted(new);
    *count = 0;
    *pairs = calloc((size_t)(old->count + new->count) + 1, sizeof **pairs);
    const bool there = old_rows && new_rows && *pairs;
    if (there) {
        *count = merge(old_rows, old->count, new_rows, new->count, *pairs);
        qsort(*pairs, (size_t)*count, sizeof **pairs, by_place);
    }
    free(old_rows);
    free(new_rows);
    return there ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for the comparison of two records");
}

bool fv_bench_is_timed(const fv_bench_row *row) {
    return row && row->state == FV_BENCH_TIMED;
}

double fv_bench_ratio_of(const fv_bench_pair *p) {
    if (!fv_bench_is_timed(p->old) || !fv_bench_is_timed(p->new) || !(p->old->timing.summary.median > 0) ||
        !(p->new->timing.summary.median > 0))
        return NAN;
    return p->old->timing.summary.median / p->new->timing.summary.median;
}

fv_bench_change fv_bench_change_of(const fv_bench_pair *p) {
    if (!fv_bench_is_timed(p->old) || !fv_bench_is_timed(p->new))
        return FV_BENCH_NO_PAIR;
    const fv_summary *old = &p->old->timing.summary, *new = &p->new->timing.summary;
    return new->high < old->low ? FV_BENCH_FASTER : new->low > old->high ? FV_BENCH_SLOWER : FV_BENCH_SAME;
}

void fv_bench_describe_change(const fv_bench_pair *p, char text[96]) {
    static const char *const words[] = {
        [FV_BENCH_SAME] = "same", [FV_BENCH_FASTER] = "faster", [FV_BENCH_SLOWER] = "slower"};
    const fv_bench_change kind = fv_bench_change_of(p);
    if (kind != FV_BENCH_NO_PAIR)
        snprintf(text, 96, "%s", words[kind]);
    else if (!p->old || !p->new)
        snprintf(text, 96, "only in the %s record", p->old ? "old" : "new");
    else if (p->old->state == p->new->state)
        snprintf(text, 96, "%s in both", fv_bench_state_name(p->new->state));
    else if (fv_bench_is_timed(p->new))
        snprintf(text, 96, "was %s", fv_bench_state_name(p->old->state));
    else
        snprintf(text, 96, "now %s", fv_bench_state_name(p->new->state));
}
