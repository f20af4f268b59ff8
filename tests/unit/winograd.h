/* Winograd convolution in f32 with the matrices of Lavin and Gray 2016, section 4: 3x3 filters, no stride, no groups. As
 * kernels for the tests of its error bound, under_test says which tiles.
 */
#ifndef FOVEA_TESTS_WINOGRAD_H
#define FOVEA_TESTS_WINOGRAD_H

#include <string.h>

#include "backends/kernel.h"

enum { TAPS = 3, MOST = 6, AREA = MOST * MOST };

typedef struct form {
    unsigned note;
    int outputs, points;
    float output[4][MOST], filter[MOST][TAPS], input[MOST][MOST];
} form;

/* clang-format off */
static const form small = {
    FV_NOTE_WINOGRAD_2X2, 2, 4,
    {{1, 1, 1, 0}, {0, 1, -1, -1}},
    {{1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}},
    {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
};
static const form large = {
    FV_NOTE_WINOGRAD_4X4, 4, 6,
    {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}},
    {{1 / 4.f, 0, 0}, {-1 / 6.f, -1 / 6.f, -1 / 6.f}, {-1 / 6.f, 1 / 6.f, -1 / 6.f},
     {1 / 24.f, 1 / 12.f, 1 / 6.f}, {1 / 24.f, -1 / 12.f, 1 / 6.f}, {0, 0, 1}},
    {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
     {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}},
};
/* clang-format on */
static const form *under_test;

static inline float filter_at(const form *f, int point, int tap) {
    return f->filter[point][tap];
}

static inline float filter_turned(const form *f, int tap, int point) {
    return f->filter[point][tap];
}

static inline float input_at(const form *f, int point, int pixel) {
    return f->input[point][pixel];
}

static inline float output_at(const form *f, int pixel, int point) {
    return f->output[pixel][point];
}

static inline float output_turned(const form *f, int point, int pixel) {
    return f->output[pixel][point];
}

/* out = M in M', `to` x `to` from `from` x `from`, all with a row length of MOST. */
static inline void transform(float (*m)(const form *, int, int), int to, int from, const float in[AREA],
                             float out[AREA]) {
    float half[AREA];
    for (int i = 0; i < to; ++i)
        for (int l = 0; l < from; ++l) {
            half[i * MOST + l] = 0;
            for (int e = 0; e < from; ++e)
                half[i * MOST + l] += m(under_test, i, e) * in[e * MOST + l];
        }
    for (int i = 0; i < to; ++i)
        for (int j = 0; j < to; ++j) {
            out[i * MOST + j] = 0;
            for (int e = 0; e < from; ++e)
                out[i * MOST + j] += m(under_test, j, e) * half[i * MOST + e];
        }
}

/* An NHWC image batch, and one square patch of it with zeros outside. */
typedef struct images {
    const float *data;
    int64_t n, h, w, c;
} images;

static inline void cut(const images *from, int64_t n, int64_t row, int64_t col, int64_t c, int size,
                       float patch[AREA]) {
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
            const bool inside = row + i >= 0 && row + i < from->h && col + j >= 0 && col + j < from->w;
            patch[i * MOST + j] =
                inside ? from->data[((n * from->h + row + i) * from->w + col + j) * from->c + c] : 0.0f;
        }
}

static inline void add_product(const float a[AREA], const float b[AREA], float sum[AREA]) {
    for (int i = 0; i < AREA; ++i)
        sum[i] += a[i] * b[i];
}

/* Forward and, with the filters turned and the roles of k and c exchanged, backward data. */
static inline void correlate(const fv_conv2d *d, bool turned, const images *in, const float *w, const images *out,
                             float *y) {
    const int m = under_test->outputs, t = under_test->points;
    const int64_t top = turned ? 2 - d->pad_top : d->pad_top, left = turned ? 2 - d->pad_left : d->pad_left;
    float patch[AREA], filter[AREA] = {0}, pixels[AREA] = {0}, sum[AREA];
    for (int64_t i = 0; i < out->n * out->h * out->w * out->c; ++i) {
        const int64_t k = i % out->c, q = i / out->c % out->w, p = i / out->c / out->w % out->h;
        const int64_t n = i / out->c / out->w / out->h;
        if (p % m || q % m)
            continue;
        memset(sum, 0, sizeof sum);
        for (int64_t c = 0; c < in->c; ++c) {
            cut(in, n, p - top, q - left, c, t, patch);
            transform(input_at, t, t, patch, pixels);
            for (int tap = 0; tap < TAPS * TAPS; ++tap)
                patch[tap / TAPS * MOST + tap % TAPS] =
                    w[turned ? (c * 9 + 8 - tap) * out->c + k : (k * 9 + tap) * in->c + c];
            transform(filter_at, t, TAPS, patch, filter);
            add_product(filter, pixels, sum);
        }
        transform(output_at, m, t, sum, patch);
        for (int a = 0; a < m && p + a < out->h; ++a)
            for (int b = 0; b < m && q + b < out->w; ++b)
                y[i + (a * out->w + b) * out->c] = patch[a * MOST + b];
    }
}

static inline fv_status run_winograd(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    const fv_conv2d *d = &op->conv2d;
    const images x = {b->at[FV_X], d->n, d->h, d->w, d->c};
    const images y = {b->at[FV_Y], d->n, fv_conv2d_p(d), fv_conv2d_q(d), d->k};
    correlate(d, false, &x, b->at[FV_W], &y, b->at[FV_Y]);
    for (int64_t i = 0; b->at[FV_B] && i < y.n * y.h * y.w * y.c; ++i)
        ((float *)b->at[FV_Y])[i] += ((const float *)b->at[FV_B])[i % y.c];
    return FV_OK;
}

static inline fv_status run_winograd_data(fv_context *context, const fv_operation *op, void *state,
                                          const fv_buffers *b) {
    (void)context, (void)state;
    const fv_conv2d *d = &op->conv2d;
    const images dx = {b->at[FV_DX], d->n, d->h, d->w, d->c};
    const images dy = {b->at[FV_DY], d->n, fv_conv2d_p(d), fv_conv2d_q(d), d->k};
    correlate(d, true, &dy, b->at[FV_W], &dx, b->at[FV_DX]);
    return FV_OK;
}

static inline fv_status run_winograd_weights(fv_context *context, const fv_operation *op, void *state,
                                             const fv_buffers *b) {
    (void)context, (void)state;
    const fv_conv2d *d = &op->conv2d;
    const int m = under_test->outputs, t = under_test->points;
    const images x = {b->at[FV_X], d->n, d->h, d->w, d->c};
    const images dy = {b->at[FV_DY], d->n, fv_conv2d_p(d), fv_conv2d_q(d), d->k};
    float patch[AREA], gradients[AREA] = {0}, pixels[AREA] = {0};
    for (int64_t k = 0; k < d->k; ++k)
        for (int64_t c = 0; c < d->c; ++c) {
            float sum[AREA] = {0};
            for (int64_t i = 0; i < dy.n * dy.h * dy.w; ++i) {
                const int64_t q = i % dy.w, p = i / dy.w % dy.h, n = i / dy.w / dy.h;
                if (p % m || q % m)
                    continue;
                cut(&dy, n, p, q, k, m, patch);
                transform(output_turned, t, m, patch, gradients);
                cut(&x, n, p - d->pad_top, q - d->pad_left, c, t, patch);
                transform(input_at, t, t, patch, pixels);
                add_product(gradients, pixels, sum);
            }
            transform(filter_turned, TAPS, t, sum, patch);
            for (int tap = 0; tap < TAPS * TAPS; ++tap)
                ((float *)b->at[FV_DW])[(k * 9 + tap) * d->c + c] = patch[tap / TAPS * MOST + tap % TAPS];
        }
    return FV_OK;
}

#endif
