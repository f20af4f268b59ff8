/* Timing the rows that can run an operation.
 *
 * As in fovea bench each call finds cold caches, since estimates are of those and most layers of a network do not find
 * their inputs in a cache; but a median of few samples is enough to choose by. Results are not compared with anything:
 * that is what fovea check is for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/choose.h"
#include "base/error.h"
#include "base/random.h"
#include "ops/dtype.h"

/* Samples of a row: at least FEWEST; more while they take less than `enough` seconds together, MOST at most. A row whose
 * first sample is `hopeless` times as long as another one's time is not called again. */
enum { FEWEST = 5, MOST = 25 };
static const double enough = 0.02, hopeless = 4;

enum { MIB = 1024 * 1024, MOST_SCRATCH = 256 * MIB, BLOCK = 64 * 1024 + 1 };

/* The memory of one operation: its tensors, and what is overwritten to empty the caches. */
typedef struct bench {
    fv_context *context;
    fv_tensor_spec specs[FV_MAX_SPECS];
    int count;
    fv_buffers buffers;
    void *scratch;
    size_t scratch_bytes;
    fv_call call; /* of the row at hand */
} bench;

/* ---- inputs ---- */

/* Variances and second moments. */
static bool is_positive(fv_role role) {
    return role == FV_VARIANCE || role == FV_SAVED_RSTD || role == FV_V;
}

/* Random numbers over and over, from -1 to 1, or above 0 where they must be. Indices and labels are 0, which is in
 * range. */
static fv_status fill(const bench *b, const fv_tensor_spec *spec, void *to) {
    const fv_backend *backend = b->context->backend;
    const size_t bytes = fv_spec_bytes(spec), block = BLOCK * fv_dtype_size(spec->dtype);
    if (!fv_dtype_is_real(spec->dtype))
        return backend->fill(b->context, to, 0, bytes);
    void *numbers = malloc(block);
    if (!numbers)
        return fv_fail(FV_NO_MEMORY, "no memory for %d random numbers", BLOCK);
    for (uint64_t i = 0; i < BLOCK; ++i) {
        const double unit = (double)fv_random_uniform(1, (uint64_t)spec->role, i) + 0x1p-25;
        fv_set_element(spec->dtype, numbers, (int64_t)i, is_positive(spec->role) ? unit : 2 * unit - 1);
    }
    fv_status status = FV_OK;
    for (size_t at = 0; status == FV_OK && at < bytes; at += block)
        status = backend->upload(b->context, (char *)to + at, numbers, bytes - at < block ? bytes - at : block);
    free(numbers);
    return status;
}

static fv_status set_up(bench *b, const fv_operation *op, fv_pass pass) {
    const fv_backend *backend = b->context->backend;
    fv_machine machine = {0};
    b->count = fv_operation_signature(op, pass, b->specs);
    for (int i = 0; i < b->count; ++i) {
        void **tensor = &b->buffers.at[b->specs[i].role];
        FV_TRY(backend->allocate(b->context, fv_spec_bytes(&b->specs[i]), tensor));
        if (b->specs[i].direction != FV_OUT)
            FV_TRY(fill(b, &b->specs[i], *tensor));
    }
    backend->machine(b->context, &machine);
    const size_t cache = machine.cache > 0 ? (size_t)machine.cache : 32 * MIB;
    b->scratch_bytes = cache < MOST_SCRATCH / 2 ? 2 * cache : MOST_SCRATCH;
    return backend->allocate(b->context, b->scratch_bytes, &b->scratch);
}

static void free_memory(fv_context *context, void **pointer) {
    if (*pointer)
        context->backend->deallocate(context, *pointer);
    *pointer = NULL;
}

static void tear_down(bench *b) {
    for (int i = 0; i < b->count; ++i)
        free_memory(b->context, &b->buffers.at[b->specs[i].role]);
    free_memory(b->context, &b->scratch);
}

/* ---- times ---- */

static fv_status run(void *user) {
    const bench *b = user;
    return fv_call_run(&b->call, &b->buffers);
}

static fv_status time_once(bench *b, double *seconds) {
    bool exposed;
    return b->context->backend->time(b->context, b->scratch, b->scratch_bytes, run, b, seconds, &exposed);
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of what a prepared row takes. The first call, which loads code, does not count. */
static fv_status time_calls(bench *b, double best, double *seconds) {
    double samples[MOST], sum = 0;
    int count = 0;
    FV_TRY(time_once(b, &samples[0]));
    do {
        FV_TRY(time_once(b, &samples[count]));
        sum += samples[count++];
    } while (samples[0] <= hopeless * best && count < MOST && (count < FEWEST || sum < enough));
    qsort(samples, (size_t)count, sizeof samples[0], compare);
    *seconds = samples[count / 2];
    return FV_OK;
}

static fv_status time_row(bench *b, const fv_kernel *kernel, const fv_operation *op, fv_pass pass, double best,
                          double *seconds) {
    fv_status status = fv_call_prepare_kernel(&b->call, b->context, kernel, op, pass);
    if (status == FV_OK && b->call.workspace)
        status = b->context->backend->allocate(b->context, b->call.workspace, &b->buffers.workspace);
    if (status == FV_OK)
        status = time_calls(b, best, seconds);
    free_memory(b->context, &b->buffers.workspace);
    fv_call_release(&b->call);
    return status;
}

static void time_rows(bench *b, const fv_candidates *candidates, const fv_operation *op, fv_pass pass,
                      fv_choice *choice) {
    for (int i = 0; i < candidates->count; ++i) {
        const fv_candidate *candidate = &candidates->items[i];
        double seconds = INFINITY;
        const fv_status status = time_row(b, candidate->kernel, op, pass, choice->measured, &seconds);
        if (status != FV_OK && status != FV_UNSUPPORTED)
            fv_context_say(b->context, "%s %s %s is passed over: %.300s", fv_kind_name(op->kind), fv_pass_name(pass),
                           candidate->kernel->name, fv_error_message());
        if (status != FV_OK || seconds >= choice->measured)
            continue;
        choice->measured = seconds;
        choice->expected = candidate->expected;
        choice->dtype = candidate->kernel->dtype;
        strncpy(choice->kernel, candidate->kernel->name, sizeof choice->kernel - 1);
    }
}

bool fv_candidates_time(const fv_candidates *candidates, fv_context *context, const fv_operation *op, fv_pass pass,
                        fv_choice *choice) {
    *choice = (fv_choice){.measured = INFINITY, .expected = NAN};
    if (!context->backend->time || !context->backend->machine)
        return false;
    bench b = {.context = context};
    if (set_up(&b, op, pass) == FV_OK)
        time_rows(&b, candidates, op, pass, choice);
    else
        fv_context_say(context, "%s %s cannot be measured: %.300s", fv_kind_name(op->kind), fv_pass_name(pass),
                       fv_error_message());
    tear_down(&b);
    return choice->measured < INFINITY;
}
