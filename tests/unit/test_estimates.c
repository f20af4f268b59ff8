/* What the rows of our kernels expect of themselves on the layers of the suites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "base/error.h"
#include "cases/cases.h"
#include "ops/op.h"

static fv_context *emulated;

static int open_emulated(void **state) {
    (void)state;
    return fv_context_create("emulated", NULL, &emulated) == FV_OK ? 0 : -1;
}

static int close_emulated(void **state) {
    (void)state;
    fv_context_destroy(emulated);
    return 0;
}

typedef void look(const fv_operation *op, fv_pass pass, const char *text);

static void for_each_pass(const fv_case_list *list, look *at) {
    for (int64_t i = 0; i < list->count; ++i) {
        char text[560];
        fv_operation_print_short(&list->items[i].op, text, sizeof text);
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
            if (list->items[i].passes >> pass & 1 && fv_operation_has_pass(&list->items[i].op, pass))
                at(&list->items[i].op, pass, text);
    }
}

/* Whatever a row does not refuse, it has a time for, from 0.1 us to a minute: the small cases and the large layers. */
static void expect_a_time(const fv_operation *op, fv_pass pass, const char *text) {
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(emulated->backend, &cursor));) {
        if (!(kernel->estimate || kernel->steps) || fv_kernel_refusal(kernel, emulated, op, pass))
            continue;
        const double seconds = fv_kernel_expected(kernel, emulated, op);
        if (!(seconds >= 1e-7 && seconds < 60))
            fail_msg("%s %s expects %g s of %s", kernel->name, fv_pass_name(pass), seconds, text);
    }
}

static void estimates_are_times(void **state) {
    (void)state;
    fv_case_list list = {0};
    assert_int_equal(fv_cases_add_builtin(&list), FV_OK);
    assert_int_equal(fv_cases_add_suite(&list, "all"), FV_OK);
    assert_true(list.count > 100);
    for_each_pass(&list, expect_a_time);
    fv_cases_release(&list);
}

/* The ladder's lowest rung is not what runs where another row can that says what it expects. */
static void expect_no_direct(const fv_operation *op, fv_pass pass, const char *text) {
    fv_candidates candidates;
    if (op->kind != FV_CONV2D && op->kind != FV_TRANSPOSED)
        return;
    fv_candidates_find(&candidates, emulated, emulated->backend, op, pass);
    if (candidates.count > 1 && !isnan(candidates.items[candidates.count - 1].expected) &&
        !strcmp(candidates.items[0].kernel->name, "direct"))
        fail_msg("direct is expected to be faster than %s: %s %s", candidates.items[1].kernel->name, text,
                 fv_pass_name(pass));
}

static void direct_comes_last_on_layers(void **state) {
    (void)state;
    fv_case_list list = {0};
    assert_int_equal(fv_cases_add_suite(&list, "all"), FV_OK);
    for_each_pass(&list, expect_no_direct);
    fv_cases_release(&list);
}

/* Each row there is for a pass is tried: none is lost for lack of room. */
static void all_rows_are_candidates(void **state) {
    (void)state;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        int rows[FV_KINDS][FV_PASSES] = {{0}};
        fv_kernel_cursor cursor = {0};
        for (const fv_kernel *kernel; (kernel = fv_kernel_next(*backend, &cursor));)
            assert_true(++rows[kernel->kind][kernel->pass] <= FV_MOST_CANDIDATES);
    }
}

/* More of the same takes longer. */
static void estimates_grow_with_the_work(void **state) {
    (void)state;
    static const char *const texts[] = {"conv2d n=%s c=64 h=56 w=56 k=64 kernel=3x3 pad=1",
                                        "conv2d_separable n=%s c=64 h=56 w=56 k=64 kernel=3x3 pad=1",
                                        "conv2d_transposed n=%s c=64 h=28 w=28 k=64 kernel=4x4 stride=2 pad=1",
                                        "linear n=%s000 c=512 k=512"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        fv_operation few, many;
        char text[2][128];
        snprintf(text[0], sizeof text[0], texts[i], "8");
        snprintf(text[1], sizeof text[1], texts[i], "80");
        assert_int_equal(fv_operation_parse(text[0], &few), FV_OK);
        assert_int_equal(fv_operation_parse(text[1], &many), FV_OK);
        fv_kernel_cursor cursor = {0};
        for (const fv_kernel *kernel; (kernel = fv_kernel_next(emulated->backend, &cursor));) {
            if (!kernel->estimate || fv_kernel_refusal(kernel, emulated, &few, kernel->pass) ||
                fv_kernel_refusal(kernel, emulated, &many, kernel->pass))
                continue;
            const double ratio =
                fv_kernel_expected(kernel, emulated, &many) / fv_kernel_expected(kernel, emulated, &few);
            if (!(ratio > 2 && ratio < 12))
                fail_msg("%s %s: ten times the work takes %g times as long: %s", kernel->name,
                         fv_pass_name(kernel->pass), ratio, text[0]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(estimates_are_times),
        cmocka_unit_test(direct_comes_last_on_layers),
        cmocka_unit_test(all_rows_are_candidates),
        cmocka_unit_test(estimates_grow_with_the_work),
    };
    return cmocka_run_group_tests(tests, open_emulated, close_emulated);
}
