/* upsample: resizes images [n,h,w,c] to [n,p,q,c]: see fv_upsample in fovea/operations.h for where an output pixel lies
 * in the input. nearest takes the pixel there, bilinear (with or without aligned corners) weighs the up to four around
 * it. x and dx are [n,h,w,c], y and dy [n,p,q,c]. Any sizes, larger or smaller. What has weight 0 is not read.
 *
 * Along an axis an output's position is the quotient of two integers: pixel and remainder are exact, and only the weight
 * is rounded. So no pixel is missed or swapped for its neighbour, as positions in f32 do in large images.
 *
 * Backward is a gather: a thread owns one input pixel, walks the outputs that can have read it and asks of each with
 * which weight, by the text that forward has. No atomics, so it is deterministic, and dx need not be cleared first.
 *
 * cuDNN resamples only through its graph, by engines that are compiled at run time and take positions as fractional
 * strides; its documentation does not say which sizes, modes and dtypes they take. It has no row here.
 *
 * Variant
 *     direct   one thread per element or per four channels (lanes.cuh), neighbours on neighbouring channels, so every
 *              access is coalesced. Backward computes some 2*P/h + 1 weights along each axis.
 *
 * 40 to 64 warps of 64 fit, but for very large tensors. Expected on an H200: 70 % of a copy's rate forward, where four
 * reads of a pixel meet in L1; 30 to 50 % backward, bound by the weights that it works out anew for every window. */
#include "lanes.cuh"

namespace FV_NAMESPACE {

namespace {

/* Output p lies at input pixel min(max(p*step + offset, 0), top) / whole. */
template <typename INDEX>
struct resized_axis {
    INDEX input, output, step, offset, whole, top;
};

template <typename INDEX>
struct resizing {
    INDEX images, channels; /* in groups of lanes */
    resized_axis<INDEX> rows, cols;
    bool nearest;
};

/* The pixel that an output reads, and the weights of this and the next. */
template <typename INDEX>
struct source {
    INDEX pixel;
    float weight[2];
};

template <typename INDEX>
__device__ inline source<INDEX> source_of(const resized_axis<INDEX> &axis, bool nearest, INDEX output) {
    INDEX at = output * axis.step + axis.offset;
    at = at < 0 ? 0 : at > axis.top ? axis.top : at;
    const INDEX pixel = at / axis.whole, rest = nearest ? 0 : at - pixel * axis.whole;
    const float whole = static_cast<float>(axis.whole);
    return {pixel, {static_cast<float>(axis.whole - rest) / whole, static_cast<float>(rest) / whole}};
}

/* With which weight an output reads a given pixel; 0: it does not. */
template <typename INDEX>
__device__ inline float weight_of(const resized_axis<INDEX> &axis, bool nearest, INDEX output, INDEX pixel) {
    const source<INDEX> from = source_of(axis, nearest, output);
    return pixel == from.pixel ? from.weight[0] : pixel == from.pixel + 1 ? from.weight[1] : 0.0f;
}

/* The first and the last output that can read a pixel: those that lie less than 1 from it, or beyond the border. */
template <typename INDEX>
__device__ inline INDEX first_reader(const resized_axis<INDEX> &axis, INDEX pixel) {
    if (pixel == 0)
        return 0;
    const INDEX output = ((pixel - 1) * axis.whole - axis.offset) / axis.step;
    return output > 0 ? output : 0;
}

template <typename INDEX>
__device__ inline INDEX last_reader(const resized_axis<INDEX> &axis, INDEX pixel) {
    if (pixel == axis.input - 1)
        return axis.output - 1;
    const INDEX output = ((pixel + 1) * axis.whole - axis.offset) / axis.step;
    return output < axis.output ? output : axis.output - 1;
}

template <typename INDEX, int LANES>
__global__ void upsample_forward_direct_kernel(resizing<INDEX> d, const float *x, float *y) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.rows.output * d.cols.output * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const auto at = image_place_of(static_cast<INDEX>(i), d.channels, d.rows.output, d.cols.output);
        const source<INDEX> row = source_of(d.rows, d.nearest, static_cast<INDEX>(at.row));
        const source<INDEX> col = source_of(d.cols, d.nearest, static_cast<INDEX>(at.col));
        channel_lanes<float, LANES> sum = {};
        FV_UNROLL
        for (int r = 0; r < 2; ++r) {
            FV_UNROLL
            for (int s = 0; s < 2; ++s) {
                const float weight = row.weight[r] * col.weight[s];
                if (weight == 0)
                    continue;
                const INDEX pixel = (at.image * d.rows.input + row.pixel + r) * d.cols.input + col.pixel + s;
                const auto value = load_lanes<LANES>(x, pixel * d.channels + at.c);
                FV_UNROLL
                for (int l = 0; l < LANES; ++l)
                    sum.at[l] += weight * value.at[l];
            }
        }
        store_lanes(y, i, sum);
    }
}

template <typename INDEX, int LANES>
__global__ void upsample_backward_data_direct_kernel(resizing<INDEX> d, const float *dy, float *dx) {
    const int64_t elements = static_cast<int64_t>(d.images) * d.rows.input * d.cols.input * d.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const auto at = image_place_of(static_cast<INDEX>(i), d.channels, d.rows.input, d.cols.input);
        const INDEX row = static_cast<INDEX>(at.row), col = static_cast<INDEX>(at.col);
        const INDEX last_p = last_reader(d.rows, row), last_q = last_reader(d.cols, col);
        channel_lanes<float, LANES> sum = {};
        for (INDEX p = first_reader(d.rows, row); p <= last_p; ++p) {
            const float by_row = weight_of(d.rows, d.nearest, p, row);
            if (by_row == 0)
                continue;
            for (INDEX q = first_reader(d.cols, col); q <= last_q; ++q) {
                const float weight = by_row * weight_of(d.cols, d.nearest, q, col);
                if (weight == 0)
                    continue;
                const INDEX pixel = (at.image * d.rows.output + p) * d.cols.output + q;
                const auto gradient = load_lanes<LANES>(dy, pixel * d.channels + at.c);
                FV_UNROLL
                for (int l = 0; l < LANES; ++l)
                    sum.at[l] += weight * gradient.at[l];
            }
        }
        store_lanes(dx, i, sum);
    }
}

template <typename INDEX>
resized_axis<INDEX> axis_of(const fv_upsample &d, int64_t input, int64_t output) {
    const int64_t whole = !d.align ? 2 * output : output > 1 ? output - 1 : 1;
    const int64_t step = d.align ? input - 1 : 2 * input;
    const int64_t offset = d.align ? 0 : d.mode == FV_NEAREST ? input : input - output;
    /* nearest ends within the last pixel, the others at its centre */
    const int64_t top = d.mode == FV_NEAREST ? input * whole - 1 : (input - 1) * whole;
    return {.input = static_cast<INDEX>(input),
            .output = static_cast<INDEX>(output),
            .step = static_cast<INDEX>(step),
            .offset = static_cast<INDEX>(offset),
            .whole = static_cast<INDEX>(whole),
            .top = static_cast<INDEX>(top)};
}

template <typename INDEX>
resizing<INDEX> resizing_of(const fv_upsample &d, int lanes) {
    return {.images = static_cast<INDEX>(d.n),
            .channels = static_cast<INDEX>(d.c / lanes),
            .rows = axis_of<INDEX>(d, d.h, d.p),
            .cols = axis_of<INDEX>(d, d.w, d.q),
            .nearest = d.mode == FV_NEAREST};
}

int64_t input_elements(const fv_upsample &d) {
    return d.n * d.h * d.w * d.c;
}

int64_t output_elements(const fv_upsample &d) {
    return d.n * d.p * d.q * d.c;
}

/* No numerator of a position exceeds 2 * (input + 1) * (output + 1). */
bool fits_32_bits(const fv_upsample &d) {
    return input_elements(d) <= INT32_MAX && output_elements(d) <= INT32_MAX &&
           2 * (d.h + 1) * (d.p + 1) <= INT32_MAX && 2 * (d.w + 1) * (d.q + 1) <= INT32_MAX;
}

template <typename F>
fv_status dispatch(const fv_upsample &d, const fv_buffers *buffers, const F &launch) {
    return d.n == 0 ? FV_OK : lanes_dispatch(fits_32_bits(d), takes_wide_lanes(d.c, buffers), launch);
}

fv_status upsample_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_upsample &d = op->upsample;
    return dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return FV_LAUNCH(context, (upsample_forward_direct_kernel<INDEX, LANES>),
                         elementwise_grid(output_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         resizing_of<INDEX>(d, LANES), input(buffers, FV_X), output(buffers, FV_Y));
    });
}

fv_status upsample_backward_data_direct(fv_context *context, const fv_operation *op, void *,
                                        const fv_buffers *buffers) {
    const fv_upsample &d = op->upsample;
    return dispatch(d, buffers, [&]<typename INDEX, int LANES>() {
        return FV_LAUNCH(context, (upsample_backward_data_direct_kernel<INDEX, LANES>),
                         elementwise_grid(input_elements(d) / LANES), ELEMENTWISE_THREADS, 0,
                         resizing_of<INDEX>(d, LANES), input(buffers, FV_DY), output(buffers, FV_DX));
    });
}

} // namespace

const fv_kernel upsample_kernels[] = {
    FV_KERNEL_F32(FV_UPSAMPLE, FV_FORWARD, "direct", .run = upsample_forward_direct),
    FV_KERNEL_F32(FV_UPSAMPLE, FV_BACKWARD_DATA, "direct", .run = upsample_backward_data_direct),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
