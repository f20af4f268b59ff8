/* The training loop: that it learns, what it reports and what it refuses. The backend is the reference; the arithmetic
 * of its steps is in test_training_steps.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "scratch.h"
#include "small.h"

#include "network/network.h"
#include "training/shuffle.h"

static fv_training_options quick(void) {
    fv_training_options o = fv_training_defaults();
    o.epochs = 6;
    o.batch = 16; /* 50 = 3*16 + 2: the last batch is smaller */
    return o;
}

/* Training as good as none: no parameter moves by as much as a rounding. */
static fv_training_options standing_still(void) {
    fv_training_options o = quick();
    o.optimizer = FV_OPTIMIZER_SGD;
    o.peak_rate = 1e-30;
    return o;
}

/* What the header says. */
static void defaults(void **state) {
    (void)state;
    const fv_training_options o = fv_training_defaults();
    assert_true(o.epochs == 1 && o.batch == 256 && o.optimizer == FV_OPTIMIZER_ADAM && o.seed == 1);
    assert_true(o.beta1 == 0.7 && o.beta2 == 0.9 && o.peak_rate == 0.01 && o.weight_decay == 0);
    assert_true(!o.on_step && !o.on_epoch && !o.user);
}

static void learns(void **state) {
    small *s = *state;
    fv_training_result result;
    const fv_training_options o = quick();
    assert_int_equal(fv_train(s->model, &s->data, &s->data, &o, &result), FV_OK);
    assert_int_equal(result.steps, 6 * 4);
    assert_int_equal(result.epochs, 6);
    assert_int_equal(result.test_correct, 50);
    assert_int_equal(result.test_count, 50);
    assert_true(result.test_accuracy == 1 && !result.stopped);
}

static void learns_with_sgd(void **state) {
    small *s = *state;
    fv_training_result result;
    fv_training_options o = quick();
    o.optimizer = FV_OPTIMIZER_SGD;
    o.beta1 = 0.9;
    o.peak_rate = 0.1;
    o.weight_decay = 1e-4;
    assert_int_equal(fv_train(s->model, &s->data, &s->data, &o, &result), FV_OK);
    assert_int_equal(result.test_correct, 50);
}

/* Eight copies of a set have the same mean gradient, in a batch eight times as large. Dividing by 32 or 256 is exact,
 * so only sums of doubles differ: at most a rounding each of gradient, momentum and parameter, all of them below 1. */
static void learns_in_large_batches(void **state) {
    small *s = *state;
    enum { IMAGES = 32, COPIES = 8, PARAMETERS = 5 * FV_PARAMETER_ALIGN };
    const fv_dataset once = small_halves(IMAGES);
    fv_dataset sets[2] = {once, small_halves(IMAGES * COPIES)};
    for (int i = 0; i < COPIES; ++i) {
        memcpy(sets[1].images + i * IMAGES * 36, once.images, IMAGES * 36);
        memcpy(sets[1].labels + i * IMAGES, once.labels, IMAGES);
    }
    fv_training_options o = fv_training_defaults();
    o.optimizer = FV_OPTIMIZER_SGD;
    o.peak_rate = 0.5;
    float start[PARAMETERS], after[2][PARAMETERS], moved = 0;
    assert_in_range(s->network->parameter_end, 1, PARAMETERS);
    assert_int_equal(fv_model_get_parameters(s->model, start), FV_OK);
    for (int i = 0; i < 2; ++i) {
        fv_training_result result;
        assert_int_equal(fv_model_set_parameters(s->model, start), FV_OK);
        assert_int_equal(fv_train(s->model, &sets[i], NULL, &o, &result), FV_OK);
        assert_int_equal(result.steps, 1); /* a batch of more images than there are is one of all */
        assert_int_equal(fv_model_get_parameters(s->model, after[i]), FV_OK);
        fv_dataset_release(&sets[i]);
    }
    for (int64_t e = 0; e < s->network->parameter_end; ++e) {
        moved = fmaxf(moved, fabsf(after[0][e] - start[e]));
        assert_true(fabsf(after[1][e] - after[0][e]) <= 3 * 0x1p-24f);
    }
    assert_true(moved > 0.01f);
}

/* Each wrong label costs one. */
static void evaluates(void **state) {
    small *s = *state;
    const fv_training_options o = quick();
    assert_int_equal(fv_train(s->model, &s->data, NULL, &o, NULL), FV_OK);
    for (int flipped = 0; flipped <= 3; ++flipped) {
        int64_t correct = -1;
        assert_int_equal(fv_evaluate(s->model, &s->data, &correct), FV_OK);
        assert_int_equal(correct, 50 - flipped);
        s->data.labels[flipped * 16] ^= 1;
    }
}

static void same_seed_same_bits(void **state) {
    small *s = *state;
    const size_t bytes = (size_t)s->network->parameter_end * sizeof(float);
    float *first = malloc(bytes), *other = malloc(bytes);
    assert_true(first && other);
    fv_training_options o = quick();
    assert_int_equal(fv_train(s->model, &s->data, NULL, &o, NULL), FV_OK);
    assert_int_equal(fv_model_get_parameters(s->model, first), FV_OK);
    for (int again = 0; again < 2; ++again) { /* with the same seed, then with another */
        fv_model *model;
        o.seed += (uint64_t)again;
        assert_int_equal(fv_model_create(s->context, s->network, 3, &model), FV_OK);
        assert_int_equal(fv_train(model, &s->data, NULL, &o, NULL), FV_OK);
        assert_int_equal(fv_model_get_parameters(model, other), FV_OK);
        assert_int_equal(memcmp(first, other, bytes) != 0, again);
        fv_model_destroy(model);
    }
    free(first);
    free(other);
}

/* ---- what an epoch reports */

typedef struct report {
    fv_epoch epochs[6];
    int count;
    int64_t stop_at, total; /* steps */
} report;

static void keep_epoch(void *user, const fv_epoch *epoch) {
    report *r = user;
    assert_in_range(r->count, 0, 5);
    r->epochs[r->count++] = *epoch;
}

static int stop_in_time(void *user, int64_t step, int64_t steps) {
    report *r = user;
    r->total = steps;
    return step == r->stop_at;
}

/* Loss and accuracy of a model that stands still, over the first `done` images of an epoch's order. The probability's
 * error, 8 roundings at most, and the loss's own come to 9 * 2^-24 of max(1, loss). */
static void expect_figures(small *s, const fv_epoch *epoch, uint64_t seed, int64_t done) {
    int32_t order[50], labels[50];
    float probabilities[100];
    assert_int_equal(fv_model_predict(s->model, s->data.images, 50, labels, probabilities), FV_OK);
    fv_shuffle(order, 50, seed, epoch->epoch);
    double loss = 0, scale = 1;
    int64_t correct = 0;
    for (int64_t i = 0; i < done; ++i) {
        const int32_t n = order[i], label = s->data.labels[n];
        const double own = -log((double)probabilities[2 * n + label]);
        loss += own / (double)done;
        scale = fmax(scale, own);
        correct += labels[n] == label;
    }
    assert_true(correct > 0 && correct < done); /* an untrained model */
    assert_true(fabs(epoch->loss - loss) <= 9 * 0x1p-24 * scale);
    assert_true(epoch->train_accuracy == (double)correct / (double)done);
    assert_true(epoch->seconds > 0 && epoch->images_per_second == (double)done / epoch->seconds);
}

static void reports_epochs(void **state) {
    small *s = *state;
    report r = {.stop_at = -1};
    fv_training_options o = standing_still();
    fv_training_result result;
    o.epochs = 2;
    o.on_step = stop_in_time;
    o.on_epoch = keep_epoch;
    o.user = &r;
    s->data.labels[3] ^= 1;
    int64_t correct;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    fv_dataset test = s->data;
    test.count = 20;
    assert_int_equal(fv_evaluate(s->model, &test, &correct), FV_OK);
    assert_int_equal(fv_train(s->model, &s->data, &test, &o, &result), FV_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.total, 8);
    double seconds = 0;
    for (int i = 0; i < 2; ++i) {
        const fv_epoch *e = &r.epochs[i];
        expect_figures(s, e, o.seed, 50);
        assert_int_equal(e->epoch, i + 1);
        assert_int_equal(e->steps, 4 * (i + 1));
        assert_int_equal(e->test_correct, correct);
        assert_int_equal(e->test_count, 20);
        assert_true(e->test_accuracy == (double)correct / 20);
        seconds += e->seconds;
    }
    assert_true(result.seconds == seconds);
    assert_true(seconds <= (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec) + 1e-6);
}

/* Stopped in the middle of the second epoch: its figures are those of the images that it saw. */
static void reports_an_early_stop(void **state) {
    small *s = *state;
    report r = {.stop_at = 6};
    fv_training_options o = standing_still();
    fv_training_result result;
    o.on_step = stop_in_time;
    o.on_epoch = keep_epoch;
    o.user = &r;
    s->data.labels[3] ^= 1;
    assert_int_equal(fv_train(s->model, &s->data, NULL, &o, &result), FV_OK);
    assert_int_equal(r.total, 6 * 4);
    assert_int_equal(r.count, 2);
    expect_figures(s, &r.epochs[1], o.seed, 32);
    assert_int_equal(r.epochs[1].steps, 6);
    assert_true(isnan(r.epochs[1].test_accuracy));
    assert_int_equal(r.epochs[1].test_count, 0);
    assert_int_equal(result.steps, 6);
    assert_int_equal(result.epochs, 1);
    assert_true(result.stopped && isnan(result.test_accuracy));
}

/* ---- divergence */

/* Weights, one of each class, that are set in the middle of a training. */
typedef struct trap {
    fv_model *model;
    float bad[2];
    int64_t at_step; /* after which it springs; 0: after the first epoch */
} trap;

static void spring(const trap *t) {
    float parameters[4 * FV_PARAMETER_ALIGN];
    const fv_network *network = fv_model_network(t->model);
    assert_in_range(network->parameter_end, 1, 4 * FV_PARAMETER_ALIGN);
    assert_int_equal(fv_model_get_parameters(t->model, parameters), FV_OK);
    for (int k = 0; k < 2; ++k)
        parameters[network->parameters[0].offset + k * network->parameters[0].shape.dim[1]] = t->bad[k];
    assert_int_equal(fv_model_set_parameters(t->model, parameters), FV_OK);
}

static void spring_after_epoch(void *user, const fv_epoch *epoch) {
    const trap *t = user;
    if (epoch->epoch == 1 && !t->at_step)
        spring(t);
}

static int spring_at_step(void *user, int64_t step, int64_t steps) {
    const trap *t = user;
    (void)steps;
    if (step == t->at_step)
        spring(t);
    return 0;
}

/* Trains for two epochs of four steps on ten images of one pixel, black save in image 4. */
static fv_status train_on_trap(small *s, float bad0, float bad1, int64_t at_step) {
    static uint8_t images[10] = {[4] = 255}, labels[10] = {[4] = 1};
    const fv_dataset data = {10, 1, 1, 1, 2, images, labels};
    fv_network *network;
    trap t = {.bad = {bad0, bad1}, .at_step = at_step};
    assert_int_equal(fv_network_parse("input 1x1x1\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_model_create(s->context, network, 3, &t.model), FV_OK);
    fv_training_options o = standing_still();
    o.epochs = 2;
    o.batch = 3;
    o.seed = 77;
    o.on_step = spring_at_step;
    o.on_epoch = spring_after_epoch;
    o.user = &t;
    const fv_status status = fv_train(t.model, &data, NULL, &o, NULL);
    fv_model_destroy(t.model);
    fv_network_destroy(network);
    return status;
}

/* The step is the one whose batch has the bright image; an infinite loss counts as much as one that is no number. */
static void divergence_is_named(void **state) {
    static const float bad[][2] = {{0x1p127f, -0x1.8p127f}, {NAN, 0}};
    for (int i = 0; i < 2; ++i) {
        /* NaN * 0 is NaN: it shows in the first batch */
        int64_t step = 4 + 1;
        int32_t order[10];
        fv_shuffle(order, 10, 77, 2);
        for (int64_t p = 0; i == 0 && p < 10; ++p)
            if (order[p] == 4)
                step = 4 + p / 3 + 1;
        char place[32];
        snprintf(place, sizeof place, "at step %d", (int)step);
        EXPECT_FAILURE(train_on_trap(*state, bad[i][0], bad[i][1], 0), FV_MISMATCH, "diverged", place,
                       i ? "nan" : "inf");
    }
    assert_int_equal(train_on_trap(*state, 0, 0, 0), FV_OK);
}

/* A last update that leaves no usable parameters, which no loss tells of. */
static void refuses_to_return_nan(void **state) {
    EXPECT_FAILURE(train_on_trap(*state, NAN, 0, 8), FV_MISMATCH, "diverged");
    EXPECT_FAILURE(train_on_trap(*state, 0, INFINITY, 8), FV_MISMATCH, "diverged");
    assert_int_equal(train_on_trap(*state, 1, 1, 8), FV_OK);
}

/* Labels that have nothing to do with the images, so that the loss cannot settle at 0, and no ReLU that could die: too
 * large a rate must overflow. */
static void overflow_is_divergence(void **state) {
    small *s = *state;
    fv_training_options o = quick();
    fv_network *network;
    fv_model *model;
    for (int64_t i = 0; i < s->data.count; ++i)
        s->data.labels[i] = i % 3 == 0;
    assert_int_equal(fv_network_parse("input 6x6x1\nlinear 5\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_model_create(s->context, network, 3, &model), FV_OK);
    o.optimizer = FV_OPTIMIZER_SGD;
    o.peak_rate = 1e5;
    EXPECT_FAILURE(fv_train(model, &s->data, NULL, &o, NULL), FV_MISMATCH, "diverged", "at step");
    fv_model_destroy(model);
    fv_network_destroy(network);
}

/* ---- refusals */

static void refuses_bad_options(void **state) {
    small *s = *state;
    fv_training_options bad[32];
    const char *words[32];
    int count = 0;
#define BAD(member, value, word)                                                                                       \
    do {                                                                                                               \
        bad[count] = quick();                                                                                          \
        bad[count].member = (value);                                                                                   \
        words[count++] = (word);                                                                                       \
    } while (0)
    BAD(epochs, 0, "epochs");
    BAD(epochs, -1, "epochs");
    BAD(epochs, 1000001, "epochs");
    BAD(batch, (1 << 20) + 1, "batch");
    BAD(batch, 0, "batch");
    BAD(batch, -1, "batch");
    BAD(optimizer, (fv_optimizer)7, "optimizer");
    BAD(peak_rate, NAN, "rate");
    BAD(peak_rate, INFINITY, "rate");
    BAD(peak_rate, 0, "rate");
    BAD(peak_rate, -1, "rate");
    BAD(beta1, NAN, "beta1");
    BAD(beta1, INFINITY, "beta1");
    BAD(beta1, 1, "beta1");
    BAD(beta1, -0.5, "beta1");
    BAD(beta2, NAN, "beta2");
    BAD(beta2, INFINITY, "beta2");
    BAD(beta2, 1, "beta2");
    BAD(weight_decay, NAN, "decay");
    BAD(weight_decay, INFINITY, "decay");
#undef BAD
    for (int i = 0; i < count; ++i)
        EXPECT_FAILURE(fv_train(s->model, &s->data, NULL, &bad[i], NULL), FV_BAD_INPUT, words[i]);
    fv_training_options momentum = quick();
    momentum.optimizer = FV_OPTIMIZER_SGD;
    momentum.beta1 = NAN;
    EXPECT_FAILURE(fv_train(s->model, &s->data, NULL, &momentum, NULL), FV_BAD_INPUT, "momentum");
}

static void refuses_bad_data(void **state) {
    small *s = *state;
    const fv_training_options o = quick();
    const char *const words[] = {"0 images", "2147483648 images", "5x6x1", "6x5x1", "6x6x2", "3 classes"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; ++i) {
        fv_dataset wrong = s->data;
        int64_t correct;
        *(int64_t *[]){&wrong.count, &wrong.count, &wrong.height, &wrong.width, &wrong.channels, &wrong.classes}[i] =
            (int64_t[]){0, (int64_t)1 << 31, 5, 5, 2, 3}[i];
        EXPECT_FAILURE(fv_train(s->model, &wrong, NULL, &o, NULL), FV_BAD_INPUT, "the training set", words[i]);
        EXPECT_FAILURE(fv_train(s->model, &s->data, &wrong, &o, NULL), FV_BAD_INPUT, "the test set", words[i]);
        EXPECT_FAILURE(fv_evaluate(s->model, &wrong, &correct), FV_BAD_INPUT, words[i]);
    }
    s->data.labels[7] = 2;
    EXPECT_FAILURE(fv_train(s->model, &s->data, NULL, &o, NULL), FV_BAD_INPUT, "label 2 of image 7", "below 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test_setup_teardown(learns_in_large_batches, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(learns, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(learns_with_sgd, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(evaluates, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(same_seed_same_bits, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(reports_epochs, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(reports_an_early_stop, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(divergence_is_named, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(refuses_to_return_nan, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(overflow_is_divergence, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_options, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_data, small_set_up, small_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
