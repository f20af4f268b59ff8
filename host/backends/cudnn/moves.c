/* Addition, and flattening as a change of layout, by cuDNN. It has no concatenation; its dropout draws other numbers
 * than ours, so that it drops other elements; and the gradient of an addition is copies. The cuda backend does
 * these. */
#include <limits.h>

#include "backends/cudnn/plan.h"

/* ---- add ---- */

static const char *supports_add(const fv_operation *op) {
    if (op->add.elements == 0)
        return "cuDNN takes no empty tensor";
    return op->add.elements <= INT_MAX ? NULL : "cuDNN takes at most 2^31 - 1 elements in a tensor";
}

static fv_status describe_add(const fv_operation *op, fv_cudnn_plan *plan) {
    const fv_cudnn_api *api = &plan->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, FV_NHWC, 1, 1, op->add.elements, 1, &plan->tensor[0]));
    FV_TRY(FV_CUDNN(api, "create an operation's descriptor", api->elementwise_create(&plan->elementwise)));
    return FV_CUDNN(
        api, "describe an addition",
        api->elementwise_set(plan->elementwise, CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_PROPAGATE_NAN));
}

static fv_status prepare_add(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NHWC, describe_add, state);
}

static fv_status run_add(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    const cudnnTensorDescriptor_t all = plan->tensor[0];
    return FV_CUDNN(api, "add",
                    api->elementwise_run(plan->device->handle, plan->elementwise, &fv_cudnn_one, all, buffers->at[FV_X],
                                         &fv_cudnn_one, all, buffers->at[FV_X2], &fv_cudnn_zero, all,
                                         buffers->at[FV_Y]));
}

/* ---- flatten ---- */

enum { IMAGES, FEATURES };

static const char *supports_flatten(const fv_operation *op) {
    const fv_flatten *d = &op->flatten;
    if (d->n == 0)
        return "cuDNN takes no empty batch";
    return fv_cudnn_fits(d->n, d->h, d->w, d->c) ? NULL : "cuDNN takes at most 2^31 - 1 elements in a tensor";
}

static fv_status describe_flatten(const fv_operation *op, fv_cudnn_plan *plan) {
    const fv_flatten *d = &op->flatten;
    const fv_cudnn_api *api = &plan->device->api;
    const fv_layout order = d->order == FV_HWC ? FV_NHWC : FV_NCHW;
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, FV_NHWC, d->n, d->h, d->w, d->c, &plan->tensor[IMAGES]));
    return fv_cudnn_tensor_create(api, FV_F32, order, d->n, d->h, d->w, d->c, &plan->tensor[FEATURES]);
}

static fv_status prepare_flatten(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NHWC, describe_flatten, state);
}

static fv_status transform(const fv_cudnn_plan *plan, int from, const void *source, int to, void *target) {
    const fv_cudnn_api *api = &plan->device->api;
    return FV_CUDNN(api, "change a layout",
                    api->transform(plan->device->handle, &fv_cudnn_one, plan->tensor[from], source, &fv_cudnn_zero,
                                   plan->tensor[to], target));
}

static fv_status flatten_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op;
    return transform(state, IMAGES, buffers->at[FV_X], FEATURES, buffers->at[FV_Y]);
}

static fv_status flatten_backward_data(fv_context *context, const fv_operation *op, void *state,
                                       const fv_buffers *buffers) {
    (void)context, (void)op;
    return transform(state, FEATURES, buffers->at[FV_DY], IMAGES, buffers->at[FV_DX]);
}

#define ROW(kind_, direction, refusal, prepare_, function)                                                             \
    {                                                                                                                  \
        .kind = kind_, .pass = direction, .dtype = FV_F32, .name = "cudnn", .deterministic = true,                     \
        .supports = refusal, .prepare = prepare_, .release = fv_cudnn_release, .run = function                         \
    }

const fv_kernel fv_cudnn_moves_kernels[] = {
    ROW(FV_ADD, FV_FORWARD, supports_add, prepare_add, run_add),
    ROW(FV_FLATTEN, FV_FORWARD, supports_flatten, prepare_flatten, flatten_forward),
    ROW(FV_FLATTEN, FV_BACKWARD_DATA, supports_flatten, prepare_flatten, flatten_backward_data),
    FV_KERNELS_END,
};
