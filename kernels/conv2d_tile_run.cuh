/* The entries of a kernel table row whose work conv2d_tile.cuh does. A tile_method is a row of each pass. */
#ifndef FOVEA_CONV2D_TILE_RUN_CUH
#define FOVEA_CONV2D_TILE_RUN_CUH

#include <stdlib.h>

#include "conv2d_tile_plan.cuh"
#include "issue_estimate.cuh"

namespace FV_NAMESPACE {

template <bool BACKWARD, tile_method METHOD>
const char *tile_supports(const fv_operation *op) {
    tile_plan plan;
    return tile_plan_of(op->conv2d, BACKWARD, METHOD, plan)
               ? NULL
               : "no tile of the window with its halo and the filters fits 48 KiB of shared memory and 2^31-1 blocks";
}

/* tile_cost counts the instructions, and weighs them by how busy they keep a multiprocessor, but takes reads from memory
 * for coalesced: where few channels are staged at a time, a warp's 32 values come from several lines of the cache, which
 * fetches whole sectors of 8 floats. Each block reads its window and its filters, chunk after chunk. */
template <bool BACKWARD, tile_method METHOD>
double tile_estimate(const fv_operation *op, const fv_chip *chip) {
    tile_plan plan;
    if (!tile_plan_of(op->conv2d, BACKWARD, METHOD, plan))
        return NAN;
    constexpr double COUNTED = 15, SECTOR = 8;
    const double pixels = static_cast<double>(window_extent(plan.vertical) * window_extent(plan.horizontal));
    const double channels = static_cast<double>(plan.source_channels) * plan.groups;
    const double fetched = fmin(channels, ceil(plan.staged / SECTOR) * SECTOR);
    const double lines = cache_lines(ceil(static_cast<double>(WARP) / plan.staged), channels);
    const double waiting = pixels * plan.staged / WARP * fmax(0, ISSUED_PER_CLOCK * lines - COUNTED);
    const double filters =
        static_cast<double>(plan.vertical.taps * plan.horizontal.taps * plan.chunk) * plan.channel_tile;
    const double blocks = static_cast<double>(plan.blocks);
    const double chunks = static_cast<double>(ceil_div(plan.source_channels, plan.chunk));
    return expected_issue(*chip, {.instructions = tile_cost(plan, BACKWARD, METHOD) + blocks * chunks * waiting,
                                  .blocks = blocks,
                                  .threads = static_cast<double>(plan.threads),
                                  .shared_bytes = static_cast<double>(plan.shared_bytes),
                                  .bytes = bytes_of(op, BACKWARD ? FV_BACKWARD_DATA : FV_FORWARD),
                                  .cache_bytes = blocks * chunks * (pixels * fetched + filters) * sizeof(float),
                                  .launches = 1,
                                  .busy_threads = 0});
}

/* Keeps a plan until free(): the search for it is worth doing once. */
template <typename T>
fv_status tile_keep(const T &plan, void **state) {
    *state = malloc(sizeof plan);
    if (!*state)
        return fv_fail(FV_NO_MEMORY, "conv2d: no memory for a plan of %zu bytes", sizeof plan);
    *static_cast<T *>(*state) = plan;
    return FV_OK;
}

template <bool BACKWARD, tile_method METHOD>
fv_status tile_prepare(fv_context *, const fv_operation *op, void **state) {
    tile_plan plan;
    if (!tile_plan_of(op->conv2d, BACKWARD, METHOD, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", tile_supports<BACKWARD, METHOD>(op));
    return tile_keep(plan, state);
}

template <bool BACKWARD, tile_method METHOD, int OPTION>
fv_status tile_launch(fv_context *context, const tile_plan &plan, const fv_buffers *buffers) {
    constexpr tile_option SIZE = TILE_OPTIONS[OPTION];
    return FV_LAUNCH(context, (conv2d_tile_kernel<BACKWARD, METHOD, SIZE.pixels, SIZE.channels>),
                     dim3(static_cast<unsigned>(plan.blocks)), static_cast<unsigned>(plan.threads),
                     static_cast<size_t>(plan.shared_bytes), plan, input(buffers, BACKWARD ? FV_DY : FV_X),
                     input(buffers, FV_W), input(buffers, FV_B), output(buffers, BACKWARD ? FV_DX : FV_Y));
}

template <bool BACKWARD, tile_method METHOD>
fv_status tile_run(fv_context *context, const fv_operation *, void *state, const fv_buffers *buffers) {
    static_assert(TILE_OPTION_COUNT == 3, "one launch for each");
    const tile_plan &plan = *static_cast<const tile_plan *>(state);
    if (plan.blocks == 0)
        return FV_OK;
    if (plan.option == 0)
        return tile_launch<BACKWARD, METHOD, 0>(context, plan, buffers);
    if (plan.option == 1)
        return tile_launch<BACKWARD, METHOD, 1>(context, plan, buffers);
    return tile_launch<BACKWARD, METHOD, 2>(context, plan, buffers);
}

} // namespace FV_NAMESPACE

#endif
