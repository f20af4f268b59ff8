/* Inputs for a check: every element is a function of (seed, role, index). */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/random.h"
#include "ops/dtype.h"
#include "ops/op.h"
#include "verify/verify.h"

void fv_host_tensors_release(fv_host_tensors *tensors) {
    for (int role = 0; role < FV_ROLES; ++role)
        fv_host_deallocate(NULL, tensors->at[role]);
    memset(tensors, 0, sizeof *tensors);
}

fv_operation fv_in_double(const fv_operation *op) {
    fv_operation wide = *op;
    fv_operation_set_dtype(&wide, FV_F64);
    return wide;
}

fv_status fv_run_reference(const fv_operation *op, fv_pass pass, const fv_host_tensors *tensors) {
    const fv_operation wide = fv_in_double(op);
    fv_context *reference;
    FV_TRY(fv_context_create("reference", NULL, &reference));
    fv_buffers buffers = {0};
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(&wide, pass, specs);
    for (int i = 0; i < count; ++i) /* there may be tensors of other passes, too */
        buffers.at[specs[i].role] = tensors->at[specs[i].role];
    fv_call call;
    fv_status status = fv_call_prepare(&call, reference, &wide, pass);
    if (status == FV_OK)
        status = fv_call_run(&call, &buffers);
    fv_call_release(&call);
    fv_context_destroy(reference);
    return status;
}

/* The largest integer that exact inputs may take, so that partial sums need no more than 24 bits; 0: there is none. */
static int64_t exact_range(const fv_exactness *e) {
    if (e->grain <= 0)
        return 0;
    const double most = 0x1p24 / (fmax(e->terms, 1) * e->grain);
    const double range = e->factors == 1 ? most : e->factors == 2 ? sqrt(most) : cbrt(most);
    return range < 1 ? 0 : range > 8 ? 8 : (int64_t)range;
}

/* Element `i` of a role, from a random word. */
static double real_value(fv_role role, uint32_t word, int64_t i) {
    const double value = 2 * (double)fv_random_unit(word) - 1;
    if (role == FV_V)
        return fabs(value); /* a mean of squares */
    if (role == FV_VARIANCE)
        return 0.25 + fabs(value);
    /* Tap positions have to be the same in f32 and f64, and off the grid, where gradients by offsets jump. */
    if (role == FV_OFFSET)
        return (2 * floor(1024 * value) + 1) / 1024;
    if (role == FV_RATE)
        return i == 0 ? 0x1p-6 : i == 1 ? 1.25 : 1.5; /* learning rate, 1/(1-beta1^t), 1/(1-beta2^t) */
    return value;
}

void fv_generate_reals(const fv_tensor_spec *spec, uint64_t seed, void *data) {
    enum { WORDS = 4, PARALLEL = 1 << 16 }; /* fewer elements are not worth the start of threads */
    const int64_t elements = fv_shape_elements(&spec->shape), blocks = (elements + WORDS - 1) / WORDS;
#ifdef _OPENMP
#pragma omp parallel for if (elements >= PARALLEL)
#endif
    for (int64_t b = 0; b < blocks; ++b) {
        const fv_philox random = fv_philox4x32(seed, spec->role, (uint64_t)b);
        for (int64_t i = WORDS * b; i < fv_min(WORDS * (b + 1), elements); ++i) {
            const double value = real_value(spec->role, random.word[i % WORDS], i);
            fv_set_element(spec->dtype, data, i, value);
        }
    }
}

/* What the integers of the exact comparison are made of: at most `range` in size, and the filters' times `step`. */
typedef struct integers {
    int64_t range;
    double step;
} integers;

/* Such an integer; offsets and masks of conv2d_deformable are multiples of 1/4, up to 2 and 1. */
static double exact_value(fv_role role, const integers *made, uint64_t seed, uint64_t i) {
    if (role == FV_OFFSET)
        return (fv_random_below(seed, role, i, 17) - 8.0) / 4;
    if (role == FV_MASK)
        return fv_random_below(seed, role, i, 5) / 4.0;
    const double value = (double)fv_random_below(seed, role, i, (uint32_t)(2 * made->range + 1)) - (double)made->range;
    return role == FV_W ? made->step * value : value;
}

/* Integers of the index tensors lie below this. */
static uint32_t index_limit(const fv_operation *op, fv_role role) {
    switch (role) {
    case FV_ARGMAX:
        return (uint32_t)(op->pool.r * op->pool.s);
    case FV_STEP:
        return 1000;
    case FV_LABELS:
        return (uint32_t)op->softmax_xent.classes;
    case FV_ORDER:
        return (uint32_t)op->batch.items;
    default:
        return 256; /* bytes */
    }
}

static void fill_tensor(const fv_operation *op, const fv_tensor_spec *spec, fv_fill fill, const integers *made,
                        uint64_t seed, void *data) {
    const int64_t elements = fv_shape_elements(&spec->shape);
    if (spec->dtype == FV_F64 && fill == FV_BOUNDED) {
        fv_generate_reals(spec, seed, data);
        return;
    }
    for (int64_t i = 0; i < elements; ++i) {
        const uint64_t index = (uint64_t)i;
        if (spec->dtype == FV_U8)
            ((uint8_t *)data)[i] = (uint8_t)fv_random_below(seed, spec->role, index, index_limit(op, spec->role));
        else if (spec->dtype == FV_I32)
            ((int32_t *)data)[i] = (int32_t)fv_random_below(seed, spec->role, index, index_limit(op, spec->role));
        else
            ((double *)data)[i] = exact_value(spec->role, made, seed, index);
    }
}

static fv_status allocate_tensors(const fv_tensor_spec *specs, int count, fv_host_tensors *tensors) {
    for (int i = 0; i < count; ++i)
        if (!tensors->at[specs[i].role])
            FV_TRY(fv_host_allocate(NULL, fv_spec_bytes(&specs[i]), &tensors->at[specs[i].role]));
    return FV_OK;
}

/* The longest sum behind any output of the operation, in any pass. */
static int64_t longest_reduction(const fv_operation *op, fv_pass pass) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    int64_t longest = 1;
    for (int i = 0; i < count; ++i)
        if (specs[i].direction != FV_IN) {
            const int64_t k = fv_op_info_of(op->kind)->reduction(op, pass, specs[i].role);
            longest = k > longest ? k : longest;
        }
    return longest;
}

static fv_exactness exactness_of(const fv_operation *op, fv_pass pass) {
    const fv_op_info *info = fv_op_info_of(op->kind);
    return info->exactness ? info->exactness(op, pass) : (fv_exactness){(double)longest_reduction(op, pass), 2, 1};
}

/* Filters that Winograd's transforms may have to divide are for every kernel alike. */
static integers integers_of(const fv_operation *op, fv_pass pass, const fv_exactness *exactness) {
    const int64_t range = exact_range(exactness), winograd = fv_winograd_range(op, pass);
    return winograd ? (integers){fv_min(range, winograd), FV_WINOGRAD_STEP} : (integers){range, 1};
}

fv_status fv_generate(const fv_operation *op, fv_pass pass, fv_fill fill, uint64_t seed, fv_host_tensors *tensors) {
    memset(tensors, 0, sizeof *tensors);
    const fv_operation wide = fv_in_double(op);
    const fv_exactness exactness = exactness_of(op, pass);
    const integers made = integers_of(op, pass, &exactness);
    if (fill == FV_EXACT && exactness.grain <= 0)
        return fv_fail(FV_UNSUPPORTED, "the operation does not map integers to numbers that are exact in f32");
    if (fill == FV_EXACT && made.range < 1)
        return fv_fail(FV_UNSUPPORTED, "sums of so many terms exceed 2^24, up to which integers are exact in f32");
    fv_tensor_spec specs[FV_MAX_SPECS], forward[FV_MAX_SPECS];
    const int count = fv_operation_signature(&wide, pass, specs);
    const int forward_count = fv_operation_signature(&wide, FV_FORWARD, forward);

    fv_status status;
    bool needs_forward = false;
    FV_TRY_GOTO(status, allocate_tensors(specs, count, tensors), failed);
    for (int i = 0; i < count; ++i) {
        if (specs[i].direction == FV_OUT)
            continue;
        fill_tensor(op, &specs[i], fill, &made, seed, tensors->at[specs[i].role]);
        for (int j = 0; pass != FV_FORWARD && j < forward_count; ++j)
            needs_forward |= forward[j].direction == FV_OUT && forward[j].role == specs[i].role;
    }
    if (needs_forward) {
        FV_TRY_GOTO(status, allocate_tensors(forward, forward_count, tensors), failed);
        for (int j = 0; j < forward_count; ++j)
            if (forward[j].direction != FV_OUT)
                fill_tensor(op, &forward[j], fill, &made, seed, tensors->at[forward[j].role]);
        FV_TRY_GOTO(status, fv_run_reference(op, FV_FORWARD, tensors), failed);
    }
    return FV_OK;
failed:
    fv_host_tensors_release(tensors);
    return status;
}
