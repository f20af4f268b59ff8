#include "backends/cudnn/plan.h"

#include <stdlib.h>

const float fv_cudnn_one = 1.0f, fv_cudnn_zero = 0.0f;

void fv_cudnn_release(void *state) {
    fv_cudnn_plan *plan = state;
    if (!plan)
        return;
    const fv_cudnn_api *api = &plan->device->api;
    for (int i = 0; i < FV_CUDNN_TENSORS; ++i)
        if (plan->tensor[i])
            (void)api->tensor_destroy(plan->tensor[i]);
    if (plan->activation)
        (void)api->activation_destroy(plan->activation);
    if (plan->elementwise)
        (void)api->elementwise_destroy(plan->elementwise);
    if (plan->pooling)
        (void)api->pooling_destroy(plan->pooling);
    free(plan);
}

fv_status fv_cudnn_prepare(fv_context *context, const fv_operation *op, fv_layout layout,
                           fv_status (*describe)(const fv_operation *op, fv_cudnn_plan *plan), void **state) {
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    fv_cudnn_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a %s", fv_kind_name(op->kind));
    plan->device = device;
    plan->layout = layout;
    const fv_status status = describe(op, plan);
    if (status == FV_OK)
        *state = plan;
    else
        fv_cudnn_release(plan);
    return status;
}
