/* Convolutions by cuDNN's graph API: NHWC tensors, filters K,R,S,C/groups.
 *
 *     forward            y = conv(x, w), and with a bias  y = conv(x, w) + b  as one graph
 *     backward_data      dx
 *     backward_weights   dw; db by cudnnConvolutionBackwardBias
 *
 * A transposed convolution is the conv2d from its y to its x, its mirror, with the roles exchanged: forward is the
 * mirror's backward_data, and the bias is added by cudnnAddTensor; backward_data is the mirror's forward;
 * backward_weights is that of the mirror, and db comes from dy as above.
 *
 * Each pass has two rows: "cudnn" computes in true fp32 and gives the same bits on every run (the rules are in
 * graph.c); "cudnn_fastest" is the first choice of cuDNN's heuristics, whatever its arithmetic, which its numerics
 * tell. It is there to be measured and verified; nothing else selects it.
 *
 * In the graphs a tensor's id is its role in the operation. Engines may refuse any case: prepare() then gives
 * FV_UNSUPPORTED.
 */
#include <stdlib.h>

#include "backends/cudnn/graph.h"
#include "ops/op.h"

enum { CONVOLVED = FV_ROLES }; /* id of the convolution's result before the bias is added */

/* What a pass of a conv2d calls its operation and the attributes. The slots hold: input x or dx, filter w or dw, output
 * y or dy. */
typedef struct direction {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t alpha, beta, convolution, input, filter, output;
} direction;

static const direction directions[FV_PASSES] = {
    [FV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [FV_BACKWARD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
    [FV_BACKWARD_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
};

/* One pass of an operation as one of a conv2d: which, and whose tensors fill its slots. */
typedef struct task {
    fv_pass pass;
    fv_role input, filter, output;
} task;

static const task tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_FORWARD, FV_X, FV_W, FV_Y},
    [FV_BACKWARD_DATA] = {FV_BACKWARD_DATA, FV_DX, FV_W, FV_DY},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, FV_X, FV_DW, FV_DY},
};
static const task transposed_tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_BACKWARD_DATA, FV_Y, FV_W, FV_X},
    [FV_BACKWARD_DATA] = {FV_FORWARD, FV_DY, FV_W, FV_DX},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, FV_DY, FV_DW, FV_X},
};

static const task *task_of(const fv_operation *op, fv_pass pass) {
    return op->kind == FV_TRANSPOSED ? &transposed_tasks[pass] : &tasks[pass];
}

/* The conv2d itself or the mirror. */
static fv_conv2d conv2d_of(const fv_operation *op) {
    return op->kind == FV_TRANSPOSED ? fv_transposed_mirror(&op->transposed) : op->conv2d;
}

static bool has_bias(const fv_operation *op) {
    return op->kind == FV_TRANSPOSED ? op->transposed.bias : op->conv2d.bias;
}

typedef struct state {
    fv_cudnn_graph graph;
    const task *task;
    bool fused;                    /* the graph adds the bias */
    cudnnTensorDescriptor_t image; /* of y or dy, where the older functions are to handle the bias or its gradient, */
    cudnnTensorDescriptor_t bias;  /* and of that; else NULL */
} state;

static const char *supports(const fv_operation *op) {
    const fv_conv2d d = conv2d_of(op);
    if (d.n == 0)
        return "cuDNN takes no empty batch";
    if (!fv_cudnn_fits(d.n, d.h, d.w, d.c) || !fv_cudnn_fits(d.n, fv_conv2d_p(&d), fv_conv2d_q(&d), d.k) ||
        !fv_cudnn_fits(d.k, d.r, d.s, d.c / d.groups))
        return "cuDNN takes at most 2^31 - 1 elements in a tensor";
    return NULL;
}

static fv_status describe_convolution(fv_cudnn_graph *graph, const fv_conv2d *d, cudnnBackendDescriptor_t *part) {
    const int64_t axes = 2, before[] = {d->pad_top, d->pad_left}, after[] = {d->pad_bottom, d->pad_right};
    const int64_t strides[] = {d->stride_h, d->stride_w}, dilations[] = {d->dilation_h, d->dilation_w};
    const cudnnDataType_t dtype = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, part));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &dtype));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations));
    return fv_cudnn_finalize(graph, *part);
}

/* The convolution itself. `output` is the tensor in its slot of that name. */
static fv_status add_convolution(fv_cudnn_graph *graph, const fv_conv2d *d, const task *work,
                                 cudnnBackendDescriptor_t output, cudnnBackendDescriptor_t *part) {
    const direction *way = &directions[work->pass];
    const float alpha = 1.0f, beta = 0.0f;
    cudnnBackendDescriptor_t input = NULL, filter = NULL, convolution = NULL;
    FV_TRY(fv_cudnn_graph_tensor(graph, work->input, false, d->n, d->h, d->w, d->c, &input));
    FV_TRY(fv_cudnn_graph_tensor(graph, work->filter, false, d->k, d->r, d->s, d->c / d->groups, &filter));
    FV_TRY(describe_convolution(graph, d, &convolution));
    FV_TRY(fv_cudnn_part(graph, way->operation, part));
    FV_TRY(fv_cudnn_set(graph, *part, way->alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    FV_TRY(fv_cudnn_set(graph, *part, way->beta, CUDNN_TYPE_FLOAT, 1, &beta));
    FV_TRY(fv_cudnn_set(graph, *part, way->convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolution));
    FV_TRY(fv_cudnn_set(graph, *part, way->input, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &input));
    FV_TRY(fv_cudnn_set(graph, *part, way->filter, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &filter));
    FV_TRY(fv_cudnn_set(graph, *part, way->output, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &output));
    return fv_cudnn_finalize(graph, *part);
}

/* y = convolved + b, the bias being one element per channel. */
static fv_status add_bias(fv_cudnn_graph *graph, const fv_conv2d *d, cudnnBackendDescriptor_t convolved,
                          cudnnBackendDescriptor_t y, cudnnBackendDescriptor_t *part) {
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    const cudnnDataType_t dtype = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t bias = NULL, add = NULL;
    FV_TRY(fv_cudnn_graph_tensor(graph, FV_B, false, 1, 1, 1, d->k, &bias));
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &add));
    FV_TRY(fv_cudnn_set(graph, add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    FV_TRY(fv_cudnn_set(graph, add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &dtype));
    FV_TRY(fv_cudnn_finalize(graph, add));
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, part));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &add));
    FV_TRY(
        fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolved));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &bias));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y));
    return fv_cudnn_finalize(graph, *part);
}

static fv_status build(state *s, const fv_conv2d *d) {
    fv_cudnn_graph *graph = &s->graph;
    const int64_t p = fv_conv2d_p(d), q = fv_conv2d_q(d);
    cudnnBackendDescriptor_t output = NULL, convolved = NULL, operations[2] = {NULL, NULL};
    FV_TRY(fv_cudnn_graph_tensor(graph, s->task->output, false, d->n, p, q, d->k, &output));
    if (s->fused)
        FV_TRY(fv_cudnn_graph_tensor(graph, CONVOLVED, true, d->n, p, q, d->k, &convolved));
    FV_TRY(add_convolution(graph, d, s->task, s->fused ? convolved : output, &operations[0]));
    if (s->fused)
        FV_TRY(add_bias(graph, d, convolved, output, &operations[1]));
    return fv_cudnn_graph_plan(graph, operations, s->fused ? 2 : 1);
}

/* The tensors that the older functions are to see. */
static fv_status describe_bias(state *s, const fv_operation *op) {
    const fv_cudnn_api *api = s->graph.api;
    fv_tensor_spec y;
    fv_operation_tensor(op, FV_FORWARD, FV_Y, &y);
    const int64_t *extents = y.shape.dim;
    FV_TRY(fv_cudnn_tensor_create(api, extents[0], extents[1], extents[2], extents[3], &s->image));
    return fv_cudnn_tensor_create(api, 1, 1, 1, extents[3], &s->bias);
}

static void release(void *opaque) {
    state *s = opaque;
    if (!s)
        return;
    if (s->image)
        (void)s->graph.api->tensor_destroy(s->image);
    if (s->bias)
        (void)s->graph.api->tensor_destroy(s->bias);
    fv_cudnn_graph_end(&s->graph);
    free(s);
}

static fv_status prepare(fv_context *context, const fv_operation *op, fv_pass pass, fv_cudnn_choice choice,
                         void **opaque) {
    const fv_conv2d d = conv2d_of(op);
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a convolution");
    fv_cudnn_graph_begin(&s->graph, device, choice);
    s->task = task_of(op, pass);
    s->fused = s->task->pass == FV_FORWARD && pass == FV_FORWARD && has_bias(op);
    fv_status status = FV_OK;
    FV_TRY_GOTO(status, build(s, &d), failed);
    if (has_bias(op) && !s->fused && pass != FV_BACKWARD_DATA)
        FV_TRY_GOTO(status, describe_bias(s, op), failed);
    *opaque = s;
    return FV_OK;
failed:
    release(s);
    return status;
}

#define PREPARE(name, pass, choice)                                                                                    \
    static fv_status prepare_##name(fv_context *context, const fv_operation *op, void **opaque) {                      \
        return prepare(context, op, pass, choice, opaque);                                                             \
    }
PREPARE(forward, FV_FORWARD, FV_CUDNN_STRICT)
PREPARE(backward_data, FV_BACKWARD_DATA, FV_CUDNN_STRICT)
PREPARE(backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_STRICT)
PREPARE(fastest_forward, FV_FORWARD, FV_CUDNN_FASTEST)
PREPARE(fastest_backward_data, FV_BACKWARD_DATA, FV_CUDNN_FASTEST)
PREPARE(fastest_backward_weights, FV_BACKWARD_WEIGHTS, FV_CUDNN_FASTEST)

static size_t workspace(const fv_operation *op, const void *opaque) {
    (void)op;
    return (size_t)((const state *)opaque)->graph.workspace;
}

static void numerics(const fv_operation *op, const void *opaque, fv_numerics *result) {
    (void)op;
    *result = ((const state *)opaque)->graph.numerics;
}

static fv_status run_graph(const state *s, const fv_buffers *buffers) {
    const task *work = s->task;
    const int64_t ids[] = {work->input, work->filter, work->output, FV_B};
    void *const pointers[] = {buffers->at[work->input], buffers->at[work->filter], buffers->at[work->output],
                              buffers->at[FV_B]};
    return fv_cudnn_graph_run(&s->graph, s->fused ? 4 : 3, ids, pointers, buffers->workspace);
}

/* What the older functions have to do there is if there are tensors for it. */
static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = s->graph.api;
    const float one = 1.0f;
    FV_TRY(run_graph(s, buffers));
    if (!s->bias)
        return FV_OK;
    return FV_CUDNN(
        api, "add the bias",
        api->add_tensor(s->graph.handle, &one, s->bias, buffers->at[FV_B], &one, s->image, buffers->at[FV_Y]));
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    return run_graph(opaque, buffers);
}

static fv_status backward_weights(fv_context *context, const fv_operation *op, void *opaque,
                                  const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = s->graph.api;
    const float alpha = 1.0f, beta = 0.0f;
    FV_TRY(run_graph(s, buffers));
    if (!s->bias)
        return FV_OK;
    return FV_CUDNN(
        api, "sum the bias gradient",
        api->bias_backward(s->graph.handle, &alpha, s->image, buffers->at[FV_DY], &beta, s->bias, buffers->at[FV_DB]));
}

#define ROW(kind_, row_name, is_strict, way, preparation, function)                                                    \
    {                                                                                                                  \
        .kind = kind_, .pass = way, .dtype = FV_F32, .name = row_name, .deterministic = is_strict,                     \
        .on_request = !(is_strict), .supports = supports, .prepare = preparation, .release = release,                  \
        .workspace = workspace, .workspace_rule = "as cuDNN's engine asks", .numerics = numerics, .run = function      \
    }
#define ROWS(kind)                                                                                                     \
    ROW(kind, "cudnn", true, FV_FORWARD, prepare_forward, forward),                                                    \
        ROW(kind, "cudnn", true, FV_BACKWARD_DATA, prepare_backward_data, backward_data),                              \
        ROW(kind, "cudnn", true, FV_BACKWARD_WEIGHTS, prepare_backward_weights, backward_weights),                     \
        ROW(kind, "cudnn_fastest", false, FV_FORWARD, prepare_fastest_forward, forward),                               \
        ROW(kind, "cudnn_fastest", false, FV_BACKWARD_DATA, prepare_fastest_backward_data, backward_data),             \
        ROW(kind, "cudnn_fastest", false, FV_BACKWARD_WEIGHTS, prepare_fastest_backward_weights, backward_weights)

const fv_kernel fv_cudnn_conv2d_kernels[] = {
    ROWS(FV_CONV2D),
    ROWS(FV_TRANSPOSED),
    FV_KERNELS_END,
};
