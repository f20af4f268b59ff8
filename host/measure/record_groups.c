/* Numbers that follow from a record. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "measure/record.h"

/* NAN for 0/0 and the like. */
static double quotient(double above, double below) {
    return above > 0 && below > 0 ? above / below : NAN;
}

fv_bench_figures fv_bench_figures_of(const fv_bench_row *row, const fv_bench_row *rival) {
    const bool timed = row->state == FV_BENCH_TIMED;
    const double median = timed ? row->timing.summary.median : NAN;
    const double floor = row->floor.seconds;
    return (fv_bench_figures){
        .median_us = 1e6 * median,
        .spread_percent = timed ? 100 * fv_spread(&row->timing.summary) : NAN,
        .tflops = 1e-12 * quotient((double)row->floor.flop, median),
        .gb_per_s = 1e-9 * quotient((double)row->floor.bytes, median),
        .floor_us = floor > 0 ? 1e6 * floor : NAN,
        .percent_of_floor = 100 * quotient(floor, median),
        .expected_us = row->expected > 0 ? 1e6 * row->expected : NAN,
        .times_expected = quotient(median, row->expected),
        .rival_us = rival ? 1e6 * rival->timing.summary.median : NAN,
        .ratio = rival && !row->rival ? quotient(rival->timing.summary.median, median) : NAN,
    };
}

/* The group that a row counts for, which is new if there is none; NULL: no memory. */
static fv_bench_group *find_group(fv_bench_group **groups, int64_t *count, const fv_bench_row *row) {
    for (int64_t i = 0; i < *count; ++i) {
        fv_bench_group *group = &(*groups)[i];
        if (!strcmp(group->family, row->family) && !strcmp(group->pass, row->pass) && !strcmp(group->dtype, row->dtype))
            return group;
    }
    fv_bench_group *grown = reallocarray(*groups, (size_t)*count + 1, sizeof *grown);
    if (!grown)
        return NULL;
    *groups = grown;
    fv_bench_group *group = &grown[(*count)++];
    *group = (fv_bench_group){0};
    memcpy(group->family, row->family, sizeof group->family);
    memcpy(group->pass, row->pass, sizeof group->pass);
    memcpy(group->dtype, row->dtype, sizeof group->dtype);
    return group;
}

/* Ratios that are none are not counted. */
static void add(fv_geomean *mean, double ratio) {
    if (ratio > 0)
        fv_geomean_add(mean, ratio);
}

fv_status fv_bench_groups(const fv_bench_record *record, fv_bench_group **groups, int64_t *count) {
    *groups = NULL;
    *count = 0;
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        const fv_bench_row *fastest = fv_bench_fastest(record, begin, end);
        const fv_bench_row *chosen = fv_bench_chosen(record, begin, end);
        const fv_bench_row *rival = fv_bench_rival(record, begin, end, "nhwc");
        if (!fastest)
            continue;
        fv_bench_group *group = find_group(groups, count, fastest);
        if (!group) {
            free(*groups);
            *groups = NULL;
            *count = 0;
            return fv_fail(FV_NO_MEMORY, "no memory for the means of a record");
        }
        ++group->cases;
        add(&group->fastest, fv_bench_figures_of(fastest, rival).ratio);
        add(&group->share, fv_bench_figures_of(fastest, rival).percent_of_floor / 100);
        if (chosen)
            add(&group->chosen, fv_bench_figures_of(chosen, rival).ratio);
    }
    return FV_OK;
}
