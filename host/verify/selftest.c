#include "verify/selftest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/emulated/faulty.h"
#include "base/error.h"
#include "ops/op.h"

/* A case that has a border on every side, a bias, and more than one of everything. */
static const char convolution[] = "conv2d n=2 c=3 h=9 w=7 k=5 kernel=3x3 stride=1x2 pad=1,0,2,1 bias=1";
enum { CHANNELS = 5, PLACE = 37 /* the element that gets the fault */ };

/* ---- faults in the result: what is done to y after a sound kernel wrote it ---- */

typedef struct spoiling {
    float *y;
    int64_t elements;
    int run;      /* 0, then 1 */
    double bound; /* of y[PLACE] */
    const float *stale;
} spoiling;

static void spoil_nothing(const spoiling *s) {
    (void)s;
}

static void spoil_with_nan(const spoiling *s) {
    s->y[PLACE] = NAN;
}

static void spoil_with_infinity(const spoiling *s) {
    s->y[PLACE] = INFINITY;
}

static void spoil_by_one(const spoiling *s) {
    s->y[PLACE] += 1;
}

static void spoil_by_two_bounds(const spoiling *s) {
    s->y[PLACE] = (float)((double)s->y[PLACE] + 2 * s->bound);
}

static void spoil_with_zeros(const spoiling *s) {
    memset(s->y, 0, (size_t)s->elements * sizeof *s->y);
}

static void spoil_with_stale(const spoiling *s) {
    memcpy(s->y, s->stale, (size_t)s->elements * sizeof *s->y);
}

static void spoil_by_swapping(const spoiling *s) {
    for (int64_t i = 0; i < s->elements; i += CHANNELS) {
        const float first = s->y[i];
        s->y[i] = s->y[i + 1];
        s->y[i + 1] = first;
    }
}

static void spoil_second_run(const spoiling *s) {
    if (s->run == 1)
        s->y[PLACE] = nextafterf(s->y[PLACE], INFINITY);
}

/* ---- faults in the memory: what is written besides y ---- */

/* On the host a raw store: AddressSanitizer, which forbids the guard bands, would stop an ordinary one. */
__attribute__((no_sanitize("address"))) static fv_status poke(fv_context *context, void *at, float value) {
    if (!context->backend->host_memory)
        return context->backend->upload(context, at, &value, sizeof value);
    *(volatile float *)at = value;
    return FV_OK;
}

typedef struct fault {
    const char *name;
    fv_fill fill;
    void (*spoil)(const spoiling *s); /* NULL: the kernel is not run at all */
    fv_role poked;                    /* the tensor that is written to besides; FV_ROLES: none */
    bool behind;                      /* one element past its end; else at its first */
    const char *deserved;             /* words of the verdict; NULL: passed */
    int64_t wrong;                    /* elements that the verdict must count; 0: any number */
} fault;

static const fault faults[] = {
    {"none (exact)", FV_EXACT, spoil_nothing, FV_ROLES, false, NULL, 0},
    {"none (bounded)", FV_BOUNDED, spoil_nothing, FV_ROLES, false, NULL, 0},
    {"a NaN", FV_BOUNDED, spoil_with_nan, FV_ROLES, false, "1 of them NaN", 1},
    {"an infinity", FV_BOUNDED, spoil_with_infinity, FV_ROLES, false, "of y are wrong", 1},
    {"one wrong element", FV_EXACT, spoil_by_one, FV_ROLES, false, "of y are wrong", 1},
    {"one element off by 2 bounds", FV_BOUNDED, spoil_by_two_bounds, FV_ROLES, false, "of y are wrong", 1},
    {"all zeros", FV_EXACT, spoil_with_zeros, FV_ROLES, false, "of y are wrong", 0},
    {"stale output", FV_EXACT, spoil_with_stale, FV_ROLES, false, "of y are wrong", 0},
    {"swapped channels", FV_EXACT, spoil_by_swapping, FV_ROLES, false, "of y are wrong", 0},
    {"a kernel that never ran", FV_EXACT, NULL, FV_ROLES, false, "never written", 0},
    {"a result that changes from run to run", FV_BOUNDED, spoil_second_run, FV_ROLES, false, "two runs differ", 0},
    {"a write of one element behind the output", FV_EXACT, spoil_nothing, FV_Y, true, "wrote outside y", 0},
    {"a write of one element behind an input", FV_EXACT, spoil_nothing, FV_W, true, "wrote outside w", 0},
    {"a write to an input", FV_EXACT, spoil_nothing, FV_X, false, "wrote to its input x", 0},
};

/* ---- the kernel that they are planted in ---- */

/* fv_kernel's functions have no room for it. */
static _Thread_local struct {
    const fv_kernel *sound;
    const fault *fault;
    int run;
    double bound;
    const float *stale;
} plant;

static fv_status spoil_output(fv_context *context, const fv_operation *op, void *device) {
    fv_tensor_spec y = {0};
    fv_operation_tensor(op, FV_FORWARD, FV_Y, &y);
    float *host = malloc(fv_spec_bytes(&y) + 1);
    if (!host)
        return fv_fail(FV_NO_MEMORY, "no memory for the self-test");
    fv_status status = context->backend->download(context, host, device, fv_spec_bytes(&y));
    if (status == FV_OK) {
        plant.fault->spoil(&(spoiling){host, fv_shape_elements(&y.shape), plant.run, plant.bound, plant.stale});
        status = context->backend->upload(context, device, host, fv_spec_bytes(&y));
    }
    free(host);
    return status;
}

static fv_status run_planted(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    if (plant.fault->spoil) {
        FV_TRY(plant.sound->run(context, op, state, buffers));
        FV_TRY(spoil_output(context, op, buffers->at[FV_Y]));
    }
    ++plant.run;
    fv_tensor_spec poked;
    if (!fv_operation_tensor(op, FV_FORWARD, plant.fault->poked, &poked))
        return FV_OK;
    float *data = buffers->at[poked.role];
    return poke(context, plant.fault->behind ? data + fv_shape_elements(&poked.shape) : data, 12345);
}

/* ---- judging ---- */

static bool deserved(const fault *f, const fv_verdict *verdict) {
    if (!f->deserved)
        return verdict->outcome == FV_PASSED;
    if (verdict->outcome != FV_FAILED || !strstr(verdict->reason, f->deserved))
        return false;
    return f->wrong == 0 || (verdict->wrong == f->wrong && verdict->point[0].index == PLACE);
}

static const fv_kernel *sound_kernel(const fv_context *context, const fv_operation *op) {
    fv_kernel_cursor cursor = {0};
    const fv_kernel *kernel;
    while ((kernel = fv_kernel_next(context->backend, &cursor)) && fv_kernel_refusal(kernel, context, op, FV_FORWARD))
        ;
    return kernel;
}

/* What a kernel would give that still holds the result for other inputs. */
static float *stale_result(const fv_trial *other) {
    const fv_tensor_spec *y = &other->specs[other->count - 1];
    const int64_t elements = fv_shape_elements(&y->shape);
    float *stale = malloc((size_t)elements * sizeof *stale);
    for (int64_t i = 0; stale && i < elements; ++i)
        stale[i] = (float)((const double *)other->results.at[FV_Y])[i];
    return stale;
}

static fv_status try_fault(fv_context *context, const fv_operation *op, const fault *f, uint64_t seed,
                           fv_verdict *verdict) {
    fv_kernel kernel = *plant.sound;
    fv_trial trial = {0}, other = {0};
    const double *bounds;
    float *stale = NULL;
    fv_status status;
    FV_TRY_GOTO(status, fv_trial_begin(&trial, op, FV_FORWARD, f->fill, seed), done);
    FV_TRY_GOTO(status, fv_trial_begin(&other, op, FV_FORWARD, f->fill, seed + 1), done);
    FV_TRY_GOTO(status, fv_trial_bounds(&trial, trial.count - 1, 0, &bounds), done);
    plant.fault = f;
    plant.run = 0;
    plant.bound = bounds ? bounds[PLACE] : 0;
    plant.stale = stale = stale_result(&other);
    kernel.name = "planted";
    kernel.run = run_planted;
    if (!stale)
        FV_TRY_GOTO(status, fv_fail(FV_NO_MEMORY, "no memory for the self-test"), done);
    FV_TRY_GOTO(status, fv_trial_judge(&trial, context, &kernel, NULL, verdict), done);
done:
    free(stale);
    fv_trial_end(&trial);
    fv_trial_end(&other);
    return status;
}

static fv_status try_results(fv_context *context, uint64_t seed,
                             void (*on_result)(void *user, const fv_self_test_result *result), void *user) {
    fv_operation op;
    FV_TRY(fv_operation_parse(convolution, &op));
    plant.sound = sound_kernel(context, &op);
    if (!plant.sound)
        return fv_fail(FV_UNSUPPORTED, "%s has no kernel for the self-test's %s", context->backend->name, convolution);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; ++i) {
        fv_verdict verdict;
        FV_TRY(try_fault(context, &op, &faults[i], seed, &verdict));
        on_result(user, &(fv_self_test_result){faults[i].name, deserved(&faults[i], &verdict), &verdict});
    }
    return FV_OK;
}

/* ---- faults in the run: kernels of their own, under the emulator ---- */

static const struct {
    const char *kernel, *name, *deserved;
} run_faults[] = {
    {"sound", "none (asynchronous copy and barrier)", NULL},
    {"no_barrier", "a missing __syncthreads", "two runs differ with the order of the threads: a barrier is missing"},
    {"no_wait", "a missing cp.async wait", "with an asynchronous copy under way"},
    {"divergent_barrier", "a divergent barrier", "all threads of a block must meet at the same line"},
    {"early_return", "a thread that returns before the barrier", "returned while"},
};

static fv_status try_runs(uint64_t seed, void (*on_result)(void *user, const fv_self_test_result *result), void *user) {
    fv_operation op;
    fv_context *emulated;
    const fv_context_options options = {.thread_order = FV_ORDER_VARIED, .seed = seed};
    FV_TRY(fv_operation_parse("relu elements=1000", &op));
    FV_TRY(fv_context_create("emulated", &options, &emulated));
    fv_status status = FV_OK;
    for (size_t i = 0; i < sizeof run_faults / sizeof run_faults[0] && status == FV_OK; ++i) {
        fv_verdict verdict = {0};
        const fv_kernel *kernel = fv_faulty_kernels;
        while (strcmp(kernel->name, run_faults[i].kernel))
            ++kernel;
        status = fv_verify(emulated, kernel, &op, FV_FORWARD, FV_EXACT, seed, &verdict);
        const char *words = run_faults[i].deserved;
        const bool caught =
            words ? verdict.outcome == FV_FAILED && strstr(verdict.reason, words) : verdict.outcome == FV_PASSED;
        if (status == FV_OK)
            on_result(user, &(fv_self_test_result){run_faults[i].name, caught, &verdict});
    }
    fv_context_destroy(emulated);
    return status;
}

fv_status fv_self_test(fv_context *context, uint64_t seed,
                       void (*on_result)(void *user, const fv_self_test_result *result), void *user) {
    FV_TRY(try_results(context, seed, on_result, user));
    return try_runs(seed, on_result, user);
}
