/* cuDNN's graph API, as much of it as convolutions need.
 *
 * A graph is built of parts, the library's "backend descriptors": tensors, a convolution, operations. cuDNN's
 * heuristics list the engines that could run it, best first; a plan is an engine made ready to run. The parts live as
 * long as the plan.
 */
#ifndef FOVEA_BACKENDS_CUDNN_GRAPH_H
#define FOVEA_BACKENDS_CUDNN_GRAPH_H

#include "backends/cudnn/cudnn.h"

enum { FV_CUDNN_PARTS = 16 };

/* Which of the engines that the heuristics list is taken. */
typedef enum fv_cudnn_choice {
    FV_CUDNN_STRICT,  /* the first that computes as we ask, see graph.c; tensors may start at any float */
    FV_CUDNN_FASTEST, /* the first, whatever its arithmetic; tensors must be aligned to 16 bytes, as its kind needs */
} fv_cudnn_choice;

typedef struct fv_cudnn_graph {
    const fv_cudnn_api *api;
    fv_cudnn_choice choice;
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t parts[FV_CUDNN_PARTS];
    int part_count;

    cudnnBackendDescriptor_t plan; /* one of the parts */
    int64_t workspace;             /* bytes it needs */
    fv_numerics numerics;          /* its engine's */
} fv_cudnn_graph;

/* An engine's arithmetic (engine.c). */
typedef struct fv_cudnn_engine {
    int64_t number;  /* as cuDNN's documentation and logs count them */
    unsigned notes;  /* bit set of fv_numerical_note */
    unsigned listed; /* bit set of cuDNN's notes, in the order of the table in engine.c */
    bool strict;     /* true fp32, without transforms, the same bits on every run */
} fv_cudnn_engine;

/* Starts an empty graph; end it in any case. */
void fv_cudnn_graph_begin(fv_cudnn_graph *graph, const fv_cudnn_device *device, fv_cudnn_choice choice);
void fv_cudnn_graph_end(fv_cudnn_graph *graph);

/* Makes a part, sets an attribute of it (`count` values of a type), and closes it to further setting. */
fv_status fv_cudnn_part(fv_cudnn_graph *graph, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *part);
fv_status fv_cudnn_set(fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *values);
fv_status fv_cudnn_finalize(fv_cudnn_graph *graph, cudnnBackendDescriptor_t part);

/* A dense f32 NHWC tensor, known to fv_cudnn_graph_run by its id. A virtual one lives inside the graph only. */
fv_status fv_cudnn_graph_tensor(fv_cudnn_graph *graph, int64_t id, bool is_virtual, int64_t n, int64_t h, int64_t w,
                                int64_t c, cudnnBackendDescriptor_t *tensor);

/* Reads an attribute of up to `capacity` values; *count gets their number. */
fv_status fv_cudnn_read(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values);

/* Reads what cuDNN says of the arithmetic of a configuration's engine, and writes it down with the configuration's knobs,
 * such as "engine 38, f32 math, no notes; k2=4". FV_UNSUPPORTED if cuDNN says something that is not known here. */
fv_status fv_cudnn_examine(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, fv_cudnn_engine *engine);
fv_status fv_cudnn_describe(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, const fv_cudnn_engine *engine,
                            fv_numerics *numerics);

/* Plans the operations: takes the first engine of the heuristics' list that the choice admits and whose workspace fits
 * into the device's free memory. FV_UNSUPPORTED if there is none. */
fv_status fv_cudnn_graph_plan(fv_cudnn_graph *graph, const cudnnBackendDescriptor_t *operations, int64_t count);

/* Queues the plan, with tensor ids[i] at pointers[i]. */
fv_status fv_cudnn_graph_run(const fv_cudnn_graph *graph, int64_t count, const int64_t *ids, void *const *pointers,
                             void *workspace);

#endif
