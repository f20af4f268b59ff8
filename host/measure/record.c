#include "measure/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

fv_status fv_bench_record_add(fv_bench_record *record, const fv_bench_row *row) {
    if (record->count == record->capacity) {
        const int64_t capacity = record->capacity ? 2 * record->capacity : 16;
        fv_bench_row *grown = reallocarray(record->rows, (size_t)capacity, sizeof *grown);
        if (!grown)
            return fv_fail(FV_NO_MEMORY, "no memory for a record of %lld rows", (long long)capacity);
        record->rows = grown;
        record->capacity = capacity;
    }
    record->rows[record->count++] = *row;
    return FV_OK;
}

void fv_bench_record_release(fv_bench_record *record) {
    free(record->rows);
    *record = (fv_bench_record){0};
}

bool fv_bench_same_problem(const fv_bench_row *a, const fv_bench_row *b) {
    return !strcmp(a->op, b->op) && !strcmp(a->pass, b->pass) && !strcmp(a->dtype, b->dtype) &&
           !strcmp(a->label, b->label);
}

bool fv_bench_same_group(const fv_bench_row *a, const fv_bench_row *b) {
    return !strcmp(a->family, b->family) && !strcmp(a->pass, b->pass) && !strcmp(a->dtype, b->dtype);
}

static bool same_variant(const fv_bench_row *a, const fv_bench_row *b) {
    return a->rival == b->rival && !strcmp(a->backend, b->backend) && !strcmp(a->kernel, b->kernel) &&
           !strcmp(a->layout, b->layout);
}

/* A case that is given twice in a row is two: the second one begins with ours behind the rival's, or with the first
 * variant once more. */
int64_t fv_bench_case_end(const fv_bench_record *record, int64_t begin) {
    const fv_bench_row *rows = record->rows;
    int64_t end = begin + 1;
    while (end < record->count && fv_bench_same_problem(&rows[begin], &rows[end]) &&
           rows[end].rival >= rows[end - 1].rival && !same_variant(&rows[begin], &rows[end]))
        ++end;
    return end < record->count ? end : record->count;
}

const fv_bench_row *fv_bench_fastest(const fv_bench_record *record, int64_t begin, int64_t end) {
    const fv_bench_row *fastest = NULL;
    for (int64_t i = begin; i < end; ++i) {
        const fv_bench_row *row = &record->rows[i];
        if (!row->rival && !row->yardstick && row->state == FV_BENCH_TIMED &&
            (!fastest || row->timing.summary.median < fastest->timing.summary.median))
            fastest = row;
    }
    return fastest;
}

const fv_bench_row *fv_bench_chosen(const fv_bench_record *record, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
        if (!record->rows[i].rival && record->rows[i].chosen)
            return &record->rows[i];
    return NULL;
}

const fv_bench_row *fv_bench_rival(const fv_bench_record *record, int64_t begin, int64_t end, const char *layout) {
    const fv_bench_row *fastest = NULL;
    for (int64_t i = begin; i < end; ++i) {
        const fv_bench_row *row = &record->rows[i];
        if (row->rival && row->state == FV_BENCH_TIMED && !row->wrong && !strcmp(row->layout, layout) &&
            (!fastest || row->timing.summary.median < fastest->timing.summary.median))
            fastest = row;
    }
    return fastest;
}
