/* Sampling, on a backend whose times are a script. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "measure/sample.h"

/* What the next calls take, over and over from `again` on; and what fv_measure asked for. */
typedef struct script {
    double seconds[16];
    int count, again;
    int exposed_at, fail_at; /* numbers of calls; 0: never */
    int64_t cache;
    int calls, worked;
    void *scratch;
    size_t bytes;
} script;

static script playing;

static fv_status time_by_script(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user,
                                double *seconds, bool *exposed) {
    (void)context;
    const int call = playing.calls++;
    const int loop = playing.count - playing.again;
    *seconds = playing.seconds[call < playing.count ? call : playing.again + (call - playing.again) % loop];
    *exposed = playing.calls == playing.exposed_at;
    playing.scratch = scratch;
    playing.bytes = bytes;
    return work(user);
}

static void machine_by_script(const fv_context *context, fv_machine *machine) {
    (void)context;
    *machine = (fv_machine){.cache = playing.cache};
}

static fv_status no_memory(fv_context *context, size_t bytes, void **pointer) {
    (void)context;
    *pointer = NULL;
    playing.bytes = bytes;
    return fv_fail(FV_NO_MEMORY, "none left");
}

static const fv_backend scripted = {.name = "scripted",
                                    .allocate = fv_host_allocate,
                                    .deallocate = fv_host_deallocate,
                                    .time = time_by_script,
                                    .machine = machine_by_script};
static const fv_backend poor = {.name = "poor", .allocate = no_memory, .machine = machine_by_script};

static fv_status work(void *user) {
    assert_ptr_equal(user, &playing);
    return ++playing.worked == playing.fail_at ? fv_fail(FV_DEVICE, "it broke") : FV_OK;
}

static fv_status measure(const script *what, const fv_protocol *protocol, fv_timing *timing) {
    fv_context context = {.backend = &scripted};
    fv_scratch scratch;
    playing = *what;
    assert_int_equal(fv_scratch_allocate(&scratch, &context), FV_OK);
    const fv_status status = fv_measure(&scratch, protocol, work, &playing, timing);
    assert_int_equal(playing.calls, playing.worked);
    if (protocol->warm) {
        assert_null(playing.scratch);
        assert_int_equal(playing.bytes, 0);
    } else {
        assert_ptr_equal(playing.scratch, scratch.data);
        assert_int_equal(playing.bytes, scratch.bytes);
    }
    fv_scratch_release(&scratch);
    assert_null(scratch.data);
    return status;
}

/* A time limit that no test reaches. */
#define UNHURRIED .most = 1e6

static void defaults(void **state) {
    (void)state;
    const fv_protocol protocol = fv_protocol_default();
    assert_int_equal(protocol.samples, 10);
    assert_true(protocol.least == 0.5 && protocol.noise == 0.005 && protocol.most == 3);
    assert_false(protocol.warm);
}

static void settles_at_once(void **state) {
    (void)state;
    fv_timing timing;
    /* two calls that get faster, one that gets no faster, then samples */
    const script steady = {.seconds = {9, 2, 2, 1}, .count = 4, .again = 3};
    assert_int_equal(measure(&steady, &(fv_protocol){.samples = 7, .noise = 0.01, UNHURRIED}, &timing), FV_OK);
    assert_int_equal(playing.calls, 3 + 7);
    assert_int_equal(timing.summary.samples, 7);
    assert_true(timing.summary.median == 1 && timing.summary.low == 1 && timing.summary.high == 1);
    assert_true(timing.settled);
    assert_false(timing.exposed);
}

static void warms_up(void **state) {
    (void)state;
    fv_timing timing;
    const script cold = {.seconds = {9, 8, 7, 6, 5.99, 1}, .count = 6, .again = 5};
    assert_int_equal(measure(&cold, &(fv_protocol){.samples = 2, .noise = 0.01, UNHURRIED}, &timing), FV_OK);
    assert_int_equal(playing.calls, 5 + 2); /* 5.99 is no faster than 6, but for noise */
    assert_true(timing.summary.high == 1);
    /* no time for more than two */
    assert_int_equal(measure(&cold, &(fv_protocol){.samples = 20, .noise = 1, .most = 0}, &timing), FV_OK);
    assert_int_equal(playing.calls - timing.summary.samples, 2);
}

static void runs_long_enough(void **state) {
    (void)state;
    fv_timing timing;
    const script steady = {.seconds = {0.25}, .count = 1};
    const fv_protocol protocol = {.samples = 3, .least = 10, .noise = 0.01, UNHURRIED};
    assert_int_equal(measure(&steady, &protocol, &timing), FV_OK);
    assert_int_equal(timing.summary.samples, 40);
    assert_true(timing.settled);
}

static void settles_when_they_agree(void **state) {
    (void)state;
    fv_timing timing;
    const script wild_at_first = {
        .seconds = {1, 1, /* warm-up */ 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, /* 10 samples */ 1}, .count = 13, .again = 12};
    const fv_protocol protocol = {.samples = 10, .noise = 0.01, UNHURRIED};
    assert_int_equal(measure(&wild_at_first, &protocol, &timing), FV_OK);
    assert_true(timing.summary.samples > 10 && timing.summary.samples < 40);
    assert_true(timing.summary.median == 1 && timing.summary.high == 1);
    assert_true(timing.settled);
}

static void times_out(void **state) {
    (void)state;
    fv_timing timing;
    const script wild = {.seconds = {1, 1, 1, 2}, .count = 4};
    assert_int_equal(measure(&wild, &(fv_protocol){.samples = 10, .noise = 0.01, .most = 0}, &timing), FV_OK);
    assert_int_equal(timing.summary.samples, 3); /* ten times no time at all is over, too */
    assert_false(timing.settled);
    /* too few, though steady */
    const script steady = {.seconds = {1}, .count = 1};
    assert_int_equal(measure(&steady, &(fv_protocol){.samples = 4, .noise = 1, .most = 0}, &timing), FV_OK);
    assert_int_equal(timing.summary.samples, 3);
    assert_false(timing.settled);
    /* shorter than wanted, but steady */
    assert_int_equal(measure(&steady, &(fv_protocol){.samples = 3, .least = 4, .noise = 0, .most = 0}, &timing), FV_OK);
    assert_int_equal(timing.summary.samples, 3);
    assert_true(timing.settled);
}

/* Noise that no number of samples reduces ends with the memory for them. */
static void has_a_limit(void **state) {
    (void)state;
    fv_timing timing;
    const script wild = {.seconds = {1, 2, 1, 2}, .count = 4, .again = 2};
    assert_int_equal(measure(&wild, &(fv_protocol){.samples = 10, .noise = -1, UNHURRIED}, &timing), FV_OK);
    assert_int_equal(timing.summary.samples, FV_MOST_SAMPLES);
    assert_false(timing.settled);
}

static void notices_exposure(void **state) {
    (void)state;
    fv_timing timing;
    script steady = {.seconds = {1}, .count = 1, .exposed_at = 2};
    const fv_protocol protocol = {.samples = 5, .noise = 0.01, UNHURRIED};
    assert_int_equal(measure(&steady, &protocol, &timing), FV_OK);
    assert_false(timing.exposed); /* in the warm-up it does not matter */
    steady.exposed_at = 5;
    assert_int_equal(measure(&steady, &protocol, &timing), FV_OK);
    assert_true(timing.exposed);
}

static void passes_failures_on(void **state) {
    (void)state;
    fv_timing timing;
    for (int call = 1; call <= 4; ++call) {
        const script broken = {.seconds = {1}, .count = 1, .fail_at = call};
        assert_int_equal(measure(&broken, &(fv_protocol){.samples = 5, .noise = 0.01, UNHURRIED}, &timing), FV_DEVICE);
        assert_string_equal(fv_error_message(), "it broke");
        assert_int_equal(playing.calls, call);
    }
}

static void leaves_caches_alone(void **state) {
    (void)state;
    fv_timing timing;
    const script steady = {.seconds = {1}, .count = 1};
    assert_int_equal(measure(&steady, &(fv_protocol){.samples = 2, .noise = 1, UNHURRIED, .warm = true}, &timing),
                     FV_OK);
}

static void scratch_sizes(void **state) {
    (void)state;
    static const struct {
        int64_t cache;
        size_t bytes;
    } known[] = {{60 << 20, 120 << 20}, {0, 64 << 20}, {(int64_t)900 << 20, 1024 << 20}, {INT64_MAX, 1024 << 20}};
    fv_context context = {.backend = &poor};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        fv_scratch scratch;
        playing = (script){.cache = known[i].cache};
        assert_int_equal(fv_scratch_allocate(&scratch, &context), FV_NO_MEMORY);
        assert_int_equal(playing.bytes, known[i].bytes);
        fv_scratch_release(&scratch); /* nothing to release, and no harm */
    }
}

/* What no test can wait for: in turn enough, and then too late. */
static void progress(void **state) {
    (void)state;
    const fv_protocol p = {.samples = 10, .least = 0.5, .noise = 0.005, .most = 3};
    assert_int_equal(fv_sampling_progress(&p, 10, 0.5, 0.005, 1), FV_SETTLED);
    assert_int_equal(fv_sampling_progress(&p, 9, 0.5, 0.005, 1), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, 10, 0.4, 0.005, 1), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, 10, 0.5, 0.006, 1), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, 10, 0.5, INFINITY, 3), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, 10, 0.5, 0.006, 3.1), FV_OUT_OF_TIME);
    assert_int_equal(fv_sampling_progress(&p, 10, 0.5, 0.005, 3.1), FV_SETTLED);
    assert_int_equal(fv_sampling_progress(&p, 9, 20, 0.001, 30), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, 3, 20, 0.001, 30.1), FV_OUT_OF_TIME);
    assert_int_equal(fv_sampling_progress(&p, 2, 20, 0.001, 3000), FV_GO_ON);
    assert_int_equal(fv_sampling_progress(&p, FV_MOST_SAMPLES, 0.1, 0.001, 1), FV_OUT_OF_TIME);
    assert_int_equal(fv_sampling_progress(&(fv_protocol){.noise = 1, .most = 1}, 0, 0, 0, 0), FV_GO_ON);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(settles_at_once),
        cmocka_unit_test(warms_up),
        cmocka_unit_test(runs_long_enough),
        cmocka_unit_test(settles_when_they_agree),
        cmocka_unit_test(times_out),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(notices_exposure),
        cmocka_unit_test(passes_failures_on),
        cmocka_unit_test(leaves_caches_alone),
        cmocka_unit_test(scratch_sizes),
        cmocka_unit_test(progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
