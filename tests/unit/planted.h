/* Kernels with planted faults, for the tests of the verifier: the reference's own row with a fault behind it. */
#ifndef FOVEA_TESTS_PLANTED_H
#define FOVEA_TESTS_PLANTED_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "verify/verify.h"

enum { SEED = 5 };

static fv_context *reference;

/* ---- kernels with faults */

typedef fv_status fault(const fv_operation *op, const fv_buffers *buffers);

static struct {
    const fv_kernel *truth;
    fault *spoil; /* NULL: none */
    int from;     /* the first run that is spoilt, 1 or 2 */
    int run;      /* runs in this verification */
} plant;

static inline fv_status run_planted(fv_context *context, const fv_operation *op, void *state,
                                    const fv_buffers *buffers) {
    FV_TRY(plant.truth->run(context, op, state, buffers));
    return ++plant.run >= plant.from && plant.spoil ? plant.spoil(op, buffers) : FV_OK;
}

static inline fv_status run_never(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op, (void)state, (void)buffers;
    return FV_OK;
}

static inline fv_status run_first_only(fv_context *context, const fv_operation *op, void *state,
                                       const fv_buffers *buffers) {
    return plant.run ? FV_OK : run_planted(context, op, state, buffers);
}

static inline size_t hundred_bytes(const fv_operation *op, const void *state) {
    (void)op, (void)state;
    return 100;
}

static inline fv_operation parse(const char *text) {
    fv_operation op;
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    return op;
}

/* The reference's row for an operation, with room for a fault. */
static inline fv_kernel planted_row(const fv_operation *op, fv_pass pass, fault *spoil) {
    fv_kernel_cursor cursor = {0};
    const fv_kernel *truth = fv_kernel_next(reference->backend, &cursor);
    while (truth && fv_kernel_refusal(truth, reference, op, pass))
        truth = fv_kernel_next(reference->backend, &cursor);
    assert_non_null(truth);
    plant.truth = truth;
    plant.spoil = spoil;
    plant.from = 1;
    fv_kernel row = *truth;
    row.name = "planted";
    row.run = run_planted;
    return row;
}

static inline fv_verdict verify(const fv_kernel *row, const fv_operation *op, fv_fill fill, uint64_t seed) {
    fv_verdict verdict;
    plant.run = 0;
    if (fv_verify(reference, row, op, row->pass, fill, seed, &verdict) != FV_OK)
        fail_msg("not carried out: %s", fv_error_message());
    return verdict;
}

static inline void expect_verdict(const char *what, const fv_verdict *verdict, fv_outcome outcome, const char *reason) {
    if (verdict->outcome != outcome || !strstr(verdict->reason, reason) || (!*reason && *verdict->reason))
        fail_msg("%s: %s '%s', expected %s '%s'", what, fv_outcome_name(verdict->outcome), verdict->reason,
                 fv_outcome_name(outcome), reason);
}

static inline int open_reference(void **state) {
    (void)state;
    return fv_context_create("reference", NULL, &reference) == FV_OK ? 0 : -1;
}

static inline int close_reference(void **state) {
    (void)state;
    fv_context_destroy(reference);
    return 0;
}

/* A fault: statements on the operation `op` and the buffers `b`, after the kernel ran. */
#define FAULT(name, statement)                                                                                         \
    static fv_status name(const fv_operation *op, const fv_buffers *b) {                                               \
        (void)op, (void)b;                                                                                             \
        statement;                                                                                                     \
        return FV_OK;                                                                                                  \
    }

#endif
