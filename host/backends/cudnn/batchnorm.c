/* Batch normalisation by cuDNN's older functions, per channel ("spatial"), in NHWC and, to be compared with, in NCHW.
 * They save and update the statistics as we do: rstd is saved, and the running variance is the unbiased one. Backward
 * they know the batch's statistics only. */
#include "backends/cudnn/plan.h"

enum { IMAGE, CHANNELS };

static const char *supports(const fv_operation *op) {
    const fv_batchnorm *d = &op->batchnorm;
    if (d->n == 0)
        return "cuDNN takes no empty batch";
    if (d->training && d->n * d->h * d->w == 1)
        return "cuDNN does not document the unbiased variance of one pixel";
    if (!(d->epsilon >= CUDNN_BN_MIN_EPSILON))
        return "cuDNN takes no epsilon so small";
    return fv_cudnn_fits(d->n, d->h, d->w, d->c) ? NULL : "cuDNN takes at most 2^31 - 1 elements in a tensor";
}

static const char *supports_backward(const fv_operation *op) {
    return op->batchnorm.training ? supports(op) : "cuDNN's gradient is that of training";
}

static fv_status describe(const fv_operation *op, fv_cudnn_plan *plan) {
    const fv_batchnorm *d = &op->batchnorm;
    const fv_cudnn_api *api = &plan->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, plan->layout, d->n, d->h, d->w, d->c, &plan->tensor[IMAGE]));
    FV_TRY(FV_CUDNN(api, "create a tensor descriptor", api->tensor_create(&plan->tensor[CHANNELS])));
    return FV_CUDNN(api, "describe the parameters of a batch normalisation",
                    api->batchnorm_derive(plan->tensor[CHANNELS], plan->tensor[IMAGE], CUDNN_BATCHNORM_SPATIAL));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NHWC, describe, state);
}

static fv_status prepare_nchw(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NCHW, describe, state);
}

static fv_status forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context;
    const fv_batchnorm *d = &op->batchnorm;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    const cudnnTensorDescriptor_t image = plan->tensor[IMAGE];
    void *const *at = buffers->at;
    if (!d->training)
        return FV_CUDNN(api, "normalise a batch",
                        api->batchnorm_inference(plan->device->handle, CUDNN_BATCHNORM_SPATIAL, &fv_cudnn_one,
                                                 &fv_cudnn_zero, image, at[FV_X], image, at[FV_Y],
                                                 plan->tensor[CHANNELS], at[FV_W], at[FV_B], at[FV_MEAN],
                                                 at[FV_VARIANCE], d->epsilon));
    return FV_CUDNN(api, "normalise a batch by its statistics",
                    api->batchnorm_training(plan->device->handle, CUDNN_BATCHNORM_SPATIAL, &fv_cudnn_one,
                                            &fv_cudnn_zero, image, at[FV_X], image, at[FV_Y], plan->tensor[CHANNELS],
                                            at[FV_W], at[FV_B], d->momentum, at[FV_MEAN], at[FV_VARIANCE], d->epsilon,
                                            at[FV_SAVED_MEAN], at[FV_SAVED_RSTD]));
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    const cudnnTensorDescriptor_t image = plan->tensor[IMAGE];
    void *const *at = buffers->at;
    return FV_CUDNN(api, "take the gradient of batch normalisation",
                    api->batchnorm_backward(plan->device->handle, CUDNN_BATCHNORM_SPATIAL, &fv_cudnn_one,
                                            &fv_cudnn_zero, &fv_cudnn_one, &fv_cudnn_zero, image, at[FV_X], image,
                                            at[FV_DY], image, at[FV_DX], plan->tensor[CHANNELS], at[FV_W], at[FV_DW],
                                            at[FV_DB], op->batchnorm.epsilon, at[FV_SAVED_MEAN], at[FV_SAVED_RSTD]));
}

#define ROW(direction, refusal, function, name_, prepare_, ...)                                                        \
    {                                                                                                                  \
        .kind = FV_BATCHNORM, .pass = direction, .dtype = FV_F32, .name = name_, .deterministic = true,                \
        .supports = refusal, .prepare = prepare_, .release = fv_cudnn_release, .run = function, __VA_ARGS__            \
    }
#define ROWS(pass, refusal, function)                                                                                  \
    ROW(pass, refusal, function, "cudnn", prepare, .layout = FV_NHWC),                                                 \
        ROW(pass, refusal, function, "cudnn_nchw", prepare_nchw, .layout = FV_NCHW, .on_request = true)

const fv_kernel fv_cudnn_batchnorm_kernels[] = {
    ROWS(FV_FORWARD, supports, forward),
    ROWS(FV_BACKWARD_DATA, supports_backward, backward_data),
    FV_KERNELS_END,
};
