/* Backends made up of relu kernels, right and wrong, for the tests of surveys and their reports. */
#ifndef FOVEA_TESTS_STAGED_H
#define FOVEA_TESTS_STAGED_H

#include "planted.h"

#include "verify/survey.h"

static const fv_kernel *truth;

static inline fv_status run_and_add(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b,
                                    float x) {
    FV_TRY(truth->run(context, op, state, b));
    if (op->relu.elements > 3)
        ((float *)b->at[FV_Y])[3] += x;
    return FV_OK;
}

static inline fv_status run_right(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return run_and_add(context, op, state, b, 0);
}

static inline fv_status run_one_off(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return run_and_add(context, op, state, b, 1);
}

static inline const char *never(const fv_operation *op) {
    (void)op;
    return "it never can";
}

/* A device that works until a kernel breaks it. */
static bool broken;

static inline fv_status run_breaking(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)op, (void)state, (void)b;
    broken = true;
    return fv_fail(FV_DEVICE, "an illegal memory access");
}

static inline fv_status synchronize(fv_context *context) {
    (void)context;
    return broken ? fv_fail(FV_DEVICE, "the device is gone") : FV_OK;
}

#define ROW(title, ...)                                                                                                \
    { .kind = FV_RELU, .pass = FV_FORWARD, .dtype = FV_F32, .name = title, .deterministic = true, __VA_ARGS__ }

static const fv_kernel right_rows[] = {ROW("right", .run = run_right), FV_KERNELS_END};
static const fv_kernel one_off_rows[] = {ROW("one_off", .run = run_one_off), FV_KERNELS_END};

/* A backend with its context; it must stay where it is as long as the context is used. */
typedef struct stage {
    fv_backend backend;
    const fv_kernel *tables[2];
    fv_context context;
} stage;

/* The reference's memory under another name, with these rows. */
static inline fv_context *stage_with(stage *s, const char *name, const fv_kernel *rows) {
    const fv_operation op = parse("relu elements=1");
    (void)planted_row(&op, FV_FORWARD, NULL); /* it looks for the truth */
    truth = plant.truth;
    s->backend = *reference->backend;
    s->backend.name = name;
    s->backend.tables = s->tables;
    s->tables[0] = rows;
    s->tables[1] = NULL;
    s->context = *reference;
    s->context.backend = &s->backend;
    return &s->context;
}

#endif
