/* The strict choice takes an engine only if cuDNN's notes on it show none of these:
 *
 *     tensor cores, converted inputs, reduced-precision sums: f32 would not be true fp32 (TF32)
 *     FFT, Winograd: another numerical kind, to which neither exact integers nor the bound for dot products apply
 *     nondeterministic: strict rows promise the same bits on every run
 */
#include "backends/cudnn/graph.h"

#include "base/checked.h"

enum { MAX_ENGINES = 64 };

/* Bytes that every tensor's address is a multiple of. Parameters lie one behind the other in memory, so that a tensor may
 * start at any float; but the engines for tensor cores load 16 bytes at a time, and with less cuDNN leaves them out. */
static int64_t tensor_alignment(fv_cudnn_choice choice) {
    return choice == FV_CUDNN_STRICT ? sizeof(float) : 16;
}

void fv_cudnn_graph_begin(fv_cudnn_graph *graph, const fv_cudnn_device *device, fv_cudnn_choice choice) {
    *graph = (fv_cudnn_graph){.api = &device->api, .choice = choice, .handle = device->handle};
}

void fv_cudnn_graph_end(fv_cudnn_graph *graph) {
    while (graph->part_count > 0)
        (void)graph->api->part_destroy(graph->parts[--graph->part_count]);
}

fv_status fv_cudnn_part(fv_cudnn_graph *graph, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *part) {
    *part = NULL;
    if (graph->part_count == FV_CUDNN_PARTS)
        return fv_fail(FV_DEVICE, "cudnn: a graph of more than %d parts", FV_CUDNN_PARTS);
    FV_TRY(FV_CUDNN(graph->api, "create a part of a graph", graph->api->part_create(type, part)));
    graph->parts[graph->part_count++] = *part;
    return FV_OK;
}

fv_status fv_cudnn_set(fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    return FV_CUDNN(graph->api, "describe a part of a graph", graph->api->part_set(part, name, type, count, values));
}

fv_status fv_cudnn_finalize(fv_cudnn_graph *graph, cudnnBackendDescriptor_t part) {
    return FV_CUDNN(graph->api, "complete a part of a graph", graph->api->part_finalize(part));
}

fv_status fv_cudnn_graph_tensor(fv_cudnn_graph *graph, int64_t id, bool is_virtual, int64_t n, int64_t h, int64_t w,
                                int64_t c, cudnnBackendDescriptor_t *tensor) {
    /* Always in the order n, c, h, w; the strides say NHWC. */
    const int64_t extents[] = {n, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
    const cudnnDataType_t dtype = CUDNN_DATA_FLOAT;
    const int64_t alignment = tensor_alignment(graph->choice);
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR, tensor));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &dtype));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extents));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return fv_cudnn_finalize(graph, *tensor);
}

fv_status fv_cudnn_read(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values) {
    return FV_CUDNN(graph->api, "read a part of a graph",
                    graph->api->part_get(part, name, type, capacity, count, values));
}

/* Makes a plan of a configuration; *fits tells whether its workspace fits. */
static fv_status build(fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, cudnnBackendDescriptor_t plan,
                       bool *fits) {
    int64_t count = 0;
    size_t available = 0, total = 0;
    FV_TRY(fv_cudnn_set(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &graph->handle));
    FV_TRY(
        fv_cudnn_set(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config));
    FV_TRY(fv_cudnn_finalize(graph, plan));
    FV_TRY(fv_cudnn_read(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                         &graph->workspace));
    FV_TRY(FV_CUDA("read the amount of free memory", cudaMemGetInfo(&available, &total)));
    *fits = graph->workspace >= 0 && (uint64_t)graph->workspace <= available;
    return FV_OK;
}

/* Tries one configuration. A plan that cuDNN refuses is no error: the next one may do. */
static void try_config(fv_cudnn_graph *graph, cudnnBackendDescriptor_t config) {
    fv_cudnn_engine engine;
    bool fits = false;
    cudnnBackendDescriptor_t plan = NULL;
    if (fv_cudnn_examine(graph, config, &engine) != FV_OK || (graph->choice == FV_CUDNN_STRICT && !engine.strict))
        return;
    if (FV_CUDNN(graph->api, "create a plan",
                 graph->api->part_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan)) != FV_OK)
        return;
    if (build(graph, config, plan, &fits) == FV_OK && fits &&
        fv_cudnn_describe(graph, config, &engine, &graph->numerics) == FV_OK)
        graph->plan = plan;
    else
        (void)graph->api->part_destroy(plan);
}

/* Makes the plan and its configuration parts of the graph. */
static fv_status keep(fv_cudnn_graph *graph, cudnnBackendDescriptor_t *config) {
    if (graph->part_count + 2 > FV_CUDNN_PARTS) {
        (void)graph->api->part_destroy(graph->plan);
        graph->plan = NULL;
        return fv_fail(FV_DEVICE, "cudnn: a graph of more than %d parts", FV_CUDNN_PARTS);
    }
    graph->parts[graph->part_count++] = *config;
    graph->parts[graph->part_count++] = graph->plan;
    *config = NULL;
    return FV_OK;
}

/* Walks the heuristics' list of one mode until there is a plan. */
static fv_status search(fv_cudnn_graph *graph, cudnnBackendDescriptor_t heuristics) {
    cudnnBackendDescriptor_t configs[MAX_ENGINES] = {NULL};
    int64_t made = 0, count = 0;
    fv_status status = FV_OK;
    for (; made < MAX_ENGINES && status == FV_OK; ++made)
        status = FV_CUDNN(graph->api, "create an engine configuration",
                          graph->api->part_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]));
    if (status == FV_OK)
        status = fv_cudnn_read(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               MAX_ENGINES, &count, configs);
    for (int64_t i = 0; i < fv_min(count, made) && status == FV_OK && !graph->plan; ++i) {
        try_config(graph, configs[i]);
        if (graph->plan)
            status = keep(graph, &configs[i]);
    }
    for (int64_t i = 0; i < made; ++i)
        if (configs[i])
            (void)graph->api->part_destroy(configs[i]);
    return status;
}

fv_status fv_cudnn_graph_plan(fv_cudnn_graph *graph, const cudnnBackendDescriptor_t *operations, int64_t count) {
    /* Mode A orders the engines by estimated time; the fallbacks run where none of those can. */
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    cudnnBackendDescriptor_t whole = NULL, heuristics = NULL;
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &whole));
    FV_TRY(fv_cudnn_set(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &graph->handle));
    FV_TRY(fv_cudnn_set(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operations));
    FV_TRY(fv_cudnn_finalize(graph, whole));
    for (int i = 0; i < 2 && !graph->plan; ++i) {
        FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
        FV_TRY(fv_cudnn_set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                            &whole));
        FV_TRY(fv_cudnn_set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &modes[i]));
        /* A graph that the heuristics know nothing about is no error: the fallbacks may. */
        if (fv_cudnn_finalize(graph, heuristics) == FV_OK && search(graph, heuristics) == FV_NO_MEMORY)
            return FV_NO_MEMORY;
    }
    if (!graph->plan)
        return fv_fail(FV_UNSUPPORTED, "cudnn: no %s runs this",
                       graph->choice == FV_CUDNN_STRICT ? "deterministic engine without tensor cores, FFT or Winograd"
                                                        : "engine");
    return FV_OK;
}

fv_status fv_cudnn_graph_run(const fv_cudnn_graph *graph, int64_t count, const int64_t *ids, void *const *pointers,
                             void *workspace) {
    const fv_cudnn_api *api = graph->api;
    const int64_t alignment = tensor_alignment(graph->choice);
    for (int64_t i = 0; i < count; ++i)
        if ((uintptr_t)pointers[i] % (uintptr_t)alignment)
            return fv_fail(FV_BAD_INPUT, "cudnn: %s starts at an address that is no multiple of %d",
                           ids[i] < FV_ROLES ? fv_role_name((fv_role)ids[i]) : "a tensor", (int)alignment);
    cudnnBackendDescriptor_t pack = NULL;
    FV_TRY(FV_CUDNN(api, "create an argument list", api->part_create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack)));
    cudnnStatus_t status = api->part_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->part_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->part_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->part_finalize(pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = api->execute(graph->handle, graph->plan, pack);
    const fv_status result = FV_CUDNN(api, "run a plan", status);
    (void)api->part_destroy(pack);
    return result;
}
