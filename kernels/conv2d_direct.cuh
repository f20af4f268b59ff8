/* Convolution straight from its formula and global memory, one thread per result, for any case: see conv2d.cu. The
 * backward passes gather: a thread owns its result and looks for the products that belong to it.
 *
 * backward_data can add a bias, which conv2d has no use for: it is the forward pass of a transposed convolution. */
#ifndef FOVEA_CONV2D_DIRECT_CUH
#define FOVEA_CONV2D_DIRECT_CUH

#include "half.cuh"

namespace FV_NAMESPACE {

struct direct_geometry {
    fv_conv2d d;
    int64_t p, q, cg, kg;
};

inline direct_geometry direct_geometry_of(const fv_conv2d &d) {
    return {d, fv_conv2d_p(&d), fv_conv2d_q(&d), d.c / d.groups, d.k / d.groups};
}

template <typename T>
__global__ void conv2d_forward_direct_kernel(direct_geometry g, const T *x, const T *w, const T *b, T *y) {
    const fv_conv2d &d = g.d;
    for (int64_t i = thread_index(); i < d.n * g.p * g.q * d.k; i += thread_count()) {
        const int64_t k = i % d.k, q = i / d.k % g.q, p = i / d.k / g.q % g.p, n = i / d.k / g.q / g.p;
        float sum = b ? widen(b[k]) : 0.0f;
        for (int64_t r = 0; r < d.r; ++r) {
            const int64_t row = p * d.stride_h + r * d.dilation_h - d.pad_top; /* input row under tap r */
            if (row < 0 || row >= d.h)
                continue;
            for (int64_t s = 0; s < d.s; ++s) {
                const int64_t col = q * d.stride_w + s * d.dilation_w - d.pad_left;
                if (col < 0 || col >= d.w)
                    continue;
                const T *pixel = x + ((n * d.h + row) * d.w + col) * d.c + k / g.kg * g.cg;
                const T *tap = w + ((k * d.r + r) * d.s + s) * g.cg;
                for (int64_t c = 0; c < g.cg; ++c)
                    sum += widen(pixel[c]) * widen(tap[c]);
            }
        }
        y[i] = narrow<T>(rectified(sum, d.relu));
    }
}

template <typename T>
__global__ void conv2d_backward_data_direct_kernel(direct_geometry g, const T *dy, const T *w, const T *b, T *dx) {
    const fv_conv2d &d = g.d;
    for (int64_t i = thread_index(); i < d.n * d.h * d.w * d.c; i += thread_count()) {
        const int64_t c = i % d.c, col = i / d.c % d.w, row = i / d.c / d.w % d.h, n = i / d.c / d.w / d.h;
        const int64_t first_k = c / g.cg * g.kg;
        float sum = b ? widen(b[c]) : 0.0f;
        for (int64_t r = 0; r < d.r; ++r) {
            const int64_t down =
                row + d.pad_top - r * d.dilation_h; /* stride * the output row that has it under tap r */
            if (down < 0 || down % d.stride_h != 0 || down / d.stride_h >= g.p)
                continue;
            for (int64_t s = 0; s < d.s; ++s) {
                const int64_t across = col + d.pad_left - s * d.dilation_w;
                if (across < 0 || across % d.stride_w != 0 || across / d.stride_w >= g.q)
                    continue;
                const T *gradient = dy + ((n * g.p + down / d.stride_h) * g.q + across / d.stride_w) * d.k + first_k;
                const T *tap = w + ((first_k * d.r + r) * d.s + s) * g.cg + c % g.cg;
                for (int64_t k = 0; k < g.kg; ++k)
                    sum += widen(gradient[k]) * widen(tap[k * d.r * d.s * g.cg]);
            }
        }
        dx[i] = narrow<T>(sum);
    }
}

/* One thread per filter element, and behind those one per bias element. */
template <typename T>
__global__ void conv2d_backward_weights_direct_kernel(direct_geometry g, const T *x, const T *dy, T *dw, T *db) {
    const fv_conv2d &d = g.d;
    const int64_t weights = d.k * d.r * d.s * g.cg;
    for (int64_t i = thread_index(); i < weights + (db ? d.k : 0); i += thread_count()) {
        const bool bias = i >= weights;
        const int64_t c = i % g.cg, s = i / g.cg % d.s, r = i / g.cg / d.s % d.r;
        const int64_t k = bias ? i - weights : i / g.cg / d.s / d.r;
        float sum = 0;
        for (int64_t n = 0; n < d.n; ++n)
            for (int64_t p = 0; p < g.p; ++p)
                for (int64_t q = 0; q < g.q; ++q) {
                    const float gradient = widen(dy[((n * g.p + p) * g.q + q) * d.k + k]);
                    const int64_t row = p * d.stride_h + r * d.dilation_h - d.pad_top;
                    const int64_t col = q * d.stride_w + s * d.dilation_w - d.pad_left;
                    if (bias)
                        sum += gradient;
                    else if (row >= 0 && row < d.h && col >= 0 && col < d.w)
                        sum += gradient * widen(x[((n * d.h + row) * d.w + col) * d.c + k / g.kg * g.cg + c]);
                }
        if (bias)
            db[k] = narrow<T>(sum);
        else
            dw[i] = narrow<T>(sum);
    }
}

/* ---- host; the tensors are those of the conv2d that `d` describes ---- */

template <typename T>
fv_status direct_forward(fv_context *context, const fv_conv2d &d, const T *x, const T *w, const T *b, T *y) {
    const direct_geometry g = direct_geometry_of(d);
    const int64_t elements = d.n * g.p * g.q * d.k;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, conv2d_forward_direct_kernel<T>, elementwise_grid(elements), ELEMENTWISE_THREADS, 0, g, x,
                     w, b, y);
}

/* b: NULL, or one element for each channel of dx. */
template <typename T>
fv_status direct_backward_data(fv_context *context, const fv_conv2d &d, const T *dy, const T *w, const T *b, T *dx) {
    const int64_t elements = d.n * d.h * d.w * d.c;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, conv2d_backward_data_direct_kernel<T>, elementwise_grid(elements), ELEMENTWISE_THREADS, 0,
                     direct_geometry_of(d), dy, w, b, dx);
}

/* db: NULL for none. */
template <typename T>
fv_status direct_backward_weights(fv_context *context, const fv_conv2d &d, const T *x, const T *dy, T *dw, T *db) {
    const direct_geometry g = direct_geometry_of(d);
    const int64_t elements = d.k * d.r * d.s * g.cg + (db ? d.k : 0);
    return FV_LAUNCH(context, conv2d_backward_weights_direct_kernel<T>, elementwise_grid(elements), ELEMENTWISE_THREADS,
                     0, g, x, dy, dw, db);
}

} // namespace FV_NAMESPACE

#endif
