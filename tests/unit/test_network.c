/* Networks: text, layout, models, prediction, training. The backend is the reference: small networks only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fovea/fovea.h>

#include "network/network.h"
#include "training/schedule.h"

static void digits_network(void **state) {
    (void)state;
    fv_network *network;
    assert_int_equal(fv_network_parse(fv_digits_network, &network), FV_OK);
    assert_string_equal(fv_network_text(network), fv_digits_network);
    assert_int_equal(fv_network_classes(network), 10);
    /* 24*(25+1) + 32*(24*9+1) + 256*(800+1) + 10*(256+1) */
    assert_int_equal(fv_network_parameters(network), 624 + 6944 + 205056 + 2570);
    const fv_shape flat = network->layers[5].output;
    assert_int_equal(flat.dim[0] * flat.dim[1] * flat.dim[2], 800);
    assert_string_equal(network->layers[3].name, "conv2");
    /* weights first, biases behind them, every tensor aligned */
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        assert_int_equal(p->offset % FV_PARAMETER_ALIGN, 0);
        assert_true(strstr(p->name, ".weight") ? p->offset + p->elements <= network->weights_end
                                               : p->offset >= network->weights_end);
    }
    assert_string_equal(network->parameters[1].name, "conv2.weight");
    assert_int_equal(network->parameters[1].fan_in, 24 * 9);
    fv_network_destroy(network);
}

static void layer_options(void **state) {
    (void)state;
    fv_network *network;
    assert_int_equal(fv_network_parse("# a comment\n\n  input 9x8x2 scale=0.5\n"
                                      "conv 4 3 stride=2 pad=same groups=2 bias=0 # trailing\n"
                                      "maxpool 3x2 stride=1 pad=1x0\nlinear 7 bias=0",
                                      &network),
                     FV_OK);
    const fv_conv2d *conv = &network->layers[0].op.conv2d;
    assert_int_equal(conv->c, 2);
    assert_int_equal(conv->groups, 2);
    assert_int_equal(conv->bias, 0);
    assert_int_equal(network->layers[0].output.dim[0], 5);
    assert_int_equal(network->layers[0].output.dim[1], 4);
    assert_int_equal(network->layers[1].output.dim[0], 5);
    assert_int_equal(network->layers[1].output.dim[1], 3);
    assert_int_equal(network->layers[0].bias, -1);
    assert_int_equal(fv_network_parameters(network), 4 * 9 + 5 * 3 * 4 * 7);
    assert_true(network->scale == 0.5 && network->shift == 0);
    fv_network_destroy(network);
}

/* One line that names the place. */
static void bad_networks(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "empty"},
        {"# nothing\n", "empty"},
        {"conv 3 3x3", "network line 1: expected 'input"},
        {"input 28x28", "network line 1: expected 'input"},
        {"input 28x28x0\nlinear 1", "network line 1: expected 'input"},
        {"input 28x28x1x1\nlinear 1", "network line 1: expected 'input"},
        {"input 28x28x1 scale=x\nlinear 1", "network line 1: input: scale=x: expected a number"},
        {"input 28x28x1 mean=1\nlinear 1", "network line 1: input: unknown key 'mean'"},
        {"input 28x28x1", "no layer"},
        {"input 28x28x1\n\nconvolution 3", "network line 3: unknown layer 'convolution'"},
        {"input 28x28x1\nconv 3", "network line 2: expected 'conv CHANNELS"},
        {"input 28x28x1\nconv x 3x3", "network line 2: expected 'conv CHANNELS"},
        {"input 28x28x1\nconv 3 3x3 strid=2", "network line 2: conv2d: unknown key 'strid'"},
        {"input 28x28x1\nconv 3 3x3 n=2", "network line 2: conv2d: key 'n' cannot be set here"},
        {"input 28x28x1\nconv 3 3x3 groups=2", "groups=2 must divide"},
        {"input 28x28x1\nconv 3 29x3", "network line 2: conv2d: height: the window spans 29"},
        {"input 4x4x1\nmaxpool 2x2\nmaxpool 4x4", "network line 3: maxpool: height"},
        {"input 28x28x1\nlinear 10\nconv 3 3x3", "network line 3: conv needs an image"},
        {"input 28x28x1\nlinear 10\nmaxpool 2x2", "network line 3: maxpool needs an image"},
        {"input 28x28x1\nlinear", "network line 2: expected 'linear FEATURES"},
        {"input 28x28x1\nlinear 10 20", "network line 2: linear: '20' is not of the form"},
        {"input 28x28x1\nrelu 5", "network line 2: relu: '5'"},
        {"input 28x28x1\nlinear 1099511627776", "below 2^40"},
        {"input 999999999x999999999x999999999\nlinear 10", "network line 1: its output has more than 2^40"},
        {"input 100000x100000x1\nconv 1000000 1x1", "network line 2: its output has more than 2^40"},
        {"input 28x28x1\nconv 99999999999999999999 3x3", "expected a whole number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        fv_network *network;
        const fv_status status = fv_network_parse(bad[i][0], &network);
        if (status != FV_BAD_INPUT || network || !strstr(fv_error_message(), bad[i][1]) ||
            strchr(fv_error_message(), '\n'))
            fail_msg("'%s' gave %s '%s', expected '%s'", bad[i][0], fv_status_name(status), fv_error_message(),
                     bad[i][1]);
    }
}

/* ---- a task that a small network learns at once: is the bright half on the left or on the right? */

static const char small_network[] = "input 6x6x1\nconv 3 3x3 pad=same\nrelu\nmaxpool 2x2\nlinear 2\n";

static fv_dataset halves(int64_t count) {
    fv_dataset data = {.count = count, .height = 6, .width = 6, .channels = 1, .classes = 2};
    data.images = calloc((size_t)count, 36);
    data.labels = calloc((size_t)count, 1);
    for (int64_t i = 0; i < count; ++i) {
        data.labels[i] = (uint8_t)(i % 2);
        for (int64_t p = 0; p < 36; ++p)
            data.images[i * 36 + p] =
                (uint8_t)((p % 6 < 3) == (data.labels[i] == 0) ? 120 + (i * 31 + p * 7) % 100 : (i + p) % 50);
    }
    return data;
}

typedef struct fixture {
    fv_context *context;
    fv_network *network;
    fv_model *model;
    fv_dataset data;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->data = halves(50);
    return fv_context_create("reference", NULL, &f->context) || fv_network_parse(small_network, &f->network) ||
           fv_model_create(f->context, f->network, 3, &f->model);
}

static int tear_down(void **state) {
    fixture *f = *state;
    fv_model_destroy(f->model);
    fv_network_destroy(f->network);
    fv_context_destroy(f->context);
    fv_dataset_release(&f->data);
    free(f);
    return 0;
}

static fv_training_options quick(void) {
    fv_training_options o = fv_training_defaults();
    o.epochs = 6;
    o.batch = 16; /* 50 = 3*16 + 2: the last batch is smaller */
    return o;
}

static void learns(void **state) {
    fixture *f = *state;
    fv_training_result result;
    const fv_training_options o = quick();
    assert_int_equal(fv_train(f->model, &f->data, &f->data, &o, &result), FV_OK);
    assert_int_equal(result.steps, 6 * 4);
    assert_int_equal(result.epochs, 6);
    assert_int_equal(result.test_correct, 50);
    int64_t correct;
    assert_int_equal(fv_evaluate(f->model, &f->data, &correct), FV_OK);
    assert_int_equal(correct, 50);
}

static void learns_with_sgd(void **state) {
    fixture *f = *state;
    fv_training_result result;
    fv_training_options o = quick();
    o.optimizer = FV_OPTIMIZER_SGD;
    o.beta1 = 0.9;
    o.peak_rate = 0.1;
    o.weight_decay = 1e-4;
    assert_int_equal(fv_train(f->model, &f->data, &f->data, &o, &result), FV_OK);
    assert_int_equal(result.test_correct, 50);
}

static void same_seed_same_bits(void **state) {
    fixture *f = *state;
    const size_t bytes = (size_t)f->network->parameter_end * sizeof(float);
    float *first = malloc(bytes), *second = malloc(bytes);
    const fv_training_options o = quick();
    fv_model *again;
    assert_int_equal(fv_model_create(f->context, f->network, 3, &again), FV_OK);
    assert_int_equal(fv_train(f->model, &f->data, NULL, &o, NULL), FV_OK);
    assert_int_equal(fv_train(again, &f->data, NULL, &o, NULL), FV_OK);
    assert_int_equal(fv_model_get_parameters(f->model, first), FV_OK);
    assert_int_equal(fv_model_get_parameters(again, second), FV_OK);
    assert_memory_equal(first, second, bytes);
    fv_model_destroy(again);
    assert_int_equal(fv_model_create(f->context, f->network, 4, &again), FV_OK);
    assert_int_equal(fv_model_get_parameters(again, second), FV_OK);
    assert_memory_not_equal(first, second, bytes);
    fv_model_destroy(again);
    free(first);
    free(second);
}

static int stop_at_five(void *user, int64_t step, int64_t steps) {
    *(int64_t *)user = steps;
    return step == 5;
}

static void stops_when_asked(void **state) {
    fixture *f = *state;
    fv_training_result result;
    fv_training_options o = quick();
    int64_t steps = 0;
    o.on_step = stop_at_five;
    o.user = &steps;
    assert_int_equal(fv_train(f->model, &f->data, &f->data, &o, &result), FV_OK);
    assert_int_equal(steps, 24);
    assert_int_equal(result.steps, 5);
    assert_int_equal(result.epochs, 1);
    assert_true(result.stopped);
    assert_int_equal(result.test_count, 50);
}

static void divergence_is_named(void **state) {
    fixture *f = *state;
    fv_training_options o = quick();
    fv_network *network;
    fv_model *model;
    /* Labels that have nothing to do with the images, so that the loss cannot settle at 0, and no ReLU that could die:
     * too large a rate must overflow. */
    for (int64_t i = 0; i < f->data.count; ++i)
        f->data.labels[i] = i % 3 == 0;
    assert_int_equal(fv_network_parse("input 6x6x1\nlinear 5\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_model_create(f->context, network, 3, &model), FV_OK);
    o.optimizer = FV_OPTIMIZER_SGD;
    o.peak_rate = 1e5;
    assert_int_equal(fv_train(model, &f->data, NULL, &o, NULL), FV_MISMATCH);
    assert_non_null(strstr(fv_error_message(), "diverged"));
    assert_non_null(strstr(fv_error_message(), "at step"));
    fv_model_destroy(model);
    fv_network_destroy(network);
}

static void refuses_bad_training(void **state) {
    fixture *f = *state;
    fv_training_options o = quick();
    o.epochs = 0;
    assert_int_equal(fv_train(f->model, &f->data, NULL, &o, NULL), FV_BAD_INPUT);
    o = quick();
    o.peak_rate = NAN;
    assert_int_equal(fv_train(f->model, &f->data, NULL, &o, NULL), FV_BAD_INPUT);
    o = quick();
    fv_dataset wrong = f->data;
    wrong.width = 5;
    assert_int_equal(fv_train(f->model, &wrong, NULL, &o, NULL), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "the network's input is 6x6x1"));
    wrong = f->data;
    wrong.classes = 3;
    assert_int_equal(fv_train(f->model, &f->data, &wrong, &o, NULL), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "3 classes"));
}

/* Predictions do not depend on how the images are cut into batches, and probabilities sum to one. */
static void predicts(void **state) {
    fixture *f = *state;
    const fv_dataset many = halves(300); /* more than one inference batch */
    int32_t together[300], alone;
    float probabilities[600], pair[2];
    assert_int_equal(fv_model_predict(f->model, many.images, 300, together, probabilities), FV_OK);
    for (int i = 0; i < 300; i += 37) {
        assert_int_equal(fv_model_predict(f->model, many.images + 36 * i, 1, &alone, pair), FV_OK);
        assert_int_equal(alone, together[i]);
        assert_true(pair[0] == probabilities[2 * i] && fabsf(pair[0] + pair[1] - 1) <= 0x1p-22f);
        assert_int_equal(alone, pair[1] > pair[0]);
    }
    assert_int_equal(fv_model_predict(f->model, many.images, 0, NULL, NULL), FV_OK);
    free(many.images);
    free(many.labels);
}

static void saves_and_loads(void **state) {
    fixture *f = *state;
    char path[] = "/tmp/fovea-test-model-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    const size_t bytes = (size_t)f->network->parameter_end * sizeof(float);
    float *saved = malloc(bytes), *loaded = malloc(bytes);
    fv_model *again;
    assert_int_equal(fv_model_save(f->model, path), FV_OK);
    assert_int_equal(fv_model_load(f->context, path, &again), FV_OK);
    assert_string_equal(fv_network_text(fv_model_network(again)), small_network);
    assert_int_equal(fv_model_get_parameters(f->model, saved), FV_OK);
    assert_int_equal(fv_model_get_parameters(again, loaded), FV_OK);
    assert_memory_equal(saved, loaded, bytes);
    fv_model_destroy(again);
    free(saved);
    free(loaded);
    unlink(path);
    assert_int_equal(fv_model_load(f->context, path, &again), FV_BAD_INPUT);
    assert_null(again);
}

/* PyTorch's OneCycleLR(max_lr=0.01, total_steps=235) at some steps. */
static void one_cycle(void **state) {
    (void)state;
    assert_true(fabs(fv_one_cycle(0.01, 0, 235) - 0.0004) <= 1e-15);
    assert_true(fabs(fv_one_cycle(0.01, 234, 235) - 4e-8) <= 1e-15);
    assert_true(fabs(fv_one_cycle(0.01, 69, 235) - 0.01) <= 1e-5); /* the summit lies at step 69.5 */
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
        cmocka_unit_test(digits_network),
        cmocka_unit_test(layer_options),
        cmocka_unit_test(bad_networks),
        cmocka_unit_test_setup_teardown(learns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(learns_with_sgd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_seed_same_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stops_when_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(divergence_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_training, set_up, tear_down),
        cmocka_unit_test_setup_teardown(predicts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(saves_and_loads, set_up, tear_down),
        cmocka_unit_test(one_cycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
