/* A pass of a conv2d or conv2d_transposed as graphs of cuDNN's.
 *
 *     forward            y = conv(x, w), and with a bias  y = conv(x, w) + b  before that
 *     backward_data      dx
 *     backward_weights   dw
 *
 * cuDNN has other engines for a convolution with a bias than for one without, and either may be the faster, so that
 * both graphs are there; who takes the second adds the bias.
 *
 * A transposed convolution is the conv2d from its y to its x, its mirror, with the roles exchanged: forward is the
 * mirror's backward_data, without the bias; backward_data is the mirror's forward; backward_weights is that of the
 * mirror. In a graph a tensor's id is its role in the operation.
 */
#include "backends/cudnn/convolution.h"

#include <stdlib.h>
#include <string.h>

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

static const fv_cudnn_task tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_FORWARD, FV_X, FV_W, FV_Y},
    [FV_BACKWARD_DATA] = {FV_BACKWARD_DATA, FV_DX, FV_W, FV_DY},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, FV_X, FV_DW, FV_DY},
};
static const fv_cudnn_task transposed_tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_BACKWARD_DATA, FV_Y, FV_W, FV_X},
    [FV_BACKWARD_DATA] = {FV_FORWARD, FV_DY, FV_W, FV_DX},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, FV_DY, FV_DW, FV_X},
};

static const fv_cudnn_task *task_of(const fv_operation *op, fv_pass pass) {
    return op->kind == FV_TRANSPOSED ? &transposed_tasks[pass] : &tasks[pass];
}

/* The conv2d itself or the mirror. */
static fv_conv2d conv2d_of(const fv_operation *op) {
    return op->kind == FV_TRANSPOSED ? fv_transposed_mirror(&op->transposed) : op->conv2d;
}

bool fv_cudnn_has_bias(const fv_operation *op) {
    return op->kind == FV_TRANSPOSED ? op->transposed.bias : op->conv2d.bias;
}

const char *fv_cudnn_refuse_convolution(const fv_operation *op) {
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
static fv_status add_convolution(fv_cudnn_graph *graph, const fv_conv2d *d, const fv_cudnn_task *work,
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

static fv_status build(fv_cudnn_graph *graph, const fv_cudnn_convolution *c) {
    const fv_conv2d d = conv2d_of(&c->op);
    const int64_t p = fv_conv2d_p(&d), q = fv_conv2d_q(&d);
    cudnnBackendDescriptor_t output = NULL, convolved = NULL, operations[2] = {NULL, NULL};
    FV_TRY(fv_cudnn_graph_tensor(graph, c->task->output, false, d.n, p, q, d.k, &output));
    if (graph->adds_bias)
        FV_TRY(fv_cudnn_graph_tensor(graph, CONVOLVED, true, d.n, p, q, d.k, &convolved));
    FV_TRY(add_convolution(graph, &d, c->task, graph->adds_bias ? convolved : output, &operations[0]));
    if (graph->adds_bias)
        FV_TRY(add_bias(graph, &d, convolved, output, &operations[1]));
    return fv_cudnn_graph_close(graph, operations, graph->adds_bias ? 2 : 1);
}

static fv_status create(const fv_cudnn_device *device, const fv_operation *op, fv_pass pass, fv_cudnn_choice choice,
                        fv_layout layout, fv_cudnn_convolution **convolution) {
    fv_cudnn_convolution *c = calloc(1, sizeof *c);
    if (!c)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a convolution");
    *c = (fv_cudnn_convolution){.op = *op, .pass = pass, .task = task_of(op, pass), .users = 1};
    const bool fusible = op->kind == FV_CONV2D && pass == FV_FORWARD && fv_cudnn_has_bias(op);
    fv_status status = FV_OK;
    while (c->graph_count < 1 + fusible && status == FV_OK) {
        fv_cudnn_graph *graph = &c->graphs[c->graph_count++];
        fv_cudnn_graph_begin(graph, device, choice, layout);
        graph->adds_bias = fusible && c->graph_count == 1;
        status = build(graph, c);
    }
    if (status == FV_OK)
        *convolution = c;
    else
        fv_cudnn_convolution_leave(c);
    return status;
}

/* Operations that are equal may differ in bytes that are nobody's; then they are only not recognised. */
static bool is_of(const fv_cudnn_convolution *c, const fv_operation *op, fv_pass pass, fv_layout layout) {
    return c->pass == pass && c->graphs[0].layout == layout && !memcmp(&c->op, op, sizeof *op);
}

fv_status fv_cudnn_convolution_join(fv_cudnn_device *device, const fv_operation *op, fv_pass pass,
                                    fv_cudnn_choice choice, fv_layout layout, fv_cudnn_convolution **convolution) {
    if (choice != FV_CUDNN_BEST)
        return create(device, op, pass, choice, layout, convolution);
    if (!device->latest || !is_of(device->latest, op, pass, layout)) {
        fv_cudnn_convolution_forget(device);
        FV_TRY(create(device, op, pass, choice, layout, &device->latest));
    }
    *convolution = device->latest;
    ++device->latest->users;
    return FV_OK;
}

void fv_cudnn_convolution_leave(fv_cudnn_convolution *convolution) {
    if (!convolution || --convolution->users > 0)
        return;
    for (int i = 0; i < convolution->graph_count; ++i)
        fv_cudnn_graph_end(&convolution->graphs[i]);
    free(convolution);
}

void fv_cudnn_convolution_forget(fv_cudnn_device *device) {
    fv_cudnn_convolution_leave(device->latest);
    device->latest = NULL;
}

fv_status fv_cudnn_convolution_offers(fv_cudnn_convolution *convolution, int *count) {
    fv_status status = FV_OK;
    *count = 0;
    for (int i = 0; i < convolution->graph_count; ++i) {
        int offers = 0;
        status = fv_cudnn_graph_offers(&convolution->graphs[i], &offers);
        if (status != FV_OK && status != FV_UNSUPPORTED)
            return status;
        *count += offers;
    }
    return *count > 0 ? FV_OK : status;
}

fv_status fv_cudnn_convolution_prepare(fv_cudnn_convolution *convolution, int offer, fv_cudnn_way *way) {
    int count = 0;
    FV_TRY(fv_cudnn_convolution_offers(convolution, &count));
    if (offer < 0 || offer >= count)
        return fv_fail(FV_BAD_INPUT, "cudnn: way %d of %d", offer, count);
    const fv_cudnn_graph *graph = convolution->graphs;
    for (; offer >= graph->offer_count; ++graph)
        offer -= graph->offer_count;
    return fv_cudnn_way_prepare(graph, offer, way);
}

fv_status fv_cudnn_convolution_prepare_first(fv_cudnn_convolution *convolution, fv_cudnn_way *way) {
    fv_status status = FV_UNSUPPORTED;
    for (int i = 0; i < convolution->graph_count && status == FV_UNSUPPORTED; ++i)
        status = fv_cudnn_way_prepare_first(&convolution->graphs[i], way);
    return status;
}

fv_status fv_cudnn_convolution_run(const fv_cudnn_convolution *convolution, const fv_cudnn_way *way,
                                   const fv_buffers *buffers) {
    const fv_cudnn_task *work = convolution->task;
    const int64_t ids[] = {work->input, work->filter, work->output, FV_B};
    void *const pointers[] = {buffers->at[work->input], buffers->at[work->filter], buffers->at[work->output],
                              buffers->at[FV_B]};
    return fv_cudnn_way_run(way, way->graph->adds_bias ? 4 : 3, ids, pointers, buffers->workspace);
}
