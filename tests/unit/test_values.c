/* Values worked out by hand, on every backend that opens here. The other tests compare backends with the reference, or
 * with laws; these say what the numbers are, so that an error which all backends share shows too.
 *
 * Where every step of a correct computation is exact in f32, the result must be the number itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fovea.h>

#include "network/network.h"

enum { MOST_CONTEXTS = 8 };
static fv_context *contexts[MOST_CONTEXTS];
static int context_count;

static int open_all(void **state) {
    (void)state;
    for (const char *const *name = fv_backend_names(); *name; ++name) {
        fv_context *context;
        const fv_status status = fv_context_create(*name, NULL, &context);
        if (status == FV_OK && context_count < MOST_CONTEXTS)
            contexts[context_count++] = context;
        else if (status != FV_UNSUPPORTED) /* a GPU backend without a GPU */
            return -1;
    }
    return context_count >= 2 ? 0 : -1; /* reference and emulated open everywhere */
}

static int close_all(void **state) {
    (void)state;
    while (context_count > 0)
        fv_context_destroy(contexts[--context_count]);
    return 0;
}

typedef void *host_arrays[FV_ROLES];

/* Runs a pass on host arrays, one for each role of its signature. The outputs are poisoned before. */
static void run(fv_context *context, const char *text, fv_pass pass, host_arrays at) {
    fv_operation op;
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_tensor *tensors[FV_ROLES] = {0};
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    const int count = fv_operation_signature(&op, pass, specs);
    assert_true(count > 0);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        assert_non_null(at[role]);
        if (specs[i].direction == FV_OUT)
            memset(at[role], 0xFF, fv_spec_bytes(&specs[i]));
        assert_int_equal(fv_tensor_create(context, specs[i].dtype, specs[i].shape, &tensors[role]), FV_OK);
        assert_int_equal(fv_tensor_write(tensors[role], at[role], fv_spec_bytes(&specs[i])), FV_OK);
    }
    if (fv_execute(context, &op, pass, tensors) != FV_OK)
        fail_msg("%s on %s: %s", text, fv_context_backend(context), fv_error_message());
    for (int i = 0; i < count; ++i) {
        assert_int_equal(fv_tensor_read(tensors[specs[i].role], at[specs[i].role], fv_spec_bytes(&specs[i])), FV_OK);
        fv_tensor_destroy(tensors[specs[i].role]);
    }
}

/* |got - expected| <= tolerance, and a NaN only where one is expected. */
static void expect_near(const fv_context *context, const char *what, const float *got, const double *expected,
                        int count, double tolerance) {
    for (int i = 0; i < count; ++i) {
        const double difference = fabs((double)got[i] - expected[i]);
        const int same = isnan(expected[i])   ? isnan(got[i])
                         : isinf(expected[i]) ? (double)got[i] == expected[i]
                                              : difference <= tolerance;
        if (!same)
            fail_msg("%s: %s[%d] is %.9g, expected %.9g", fv_context_backend(context), what, i, (double)got[i],
                     expected[i]);
    }
}

static void expect(const fv_context *context, const char *what, const float *got, const double *expected, int count) {
    expect_near(context, what, got, expected, count, 0);
}

static void expect_integers(const fv_context *context, const char *what, const int32_t *got, const int32_t *expected,
                            int count) {
    for (int i = 0; i < count; ++i)
        if (got[i] != expected[i])
            fail_msg("%s: %s[%d] is %d, expected %d", fv_context_backend(context), what, i, (int)got[i],
                     (int)expected[i]);
}

/* ---- sums of products. Powers of ten as weights write the inputs that they meet, and their order, into the digits. */

enum { MOST = 9 };
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

/* ---- softmax_xent */

/* In units of 2^-24: the exponentials err by 4 (2 ulp), their sum by 6, the quotient by 11; the logarithm of the sum
 * (below 1.1) by 6 from the sum and 5 of its own, the loss by its rounding. */
static void softmax(void **state) {
    (void)state;
    enum { ROWS = 5, NUMBERS = 3, CLASSES = 3 };
    static const char text[] = "softmax_xent n=5 classes=3";
    static const double expected_y[ROWS * CLASSES] = {0.24472847105479764,
                                                      0.66524095577482190,
                                                      0.09003057317038046,
                                                      0,
                                                      0,
                                                      1,
                                                      1.0 / 3,
                                                      1.0 / 3,
                                                      1.0 / 3,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN,
                                                      NAN};
    static const double expected_loss[ROWS] = {2.40760596444438, 1000, 1.0986122886681098, NAN, NAN};
    static const int32_t expected_predicted[NUMBERS] = {1, 2, 0};
    float x[ROWS * CLASSES] = {1000, 1001, 999, -1000, -1000, 0, 3, 3, 3, 1, NAN, 2, NAN, NAN, NAN}, y[ROWS * CLASSES],
                   loss[ROWS];
    int32_t labels[ROWS] = {2, 0, 1, 0, 2}, predicted[ROWS];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], text, FV_FORWARD, at);
        expect_near(contexts[i], "y", y, expected_y, ROWS * CLASSES, 11 * 0x1p-24);
        expect_near(contexts[i], "loss", loss, expected_loss, 1, 14 * 0x1p-24);
        expect(contexts[i], "loss", loss + 1, expected_loss + 1, 1); /* log(1) - (-1000 - 0) */
        expect_near(contexts[i], "loss", loss + 2, expected_loss + 2, ROWS - 2, 14 * 0x1p-24);
        expect_integers(contexts[i], "predicted", predicted, expected_predicted, NUMBERS);
        for (int n = NUMBERS; n < ROWS; ++n)
            assert_in_range(predicted[n], 0, CLASSES - 1);
    }
}

/* More classes than a warp has lanes, and the largest logit twice, in an order that shows who asks whom. */
static void softmax_many_classes(void **state) {
    (void)state;
    float x[40], y[40], loss;
    double expected_y[40];
    int32_t label = 34, predicted;
    for (int k = 0; k < 40; ++k) {
        x[k] = k == 1 || k == 34 ? 7 : -200;
        expected_y[k] = k == 1 || k == 34 ? 0.5 : 0; /* exp(-207) is below f32's smallest number */
    }
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = &label, [FV_Y] = y, [FV_LOSS] = &loss, [FV_PREDICTED] = &predicted};
        run(contexts[i], "softmax_xent n=1 classes=40", FV_FORWARD, at);
        expect(contexts[i], "y", y, expected_y, 40);
        expect_near(contexts[i], "loss", &loss, (const double[]){0.69314718055994531}, 1, 4 * 0x1p-24);
        assert_int_equal(predicted, 1);
    }
}

/* Two largest logits, in every pair of places: within a lane of a warp, in two lanes, in different turns of theirs. */
static void softmax_ties(void **state) {
    (void)state;
    enum { CLASSES = 70, ROWS = CLASSES * (CLASSES - 1) / 2 };
    static float x[ROWS * CLASSES], y[ROWS * CLASSES], loss[ROWS];
    static int32_t labels[ROWS], predicted[ROWS], first[ROWS];
    char text[64];
    snprintf(text, sizeof text, "softmax_xent n=%d classes=%d", (int)ROWS, (int)CLASSES);
    int row = 0;
    for (int32_t one = 0; one < CLASSES; ++one)
        for (int other = one + 1; other < CLASSES; ++other, ++row) {
            x[row * CLASSES + one] = x[row * CLASSES + other] = 2;
            first[row] = one;
        }
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], text, FV_FORWARD, at);
        expect_integers(contexts[i], "predicted", predicted, first, ROWS);
    }
}

/* Our kernels promise a NaN where the label is no class; of the other backends nothing is asked. Labels of the middle
 * rows, since a kernel that does not look would find its neighbours' logits there. */
static void softmax_label_of_no_class(void **state) {
    (void)state;
    float x[12] = {0}, y[12], loss[4];
    int32_t labels[4] = {0, -1, 3, 2}, predicted[4];
    const double expected[4] = {1.0986122886681098, NAN, NAN, 1.0986122886681098};
    int asked = 0;
    for (int i = 0; i < context_count; ++i) {
        const char *name = fv_context_backend(contexts[i]);
        if (strcmp(name, "emulated") != 0 && strcmp(name, "cuda") != 0)
            continue;
        host_arrays at = {[FV_X] = x, [FV_LABELS] = labels, [FV_Y] = y, [FV_LOSS] = loss, [FV_PREDICTED] = predicted};
        run(contexts[i], "softmax_xent n=4 classes=3", FV_FORWARD, at);
        expect_near(contexts[i], "loss", loss, expected, 4, 14 * 0x1p-24);
        ++asked;
    }
    assert_true(asked > 0);
}

static void softmax_backward(void **state) {
    (void)state;
    float y[6] = {0.25f, 0.75f, 0, 0.5f, 0.125f, 0.375f}, dx[6];
    int32_t labels[2] = {1, 2};
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_Y] = y, [FV_LABELS] = labels, [FV_DX] = dx};
        run(contexts[i], "softmax_xent n=2 classes=3", FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0.125, -0.125, 0, 0.25, 0.0625, -0.3125}, 6);
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
        cmocka_unit_test(softmax),
        cmocka_unit_test(softmax_many_classes),
        cmocka_unit_test(softmax_ties),
        cmocka_unit_test(softmax_label_of_no_class),
        cmocka_unit_test(softmax_backward),
        cmocka_unit_test(batch),
        cmocka_unit_test(prediction),
        cmocka_unit_test(sgd),
        cmocka_unit_test(adam),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
