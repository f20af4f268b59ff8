#include "verify/shrink.h"

#include "ops/op.h"

enum { MOST_WORK = 200000000 }; /* a second or two under the emulator, but for kinds with much beside their sums */

typedef struct shrinking {
    fv_context *context;
    const fv_kernel *kernel;
    fv_fill fill;
    uint64_t seed;
    bool by_elements; /* it fails by wrong elements */
    fv_operation op;  /* the smallest so far */
    int64_t work;     /* left */
} shrinking;

/* That of a trial: terms of sums, or values that are read and written; the least is what setting one up amounts to. */
static int64_t work_of(const fv_operation *op, fv_pass pass) {
    double work = (double)fv_operation_bytes(op, pass) / (double)sizeof(float) + 20000;
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i)
        if (specs[i].direction != FV_IN)
            work += (double)fv_shape_elements(&specs[i].shape) *
                    (double)fv_op_info_of(op->kind)->reduction(op, pass, specs[i].role);
    return work < (double)MOST_WORK ? (int64_t)work : MOST_WORK + 1;
}

/* Whether a verdict says that the kernel failed by itself. What a device failure leaves behind says nothing. */
static bool tells(const fv_context *context, const fv_verdict *verdict) {
    return verdict->outcome == FV_FAILED && (verdict->compared > 0 || context->backend->host_memory);
}

/* Takes the candidate over if the kernel fails on it, too. */
static bool try_smaller(shrinking *s, const fv_operation *candidate) {
    if (fv_operation_validate(candidate) != FV_OK ||
        fv_kernel_refusal(s->kernel, s->context, candidate, s->kernel->pass))
        return false;
    const int64_t work = work_of(candidate, s->kernel->pass);
    if (work > s->work)
        return false;
    s->work -= work;
    fv_verdict verdict;
    if (fv_verify(s->context, s->kernel, candidate, s->kernel->pass, s->fill, s->seed, &verdict) != FV_OK ||
        !tells(s->context, &verdict) || (verdict.wrong > 0) != s->by_elements)
        return false;
    s->op = *candidate;
    return true;
}

static bool try_number(shrinking *s, const fv_field *field, int i, int64_t value) {
    int count;
    fv_operation candidate = s->op;
    fv_field_counts(field, &candidate, &count)[i] = value;
    return try_smaller(s, &candidate);
}

/* Tries powers of two up to half the number, and then to take ever less away from it. */
static bool shrink_number(shrinking *s, const fv_field *field, int i) {
    int count;
    const int64_t value = fv_field_counts(field, &s->op, &count)[i];
    for (int64_t least = 0; least < value && least <= value / 2; least = least ? 2 * least : 1)
        if (try_number(s, field, i, least))
            return true;
    for (int64_t less = value / 4; less > 0; less /= 2)
        if (try_number(s, field, i, value - less))
            return true;
    return value > 2 && try_number(s, field, i, value - 1);
}

void fv_shrink(fv_context *context, const fv_kernel *kernel, fv_fill fill, uint64_t seed, const fv_verdict *verdict,
               fv_operation *op) {
    shrinking s = {context, kernel, fill, seed, verdict->wrong > 0, *op, MOST_WORK};
    const fv_op_info *info = fv_op_info_of(op->kind);
    for (bool smaller = tells(context, verdict); smaller;) {
        smaller = false;
        for (int f = 0; f < info->field_count; ++f) {
            int count;
            fv_field_counts(&info->fields[f], &s.op, &count);
            for (int i = 0; i < count; ++i)
                while (shrink_number(&s, &info->fields[f], i))
                    smaller = true;
        }
    }
    *op = s.op;
}
