/* A pass of a conv2d or conv2d_transposed as graphs of cuDNN's.
 *
 *     forward            y = conv(x, w), and with a bias or a ReLU  y = max(conv(x, w) + b, 0)  before that
 *     backward_data      dx
 *     backward_weights   dw
 *
 * cuDNN has other engines for a convolution with a bias than for one without, and either may be the faster, so that
 * both graphs are there; who takes the second adds the bias and applies the ReLU. A bias in 16 bits is only added within
 * the graph, where sums are in f32: afterwards the result would be rounded twice.
 *
 * A transposed convolution is the conv2d from its y to its x, its mirror, with the roles exchanged: forward is the
 * mirror's backward_data; backward_data is the mirror's forward; backward_weights is that of the mirror. In a graph a
 * tensor's id is its role in the operation.
 */
#include "backends/cudnn/convolution.h"

#include <stdlib.h>
#include <string.h>

#include "ops/dtype.h"
#include "ops/op.h"

enum { CONVOLVED = FV_ROLES, BIASED }; /* ids of what is between the convolution, the bias and the ReLU */

/* What a pass of a conv2d calls its operation and the attributes, and which slot is its result. */
typedef struct direction {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t alpha, beta, convolution, slots[FV_CUDNN_SLOTS];
    fv_cudnn_slot result;
} direction;

static const direction directions[FV_PASSES] = {
    [FV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                    {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
                    FV_CUDNN_OUTPUT},
    [FV_BACKWARD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                          {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
                          FV_CUDNN_INPUT},
    [FV_BACKWARD_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
                             FV_CUDNN_FILTER},
};

static const fv_cudnn_task tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_FORWARD, {FV_X, FV_W, FV_Y}},
    [FV_BACKWARD_DATA] = {FV_BACKWARD_DATA, {FV_DX, FV_W, FV_DY}},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, {FV_X, FV_DW, FV_DY}},
};
static const fv_cudnn_task transposed_tasks[FV_PASSES] = {
    [FV_FORWARD] = {FV_BACKWARD_DATA, {FV_Y, FV_W, FV_X}},
    [FV_BACKWARD_DATA] = {FV_FORWARD, {FV_DY, FV_W, FV_DX}},
    [FV_BACKWARD_WEIGHTS] = {FV_BACKWARD_WEIGHTS, {FV_DY, FV_DW, FV_X}},
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

bool fv_cudnn_has_relu(const fv_operation *op) {
    return op->kind == FV_CONV2D && op->conv2d.relu;
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

/* The tensor in a slot. */
static fv_status add_slot(fv_cudnn_graph *graph, const fv_conv2d *d, fv_cudnn_slot slot, int64_t id, bool is_virtual,
                          cudnnBackendDescriptor_t *tensor) {
    switch (slot) {
    case FV_CUDNN_INPUT:
        return fv_cudnn_graph_tensor(graph, id, is_virtual, d->n, d->h, d->w, d->c, tensor);
    case FV_CUDNN_FILTER:
        return fv_cudnn_graph_tensor(graph, id, is_virtual, d->k, d->r, d->s, d->c / d->groups, tensor);
    default:
        return fv_cudnn_graph_tensor(graph, id, is_virtual, d->n, fv_conv2d_p(d), fv_conv2d_q(d), d->k, tensor);
    }
}

/* The convolution itself. `result` is the tensor in the slot of that. */
static fv_status add_convolution(fv_cudnn_graph *graph, const fv_conv2d *d, const fv_cudnn_task *task,
                                 cudnnBackendDescriptor_t result, cudnnBackendDescriptor_t *part) {
    const direction *way = &directions[task->pass];
    const float alpha = 1.0f, beta = 0.0f;
    cudnnBackendDescriptor_t tensors[FV_CUDNN_SLOTS] = {NULL}, convolution = NULL;
    tensors[way->result] = result;
    for (fv_cudnn_slot slot = 0; slot < FV_CUDNN_SLOTS; ++slot)
        if (slot != way->result)
            FV_TRY(add_slot(graph, d, slot, task->roles[slot], false, &tensors[slot]));
    FV_TRY(describe_convolution(graph, d, &convolution));
    FV_TRY(fv_cudnn_part(graph, way->operation, part));
    FV_TRY(fv_cudnn_set(graph, *part, way->alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    FV_TRY(fv_cudnn_set(graph, *part, way->beta, CUDNN_TYPE_FLOAT, 1, &beta));
    FV_TRY(fv_cudnn_set(graph, *part, way->convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolution));
    for (fv_cudnn_slot slot = 0; slot < FV_CUDNN_SLOTS; ++slot)
        FV_TRY(fv_cudnn_set(graph, *part, way->slots[slot], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[slot]));
    return fv_cudnn_finalize(graph, *part);
}

/* to = from + b, or with `b` NULL a function of `from` alone. */
static fv_status add_pointwise(fv_cudnn_graph *graph, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t from,
                               cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t to,
                               cudnnBackendDescriptor_t *part) {
    const cudnnDataType_t dtype = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t function = NULL;
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &function));
    FV_TRY(fv_cudnn_set(graph, function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    FV_TRY(fv_cudnn_set(graph, function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &dtype));
    FV_TRY(fv_cudnn_finalize(graph, function));
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, part));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &function));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &from));
    if (b)
        FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b));
    FV_TRY(fv_cudnn_set(graph, *part, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to));
    return fv_cudnn_finalize(graph, *part);
}

/* The convolution and, in a graph that fuses, bias and ReLU: each takes what the one before it gives, and the last one
 * gives the result. */
static fv_status build(fv_cudnn_graph *graph, const fv_cudnn_convolution *c) {
    const fv_conv2d d = conv2d_of(&c->op);
    const fv_cudnn_slot slot = directions[c->task->pass].result;
    const bool biases = graph->fuses && fv_cudnn_has_bias(&c->op), clips = graph->fuses && fv_cudnn_has_relu(&c->op);
    const int64_t channels = slot == FV_CUDNN_INPUT ? d.c : d.k;
    cudnnBackendDescriptor_t result = NULL, convolved = NULL, biased = NULL, bias = NULL, operations[3] = {NULL};
    int64_t count = 0;
    FV_TRY(add_slot(graph, &d, slot, c->task->roles[slot], false, &result));
    convolved = biased = result;
    if (biases || clips)
        FV_TRY(add_slot(graph, &d, slot, CONVOLVED, true, &convolved));
    FV_TRY(add_convolution(graph, &d, c->task, convolved, &operations[count++]));
    if (biases && clips)
        FV_TRY(add_slot(graph, &d, slot, BIASED, true, &biased));
    if (biases) {
        FV_TRY(fv_cudnn_graph_tensor(graph, FV_B, false, 1, 1, 1, channels, &bias));
        FV_TRY(add_pointwise(graph, CUDNN_POINTWISE_ADD, convolved, bias, biased, &operations[count++]));
    }
    if (clips)
        FV_TRY(add_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, biases ? biased : convolved, NULL, result,
                             &operations[count++]));
    return fv_cudnn_graph_close(graph, operations, count);
}

static fv_status create(const fv_cudnn_device *device, const fv_operation *op, fv_pass pass, fv_cudnn_choice choice,
                        fv_layout layout, fv_cudnn_convolution **convolution) {
    fv_cudnn_convolution *c = calloc(1, sizeof *c);
    if (!c)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a convolution");
    *c = (fv_cudnn_convolution){.op = *op, .pass = pass, .task = task_of(op, pass), .users = 1};
    const fv_dtype dtype = fv_operation_dtype(op);
    const bool fusible = pass == FV_FORWARD && (fv_cudnn_has_bias(op) || fv_cudnn_has_relu(op));
    const bool rounds_twice = pass == FV_FORWARD && fv_cudnn_has_bias(op) && fv_dtype_stored(dtype) != FV_F32;
    const int graphs = fusible && !rounds_twice ? 2 : 1;
    fv_status status = FV_OK;
    while (c->graph_count < graphs && status == FV_OK) {
        fv_cudnn_graph *graph = &c->graphs[c->graph_count++];
        fv_cudnn_graph_begin(graph, device, choice, layout, dtype);
        graph->fuses = fusible && c->graph_count == 1;
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
    int64_t ids[FV_CUDNN_SLOTS + 1], count = 0;
    void *pointers[FV_CUDNN_SLOTS + 1];
    for (; count < FV_CUDNN_SLOTS; ++count)
        ids[count] = convolution->task->roles[count];
    if (way->graph->fuses && fv_cudnn_has_bias(&convolution->op))
        ids[count++] = FV_B;
    for (int64_t i = 0; i < count; ++i)
        pointers[i] = buffers->at[ids[i]];
    return fv_cudnn_way_run(way, count, ids, pointers, buffers->workspace);
}
