/* maxpool: y[n,p,q,c] = the largest x under the window, argmax its position r*S + s there. x and dx are [n,h,w,c], y,
 * dy and argmax [n,p,q,c]; argmax is u8 for windows of at most 256 positions, else i32. The first of equals in
 * row-major order wins, padding never does; a window wholly in the padding gives -inf and 0. Any geometry, ceil mode
 * too: what lies beyond the padding is not looked at either. A NaN wins only where it comes first (direct) or nowhere
 * (global).
 *
 * Backward is a gather: a thread owns one input pixel and visits the windows that cover it, adding dy where argmax
 * points back to the pixel. No atomics, so it is deterministic, and dx need not be cleared first. A window wholly in
 * the padding points to a position in the padding, which no thread owns.
 *
 * Variants
 *     global   windows that are the whole unpadded image. Forward: one block per image and 32 channels; its eight rows
 *              share the pixels out and meet in a tree, so that an image of one output pixel still has eight loads in
 *              flight per channel. Backward: one thread per element, which looks at one window and not at each of its
 *              taps. Fewer than 32 channels leave lanes idle.
 *     vector   windows of 2x2 with stride 2 and 3x3 with stride 1 or 2: strips of results whose loads are all under way
 *              at once, with one division for a strip in place of some for each tap. See pooling_vector.cuh. A NaN wins
 *              nowhere.
 *     direct   one thread per element or per four channels (lanes.cuh), neighbours on neighbouring channels, so every
 *              access is coalesced. */
#include "pooling_vector.cuh"

namespace FV_NAMESPACE {

namespace {

template <typename INDEX, int LANES, typename POSITION>
__global__ void maxpool_forward_direct_kernel(pool_geometry<INDEX> d, const float *x, float *y, POSITION *argmax) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.p * d.q * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.p, d.q);
        const int first_row = at.row * d.stride_h - d.pad_top, first_col = at.col * d.stride_w - d.pad_left;
        channel_lanes<float, LANES> best;
        int position[LANES];
        for (int l = 0; l < LANES; ++l) {
            best.at[l] = -INFINITY;
            position[l] = -1;
        }
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
                    if (position[l] < 0 || value.at[l] > best.at[l]) {
                        best.at[l] = value.at[l];
                        position[l] = r * d.s + s;
                    }
            }
        }
        channel_lanes<POSITION, LANES> positions;
        for (int l = 0; l < LANES; ++l)
            positions.at[l] = static_cast<POSITION>(position[l] < 0 ? 0 : position[l]);
        store_lanes(y, i, best);
        store_lanes(argmax, i, positions);
    }
}

template <typename INDEX, int LANES, typename POSITION>
__global__ void maxpool_backward_data_direct_kernel(pool_geometry<INDEX> d, const POSITION *argmax, const float *dy,
                                                    float *dx) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.h * d.w * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const image_place<INDEX> at = image_place_of(static_cast<INDEX>(i), d.channels, d.h, d.w);
        channel_lanes<float, LANES> sum = {};
        for (int r = 0; r < d.r; ++r) {
            const int p = pool_window_at(at.row + d.pad_top, r, d.dilation_h, d.stride_h, static_cast<int>(d.p));
            if (p < 0)
                continue;
            for (int s = 0; s < d.s; ++s) {
                const int q = pool_window_at(at.col + d.pad_left, s, d.dilation_w, d.stride_w, static_cast<int>(d.q));
                if (q < 0)
                    continue;
                const INDEX window = ((at.image * d.p + p) * d.q + q) * d.channels + at.c;
                const auto position = load_lanes<LANES>(argmax, window);
                const auto gradient = load_lanes<LANES>(dy, window);
                FV_UNROLL
                for (int l = 0; l < LANES; ++l)
                    sum.at[l] += position.at[l] == r * d.s + s ? gradient.at[l] : 0.0f;
            }
        }
        store_lanes(dx, i, sum);
    }
}

/* ---- vector */

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    maxpool_forward_vector_kernel(pool_lines g, const float *x, float *y, uint8_t *argmax) {
    constexpr int EXTENT = WINDOW::EXTENT, STRIDE = WINDOW::STRIDE;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_patch<WINDOW, LANES> patch;
    pool_read_patch<WINDOW, LANES>(g, at, x, -INFINITY, patch);
    FV_UNROLL
    for (int t = 0; t < WINDOW::ROWS; ++t) {
        const int p = at.strip * WINDOW::ROWS + t;
        if (p >= g.p)
            return;
        auto best = all_lanes<LANES>(-INFINITY);
        channel_lanes<uint8_t, LANES> positions = {};
        FV_UNROLL
        for (int tap = 0; tap < EXTENT * EXTENT; ++tap) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l) {
                const float value = patch[t * STRIDE + tap / EXTENT][tap % EXTENT].at[l];
                positions.at[l] = value > best.at[l] ? static_cast<uint8_t>(tap) : positions.at[l];
                best.at[l] = value > best.at[l] ? value : best.at[l];
            }
        }
        store_lanes(y, pool_result(g, at, p, at.col), best);
        store_lanes(argmax, pool_result(g, at, p, at.col), positions);
    }
}

/* A window's gradient and where it goes. */
template <int LANES>
struct window_gradient {
    channel_lanes<float, LANES> gradient;
    channel_lanes<uint8_t, LANES> position;
};

template <typename WINDOW, int LANES>
__global__ void __launch_bounds__(LINE_THREADS)
    maxpool_backward_data_vector_kernel(pool_lines g, const uint8_t *argmax, const float *dy, float *dx) {
    using part = window_gradient<LANES>;
    const pool_place at = pool_place_of(g);
    if (!at.any)
        return;
    pool_gather<WINDOW, LANES, part>(
        g, at,
        [&](int p, int q) {
            const int64_t window = pool_result(g, at, p, q);
            return part{load_lanes<LANES>(dy, window), load_lanes<LANES>(argmax, window)};
        },
        [](channel_lanes<float, LANES> &sum, const part &window, int tap) {
            FV_UNROLL
            for (int l = 0; l < LANES; ++l)
                if (window.position.at[l] == tap)
                    sum.at[l] += window.gradient.at[l];
        },
        dx);
}

/* ---- global */

struct candidate {
    float value;
    int position;
};

/* The larger value; the earlier position on ties. */
struct better {
    __device__ candidate operator()(candidate a, candidate b) const {
        return b.value > a.value || (b.value == a.value && b.position < a.position) ? b : a;
    }
};

template <typename POSITION>
__global__ void __launch_bounds__(GLOBAL_THREADS)
    maxpool_forward_global_kernel(int64_t images, int64_t pixels, int64_t channels, const float *x, float *y,
                                  POSITION *argmax) {
    __shared__ candidate found[GLOBAL_ROWS][WARP];
    const int64_t tiles_per_image = ceil_div(channels, WARP), tiles = images * tiles_per_image;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t image = tile / tiles_per_image, c = tile % tiles_per_image * WARP + threadIdx.x;
        candidate best = {-INFINITY, INT32_MAX}; /* loses to any pixel, to -infinity too */
        for (int64_t pixel = threadIdx.y; c < channels && pixel < pixels; pixel += GLOBAL_ROWS)
            best = better()(best, {x[(image * pixels + pixel) * channels + c], static_cast<int>(pixel)});
        best = pool_global_join(found, best, better());
        if (threadIdx.y == 0 && c < channels) {
            y[image * channels + c] = best.value;
            argmax[image * channels + c] = static_cast<POSITION>(best.position);
        }
    }
}

template <typename INDEX, int LANES, typename POSITION>
__global__ void maxpool_backward_data_global_kernel(INDEX images, INDEX pixels, INDEX channels, const POSITION *argmax,
                                                    const float *dy, float *dx) {
    const int64_t elements = static_cast<int64_t>(images) * pixels * channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX pixel = static_cast<INDEX>(i) / channels, c = static_cast<INDEX>(i) % channels;
        const INDEX window = pixel / pixels * channels + c;
        const auto position = load_lanes<LANES>(argmax, window);
        channel_lanes<float, LANES> gradient = load_lanes<LANES>(dy, window);
        FV_UNROLL
        for (int l = 0; l < LANES; ++l)
            if (position.at[l] != pixel % pixels)
                gradient.at[l] = 0.0f;
        store_lanes(dx, i, gradient);
    }
}

/* ---- launchers */

fv_status maxpool_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch_argmax(d, buffers, [&]<typename INDEX, int LANES, typename POSITION>() {
        return FV_LAUNCH(context, (maxpool_forward_direct_kernel<INDEX, LANES, POSITION>),
                         elementwise_grid(pool_output_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, LANES), input(buffers, FV_X), output(buffers, FV_Y),
                         output<POSITION>(buffers, FV_ARGMAX));
    });
}

fv_status maxpool_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch_argmax(d, buffers, [&]<typename INDEX, int LANES, typename POSITION>() {
        return FV_LAUNCH(context, (maxpool_backward_data_direct_kernel<INDEX, LANES, POSITION>),
                         elementwise_grid(pool_input_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         pool_geometry_of<INDEX>(d, LANES), input<POSITION>(buffers, FV_ARGMAX), input(buffers, FV_DY),
                         output(buffers, FV_DX));
    });
}

template <typename POSITION>
fv_status run_forward_global(fv_context *context, const fv_pool2d &d, const fv_buffers *buffers) {
    return FV_LAUNCH(context, (maxpool_forward_global_kernel<POSITION>), pool_global_grid(d), dim3(WARP, GLOBAL_ROWS),
                     0, d.n, d.h * d.w, d.c, input(buffers, FV_X), output(buffers, FV_Y),
                     output<POSITION>(buffers, FV_ARGMAX));
}

fv_status maxpool_forward_global(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    if (d.n == 0)
        return FV_OK;
    return fv_pool_argmax(&d) == FV_U8 ? run_forward_global<uint8_t>(context, d, buffers)
                                       : run_forward_global<int32_t>(context, d, buffers);
}

fv_status maxpool_backward_data_global(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_pool2d &d = op->pool;
    return pool_dispatch_argmax(d, buffers, [&]<typename INDEX, int LANES, typename POSITION>() {
        return FV_LAUNCH(context, (maxpool_backward_data_global_kernel<INDEX, LANES, POSITION>),
                         elementwise_grid(pool_input_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         static_cast<INDEX>(d.n), static_cast<INDEX>(d.h * d.w), static_cast<INDEX>(d.c / LANES),
                         input<POSITION>(buffers, FV_ARGMAX), input(buffers, FV_DY), output(buffers, FV_DX));
    });
}

fv_status maxpool_forward_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<false>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (maxpool_forward_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             input(buffers, FV_X), output(buffers, FV_Y), output<uint8_t>(buffers, FV_ARGMAX));
        });
}

fv_status maxpool_backward_data_vector(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return pool_vector_launch<true>(
        op->pool, buffers, [&]<typename WINDOW, int LANES>(const pool_lines &lines, dim3 grid, dim3 block) {
            return FV_LAUNCH(context, (maxpool_backward_data_vector_kernel<WINDOW, LANES>), grid, block, 0, lines,
                             input<uint8_t>(buffers, FV_ARGMAX), input(buffers, FV_DY), output(buffers, FV_DX));
        });
}

} // namespace

const fv_kernel maxpool_kernels[] = {
    FV_KERNEL_F32(FV_MAXPOOL, FV_FORWARD, "global", .supports = pool_global_supports,
                  .estimate = pool_global_estimate<FV_FORWARD>, .run = maxpool_forward_global),
    FV_KERNEL_F32(FV_MAXPOOL, FV_FORWARD, "vector", .supports = pool_vector_supports,
                  .estimate = pool_vector_estimate<FV_FORWARD>, .run = maxpool_forward_vector),
    FV_KERNEL_F32(FV_MAXPOOL, FV_FORWARD, "direct", .estimate = pool_direct_estimate<FV_FORWARD>,
                  .run = maxpool_forward_direct),
    FV_KERNEL_F32(FV_MAXPOOL, FV_BACKWARD_DATA, "global", .supports = pool_global_supports,
                  .estimate = pool_global_estimate<FV_BACKWARD_DATA>, .run = maxpool_backward_data_global),
    FV_KERNEL_F32(FV_MAXPOOL, FV_BACKWARD_DATA, "vector", .supports = pool_vector_supports,
                  .estimate = pool_vector_estimate<FV_BACKWARD_DATA>, .run = maxpool_backward_data_vector),
    FV_KERNEL_F32(FV_MAXPOOL, FV_BACKWARD_DATA, "direct", .estimate = pool_direct_estimate<FV_BACKWARD_DATA>,
                  .run = maxpool_backward_data_direct),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
