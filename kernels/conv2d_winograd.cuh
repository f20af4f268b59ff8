/* The kernels around the products of Winograd's convolution: filters, images and results into and out of the
 * transformed domain. See conv2d_winograd.cu.
 *
 * Neighbouring threads take neighbouring channels: what they read and write of one pixel, tap or point is contiguous. A
 * thread holds one patch in registers and needs no shared memory: each value is used by it alone, but for the pixels
 * that tiles share, which the tiles of one block get from the first-level cache. Bound by memory. */
#ifndef FOVEA_CONV2D_WINOGRAD_CUH
#define FOVEA_CONV2D_WINOGRAD_CUH

#include "conv2d_winograd_transforms.cuh"

namespace FV_NAMESPACE {

/* A convolution with 3x3 filters from an image of `in` to one of `out` channels a group, whichever pass it is. */
struct winograd_plan {
    int64_t in_h, in_w, out_h, out_w;
    int64_t pad_top, pad_left; /* below 0: the first window begins within the image */
    int64_t groups, in, out;
    int64_t in_pitch, out_pitch; /* of transformed channels: rounded up to four */
    int64_t down, across, tiles; /* tiles of an image each way, and of all images */
    int64_t per_chunk;           /* tiles that are transformed and multiplied at once */

    /* Filters: floats from tap to tap, and from one input and one output channel to the next. */
    int64_t tap, in_step, out_step;
    bool turned; /* by half a turn */
    bool relu;   /* y = max(y, 0) at the end */
};

/* Some of the tiles: the first one and how many. */
struct winograd_chunk {
    int64_t first, tiles;
};

constexpr int WINOGRAD_BLOCK = 256; /* threads of a transform */

/* Channels that a block of the transforms takes, of `channels`. */
__host__ __device__ inline int64_t winograd_lanes(int64_t channels) {
    return channels < WARP ? channels : WARP;
}

/* u[point][group][in][out] = G w G'. A block takes 32 output channels of 8 input channels, which in the forward pass
 * share the sectors that they read. */
template <int OUTPUTS>
__global__ void __launch_bounds__(WINOGRAD_BLOCK)
    conv2d_winograd_filter_kernel(winograd_plan plan, const float *w, float *u) {
    constexpr int POINTS = winograd<OUTPUTS>::POINTS, ROWS = WINOGRAD_BLOCK / WARP;
    const int64_t out_blocks = ceil_div(plan.out, WARP), in_blocks = ceil_div(plan.in, ROWS);
    const int64_t group = blockIdx.x / out_blocks / in_blocks;
    const int64_t k = blockIdx.x % out_blocks * WARP + threadIdx.x % WARP;
    const int64_t c = blockIdx.x / out_blocks % in_blocks * ROWS + threadIdx.x / WARP;
    if (k >= plan.out || c >= plan.in)
        return;
    w += group * plan.in * plan.out * 9 + c * plan.in_step + k * plan.out_step;
    u += (group * plan.in + c) * plan.out_pitch + k;
    const int64_t step = plan.groups * plan.in * plan.out_pitch; /* from point to point */

    float half[POINTS][3];
    FV_UNROLL
    for (int s = 0; s < 3; ++s) {
        float taps[3], made[POINTS];
        FV_UNROLL
        for (int r = 0; r < 3; ++r)
            taps[r] = w[(plan.turned ? 8 - 3 * r - s : 3 * r + s) * plan.tap];
        winograd<OUTPUTS>::filter(taps, made);
        FV_UNROLL
        for (int i = 0; i < POINTS; ++i)
            half[i][s] = made[i];
    }
    FV_UNROLL
    for (int i = 0; i < POINTS; ++i) {
        float made[POINTS];
        winograd<OUTPUTS>::filter(half[i], made);
        FV_UNROLL
        for (int j = 0; j < POINTS; ++j)
            u[(i * POINTS + j) * step] = made[j];
    }
}

/* Which tile of a chunk, and which channel of which group, a thread of the other two transforms takes. */
struct winograd_place {
    bool inside;
    int64_t local;         /* tile within the chunk */
    int64_t image;         /* of the batch */
    int64_t row, col;      /* the tile's first output pixel */
    int64_t channel;       /* of the image */
    int64_t group, member; /* and the same within its group */
};

/* Blocks along the channels come first, so that neighbouring blocks read neighbouring memory. */
template <int OUTPUTS>
__device__ winograd_place winograd_place_of(const winograd_plan &plan, const winograd_chunk &chunk, int64_t members) {
    const int64_t channels = plan.groups * members;
    const unsigned lanes = static_cast<unsigned>(winograd_lanes(channels)), tiles = WINOGRAD_BLOCK / lanes;
    const unsigned blocks = static_cast<unsigned>(ceil_div(channels, lanes));
    winograd_place place;
    place.channel = static_cast<int64_t>(blockIdx.x % blocks) * lanes + threadIdx.x % lanes;
    place.local = static_cast<int64_t>(blockIdx.x / blocks) * tiles + threadIdx.x / lanes;
    place.inside = threadIdx.x / lanes < tiles && place.channel < channels && place.local < chunk.tiles;
    place.group = plan.groups == 1 ? 0 : place.channel / members;
    place.member = place.channel - place.group * members;
    const unsigned tile = static_cast<unsigned>(chunk.first + place.local);
    const unsigned line = tile / static_cast<unsigned>(plan.across);
    place.col = static_cast<int64_t>(tile - line * static_cast<unsigned>(plan.across)) * OUTPUTS;
    place.image = line / static_cast<unsigned>(plan.down);
    place.row = static_cast<int64_t>(line % static_cast<unsigned>(plan.down)) * OUTPUTS;
    return place;
}

/* The grid for it. */
inline int64_t winograd_blocks(const winograd_chunk &chunk, int64_t channels) {
    const int64_t lanes = winograd_lanes(channels);
    return ceil_div(chunk.tiles, WINOGRAD_BLOCK / lanes) * ceil_div(channels, lanes);
}

/* v[point][group][tile][in] = B' x B, with zeros around the image. */
template <int OUTPUTS>
__global__ void __launch_bounds__(WINOGRAD_BLOCK)
    conv2d_winograd_input_kernel(winograd_plan plan, winograd_chunk chunk, const float *x, float *v) {
    constexpr int POINTS = winograd<OUTPUTS>::POINTS;
    const winograd_place place = winograd_place_of<OUTPUTS>(plan, chunk, plan.in);
    if (!place.inside)
        return;
    const int64_t channels = plan.groups * plan.in, top = place.row - plan.pad_top, left = place.col - plan.pad_left;
    x += place.image * plan.in_h * plan.in_w * channels + place.channel;
    v += (place.group * chunk.tiles + place.local) * plan.in_pitch + place.member;
    const int64_t step = plan.groups * chunk.tiles * plan.in_pitch; /* from point to point */

    float half[POINTS][POINTS];
    FV_UNROLL
    for (int j = 0; j < POINTS; ++j) {
        float pixels[POINTS], made[POINTS];
        const int64_t col = left + j;
        FV_UNROLL
        for (int i = 0; i < POINTS; ++i) {
            const int64_t row = top + i;
            const bool inside = row >= 0 && row < plan.in_h && col >= 0 && col < plan.in_w;
            pixels[i] = inside ? x[(row * plan.in_w + col) * channels] : 0.0f;
        }
        winograd<OUTPUTS>::input(pixels, made);
        FV_UNROLL
        for (int i = 0; i < POINTS; ++i)
            half[i][j] = made[i];
    }
    FV_UNROLL
    for (int i = 0; i < POINTS; ++i) {
        float made[POINTS];
        winograd<OUTPUTS>::input(half[i], made);
        FV_UNROLL
        for (int j = 0; j < POINTS; ++j)
            v[(i * POINTS + j) * step] = made[j];
    }
}

/* y = A' m A + bias, with a ReLU if wanted, of m[point][group][tile][out]. `bias` may be NULL. */
template <int OUTPUTS>
__global__ void __launch_bounds__(WINOGRAD_BLOCK)
    conv2d_winograd_output_kernel(winograd_plan plan, winograd_chunk chunk, const float *m, const float *bias,
                                  float *y) {
    constexpr int POINTS = winograd<OUTPUTS>::POINTS;
    const winograd_place place = winograd_place_of<OUTPUTS>(plan, chunk, plan.out);
    if (!place.inside)
        return;
    const int64_t channels = plan.groups * plan.out;
    m += (place.group * chunk.tiles + place.local) * plan.out_pitch + place.member;
    y += (place.image * plan.out_h + place.row) * plan.out_w * channels + place.col * channels + place.channel;
    const int64_t step = plan.groups * chunk.tiles * plan.out_pitch;
    const float shift = bias ? bias[place.channel] : 0.0f;

    float half[OUTPUTS][POINTS];
    FV_UNROLL
    for (int j = 0; j < POINTS; ++j) {
        float points[POINTS], made[OUTPUTS];
        FV_UNROLL
        for (int i = 0; i < POINTS; ++i)
            points[i] = m[(i * POINTS + j) * step];
        winograd<OUTPUTS>::output(points, made);
        FV_UNROLL
        for (int i = 0; i < OUTPUTS; ++i)
            half[i][j] = made[i];
    }
    FV_UNROLL
    for (int i = 0; i < OUTPUTS; ++i) {
        float made[OUTPUTS];
        winograd<OUTPUTS>::output(half[i], made);
        FV_UNROLL
        for (int j = 0; j < OUTPUTS; ++j)
            if (place.row + i < plan.out_h && place.col + j < plan.out_w)
                y[(i * plan.out_w + j) * channels] = plan.relu && made[j] + shift < 0.0f ? 0.0f : made[j] + shift;
    }
}

} // namespace FV_NAMESPACE

#endif
