/* What cuDNN offers for a graph, and making an offer ready to run.
 *
 * For f32 tensors cuDNN offers engines in true fp32 beside those on tensor cores (TF32): nothing in the graph keeps
 * them apart, but its notes on every engine do. By these the strict choice admits an engine only without
 *
 *     tensor cores: f32 would not be true fp32; of the other dtypes they are the point
 *     converted inputs: tf32 would be something else
 *     reduced-precision sums: they are to be f32's
 *     FFT, Winograd: another numerical kind, to which neither exact integers nor the bound for dot products apply
 *     nondeterministic: strict rows promise the same bits on every run
 *
 * and the best choice looks at the first three lines, and of 16-bit tensors at the fourth, because nobody says whether the
 * transformed values are stored in 16 bits, too. Notes on behaviour play no part: engines that are compiled when
 * they are planned, or that call cuBLASLt, are as good as others, and the rest is about int8.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cudnn/graph.h"
#include "base/checked.h"

enum { MOST_OF_A_MODE = 64 };

/* Mode A orders engines by estimated time, quickly; B thinks longer, and may list others; the fallbacks run where none
 * of those can. */
static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
enum { MODES = sizeof modes / sizeof modes[0] };

static bool admits(const fv_cudnn_graph *graph, const fv_cudnn_engine *engine) {
    switch (graph->choice) {
    case FV_CUDNN_STRICT:
        return engine->strict;
    case FV_CUDNN_BEST:
        return !engine->converts && !fv_notes_fall_short(graph->dtype, engine->notes);
    case FV_CUDNN_FASTEST:
        break;
    }
    return true;
}

static bool same_settings(const fv_cudnn_engine *a, const fv_cudnn_engine *b) {
    const size_t bytes = (size_t)a->knobs * sizeof a->knob_types[0];
    return a->number == b->number && a->knobs == b->knobs && !memcmp(a->knob_types, b->knob_types, bytes) &&
           !memcmp(a->knob_values, b->knob_values, bytes);
}

/* Takes a configuration over, *config becoming NULL, if its engine is admitted and it is none that was offered before.
 * One that cuDNN says unknown things of is no error: it is not taken. */
static fv_status consider(fv_cudnn_graph *graph, cudnnBackendDescriptor_t *config) {
    fv_cudnn_engine engine;
    if (fv_cudnn_examine(graph, *config, &engine) != FV_OK || !admits(graph, &engine))
        return FV_OK;
    for (int i = 0; i < graph->offer_count; ++i)
        if (same_settings(&graph->offers[i].engine, &engine))
            return FV_OK;
    fv_cudnn_offer *offers = realloc(graph->offers, (size_t)(graph->offer_count + 1) * sizeof *offers);
    if (!offers)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a list of engines");
    graph->offers = offers;
    offers[graph->offer_count++] = (fv_cudnn_offer){*config, engine};
    *config = NULL;
    return FV_OK;
}

/* Adds the offers among what heuristics of one mode list. */
static fv_status read_list(fv_cudnn_graph *graph, cudnnBackendDescriptor_t heuristics) {
    cudnnBackendDescriptor_t configs[MOST_OF_A_MODE] = {NULL};
    int64_t made = 0, count = 0;
    fv_status status = FV_OK;
    for (; made < MOST_OF_A_MODE && status == FV_OK; ++made)
        status = FV_CUDNN(graph->api, "create an engine configuration",
                          graph->api->part_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]));
    if (status == FV_OK)
        status = fv_cudnn_read(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               MOST_OF_A_MODE, &count, configs);
    for (int64_t i = 0; i < fv_min(count, made) && status == FV_OK; ++i)
        status = consider(graph, &configs[i]);
    for (int64_t i = 0; i < made; ++i)
        if (configs[i])
            (void)graph->api->part_destroy(configs[i]);
    return status;
}

/* Asks the next mode. A graph that its heuristics know nothing about is no error: another mode may. */
static fv_status ask_next_mode(fv_cudnn_graph *graph) {
    const cudnnBackendHeurMode_t *mode = &modes[graph->modes_asked];
    cudnnBackendDescriptor_t heuristics = NULL;
    FV_TRY(fv_cudnn_part(graph, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    FV_TRY(fv_cudnn_set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &graph->whole));
    FV_TRY(fv_cudnn_set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, mode));
    if (fv_cudnn_finalize(graph, heuristics) == FV_OK && read_list(graph, heuristics) == FV_NO_MEMORY)
        return FV_NO_MEMORY;
    ++graph->modes_asked;
    return FV_OK;
}

static fv_status no_offer(const fv_cudnn_graph *graph) {
    static const char *const wanted[] = {
        [FV_CUDNN_STRICT] = "deterministic engine without FFT and Winograd",
        [FV_CUDNN_BEST] = "engine",
        [FV_CUDNN_FASTEST] = "engine of any arithmetic",
    };
    return fv_fail(FV_UNSUPPORTED, "cudnn: no %s runs this in %s", wanted[graph->choice],
                   graph->dtype == FV_F32 ? "true fp32" : fv_dtype_name(graph->dtype));
}

fv_status fv_cudnn_graph_offers(fv_cudnn_graph *graph, int *count) {
    while (graph->modes_asked < MODES)
        FV_TRY(ask_next_mode(graph));
    *count = graph->offer_count;
    return *count > 0 ? FV_OK : no_offer(graph);
}

/* Makes the plan of a configuration and tells whether its workspace fits. */
static fv_status plan(const fv_cudnn_offer *offer, fv_cudnn_way *way) {
    const fv_cudnn_graph *graph = way->graph;
    int64_t count = 0;
    size_t available = 0, total = 0;
    FV_TRY(FV_CUDNN(graph->api, "create a plan",
                    graph->api->part_create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &way->plan)));
    FV_TRY(fv_cudnn_set(graph, way->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &graph->handle));
    FV_TRY(fv_cudnn_set(graph, way->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                        &offer->config));
    FV_TRY(fv_cudnn_finalize(graph, way->plan));
    FV_TRY(fv_cudnn_read(graph, way->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                         &way->workspace));
    if (way->workspace == 0)
        return FV_OK;
    FV_TRY(FV_CUDA("read the amount of free memory", cudaMemGetInfo(&available, &total)));
    if (way->workspace < 0 || (uint64_t)way->workspace > available)
        return fv_fail(FV_UNSUPPORTED,
                       "cudnn: a workspace of %" PRId64 " bytes does not fit into the %zu that are free",
                       way->workspace, available);
    return FV_OK;
}

/* Whatever is wrong with one offer, another may do. */
fv_status fv_cudnn_way_prepare(const fv_cudnn_graph *graph, int offer, fv_cudnn_way *way) {
    const fv_cudnn_offer *chosen = &graph->offers[offer];
    *way = (fv_cudnn_way){.graph = graph, .numerics = fv_cudnn_describe(graph, &chosen->engine)};
    if (plan(chosen, way) == FV_OK)
        return FV_OK;
    fv_cudnn_way_release(way);
    return fv_fail_within(FV_UNSUPPORTED, "engine %" PRId64, chosen->engine.number);
}

fv_status fv_cudnn_way_prepare_first(fv_cudnn_graph *graph, fv_cudnn_way *way) {
    for (int offer = 0;; ++offer) {
        while (offer == graph->offer_count && graph->modes_asked < MODES)
            FV_TRY(ask_next_mode(graph));
        if (offer == graph->offer_count)
            return no_offer(graph);
        if (fv_cudnn_way_prepare(graph, offer, way) == FV_OK)
            return FV_OK;
    }
}

void fv_cudnn_way_release(fv_cudnn_way *way) {
    if (way->plan)
        (void)way->graph->api->part_destroy(way->plan);
    way->plan = NULL;
}
