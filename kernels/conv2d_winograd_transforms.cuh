/* Winograd's transforms in one dimension, F(m, 3): m outputs of a filter of three taps from m + 2 products instead of
 * 3m,
 *
 *     y = A' ((G w) . (B' x)),     w of 3 taps, x of m + 2 pixels, y of m outputs,
 *
 * by interpolation at the points 0, 1, -1 and infinity (m = 2), and 2, -2 as well (m = 4); the matrices are those of
 * Lavin and Gray 2016 (arXiv:1509.09308), section 4. In two dimensions each is applied to columns and then to rows.
 *
 * What is integer stays integer, but for G, which divides: by 2 (m = 2) and by 4, 6 and 24 (m = 4). It divides rather
 * than multiplies by a rounded 1/6, so that nothing is rounded where filters are multiples of 9: what is left of 24^2
 * is a power of two. The exact comparison of verify.h rests on that. No order of operations here has more roundings
 * than bounds_winograd.c counts. */
#ifndef FOVEA_CONV2D_WINOGRAD_TRANSFORMS_CUH
#define FOVEA_CONV2D_WINOGRAD_TRANSFORMS_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

/* Each reads and writes arrays in registers. */
template <int OUTPUTS>
struct winograd;

template <>
struct winograd<2> {
    static constexpr int POINTS = 4;

    __device__ static void filter(const float (&w)[3], float (&u)[4]) {
        const float ends = w[0] + w[2];
        u[0] = w[0];
        u[1] = 0.5f * (ends + w[1]);
        u[2] = 0.5f * (ends - w[1]);
        u[3] = w[2];
    }

    __device__ static void input(const float (&x)[4], float (&v)[4]) {
        v[0] = x[0] - x[2];
        v[1] = x[1] + x[2];
        v[2] = x[2] - x[1];
        v[3] = x[1] - x[3];
    }

    __device__ static void output(const float (&m)[4], float (&y)[2]) {
        y[0] = m[0] + (m[1] + m[2]);
        y[1] = (m[1] - m[2]) - m[3];
    }
};

template <>
struct winograd<4> {
    static constexpr int POINTS = 6;

    __device__ static void filter(const float (&w)[3], float (&u)[6]) {
        const float ends = w[0] + w[2], doubled = w[0] + 4.0f * w[2];
        u[0] = 0.25f * w[0];
        u[1] = (ends + w[1]) / -6.0f;
        u[2] = (ends - w[1]) / -6.0f;
        u[3] = (doubled + 2.0f * w[1]) / 24.0f;
        u[4] = (doubled - 2.0f * w[1]) / 24.0f;
        u[5] = w[2];
    }

    __device__ static void input(const float (&x)[6], float (&v)[6]) {
        const float even = x[4] - 4.0f * x[2], odd = x[3] - 4.0f * x[1];
        const float near_even = x[4] - x[2], near_odd = x[3] - x[1];
        v[0] = 4.0f * x[0] - 5.0f * x[2] + x[4];
        v[1] = even + odd;
        v[2] = even - odd;
        v[3] = near_even + 2.0f * near_odd;
        v[4] = near_even - 2.0f * near_odd;
        v[5] = 4.0f * x[1] - 5.0f * x[3] + x[5];
    }

    __device__ static void output(const float (&m)[6], float (&y)[4]) {
        const float near_sum = m[1] + m[2], near_difference = m[1] - m[2];
        const float far_sum = m[3] + m[4], far_difference = m[3] - m[4];
        y[0] = m[0] + near_sum + far_sum;
        y[1] = near_difference + 2.0f * far_difference;
        y[2] = near_sum + 4.0f * far_sum;
        y[3] = near_difference + 8.0f * far_difference + m[5];
    }
};

} // namespace FV_NAMESPACE

#endif
