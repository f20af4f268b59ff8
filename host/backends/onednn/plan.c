/* Plans: see onednn.h.
 *
 * Scratch memory is "user" mode, from the caller's workspace: oneDNN's own would belong to the thread that created the
 * primitive, and a context may be handed to another thread.
 * The thread count is OpenMP's per-thread setting, put in place for the duration of a call, so that contexts with
 * different counts get along; oneDNN divides the work by it when it creates a primitive, so it must be the same when it
 * runs.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/onednn/onednn.h"
#include "base/checked.h"
#include "base/error.h"

enum {
    WORKSPACE_ALIGNMENT = 256,
    MAX_STEPS = 1 + FV_ONEDNN_OPERANDS,             /* the primitive and a reorder per operand */
    MAX_SLOTS = 2 * FV_ONEDNN_OPERANDS + MAX_STEPS, /* each operand twice, and a scratchpad per step */
    MAX_ARGUMENTS = FV_ONEDNN_OPERANDS + 1
};

/* A memory that running points at a tensor or into the workspace. */
typedef struct slot {
    dnnl_memory_t memory;
    bool in_workspace;
    fv_role role;
    size_t offset;
} slot;

typedef struct step {
    dnnl_primitive_t primitive;
    int count;
    dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
} step;

typedef struct plan {
    int slots, steps;
    slot slot[MAX_SLOTS];
    step step[MAX_STEPS]; /* in the order of execution */
    const step *main;     /* the one that is not a reorder */
    size_t workspace;
} plan;

/* ---- designs ---- */

fv_status fv_onednn_layout(dnnl_memory_desc_t *layout, int rank, const int64_t *dims, dnnl_data_type_t type,
                           dnnl_format_tag_t tag) {
    return fv_onednn_check(dnnl_memory_desc_init_by_tag(layout, rank, dims, type, tag), "describe a tensor");
}

fv_status fv_onednn_design_primitive(fv_onednn_design *design, const_dnnl_op_desc_t descriptor,
                                     const_dnnl_primitive_desc_t hint) {
    return fv_onednn_check(
        dnnl_primitive_desc_create(&design->primitive, descriptor, design->attributes, design->engine, hint),
        "find an implementation");
}

dnnl_data_type_t fv_onednn_type(fv_dtype dtype) {
    return dtype == FV_BF16 ? dnnl_bf16 : dnnl_f32;
}

const char *fv_onednn_lacks_bf16(const fv_context *context) {
    (void)context;
    const bool avx512 = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
    return avx512 ? NULL : "oneDNN 2 has bf16 for processors with AVX-512 alone";
}

void fv_onednn_design_operand(fv_onednn_design *design, fv_role role, int argument, const dnnl_memory_desc_t *layout) {
    design->operands[design->count++] = (fv_onednn_operand){role, argument, *layout};
}

const char *fv_onednn_too_large(const fv_operation *op, int64_t channels, const double reach[2]) {
    for (fv_pass pass = FV_FORWARD; pass < FV_PASSES; ++pass) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(op, pass, specs);
        for (int i = 0; i < count; ++i)
            if (fv_shape_elements(&specs[i].shape) > INT32_MAX)
                return "oneDNN 2 is not trusted with tensors of 2^31 elements or more";
    }
    if (!(reach[0] * reach[1] * (double)channels * (double)sizeof(float) < 0x1p31))
        return "oneDNN 2 is not trusted with padded images of 2^31 bytes or more";
    return NULL;
}

/* ---- building a plan ---- */

static fv_status add_slot(plan *p, dnnl_engine_t engine, const dnnl_memory_desc_t *layout, slot **added) {
    *added = &p->slot[p->slots];
    FV_TRY(fv_onednn_check(dnnl_memory_create(&(*added)->memory, layout, engine, DNNL_MEMORY_NONE), "create a memory"));
    ++p->slots;
    return FV_OK;
}

static fv_status add_workspace_slot(plan *p, dnnl_engine_t engine, const dnnl_memory_desc_t *layout, slot **added) {
    FV_TRY(add_slot(p, engine, layout, added));
    (*added)->in_workspace = true;
    (*added)->offset = p->workspace;
    p->workspace += (size_t)fv_round_up((int64_t)dnnl_memory_desc_get_size(layout), WORKSPACE_ALIGNMENT);
    return FV_OK;
}

static void add_argument(step *s, int argument, dnnl_memory_t memory) {
    s->arguments[s->count++] = (dnnl_exec_arg_t){argument, memory};
}

/* Creates the step's primitive and gives it the scratch memory it asks for. */
static fv_status create_primitive(plan *p, step *s, dnnl_engine_t engine, const_dnnl_primitive_desc_t descriptor) {
    FV_TRY(fv_onednn_check(dnnl_primitive_create(&s->primitive, descriptor), "create a primitive"));
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    if (!scratch || dnnl_memory_desc_get_size(scratch) == 0)
        return FV_OK;
    slot *added;
    FV_TRY(add_workspace_slot(p, engine, scratch, &added));
    add_argument(s, DNNL_ARG_SCRATCHPAD, added->memory);
    return FV_OK;
}

static fv_status add_reorder(plan *p, const fv_onednn_design *design, const dnnl_memory_desc_t *from_layout,
                             dnnl_memory_t from, const dnnl_memory_desc_t *to_layout, dnnl_memory_t to) {
    step *s = &p->step[p->steps++];
    dnnl_primitive_desc_t descriptor;
    FV_TRY(fv_onednn_check(dnnl_reorder_primitive_desc_create(&descriptor, from_layout, design->engine, to_layout,
                                                              design->engine, design->attributes),
                           "find a reorder"));
    const fv_status status = create_primitive(p, s, design->engine, descriptor);
    dnnl_primitive_desc_destroy(descriptor);
    add_argument(s, DNNL_ARG_FROM, from);
    add_argument(s, DNNL_ARG_TO, to);
    return status;
}

/* The memories of one operand, at most two: the tensor's own and, in another layout, the primitive's. */
typedef struct placed {
    const dnnl_memory_desc_t *wanted; /* the primitive's layout */
    dnnl_memory_t own, inner;         /* inner: NULL if the tensor's layout will do */
} placed;

static fv_status place_operand(plan *p, const fv_onednn_design *design, const fv_onednn_operand *operand,
                               placed *place) {
    slot *added;
    FV_TRY(add_slot(p, design->engine, &operand->layout, &added));
    added->role = operand->role;
    *place = (placed){.own = added->memory};
    place->wanted = dnnl_primitive_desc_query_md(design->primitive, dnnl_query_exec_arg_md, operand->argument);
    if (!place->wanted)
        return fv_fail(FV_DEVICE, "onednn: a primitive lacks its argument %d", operand->argument);
    if (dnnl_memory_desc_equal(place->wanted, &operand->layout))
        return FV_OK;
    FV_TRY(add_workspace_slot(p, design->engine, place->wanted, &added));
    place->inner = added->memory;
    return FV_OK;
}

static bool is_output(fv_role role) {
    return role == FV_Y || role == FV_DX || role == FV_DW || role == FV_DB;
}

static fv_status build(plan *p, const fv_onednn_design *design) {
    placed places[FV_ONEDNN_OPERANDS];
    for (int i = 0; i < design->count; ++i) {
        const fv_onednn_operand *operand = &design->operands[i];
        FV_TRY(place_operand(p, design, operand, &places[i]));
        if (places[i].inner && !is_output(operand->role))
            FV_TRY(add_reorder(p, design, &operand->layout, places[i].own, places[i].wanted, places[i].inner));
    }
    step *s = &p->step[p->steps++];
    p->main = s;
    FV_TRY(create_primitive(p, s, design->engine, design->primitive));
    for (int i = 0; i < design->count; ++i) {
        const fv_onednn_operand *operand = &design->operands[i];
        add_argument(s, operand->argument, places[i].inner ? places[i].inner : places[i].own);
        if (places[i].inner && is_output(operand->role))
            FV_TRY(add_reorder(p, design, places[i].wanted, places[i].inner, &operand->layout, places[i].own));
    }
    return FV_OK;
}

/* fp32 stays fp32 whatever DNNL_DEFAULT_FPMATH_MODE says. */
static fv_status create_attributes(dnnl_primitive_attr_t *attributes) {
    FV_TRY(fv_onednn_check(dnnl_primitive_attr_create(attributes), "create attributes"));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*attributes, dnnl_fpmath_mode_strict);
    if (status != dnnl_success)
        dnnl_primitive_attr_destroy(*attributes);
    return fv_onednn_check(status, "set attributes");
}

static fv_status design_and_build(const fv_operation *op, dnnl_engine_t engine,
                                  fv_status (*describe)(const fv_operation *op, fv_onednn_design *design), plan *p) {
    dnnl_primitive_attr_t attributes;
    FV_TRY(create_attributes(&attributes));
    fv_onednn_design design = {.engine = engine, .attributes = attributes};
    fv_status status = describe(op, &design);
    if (status == FV_OK)
        status = build(p, &design);
    if (design.primitive)
        dnnl_primitive_desc_destroy(design.primitive);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* ---- the entries of a row ---- */

fv_status fv_onednn_prepare(fv_context *context, const fv_operation *op, int64_t items,
                            fv_status (*describe)(const fv_operation *op, fv_onednn_design *design), void **state) {
    const fv_onednn_device *device = context->device;
    *state = NULL;
    if (items == 0)
        return FV_OK;
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_NO_MEMORY, "onednn: no memory for a plan");
    const int callers_threads = omp_get_max_threads();
    omp_set_num_threads(device->threads);
    const fv_status status = design_and_build(op, device->engine, describe, p);
    omp_set_num_threads(callers_threads);
    if (status == FV_OK)
        *state = p;
    else
        fv_onednn_release(p);
    return status;
}

void fv_onednn_release(void *state) {
    plan *p = state;
    if (!p)
        return;
    for (int i = 0; i < p->steps; ++i)
        if (p->step[i].primitive)
            dnnl_primitive_destroy(p->step[i].primitive);
    for (int i = 0; i < p->slots; ++i)
        dnnl_memory_destroy(p->slot[i].memory);
    free(p);
}

size_t fv_onednn_workspace(const fv_operation *op, const void *state) {
    (void)op;
    return state ? ((const plan *)state)->workspace : 0;
}

void fv_onednn_numerics(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op;
    const plan *p = state;
    const_dnnl_primitive_desc_t descriptor = NULL;
    const char *name = NULL;
    if (p && dnnl_primitive_get_primitive_desc(p->main->primitive, &descriptor) == dnnl_success &&
        dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name) == dnnl_success)
        snprintf(numerics->description, sizeof numerics->description, "%s", name);
}

/* Setting a handle makes oneDNN zero a blocked layout's padding, so it is done only where the pointer is a new one. */
static fv_status aim(const slot *s, const fv_buffers *buffers) {
    void *target = s->in_workspace ? (char *)buffers->workspace + s->offset : buffers->at[s->role];
    void *current = NULL;
    FV_TRY(fv_onednn_check(dnnl_memory_get_data_handle(s->memory, &current), "read a memory's address"));
    if (target == current)
        return FV_OK;
    return fv_onednn_check(dnnl_memory_set_data_handle(s->memory, target), "set a memory's address");
}

static fv_status execute(const plan *p, dnnl_stream_t stream, const fv_buffers *buffers) {
    for (int i = 0; i < p->slots; ++i)
        FV_TRY(aim(&p->slot[i], buffers));
    for (int i = 0; i < p->steps; ++i) {
        const step *s = &p->step[i];
        FV_TRY(
            fv_onednn_check(dnnl_primitive_execute(s->primitive, stream, s->count, s->arguments), "run a primitive"));
    }
    return fv_onednn_check(dnnl_stream_wait(stream), "finish");
}

/* Without a batch only the weight gradients have elements: sums of no terms. */
static fv_status run_empty(const fv_operation *op, const fv_buffers *buffers) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, FV_BACKWARD_WEIGHTS, specs);
    for (int i = 0; i < count; ++i)
        if (specs[i].direction == FV_OUT && buffers->at[specs[i].role])
            memset(buffers->at[specs[i].role], 0, fv_spec_bytes(&specs[i]));
    return FV_OK;
}

fv_status fv_onednn_run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    const fv_onednn_device *device = context->device;
    if (!state)
        return run_empty(op, buffers);
    const int callers_threads = omp_get_max_threads();
    omp_set_num_threads(device->threads);
    const fv_status status = execute(state, device->stream, buffers);
    omp_set_num_threads(callers_threads);
    return status;
}
