/* The same network, data and seed give the same loss curve on every backend, within a derived bound.
 *
 * The test trains the digits network in double precision, by the reference, and carries along with every tensor t a
 * second one, e(t), that bounds how far a correct f32 backend may be from it by then. It is first-order error
 * propagation with independent errors, the model behind the verifier's rounding bound g = 4*sqrt(K)*u itself: for y =
 * sum of a*b,
 *     e(y)^2 = sum of e(a)^2 b^2 + sum of a^2 e(b)^2 + (g * sum of |a||b|)^2.
 * (Adding absolute errors instead, the worst case, gives 3e-3 at the first loss and overflows by the third: it says
 * nothing.) A maximum moves no more than the inputs it is taken over. Where errors leave open which element of a window
 * is the largest, or whether a ReLU is on, the gradient may go either way and the whole of it counts as error. Nothing
 * is estimated or tuned.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fovea.h>

#include "network/session.h"
#include "ops/op.h"
#include "own_kernels.h"
#include "verify/verify.h"

enum { BATCH = 4, STEPS = 4, SEED = 1 };
static const double u = 0x1p-24;
static const double momentum = 0.9, learning_rate = 0.01;

/* A tensor in double precision and its error bound. */
typedef struct tracked {
    int64_t elements;
    double *value, *error;
} tracked;

static tracked track(int64_t elements) {
    tracked t = {elements, calloc((size_t)elements + 1, sizeof(double)), calloc((size_t)elements + 1, sizeof(double))};
    assert_true(t.value && t.error);
    return t;
}

static void drop(tracked *t) {
    free(t->value);
    free(t->error);
    *t = (tracked){0};
}

static fv_operation in_double(const fv_layer *layer) {
    const fv_operation op = fv_layer_operation(layer, BATCH);
    return fv_in_double(&op);
}

static void reference(const fv_operation *op, fv_pass pass, void *const at[FV_ROLES]) {
    fv_host_tensors tensors;
    memcpy(tensors.at, at, sizeof tensors.at);
    assert_int_equal(fv_run_reference(op, pass, &tensors), FV_OK);
}

typedef double transform(double value, double error);
static double plain(double value, double error) {
    (void)error;
    return value;
}
static double magnitude(double value, double error) {
    (void)error;
    return fabs(value);
}
static double squared(double value, double error) {
    (void)error;
    return value * value;
}
static double squared_error(double value, double error) {
    (void)value;
    return error * error;
}
static double nothing(double value, double error) {
    (void)value, (void)error;
    return 0;
}

/* One pass of a bilinear operation: its two inputs, its output, and the bias or the bias gradient, or NULL. */
typedef struct product {
    const fv_operation *op;
    fv_pass pass;
    fv_role roles[4]; /* of a, b, y, extra */
    const tracked *a, *b;
    tracked *y, *extra;
} product;

/* The pass on transformed inputs. An extra that is a bias is an input, too; one that is a bias gradient an output. */
static void apply(const product *p, transform *of_a, transform *of_b, transform *of_bias, double *y,
                  double *bias_gradient) {
    const bool has_bias = p->extra && p->roles[3] == FV_B;
    const tracked *inputs[3] = {p->a, p->b, has_bias ? p->extra : NULL};
    transform *const transforms[3] = {of_a, of_b, of_bias};
    const fv_role roles[3] = {p->roles[0], p->roles[1], FV_B};
    void *at[FV_ROLES] = {0};
    for (int i = 0; i < 3; ++i) {
        if (!inputs[i])
            continue;
        double *copy = malloc((size_t)inputs[i]->elements * sizeof *copy + 1);
        for (int64_t e = 0; e < inputs[i]->elements; ++e)
            copy[e] = transforms[i](inputs[i]->value[e], inputs[i]->error[e]);
        at[roles[i]] = copy;
    }
    at[p->roles[2]] = y;
    if (p->extra && !has_bias)
        at[p->roles[3]] = bias_gradient;
    reference(p->op, p->pass, at);
    for (int i = 0; i < 3; ++i)
        if (inputs[i])
            free(at[roles[i]]);
}

/* Value and error of a product, and of its bias gradient. */
static void bilinear(const product *p) {
    const bool gradient = p->extra && p->roles[3] == FV_DB;
    const double g = 4 * sqrt((double)fv_op_info_of(p->op->kind)->reduction(p->op, p->pass, p->roles[2])) * u;
    tracked by_a = track(p->y->elements), by_b = track(gradient ? p->extra->elements : 0);
    tracked sums = track(p->y->elements), bias_sums = track(gradient ? p->extra->elements : 0);
    apply(p, plain, plain, plain, p->y->value, gradient ? p->extra->value : NULL);
    apply(p, magnitude, magnitude, magnitude, sums.value, bias_sums.value);
    apply(p, squared_error, squared, squared_error, by_a.value, by_b.value);
    apply(p, squared, squared_error, nothing, by_a.error, by_b.error);
    for (int64_t e = 0; e < p->y->elements; ++e)
        p->y->error[e] = sqrt(by_a.value[e] + by_a.error[e] + g * g * sums.value[e] * sums.value[e]);
    /* The bias gradient sums up dy, which is b of a backward_weights pass. */
    for (int64_t e = 0; gradient && e < p->extra->elements; ++e)
        p->extra->error[e] = sqrt(by_b.error[e] + g * g * bias_sums.value[e] * bias_sums.value[e]);
    drop(&by_a);
    drop(&by_b);
    drop(&sums);
    drop(&bias_sums);
}

static void pool_forward(const fv_operation *op, const tracked *x, tracked *y, uint8_t *argmax) {
    void *at[FV_ROLES] = {[FV_X] = x->error, [FV_Y] = y->error, [FV_ARGMAX] = argmax};
    reference(op, FV_FORWARD, at); /* the largest error in each window */
    at[FV_X] = x->value;
    at[FV_Y] = y->value;
    reference(op, FV_FORWARD, at);
}

/* Unpadded, undilated, not overlapping: as the digits network pools. */
static void pool_backward(const fv_operation *op, const tracked *x, const tracked *dy, tracked *dx) {
    const fv_maxpool *d = &op->maxpool;
    const int64_t height = fv_maxpool_p(d), width = fv_maxpool_q(d);
    memset(dx->value, 0, (size_t)dx->elements * sizeof(double));
    memset(dx->error, 0, (size_t)dx->elements * sizeof(double));
    int64_t out = 0;
    for (int64_t n = 0; n < d->n; ++n)
        for (int64_t p = 0; p < height; ++p)
            for (int64_t q = 0; q < width; ++q)
                for (int64_t c = 0; c < d->c; ++c, ++out) {
                    int64_t tap[64], best = 0, taps = 0;
                    double sure = -INFINITY; /* the largest is at least this */
                    for (int64_t r = 0; r < d->r; ++r)
                        for (int64_t s = 0; s < d->s; ++s, ++taps) {
                            tap[taps] = ((n * d->h + p * d->stride_h + r) * d->w + q * d->stride_w + s) * d->c + c;
                            sure = fmax(sure, x->value[tap[taps]] - x->error[tap[taps]]);
                            if (x->value[tap[taps]] > x->value[tap[best]])
                                best = taps;
                        }
                    int64_t candidates = 0;
                    for (int64_t i = 0; i < taps; ++i)
                        candidates += x->value[tap[i]] + x->error[tap[i]] >= sure;
                    dx->value[tap[best]] = dy->value[out];
                    for (int64_t i = 0; i < taps; ++i)
                        if (x->value[tap[i]] + x->error[tap[i]] >= sure)
                            dx->error[tap[i]] = dy->error[out] + (candidates > 1 ? fabs(dy->value[out]) : 0);
                }
}

static void relu_forward(const tracked *x, tracked *y) {
    for (int64_t i = 0; i < x->elements; ++i) {
        y->value[i] = x->value[i] < 0 ? 0 : x->value[i];
        y->error[i] = x->value[i] + x->error[i] < 0 ? 0 : x->error[i];
    }
}

static void relu_backward(const tracked *x, const tracked *dy, tracked *dx) {
    for (int64_t i = 0; i < x->elements; ++i) {
        const int on = x->value[i] > 0, open = fabs(x->value[i]) <= x->error[i];
        dx->value[i] = on ? dy->value[i] : 0;
        dx->error[i] = open ? fabs(dy->value[i]) + dy->error[i] : on ? dy->error[i] : 0;
    }
}

/* Loss per image and gradient by the logits: d loss = sum of (y - onehot) dx, dy_k = y_k (dx_k - sum of y_j dx_j). */
static void softmax(const tracked *x, const int32_t *labels, tracked *loss, tracked *dx) {
    const int64_t classes = x->elements / BATCH;
    fv_operation op = {.kind = FV_SOFTMAX_XENT, .softmax_xent = {BATCH, classes, FV_F64}}, narrow = op;
    narrow.softmax_xent.dtype = FV_F32;
    tracked y = track(x->elements);
    int32_t predicted[BATCH];
    fv_host_tensors t = {.at = {[FV_X] = x->value,
                                [FV_LABELS] = (void *)(uintptr_t)labels,
                                [FV_Y] = y.value,
                                [FV_LOSS] = loss->value,
                                [FV_PREDICTED] = predicted,
                                [FV_DX] = dx->value}};
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
    assert_int_equal(fv_run_reference(&op, FV_BACKWARD_DATA, &t), FV_OK);
    assert_int_equal(fv_error_bounds(&narrow, FV_FORWARD, FV_LOSS, 0, &t, &t, loss->error), FV_OK);
    assert_int_equal(fv_error_bounds(&narrow, FV_FORWARD, FV_Y, 0, &t, &t, y.error), FV_OK);
    assert_int_equal(fv_error_bounds(&narrow, FV_BACKWARD_DATA, FV_DX, 0, &t, &t, dx->error), FV_OK);
    for (int64_t n = 0; n < BATCH; ++n) {
        const double *p = y.value + n * classes, *e = x->error + n * classes;
        double loss_variance = 0, mean_variance = 0;
        for (int64_t k = 0; k < classes; ++k) {
            const double slope = p[k] - (k == labels[n]);
            loss_variance += slope * slope * e[k] * e[k];
            mean_variance += p[k] * p[k] * e[k] * e[k];
        }
        loss->error[n] = hypot(loss->error[n], sqrt(loss_variance));
        for (int64_t k = 0; k < classes; ++k) {
            const double moved = p[k] * sqrt((1 - 2 * p[k]) * e[k] * e[k] + mean_variance);
            dx->error[n * classes + k] += hypot(moved, y.error[n * classes + k]) / BATCH;
        }
    }
    drop(&y);
}

/* m = momentum*m + g; w -= rate*m, 16 roundings at most on the way. */
static void update(tracked *w, tracked *m, const tracked *g) {
    const double rounding = 16 * u;
    for (int64_t i = 0; i < w->elements; ++i) {
        const double fresh = rounding * (momentum * fabs(m->value[i]) + fabs(g->value[i]));
        m->error[i] = hypot(hypot(momentum * m->error[i], g->error[i]), fresh);
        m->value[i] = momentum * m->value[i] + g->value[i];
        w->error[i] += learning_rate * m->error[i] + rounding * (fabs(w->value[i]) + learning_rate * fabs(m->value[i]));
        w->value[i] -= learning_rate * m->value[i];
    }
}

/* ---- the network in double precision */

enum { MAX_LAYERS = 16 };

typedef struct exact_run {
    const fv_network *network;
    tracked parameter[2 * MAX_LAYERS], momentum[2 * MAX_LAYERS], gradient[2 * MAX_LAYERS];
    tracked activation[MAX_LAYERS + 1], delta[MAX_LAYERS + 1];
    uint8_t *argmax;
    tracked loss;
} exact_run;

static void begin(exact_run *r, const fv_network *network, const float *parameters) {
    *r = (exact_run){.network = network};
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        r->parameter[i] = track(p->elements);
        r->momentum[i] = track(p->elements);
        r->gradient[i] = track(p->elements);
        for (int64_t e = 0; e < p->elements; ++e)
            r->parameter[i].value[e] = (double)parameters[p->offset + e];
    }
    for (int i = 0; i <= network->layer_count; ++i) {
        const fv_shape *shape = i ? &network->layers[i - 1].output : &network->input;
        r->activation[i] = track(BATCH * fv_shape_elements(shape));
        r->delta[i] = track(BATCH * fv_shape_elements(shape));
    }
    r->argmax = malloc(1 << 20);
    r->loss = track(BATCH);
}

static void end(exact_run *r) {
    for (int i = 0; i < r->network->parameter_count; ++i) {
        drop(&r->parameter[i]);
        drop(&r->momentum[i]);
        drop(&r->gradient[i]);
    }
    for (int i = 0; i <= r->network->layer_count; ++i) {
        drop(&r->activation[i]);
        drop(&r->delta[i]);
    }
    free(r->argmax);
    drop(&r->loss);
}

static void forward(exact_run *r, const uint8_t *images) {
    const fv_network *network = r->network;
    tracked *x = &r->activation[0];
    for (int64_t i = 0; i < x->elements; ++i) {
        x->value[i] = images[i] * network->scale + network->shift;
        x->error[i] = 4 * sqrt(2) * u * (images[i] * fabs(network->scale) + fabs(network->shift));
    }
    for (int i = 0; i < network->layer_count; ++i) {
        const fv_layer *layer = &network->layers[i];
        const fv_operation op = in_double(layer);
        if (op.kind == FV_MAXPOOL)
            pool_forward(&op, &r->activation[i], &r->activation[i + 1], r->argmax);
        else if (op.kind == FV_RELU)
            relu_forward(&r->activation[i], &r->activation[i + 1]);
        else
            bilinear(&(product){&op,
                                FV_FORWARD,
                                {FV_X, FV_W, FV_Y, FV_B},
                                &r->activation[i],
                                &r->parameter[layer->weight],
                                &r->activation[i + 1],
                                &r->parameter[layer->bias]});
    }
}

static void backward(exact_run *r) {
    for (int i = r->network->layer_count - 1; i >= 0; --i) {
        const fv_layer *layer = &r->network->layers[i];
        const fv_operation op = in_double(layer);
        const tracked *dy = &r->delta[i + 1];
        if (op.kind == FV_MAXPOOL) {
            pool_backward(&op, &r->activation[i], dy, &r->delta[i]);
        } else if (op.kind == FV_RELU) {
            relu_backward(&r->activation[i], dy, &r->delta[i]);
        } else {
            bilinear(&(product){&op,
                                FV_BACKWARD_WEIGHTS,
                                {FV_X, FV_DY, FV_DW, FV_DB},
                                &r->activation[i],
                                dy,
                                &r->gradient[layer->weight],
                                &r->gradient[layer->bias]});
            if (i > 0)
                bilinear(&(product){&op,
                                    FV_BACKWARD_DATA,
                                    {FV_DY, FV_W, FV_DX, FV_DB},
                                    dy,
                                    &r->parameter[layer->weight],
                                    &r->delta[i],
                                    NULL});
        }
    }
}

static void exact_step(exact_run *r, const uint8_t *images, const int32_t *labels) {
    forward(r, images);
    softmax(&r->activation[r->network->layer_count], labels, &r->loss, &r->delta[r->network->layer_count]);
    backward(r);
    for (int i = 0; i < r->network->parameter_count; ++i)
        update(&r->parameter[i], &r->momentum[i], &r->gradient[i]);
}

/* ---- the backends */

/* Trains on batch 0, 1, ... and records each step's mean loss; false if the backend has no device here. */
static int backend_curve(const char *name, const fv_network *network, const fv_dataset *data, double losses[STEPS]) {
    fv_context *context;
    if (fv_context_create(name, NULL, &context) == FV_UNSUPPORTED)
        return 0;
    require_own_kernels(context);
    const fv_backend *backend = context->backend;
    const int64_t images = BATCH * STEPS, elements = fv_shape_elements(&network->input);
    const size_t bytes = (size_t)network->parameter_end * sizeof(float);
    fv_model *model;
    fv_session *session;
    fv_device_dataset device_data;
    fv_optimizer_state optimizer = {
        .op = {.kind = FV_SGD, .sgd = {.elements = network->parameter_end, .momentum = momentum, .dtype = FV_F32}}};
    const float rate[3] = {(float)learning_rate, 0, 0};
    int32_t order[BATCH * STEPS];
    for (int i = 0; i < BATCH * STEPS; ++i)
        order[i] = i;
    void *device[6];
    const size_t sizes[6] = {bytes, bytes, sizeof order, BATCH * sizeof(float), BATCH * sizeof(int32_t), sizeof rate};
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(backend->allocate(context, sizes[i], &device[i]), FV_OK);
        assert_int_equal(backend->fill(context, device[i], 0, sizes[i]), FV_OK);
    }
    optimizer.gradients = device[0];
    optimizer.m = device[1];
    assert_int_equal(backend->upload(context, device[2], order, sizeof order), FV_OK);
    assert_int_equal(backend->upload(context, device[5], rate, sizeof rate), FV_OK);
    assert_int_equal(fv_model_create(context, network, SEED, &model), FV_OK);
    assert_int_equal(fv_device_dataset_create(context, data->images, data->labels, images, elements, &device_data),
                     FV_OK);
    assert_int_equal(fv_session_create(model, BATCH, images, &optimizer, &session), FV_OK);
    for (int i = 0; i < STEPS; ++i) {
        const fv_step step = {&device_data, (int32_t *)device[2] + BATCH * i, device[3], device[4], device[5]};
        float loss[BATCH];
        assert_int_equal(fv_session_run(session, &step), FV_OK);
        assert_int_equal(backend->download(context, loss, device[3], sizeof loss), FV_OK);
        losses[i] = 0;
        for (int n = 0; n < BATCH; ++n)
            losses[i] += (double)loss[n] / BATCH;
    }
    fv_session_destroy(session);
    fv_device_dataset_release(&device_data);
    fv_model_destroy(model);
    for (int i = 0; i < 6; ++i)
        backend->deallocate(context, device[i]);
    fv_context_destroy(context);
    return 1;
}

static void curves_agree(void **state) {
    (void)state;
    fv_network *network;
    fv_dataset data;
    fv_context *context;
    fv_model *model;
    assert_int_equal(fv_network_parse(fv_digits_network, &network), FV_OK);
    assert_true(network->layer_count <= MAX_LAYERS);
    assert_int_equal(fv_dataset_read_mnist(FV_TEST_DATA_DIR, FV_TEST, &data), FV_OK);
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    assert_int_equal(fv_model_create(context, network, SEED, &model), FV_OK);
    float *parameters = malloc((size_t)network->parameter_end * sizeof *parameters);
    assert_int_equal(fv_model_get_parameters(model, parameters), FV_OK);

    exact_run run;
    begin(&run, network, parameters);
    double exact[STEPS], bound[STEPS];
    for (int i = 0; i < STEPS; ++i) {
        int32_t labels[BATCH];
        for (int n = 0; n < BATCH; ++n)
            labels[n] = data.labels[BATCH * i + n];
        exact_step(&run, data.images + BATCH * i * fv_shape_elements(&network->input), labels);
        exact[i] = bound[i] = 0;
        for (int n = 0; n < BATCH; ++n) {
            exact[i] += run.loss.value[n] / BATCH;
            bound[i] += run.loss.error[n] / BATCH;
        }
    }
    end(&run);

    int compared = 0;
    for (const char *const *name = fv_backend_names(); *name; ++name) {
        double losses[STEPS];
        if (!backend_curve(*name, network, &data, losses))
            continue;
        ++compared;
        for (int i = 0; i < STEPS; ++i) {
            printf("%-10s step %d: loss %.7f, exact %.7f, difference %9.2e, bound %.2e\n", *name, i + 1, losses[i],
                   exact[i], losses[i] - exact[i], bound[i]);
            assert_true(fabs(losses[i] - exact[i]) <= bound[i]);
        }
    }
    assert_true(compared >= 2); /* reference and emulated are always there */
    /* The bound must say something: it stays well below what the steps change. */
    for (int i = 0; i < STEPS; ++i)
        assert_true(bound[i] < 0.01 * exact[i]);
    free(parameters);
    fv_model_destroy(model);
    fv_context_destroy(context);
    fv_network_destroy(network);
    fv_dataset_release(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(curves_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
