/* The fused forward pass: y = b + w2 * z, z = the depthwise convolution of x with w.
 *
 * A block computes 64 output pixels, in 16 strips of 4 that lie one below the other, by 64 or 128 output channels.
 * For 16 channels of z at a time it stages their filters, lets each thread compute one strip of one channel of z
 * (correlate_window) into shared memory, and multiplies that with the slab of w2 (product.cuh), its sums in registers.
 * z is computed once for every block along k: ceil(k/128) times where that leaves enough blocks, else ceil(k/64) times.
 * That costs r*s products beside the 64 or 128 that each z serves in a block. (256 would not leave enough registers.)
 *
 * Shared memory, in floats: slices[1 + TILES][16][68], z first, then w2; slab[r*s][17], the filters of w. */
#ifndef FOVEA_CONV2D_SEPARABLE_FORWARD_CUH
#define FOVEA_CONV2D_SEPARABLE_FORWARD_CUH

#include "conv2d_depthwise.cuh"
#include "product.cuh"

namespace FV_NAMESPACE {

constexpr int SEPARABLE_TILE = 64, SEPARABLE_THREADS = PRODUCT_THREADS<SEPARABLE_TILE>, SEPARABLE_STRIP = 4;
constexpr int64_t SEPARABLE_SLICE_FLOATS = sizeof(product_slice<SEPARABLE_TILE>) / sizeof(float);

struct separable_plan {
    depthwise_plan depthwise; /* of the stage from x to z, its channels those of z */
    int64_t p, q, k;
    int64_t units;             /* strips of output pixels */
    int tiles;                 /* of 64 output channels that a block has: 1 or 2 */
    int64_t channel_tiles;     /* blocks along k */
    int64_t middle_tiles;      /* weights: blocks along the channels of z */
    int64_t per_split, splits; /* weights: strips of a split */
    int64_t partial;           /* weights: floats of a partial gradient, dw2 and then db */
    int64_t blocks, shared_bytes;
};

/* Tiles of output channels to a block: 2, if there are as many and that leaves blocks for the device. */
inline int separable_tiles(int64_t k, int64_t other_blocks) {
    constexpr int64_t ENOUGH_BLOCKS = 128; /* one for each multiprocessor */
    return k > SEPARABLE_TILE && other_blocks * ceil_div(k, 2 * SEPARABLE_TILE) >= ENOUGH_BLOCKS ? 2 : 1;
}

/* What forward and the gradient of w2 have in common; `lanes` channels of z are worked on at once. */
inline separable_plan separable_problem(const fv_separable &d, int lanes) {
    fv_conv2d stages[2];
    fv_separable_stages(&d, stages);
    separable_plan plan = {};
    plan.depthwise = depthwise_problem(stages[0], false);
    plan.depthwise.lanes = lanes;
    plan.depthwise.units = SEPARABLE_THREADS / lanes;
    plan.depthwise.threads = SEPARABLE_THREADS;
    plan.depthwise.pitch = lanes | 1;
    plan.p = stages[1].h;
    plan.q = stages[1].w;
    plan.k = d.k;
    plan.units = d.n * plan.p * strips_of(plan.q, plan.depthwise.across.share, SEPARABLE_STRIP);
    return plan;
}

inline int64_t separable_shared_bytes(const separable_plan &plan) {
    const int64_t taps = static_cast<int64_t>(plan.depthwise.vertical.taps) * plan.depthwise.horizontal.taps;
    const int64_t slab = (taps < MAX_SHARED_BYTES ? taps : MAX_SHARED_BYTES) * plan.depthwise.pitch;
    return ((1 + plan.tiles) * SEPARABLE_SLICE_FLOATS + slab) * static_cast<int64_t>(sizeof(float));
}

inline separable_plan separable_forward_plan_of(const fv_separable &d) {
    separable_plan plan = separable_problem(d, PRODUCT_DEPTH);
    const int64_t pixel_tiles = ceil_div(plan.units, plan.depthwise.units);
    plan.tiles = separable_tiles(plan.k, pixel_tiles);
    plan.channel_tiles = ceil_div(plan.k, plan.tiles * SEPARABLE_TILE);
    plan.blocks = pixel_tiles > MAX_BLOCKS / plan.channel_tiles ? MAX_BLOCKS + 1 : pixel_tiles * plan.channel_tiles;
    plan.shared_bytes = separable_shared_bytes(plan);
    return plan;
}

/* bias: NULL for none. */
template <int TILES>
__global__ void __launch_bounds__(SEPARABLE_THREADS, 2)
    separable_forward_kernel(separable_plan plan, const float *x, const float *w, const float *w2, const float *bias,
                             float *y) {
    FV_DYNAMIC_SHARED(float, shared);
    auto *const slices = reinterpret_cast<product_slice<SEPARABLE_TILE> *>(shared);
    float *const slab = shared + (1 + TILES) * SEPARABLE_SLICE_FLOATS;
    const depthwise_plan &depthwise = plan.depthwise;
    const tile_class v = tile_class_of<false>(depthwise.vertical, 0), h = tile_class_of<false>(depthwise.horizontal, 0);
    const int lane = static_cast<int>(threadIdx.x) % PRODUCT_DEPTH,
              turn = static_cast<int>(threadIdx.x) / PRODUCT_DEPTH;
    const int64_t first_k = blockIdx.x % plan.channel_tiles * TILES * SEPARABLE_TILE; /* neighbours share x */
    const strip_place place = strip_place_of<SEPARABLE_STRIP>(
        depthwise.across, blockIdx.x / plan.channel_tiles * depthwise.units + turn, plan.units, plan.p, plan.q);
    const product_operand pointwise = {w2, depthwise.channels, 1, plan.k};
    float sum[TILES][4][4] = {};
    for (int64_t first = 0; first < depthwise.channels; first += PRODUCT_DEPTH) {
        stage_depthwise_filters<false>(depthwise, v, h, first, 0, 0, v.taps, w, slab);
        FV_UNROLL
        for (int tile = 0; tile < TILES; ++tile)
            product_stage<SEPARABLE_TILE, true>(slices[1 + tile], pointwise, first_k + tile * SEPARABLE_TILE, first,
                                                depthwise.channels);
        __syncthreads();
        float z[SEPARABLE_STRIP] = {};
        const int64_t channel = first + lane;
        if (place.inside && channel < depthwise.channels)
            correlate_window<0>(depthwise, v, h, place, 0, v.taps, x + channel / depthwise.multiplier,
                                depthwise.channels / depthwise.multiplier, slab + lane, z);
        *reinterpret_cast<float4 *>(&slices[0][lane][turn * SEPARABLE_STRIP]) = make_float4(z[0], z[1], z[2], z[3]);
        __syncthreads();
        FV_UNROLL
        for (int tile = 0; tile < TILES; ++tile)
            product_multiply<SEPARABLE_TILE>(slices[0], slices[1 + tile], sum[tile]);
        __syncthreads();
    }
    /* The rows of a thread's sums are the pixels of its strip. */
    FV_UNROLL
    for (int i = 0; i < SEPARABLE_STRIP; ++i) {
        const int64_t col = place.first + static_cast<int64_t>(i) * depthwise.across.share;
        if (!place.inside || col >= plan.q)
            continue;
        float *const pixel = y + ((place.image * plan.p + place.row) * plan.q + col) * plan.k;
        FV_UNROLL
        for (int tile = 0; tile < TILES; ++tile) {
            FV_UNROLL
            for (int j = 0; j < 4; ++j) {
                const int64_t k = first_k + tile * SEPARABLE_TILE + product_column<SEPARABLE_TILE>() + j;
                if (k < plan.k)
                    pixel[k] = sum[tile][i][j] + (bias ? bias[k] : 0.0f);
            }
        }
    }
}

} // namespace FV_NAMESPACE

#endif
