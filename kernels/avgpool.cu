/* avgpool: y[n,p,q,c] = the sum of x under the window / d. d counts the window's positions in the padded image
 * (include_pad = 1), not those that ceil mode adds, or those in the image (include_pad = 0); where there is none, y = 0.
 * x and dx are [n,h,w,c], y and dy [n,p,q,c]. Any geometry. The sum is divided, not multiplied by a reciprocal: one
 * rounding instead of two (but in backward of vector, where divisions would take longer than memory).
 *
 * Backward is a gather: a thread owns one input pixel and adds up dy / d of the windows that cover it. No atomics, so it
 * is deterministic, and dx need not be cleared first.
 *
 * Variants
 *     global   windows that are the whole unpadded image, as global average pooling before a classifier. Forward: one
 *              block per image and 32 channels; its eight rows share the pixels out and meet in a tree, so that an image
 *              of one output pixel still has eight loads in flight per channel. Backward: one thread per element, which
 *              reads one dy. Fewer than 32 channels leave lanes idle.
 *     vector   windows of 2x2 with stride 2 and 3x3 with stride 1 or 2: strips of results whose loads are all under way
 *              at once, with one division for a strip in place of some for each tap. See pooling_vector.cuh.
 *     direct   one thread per element or per four channels (lanes.cuh), neighbours on neighbouring channels, so every
 *              access is coalesced. */
#include "pooling_vector.cuh"

namespace FV_NAMESPACE {

namespace {

/* The rows and columns whose positions d counts: those from first to before end. */
struct counted {
    int first_row, end_row, first_col, end_col;
};

counted counted_of(const fv_avgpool &d) {
    if (!d.include_pad)
        return {0, static_cast<int>(d.h), 0, static_cast<int>(d.w)};
    return {static_cast<int>(-d.pad_top), static_cast<int>(d.h + d.pad_bottom), static_cast<int>(-d.pad_left),
            static_cast<int>(d.w + d.pad_right)};
}

/* How many of a window's taps along one axis lie from `first` to before `end`; `begin` is the first tap's place. */
__device__ inline int taps_within(int begin, int taps, int dilation, int first, int end) {
    const int skipped = begin < first ? (first - begin + dilation - 1) / dilation : 0;
    const int until = begin < end ? (end - begin + dilation - 1) / dilation : 0;
    const int last = until < taps ? until : taps;
    return last > skipped ? last - skipped : 0;
}

template <typename INDEX, int LANES>
__global__ void avgpool_forward_direct_kernel(pool_geometry<INDEX> d, counted count, const float *x, float *y) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.p * d.q * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.p, d.q);
        const int first_row = at.row * d.stride_h - d.pad_top, first_col = at.col * d.stride_w - d.pad_left;
        const float divisor =
            static_cast<float>(taps_within(first_row, d.r, d.dilation_h, count.first_row, count.end_row)) *
            static_cast<float>(taps_within(first_col, d.s, d.dilation_w, count.first_col, count.end_col));
        channel_lanes<float, LANES> sum = {};
        for (int r = 0; r < d.r; ++r) {
            const int row = first_row + r * d.dilation_h;
            if (row < 0 || row >= d.h)
                continue;
            for (int s = 0; s < d.s; ++s) {
                const int col = first_col + s * d.dilation_w;
                if (col < 0 || col >= d.w)
                    continue;
                const auto value = load_lanes<LANES>(x, ((at.image * d.h + row) * d.w + col) * d.channels + at.c);
                FV_UNROLL
                for (int l = 0; l < LANES; ++l)
                    sum.at[l] += value.at[l];
            }
        }
        FV_UNROLL
        for (int l = 0; l < LANES; ++l)
            sum.at[l] = divisor > 0 ? sum.at[l] / divisor : 0.0f;
        store_lanes(y, i, sum);
    }
}

template <typename INDEX, int LANES>
__global__ void avgpool_backward_data_direct_kernel(pool_geometry<INDEX> d, counted count, const float *dy, float *dx) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.h * d.w * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.h, d.w);
        channel_lanes<float, LANES> sum = {};
        for (int r = 0; r < d.r; ++r) {
            const int p = pool_window_at(at.row + d.pad_top, r, d.dilation_h, d.stride_h, static_cast<int>(d.p));
            if (p < 0)
                continue;
            const float rows = static_cast<float>(
                taps_within(p * d.stride_h - d.pad_top, d.r, d.dilation_h, count.first_row, count.end_row));
            for (int s = 0; s < d.s; ++s) {
                const int q = pool_window_at(at.col + d.pad_left, s, d.dilation_w, d.stride_w, static_cast<int>(d.q));
                if (q < 0)
                    continue;
                const float cols = static_cast<float>(
                    taps_within(q * d.stride_w - d.pad_left, d.s, d.dilation_w, count.first_col, count.end_col));
                const auto gradient = load_lanes<LANES>(dy, ((at.image * d.p + p) * d.q + q) * d.channels + at.c);
                FV_UNROLL
                for (int l = 0; l < LANES; ++l)
                    sum.at[l] += gradient.at[l] / (rows * cols); /* at least 1: the window covers this pixel */
            }
        }
        store_lanes(dx, i, sum);
    }
}

/* ---- vector */

/* The d of a window without dilation. */
template <typename WINDOW>
__device__ float divisor_of(const pool_lines &g, const counted &count, int p, int q) {
    const int rows = taps_within(p * WINDOW::STRIDE - g.pad_top, WINDOW::EXTENT, 1, count.first_row, count.end_row);
    return static_cast<float>(
        rows * taps_within(q * WINDOW::STRIDE - g.pad_left, WINDOW::EXTENT, 1, count.first_col, count.end_col));
}

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    avgpool_forward_vector_kernel(pool_lines g, counted count, const float *x, float *y) {
    constexpr int EXTENT = WINDOW::EXTENT, STRIDE = WINDOW::STRIDE;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_patch<WINDOW, LANES> patch;
    pool_read_patch<WINDOW, LANES>(g, at, x, 0.0f, patch);
    FV_UNROLL
    for (int t = 0; t < WINDOW::ROWS; ++t) {
        const int p = at.strip * WINDOW::ROWS + t;
        if (p >= g.p)
            return;
        const float divisor = divisor_of<WINDOW>(g, count, p, at.col);
        channel_lanes<float, LANES> sum = {};
        FV_UNROLL
        for (int tap = 0; tap < EXTENT * EXTENT; ++tap) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                sum.at[l] += patch[t * STRIDE + tap / EXTENT][tap % EXTENT].at[l];
        }
        FV_UNROLL
        for (int l = 0; l < LANES; ++l)
            sum.at[l] = divisor > 0 ? sum.at[l] / divisor : 0.0f;
        store_lanes(y, pool_result(g, at, p, at.col), sum);
    }
}

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    avgpool_backward_data_vector_kernel(pool_lines g, counted count, const float *dy, float *dx) {
    using part = channel_lanes<float, LANES>;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_gather<WINDOW, LANES, part>(
        g, at,
        [&](int p, int q) {
            part share = load_lanes<LANES>(dy, pool_result(g, at, p, q));
            const float divisor = divisor_of<WINDOW>(g, count, p, q);
            const float factor = divisor > 0 ? 1.0f / divisor : 0.0f; /* 0: a window that covers no pixel */
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                share.at[l] *= factor;
            return share;
        },
        [](part &sum, const part &share, int) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                sum.at[l] += share.at[l];
        },
        dx);
}

/* ---- global */

struct add {
    __device__ float operator()(float a, float b) const {
        return a + b;
    }
};

__global__ void __launch_bounds__(GLOBAL_THREADS)
    avgpool_forward_global_kernel(int64_t images, int64_t pixels, int64_t channels, const float *x, float *y) {
    __shared__ float sums[GLOBAL_ROWS][WARP];
    const int64_t tiles_per_image = ceil_div(channels, WARP), tiles = images * tiles_per_image;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t image = tile / tiles_per_image, c = tile % tiles_per_image * WARP + threadIdx.x;
        float sum = 0;
        for (int64_t pixel = threadIdx.y; c < channels && pixel < pixels; pixel += GLOBAL_ROWS)
            sum += x[(image * pixels + pixel) * channels + c];
        sum = pool_global_join(sums, sum, add());
        if (threadIdx.y == 0 && c < channels)
            y[image * channels + c] = sum / static_cast<float>(pixels);
    }
}

template <typename INDEX, int LANES>
__global__ void avgpool_backward_data_global_kernel(INDEX images, INDEX pixels, INDEX channels, const float *dy,
                                                    float *dx) {
    const int64_t elements = static_cast<int64_t>(images) * pixels * channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX pixel = static_cast<INDEX>(i) / channels, c = static_cast<INDEX>(i) % channels;
        channel_lanes<float, LANES> gradient = load_lanes<LANES>(dy, pixel / pixels * channels + c);
        FV_UNROLL
        for (int l = 0; l < LANES; ++l)
            gradient.at[l] /= static_cast<float>(pixels);
        store_lanes(dx, i, gradient);
    }
}

/* ---- launchers */

fv_status avgpool_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return FV_LAUNCH(context, (avgpool_forward_direct_kernel<INDEX, LANES>),
                         elementwise_grid(pool_output_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, LANES), counted_of(op->avgpool), input(buffers, FV_X),
                         output(buffers, FV_Y));
    });
}

fv_status avgpool_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return FV_LAUNCH(context, (avgpool_backward_data_direct_kernel<INDEX, LANES>),
                         elementwise_grid(pool_input_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, LANES), counted_of(op->avgpool), input(buffers, FV_DY),
                         output(buffers, FV_DX));
    });
}

fv_status avgpool_forward_global(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    if (d.n == 0)
        return FV_OK;
    return FV_LAUNCH(context, avgpool_forward_global_kernel, pool_global_grid(d), dim3(WARP, GLOBAL_ROWS), 0, d.n,
                     d.h * d.w, d.c, input(buffers, FV_X), output(buffers, FV_Y));
}

fv_status avgpool_backward_data_global(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return FV_LAUNCH(context, (avgpool_backward_data_global_kernel<INDEX, LANES>),
                         elementwise_grid(pool_input_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         static_cast<INDEX>(d.n), static_cast<INDEX>(d.h * d.w), static_cast<INDEX>(d.c / LANES),
                         input(buffers, FV_DY), output(buffers, FV_DX));
    });
}

fv_status avgpool_forward_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<false>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (avgpool_forward_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             counted_of(op->avgpool), input(buffers, FV_X), output(buffers, FV_Y));
        });
}

fv_status avgpool_backward_data_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<true>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (avgpool_backward_data_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             counted_of(op->avgpool), input(buffers, FV_DY), output(buffers, FV_DX));
        });
}

} // namespace

const fv_kernel avgpool_kernels[] = {
    FV_KERNEL_F32(FV_AVGPOOL, FV_FORWARD, "global", .supports = pool_global_supports,
                  .estimate = pool_global_estimate<FV_FORWARD>, .run = avgpool_forward_global),
    FV_KERNEL_F32(FV_AVGPOOL, FV_FORWARD, "vector", .supports = pool_vector_supports,
                  .estimate = pool_vector_estimate<FV_FORWARD>, .run = avgpool_forward_vector),
    FV_KERNEL_F32(FV_AVGPOOL, FV_FORWARD, "direct", .estimate = pool_direct_estimate<FV_FORWARD>,
                  .run = avgpool_forward_direct),
    FV_KERNEL_F32(FV_AVGPOOL, FV_BACKWARD_DATA, "global", .supports = pool_global_supports,
                  .estimate = pool_global_estimate<FV_BACKWARD_DATA>, .run = avgpool_backward_data_global),
    FV_KERNEL_F32(FV_AVGPOOL, FV_BACKWARD_DATA, "vector", .supports = pool_vector_supports,
                  .estimate = pool_vector_estimate<FV_BACKWARD_DATA>, .run = avgpool_backward_data_vector),
    FV_KERNEL_F32(FV_AVGPOOL, FV_BACKWARD_DATA, "direct", .estimate = pool_direct_estimate<FV_BACKWARD_DATA>,
                  .run = avgpool_backward_data_direct),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
