/* Operations that are two others one behind the other, as these: a backend's own kernels, one after the other.
 *
 *     conv2d_separable, conv2d_spatial    two conv2d, the values between them in the workspace
 *     conv2d, batchnorm with relu=1       the same with relu=0, then relu in place on y; and backward the relu first, its
 *                                         gradient in the workspace
 *
 * The rows are the same in every backend: what a fused kernel has to beat, and what stands in where there is none for a
 * case. */
#include <stdlib.h>

#include "backends/kernel.h"
#include "base/checked.h"
#include "base/error.h"
#include "ops/chain.h"
#include "ops/dtype.h"
#include "ops/op.h"

enum { MOST_MOVED = 2, ALIGNMENT = 256, BETWEEN = FV_ROLES };

/* A call. Its tensors are those of the whole that have the same role, but for the ones that are moved: BETWEEN stands for
 * the one in the workspace. */
typedef struct step {
    int stage;
    fv_pass pass;
    int moves;
    struct {
        fv_role of_stage;
        int of_whole;
    } moved[MOST_MOVED];
} step;

typedef struct recipe {
    int count;
    step steps[FV_MOST_STEPS];
} recipe;

static const recipe chain_forward = {2,
                                     {
                                         {0, FV_FORWARD, 1, {{FV_Y, BETWEEN}}},
                                         {1, FV_FORWARD, 2, {{FV_X, BETWEEN}, {FV_W, FV_W2}}},
                                     }};

static const recipe chain_backward_data = {2,
                                           {
                                               {1, FV_BACKWARD_DATA, 2, {{FV_W, FV_W2}, {FV_DX, BETWEEN}}},
                                               {0, FV_BACKWARD_DATA, 1, {{FV_DY, BETWEEN}}},
                                           }};

/* The first stage's result serves the second's weights; then its gradient takes its place. */
static const recipe chain_backward_weights = {4,
                                              {
                                                  {0, FV_FORWARD, 1, {{FV_Y, BETWEEN}}},
                                                  {1, FV_BACKWARD_WEIGHTS, 2, {{FV_X, BETWEEN}, {FV_DW, FV_DW2}}},
                                                  {1, FV_BACKWARD_DATA, 2, {{FV_W, FV_W2}, {FV_DX, BETWEEN}}},
                                                  {0, FV_BACKWARD_WEIGHTS, 1, {{FV_DY, BETWEEN}}},
                                              }};

static const recipe relu_forward = {2,
                                    {
                                        {0, FV_FORWARD, 0, {{0}}},
                                        {1, FV_FORWARD, 1, {{FV_X, FV_Y}}},
                                    }};

static const recipe relu_backward_data = {2,
                                          {
                                              {1, FV_BACKWARD_DATA, 1, {{FV_DX, BETWEEN}}},
                                              {0, FV_BACKWARD_DATA, 1, {{FV_DY, BETWEEN}}},
                                          }};

/* The operations that stages are. Those of a chain are in f32, whatever tf32 permits: nobody would tell of what a stage
 * loses. relu's x has as many elements as the y in front of it. */
static void stages_of(const fv_operation *op, fv_operation stages[2]) {
    if (op->kind != FV_CONV2D && op->kind != FV_BATCHNORM) {
        fv_chain_stages(op, stages);
        for (int i = 0; i < 2; ++i)
            fv_operation_set_dtype(&stages[i], fv_dtype_stored(fv_operation_dtype(&stages[i])));
        return;
    }
    fv_tensor_spec y;
    fv_operation_tensor(op, FV_FORWARD, FV_Y, &y);
    stages[0] = *op;
    *(op->kind == FV_CONV2D ? &stages[0].conv2d.relu : &stages[0].batchnorm.relu) = 0;
    stages[1] = (fv_operation){.kind = FV_RELU, .relu = {.elements = fv_shape_elements(&y.shape), .dtype = y.dtype}};
}

typedef struct plan {
    int count; /* of calls prepared */
    fv_call calls[FV_MOST_STEPS];
    int source[FV_MOST_STEPS][FV_ROLES]; /* the role of the whole, or BETWEEN, for each of a call's; -1: it has none */
    size_t between, workspace;           /* bytes */
} plan;

static void release(void *state) {
    plan *p = state;
    for (int i = 0; p && i < p->count; ++i)
        fv_call_release(&p->calls[i]);
    free(p);
}

/* Says where the tensors of a call come from. */
static void place_tensors(plan *p, const fv_operation *stage, const step *s, int source[FV_ROLES]) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(stage, s->pass, specs);
    for (int role = 0; role < FV_ROLES; ++role)
        source[role] = -1;
    for (int i = 0; i < count; ++i)
        source[specs[i].role] = (int)specs[i].role;
    for (int i = 0; i < s->moves; ++i)
        source[s->moved[i].of_stage] = s->moved[i].of_whole;
    for (int i = 0; i < count; ++i)
        if (source[specs[i].role] == BETWEEN)
            p->between = (size_t)fv_round_up((int64_t)fv_spec_bytes(&specs[i]), ALIGNMENT);
}

static fv_status fill(plan *p, fv_context *context, const fv_operation *op, const recipe *r) {
    fv_operation stages[2];
    stages_of(op, stages);
    for (; p->count < r->count; ++p->count) {
        const step *s = &r->steps[p->count];
        fv_call *call = &p->calls[p->count];
        FV_TRY(fv_call_prepare_own(call, context, &stages[s->stage], s->pass));
        p->workspace = call->workspace > p->workspace ? call->workspace : p->workspace;
        place_tensors(p, &stages[s->stage], s, p->source[p->count]);
    }
    return FV_OK;
}

static fv_status prepare(fv_context *context, const fv_operation *op, const recipe *r, void **state) {
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for a plan", fv_kind_name(op->kind));
    const fv_status status = fill(p, context, op, r);
    if (status == FV_OK)
        *state = p;
    else
        release(p);
    return status;
}

static int list_steps(const fv_operation *op, const recipe *r, fv_kernel_step steps[FV_MOST_STEPS]) {
    fv_operation stages[2];
    stages_of(op, stages);
    for (int i = 0; i < r->count; ++i)
        steps[i] = (fv_kernel_step){stages[r->steps[i].stage], r->steps[i].pass};
    return r->count;
}

/* A recipe's entries in its rows. */
#define ENTRIES(recipe_)                                                                                               \
    static fv_status prepare_##recipe_(fv_context *context, const fv_operation *op, void **state) {                    \
        return prepare(context, op, &recipe_, state);                                                                  \
    }                                                                                                                  \
    static int steps_##recipe_(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]) {                          \
        return list_steps(op, &recipe_, steps);                                                                        \
    }
ENTRIES(chain_forward)
ENTRIES(chain_backward_data)
ENTRIES(chain_backward_weights)
ENTRIES(relu_forward)
ENTRIES(relu_backward_data)

static const char *supports_relu(const fv_operation *op) {
    return (op->kind == FV_CONV2D ? op->conv2d.relu : op->batchnorm.relu) ? NULL : "it is one operation: relu=0";
}

static size_t workspace(const fv_operation *op, const void *state) {
    const plan *p = state;
    (void)op;
    return p->between + p->workspace;
}

static void numerics(const fv_operation *op, const void *state, fv_numerics *numerics) {
    const plan *p = state;
    (void)op;
    for (int i = 0; i < p->count; ++i)
        numerics->notes |= fv_call_numerics(&p->calls[i]).notes;
}

static fv_status run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const plan *p = state;
    (void)context, (void)op;
    for (int i = 0; i < p->count; ++i) {
        fv_buffers stage = {.workspace = (char *)buffers->workspace + p->between};
        for (int role = 0; role < FV_ROLES; ++role)
            if (p->source[i][role] >= 0)
                stage.at[role] = p->source[i][role] == BETWEEN ? buffers->workspace : buffers->at[p->source[i][role]];
        FV_TRY(fv_call_run(&p->calls[i], &stage));
    }
    return FV_OK;
}

#define ROW(kind_, pass_, recipe_, rule, ...)                                                                          \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = "unfused", .min_capability = 80, .deterministic = true, \
        .prepare = prepare_##recipe_, .steps = steps_##recipe_, .release = release, .workspace = workspace,            \
        .workspace_rule = rule, .numerics = numerics, .run = run, __VA_ARGS__                                          \
    }
#define CHAIN_ROW(kind, pass, recipe)                                                                                  \
    ROW(kind, pass, recipe, "the values between the stages, and what the two conv2d kernels ask for", .supports = NULL)
#define RELU_ROW(kind, pass, recipe, rule) ROW(kind, pass, recipe, rule, .supports = supports_relu, .fuses_relu = true)

const fv_kernel fv_unfused_kernels[] = {
    RELU_ROW(FV_CONV2D, FV_FORWARD, relu_forward, "what the conv2d kernel asks for"),
    CHAIN_ROW(FV_SEPARABLE, FV_FORWARD, chain_forward),
    CHAIN_ROW(FV_SEPARABLE, FV_BACKWARD_DATA, chain_backward_data),
    CHAIN_ROW(FV_SEPARABLE, FV_BACKWARD_WEIGHTS, chain_backward_weights),
    CHAIN_ROW(FV_SPATIAL, FV_FORWARD, chain_forward),
    CHAIN_ROW(FV_SPATIAL, FV_BACKWARD_DATA, chain_backward_data),
    CHAIN_ROW(FV_SPATIAL, FV_BACKWARD_WEIGHTS, chain_backward_weights),
    FV_KERNELS_END,
};

const fv_kernel fv_unfused_batchnorm_kernels[] = {
    RELU_ROW(FV_BATCHNORM, FV_FORWARD, relu_forward, "what the batchnorm kernel asks for"),
    RELU_ROW(FV_BATCHNORM, FV_BACKWARD_DATA, relu_backward_data,
             "the gradient behind the relu, and what the batchnorm kernel asks for"),
    FV_KERNELS_END,
};
