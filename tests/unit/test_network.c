/* Networks: text, layout, models, prediction, files. The backend is the reference: small networks only. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scratch.h"
#include "small.h"

#include "formats/safetensors.h"
#include "network/network.h"

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
    assert_int_equal(network->parameters[2].fan_in, 800);
    assert_int_equal(network->parameters[6].fan_in, 800); /* of linear1.bias: its weight's */
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
    assert_int_equal(network->parameters[0].fan_in, 9);
    assert_int_equal(network->parameters[1].fan_in, 5 * 3 * 4);
    assert_int_equal(fv_network_parameters(network), 4 * 9 + 5 * 3 * 4 * 7);
    assert_true(network->scale == 0.5 && network->shift == 0);
    fv_network_destroy(network);
}

#define SIXTY_FOUR_DIGITS "1000000000000000000000000000000000000000000000000000000000000002"

/* One line that names the place. */
static void bad_networks(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "empty"},
        {"# nothing\n", "empty"},
        {"conv 3 3x3", "network line 1: expected 'input"},
        {"input 28x28", "network line 1: expected 'input"},
        {"input 28x28x0\nlinear 1", "network line 1: expected 'input"},
        {"input 0x28x1\nlinear 1", "network line 1: expected 'input"},
        {"input 28x0x1\nlinear 1", "network line 1: expected 'input"},
        {"inputs 28x28x1\nlinear 1", "network line 1: expected 'input"},
        {"input 28x28x1x1\nlinear 1", "network line 1: expected 'input"},
        {"input 28x28x1 scale=x\nlinear 1", "network line 1: input: scale=x: expected a number"},
        {"input 28x28x1 scale=nan\nlinear 1", "network line 1: input: scale=nan: expected a number"},
        {"input 28x28x1 scale=1 scale=2\nlinear 1", "network line 1: input: key 'scale' is given twice"},
        {"input 28x28x1 items=2\nlinear 1", "network line 1: input: key 'items' cannot be set here"},
        {"input 28x28x1 mean=1\nlinear 1", "network line 1: input: unknown key 'mean'"},
        {"input 28x28x1", "no layer"},
        {"input 28x28x1\n\nconvolution 3", "network line 3: unknown layer 'convolution'"},
        {"input 28x28x1\nconv 3", "network line 2: expected 'conv CHANNELS"},
        {"input 28x28x1\nconv x 3x3", "network line 2: expected 'conv CHANNELS"},
        {"input 28x28x1\nconv 3 3x3 strid=2", "network line 2: conv2d: unknown key 'strid'"},
        {"input 28x28x1\nconv 3 3x3 n=2", "network line 2: conv2d: key 'n' cannot be set here"},
        {"input 28x28x1\nconv 3 3x3 dtype=f64", "network line 2: conv2d: key 'dtype' cannot be set here"},
        {"input 28x28x1\nconv 3 3x3 groups=2", "groups=2 must divide"},
        {"input 28x28x1\nconv 3 29x3", "network line 2: conv2d: height: the window spans 29"},
        {"input 28x28x1\nmaxpool 2x2 dtype=f64", "network line 2: maxpool: key 'dtype' cannot be set here"},
        {"input 1048576x1048576x2\nmaxpool 2x2", "network line 1: its output has more than 2^40"},
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
        {"input 28x28x1\nlinear " SIXTY_FOUR_DIGITS,
         "network line 2: linear: k=" SIXTY_FOUR_DIGITS ": expected a whole"},
        {"input 28x28x1\nlinear " SIXTY_FOUR_DIGITS SIXTY_FOUR_DIGITS,
         "network line 2: '10000000000000000000...' is longer"},
        {"input 28x28x1\nlinear 10 bias=" SIXTY_FOUR_DIGITS SIXTY_FOUR_DIGITS, "network line 2: 'bias=10000"},
        {"input 28x28x1\nlinear 200000000\nlinear 200000000\nlinear 200000000\nlinear 200000000\nlinear 200000000\n"
         "linear 200000000\nlinear 200000000\nlinear 200000000\nlinear 200000000",
         "network line 10: more than 2^58"},
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

/* Any blank separates words, and what is not said is the documented default. */
static void blanks_and_defaults(void **state) {
    (void)state;
    fv_network *network;
    assert_int_equal(fv_network_parse("input 9x9x1\r\n\tmaxpool\t3x3\r\nlinear 2\tbias=0\t# none\n", &network), FV_OK);
    assert_int_equal(network->layers[0].op.maxpool.stride_h, 3);
    assert_int_equal(network->layers[0].op.maxpool.stride_w, 3);
    assert_int_equal(network->layers[0].output.dim[0], 3);
    assert_int_equal(network->layers[1].bias, -1);
    assert_int_equal(fv_network_parameters(network), 9 * 2);
    assert_true(network->scale == 1.0 / 255 && network->shift == 0);
    fv_network_destroy(network);
    assert_int_equal(fv_network_parse("input 9x9x1 shift=-1.5 scale=2\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_network_parameters(network), 81 * 2 + 2);
    assert_true(network->scale == 2 && network->shift == -1.5);
    fv_network_destroy(network);
    assert_int_equal(fv_network_parse("input 1048576x1048576x1\nmaxpool 2x2", &network), FV_OK); /* 2^40 pixels */
    fv_network_destroy(network);
}

/* Lines of up to 255 characters, comments of any length. The text comes from malloc: a read past its end shows. */
static void line_lengths(void **state) {
    (void)state;
    static const char before[] = "input 2x2x1\n", line[] = "linear 2";
    for (size_t length = 254; length <= 258; ++length)
        for (int comment = 0; comment < 2; ++comment) {
            const size_t size = strlen(before) + length;
            char *text = malloc(size + 1);
            fv_network *network;
            assert_non_null(text);
            memset(text, ' ', size);
            memcpy(text, before, strlen(before));
            memcpy(text + strlen(before), line, strlen(line));
            text[size - 1] = '#';
            text[size - (comment ? 100 : 1)] = comment ? '#' : '\t';
            text[size] = '\0';
            const fv_status status = fv_network_parse(text, &network);
            if (comment || length <= 255)
                assert_int_equal(status, FV_OK);
            else
                EXPECT_FAILURE(status, FV_BAD_INPUT, "network line 2: more than 255 characters");
            fv_network_destroy(network);
            free(text);
        }
}

/* As many layers as there may be, and one more. */
static void many_layers(void **state) {
    (void)state;
    enum { MOST_LAYERS = 4096 };
    static const char input[] = "input 2x2x1\n", layer[] = "relu\n";
    char *text = malloc(strlen(input) + (MOST_LAYERS + 1) * strlen(layer) + 1);
    assert_non_null(text);
    char *end = text + sprintf(text, "%s", input);
    for (int i = 0; i < MOST_LAYERS; ++i)
        end += sprintf(end, "%s", layer);
    fv_network *network;
    assert_int_equal(fv_network_parse(text, &network), FV_OK);
    assert_int_equal(network->layer_count, MOST_LAYERS);
    assert_string_equal(network->layers[MOST_LAYERS - 1].name, "relu4096");
    fv_network_destroy(network);
    sprintf(end, "%s", layer);
    EXPECT_FAILURE(fv_network_parse(text, &network), FV_BAD_INPUT, "network line 4098: more than 4096 layers");
    assert_null(network);
    free(text);
}

/* ---- models */

/* The draw from [-1, 1) behind a parameter's first elements: bound and fan-in taken away. */
static void draws(const small *s, const fv_model *model, int parameter, float draw[2]) {
    const fv_parameter *p = &s->network->parameters[parameter];
    float *values = malloc((size_t)s->network->parameter_end * sizeof *values);
    assert_non_null(values);
    assert_int_equal(fv_model_get_parameters(model, values), FV_OK);
    const float bound = 1 / sqrtf((float)p->fan_in);
    float largest = 0;
    for (int64_t e = 0; e < p->elements; ++e)
        largest = fmaxf(largest, fabsf(values[p->offset + e]));
    assert_true(largest <= bound && largest > (p->elements >= 27 ? 0.8f : 0) * bound);
    for (int e = 0; e < 2; ++e)
        draw[e] = values[p->offset + e] / bound;
    free(values);
}

/* Within +-1/sqrt(fan-in); each parameter draws its own numbers, and so does each seed. */
static void initial_values(void **state) {
    small *s = *state;
    fv_model *other;
    assert_int_equal(fv_model_create(s->context, s->network, 4, &other), FV_OK);
    float seen[8][2];
    assert_int_equal(s->network->parameter_count, 4);
    for (int i = 0; i < 8; ++i) {
        draws(s, i < 4 ? s->model : other, i % 4, seen[i]);
        assert_true(fabsf(seen[i][0] - seen[i][1]) > 1e-4f);
        for (int j = 0; j < i; ++j)
            assert_true(fabsf(seen[i][0] - seen[j][0]) > 1e-4f);
    }
    fv_model_destroy(other);
}

/* Predictions do not depend on how the images are cut into batches, and probabilities sum to one: each of the two is
 * rounded once (2^-25, being below 1), and so is their sum (2^-24). */
static void predicts(void **state) {
    small *s = *state;
    fv_dataset many = small_halves(300); /* more than one inference batch */
    int32_t together[300], alone;
    float probabilities[600], pair[2];
    assert_int_equal(fv_model_predict(s->model, many.images, 300, together, probabilities), FV_OK);
    for (int i = 0; i < 300; i += 37) {
        assert_int_equal(fv_model_predict(s->model, many.images + 36 * i, 1, &alone, pair), FV_OK);
        assert_int_equal(alone, together[i]);
        assert_true(pair[0] == probabilities[2 * i] && fabsf(pair[0] + pair[1] - 1) <= 0x1p-23f);
        assert_int_equal(alone, pair[1] > pair[0]);
    }
    assert_int_equal(fv_model_predict(s->model, many.images, 0, NULL, NULL), FV_OK);
    EXPECT_FAILURE(fv_model_predict(s->model, many.images, -1, together, NULL), FV_BAD_INPUT, "-1 images");
    fv_dataset_release(&many);
}

/* ---- files */

static void saves_and_loads(void **state) {
    small *s = *state;
    const scratch_name path = scratch_path("model");
    const size_t bytes = (size_t)s->network->parameter_end * sizeof(float);
    float *saved = malloc(bytes), *loaded = malloc(bytes);
    fv_model *again;
    assert_int_equal(fv_model_save(s->model, path.text), FV_OK);
    assert_int_equal(fv_model_load(s->context, path.text, &again), FV_OK);
    assert_string_equal(fv_network_text(fv_model_network(again)), small_network);
    assert_int_equal(fv_model_get_parameters(s->model, saved), FV_OK);
    assert_int_equal(fv_model_get_parameters(again, loaded), FV_OK);
    assert_memory_equal(saved, loaded, bytes);
    fv_model_destroy(again);
    free(saved);
    free(loaded);
    unlink(path.text);
    EXPECT_FAILURE(fv_model_load(s->context, path.text, &again), FV_BAD_INPUT, path.text);
    assert_null(again);
}

/* Files that are safetensors, but not the small network's model. */
static void refuses_other_files(void **state) {
    small *s = *state;
    enum { TENSORS = 5 };
    static const double zeros[54];
    const fv_safetensor good[TENSORS] = {{"conv1.weight", FV_F32, {4, {3, 3, 3, 1}}, zeros},
                                         {"conv1.bias", FV_F32, {1, {3}}, zeros},
                                         {"linear1.weight", FV_F32, {2, {2, 27}}, zeros},
                                         {"linear1.bias", FV_F32, {1, {2}}, zeros},
                                         {"linear2.bias", FV_F32, {1, {2}}, zeros}};
    const struct {
        int place, count; /* tensor put in that place of the good ones; how many are written */
        fv_safetensor tensor;
        const char *key, *network, *words[2];
    } files[] = {
        {0, 4, good[0], "fovea.network", small_network, {NULL}}, /* the right one */
        {0, 4, {"conv1.weight", FV_F64, {4, {3, 3, 3, 1}}, zeros}, "fovea.network", small_network, {"conv1.weight"}},
        {0, 4, {"conv1.weight", FV_I32, {4, {3, 3, 3, 1}}, zeros}, "fovea.network", small_network, {"conv1.weight"}},
        {0, 4, {"conv1.weight", FV_F32, {4, {3, 1, 3, 3}}, zeros}, "fovea.network", small_network, {"conv1.weight"}},
        {0, 4, {"conv1.weight", FV_F32, {3, {3, 3, 3}}, zeros}, "fovea.network", small_network, {"conv1.weight"}},
        {2, 4, {"linear1.weight", FV_F32, {2, {27, 2}}, zeros}, "fovea.network", small_network, {"linear1.weight"}},
        {1, 4, {"conv1.bias", FV_F32, {2, {3, 1}}, zeros}, "fovea.network", small_network, {"conv1.bias"}},
        {3, 4, {"linear1.Bias", FV_F32, {1, {2}}, zeros}, "fovea.network", small_network, {"linear1.bias", "missing"}},
        {0, 3, good[0], "fovea.network", small_network, {"linear1.bias", "missing"}},
        {4, 5, good[4], "fovea.network", small_network, {"linear2.bias", "none of that name"}},
        {0, 4, good[0], "network", small_network, {"fovea.network"}},
        {0, 4, good[0], "fovea.network", "input 6x6x1\nconf 3", {"network line 2", "unknown layer 'conf'"}},
        {0, 4, good[0], "fovea.network", "", {"network"}},
    };
    const scratch_name path = scratch_path("other");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        fv_safetensor tensors[TENSORS];
        fv_model *model;
        memcpy(tensors, good, sizeof tensors);
        tensors[files[i].place] = files[i].tensor;
        const fv_safetensors_text metadata = {files[i].key, files[i].network};
        assert_int_equal(fv_safetensors_write(path.text, tensors, (size_t)files[i].count, &metadata, 1), FV_OK);
        const fv_status status = fv_model_load(s->context, path.text, &model);
        if (i == 0) {
            assert_int_equal(status, FV_OK);
        } else {
            EXPECT_FAILURE(status, FV_BAD_INPUT, path.text, files[i].words[0], files[i].words[1]);
            assert_null(model);
        }
        fv_model_destroy(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_network),
        cmocka_unit_test(layer_options),
        cmocka_unit_test(bad_networks),
        cmocka_unit_test(blanks_and_defaults),
        cmocka_unit_test(line_lengths),
        cmocka_unit_test(many_layers),
        cmocka_unit_test_setup_teardown(initial_values, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(predicts, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(saves_and_loads, small_set_up, small_tear_down),
        cmocka_unit_test_setup_teardown(refuses_other_files, small_set_up, small_tear_down),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
