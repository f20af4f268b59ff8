/* Tensors, and operations on them: the public face of calls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/kernel.h"
#include "base/checked.h"
#include "base/error.h"

static size_t tensor_bytes(const fv_tensor *tensor) {
    return fv_spec_bytes(&(fv_tensor_spec){.dtype = tensor->dtype, .shape = tensor->shape});
}

/* Bytes of a tensor that is yet to be; FV_BAD_INPUT if rank or an extent is out of range or the product overflows. */
static fv_status checked_bytes(fv_dtype dtype, const fv_shape *shape, int64_t *bytes) {
    if ((unsigned)dtype >= FV_DTYPES)
        return fv_fail(FV_BAD_INPUT, "tensor: no dtype has number %d", (int)dtype);
    if (shape->rank < 0 || shape->rank > FV_MAX_RANK)
        return fv_fail(FV_BAD_INPUT, "tensor: rank %d must be 0 to %d", shape->rank, FV_MAX_RANK);
    *bytes = (int64_t)fv_dtype_size(dtype);
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dim[i] < 0 || !fv_checked_mul(*bytes, shape->dim[i], bytes))
            return fv_fail(FV_BAD_INPUT, "tensor: extent %d is %" PRId64 ": negative, or the tensor exceeds 2^63 bytes",
                           i, shape->dim[i]);
    return FV_OK;
}

fv_status fv_tensor_create(fv_context *context, fv_dtype dtype, fv_shape shape, fv_tensor **tensor) {
    *tensor = NULL;
    int64_t bytes = 0;
    FV_TRY(checked_bytes(dtype, &shape, &bytes));
    fv_tensor *created = malloc(sizeof *created);
    if (!created)
        return fv_fail(FV_NO_MEMORY, "no memory for a tensor");
    *created = (fv_tensor){context, dtype, shape, NULL};
    fv_status status;
    FV_TRY_GOTO(status, context->backend->allocate(context, (size_t)bytes, &created->data), failed);
    FV_TRY_GOTO(status, context->backend->fill(context, created->data, 0, (size_t)bytes), failed);
    *tensor = created;
    return FV_OK;
failed:
    fv_tensor_destroy(created);
    return status;
}

void fv_tensor_destroy(fv_tensor *tensor) {
    if (!tensor)
        return;
    if (tensor->data)
        tensor->context->backend->deallocate(tensor->context, tensor->data);
    free(tensor);
}

static fv_status require_size(const fv_tensor *tensor, size_t bytes) {
    if (bytes != tensor_bytes(tensor))
        return fv_fail(FV_BAD_INPUT, "tensor: %zu bytes given, but it has %zu", bytes, tensor_bytes(tensor));
    return FV_OK;
}

fv_status fv_tensor_write(fv_tensor *tensor, const void *host, size_t bytes) {
    FV_TRY(require_size(tensor, bytes));
    return tensor->context->backend->upload(tensor->context, tensor->data, host, bytes);
}

fv_status fv_tensor_read(const fv_tensor *tensor, void *host, size_t bytes) {
    FV_TRY(require_size(tensor, bytes));
    return tensor->context->backend->download(tensor->context, host, tensor->data, bytes);
}

enum { SHAPE_TEXT = 2 + 21 * FV_MAX_RANK };

static void print_shape(const fv_shape *shape, char buffer[SHAPE_TEXT]) {
    int length = snprintf(buffer, SHAPE_TEXT, "[");
    for (int i = 0; i < shape->rank; ++i)
        length += snprintf(buffer + length, SHAPE_TEXT - (size_t)length, "%s%" PRId64, i ? "," : "", shape->dim[i]);
    snprintf(buffer + length, SHAPE_TEXT - (size_t)length, "]");
}

static fv_status check_tensor(const fv_operation *op, fv_pass pass, const fv_tensor_spec *spec,
                              const fv_context *context, const fv_tensor *tensor) {
    char expected[SHAPE_TEXT], got[SHAPE_TEXT];
    print_shape(&spec->shape, expected);
    if (!tensor)
        return fv_fail(FV_BAD_INPUT, "%s %s: tensor %s is missing: expected %s %s", fv_kind_name(op->kind),
                       fv_pass_name(pass), fv_role_name(spec->role), fv_dtype_name(spec->dtype), expected);
    print_shape(&tensor->shape, got);
    bool same = tensor->dtype == spec->dtype && tensor->shape.rank == spec->shape.rank;
    for (int i = 0; same && i < spec->shape.rank; ++i)
        same = tensor->shape.dim[i] == spec->shape.dim[i];
    if (!same)
        return fv_fail(FV_BAD_INPUT, "%s %s: tensor %s is %s %s: expected %s %s", fv_kind_name(op->kind),
                       fv_pass_name(pass), fv_role_name(spec->role), fv_dtype_name(tensor->dtype), got,
                       fv_dtype_name(spec->dtype), expected);
    if (tensor->context != context)
        return fv_fail(FV_BAD_INPUT, "%s %s: tensor %s belongs to another context", fv_kind_name(op->kind),
                       fv_pass_name(pass), fv_role_name(spec->role));
    return FV_OK;
}

fv_status fv_execute(fv_context *context, const fv_operation *op, fv_pass pass, fv_tensor *const tensors[FV_ROLES]) {
    FV_TRY(fv_operation_validate(op));
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    if (count == 0)
        return fv_fail(FV_UNSUPPORTED, "%s has no %s", fv_kind_name(op->kind), fv_pass_name(pass));
    fv_buffers buffers = {0};
    for (int i = 0; i < count; ++i) {
        FV_TRY(check_tensor(op, pass, &specs[i], context, tensors[specs[i].role]));
        buffers.at[specs[i].role] = tensors[specs[i].role]->data;
    }
    fv_call call;
    FV_TRY(fv_call_prepare(&call, context, op, pass));
    fv_status status = FV_OK;
    if (call.workspace)
        FV_TRY_GOTO(status, context->backend->allocate(context, call.workspace, &buffers.workspace), done);
    FV_TRY_GOTO(status, fv_call_run(&call, &buffers), done);
    status = context->backend->synchronize(context);
done:
    if (buffers.workspace)
        context->backend->deallocate(context, buffers.workspace);
    fv_call_release(&call);
    return status;
}
