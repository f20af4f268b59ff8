/* Measuring one variant: which of its ways is fastest, whether that one is right, and how long it takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "measure/bench.h"
#include "ops/op.h"

/* How long a look at one of several ways may take: enough to tell which is fastest. One call says it of slow ones, of
 * which libraries have some that take a hundred times as long as their best. */
static const fv_protocol brief = {.samples = 1, .least = 0.002, .noise = 0.02, .most = 0.03};

typedef struct way {
    const fv_kernel *kernel;
    int number;
    double seconds; /* by the brief look */
} way;

typedef struct ways {
    way *items;
    int count, capacity;
} ways;

static fv_status add_way(ways *list, const fv_kernel *kernel, int number) {
    if (list->count == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 16;
        way *items = reallocarray(list->items, (size_t)capacity, sizeof *items);
        if (!items)
            return fv_fail(FV_NO_MEMORY, "no memory for a list of %d implementations", capacity);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (way){.kernel = kernel, .number = number};
    return FV_OK;
}

/* All ways of the variant's kernels. A kernel that cannot say how many it has has none. */
static fv_status list_ways(const fv_variant *variant, ways *list) {
    const fv_problem *problem = variant->problem;
    for (int k = 0; k < variant->count; ++k) {
        const fv_kernel *kernel = variant->kernels[k];
        int count = 0;
        if (fv_call_ways(problem->context, kernel, &problem->excerpt->op, &count) != FV_OK)
            continue;
        for (int i = 0; i < count; ++i)
            FV_TRY(add_way(list, kernel, i));
    }
    return FV_OK;
}

static bool has_less_arithmetic(const fv_call *call) {
    return fv_notes_fall_short(fv_operation_dtype(&call->op), fv_call_numerics(call).notes);
}

/* Prepares a way and its run; end both in any case. FV_UNSUPPORTED: it is not to be had. */
static fv_status open_way(const fv_variant *variant, const way *chosen, fv_call *call, fv_run *run) {
    const fv_problem *problem = variant->problem;
    *run = (fv_run){0};
    FV_TRY(fv_call_prepare_way(call, problem->context, chosen->kernel, &problem->excerpt->op, problem->excerpt->pass,
                               chosen->number));
    if (variant->pinned && has_less_arithmetic(call))
        return fv_fail(FV_UNSUPPORTED, "%s: its arithmetic is less than %s", chosen->kernel->name,
                       fv_dtype_name(fv_operation_dtype(&problem->excerpt->op)));
    return fv_run_begin(run, problem, call);
}

static void close_way(fv_call *call, fv_run *run) {
    fv_run_end(run);
    fv_call_release(call);
}

static int by_time(const void *a, const void *b) {
    const double x = ((const way *)a)->seconds, y = ((const way *)b)->seconds;
    return (x > y) - (x < y);
}

static void set_state(fv_bench_row *row, fv_bench_state state, const char *reason) {
    row->state = state;
    snprintf(row->reason, sizeof row->reason, "%.*s", (int)sizeof row->reason - 1, reason);
}

/* What is known of a kernel's call, which may not have come to be. */
static void describe(fv_bench_row *row, const fv_kernel *kernel, const fv_call *call) {
    const bool prepared = !kernel->prepare || call->state;
    const fv_numerics numerics = prepared ? fv_call_numerics(call) : (fv_numerics){0};
    snprintf(row->kernel, sizeof row->kernel, "%s", kernel->name);
    snprintf(row->implementation, sizeof row->implementation, "%s", numerics.description);
    row->workspace = call->workspace;
}

/* Times each way briefly and sorts them, fastest first; those that cannot be had are dropped. If none is left, it returns
 * how the first one failed, and that one's message. If one breaks the device, *lost, it returns how, and the row tells
 * which. */
static fv_status rank(const fv_variant *variant, ways *list, fv_bench_row *row, bool *lost) {
    char message[1024];
    fv_status first = FV_OK;
    int kept = 0;
    for (int i = 0; i < list->count; ++i) {
        fv_call call;
        fv_run run;
        fv_timing timing = {0};
        fv_status status = open_way(variant, &list->items[i], &call, &run);
        if (status == FV_OK)
            status = fv_run_time(&run, variant->scratch, &brief, &timing);
        *lost = status != FV_OK && status != FV_UNSUPPORTED && fv_context_is_lost(variant->problem->context);
        if (*lost)
            describe(row, list->items[i].kernel, &call);
        close_way(&call, &run);
        if (*lost)
            return status;
        if (status == FV_OK) {
            list->items[i].seconds = timing.summary.median;
            list->items[kept++] = list->items[i];
        } else if (first == FV_OK) {
            first = status;
            fv_error_save(message);
        }
    }
    list->count = kept;
    qsort(list->items, (size_t)kept, sizeof *list->items, by_time);
    if (kept > 0)
        return fv_problem_refresh(variant->problem);
    if (first == FV_OK)
        return FV_OK;
    fv_error_restore(message);
    return first;
}

/* Says in the row what came of a proof. */
static void note_proof(const fv_variant *variant, const fv_proof *proof, fv_bench_row *row) {
    snprintf(row->scope, sizeof row->scope, "%s", variant->problem->excerpt->scope);
    row->compared = proof->compared;
    row->wrong = proof->wrong;
    row->worst = proof->worst > row->worst ? proof->worst : row->worst;
    row->verified = proof->outcome == FV_PASSED;
    const fv_bench_state bad = proof->wrong ? FV_BENCH_WRONG : FV_BENCH_FAILED;
    set_state(row, proof->outcome == FV_FAILED ? bad : FV_BENCH_TIMED, proof->reason);
}

/* Proves a run, times it if it is right, and proves it once more: a kernel that keeps something from its first run, writes
 * to its inputs, or goes wrong now and then must not be shown as fast. */
static fv_status prove_and_time_run(const fv_variant *variant, fv_run *run, fv_bench_row *row) {
    fv_proof proof;
    FV_TRY(fv_run_prove(run, &proof));
    note_proof(variant, &proof, row);
    if (row->state != FV_BENCH_TIMED)
        return FV_OK;
    FV_TRY(fv_run_time(run, variant->scratch, variant->protocol, &row->timing));
    FV_TRY(fv_run_check_inputs(run, &proof));
    const bool intact = proof.outcome != FV_FAILED;
    if (intact)
        FV_TRY(fv_run_prove(run, &proof));
    note_proof(variant, &proof, row);
    if (row->state == FV_BENCH_TIMED)
        return FV_OK;
    row->timing = (fv_timing){0};
    if (intact)
        snprintf(row->reason, sizeof row->reason, "right at first, but not after it was timed: %.250s", proof.reason);
    return FV_OK;
}

static fv_status prove_and_time(const fv_variant *variant, const way *chosen, fv_bench_row *row) {
    fv_call call;
    fv_run run;
    fv_status status = open_way(variant, chosen, &call, &run);
    if (status == FV_OK) {
        describe(row, call.kernel, &call);
        status = prove_and_time_run(variant, &run, row);
    }
    close_way(&call, &run);
    return status;
}

/* What went wrong with a way, as its row's state. */
static void note_failure(fv_bench_row *row, fv_status status) {
    set_state(row, status == FV_NO_MEMORY ? FV_BENCH_NO_MEMORY : FV_BENCH_FAILED, fv_error_message());
    row->verified = false;
    row->timing = (fv_timing){0};
}

/* Puts what is said of a faster way that could not be timed before what is said of the one that was taken. */
static void mention(fv_bench_row *row, const fv_bench_row *faster) {
    static const char *const words[FV_BENCH_STATES] = {
        [FV_BENCH_WRONG] = "is wrong", [FV_BENCH_NO_MEMORY] = "found no memory", [FV_BENCH_FAILED] = "failed"};
    char reason[sizeof row->reason];
    snprintf(reason, sizeof reason, "a faster one %s: %.80s: %.110s%s%.90s", words[faster->state],
             faster->implementation, faster->reason, *row->reason ? "; " : "", row->reason);
    memcpy(row->reason, reason, sizeof reason);
}

/* Goes through the ways until one is timed; if none is, the row tells of the fastest. */
static fv_status take_fastest(const fv_variant *variant, const ways *list, fv_bench_row *row, bool *lost) {
    const fv_bench_row blank = *row;
    fv_bench_row first = {0};
    for (int i = 0; i < list->count; ++i) {
        *row = blank;
        row->ways = list->count;
        const fv_status status = prove_and_time(variant, &list->items[i], row);
        if (status == FV_UNSUPPORTED && list->count == 1)
            return status;
        if (status != FV_OK)
            note_failure(row, status);
        *lost = row->state == FV_BENCH_FAILED && fv_context_is_lost(variant->problem->context);
        if (row->state == FV_BENCH_TIMED || *lost)
            break;
        if (i == 0)
            first = *row;
        FV_TRY(fv_problem_refresh(variant->problem)); /* it may have written to the inputs */
    }
    if (row->state == FV_BENCH_TIMED && first.state != FV_BENCH_TIMED)
        mention(row, &first);
    else if (row->state != FV_BENCH_TIMED && !*lost)
        *row = first;
    return FV_OK;
}

fv_status fv_variant_measure(const fv_variant *variant, fv_bench_row *row, bool *lost) {
    ways list = {0};
    *lost = false;
    fv_status status = list_ways(variant, &list);
    if (status == FV_OK && list.count == 0)
        status = FV_UNSUPPORTED;
    if (status == FV_OK && list.count > 1)
        status = rank(variant, &list, row, lost);
    if (status == FV_OK)
        status = take_fastest(variant, &list, row, lost);
    free(list.items);
    if (status == FV_OK || status == FV_UNSUPPORTED)
        return status;
    note_failure(row, status);
    *lost = *lost || fv_context_is_lost(variant->problem->context);
    return FV_OK;
}
