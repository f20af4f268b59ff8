#include "backends/reference/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "ops/dtype.h"

static const fv_kernel *const tables[] = {
    fv_reference_conv2d,       fv_reference_transposed, fv_reference_chain,     fv_reference_unshared,
    fv_reference_deformable,   fv_reference_maxpool,    fv_reference_avgpool,   fv_reference_unpool,
    fv_reference_upsample,     fv_reference_linear,     fv_reference_batchnorm, fv_reference_relu,
    fv_reference_dropout,      fv_reference_concat,     fv_reference_add,       fv_reference_flatten,
    fv_reference_softmax_xent, fv_reference_batch,      fv_reference_update,    NULL,
};

static fv_status open_reference(fv_context *context, const fv_context_options *options) {
    (void)options;
    snprintf(context->description, sizeof context->description, "plain loops in double precision, 1 thread");
    return FV_OK;
}

static void close_reference(fv_context *context) {
    (void)context;
}

const fv_backend fv_backend_reference = {
    .name = "reference",
    .tables = tables,
    .open = open_reference,
    .close = close_reference,
    FV_HOST_MEMORY,
};

fv_status fv_reference_run_narrow(const fv_operation *op, fv_pass pass, fv_reference_loops *loops,
                                  const fv_buffers *buffers) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    void *wide[FV_MAX_SPECS] = {0};
    void *at[FV_ROLES];
    memcpy(at, buffers->at, sizeof at);
    fv_status status = FV_OK;
    for (int i = 0; i < count; ++i) {
        if (!fv_dtype_is_real(specs[i].dtype))
            continue;
        const int64_t elements = fv_shape_elements(&specs[i].shape);
        FV_TRY_GOTO(status, fv_host_allocate(NULL, (size_t)elements * sizeof(double), &wide[i]), done);
        at[specs[i].role] = wide[i];
        if (specs[i].direction != FV_OUT)
            fv_widen(specs[i].dtype, buffers->at[specs[i].role], wide[i], elements);
    }
    loops(op, at);
    for (int i = 0; i < count; ++i)
        if (wide[i] && specs[i].direction != FV_IN)
            fv_narrow(specs[i].dtype, wide[i], buffers->at[specs[i].role], fv_shape_elements(&specs[i].shape));
done:
    for (int i = 0; i < count; ++i)
        fv_host_deallocate(NULL, wide[i]);
    return status;
}

void fv_reference_begin_with_bias(double *y, int64_t outputs, const double *b, int64_t count) {
    for (int64_t i = 0; i < outputs; ++i)
        y[i] = b ? b[i % count] : 0;
}

void fv_reference_sum_bias(double *db, int64_t count, const double *dy, int64_t outputs) {
    fv_reference_clear(db, count);
    for (int64_t i = 0; i < outputs; ++i)
        db[i % count] += dy[i];
}
