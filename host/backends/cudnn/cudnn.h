/* cuDNN on a CUDA device, loaded when the backend is opened and set up when an operation first asks for it.
 *
 * Convolutions go through the graph API (graph.h). A bias that no graph adds, bias gradients and, by a plan (plan.h),
 * pooling, relu, batch normalisation, addition and flattening go through the older functions, whose counterparts in the
 * graph API are compiled at run time.
 */
#ifndef FOVEA_BACKENDS_CUDNN_CUDNN_H
#define FOVEA_BACKENDS_CUDNN_CUDNN_H

#include <cudnn.h>

#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"

#define FV_CUDNN_FUNCTIONS(X)                                                                                          \
    X(version, cudnnGetVersion)                                                                                        \
    X(error_string, cudnnGetErrorString)                                                                               \
    X(last_error, cudnnGetLastErrorString)                                                                             \
    X(create, cudnnCreate)                                                                                             \
    X(destroy, cudnnDestroy)                                                                                           \
    X(set_stream, cudnnSetStream)                                                                                      \
    X(part_create, cudnnBackendCreateDescriptor)                                                                       \
    X(part_destroy, cudnnBackendDestroyDescriptor)                                                                     \
    X(part_set, cudnnBackendSetAttribute)                                                                              \
    X(part_get, cudnnBackendGetAttribute)                                                                              \
    X(part_finalize, cudnnBackendFinalize)                                                                             \
    X(execute, cudnnBackendExecute)                                                                                    \
    X(tensor_create, cudnnCreateTensorDescriptor)                                                                      \
    X(tensor_set, cudnnSetTensor4dDescriptor)                                                                          \
    X(tensor_destroy, cudnnDestroyTensorDescriptor)                                                                    \
    X(add_tensor, cudnnAddTensor)                                                                                      \
    X(bias_backward, cudnnConvolutionBackwardBias)                                                                     \
    X(pooling_create, cudnnCreatePoolingDescriptor)                                                                    \
    X(pooling_set, cudnnSetPooling2dDescriptor)                                                                        \
    X(pooling_destroy, cudnnDestroyPoolingDescriptor)                                                                  \
    X(pooling_forward, cudnnPoolingForward)                                                                            \
    X(pooling_backward, cudnnPoolingBackward)                                                                          \
    X(activation_create, cudnnCreateActivationDescriptor)                                                              \
    X(activation_set, cudnnSetActivationDescriptor)                                                                    \
    X(activation_destroy, cudnnDestroyActivationDescriptor)                                                            \
    X(activation_forward, cudnnActivationForward)                                                                      \
    X(activation_backward, cudnnActivationBackward)                                                                    \
    X(elementwise_create, cudnnCreateOpTensorDescriptor)                                                               \
    X(elementwise_set, cudnnSetOpTensorDescriptor)                                                                     \
    X(elementwise_destroy, cudnnDestroyOpTensorDescriptor)                                                             \
    X(elementwise_run, cudnnOpTensor)                                                                                  \
    X(transform, cudnnTransformTensor)                                                                                 \
    X(batchnorm_derive, cudnnDeriveBNTensorDescriptor)                                                                 \
    X(batchnorm_training, cudnnBatchNormalizationForwardTraining)                                                      \
    X(batchnorm_inference, cudnnBatchNormalizationForwardInference)                                                    \
    X(batchnorm_backward, cudnnBatchNormalizationBackward)

typedef struct fv_cudnn_api {
    FV_CUDNN_FUNCTIONS(FV_LIBRARY_MEMBER)
} fv_cudnn_api;

typedef struct fv_cudnn_device {
    fv_cuda_device cuda; /* first: the cuda backend stands in on the same context */
    fv_cudnn_api api;
    cudnnHandle_t handle;                /* NULL until fv_cudnn_get */
    struct fv_cudnn_convolution *latest; /* that has ways (convolution.h), or NULL */
} fv_cudnn_device;

/* The device with its handle made and bound to the stream. */
fv_status fv_cudnn_get(fv_context *context, fv_cudnn_device **device);

/* FV_OK, or a failure that says "cudnn: cannot WHAT: error text": FV_UNSUPPORTED where cuDNN says it does not do this.
 */
fv_status fv_cudnn_check(const fv_cudnn_api *api, cudnnStatus_t status, const char *what);
#define FV_CUDNN(api, what, call) fv_cudnn_check((api), (call), (what))

/* Lets go of the latest convolution. */
void fv_cudnn_convolution_forget(fv_cudnn_device *device);

/* How cuDNN calls what tensors of an operation's dtype are stored as. */
cudnnDataType_t fv_cudnn_dtype(fv_dtype dtype);

/* A dense tensor for the older functions. On failure *tensor may still have to be destroyed. */
fv_status fv_cudnn_tensor_create(const fv_cudnn_api *api, fv_dtype dtype, fv_layout layout, int64_t n, int64_t h,
                                 int64_t w, int64_t c, cudnnTensorDescriptor_t *tensor);

/* Whether cuDNN's 32-bit sizes can hold a tensor of these extents. */
bool fv_cudnn_fits(int64_t n, int64_t h, int64_t w, int64_t c);

extern const fv_kernel fv_cudnn_conv2d_kernels[], fv_cudnn_pooling_kernels[], fv_cudnn_batchnorm_kernels[],
    fv_cudnn_relu_kernels[], fv_cudnn_moves_kernels[];

#endif
