/* The fused forward pass of conv2d_separable (conv2d_separable.cu) with its pointwise product on tensor cores:
 *
 *     z[n,p,q,m] = sum_{r,s} w[m,r,s] * x[n, .., .., m / multiplier]      f32, FMA units
 *     y[n,p,q,k] = b[k] + sum_m w2[k,m] * z[n,p,q,m]                      tf32, or three products of tf32 for f32
 *
 * x is [n,h,w,c], w [m,r,s,1], w2 [k,1,1,m], y [n,p,q,k], all f32. Any stride, dilation, padding and multiplier; windows of
 * up to some 620 taps.
 *
 * Method. A block computes TILE output pixels, in strips of 8 along a line, by TILE output channels. Of 16 channels of z
 * at a time a thread computes one strip of one channel, in registers (correlate_window of conv2d_depthwise.cuh), and
 * puts it into a slab of shared memory where the fragments of mma find it; z is never in global memory. The slab, that of
 * w2, and how they are multiplied are those of the implicit GEMM (conv2d_gemm_multiply.cuh; for the products see there).
 * While slice i is multiplied, z of slice i + 1 is computed into a second slab, its w2 is on the way (cp.async), and so
 * are the filters of slice i + 2: one barrier a slice, and warps that wait for x share the schedulers with warps that
 * multiply. z is computed once for every TILE output channels.
 *
 * Line j * TILE/8 + t of z's slab is pixel j of strip t: so a warp, of two neighbouring strips and 16 channels each, writes
 * two neighbouring lines, 32 words of different banks. The other accesses are the implicit GEMM's, free of conflicts too.
 * x is read 16 channels, 64 bytes, at a time by half a warp; neighbouring strips lie one below the other, so that a line of
 * x comes from the first-level cache for the other rows of the window.
 *
 * Shared memory, TILE 128 (64): four slabs of 8 (4) KiB and twice 68 bytes per tap; later, in the same place, the results,
 * 68 (18) KiB. 256 (128) threads of at most 128 registers, 64 (32) of them sums: two (four) blocks, 16 warps of 64, to a
 * multiprocessor; with three products, up to 255 (168) registers, one (three). Tiles of 128 are for filters whose lines have
 * three adjoining taps: others would spill.
 *
 * Intensity: 3x3 from 128 to 128 channels has 34 FLOP for each of its 8 bytes from DRAM: memory is the limit on paper,
 * at 20 FLOP per byte for FMA units and 115 for tf32. A value of z costs about 30 instructions (10 loads of three rows serve
 * 8 results, with their bounds), in time as much as its share of memory; its 128 products cost less than that.
 *
 * Expected on an H200 (a prediction, not measured): 50 to 60 % of the floor at 3x3, 128 to 256 channels and k at most
 * 128, 1.5 to 2 times as fast as "unfused", which moves z twice; 40 % where k is 256 and more, as z is computed again;
 * with three products 45 %. */
#ifndef FOVEA_CONV2D_SEPARABLE_MMA_CUH
#define FOVEA_CONV2D_SEPARABLE_MMA_CUH

#include "conv2d_gemm.cuh"
#include "conv2d_separable_forward.cuh"

namespace FV_NAMESPACE {

constexpr int MMA_STRIP = 8, MMA_LANES = 16; /* pixels of a strip; channels of z in a slice */
static_assert(MMA_LANES == GEMM_DEPTH<float>);

struct separable_mma_plan {
    depthwise_plan depthwise; /* from x to z; lanes are those of a slice */
    int64_t p, q, k;
    int64_t units;         /* strips of output pixels */
    int64_t channel_tiles; /* blocks along k */
    int taps;
    int64_t blocks, shared_bytes;
    gemm_plan store; /* what gemm_store asks for */
};

template <int TILE>
constexpr int64_t MMA_SLAB = GEMM_SLAB<float, TILE>;

template <int TILE, int THREADS>
separable_mma_plan separable_mma_plan_of(const fv_separable &d) {
    static_assert(THREADS / MMA_LANES * MMA_STRIP == TILE, "a strip of z for each thread");
    fv_conv2d stages[2];
    fv_separable_stages(&d, stages);
    separable_mma_plan plan = {};
    plan.depthwise = depthwise_problem(stages[0], false);
    plan.depthwise.lanes = MMA_LANES;
    plan.depthwise.units = TILE / MMA_STRIP;
    plan.depthwise.threads = THREADS;
    plan.depthwise.pitch = MMA_LANES + 1;
    plan.p = stages[1].h;
    plan.q = stages[1].w;
    plan.k = d.k;
    plan.units = d.n * plan.p * strips_of(plan.q, plan.depthwise.across.share, MMA_STRIP);
    plan.channel_tiles = ceil_div(d.k, TILE);
    const int64_t pixel_tiles = ceil_div(plan.units, plan.depthwise.units), taps = d.r * d.s;
    plan.blocks = pixel_tiles > MAX_BLOCKS / plan.channel_tiles ? MAX_BLOCKS + 1 : pixel_tiles * plan.channel_tiles;
    plan.taps = static_cast<int>(taps < MAX_SHARED_BYTES_OPT_IN ? taps : MAX_SHARED_BYTES_OPT_IN);
    const int64_t filters = 2 * static_cast<int64_t>(plan.taps) * plan.depthwise.pitch;
    const int64_t stage_bytes = (4 * MMA_SLAB<TILE> + filters) * static_cast<int64_t>(sizeof(float));
    plan.shared_bytes = stage_bytes > GEMM_RESULTS_BYTES<TILE> ? stage_bytes : GEMM_RESULTS_BYTES<TILE>;
    plan.store.columns = static_cast<int>(d.k);
    return plan;
}

/* Where a block's two slabs of z, two of w2 and two of filters are; slice i has those of i % 2. */
template <int TILE>
struct separable_stages {
    float *z, *w2, *filters;
    int filter_floats;

    __device__ float *z_of(int slice) const {
        return z + slice % 2 * MMA_SLAB<TILE>;
    }
    __device__ float *w2_of(int slice) const {
        return w2 + slice % 2 * MMA_SLAB<TILE>;
    }
    __device__ float *filters_of(int slice) const {
        return filters + slice % 2 * filter_floats;
    }
};

/* Begins to bring a slice's filters of w, [tap][lane]; zeros behind the last channel. */
static __device__ void copy_filters(const separable_mma_plan &plan, int64_t first, const float *w, float *slab) {
    const depthwise_plan &depthwise = plan.depthwise;
    for (int e = static_cast<int>(threadIdx.x); e < plan.taps * MMA_LANES; e += depthwise.threads) {
        const int lane = e / plan.taps, tap = e % plan.taps;
        const bool inside = first + lane < depthwise.channels;
        async_copy<4>(&slab[tap * depthwise.pitch + lane], inside ? w + (first + lane) * plan.taps + tap : w,
                      inside ? 4 : 0);
    }
}

/* Begins to bring a slice's columns of w2, TILE rows from first_k. */
template <int TILE, int THREADS, bool WIDE>
__device__ void copy_pointwise(const separable_mma_plan &plan, int64_t first, int first_k, const float *w2,
                               float *slab) {
    const int64_t channels = plan.depthwise.channels;
    FV_UNROLL
    for (int i = 0; i < TILE * GEMM_PIECES; i += THREADS) {
        const int at = i + static_cast<int>(threadIdx.x), line = at / GEMM_PIECES, piece = at % GEMM_PIECES;
        const int64_t channel = first + piece * GEMM_LANES<float>, row = first_k + line;
        const int64_t left = row < plan.k && channel < channels ? channels - channel : 0;
        gemm_copy<WIDE>(slab + gemm_piece<ALONG, float, TILE>(line, piece), w2, row * channels + channel,
                        left < GEMM_LANES<float> ? static_cast<int>(left) : GEMM_LANES<float>);
    }
}

/* correlate_window for lines of three adjoining taps, in fewer registers: which of the strip's pixels are inside is one
 * word. */
static __device__ __forceinline__ void correlate_three(const depthwise_plan &plan, const strip_place &place,
                                                       const float *source, int64_t channels, const float *taps,
                                                       float (&sum)[MMA_STRIP]) {
    const tile_axis &v = plan.vertical, &h = plan.horizontal;
    const int64_t first_col = place.first * h.advance - h.pad;
    const int64_t step = plan.across.step;
    unsigned inside = 0;
    FV_UNROLL
    for (int i = 0; i < MMA_STRIP + 2; ++i)
        inside |= static_cast<unsigned>(first_col + i * step >= 0 && first_col + i * step < h.source) << i;
    source += (place.image * v.source * h.source + first_col) * channels;
    for (int t = 0; t < v.filter; ++t) {
        const int64_t line = place.row * v.advance - v.pad + static_cast<int64_t>(t) * v.spacing;
        if (line < 0 || line >= v.source)
            continue;
        const float *const pixels = source + line * h.source * channels;
        float value[MMA_STRIP + 2];
        FV_UNROLL
        for (int i = 0; i < MMA_STRIP + 2; ++i)
            value[i] = inside >> i & 1 ? pixels[i * step * channels] : 0.0f;
        FV_UNROLL
        for (int s = 0; s < 3; ++s) {
            const float by = taps[(t * 3 + s) * plan.pitch];
            FV_UNROLL
            for (int j = 0; j < MMA_STRIP; ++j)
                sum[j] += value[j + s] * by;
        }
    }
}

/* Computes the thread's strip of one channel of z into the slab; zeros for pixels and channels that are none. */
template <int TILE>
__device__ void compute_z(const separable_mma_plan &plan, const strip_place &place, int64_t first, const float *x,
                          const float *filters, float *slab) {
    const depthwise_plan &depthwise = plan.depthwise;
    const tile_class v = tile_class_of<false>(depthwise.vertical, 0), h = tile_class_of<false>(depthwise.horizontal, 0);
    const int lane = static_cast<int>(threadIdx.x) % MMA_LANES, strip = static_cast<int>(threadIdx.x) / MMA_LANES;
    const int64_t channel = first + lane;
    float z[MMA_STRIP] = {};
    if (place.inside && channel < depthwise.channels) {
        const float *const source = x + channel / depthwise.multiplier;
        const int64_t channels = depthwise.channels / depthwise.multiplier;
        if (TILE == 128 || depthwise.three) /* the other path needs more registers than large tiles leave */
            correlate_three(depthwise, place, source, channels, filters + lane, z);
        else
            correlate_window<0>(depthwise, v, h, place, 0, v.taps, source, channels, filters + lane, z);
    }
    FV_UNROLL
    for (int j = 0; j < MMA_STRIP; ++j)
        slab[gemm_element<ALONG, float, TILE>(j * (TILE / MMA_STRIP) + strip, lane)] = z[j];
}

/* Where the results of pixel j of a strip go; -1: nowhere. */
static __device__ int64_t separable_target(const separable_mma_plan &plan, const strip_place &place, int j) {
    const int64_t col = place.first + static_cast<int64_t>(j) * plan.depthwise.across.share;
    return place.inside && col < plan.q ? ((place.image * plan.p + place.row) * plan.q + col) * plan.k : -1;
}

/* Blocks that share a multiprocessor, as many as registers allow without spilling. For sm_80 the compiler needs over 128
 * in large tiles. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int SEPARABLE_LARGE_RESIDENT = 1;
#else
constexpr int SEPARABLE_LARGE_RESIDENT = 2;
#endif
template <typename ARITHMETIC, int TILE>
constexpr int SEPARABLE_RESIDENT = TILE == 128 ? (ARITHMETIC::THREE_PRODUCTS ? 1 : SEPARABLE_LARGE_RESIDENT)
                                               : (ARITHMETIC::THREE_PRODUCTS ? 3 : 4);

/* bias: NULL for none. WIDE: w2 may be copied 16 bytes at a time. */
template <typename ARITHMETIC, int TILE, bool WIDE>
__global__ void __launch_bounds__(GEMM_THREADS<ARITHMETIC, TILE>, SEPARABLE_RESIDENT<ARITHMETIC, TILE>)
    separable_mma_kernel(separable_mma_plan plan, const float *x, const float *w, const float *w2, const float *bias,
                         float *y) {
    constexpr int THREADS = GEMM_THREADS<ARITHMETIC, TILE>, STRIPS = TILE / MMA_STRIP;
    FV_DYNAMIC_SHARED(float, shared);
    __shared__ strip_place places[STRIPS];
    __shared__ int64_t targets[TILE];
    const separable_stages<TILE> stages = {.z = shared,
                                           .w2 = shared + 2 * MMA_SLAB<TILE>,
                                           .filters = shared + 4 * MMA_SLAB<TILE>,
                                           .filter_floats = plan.taps * plan.depthwise.pitch};
    const int thread = static_cast<int>(threadIdx.x);
    const int first_k =
        static_cast<int>(blockIdx.x % static_cast<unsigned>(plan.channel_tiles)) * TILE; /* neighbours share x */
    if (thread < STRIPS)
        places[thread] = strip_place_of<MMA_STRIP>(plan.depthwise.across,
                                                   blockIdx.x / plan.channel_tiles * plan.depthwise.units + thread,
                                                   plan.units, plan.p, plan.q);

    const int slices = static_cast<int>(ceil_div(plan.depthwise.channels, MMA_LANES));
    copy_filters(plan, 0, w, stages.filters_of(0));
    async_copy_commit();
    async_copy_wait<0>();
    __syncthreads();
    if (thread < TILE)
        targets[thread] = separable_target(plan, places[thread % STRIPS], thread / STRIPS);
    const strip_place &place = places[thread / MMA_LANES];
    gemm_sums<ARITHMETIC, TILE, ALONG, ALONG> sums;
    /* Turn i computes z of slice i + 1 and multiplies slice i; turn -1 only computes. The barrier stands between what the
     * turn before wrote and its reading, and between what that one read and its being written over. */
    for (int slice = -1; slice < slices; ++slice) {
        const int64_t next = static_cast<int64_t>(slice + 1) * MMA_LANES;
        if (slice >= 0) {
            async_copy_wait<0>();
            __syncthreads();
        }
        if (slice + 1 < slices)
            copy_pointwise<TILE, THREADS, WIDE>(plan, next, first_k, w2, stages.w2_of(slice + 1));
        if (slice + 2 < slices)
            copy_filters(plan, next + MMA_LANES, w, stages.filters_of(slice + 2));
        async_copy_commit();
        if (slice + 1 < slices)
            compute_z<TILE>(plan, place, next, x, stages.filters_of(slice + 1), stages.z_of(slice + 1));
        if (slice >= 0)
            sums.add(stages.z_of(slice), stages.w2_of(slice));
    }
    async_copy_wait<0>();
    __syncthreads();
    sums.put(shared);
    __syncthreads();
    gemm_store<TILE, THREADS>(plan.store, shared, targets, first_k, bias, y);
}

} // namespace FV_NAMESPACE

#endif
