/* conv2d_separable and conv2d_spatial as what they are made of: a backend's own conv2d kernels one behind the other,
 * the values between the stages in the workspace. The rows are the same in every backend: what a fused kernel has to
 * beat, and what stands in where there is none for a case. */
#include <stdlib.h>

#include "backends/kernel.h"
#include "base/checked.h"
#include "base/error.h"
#include "ops/chain.h"
#include "ops/dtype.h"
#include "ops/op.h"

enum { ALIGNMENT = 256 };

/* One call, and which tensors of the whole are its. FV_ROLES stands for the one between the stages; where there are
 * fewer than four, the last is named twice. */
typedef struct step {
    int stage;
    fv_pass pass;
    struct {
        fv_role of_stage, of_whole;
    } tensors[4];
} step;

static const step forward[] = {
    {0, FV_FORWARD, {{FV_X, FV_X}, {FV_W, FV_W}, {FV_Y, FV_ROLES}, {FV_Y, FV_ROLES}}},
    {1, FV_FORWARD, {{FV_X, FV_ROLES}, {FV_W, FV_W2}, {FV_B, FV_B}, {FV_Y, FV_Y}}},
};

static const step backward_data[] = {
    {1, FV_BACKWARD_DATA, {{FV_DY, FV_DY}, {FV_W, FV_W2}, {FV_DX, FV_ROLES}, {FV_DX, FV_ROLES}}},
    {0, FV_BACKWARD_DATA, {{FV_DY, FV_ROLES}, {FV_W, FV_W}, {FV_DX, FV_DX}, {FV_DX, FV_DX}}},
};

/* The first stage's result serves the second's weights; then its gradient takes its place. */
static const step backward_weights[] = {
    {0, FV_FORWARD, {{FV_X, FV_X}, {FV_W, FV_W}, {FV_Y, FV_ROLES}, {FV_Y, FV_ROLES}}},
    {1, FV_BACKWARD_WEIGHTS, {{FV_X, FV_ROLES}, {FV_DY, FV_DY}, {FV_DW, FV_DW2}, {FV_DB, FV_DB}}},
    {1, FV_BACKWARD_DATA, {{FV_DY, FV_DY}, {FV_W, FV_W2}, {FV_DX, FV_ROLES}, {FV_DX, FV_ROLES}}},
    {0, FV_BACKWARD_WEIGHTS, {{FV_X, FV_X}, {FV_DY, FV_ROLES}, {FV_DW, FV_DW}, {FV_DW, FV_DW}}},
};

typedef struct plan {
    const step *steps;
    int count; /* of calls prepared */
    fv_call calls[FV_MOST_STEPS];
    size_t between, workspace; /* bytes */
} plan;

static void release(void *state) {
    plan *p = state;
    for (int i = 0; p && i < p->count; ++i)
        fv_call_release(&p->calls[i]);
    free(p);
}

/* In f32, whatever tf32 permits: nobody would tell of what a stage loses. */
static void list_stages(const fv_operation *op, fv_operation stages[2]) {
    fv_chain_stages(op, stages);
    for (int i = 0; i < 2; ++i)
        fv_operation_set_dtype(&stages[i], fv_dtype_stored(fv_operation_dtype(&stages[i])));
}

static fv_status fill(plan *p, fv_context *context, const fv_operation *op, const step *steps, int count) {
    fv_operation stages[2];
    list_stages(op, stages);
    fv_tensor_spec between;
    fv_operation_tensor(&stages[1], FV_FORWARD, FV_X, &between);
    p->steps = steps;
    p->between = (size_t)fv_round_up((int64_t)fv_spec_bytes(&between), ALIGNMENT);
    for (; p->count < count; ++p->count) {
        fv_call *call = &p->calls[p->count];
        FV_TRY(fv_call_prepare_own(call, context, &stages[steps[p->count].stage], steps[p->count].pass));
        p->workspace = call->workspace > p->workspace ? call->workspace : p->workspace;
    }
    return FV_OK;
}

static fv_status prepare(fv_context *context, const fv_operation *op, const step *steps, int count, void **state) {
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for a plan", fv_kind_name(op->kind));
    const fv_status status = fill(p, context, op, steps, count);
    if (status == FV_OK)
        *state = p;
    else
        release(p);
    return status;
}

static int list_steps(const fv_operation *op, const step *steps, int count, fv_kernel_step listed[FV_MOST_STEPS]) {
    fv_operation stages[2];
    list_stages(op, stages);
    for (int i = 0; i < count; ++i)
        listed[i] = (fv_kernel_step){stages[steps[i].stage], steps[i].pass};
    return count;
}

static fv_status prepare_forward(fv_context *context, const fv_operation *op, void **state) {
    return prepare(context, op, forward, sizeof forward / sizeof forward[0], state);
}

static fv_status prepare_backward_data(fv_context *context, const fv_operation *op, void **state) {
    return prepare(context, op, backward_data, sizeof backward_data / sizeof backward_data[0], state);
}

static fv_status prepare_backward_weights(fv_context *context, const fv_operation *op, void **state) {
    return prepare(context, op, backward_weights, sizeof backward_weights / sizeof backward_weights[0], state);
}

static int steps_forward(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]) {
    return list_steps(op, forward, sizeof forward / sizeof forward[0], steps);
}

static int steps_backward_data(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]) {
    return list_steps(op, backward_data, sizeof backward_data / sizeof backward_data[0], steps);
}

static int steps_backward_weights(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]) {
    return list_steps(op, backward_weights, sizeof backward_weights / sizeof backward_weights[0], steps);
}

static size_t workspace(const fv_operation *op, const void *state) {
    const plan *p = state;
    (void)op;
    return p->between + p->workspace;
}

static fv_status run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const plan *p = state;
    (void)context, (void)op;
    for (int i = 0; i < p->count; ++i) {
        const step *s = &p->steps[i];
        fv_buffers stage = {.workspace = (char *)buffers->workspace + p->between};
        for (size_t t = 0; t < sizeof s->tensors / sizeof s->tensors[0]; ++t)
            stage.at[s->tensors[t].of_stage] =
                s->tensors[t].of_whole == FV_ROLES ? buffers->workspace : buffers->at[s->tensors[t].of_whole];
        FV_TRY(fv_call_run(&p->calls[i], &stage));
    }
    return FV_OK;
}

#define ROW(kind_, pass_, direction)                                                                                   \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = "unfused", .min_capability = 80, .deterministic = true, \
        .prepare = prepare_##direction, .steps = steps_##direction, .release = release, .workspace = workspace,        \
        .workspace_rule = "the values between the stages, and what the two conv2d kernels ask for", .run = run         \
    }

const fv_kernel fv_unfused_kernels[] = {
    ROW(FV_SEPARABLE, FV_FORWARD, forward),
    ROW(FV_SEPARABLE, FV_BACKWARD_DATA, backward_data),
    ROW(FV_SEPARABLE, FV_BACKWARD_WEIGHTS, backward_weights),
    ROW(FV_SPATIAL, FV_FORWARD, forward),
    ROW(FV_SPATIAL, FV_BACKWARD_DATA, backward_data),
    ROW(FV_SPATIAL, FV_BACKWARD_WEIGHTS, backward_weights),
    FV_KERNELS_END,
};
