/* The kernels with planted faults do what they are there for: the sound one passes, and each of the others fails in
 * every thread order, with a reason that names its fault. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/emulated/faulty.h"
#include "base/error.h"
#include "verify/verify.h"

enum { SEED = 3 }; /* under it the element of the smallest case is positive: an expected zero would prove nothing */

enum { ORDERS = FV_ORDER_VARIED + 1 };
static fv_context *contexts[ORDERS]; /* one for each order of threads */

static int open_all(void **state) {
    (void)state;
    for (int order = 0; order < ORDERS; ++order) {
        const fv_context_options options = {.thread_order = (fv_thread_order)order, .seed = 1};
        if (fv_context_create("emulated", &options, &contexts[order]) != FV_OK)
            return -1;
    }
    return 0;
}

static int close_all(void **state) {
    (void)state;
    for (int order = 0; order < ORDERS; ++order)
        fv_context_destroy(contexts[order]);
    return 0;
}

static fv_verdict verify(int order, const fv_kernel *kernel, int64_t elements, fv_fill fill) {
    const fv_operation op = {.kind = FV_RELU, .relu = {.elements = elements, .dtype = FV_F32}};
    fv_verdict verdict;
    if (fv_verify(contexts[order], kernel, &op, FV_FORWARD, fill, SEED, &verdict) != FV_OK)
        fail_msg("not carried out: %s", fv_error_message());
    return verdict;
}

static void sound_passes(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 255, 256, 257, 1000};
    assert_string_equal(fv_faulty_kernels[0].name, "sound");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i)
        for (int order = 0; order < ORDERS; ++order)
            for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
                const fv_verdict verdict = verify(order, &fv_faulty_kernels[0], sizes[i], fill);
                if (verdict.outcome != FV_PASSED)
                    fail_msg("%d elements, %s: %s %s", (int)sizes[i], fv_context_description(contexts[order]),
                             fv_outcome_name(verdict.outcome), verdict.reason);
            }
}

static void faults_fail(void **state) {
    (void)state;
    static const struct {
        const char *name, *reason;
    } faults[] = {
        {"no_barrier", " of 1000 elements of y are wrong"},
        {"no_wait", " returned with an asynchronous copy under way, begun at kernels/emulator/faulty.cc:"},
        {"divergent_barrier", ": all threads of a block must meet at the same line"},
        {"early_return", ", block (3,0,0): thread 232 returned while thread 0 waits at kernels/emulator/faulty.cc:"},
    };
    const fv_kernel *kernel = fv_faulty_kernels + 1;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; ++i, ++kernel) {
        assert_string_equal(kernel->name, faults[i].name);
        for (int order = 0; order < ORDERS; ++order)
            for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
                const fv_verdict verdict = verify(order, kernel, 1000, fill);
                if (verdict.outcome != FV_FAILED || !strstr(verdict.reason, faults[i].reason))
                    fail_msg("%s, %s: %s '%s', expected failed '%s'", kernel->name,
                             fv_context_description(contexts[order]), fv_outcome_name(verdict.outcome), verdict.reason,
                             faults[i].reason);
            }
    }
    assert_null(kernel->name);
}

static void nan_stays_nan(void **state) {
    (void)state;
    const float x[3] = {-NAN, NAN, -1};
    float y[3] = {1, 1, 1};
    const fv_operation op = {.kind = FV_RELU, .relu = {.elements = 3, .dtype = FV_F32}};
    const fv_buffers buffers = {.at = {[FV_X] = (void *)(uintptr_t)x, [FV_Y] = y}};
    assert_int_equal(fv_faulty_kernels[0].run(contexts[0], &op, NULL, &buffers), FV_OK);
    assert_true(isnan(y[0]) && isnan(y[1]) && y[2] == 0);
}

static void nothing_to_do(void **state) {
    (void)state;
    const fv_operation op = {.kind = FV_RELU, .relu = {.elements = 0, .dtype = FV_F32}};
    const fv_buffers buffers = {{0}, NULL};
    for (const fv_kernel *kernel = fv_faulty_kernels; kernel->name; ++kernel)
        assert_int_equal(kernel->run(contexts[0], &op, NULL, &buffers), FV_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_passes),
        cmocka_unit_test(faults_fail),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(nothing_to_do),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
