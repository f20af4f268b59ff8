/* For tests of values worked out by hand: every backend that opens here, one pass run on host arrays, comparisons. */
#ifndef FOVEA_TESTS_BY_HAND_H
#define FOVEA_TESTS_BY_HAND_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fovea.h>

enum { MOST_CONTEXTS = 8 };
static fv_context *contexts[MOST_CONTEXTS];
static int context_count;

static inline int open_all(void **state) {
    (void)state;
    for (const char *const *name = fv_backend_names(); *name; ++name) {
        fv_context *context;
        const fv_status status = fv_context_create(*name, NULL, &context);
        if (status == FV_OK && context_count < MOST_CONTEXTS)
            contexts[context_count++] = context;
        else if (status != FV_UNSUPPORTED) /* a GPU backend without a GPU */
            return -1;
    }
    return context_count >= 2 ? 0 : -1; /* reference and emulated open everywhere */
}

static inline int close_all(void **state) {
    (void)state;
    while (context_count > 0)
        fv_context_destroy(contexts[--context_count]);
    return 0;
}

typedef void *host_arrays[FV_ROLES];

/* Runs a pass on host arrays, one for each role of its signature. The outputs are poisoned before. */
static inline void run(fv_context *context, const char *text, fv_pass pass, host_arrays at) {
    fv_operation op;
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_tensor *tensors[FV_ROLES] = {0};
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    const int count = fv_operation_signature(&op, pass, specs);
    assert_true(count > 0);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        assert_non_null(at[role]);
        if (specs[i].direction == FV_OUT)
            memset(at[role], 0xFF, fv_spec_bytes(&specs[i]));
        assert_int_equal(fv_tensor_create(context, specs[i].dtype, specs[i].shape, &tensors[role]), FV_OK);
        assert_int_equal(fv_tensor_write(tensors[role], at[role], fv_spec_bytes(&specs[i])), FV_OK);
    }
    if (fv_execute(context, &op, pass, tensors) != FV_OK)
        fail_msg("%s on %s: %s", text, fv_context_backend(context), fv_error_message());
    for (int i = 0; i < count; ++i) {
        assert_int_equal(fv_tensor_read(tensors[specs[i].role], at[specs[i].role], fv_spec_bytes(&specs[i])), FV_OK);
        fv_tensor_destroy(tensors[specs[i].role]);
    }
}

/* |got - expected| <= tolerance, and a NaN only where one is expected. */
static inline void expect_near(const fv_context *context, const char *what, const float *got, const double *expected,
                               int count, double tolerance) {
    for (int i = 0; i < count; ++i) {
        const double difference = fabs((double)got[i] - expected[i]);
        const int same = isnan(expected[i])   ? isnan(got[i])
                         : isinf(expected[i]) ? (double)got[i] == expected[i]
                                              : difference <= tolerance;
        if (!same)
            fail_msg("%s: %s[%d] is %.9g, expected %.9g", fv_context_backend(context), what, i, (double)got[i],
                     expected[i]);
    }
}

static inline void expect(const fv_context *context, const char *what, const float *got, const double *expected,
                          int count) {
    expect_near(context, what, got, expected, count, 0);
}

static inline void expect_integers(const fv_context *context, const char *what, const int32_t *got,
                                   const int32_t *expected, int count) {
    for (int i = 0; i < count; ++i)
        if (got[i] != expected[i])
            fail_msg("%s: %s[%d] is %d, expected %d", fv_context_backend(context), what, i, (int)got[i],
                     (int)expected[i]);
}

#endif
