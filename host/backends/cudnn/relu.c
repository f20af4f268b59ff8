/* Relu by cuDNN. Its backward function asks for x as well as y; since y > 0 exactly where x > 0, y is given for both.
 */
#include <limits.h>
#include <stdlib.h>

#include "backends/cudnn/cudnn.h"

typedef struct state {
    const fv_cudnn_device *device;
    cudnnActivationDescriptor_t activation;
    cudnnTensorDescriptor_t tensor;
} state;

static const char *supports(const fv_operation *op) {
    if (op->relu.elements == 0)
        return "cuDNN takes no empty tensor";
    return op->relu.elements <= INT_MAX ? NULL : "cuDNN takes at most 2^31 - 1 elements in a tensor";
}

static void release(void *opaque) {
    state *s = opaque;
    if (!s)
        return;
    if (s->activation)
        (void)s->device->api.activation_destroy(s->activation);
    if (s->tensor)
        (void)s->device->api.tensor_destroy(s->tensor);
    free(s);
}

static fv_status describe(state *s, int64_t elements) {
    const fv_cudnn_api *api = &s->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, 1, 1, elements, 1, &s->tensor));
    FV_TRY(FV_CUDNN(api, "create an activation descriptor", api->activation_create(&s->activation)));
    return FV_CUDNN(api, "describe an activation",
                    api->activation_set(s->activation, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0.0));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **opaque) {
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a relu");
    s->device = device;
    const fv_status status = describe(s, op->relu.elements);
    if (status != FV_OK) {
        release(s);
        return status;
    }
    *opaque = s;
    return FV_OK;
}

static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    return FV_CUDNN(api, "apply relu",
                    api->activation_forward(s->device->handle, s->activation, &alpha, s->tensor, buffers->at[FV_X],
                                            &beta, s->tensor, buffers->at[FV_Y]));
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    return FV_CUDNN(api, "take the gradient of relu",
                    api->activation_backward(s->device->handle, s->activation, &alpha, s->tensor, buffers->at[FV_Y],
                                             s->tensor, buffers->at[FV_DY], s->tensor, buffers->at[FV_Y], &beta,
                                             s->tensor, buffers->at[FV_DX]));
}

#define ROW(direction, function)                                                                                       \
    {                                                                                                                  \
        .kind = FV_RELU, .pass = direction, .dtype = FV_F32, .name = "cudnn", .deterministic = true,                   \
        .supports = supports, .prepare = prepare, .release = release, .run = function                                  \
    }

const fv_kernel fv_cudnn_relu_kernels[] = {
    ROW(FV_FORWARD, forward),
    ROW(FV_BACKWARD_DATA, backward_data),
    FV_KERNELS_END,
};
