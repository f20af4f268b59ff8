/* Relu by cuDNN, without a slope. Its backward function asks for x as well as y; since y > 0 exactly where x > 0, y is
 * given for both. */
#include <limits.h>

#include "backends/cudnn/plan.h"

static const char *supports(const fv_operation *op) {
    if (op->relu.slope > 0)
        return "cuDNN has no leaky relu among its older functions";
    if (op->relu.elements == 0)
        return "cuDNN takes no empty tensor";
    return op->relu.elements <= INT_MAX ? NULL : "cuDNN takes at most 2^31 - 1 elements in a tensor";
}

static fv_status describe(const fv_operation *op, fv_cudnn_plan *plan) {
    const fv_cudnn_api *api = &plan->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, FV_NHWC, 1, 1, op->relu.elements, 1, &plan->tensor[0]));
    FV_TRY(FV_CUDNN(api, "create an activation descriptor", api->activation_create(&plan->activation)));
    return FV_CUDNN(api, "describe an activation",
                    api->activation_set(plan->activation, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0.0));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NHWC, describe, state);
}

static fv_status forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    return FV_CUDNN(api, "apply relu",
                    api->activation_forward(plan->device->handle, plan->activation, &fv_cudnn_one, plan->tensor[0],
                                            buffers->at[FV_X], &fv_cudnn_zero, plan->tensor[0], buffers->at[FV_Y]));
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    const cudnnTensorDescriptor_t all = plan->tensor[0];
    return FV_CUDNN(api, "take the gradient of relu",
                    api->activation_backward(plan->device->handle, plan->activation, &fv_cudnn_one, all,
                                             buffers->at[FV_Y], all, buffers->at[FV_DY], all, buffers->at[FV_Y],
                                             &fv_cudnn_zero, all, buffers->at[FV_DX]));
}

#define ROW(direction, function)                                                                                       \
    {                                                                                                                  \
        .kind = FV_RELU, .pass = direction, .dtype = FV_F32, .name = "cudnn", .deterministic = true,                   \
        .supports = supports, .prepare = prepare, .release = fv_cudnn_release, .run = function                         \
    }

const fv_kernel fv_cudnn_relu_kernels[] = {
    ROW(FV_FORWARD, forward),
    ROW(FV_BACKWARD_DATA, backward_data),
    FV_KERNELS_END,
};
