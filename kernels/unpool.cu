/* unpool: undoes a maxpool of the same descriptor. x, dx and argmax are [n,p,q,c], y and dy [n,h,w,c]; argmax is u8 for
 * windows of at most 256 positions, else i32. The pixel at position argmax of a window gets the window's x; of several
 * windows that name a pixel the first in row-major order gives its value; pixels that none names are 0. A position in
 * the padding, or outside of the window, is nowhere. Backward: dx = dy at the pixel that the window's x went to, and 0
 * for a window that named a pixel in vain.
 *
 * Both passes gather. Forward a thread owns one pixel, visits the windows that cover it in row-major order and stops at
 * the first that names it. Backward a thread owns one window and asks the same question of the pixel that it names: is
 * the first one me? So nothing is written twice, there are no atomics, and both are deterministic. Any geometry. No
 * vendor has this operation.
 *
 * Variants
 *     vector   windows of 2x2 with stride 2, of which each pixel has one: four channels to a thread, one division, and all
 *              loads at once (pooling_vector.cuh). Backward reads all pixels of its windows and takes those named: of the
 *              32 bytes that memory hands out at a time, eight channels name any of four pixels, so that nine in ten
 *              would be read anyhow.
 *     direct   one thread per element, neighbours on neighbouring channels: coalesced, but for the reads of dy, whose
 *              pixels differ from channel to channel. Where windows do not overlap each thread reads one argmax. */
#include "pooling_vector.cuh"

namespace FV_NAMESPACE {

namespace {

/* The first window in row-major order that names a pixel, as its place in argmax; -1 if none does. The last taps belong
 * to the first windows. */
template <typename INDEX, typename POSITION>
__device__ int64_t first_to_name(const pool_geometry<INDEX> &d, const POSITION *argmax, INDEX image, int row, int col,
                                 INDEX c) {
    for (int r = d.r - 1; r >= 0; --r) {
        const int p = pool_window_at(row + d.pad_top, r, d.dilation_h, d.stride_h, static_cast<int>(d.p));
        if (p < 0)
            continue;
        for (int s = d.s - 1; s >= 0; --s) {
            const int q = pool_window_at(col + d.pad_left, s, d.dilation_w, d.stride_w, static_cast<int>(d.q));
            if (q < 0)
                continue;
            const INDEX window = ((image * d.p + p) * d.q + q) * d.channels + c;
            if (argmax[window] == r * d.s + s)
                return window;
        }
    }
    return -1;
}

template <typename INDEX, typename POSITION>
__global__ void unpool_forward_direct_kernel(pool_geometry<INDEX> d, const float *x, const POSITION *argmax, float *y) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.h * d.w * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.h, d.w);
        const int64_t window = first_to_name(d, argmax, at.image, at.row, at.col, at.c);
        y[i] = window < 0 ? 0.0f : x[window];
    }
}

template <typename INDEX, typename POSITION>
__global__ void unpool_backward_data_direct_kernel(pool_geometry<INDEX> d, const POSITION *argmax, const float *dy,
                                                   float *dx) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.p * d.q * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.p, d.q);
        const int position = argmax[i];
        float gradient = 0;
        if (position >= 0 && position < d.r * d.s) {
            const int row = at.row * d.stride_h + position / d.s * d.dilation_h - d.pad_top;
            const int col = at.col * d.stride_w + position % d.s * d.dilation_w - d.pad_left;
            if (row >= 0 && row < d.h && col >= 0 && col < d.w &&
                first_to_name(d, argmax, at.image, row, col, at.c) == i)
                gradient = dy[((at.image * d.h + row) * d.w + col) * d.channels + at.c];
        }
        dx[i] = gradient;
    }
}

/* ---- vector */

/* What a window gives and where. */
template <int LANES>
struct window_value {
    channel_lanes<float, LANES> value;
    channel_lanes<uint8_t, LANES> position;
};

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    unpool_forward_vector_kernel(pool_lines g, const float *x, const uint8_t *argmax, float *y) {
    static_assert(WINDOW::COVER == 1, "no two windows name the same pixel");
    using part = window_value<LANES>;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_gather<WINDOW, LANES, part>(
        g, at,
        [&](int p, int q) {
            const int64_t window = pool_result(g, at, p, q);
            return part{load_lanes<LANES>(x, window), load_lanes<LANES>(argmax, window)};
        },
        [](channel_lanes<float, LANES> &pixel, const part &window, int tap) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                pixel.at[l] = window.position.at[l] == tap ? window.value.at[l] : 0.0f;
        },
        y);
}

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    unpool_backward_data_vector_kernel(pool_lines g, const uint8_t *argmax, const float *dy, float *dx) {
    static_assert(WINDOW::COVER == 1, "no two windows name the same pixel");
    constexpr int EXTENT = WINDOW::EXTENT;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_patch<WINDOW, LANES> patch;
    pool_read_patch<WINDOW, LANES>(g, at, dy, 0.0f, patch);
    FV_UNROLL
    for (int t = 0; t < WINDOW::ROWS; ++t) {
        const int p = at.strip * WINDOW::ROWS + t;
        if (p >= g.p)
            return;
        const auto position = load_lanes<LANES>(argmax, pool_result(g, at, p, at.col));
        channel_lanes<float, LANES> gradient = {};
        FV_UNROLL
        for (int tap = 0; tap < EXTENT * EXTENT; ++tap) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                if (position.at[l] == tap)
                    gradient.at[l] = patch[t * WINDOW::STRIDE + tap / EXTENT][tap % EXTENT].at[l];
        }
        store_lanes(dx, pool_result(g, at, p, at.col), gradient);
    }
}

/* ---- launchers */

/* Calls launch.operator()<INDEX, POSITION>() with what suits the operation. */
template <typename F>
fv_status dispatch(const fv_pool2d &d, const F &launch) {
    if (d.n == 0)
        return FV_OK;
    if (fv_pool_argmax(&d) == FV_U8)
        return pool_fits_32_bits(d) ? launch.template operator()<int32_t, uint8_t>()
                                    : launch.template operator()<int64_t, uint8_t>();
    return pool_fits_32_bits(d) ? launch.template operator()<int32_t, int32_t>()
                                : launch.template operator()<int64_t, int32_t>();
}

fv_status unpool_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return dispatch(d, [&]<typename INDEX, typename POSITION>() {
        return FV_LAUNCH(context, (unpool_forward_direct_kernel<INDEX, POSITION>),
                         elementwise_grid(pool_input_elements(d)), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, 1), input(buffers, FV_X), input<POSITION>(buffers, FV_ARGMAX),
                         output(buffers, FV_Y));
    });
}

fv_status unpool_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return dispatch(d, [&]<typename INDEX, typename POSITION>() {
        return FV_LAUNCH(context, (unpool_backward_data_direct_kernel<INDEX, POSITION>),
                         elementwise_grid(pool_output_elements(d)), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, 1), input<POSITION>(buffers, FV_ARGMAX), input(buffers, FV_DY),
                         output(buffers, FV_DX));
    });
}

/* A thread looks at a tap at a time, until it finds what it looks for: at half of them, say. */
template <fv_pass PASS>
double direct_estimate(const fv_operation *op, const fv_chip *chip) {
    const fv_pool2d &d = op->pool;
    const double threads = static_cast<double>(PASS == FV_FORWARD ? pool_input_elements(d) : pool_output_elements(d));
    const double taps = static_cast<double>(d.r) * static_cast<double>(d.s);
    return pool_estimate<PASS>(op, chip, threads, 100 + taps / 2 * 60, 0.8);
}

const char *supports_vector(const fv_operation *op) {
    return op->pool.r > op->pool.stride_h ? "windows overlap" : pool_vector_supports(op);
}

fv_status unpool_forward_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<true, true>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (unpool_forward_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             input(buffers, FV_X), input<uint8_t>(buffers, FV_ARGMAX), output(buffers, FV_Y));
        });
}

fv_status unpool_backward_data_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<false, true>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (unpool_backward_data_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             input<uint8_t>(buffers, FV_ARGMAX), input(buffers, FV_DY), output(buffers, FV_DX));
        });
}

} // namespace

const fv_kernel unpool_kernels[] = {
    FV_KERNEL_F32(FV_UNPOOL, FV_FORWARD, "vector", .supports = supports_vector,
                  .estimate = pool_vector_estimate<FV_FORWARD>, .run = unpool_forward_vector),
    FV_KERNEL_F32(FV_UNPOOL, FV_FORWARD, "direct", .estimate = direct_estimate<FV_FORWARD>,
                  .run = unpool_forward_direct),
    FV_KERNEL_F32(FV_UNPOOL, FV_BACKWARD_DATA, "vector", .supports = supports_vector,
                  .estimate = pool_vector_estimate<FV_BACKWARD_DATA>, .run = unpool_backward_data_vector),
    FV_KERNEL_F32(FV_UNPOOL, FV_BACKWARD_DATA, "direct", .estimate = direct_estimate<FV_BACKWARD_DATA>,
                  .run = unpool_backward_data_direct),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
