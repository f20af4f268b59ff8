/* Every variant of a backend on every case, proved right and timed, beside the best that another backend can do. */
#ifndef FOVEA_MEASURE_BENCH_H
#define FOVEA_MEASURE_BENCH_H

#include "cases/cases.h"
#include "measure/problem.h"
#include "measure/record.h"

typedef struct fv_bench {
    /* what to do */
    fv_context *context;
    fv_context *rival; /* NULL: nothing is compared with */
    const fv_case_list *cases;
    bool (*selects)(void *user, const fv_kernel *kernel); /* NULL: every row of ours */
    fv_protocol protocol;
    uint64_t seed;
    double budget; /* of a proof, in multiply-accumulates: see fv_excerpt_begin */
    /* Before each variant (ours or the rival's), and after it (false: stop); each may be NULL. Of the row that begins,
     * the case, backend and kernel are set. */
    void (*on_begin)(void *user, const fv_bench_row *row);
    bool (*on_end)(void *user, int64_t case_index);
    void *user;

    /* What came out: the rows, and what no variant supports; the rest of the record is the caller's. Rows that are there
     * when it begins are of an earlier run on the same cases that did not get to the end: their variants are not measured
     * again, whatever became of them, and this one goes on behind the last. */
    fv_bench_record *record;
} fv_bench;

/* Runs it. What goes wrong with a variant is in its row; a status other than FV_OK means that measuring itself was not
 * possible. record->complete tells whether everything was measured: it is not if on_end stopped it, or if a kernel broke
 * the device, after which nothing more can be measured. */
fv_status fv_bench_run(fv_bench *bench);

/* ---- a variant: variant.c ---- */

/* What is to be measured in one row of the record: the fastest of the ways of some kernels of one context. */
typedef struct fv_variant {
    const fv_problem *problem;
    const fv_scratch *scratch;
    const fv_protocol *protocol;
    const fv_kernel *kernels[16];
    int count;
    bool pinned; /* leave out ways whose arithmetic is less than the operation's dtype permits */
} fv_variant;

/* Measures it: several ways are timed briefly, and of the fastest that is not wrong everything is told. The row's case,
 * pass and floor are set before; the rest comes from this. *lost: a kernel broke the device. FV_UNSUPPORTED: no way
 * runs the case. */
fv_status fv_variant_measure(const fv_variant *variant, fv_bench_row *row, bool *lost);

#endif
