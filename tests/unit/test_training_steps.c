/* Six steps of training, two in each epoch, against formulas: the gradients of a linear layer and a softmax, worked out
 * by hand, Adam and SGD with weight decay.
 *
 * The formulas are computed in double precision with numbers that carry a bound on how far a correct f32 training may
 * be from them: `stored` adds one rounding, u = 2^-24 of the value, wherever training keeps an f32, and the arithmetic
 * passes the bounds on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fovea.h>

#include "network/network.h"
#include "training/schedule.h"
#include "training/shuffle.h"

/* ---- numbers with an error bound */

typedef struct number {
    double value, error;
} number;

static number exact(double value) {
    return (number){value, 0};
}
static number stored(number a) {
    return (number){a.value, a.error + 0x1p-24 * (fabs(a.value) + a.error)};
}
static number plus(number a, number b) {
    return (number){a.value + b.value, a.error + b.error};
}
static number minus(number a, number b) {
    return (number){a.value - b.value, a.error + b.error};
}
static number times(number a, number b) {
    return (number){a.value * b.value, fabs(a.value) * b.error + a.error * fabs(b.value) + a.error * b.error};
}
static number over(number a, number b) {
    assert_true(b.error < fabs(b.value));
    const double quotient = a.value / b.value;
    return (number){quotient, (a.error + fabs(quotient) * b.error) / (fabs(b.value) - b.error)};
}
static number root(number a) {
    assert_true(a.error < a.value);
    return (number){sqrt(a.value), a.error / (sqrt(a.value) + sqrt(a.value - a.error))};
}
static number exponential(number a) {
    return (number){exp(a.value), exp(a.value) * expm1(a.error)};
}
static number logarithm(number a) {
    assert_true(a.error < a.value);
    return (number){log(a.value), -log1p(-a.error / a.value)};
}

static void expect(const char *what, int step, double got, number expected) {
    assert_true(expected.error <= 1e-4); /* else the bound would say nothing: the values are around 1 */
    if (!(fabs(got - expected.value) <= expected.error))
        fail_msg("%s, step %d: %.9g, expected %.9g +- %.2g", what, step, got, expected.value, expected.error);
}

/* ---- the network: input 2x2x1, linear 2. Weights are w[0..7] as [class][pixel], biases w[8..9]. */

enum { IMAGES = 3, PIXELS = 4, CLASSES = 2, WEIGHTS = 8, PARAMETERS = 10, BATCH = 2, STEPS = 6 };

static uint8_t images[IMAGES * PIXELS] = {10, 200, 30, 90, 250, 20, 120, 60, 70, 150, 5, 240};
static uint8_t labels[IMAGES] = {1, 0, 1};
static const fv_dataset data = {IMAGES, 2, 2, 1, CLASSES, images, labels};

typedef struct training {
    number w[PARAMETERS], m[PARAMETERS], v[PARAMETERS];
    number loss; /* summed over the latest epoch, each image before its step's update */
    int correct;
    const int32_t *batch; /* the step's images */
    int count;
} training;

/* dw = mean over the batch of (softmax(Wx + b) - onehot) x', and db the same without x. */
static void gradient(training *t, number g[PARAMETERS]) {
    for (int i = 0; i < PARAMETERS; ++i)
        g[i] = exact(0);
    for (int i = 0; i < t->count; ++i) {
        const int n = t->batch[i];
        number x[PIXELS], z[CLASSES], power[CLASSES], sum = exact(0);
        for (int p = 0; p < PIXELS; ++p)
            x[p] = stored(exact(images[n * PIXELS + p] / 255.0));
        for (int k = 0; k < CLASSES; ++k) {
            z[k] = t->w[WEIGHTS + k];
            for (int p = 0; p < PIXELS; ++p)
                z[k] = plus(z[k], times(t->w[k * PIXELS + p], x[p]));
            z[k] = stored(z[k]);
            power[k] = exponential(z[k]);
            sum = plus(sum, power[k]);
        }
        t->loss = plus(t->loss, stored(minus(logarithm(sum), z[labels[n]])));
        t->correct += (z[1].value > z[0].value) == labels[n];
        for (int k = 0; k < CLASSES; ++k) {
            const number y = stored(over(power[k], sum));
            const number dz = stored(over(minus(y, exact(k == labels[n])), exact(t->count)));
            for (int p = 0; p < PIXELS; ++p)
                g[k * PIXELS + p] = plus(g[k * PIXELS + p], times(dz, x[p]));
            g[WEIGHTS + k] = plus(g[WEIGHTS + k], dz);
        }
    }
    for (int i = 0; i < PARAMETERS; ++i)
        g[i] = stored(g[i]);
}

static const double rate_peak = 0.25, first_beta = 0.6, second_beta = 0.8, weight_decay = 0.1;

static void adam_step(training *t, int step) {
    number g[PARAMETERS];
    gradient(t, g);
    const number rate = stored(exact(fv_one_cycle(rate_peak, step - 1, STEPS)));
    const number first = stored(exact(1 / (1 - pow(first_beta, step)))),
                 second = stored(exact(1 / (1 - pow(second_beta, step))));
    for (int i = 0; i < PARAMETERS; ++i) {
        t->m[i] = plus(times(exact(first_beta), t->m[i]), times(exact(1 - first_beta), g[i]));
        t->v[i] = plus(times(exact(second_beta), t->v[i]), times(exact(1 - second_beta), times(g[i], g[i])));
        number move = over(times(t->m[i], first), plus(root(times(t->v[i], second)), exact(1e-8)));
        if (i < WEIGHTS)
            move = plus(move, times(exact(weight_decay), t->w[i]));
        t->w[i] = stored(minus(t->w[i], times(rate, move)));
        t->m[i] = stored(t->m[i]);
        t->v[i] = stored(t->v[i]);
    }
}

static void sgd_step(training *t, int step) {
    number g[PARAMETERS];
    gradient(t, g);
    const number rate = stored(exact(fv_one_cycle(rate_peak, step - 1, STEPS)));
    for (int i = 0; i < PARAMETERS; ++i) {
        if (i < WEIGHTS)
            g[i] = plus(g[i], times(exact(weight_decay), t->w[i]));
        t->m[i] = plus(times(exact(first_beta), t->m[i]), g[i]);
        t->w[i] = stored(minus(t->w[i], times(rate, t->m[i])));
        t->m[i] = stored(t->m[i]);
    }
}

/* ---- the comparison, after every step and epoch */

enum { SEED = 2, STEPS_PER_EPOCH = (IMAGES + BATCH - 1) / BATCH };

typedef struct watch {
    fv_model *model;
    training *expected;
    void (*step)(training *t, int step);
    int64_t *offset; /* of each of the PARAMETERS in the model's array */
    int steps;
} watch;

static int after_step(void *user, int64_t step, int64_t steps) {
    watch *w = user;
    training *t = w->expected;
    float got[4 * FV_PARAMETER_ALIGN];
    assert_in_range(fv_model_network(w->model)->parameter_end, 1, 4 * FV_PARAMETER_ALIGN);
    assert_int_equal(fv_model_get_parameters(w->model, got), FV_OK);
    const int epoch = w->steps / STEPS_PER_EPOCH + 1, first = w->steps % STEPS_PER_EPOCH * BATCH;
    int32_t order[IMAGES];
    fv_shuffle(order, IMAGES, SEED, epoch);
    t->batch = order + first;
    t->count = IMAGES - first < BATCH ? IMAGES - first : BATCH;
    if (first == 0) {
        t->loss = exact(0);
        t->correct = 0;
    }
    w->step(t, ++w->steps);
    for (int i = 0; i < PARAMETERS; ++i)
        expect(i < WEIGHTS ? "weight" : "bias", w->steps, (double)got[w->offset[i]], t->w[i]);
    assert_int_equal(step, w->steps);
    assert_int_equal(steps, STEPS);
    return 0;
}

static void after_epoch(void *user, const fv_epoch *epoch) {
    const watch *w = user;
    expect("loss", w->steps, epoch->loss, over(w->expected->loss, exact(IMAGES)));
    assert_true(epoch->train_accuracy == (double)w->expected->correct / IMAGES);
    assert_int_equal(epoch->steps, w->steps);
    assert_int_equal(epoch->epoch * STEPS_PER_EPOCH, w->steps);
}

static void follow(fv_optimizer optimizer, void (*step)(training *t, int step)) {
    fv_context *context;
    fv_network *network;
    fv_model *model;
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    assert_int_equal(fv_network_parse("input 2x2x1\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_model_create(context, network, 5, &model), FV_OK);
    float start[4 * FV_PARAMETER_ALIGN];
    assert_int_equal(fv_model_get_parameters(model, start), FV_OK);
    training expected = {0};
    int64_t offset[PARAMETERS];
    for (int i = 0; i < PARAMETERS; ++i) {
        offset[i] = i < WEIGHTS ? network->parameters[0].offset + i : network->parameters[1].offset + i - WEIGHTS;
        expected.w[i] = exact((double)start[offset[i]]);
    }
    watch w = {model, &expected, step, offset, 0};
    const fv_training_options options = {.epochs = STEPS / STEPS_PER_EPOCH,
                                         .batch = BATCH,
                                         .optimizer = optimizer,
                                         .peak_rate = rate_peak,
                                         .beta1 = first_beta,
                                         .beta2 = second_beta,
                                         .weight_decay = weight_decay,
                                         .seed = SEED,
                                         .on_step = after_step,
                                         .on_epoch = after_epoch,
                                         .user = &w};
    if (fv_train(model, &data, NULL, &options, NULL) != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_int_equal(w.steps, STEPS);
    fv_model_destroy(model);
    fv_network_destroy(network);
    fv_context_destroy(context);
}

static void adam(void **state) {
    (void)state;
    follow(FV_OPTIMIZER_ADAM, adam_step);
}

static void sgd(void **state) {
    (void)state;
    follow(FV_OPTIMIZER_SGD, sgd_step);
}

/* PyTorch's OneCycleLR(max_lr=0.01, total_steps=235) at some steps. */
static void one_cycle(void **state) {
    (void)state;
    assert_true(fabs(fv_one_cycle(0.01, 0, 235) - 0.0004) <= 1e-15);
    assert_true(fabs(fv_one_cycle(0.01, 234, 235) - 4e-8) <= 1e-15);
    assert_true(fabs(fv_one_cycle(0.01, 69, 235) - 0.01) <= 1e-5); /* the summit lies at step 69.5 */
    assert_true(fabs(fv_one_cycle(0.01, 30, 235) - 0.004177277485932308) <= 1e-15);
    assert_true(fabs(fv_one_cycle(0.01, 150, 235) - 0.005167094216738833) <= 1e-15);
    double before = 0;
    for (int step = 0; step <= 69; before = fv_one_cycle(0.01, step++, 235))
        assert_true(fv_one_cycle(0.01, step, 235) > before);
    for (int step = 71; step < 235; ++step)
        assert_true(fv_one_cycle(0.01, step, 235) < fv_one_cycle(0.01, step - 1, 235));
    for (int steps = 1; steps < 10; ++steps)
        for (int step = 0; step < steps; ++step)
            assert_true(fv_one_cycle(1, step, steps) > 0 && fv_one_cycle(1, step, steps) <= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam),
        cmocka_unit_test(sgd),
        cmocka_unit_test(one_cycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
