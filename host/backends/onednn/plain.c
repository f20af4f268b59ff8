/* What oneDNN lacks, as loops over f32 that a compiler can vectorise, on the context's threads: assembling batches,
 * softmax with cross-entropy, SGD, Adam, dropout and the gradients that are copies. ReLU is here too: oneDNN's turns a
 * NaN into 0, which would hide a diverged training. Every element is computed by one thread in one order, so neither
 * timing nor the number of threads can change a result.
 */
#include <math.h>
#include <string.h>

#include "backends/onednn/onednn.h"
#include "base/error.h"
#include "ops/dropout.h"

static int threads_of(const fv_context *context) {
    return ((const fv_onednn_device *)context->device)->threads;
}

/* ---- relu ---- */

/* The slope is 0 for a plain relu, which gives 0 even of an infinite value. */
static float sloping(float slope, float value) {
    return slope > 0 ? slope * value : 0;
}

static fv_status relu_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)state;
    const float *x = buffers->at[FV_X];
    float *y = buffers->at[FV_Y];
    const float slope = (float)op->relu.slope;
#pragma omp parallel for simd num_threads(threads_of(context)) schedule(static)
    for (int64_t i = 0; i < op->relu.elements; ++i)
        y[i] = x[i] < 0 ? sloping(slope, x[i]) : x[i];
    return FV_OK;
}

static fv_status relu_backward_data(fv_context *context, const fv_operation *op, void *state,
                                    const fv_buffers *buffers) {
    (void)state;
    const float *y = buffers->at[FV_Y], *dy = buffers->at[FV_DY];
    float *dx = buffers->at[FV_DX];
    const float slope = (float)op->relu.slope;
#pragma omp parallel for simd num_threads(threads_of(context)) schedule(static)
    for (int64_t i = 0; i < op->relu.elements; ++i) {
        const float gradient = dy[i]; /* read always, so that the loop vectorises */
        dx[i] = y[i] > 0 ? gradient : sloping(slope, gradient);
    }
    return FV_OK;
}

/* ---- dropout ---- */

static fv_status drop(const fv_context *context, const fv_dropout *d, const int32_t *step, const float *from,
                      float *to) {
    const uint32_t threshold = fv_dropout_threshold(d);
    const float scale = (float)(1 / (1 - d->rate));
#pragma omp parallel for num_threads(threads_of(context)) schedule(static)
    for (int64_t quad = 0; quad < (d->elements + 3) / 4; ++quad) {
        const fv_philox random = fv_dropout_quad(d->seed, *step, quad);
        for (int64_t i = 4 * quad; i < d->elements && i < 4 * quad + 4; ++i)
            to[i] = fv_dropout_keeps(random.word[i % 4], threshold) ? from[i] * scale : 0;
    }
    return FV_OK;
}

static fv_status dropout_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)state;
    return drop(context, &op->dropout, buffers->at[FV_STEP], buffers->at[FV_X], buffers->at[FV_Y]);
}

static fv_status dropout_backward_data(fv_context *context, const fv_operation *op, void *state,
                                       const fv_buffers *buffers) {
    (void)state;
    return drop(context, &op->dropout, buffers->at[FV_STEP], buffers->at[FV_DY], buffers->at[FV_DX]);
}

/* ---- the gradients of concat and add: copies ---- */

static fv_status concat_backward_data(fv_context *context, const fv_operation *op, void *state,
                                      const fv_buffers *buffers) {
    (void)state;
    static const fv_role parts[FV_MAX_PARTS] = {FV_DX, FV_DX2, FV_DX3, FV_DX4};
    const fv_concat *d = &op->concat;
    const int64_t channels = d->c[0] + d->c[1] + d->c[2] + d->c[3];
#pragma omp parallel for num_threads(threads_of(context)) schedule(static)
    for (int64_t pixel = 0; pixel < d->n * d->h * d->w; ++pixel) {
        const float *dy = (const float *)buffers->at[FV_DY] + pixel * channels;
        for (int i = 0; i < FV_MAX_PARTS && d->c[i]; dy += d->c[i++])
            memcpy((float *)buffers->at[parts[i]] + pixel * d->c[i], dy, (size_t)d->c[i] * sizeof *dy);
    }
    return FV_OK;
}

static fv_status add_backward_data(fv_context *context, const fv_operation *op, void *state,
                                   const fv_buffers *buffers) {
    (void)state;
    const float *dy = buffers->at[FV_DY];
    float *dx = buffers->at[FV_DX], *dx2 = buffers->at[FV_DX2];
#pragma omp parallel for simd num_threads(threads_of(context)) schedule(static)
    for (int64_t i = 0; i < op->add.elements; ++i)
        dx[i] = dx2[i] = dy[i];
    return FV_OK;
}

/* ---- batch ---- */

/* A byte has 256 values: normalising goes through a table, computed in double precision. */
static fv_status batch_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)state;
    const fv_batch *d = &op->batch;
    const uint8_t *images = buffers->at[FV_IMAGES], *image_labels = buffers->at[FV_IMAGE_LABELS];
    const int32_t *order = buffers->at[FV_ORDER];
    float *x = buffers->at[FV_X];
    int32_t *labels = buffers->at[FV_LABELS];
    float normalised[256];
    for (int byte = 0; byte < 256; ++byte)
        normalised[byte] = (float)(byte * d->scale + d->shift);
#pragma omp parallel for num_threads(threads_of(context)) schedule(static)
    for (int64_t n = 0; n < d->n; ++n) {
        const uint8_t *image = images + order[n] * d->elements;
        for (int64_t e = 0; e < d->elements; ++e)
            x[n * d->elements + e] = normalised[image[e]];
        labels[n] = image_labels[order[n]];
    }
    return FV_OK;
}

/* ---- softmax_xent ---- */

/* One row; the few exponentials are taken in double precision. Returns the loss. */
static float softmax_row(const float *x, float *y, int64_t classes, int32_t label, int32_t *predicted) {
    int32_t best = 0;
    for (int32_t k = 1; k < classes; ++k)
        if (x[k] > x[best])
            best = k;
    const double largest = x[best];
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) {
        const double power = exp(x[k] - largest);
        sum += power;
        y[k] = (float)power;
    }
    for (int64_t k = 0; k < classes; ++k)
        y[k] = (float)(y[k] / sum);
    *predicted = best;
    return (float)(log(sum) - (x[label] - largest));
}

static fv_status softmax_xent_forward(fv_context *context, const fv_operation *op, void *state,
                                      const fv_buffers *buffers) {
    (void)state;
    const fv_softmax_xent *d = &op->softmax_xent;
    const float *x = buffers->at[FV_X];
    const int32_t *labels = buffers->at[FV_LABELS];
    float *y = buffers->at[FV_Y], *loss = buffers->at[FV_LOSS];
    int32_t *predicted = buffers->at[FV_PREDICTED];
#pragma omp parallel for num_threads(threads_of(context)) schedule(static)
    for (int64_t n = 0; n < d->n; ++n)
        loss[n] = softmax_row(x + n * d->classes, y + n * d->classes, d->classes, labels[n], &predicted[n]);
    return FV_OK;
}

static fv_status softmax_xent_backward_data(fv_context *context, const fv_operation *op, void *state,
                                            const fv_buffers *buffers) {
    (void)state;
    const fv_softmax_xent *d = &op->softmax_xent;
    const float *y = buffers->at[FV_Y];
    const int32_t *labels = buffers->at[FV_LABELS];
    float *dx = buffers->at[FV_DX];
    const float items = (float)d->n;
#pragma omp parallel for num_threads(threads_of(context)) schedule(static)
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t k = 0; k < d->classes; ++k)
            dx[n * d->classes + k] = (y[n * d->classes + k] - (k == labels[n] ? 1.0f : 0.0f)) / items;
    return FV_OK;
}

/* ---- sgd, adam ----
 * The build compiles this file with -fno-math-errno, without which the square root would keep Adam from vectorising. */

/* Elements [begin, end), all with the same weight decay. */
static void sgd_range(const fv_sgd *d, int threads, const fv_buffers *buffers, int64_t begin, int64_t end,
                      float decay) {
    float *w = buffers->at[FV_W], *m = buffers->at[FV_M];
    const float *dw = buffers->at[FV_DW];
    const float rate = ((const float *)buffers->at[FV_RATE])[0], momentum = (float)d->momentum;
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = begin; i < end; ++i) {
        m[i] = momentum * m[i] + (dw[i] + decay * w[i]);
        w[i] -= rate * m[i];
    }
}

static fv_status sgd_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)state;
    const fv_sgd *d = &op->sgd;
    sgd_range(d, threads_of(context), buffers, 0, d->decayed, (float)d->weight_decay);
    sgd_range(d, threads_of(context), buffers, d->decayed, d->elements, 0);
    return FV_OK;
}

static void adam_range(const fv_adam *d, int threads, const fv_buffers *buffers, int64_t begin, int64_t end,
                       float decay) {
    float *w = buffers->at[FV_W], *m = buffers->at[FV_M], *v = buffers->at[FV_V];
    const float *dw = buffers->at[FV_DW], *rate = buffers->at[FV_RATE];
    const float beta1 = (float)d->beta1, beta2 = (float)d->beta2, epsilon = (float)d->epsilon;
    const float rest1 = (float)(1 - d->beta1), rest2 = (float)(1 - d->beta2);
    const float rate0 = rate[0], rate1 = rate[1], rate2 = rate[2];
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = begin; i < end; ++i) {
        m[i] = beta1 * m[i] + rest1 * dw[i];
        v[i] = beta2 * v[i] + rest2 * (dw[i] * dw[i]);
        w[i] -= rate0 * (m[i] * rate1 / (sqrtf(v[i] * rate2) + epsilon) + decay * w[i]);
    }
}

static fv_status adam_forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)state;
    const fv_adam *d = &op->adam;
    adam_range(d, threads_of(context), buffers, 0, d->decayed, (float)d->weight_decay);
    adam_range(d, threads_of(context), buffers, d->decayed, d->elements, 0);
    return FV_OK;
}

#define ROW(kind_, pass_, run_)                                                                                        \
    { .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = "loop", .deterministic = true, .run = run_ }

const fv_kernel fv_onednn_plain[] = {
    ROW(FV_RELU, FV_FORWARD, relu_forward),
    ROW(FV_RELU, FV_BACKWARD_DATA, relu_backward_data),
    ROW(FV_DROPOUT, FV_FORWARD, dropout_forward),
    ROW(FV_DROPOUT, FV_BACKWARD_DATA, dropout_backward_data),
    ROW(FV_CONCAT, FV_BACKWARD_DATA, concat_backward_data),
    ROW(FV_ADD, FV_BACKWARD_DATA, add_backward_data),
    ROW(FV_BATCH, FV_FORWARD, batch_forward),
    ROW(FV_SOFTMAX_XENT, FV_FORWARD, softmax_xent_forward),
    ROW(FV_SOFTMAX_XENT, FV_BACKWARD_DATA, softmax_xent_backward_data),
    ROW(FV_SGD, FV_FORWARD, sgd_forward),
    ROW(FV_ADAM, FV_FORWARD, adam_forward),
    FV_KERNELS_END,
};
