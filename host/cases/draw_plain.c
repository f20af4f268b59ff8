/* Random operations without a window; see draw.h. */
#include "cases/draw.h"

void fv_draw_linear(fv_draw *d, fv_operation *op) {
    fv_linear *linear = &op->linear;
    linear->n = fv_draw_batch_size(d);
    linear->c = fv_draw_extent(d);
    linear->k = fv_draw_extent(d);
    linear->bias = below(d, 2);
    if (!chance(d, 25))
        return;
    /* One extent beyond the list: a long sum in one of the passes, or results of more than 128 tiles. */
    int64_t *const beyond = chance(d, 33) ? &linear->n : chance(d, 50) ? &linear->c : &linear->k;
    *beyond = PICK(d, 800, 1000, 1024, 4097, 8191, 8193);
}

static int64_t element_count(fv_draw *d) {
    return chance(d, 5) ? 0 : fv_draw_extent(d) * fv_draw_extent(d);
}

void fv_draw_relu(fv_draw *d, fv_operation *op) {
    op->relu.elements = element_count(d);
    op->relu.slope = PICK_REAL(d, 0, 0, 0.5, 0.25, 0.01, 0.2);
}

void fv_draw_batchnorm(fv_draw *d, fv_operation *op) {
    fv_batchnorm *norm = &op->batchnorm;
    norm->n = fv_draw_batch_size(d);
    norm->c = fv_draw_channels(d);
    norm->h = chance(d, 20) ? 1 : fv_draw_extent(d);
    norm->w = fv_draw_extent(d);
    norm->training = chance(d, 70);
    norm->relu = chance(d, 40);
    norm->epsilon = PICK_REAL(d, 1e-5, 1e-5, 0.001, 1e-12, 1);
    norm->momentum = PICK_REAL(d, 0.1, 0.1, 0.01, 0, 1, 0.5);
}

void fv_draw_dropout(fv_draw *d, fv_operation *op) {
    op->dropout.elements = element_count(d);
    op->dropout.rate = PICK_REAL(d, 0.5, 0.5, 0.75, 0, 0.1, 0.3, 0.9);
    op->dropout.seed = PICK(d, 0, 1, 7, 1000000007, 549755813889);
}

void fv_draw_concat(fv_draw *d, fv_operation *op) {
    fv_concat *concat = &op->concat;
    concat->n = fv_draw_batch_size(d);
    concat->h = fv_draw_extent(d);
    concat->w = fv_draw_extent(d);
    const int64_t parts = 1 + below(d, FV_MAX_PARTS);
    for (int64_t i = 0; i < FV_MAX_PARTS; ++i)
        concat->c[i] = i < parts ? fv_draw_channels(d) : 0;
}

void fv_draw_add(fv_draw *d, fv_operation *op) {
    op->add.elements = element_count(d);
}

void fv_draw_flatten(fv_draw *d, fv_operation *op) {
    fv_flatten *flatten = &op->flatten;
    flatten->n = fv_draw_batch_size(d);
    flatten->c = fv_draw_channels(d);
    flatten->h = fv_draw_extent(d);
    flatten->w = fv_draw_extent(d);
    flatten->order = chance(d, 75) ? FV_CHW : FV_HWC;
}

void fv_draw_softmax_xent(fv_draw *d, fv_operation *op) {
    op->softmax_xent.n = fv_draw_batch_size(d);
    op->softmax_xent.classes = chance(d, 10) ? PICK(d, 1000, 1023, 1024, 1025, 2048, 5000) : fv_draw_extent(d);
}

void fv_draw_batch(fv_draw *d, fv_operation *op) {
    op->batch.n = fv_draw_batch_size(d);
    op->batch.items = chance(d, 15) ? 1 : fv_draw_extent(d);
    op->batch.elements = chance(d, 15) ? 784 : fv_draw_extent(d);
    op->batch.scale = PICK_REAL(d, 1, 0.5, -2, 0.0127286, 0.00392156862745098);
    op->batch.shift = PICK_REAL(d, 0, 1, -0.424213, -127.5);
}

/* None, all, or a part of the elements. */
static int64_t decayed_count(fv_draw *d, int64_t elements) {
    return chance(d, 25) ? 0 : chance(d, 35) ? elements : below(d, elements + 1);
}

void fv_draw_sgd(fv_draw *d, fv_operation *op) {
    op->sgd.elements = element_count(d);
    op->sgd.decayed = decayed_count(d, op->sgd.elements);
    op->sgd.momentum = PICK_REAL(d, 0, 0.5, 0.9, 0.99);
    op->sgd.weight_decay = PICK_REAL(d, 0, 0.0001, 0.01, 0.1, 1);
}

void fv_draw_adam(fv_draw *d, fv_operation *op) {
    op->adam.elements = element_count(d);
    op->adam.decayed = decayed_count(d, op->adam.elements);
    op->adam.beta1 = PICK_REAL(d, 0, 0.5, 0.7, 0.9);
    op->adam.beta2 = PICK_REAL(d, 0, 0.9, 0.99, 0.999);
    op->adam.epsilon = PICK_REAL(d, 1e-8, 1e-6, 0.001, 1);
    op->adam.weight_decay = PICK_REAL(d, 0, 0.0001, 0.01, 0.1, 1);
}
