/* Values worked out by hand, on every backend that opens here. The other tests compare backends with the reference, or
 * with laws; these say what the numbers are, so that an error which all backends share shows too.
 *
 * Where every step of a correct computation is exact in f32, the result must be the number itself. */
#include "by_hand.h"

#include "network/network.h"

/* ---- sums of products. Powers of ten as weights write the inputs that they meet, and their order, into the digits. */

enum { MOST = 16 };
typedef struct product {
    const char *text;
    int inputs, weights, biases, outputs; /* elements of x, w, b, y */
    float x[MOST], w[MOST], b[MOST], dy[MOST];
    double y[MOST], dx[MOST], dw[MOST], db[MOST];
} product;

static const product products[] = {
    {"conv2d c=1 h=3 w=3 k=1 kernel=2x2 bias=1", 9, 4, 1, 4, .x = {1, 2, 3, 4, 5, 6, 7, 8, 9}, .w = {1, 10, 100, 1000},
     .b = {0.5f}, .dy = {1, 10, 100, 1000}, .y = {5421.5, 6532.5, 8754.5, 9865.5},
     .dx = {1, 20, 100, 200, 4000, 20000, 10000, 200000, 1000000}, .dw = {5421, 6532, 8754, 9865}, .db = {1111}},
    /* a row of padding above, a column on the right */
    {"conv2d c=1 h=2 w=2 k=1 kernel=2x2 pad=1,0,0,1", 4, 4, 0, 4, .x = {1, 2, 3, 4}, .w = {1, 10, 100, 1000},
     .dy = {1, 2, 3, 4}, .y = {2100, 200, 4321, 402}, .dx = {103, 1234, 300, 3400}, .dw = {11, 6, 30, 14}},
    /* every second pixel, two steps at a time */
    {"conv2d c=1 h=1 w=5 k=1 kernel=1x2 stride=1x2 dilation=1x2", 5, 2, 0, 2, .x = {1, 2, 3, 4, 5}, .w = {1, 10},
     .dy = {1, 100}, .y = {31, 53}, .dx = {1, 0, 110, 0, 1000}, .dw = {301, 503}},
    /* each channel on its own */
    {"conv2d c=2 h=1 w=2 k=2 kernel=1x2 groups=2 bias=1", 4, 4, 2, 2, .x = {1, 2, 3, 4}, .w = {1, 10, 100, 1000},
     .b = {0.25f, -0.25f}, .dy = {1, 2}, .y = {31.25, 4199.75}, .dx = {1, 200, 10, 2000}, .dw = {1, 3, 4, 8},
     .db = {1, 2}},
    /* two images, channels in and out */
    {"conv2d n=2 c=2 h=1 w=1 k=2 kernel=1x1 bias=1", 4, 4, 2, 4, .x = {1, 2, 3, 4}, .w = {1, 10, 100, 1000},
     .b = {5, 6}, .dy = {1, 2, 10, 20}, .y = {26, 2106, 48, 4306}, .dx = {201, 2010, 2010, 20100},
     .dw = {31, 42, 62, 84}, .db = {11, 22}},
    /* each pixel becomes a block of four */
    {"conv2d_transposed c=1 h=2 w=2 k=1 kernel=2x2 stride=2 bias=1", 4, 4, 1, 16, .x = {1, 2, 3, 4},
     .w = {1, 10, 100, 1000}, .b = {0.5f}, .dy = {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2},
     .y = {1.5, 10.5, 2.5, 20.5, 100.5, 1000.5, 200.5, 2000.5, 3.5, 30.5, 4.5, 40.5, 300.5, 3000.5, 400.5, 4000.5},
     .dx = {6521, 8743, 4589, 2367}, .dw = {62, 58, 46, 42}, .db = {80}},
    /* overlapping; the first tap of the first pixel falls into the padding, the last pixel of y is reached by nobody */
    {"conv2d_transposed c=1 h=1 w=2 k=1 kernel=1x3 stride=1x2 pad=0,0,1,0 output_pad=0x1", 2, 3, 0, 5, .x = {1, 2},
     .w = {1, 10, 100}, .dy = {1, 2, 3, 4, 5}, .y = {10, 102, 20, 200, 0}, .dx = {210, 432}, .dw = {4, 7, 10}},
    /* channels in and out */
    {"conv2d_transposed c=2 h=1 w=1 k=2 kernel=1x1 bias=1", 2, 4, 2, 2, .x = {1, 2}, .w = {1, 10, 100, 1000},
     .b = {0.25f, -0.25f}, .dy = {1, 2}, .y = {201.25, 2009.75}, .dx = {21, 2100}, .dw = {1, 2, 2, 4}, .db = {1, 2}},
    {"linear n=2 c=2 k=3 bias=1", 4, 6, 3, 6, .x = {1, 2, 3, 4}, .w = {1, 10, 100, 1000, 2, 20}, .b = {0.5f, 0, -0.5f},
     .dy = {1, 2, 3, 10, 20, 30}, .y = {21.5, 2100, 41.5, 43.5, 4300, 85.5}, .dx = {207, 2070, 2070, 20700},
     .dw = {31, 42, 62, 84, 93, 126}, .db = {11, 22, 33}},
};

static void products_by_hand(void **state) {
    (void)state;
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof products / sizeof products[0]; ++j) {
            product p = products[j];
            float y[MOST], dx[MOST], dw[MOST], db[MOST];
            host_arrays at = {[FV_X] = p.x,   [FV_W] = p.w, [FV_B] = p.b, [FV_Y] = y,
                              [FV_DY] = p.dy, [FV_DX] = dx, [FV_DW] = dw, [FV_DB] = db};
            run(contexts[i], p.text, FV_FORWARD, at);
            expect(contexts[i], p.text, y, p.y, p.outputs);
            run(contexts[i], p.text, FV_BACKWARD_DATA, at);
            expect(contexts[i], p.text, dx, p.dx, p.inputs);
            run(contexts[i], p.text, FV_BACKWARD_WEIGHTS, at);
            expect(contexts[i], p.text, dw, p.dw, p.weights);
            expect(contexts[i], p.text, db, p.db, p.biases);
        }
}

/* ---- maxpool */

static void expect_argmax(const fv_context *context, const uint8_t *got, const uint8_t *expected, int count) {
    for (int i = 0; i < count; ++i)
        if (got[i] != expected[i])
            fail_msg("%s: argmax[%d] is %d, expected %d", fv_context_backend(context), i, got[i], expected[i]);
}

/* Overlapping windows of two images: in one full of ties the first position wins, in the other the pixel in the middle
 * wins every window and collects all gradients. */
static void maxpool_ties(void **state) {
    (void)state;
    static const char text[] = "maxpool n=2 c=1 h=3 w=3 kernel=2x2";
    float x[18] = {-1, -1, -3, -1, -1, -2, -5, -2, -2, 1, 2, 3, 4, 9, 5, 6, 7, 8};
    float dy[8] = {1, 10, 100, 1000, 1, 10, 100, 1000}, y[8], dx[18];
    uint8_t argmax[8];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_ARGMAX] = argmax, [FV_DY] = dy, [FV_DX] = dx};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){-1, -1, -1, -1, 9, 9, 9, 9}, 8);
        expect_argmax(contexts[i], argmax, (const uint8_t[]){0, 0, 0, 0, 3, 2, 1, 0}, 8);
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){1, 10, 0, 100, 1000, 0, 0, 0, 0, 0, 0, 0, 0, 1111}, 14);
        expect(contexts[i], "dx", dx + 14, (const double[]){0, 0, 0, 0}, 4);
    }
}

/* A 2x2 image, of two channels, amid padding two pixels wide: only the window in the middle sees it. Padding does not
 * win against negative numbers; nor against -inf, save in the vendors' libraries, which start from -FLT_MAX. */
static void maxpool_padding(void **state) {
    (void)state;
    static const char text[] = "maxpool c=2 h=2 w=2 kernel=2x2 stride=2 pad=2";
    float dy[18], y[18], dx[8];
    double expected_y[18];
    uint8_t argmax[18], expected_argmax[18] = {[8] = 2};
    for (int i = 0; i < context_count; ++i) {
        const char *name = fv_context_backend(contexts[i]);
        float low = !strcmp(name, "onednn") || !strcmp(name, "cudnn") ? -0x1p120f : -INFINITY;
        float x[8] = {-4, low, -3, low, -2, low, -2, low};
        for (int e = 0; e < 18; ++e) {
            dy[e] = (float)e + 1;
            expected_y[e] = e == 8 ? -2 : e == 9 ? (double)low : -INFINITY;
        }
        host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_ARGMAX] = argmax, [FV_DY] = dy, [FV_DX] = dx};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, expected_y, 18);
        expect_argmax(contexts[i], argmax, expected_argmax, 18);
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0, 10, 0, 0, 9, 0, 0, 0}, 8);
        /* one pixel, in each corner of a window */
        host_arrays corners = {[FV_X] = &low, [FV_Y] = y, [FV_ARGMAX] = argmax};
        run(contexts[i], "maxpool c=1 h=1 w=1 kernel=2x2 pad=1", FV_FORWARD, corners);
        expect(contexts[i], "y", y, (const double[]){(double)low, (double)low, (double)low, (double)low}, 4);
        expect_argmax(contexts[i], argmax, (const uint8_t[]){3, 2, 1, 0}, 4);
    }
}

/* ---- relu */

static void relu(void **state) {
    (void)state;
    static const char text[] = "relu elements=5";
    float x[5] = {NAN, -1, 2, -INFINITY, INFINITY}, y[5], dy[5] = {5, 6, 7, 8, 9}, dx[5];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_DY] = dy, [FV_DX] = dx};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){NAN, 0, 2, 0, INFINITY}, 5);
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0, 0, 7, 0, 9}, 5);
    }
}

/* ---- batch */

static void batch(void **state) {
    (void)state;
    uint8_t images[9] = {0, 1, 2, 10, 20, 30, 100, 200, 255}, image_labels[3] = {7, 8, 255};
    int32_t order[4] = {2, 0, 0, 1}, labels[4];
    float x[12];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_IMAGES] = images,
                          [FV_IMAGE_LABELS] = image_labels,
                          [FV_ORDER] = order,
                          [FV_X] = x,
                          [FV_LABELS] = labels};
        run(contexts[i], "batch n=4 items=3 elements=3 scale=0.5 shift=-1", FV_FORWARD, at);
        expect(contexts[i], "x", x, (const double[]){49, 99, 126.5, -1, -0.5, 0, -1, -0.5, 0, 4, 9, 14}, 12);
        expect_integers(contexts[i], "labels", labels, (const int32_t[]){255, 7, 7, 8}, 4);
    }
}

/* ---- sgd, adam: only the first elements decay */

static void sgd(void **state) {
    (void)state;
    for (int i = 0; i < context_count; ++i) {
        float w[5] = {1, 2, 3, 4, 5}, dw[5] = {1, -1, 2, 0, 4}, m[5] = {2, 4, -2, 8, 0};
        float rate[3] = {0.5f, NAN, NAN}; /* the others are Adam's */
        host_arrays at = {[FV_W] = w, [FV_DW] = dw, [FV_M] = m, [FV_RATE] = rate};
        run(contexts[i], "sgd elements=5 decayed=2 momentum=0.5 weight_decay=0.25", FV_FORWARD, at);
        expect(contexts[i], "m", m, (const double[]){2.25, 1.5, 1, 4, 4}, 5);
        expect(contexts[i], "w", w, (const double[]){-0.125, 1.25, 2.5, 2, 3}, 5);
    }
}

/* v becomes 1 or 25, so that sqrt(2.25 v) + 0.5 is 2 or 8 and every step is exact. */
static void adam(void **state) {
    (void)state;
    enum { ELEMENTS = 64, DECAYED = 40 };
    for (int i = 0; i < context_count; ++i) {
        float w[ELEMENTS], dw[ELEMENTS], m[ELEMENTS], v[ELEMENTS], rate[3] = {0.25f, 4, 2.25f};
        double new_w[ELEMENTS], new_m[ELEMENTS], new_v[ELEMENTS];
        for (int e = 0; e < ELEMENTS; ++e) {
            const int sign = e % 3 ? 1 : -1, large = e % 2;
            w[e] = (float)e / 4 - 5;
            dw[e] = (float)sign;
            m[e] = (float)e;
            v[e] = large ? 33 : 1;
            new_m[e] = (e + sign) / 2.0;                        /* 0.5 e + 0.5 sign */
            new_v[e] = large ? 25 : 1;                          /* 0.75 v + 0.25 */
            const double step = 4 * new_m[e] / (large ? 8 : 2); /* m*rate1 / (sqrt(v*rate2) + epsilon) */
            const double start = e / 4.0 - 5;
            new_w[e] = start - 0.25 * (step + (e < DECAYED ? 0.5 * start : 0));
        }
        host_arrays at = {[FV_W] = w, [FV_DW] = dw, [FV_M] = m, [FV_V] = v, [FV_RATE] = rate};
        run(contexts[i], "adam elements=64 decayed=40 beta1=0.5 beta2=0.75 epsilon=0.5 weight_decay=0.5", FV_FORWARD,
            at);
        expect(contexts[i], "m", m, new_m, ELEMENTS);
        expect(contexts[i], "v", v, new_v, ELEMENTS);
        expect(contexts[i], "w", w, new_w, ELEMENTS);
    }
}

/* ---- a whole network: the bytes become x - 1, the convolution makes {x, 1 - x} of each */

static void prediction(void **state) {
    (void)state;
    enum { COUNT = 3 };
    static const char text[] = "input 2x2x1 scale=1 shift=-1\nconv 2 1x1\nrelu\nmaxpool 1x2\nlinear 2";
    static const uint8_t images[COUNT * 4] = {1, 2, 3, 4, 5, 5, 5, 5, 1, 1, 1, 1};
    /* logits {12, 13}, {16, 24}, {6, 4}; errors as in softmax */
    static const double expected[COUNT * 2] = {0.2689414213699951, 0.7310585786300049, 0.0003353501304664781,
                                               0.9996646498695336, 0.8807970779778824, 0.1192029220221176};
    for (int i = 0; i < context_count; ++i) {
        fv_network *network;
        fv_model *model;
        int32_t labels[COUNT];
        float probabilities[COUNT * 2];
        assert_int_equal(fv_network_parse(text, &network), FV_OK);
        assert_int_equal(fv_model_create(contexts[i], network, 1, &model), FV_OK);
        assert_int_equal(network->parameter_end, 4 * FV_PARAMETER_ALIGN);
        /* conv1.weight, linear1.weight, conv1.bias, linear1.bias */
        const float parameters[4 * FV_PARAMETER_ALIGN] = {1, -1, [FV_PARAMETER_ALIGN] = 1,     2, 3, 4, 4, 3,
                                                          2, 1,  [2 * FV_PARAMETER_ALIGN] = 0, 1};
        assert_int_equal(fv_model_set_parameters(model, parameters), FV_OK);
        if (fv_model_predict(model, images, COUNT, labels, probabilities) != FV_OK)
            fail_msg("%s: %s", fv_context_backend(contexts[i]), fv_error_message());
        expect_near(contexts[i], "probability", probabilities, expected, COUNT * 2, 11 * 0x1p-24);
        expect_integers(contexts[i], "label", labels, (const int32_t[]){1, 1, 0}, COUNT);
        fv_model_destroy(model);
        fv_network_destroy(network);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_by_hand),
        cmocka_unit_test(maxpool_ties),
        cmocka_unit_test(maxpool_padding),
        cmocka_unit_test(relu),
        cmocka_unit_test(batch),
        cmocka_unit_test(prediction),
        cmocka_unit_test(sgd),
        cmocka_unit_test(adam),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
