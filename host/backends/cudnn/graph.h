/* cuDNN's graph API, as much of it as convolutions need.
 *
 * A graph is built of parts, the library's "backend descriptors": tensors, a convolution, operations. cuDNN's
 * heuristics list engine configurations that could run it, best first; those that we admit are the graph's offers. A
 * way is an offer made ready to run. Whoever wants one takes the first that works, or tries them all. Parts and offers
 * live as long as the graph, and the graph outlives its ways.
 */
#ifndef FOVEA_BACKENDS_CUDNN_GRAPH_H
#define FOVEA_BACKENDS_CUDNN_GRAPH_H

#include "backends/cudnn/cudnn.h"

enum { FV_CUDNN_PARTS = 20, FV_CUDNN_KNOBS = CUDNN_KNOB_TYPE_COUNTS };

/* Which engines are admitted; offers.c tells by what. Tensors must be aligned to 16 bytes, but those of f32 for the strict
 * choice, which may start at any float. */
typedef enum fv_cudnn_choice {
    FV_CUDNN_STRICT,  /* those that compute as we ask */
    FV_CUDNN_BEST,    /* those in the arithmetic of the dtype, by whatever method */
    FV_CUDNN_FASTEST, /* all */
} fv_cudnn_choice;

/* A configuration's engine, the arithmetic of that, and its settings, which cuDNN calls knobs (engine.c). */
typedef struct fv_cudnn_engine {
    int64_t number;  /* as cuDNN's documentation and logs count them */
    unsigned notes;  /* bit set of fv_numerical_note */
    unsigned listed; /* bit set of cuDNN's notes, in the order of the table in engine.c */
    bool strict;     /* the arithmetic of the graph's dtype, without transforms, the same bits on every run */
    bool converts;   /* inputs to a format that is not told */
    int knobs;
    int64_t knob_types[FV_CUDNN_KNOBS], knob_values[FV_CUDNN_KNOBS];
} fv_cudnn_engine;

typedef struct fv_cudnn_offer {
    cudnnBackendDescriptor_t config;
    fv_cudnn_engine engine;
} fv_cudnn_offer;

typedef struct fv_cudnn_graph {
    const fv_cudnn_api *api;
    cudnnHandle_t handle;
    fv_cudnn_choice choice;
    fv_layout layout; /* of its tensors, */
    fv_dtype dtype;   /* of the operation that they are of */
    cudnnBackendDescriptor_t parts[FV_CUDNN_PARTS];
    int part_count;
    cudnnBackendDescriptor_t whole; /* all of its operations; one of the parts */
    bool fuses;                     /* bias and ReLU, as far as the operation has them, are in it */
    fv_cudnn_offer *offers;
    int offer_count, modes_asked; /* modes of the heuristics, see offers.c */
} fv_cudnn_graph;

typedef struct fv_cudnn_way {
    const fv_cudnn_graph *graph;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;    /* bytes it needs */
    fv_numerics numerics; /* its engine's */
} fv_cudnn_way;

/* Starts an empty graph; end it in any case. */
void fv_cudnn_graph_begin(fv_cudnn_graph *graph, const fv_cudnn_device *device, fv_cudnn_choice choice,
                          fv_layout layout, fv_dtype dtype);
void fv_cudnn_graph_end(fv_cudnn_graph *graph);

/* Makes a part, sets an attribute of it (`count` values of a type), and closes it to further setting. */
fv_status fv_cudnn_part(fv_cudnn_graph *graph, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *part);
fv_status fv_cudnn_set(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *values);
fv_status fv_cudnn_finalize(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part);

/* A dense tensor in the graph's layout and dtype, known to fv_cudnn_way_run by its id. A virtual one lives inside the
 * graph only, and is f32. */
fv_status fv_cudnn_graph_tensor(fv_cudnn_graph *graph, int64_t id, bool is_virtual, int64_t n, int64_t h, int64_t w,
                                int64_t c, cudnnBackendDescriptor_t *tensor);

/* The last step of building: these are the operations. */
fv_status fv_cudnn_graph_close(fv_cudnn_graph *graph, const cudnnBackendDescriptor_t *operations, int64_t count);

/* Reads an attribute of up to `capacity` values; *count gets their number. */
fv_status fv_cudnn_read(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values);

/* Reads what cuDNN says of a configuration's engine. FV_UNSUPPORTED if it says something that is not known here. */
fv_status fv_cudnn_examine(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, fv_cudnn_engine *engine);

/* The same in our notes and in words, such as "engine 38, f32 math, no notes; k2=4". */
fv_numerics fv_cudnn_describe(const fv_cudnn_graph *graph, const fv_cudnn_engine *engine);

/* Asks the heuristics for all that they list, and counts the offers. FV_UNSUPPORTED if there is none. */
fv_status fv_cudnn_graph_offers(fv_cudnn_graph *graph, int *count);

/* Makes one of the offers counted ready to run, or the first that works. FV_UNSUPPORTED if cuDNN refuses it, or if its
 * workspace does not fit into the device's free memory. Release the way in any case. */
fv_status fv_cudnn_way_prepare(const fv_cudnn_graph *graph, int offer, fv_cudnn_way *way);
fv_status fv_cudnn_way_prepare_first(fv_cudnn_graph *graph, fv_cudnn_way *way);
void fv_cudnn_way_release(fv_cudnn_way *way);

/* Queues it, with tensor ids[i] at pointers[i]. */
fv_status fv_cudnn_way_run(const fv_cudnn_way *way, int64_t count, const int64_t *ids, void *const *pointers,
                           void *workspace);

#endif
