/* relu forward by way of shared memory, sound and with one planted fault each (backends/emulated/faulty.h).
 *
 * Each thread copies one element of its block's tile asynchronously and handles the element of its mirror image, which
 * another thread copied: the copy needs a wait, and the exchange a barrier. */
#include "backends/emulated/faulty.h"

#include "async_copy.cuh"

namespace fv_emulated {

namespace {

constexpr int THREADS = 256;

enum fault { NONE, NO_BARRIER, NO_WAIT, DIVERGENT_BARRIER, EARLY_RETURN };

template <fault FAULT>
__global__ void relu_forward_mirrored_kernel(int64_t elements, const float *x, float *y) {
    FV_DYNAMIC_SHARED(float, tile);
    const int own = static_cast<int>(threadIdx.x), mirrored = THREADS - 1 - own;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * THREADS;
    const bool inside = first + own < elements;
    if (FAULT == EARLY_RETURN && !inside)
        return;

    async_copy<4>(&tile[own], inside ? x + first + own : x, inside ? 4 : 0);
    async_copy_commit();
    if (FAULT != NO_WAIT)
        async_copy_wait<0>();

    if (FAULT == DIVERGENT_BARRIER) {
        if (own < THREADS / 2)
            __syncthreads();
        else
            __syncthreads();
    } else if (FAULT != NO_BARRIER) {
        __syncthreads();
    }

    if (first + mirrored < elements)
        y[first + mirrored] = tile[mirrored] < 0.0f ? 0.0f : tile[mirrored];
}

template <fault FAULT>
fv_status relu_forward_mirrored(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const int64_t elements = op->relu.elements;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, relu_forward_mirrored_kernel<FAULT>, static_cast<unsigned>(ceil_div(elements, THREADS)),
                     THREADS, THREADS * sizeof(float), elements, input(buffers, FV_X), output(buffers, FV_Y));
}

const char *relu_forward_mirrored_supports(const fv_operation *op) {
    return op->relu.elements <= MAX_BLOCKS * THREADS ? nullptr : "more elements than a grid has threads";
}

template <fault FAULT>
constexpr fv_kernel row(const char *name) {
    return {.kind = FV_RELU,
            .pass = FV_FORWARD,
            .dtype = FV_F32,
            .name = name,
            .min_capability = 80,
            .deterministic = true,
            .supports = relu_forward_mirrored_supports,
            .run = relu_forward_mirrored<FAULT>};
}

} // namespace

} // namespace fv_emulated

using namespace fv_emulated;

const fv_kernel fv_faulty_kernels[] = {
    row<NONE>("sound"),
    row<NO_BARRIER>("no_barrier"),
    row<NO_WAIT>("no_wait"),
    row<DIVERGENT_BARRIER>("divergent_barrier"),
    row<EARLY_RETURN>("early_return"),
    FV_KERNELS_END,
};
