#include "conv2d_tile_run.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int64_t WIDEST_GROUP = 32; /* channels: beyond, a group fills warps and accesses by itself */

const char *group_refusal(const fv_conv2d &d) {
    const int64_t inputs = d.c / d.groups, outputs = d.k / d.groups;
    if (d.groups == 1)
        return "there is only one group";
    if (inputs == 1 || outputs == 1)
        return "a group has one channel";
    if (inputs > WIDEST_GROUP || outputs > WIDEST_GROUP)
        return "a group has more than 32 channels, enough for tiles of its own";
    return NULL;
}

template <bool BACKWARD>
const char *supports_grouped(const fv_operation *op) {
    const char *refusal = group_refusal(op->conv2d);
    return refusal ? refusal : tile_supports<BACKWARD, TILE_GROUPED>(op);
}

} // namespace

const fv_kernel conv2d_grouped_kernels[] = {
    {.kind = FV_CONV2D,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "grouped",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_grouped<false>,
     .prepare = tile_prepare<false, TILE_GROUPED>,
     .release = free,
     .run = tile_run<false, TILE_GROUPED>},
    {.kind = FV_CONV2D,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "grouped",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_grouped<true>,
     .prepare = tile_prepare<true, TILE_GROUPED>,
     .release = free,
     .run = tile_run<true, TILE_GROUPED>},
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
