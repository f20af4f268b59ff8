/* The variants of two records that belong together: the same operation, pass, dtype, backend and layout; and of ours
 * the same kernel. */
#ifndef FOVEA_CLI_BENCH_PAIRS_H
#define FOVEA_CLI_BENCH_PAIRS_H

#include "measure/record.h"

/* One of them is NULL where only one record has the variant. */
typedef struct fv_bench_pair {
    const fv_bench_row *old, *new;
} fv_bench_pair;

typedef enum fv_bench_change {
    FV_BENCH_SAME, /* the intervals overlap */
    FV_BENCH_FASTER,
    FV_BENCH_SLOWER,
    FV_BENCH_NO_PAIR, /* not timed in both */
    FV_BENCH_CHANGES
} fv_bench_change;

/* In the order of the new record, then what only the old one has; from malloc, also on failure. A variant that a record
 * holds several times is paired in that order. The pairs point into the records. */
fv_status fv_bench_find_pairs(const fv_bench_record *old, const fv_bench_record *new, fv_bench_pair **pairs,
                              int64_t *count);

bool fv_bench_is_timed(const fv_bench_row *row); /* false for NULL */
fv_bench_change fv_bench_change_of(const fv_bench_pair *pair);

/* Old over new: above 1, the new one is faster. NAN unless both were timed. */
double fv_bench_ratio_of(const fv_bench_pair *pair);

/* "faster", or what became of a variant that has no two times: "was wrong", "only in the new record". */
void fv_bench_describe_change(const fv_bench_pair *pair, char text[96]);

#endif
