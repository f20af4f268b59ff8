/* What the rows made of cuDNN's older functions share: a plan holds the descriptors of one operation. */
#ifndef FOVEA_BACKENDS_CUDNN_PLAN_H
#define FOVEA_BACKENDS_CUDNN_PLAN_H

#include "backends/cudnn/cudnn.h"

enum { FV_CUDNN_TENSORS = 2 };

typedef struct fv_cudnn_plan {
    const fv_cudnn_device *device;
    fv_layout layout; /* of images */
    cudnnTensorDescriptor_t tensor[FV_CUDNN_TENSORS];
    cudnnActivationDescriptor_t activation;
    cudnnOpTensorDescriptor_t elementwise;
    cudnnPoolingDescriptor_t pooling;
} fv_cudnn_plan;

/* fv_kernel.prepare with a function that creates the descriptors it needs; those it does not stay NULL. */
fv_status fv_cudnn_prepare(fv_context *context, const fv_operation *op, fv_layout layout,
                           fv_status (*describe)(const fv_operation *op, fv_cudnn_plan *plan), void **state);
void fv_cudnn_release(void *state);

/* What every one of these functions asks for: result = 1 * computed + 0 * what was there. */
extern const float fv_cudnn_one, fv_cudnn_zero;

#endif
