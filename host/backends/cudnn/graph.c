/* Building a graph of parts, and running one of its ways. */
#include "backends/cudnn/graph.h"

#include <stdlib.h>

/* Bytes that every tensor's address is a multiple of. Parameters lie one behind the other in memory, so that a tensor may
 * start at any float; but many engines load 16 bytes at a time, and with less cuDNN leaves them out, those on tensor cores
 * above all. */
static int64_t tensor_alignment(const fv_cudnn_graph *graph) {
    return graph->choice == FV_CUDNN_STRICT && graph->dtype == FV_F32 ? sizeof(float) : 16;
}

void fv_cudnn_graph_begin(fv_cudnn_graph *graph, const fv_cudnn_device *device, fv_cudnn_choice choice,
                          fv_layout layout, fv_dtype dtype) {
    *graph = (fv_cudnn_graph){
        .api = &device->api, .handle = device->handle, .choice = choice, .layout = layout, .dtype = dtype};
}

void fv_cudnn_graph_end(fv_cudnn_graph *graph) {
    while (graph->offer_count > 0)
        (void)graph->api->part_destroy(graph->offers[--graph->offer_count].config);
    while (graph->part_count > 0)
        (void)graph->api->part_destroy(graph->parts[--graph->part_count]);
    free(graph->offers);
    graph->offers = NULL;
}

fv_status fv_cudnn_part(fv_cudnn_graph *graph, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *part) {
    *part = NULL;
    if (graph->part_count == FV_CUDNN_PARTS)
        return fv_fail(FV_DEVICE, "cudnn: a graph of more than %d parts", FV_CUDNN_PARTS);
    FV_TRY(FV_CUDNN(graph->api, "create a part of a graph", graph->api->part_create(type, part)));
    graph->parts[graph->part_count++] = *part;
    return FV_OK;
}

fv_status fv_cudnn_set(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    return FV_CUDNN(graph->api, "describe a part of a graph", graph->api->part_set(part, name, type, count, values));
}

fv_status fv_cudnn_finalize(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part) {
    return FV_CUDNN(graph->api, "complete a part of a graph", graph->api->part_finalize(part));
}

fv_status fv_cudnn_graph_tensor(fv_cudnn_graph *graph, int64_t id, bool is_virtual, int64_t n, int64_t h, int64_t w,
                                int64_t c, cudnnBackendDescriptor_t *tensor) {
    /* The extents are always in the order n, c, h, w; the strides tell the layout. */
    const cudnnDataType_t dtype = is_virtual ? CUDNN_DATA_FLOAT : fv_cudnn_dtype(graph->dtype);
    const int64_t extents[] = {n, c, h, w}, nhwc[] = {h * w * c, 1, w * c, c}, nchw[] = {c * h * w, h * w, w, 1};
    const int64_t *strides = graph->layout == FV_NHWC ? nhwc : nchw;
    const int64_t alignment = tensor_alignment(graph);
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR, tensor));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &dtype));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extents));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    FV_TRY(fv_cudnn_set(graph, *tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return fv_cudnn_finalize(graph, *tensor);
}

fv_status fv_cudnn_graph_close(fv_cudnn_graph *graph, const cudnnBackendDescriptor_t *operations, int64_t count) {
    cudnnBackendDescriptor_t *whole = &graph->whole;
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, whole));
    FV_TRY(fv_cudnn_set(graph, *whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &graph->handle));
    FV_TRY(
        fv_cudnn_set(graph, *whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operations));
    return fv_cudnn_finalize(graph, *whole);
}

fv_status fv_cudnn_read(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t part, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values) {
    return FV_CUDNN(graph->api, "read a part of a graph",
                    graph->api->part_get(part, name, type, capacity, count, values));
}

fv_status fv_cudnn_way_run(const fv_cudnn_way *way, int64_t count, const int64_t *ids, void *const *pointers,
                           void *workspace) {
    const fv_cudnn_graph *graph = way->graph;
    const fv_cudnn_api *api = graph->api;
    const int64_t alignment = tensor_alignment(graph);
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
        status = api->execute(graph->handle, way->plan, pack);
    const fv_status result = FV_CUDNN(api, "run a plan", status);
    (void)api->part_destroy(pack);
    return result;
}
