/* What the kernels of batchnorm.cu have in common: slices of the pixels, how their threads read and write them, and what
 * is known of a part of the pixels. */
#ifndef FOVEA_BATCHNORM_SLICES_CUH
#define FOVEA_BATCHNORM_SLICES_CUH

#include "lanes.cuh"

namespace FV_NAMESPACE {

constexpr int SLICE_THREADS = 256;
constexpr int SLICE_HELD = 4;     /* pixels that a thread reads at once */
constexpr int SLICE_TURNS = 2;    /* how often, at least: fewer are not worth a block */
constexpr int SLICE_RESIDENT = 4; /* blocks on a multiprocessor, at least */

struct batchnorm_plan {
    int64_t channels, pixels, per_slice, slices;
    int64_t groups, tiles; /* channels by LANES; groups by `width` */
    int width;             /* groups of a block, a power of two up to 32; thread t has group t % width */
    float epsilon;
    bool relu;
};

/* Cuts the pixels so that there are at most so many blocks. */
inline batchnorm_plan batchnorm_plan_of(const fv_batchnorm &d, int lanes, int64_t most_blocks) {
    batchnorm_plan plan = {};
    plan.channels = d.c;
    plan.pixels = d.n * d.h * d.w;
    plan.epsilon = static_cast<float>(d.epsilon);
    plan.relu = d.relu != 0;
    plan.groups = ceil_div(d.c, lanes);
    plan.width = 1;
    while (plan.width < WARP && plan.width < plan.groups)
        plan.width *= 2;
    plan.tiles = ceil_div(plan.groups, plan.width);
    const int64_t least = SLICE_TURNS * SLICE_HELD * (SLICE_THREADS / plan.width), turns = ceil_div(plan.pixels, least);
    const int64_t most = most_blocks > plan.tiles ? most_blocks / plan.tiles : 1;
    plan.per_slice = ceil_div(turns, most) * least;
    plan.slices = plan.pixels ? ceil_div(plan.pixels, plan.per_slice) : 0;
    return plan;
}

/* Two waves of blocks fill a large device, and their slices are few enough to bring together. */
inline batchnorm_plan sums_plan_of(const fv_batchnorm &d, int lanes) {
    return batchnorm_plan_of(d, lanes, 1024);
}

inline batchnorm_plan apply_plan_of(const fv_batchnorm &d, int lanes) {
    return batchnorm_plan_of(d, lanes, MAX_BLOCKS);
}

/* What a thread of a slice's block works on. */
struct slice_place {
    int64_t slice, group, first, end; /* pixels: the thread's first, and the slice's end */
    int step;                         /* from one pixel of the thread to the next */
    bool inside;
};

/* BACKWARDS: the last slice comes first. */
template <bool BACKWARDS = false>
__device__ inline slice_place slice_place_of(const batchnorm_plan &plan) {
    const int64_t block = blockIdx.x / plan.tiles, slice = BACKWARDS ? plan.slices - 1 - block : block;
    const int64_t first = slice * plan.per_slice;
    const int64_t group = blockIdx.x % plan.tiles * plan.width + static_cast<int>(threadIdx.x) % plan.width;
    return {.slice = slice,
            .group = group,
            .first = first + static_cast<int>(threadIdx.x) / plan.width,
            .end = first + plan.per_slice < plan.pixels ? first + plan.per_slice : plan.pixels,
            .step = SLICE_THREADS / plan.width,
            .inside = group < plan.groups};
}

template <int LANES>
using lanes = channel_lanes<float, LANES>;

/* SLICE_HELD pixels from `pixel` on; zeros behind the slice. */
template <int LANES>
__device__ inline void hold(const batchnorm_plan &plan, const slice_place &at, int64_t pixel, const float *values,
                            lanes<LANES> (&held)[SLICE_HELD]) {
    FV_UNROLL
    for (int i = 0; i < SLICE_HELD; ++i) {
        const int64_t each = pixel + static_cast<int64_t>(i) * at.step;
        held[i] = each < at.end ? load_lanes<LANES>(values, each * plan.groups + at.group) : lanes<LANES>{};
    }
}

/* SLICE_HELD pixels back to memory, those of them that are in the slice. */
template <int LANES>
__device__ inline void put(const batchnorm_plan &plan, const slice_place &at, int64_t pixel, float *values,
                           const lanes<LANES> (&held)[SLICE_HELD]) {
    FV_UNROLL
    for (int i = 0; i < SLICE_HELD; ++i) {
        const int64_t each = pixel + static_cast<int64_t>(i) * at.step;
        if (each < at.end)
            store_lanes<LANES>(values, each * plan.groups + at.group, held[i]);
    }
}

/* dy behind the normalisation: where there is a ReLU, y says what of it counts. y: NULL without one. */
template <int LANES>
__device__ inline void hold_gradient(const batchnorm_plan &plan, const slice_place &at, int64_t pixel, const float *dy,
                                     const float *y, lanes<LANES> (&held)[SLICE_HELD]) {
    hold<LANES>(plan, at, pixel, dy, held);
    if (!y)
        return;
    lanes<LANES> result[SLICE_HELD];
    hold<LANES>(plan, at, pixel, y, result);
    FV_UNROLL
    for (int i = 0; i < SLICE_HELD; ++i) {
        FV_UNROLL
        for (int j = 0; j < LANES; ++j)
            held[i].at[j] = result[i].at[j] > 0.0f ? held[i].at[j] : 0.0f;
    }
}

/* Calls visit(pixel) for the first of every SLICE_HELD pixels of the thread. */
template <class VISIT>
__device__ inline void for_each_turn(const slice_place &at, const VISIT &visit) {
    for (int64_t pixel = at.first; at.inside && pixel < at.end; pixel += SLICE_HELD * at.step)
        visit(pixel);
}

/* What is known of a part of the pixels; add() makes it that of two parts. */

template <int LANES>
struct moments {
    float count, mean[LANES], squares[LANES]; /* squares: of the deviations from the mean, summed */

    __device__ void add(const moments &other) {
        if (other.count == 0.0f)
            return;
        const float total = count + other.count, share = other.count / total, weight = count * share;
        FV_UNROLL
        for (int i = 0; i < LANES; ++i) {
            const float apart = other.mean[i] - mean[i];
            mean[i] += apart * share;
            squares[i] += other.squares[i] + apart * weight * apart; /* the square alone may be infinite */
        }
        count = total;
    }
};

template <int LANES>
struct gradient_sums {
    float plain[LANES], weighted[LANES]; /* of dy, and of dy * (x - mean) */
    float unused;                        /* makes the words odd, for the banks of shared memory */

    __device__ void add(const gradient_sums &other) {
        FV_UNROLL
        for (int i = 0; i < LANES; ++i) {
            plain[i] += other.plain[i];
            weighted[i] += other.weighted[i];
        }
    }
};

/* Brings together what the threads t, t + width, ... know. All threads must call it; the first `width` get it. */
template <typename PART>
__device__ inline void meet(PART &mine, int width) {
    __shared__ PART parts[SLICE_THREADS];
    const int thread = static_cast<int>(threadIdx.x);
    parts[thread] = mine;
    for (int half = SLICE_THREADS / 2; half >= width; half /= 2) {
        __syncthreads();
        if (thread < half)
            parts[thread].add(parts[thread + half]);
    }
    if (thread < width)
        mine = parts[thread];
}

__device__ inline float slice_pixels(const batchnorm_plan &plan, int64_t slice) {
    const int64_t left = plan.pixels - slice * plan.per_slice;
    return static_cast<float>(left < plan.per_slice ? left : plan.per_slice);
}

/* Writes two results of a slice, [slices][channels] each. */
template <int LANES>
__device__ inline void store_results(const batchnorm_plan &plan, const slice_place &at, const float (&first)[LANES],
                                     const float (&second)[LANES], float *firsts, float *seconds) {
    if (!at.inside || static_cast<int>(threadIdx.x) >= plan.width)
        return;
    lanes<LANES> values[2];
    FV_UNROLL
    for (int i = 0; i < LANES; ++i) {
        values[0].at[i] = first[i];
        values[1].at[i] = second[i];
    }
    store_lanes<LANES>(firsts, at.slice * plan.groups + at.group, values[0]);
    store_lanes<LANES>(seconds, at.slice * plan.groups + at.group, values[1]);
}

} // namespace FV_NAMESPACE

#endif
