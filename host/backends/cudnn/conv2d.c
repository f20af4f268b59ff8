/* Convolutions by cuDNN: the graph API for everything (convolution.c) but a bias and a ReLU that are not in the graph,
 * which cudnnAddTensor and cudnnActivationForward do, and the bias gradient, by cudnnConvolutionBackwardBias.
 *
 * Each pass has four rows in each of the dtypes f32, tf32, bf16 and f16, which differ in the engines that they admit
 * (offers.c):
 *
 *     cudnn           the dtype's arithmetic, the same bits on every run; the first that cuDNN's heuristics list
 *     cudnn_best      the dtype's arithmetic by any method; its ways are all that the heuristics list
 *     cudnn_nchw      the same on NCHW tensors and K,C,R,S filters
 *     cudnn_fastest   whatever the heuristics list first; its numerics tell the arithmetic
 *
 * The arithmetic of f32 is true fp32. tf32 has f32 tensors, whose factors tensor cores may bring to 11 bits; the tensors of
 * bf16 and f16 are stored so, and in all of them sums are f32's: the type that cuDNN is told to compute in. What decides
 * is the operation's dtype, so that a row of f32 which serves one of tf32 is as good as the row of that.
 *
 * Only the first is ever selected; the others are there to be measured and verified. Engines may refuse any case:
 * prepare() then gives FV_UNSUPPORTED.
 */
#include <stdlib.h>

#include "backends/cudnn/convolution.h"
#include "base/text.h"
#include "ops/op.h"

typedef struct state {
    fv_cudnn_convolution *convolution;
    fv_cudnn_way way;
    const fv_cudnn_device *device;
    /* What the older functions are left to do, there is a descriptor for; else NULL. */
    cudnnTensorDescriptor_t image, bias; /* y and the bias to be added, or the gradients of both */
    cudnnActivationDescriptor_t relu;
} state;

/* Describes what the graph leaves to the older functions: all that there is about bias and ReLU, or what is not fused. */
static fv_status describe_rest(state *s, const fv_operation *op, fv_pass pass) {
    const fv_cudnn_api *api = &s->device->api;
    const fv_cudnn_graph *graph = s->way.graph;
    const bool bias = fv_cudnn_has_bias(op), relu = fv_cudnn_has_relu(op);
    if (graph->fuses || pass == FV_BACKWARD_DATA || !(bias || relu))
        return FV_OK;
    fv_tensor_spec y;
    fv_operation_tensor(op, FV_FORWARD, FV_Y, &y);
    const int64_t *extents = y.shape.dim;
    FV_TRY(fv_cudnn_tensor_create(api, graph->dtype, graph->layout, extents[0], extents[1], extents[2], extents[3],
                                  &s->image));
    if (bias)
        FV_TRY(fv_cudnn_tensor_create(api, graph->dtype, FV_NHWC, 1, 1, 1, extents[3], &s->bias));
    if (!relu)
        return FV_OK;
    FV_TRY(FV_CUDNN(api, "create an activation descriptor", api->activation_create(&s->relu)));
    return FV_CUDNN(api, "describe an activation",
                    api->activation_set(s->relu, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0.0));
}

static void release(void *opaque) {
    state *s = opaque;
    if (!s)
        return;
    if (s->image)
        (void)s->device->api.tensor_destroy(s->image);
    if (s->bias)
        (void)s->device->api.tensor_destroy(s->bias);
    if (s->relu)
        (void)s->device->api.activation_destroy(s->relu);
    fv_cudnn_way_release(&s->way);
    fv_cudnn_convolution_leave(s->convolution);
    free(s);
}

enum { FIRST_WAY = -1 }; /* that works */

static fv_status prepare(fv_context *context, const fv_operation *op, fv_pass pass, fv_cudnn_choice choice,
                         fv_layout layout, int way, void **opaque) {
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a convolution");
    s->device = device;
    fv_status status = FV_OK;
    FV_TRY_GOTO(status, fv_cudnn_convolution_join(device, op, pass, choice, layout, &s->convolution), failed);
    if (way == FIRST_WAY)
        FV_TRY_GOTO(status, fv_cudnn_convolution_prepare_first(s->convolution, &s->way), failed);
    else
        FV_TRY_GOTO(status, fv_cudnn_convolution_prepare(s->convolution, way, &s->way), failed);
    FV_TRY_GOTO(status, describe_rest(s, op, pass), failed);
    *opaque = s;
    return FV_OK;
failed:
    release(s);
    return status;
}

static fv_status count_ways(fv_context *context, const fv_operation *op, fv_pass pass, fv_cudnn_choice choice,
                            fv_layout layout, int *count) {
    fv_cudnn_device *device = NULL;
    fv_cudnn_convolution *convolution = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    FV_TRY(fv_cudnn_convolution_join(device, op, pass, choice, layout, &convolution));
    const fv_status status = fv_cudnn_convolution_offers(convolution, count);
    fv_cudnn_convolution_leave(convolution);
    return status;
}

#define PREPARE(name, pass, choice, layout)                                                                            \
    static fv_status prepare_##name(fv_context *context, const fv_operation *op, void **opaque) {                      \
        return prepare(context, op, pass, choice, layout, FIRST_WAY, opaque);                                          \
    }
#define WAYS(name, pass, choice, layout)                                                                               \
    PREPARE(name, pass, choice, layout)                                                                                \
    static fv_status ways_##name(fv_context *context, const fv_operation *op, int *count) {                            \
        return count_ways(context, op, pass, choice, layout, count);                                                   \
    }                                                                                                                  \
    static fv_status prepare_way_##name(fv_context *context, const fv_operation *op, int way, void **opaque) {         \
        return prepare(context, op, pass, choice, layout, way, opaque);                                                \
    }
PREPARE(forward, FV_FORWARD, FV_CUDNN_STRICT, FV_NHWC)
PREPARE(backward_data, FV_BACKWARD_DATA, FV_CUDNN_STRICT, FV_NHWC)
PREPARE(backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_STRICT, FV_NHWC)
WAYS(best_forward, FV_FORWARD, FV_CUDNN_BEST, FV_NHWC)
WAYS(best_backward_data, FV_BACKWARD_DATA, FV_CUDNN_BEST, FV_NHWC)
WAYS(best_backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_BEST, FV_NHWC)
WAYS(nchw_forward, FV_FORWARD, FV_CUDNN_BEST, FV_NCHW)
WAYS(nchw_backward_data, FV_BACKWARD_DATA, FV_CUDNN_BEST, FV_NCHW)
WAYS(nchw_backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_BEST, FV_NCHW)
PREPARE(fastest_forward, FV_FORWARD, FV_CUDNN_FASTEST, FV_NHWC)
PREPARE(fastest_backward_data, FV_BACKWARD_DATA, FV_CUDNN_FASTEST, FV_NHWC)
PREPARE(fastest_backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_FASTEST, FV_NHWC)

static size_t workspace(const fv_operation *op, const void *opaque) {
    (void)op;
    return (size_t)((const state *)opaque)->way.workspace;
}

static void numerics(const fv_operation *op, const void *opaque, fv_numerics *result) {
    (void)op;
    const state *s = opaque;
    *result = s->way.numerics;
    if (s->convolution->pass != FV_FORWARD)
        return;
    if (s->bias)
        fv_append(result->description, sizeof result->description, ", then the bias");
    if (s->relu)
        fv_append(result->description, sizeof result->description, ", then the ReLU");
}

/* What the older functions have to do there is if there are tensors for it. */
static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float one = 1.0f, zero = 0.0f;
    void *y = buffers->at[FV_Y];
    FV_TRY(fv_cudnn_convolution_run(s->convolution, &s->way, buffers));
    if (s->bias)
        FV_TRY(FV_CUDNN(api, "add the bias",
                        api->add_tensor(s->device->handle, &one, s->bias, buffers->at[FV_B], &one, s->image, y)));
    if (s->relu)
        FV_TRY(FV_CUDNN(api, "apply relu",
                        api->activation_forward(s->device->handle, s->relu, &one, s->image, y, &zero, s->image, y)));
    return FV_OK;
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    return fv_cudnn_convolution_run(s->convolution, &s->way, buffers);
}

static fv_status backward_weights(fv_context *context, const fv_operation *op, void *opaque,
                                  const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    FV_TRY(fv_cudnn_convolution_run(s->convolution, &s->way, buffers));
    if (!s->bias)
        return FV_OK;
    return FV_CUDNN(api, "sum the bias gradient",
                    api->bias_backward(s->device->handle, &alpha, s->image, buffers->at[FV_DY], &beta, s->bias,
                                       buffers->at[FV_DB]));
}

#define ROW(kind_, direction, dtype_, row_name, preparation, function, ...)                                            \
    {                                                                                                                  \
        .kind = kind_, .pass = direction, .dtype = dtype_, .name = row_name, .fuses_relu = (direction) == FV_FORWARD,  \
        .supports = fv_cudnn_refuse_convolution, .prepare = preparation, .release = release, .workspace = workspace,   \
        .workspace_rule = "as cuDNN's engine asks", .numerics = numerics, .run = function, __VA_ARGS__                 \
    }
#define STRICT(kind, pass, dtype, function)                                                                            \
    ROW(kind, pass, dtype, "cudnn", prepare_##function, function, .deterministic = true)
#define FASTEST(kind, pass, dtype, function)                                                                           \
    ROW(kind, pass, dtype, "cudnn_fastest", prepare_fastest_##function, function, .on_request = true)
#define BEST(kind, pass, dtype, name, variant, layout_, function)                                                      \
    ROW(kind, pass, dtype, name, prepare_##variant##_##function, function, .on_request = true, .layout = layout_,      \
        .ways = ways_##variant##_##function, .prepare_way = prepare_way_##variant##_##function)
#define ROWS_OF_DTYPE(kind, pass, dtype, function)                                                                     \
    STRICT(kind, pass, dtype, function), BEST(kind, pass, dtype, "cudnn_best", best, FV_NHWC, function),               \
        BEST(kind, pass, dtype, "cudnn_nchw", nchw, FV_NCHW, function), FASTEST(kind, pass, dtype, function)
#define ROWS_OF_PASS(kind, pass, function)                                                                             \
    ROWS_OF_DTYPE(kind, pass, FV_F32, function), ROWS_OF_DTYPE(kind, pass, FV_TF32, function),                         \
        ROWS_OF_DTYPE(kind, pass, FV_BF16, function), ROWS_OF_DTYPE(kind, pass, FV_F16, function)

const fv_kernel fv_cudnn_conv2d_kernels[] = {
    ROWS_OF_PASS(FV_CONV2D, FV_FORWARD, forward),
    ROWS_OF_PASS(FV_CONV2D, FV_BACKWARD_DATA, backward_data),
    ROWS_OF_PASS(FV_CONV2D, FV_BACKWARD_WEIGHTS, backward_weights),
    ROWS_OF_PASS(FV_TRANSPOSED, FV_FORWARD, forward),
    ROWS_OF_PASS(FV_TRANSPOSED, FV_BACKWARD_DATA, backward_data),
    ROWS_OF_PASS(FV_TRANSPOSED, FV_BACKWARD_WEIGHTS, backward_weights),
    FV_KERNELS_END,
};
