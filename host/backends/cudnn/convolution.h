/* Convolutions as graphs. The ways of an operation, some twenty, are prepared one after the other and share theirs, so
 * that cuDNN's heuristics are asked once. */
#ifndef FOVEA_BACKENDS_CUDNN_CONVOLUTION_H
#define FOVEA_BACKENDS_CUDNN_CONVOLUTION_H

#include "backends/cudnn/graph.h"

/* The tensors of a conv2d's pass: x or dx, w or dw, y or dy. */
typedef enum fv_cudnn_slot { FV_CUDNN_INPUT, FV_CUDNN_FILTER, FV_CUDNN_OUTPUT, FV_CUDNN_SLOTS } fv_cudnn_slot;

/* One pass of an operation as one of a conv2d: which, and whose tensors fill its slots. */
typedef struct fv_cudnn_task {
    fv_pass pass;
    fv_role roles[FV_CUDNN_SLOTS];
} fv_cudnn_task;

typedef struct fv_cudnn_convolution {
    fv_operation op; /* a conv2d or conv2d_transposed */
    fv_pass pass;
    const fv_cudnn_task *task;
    fv_cudnn_graph graphs[2]; /* what the first does not offer, the second may */
    int graph_count;
    int users;
} fv_cudnn_convolution;

/* Why cuDNN cannot have this operation, or NULL. */
const char *fv_cudnn_refuse_convolution(const fv_operation *op);
bool fv_cudnn_has_bias(const fv_operation *op);
bool fv_cudnn_has_relu(const fv_operation *op);

/* The graphs of an operation. Of the best choice they are the device's latest, if that is the same, or become it. Leave
 * them when no way of theirs is left; NULL is fine. */
fv_status fv_cudnn_convolution_join(fv_cudnn_device *device, const fv_operation *op, fv_pass pass,
                                    fv_cudnn_choice choice, fv_layout layout, fv_cudnn_convolution **convolution);
void fv_cudnn_convolution_leave(fv_cudnn_convolution *convolution);

/* As for a graph (graph.h), but of all of them, and an offer that there is not is refused. */
fv_status fv_cudnn_convolution_offers(fv_cudnn_convolution *convolution, int *count);
fv_status fv_cudnn_convolution_prepare(fv_cudnn_convolution *convolution, int offer, fv_cudnn_way *way);
fv_status fv_cudnn_convolution_prepare_first(fv_cudnn_convolution *convolution, fv_cudnn_way *way);

fv_status fv_cudnn_convolution_run(const fv_cudnn_convolution *convolution, const fv_cudnn_way *way,
                                   const fv_buffers *buffers);

#endif
