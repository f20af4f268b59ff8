/* Deformable convolution forward: per group, a matrix product
 *
 *     y[l][k] = b[k] + sum_j x_l[j] * w[k][j],    j = (r,s,c),    x_l[j] = mask * x at the tap's place,
 *
 * over output pixels l = (n,p,q). The rows x_l are interpolated while they are staged (product.cuh), so that they never
 * lie in memory; blocks that differ in k alone, which interpolate the same, are neighbours and share the L2 cache.
 *
 * Each thread stages one column of a slice, for the same pixels in every slice, and keeps their taps' places until the
 * column enters another tap: with 16 channels or more, reading an offset serves many values. 16 neighbouring threads read
 * 16 neighbouring channels, 64 bytes, of each of the four pixels. */
#ifndef FOVEA_CONV2D_DEFORMABLE_FORWARD_CUH
#define FOVEA_CONV2D_DEFORMABLE_FORWARD_CUH

#include "conv2d_deformable_taps.cuh"

namespace FV_NAMESPACE {

/* The column that a thread stages, and its pixels' taps. */
template <int TILE>
struct sampler {
    static constexpr int STEP = PRODUCT_THREADS<TILE> / PRODUCT_DEPTH; /* pixels from one to the next */
    static constexpr int COUNT = TILE / STEP;

    int64_t current = -1; /* offset group and tap whose places these are */
    tap_place place[COUNT];
    float weight[COUNT];

    /* Stages x_l[depth] to x_l[depth + PRODUCT_DEPTH - 1] for the tile's pixels; zeros beyond the filter and the pixels,
     * of which there are `pixels` in all. */
    __device__ void stage(const deformable_shape &g, const moved_taps &taps, int64_t group, const filter_place *filters,
                          int64_t depth, product_slice<TILE> &slice) {
        const int column = static_cast<int>(threadIdx.x) % PRODUCT_DEPTH;
        const int first = static_cast<int>(threadIdx.x) / PRODUCT_DEPTH;
        const int64_t j = depth + column, tap = j / g.cg, c = group * g.cg + j - tap * g.cg;
        const bool inside = j < g.columns;
        const int64_t wanted = taps.index(0, tap, c);
        if (inside && wanted != current)
            find_places(g, taps, filters, tap, wanted);
        FV_UNROLL
        for (int i = 0; i < COUNT; ++i) {
            const filter_place &filter = filters[first + i * STEP];
            float value = 0;
            if (inside && filter.pixel < g.pixels)
                value = weight[i] *
                        tap_load(g.d, taps.x + filter.image * g.d.h * g.d.w * g.d.c + c, place[i]).value(place[i]);
            slice[column][first + i * STEP] = value;
        }
    }

    __device__ void find_places(const deformable_shape &g, const moved_taps &taps, const filter_place *filters,
                                int64_t tap, int64_t wanted) {
        const int first = static_cast<int>(threadIdx.x) / PRODUCT_DEPTH;
        const int64_t down = tap / g.d.s * g.d.dilation_h, across = tap % g.d.s * g.d.dilation_w;
        current = wanted;
        FV_UNROLL
        for (int i = 0; i < COUNT; ++i) {
            const filter_place &filter = filters[first + i * STEP];
            if (filter.pixel >= g.pixels)
                continue;
            const int64_t at = filter.pixel * taps.taps + wanted;
            place[i] = taps.place(g.d, filter.row + down, filter.col + across, at);
            weight[i] = taps.weight(at);
        }
    }
};

template <int TILE>
__global__ void __launch_bounds__(PRODUCT_THREADS<TILE>)
    deformable_forward_kernel(deformable_shape g, moved_taps taps, const float *w, const float *b, float *y) {
    __shared__ __align__(16) product_slice<TILE> samples, filters;
    __shared__ filter_place places[TILE];
    const int64_t tiles_k = ceil_div(g.kg, TILE), tiles_l = ceil_div(g.pixels, TILE);
    const int64_t first_k = blockIdx.x % tiles_k * TILE;
    const int64_t first_l = blockIdx.x / tiles_k % tiles_l * TILE;
    const int64_t group = blockIdx.x / tiles_k / tiles_l;
    const product_operand filter = {w + group * g.kg * g.columns, g.columns, 1, g.kg};
    if (threadIdx.x < TILE)
        places[threadIdx.x] = filter_place_of(g, first_l + static_cast<int>(threadIdx.x));
    __syncthreads();
    sampler<TILE> sampler;
    float sum[4][4] = {};
    for (int64_t depth = 0; depth < g.columns; depth += PRODUCT_DEPTH) {
        sampler.stage(g, taps, group, places, depth, samples);
        product_stage<TILE, true>(filters, filter, first_k, depth, g.columns);
        __syncthreads();
        product_multiply<TILE>(samples, filters, sum);
        __syncthreads();
    }
    FV_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int64_t l = first_l + product_row<TILE>() + i;
        FV_UNROLL
        for (int j = 0; j < 4; ++j) {
            const int64_t k = first_k + product_column<TILE>() + j;
            if (l < g.pixels && k < g.kg)
                y[l * g.d.k + group * g.kg + k] = sum[i][j] + (b ? b[group * g.kg + k] : 0.0f);
        }
    }
}

} // namespace FV_NAMESPACE

#endif
