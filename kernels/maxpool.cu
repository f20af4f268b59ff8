/* maxpool: y[n,p,q,c] = the largest x under the window, argmax its position r*S + s there. x and dx are [n,h,w,c], y,
 * dy and argmax [n,p,q,c]; argmax is u8 for windows of at most 256 positions, else i32. The first of equals in
 * row-major order wins, padding never does; a window wholly in the padding gives -inf and 0. Any geometry. A NaN wins
 * only where it comes first.
 *
 * Backward is a gather: a thread owns one input pixel and visits the windows that cover it, adding dy where argmax
 * points back to the pixel. No atomics, so it is deterministic, and dx need not be cleared first. A window wholly in
 * the padding points to a position in the padding, which no thread owns.
 *
 * Variant
 *     direct   one thread per element, neighbours on neighbouring channels, so every access is coalesced. Elements are
 *              counted in 32 bits where they fit, since a 64-bit division costs several times a 32-bit one. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

/* The geometry in the type that counts elements. */
template <typename INDEX>
struct pool_geometry {
    INDEX images, channels, h, w, p, q;
    int r, s, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
};

template <typename INDEX, typename POSITION>
__global__ void maxpool_forward_direct_kernel(pool_geometry<INDEX> d, const float *x, float *y, POSITION *argmax) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.p * d.q * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX pixel = static_cast<INDEX>(i) / d.channels, c = static_cast<INDEX>(i) % d.channels;
        const INDEX line = pixel / d.q, image = line / d.p;
        const int first_row = static_cast<int>(line % d.p) * d.stride_h - d.pad_top;
        const int first_col = static_cast<int>(pixel % d.q) * d.stride_w - d.pad_left;
        float best = -INFINITY;
        int position = -1;
        for (int r = 0; r < d.r; ++r) {
            const int row = first_row + r * d.dilation_h;
            if (row < 0 || row >= d.h)
                continue;
            for (int s = 0; s < d.s; ++s) {
                const int col = first_col + s * d.dilation_w;
                if (col < 0 || col >= d.w)
                    continue;
                const float value = x[((image * d.h + row) * d.w + col) * d.channels + c];
                if (position < 0 || value > best) {
                    best = value;
                    position = r * d.s + s;
                }
            }
        }
        y[i] = best;
        argmax[i] = static_cast<POSITION>(position < 0 ? 0 : position);
    }
}

template <typename INDEX, typename POSITION>
__global__ void maxpool_backward_data_direct_kernel(pool_geometry<INDEX> d, const POSITION *argmax, const float *dy,
                                                    float *dx) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.h * d.w * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX pixel = static_cast<INDEX>(i) / d.channels, c = static_cast<INDEX>(i) % d.channels;
        const INDEX line = pixel / d.w, image = line / d.h;
        const int row = static_cast<int>(line % d.h) + d.pad_top, col = static_cast<int>(pixel % d.w) + d.pad_left;
        float sum = 0;
        for (int r = 0; r < d.r; ++r) {
            const int down = row - r * d.dilation_h; /* stride * the window that has the pixel under its row r */
            if (down < 0 || down % d.stride_h != 0 || down / d.stride_h >= d.p)
                continue;
            for (int s = 0; s < d.s; ++s) {
                const int across = col - s * d.dilation_w;
                if (across < 0 || across % d.stride_w != 0 || across / d.stride_w >= d.q)
                    continue;
                const INDEX window = ((image * d.p + down / d.stride_h) * d.q + across / d.stride_w) * d.channels + c;
                if (argmax[window] == r * d.s + s)
                    sum += dy[window];
            }
        }
        dx[i] = sum;
    }
}

template <typename INDEX>
pool_geometry<INDEX> geometry_of(const fv_maxpool &d) {
    return {.images = static_cast<INDEX>(d.n),
            .channels = static_cast<INDEX>(d.c),
            .h = static_cast<INDEX>(d.h),
            .w = static_cast<INDEX>(d.w),
            .p = static_cast<INDEX>(fv_maxpool_p(&d)),
            .q = static_cast<INDEX>(fv_maxpool_q(&d)),
            .r = static_cast<int>(d.r),
            .s = static_cast<int>(d.s),
            .stride_h = static_cast<int>(d.stride_h),
            .stride_w = static_cast<int>(d.stride_w),
            .pad_top = static_cast<int>(d.pad_top),
            .pad_left = static_cast<int>(d.pad_left),
            .dilation_h = static_cast<int>(d.dilation_h),
            .dilation_w = static_cast<int>(d.dilation_w)};
}

int64_t input_elements(const fv_maxpool &d) {
    return d.n * d.h * d.w * d.c;
}

int64_t output_elements(const fv_maxpool &d) {
    return d.n * fv_maxpool_p(&d) * fv_maxpool_q(&d) * d.c;
}

bool fits_32_bits(const fv_maxpool &d) {
    return input_elements(d) <= INT32_MAX && output_elements(d) <= INT32_MAX;
}

template <typename INDEX, typename POSITION>
fv_status launch_forward(fv_context *context, const fv_maxpool &d, const fv_buffers *buffers) {
    return FV_LAUNCH(context, (maxpool_forward_direct_kernel<INDEX, POSITION>), elementwise_grid(output_elements(d)),
                     ELEMENTWISE_THREADS, 0, geometry_of<INDEX>(d), input(buffers, FV_X), output(buffers, FV_Y),
                     output<POSITION>(buffers, FV_ARGMAX));
}

template <typename INDEX, typename POSITION>
fv_status launch_backward(fv_context *context, const fv_maxpool &d, const fv_buffers *buffers) {
    return FV_LAUNCH(context, (maxpool_backward_data_direct_kernel<INDEX, POSITION>),
                     elementwise_grid(input_elements(d)), ELEMENTWISE_THREADS, 0, geometry_of<INDEX>(d),
                     input<POSITION>(buffers, FV_ARGMAX), input(buffers, FV_DY), output(buffers, FV_DX));
}

fv_status maxpool_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_maxpool &d = op->maxpool;
    if (d.n == 0)
        return FV_OK;
    if (fv_maxpool_argmax(&d) == FV_U8)
        return fits_32_bits(d) ? launch_forward<int32_t, uint8_t>(context, d, buffers)
                               : launch_forward<int64_t, uint8_t>(context, d, buffers);
    return fits_32_bits(d) ? launch_forward<int32_t, int32_t>(context, d, buffers)
                           : launch_forward<int64_t, int32_t>(context, d, buffers);
}

fv_status maxpool_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_maxpool &d = op->maxpool;
    if (d.n == 0)
        return FV_OK;
    if (fv_maxpool_argmax(&d) == FV_U8)
        return fits_32_bits(d) ? launch_backward<int32_t, uint8_t>(context, d, buffers)
                               : launch_backward<int64_t, uint8_t>(context, d, buffers);
    return fits_32_bits(d) ? launch_backward<int32_t, int32_t>(context, d, buffers)
                           : launch_backward<int64_t, int32_t>(context, d, buffers);
}

} // namespace

const fv_kernel maxpool_kernels[] = {
    {.kind = FV_MAXPOOL,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "direct",
     .min_capability = 80,
     .deterministic = true,
     .run = maxpool_forward_direct},
    {.kind = FV_MAXPOOL,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "direct",
     .min_capability = 80,
     .deterministic = true,
     .run = maxpool_backward_data_direct},
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
