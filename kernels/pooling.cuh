/* What the kernels of maxpool, avgpool and unpool share: the geometry, the windows over a pixel, the choice of lanes
 * (lanes.cuh) and of the type that counts elements, and windows that are the whole image. */
#ifndef FOVEA_POOLING_CUH
#define FOVEA_POOLING_CUH

#include "estimate.cuh"
#include "lanes.cuh"

namespace FV_NAMESPACE {

/* The geometry in the type that counts elements. `channels` counts groups of LANES of them. */
template <typename INDEX>
struct pool_geometry {
    INDEX images, channels, h, w, p, q;
    int r, s, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
};

template <typename INDEX>
pool_geometry<INDEX> pool_geometry_of(const fv_pool2d &d, int lanes) {
    return {.images = static_cast<INDEX>(d.n),
            .channels = static_cast<INDEX>(d.c / lanes),
            .h = static_cast<INDEX>(d.h),
            .w = static_cast<INDEX>(d.w),
            .p = static_cast<INDEX>(fv_pool_p(&d)),
            .q = static_cast<INDEX>(fv_pool_q(&d)),
            .r = static_cast<int>(d.r),
            .s = static_cast<int>(d.s),
            .stride_h = static_cast<int>(d.stride_h),
            .stride_w = static_cast<int>(d.stride_w),
            .pad_top = static_cast<int>(d.pad_top),
            .pad_left = static_cast<int>(d.pad_left),
            .dilation_h = d.r == 1 ? 1 : static_cast<int>(d.dilation_h), /* one tap: any, up to 2^31-1, means nothing */
            .dilation_w = d.s == 1 ? 1 : static_cast<int>(d.dilation_w)};
}

/* The window that has a pixel under its tap `tap` along one axis; -1 if none has. `pixel` counts from the padding's
 * begin. */
__device__ inline int pool_window_at(int pixel, int tap, int dilation, int stride, int windows) {
    const int begin = pixel - tap * dilation;
    return begin < 0 || begin % stride != 0 || begin / stride >= windows ? -1 : begin / stride;
}

inline int64_t pool_input_elements(const fv_pool2d &d) {
    return d.n * d.h * d.w * d.c;
}

inline int64_t pool_output_elements(const fv_pool2d &d) {
    return d.n * fv_pool_p(&d) * fv_pool_q(&d) * d.c;
}

inline bool pool_fits_32_bits(const fv_pool2d &d) {
    return pool_input_elements(d) <= INT32_MAX && pool_output_elements(d) <= INT32_MAX;
}

/* Calls launch.operator()<INDEX, LANES>() with what suits the operation; nothing to do without images. */
template <typename F>
fv_status pool_dispatch(const fv_pool2d &d, const fv_buffers *buffers, const F &launch) {
    if (d.n == 0)
        return FV_OK;
    return lanes_dispatch(pool_fits_32_bits(d), takes_wide_lanes(d.c, buffers), launch);
}

/* The same with the type of argmax: launch.operator()<INDEX, LANES, POSITION>(). */
template <typename F>
fv_status pool_dispatch_argmax(const fv_pool2d &d, const fv_buffers *buffers, const F &launch) {
    return pool_dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return fv_pool_argmax(&d) == FV_U8 ? launch.template operator()<INDEX, LANES, uint8_t>()
                                           : launch.template operator()<INDEX, LANES, int32_t>();
    });
}

/* ---- what the kernels expect of themselves */

/* Threads that issue so many instructions each, and reach this share of the memory's rate if that takes less long. */
template <fv_pass PASS>
double pool_estimate(const fv_operation *op, const fv_chip *chip, double threads, double instructions, double share) {
    constexpr double ISSUED = 0.7; /* of the cycles; two FLOP for each instruction are what a chip's rate counts */
    const double bytes = static_cast<double>(fv_operation_bytes(op, PASS)) / share;
    return expected_seconds(*chip, {.flop = 2 * threads * instructions,
                                    .rate = ISSUED * chip->fma,
                                    .bytes = bytes,
                                    .cache_bytes = bytes,
                                    .blocks = ceil(threads / ELEMENTWISE_THREADS),
                                    .resident = 6,
                                    .launches = 1});
}

inline int pool_lanes(const fv_pool2d &d) {
    return d.c % WIDE_LANES == 0 ? WIDE_LANES : 1;
}

/* direct divides for its place, and backward twice for each tap. */
template <fv_pass PASS>
double pool_direct_estimate(const fv_operation *op, const fv_chip *chip) {
    const fv_pool2d &d = op->pool;
    const int lanes = pool_lanes(d);
    const double elements = static_cast<double>(PASS == FV_FORWARD ? pool_output_elements(d) : pool_input_elements(d));
    const double taps = static_cast<double>(d.r) * static_cast<double>(d.s);
    return pool_estimate<PASS>(op, chip, elements / lanes, 100 + taps * ((PASS == FV_FORWARD ? 12 : 60) + 4 * lanes),
                               0.85);
}

/* ---- global windows: the whole image, without padding, to one output pixel */

/* A block of WARP x GLOBAL_ROWS threads: a column of them shares out the pixels of a channel. */
constexpr int GLOBAL_ROWS = 8;
constexpr int GLOBAL_THREADS = WARP * GLOBAL_ROWS;

inline const char *pool_global_supports(const fv_operation *op) {
    const fv_pool2d &d = op->pool;
    if (d.r != d.h || d.s != d.w || d.pad_top || d.pad_bottom || d.pad_left || d.pad_right)
        return "the window is not the whole unpadded image";
    return d.h * d.w < GLOBAL_ROWS ? "the image has fewer pixels than a block has rows of threads" : NULL;
}

/* Forward takes a float at a time, and its tree at the end of few turns leaves memory waiting. */
template <fv_pass PASS>
double pool_global_estimate(const fv_operation *op, const fv_chip *chip) {
    const fv_pool2d &d = op->pool;
    if (PASS == FV_BACKWARD_DATA)
        return pool_estimate<PASS>(op, chip, static_cast<double>(pool_input_elements(d)) / pool_lanes(d), 60, 0.9);
    const double threads = static_cast<double>(d.n * ceil_div(d.c, WARP)) * GLOBAL_THREADS;
    return pool_estimate<PASS>(op, chip, threads, 100 + 10 * static_cast<double>(ceil_div(d.h * d.w, GLOBAL_ROWS)),
                               0.7);
}

/* One block for every WARP channels of an image. */
inline dim3 pool_global_grid(const fv_pool2d &d) {
    const int64_t tiles = d.n * ceil_div(d.c, WARP);
    return dim3(static_cast<unsigned>(tiles < MAX_BLOCKS ? tiles : MAX_BLOCKS));
}

/* Joins what the rows of a column of threads found, in a tree; only row 0 gets the result. Neighbouring lanes take
 * neighbouring words of shared memory. */
template <typename T, typename JOIN>
__device__ T pool_global_join(T (&found)[GLOBAL_ROWS][WARP], T mine, JOIN join) {
    const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
    __syncthreads(); /* the tile before may still be read */
    found[row][lane] = mine;
    for (int half = GLOBAL_ROWS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (row < half)
            found[row][lane] = join(found[row][lane], found[row + half][lane]);
    }
    return found[row][lane];
}

} // namespace FV_NAMESPACE

#endif
