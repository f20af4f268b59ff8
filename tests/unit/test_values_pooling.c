/* Poolings, unpoolings and resizings worked out by hand, on every backend that opens here; see test_values.c. PyTorch's
 * avg_pool2d and max_pool2d (with ceil_mode and count_include_pad), max_unpool2d and interpolate (nearest-exact,
 * bilinear) mean the same, but for the duplicates of an unpooling, which they leave open. */
#include "by_hand.h"

#include <stdbool.h>

enum { MOST = 32 };

/* ---- from x to y and from dy to dx alone */

typedef struct resampled {
    const char *text;
    int inputs, outputs; /* elements of x, y */
    float x[MOST], dy[MOST];
    double y[MOST], dx[MOST];
} resampled;

static const resampled averages[] = {
    {"avgpool c=1 h=3 w=3 kernel=2x2",
     9,
     4,
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {4, 8, 12, 16},
     {3, 4, 6, 7},
     {1, 3, 2, 4, 10, 6, 3, 7, 4}},
    /* a row of padding above and a column on the right, counted and not */
    {"avgpool c=1 h=3 w=3 kernel=2x2 pad=1,0,0,1",
     9,
     9,
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {4, 4, 4, 4, 4, 4, 4, 4, 4},
     {0.75, 1.25, 0.75, 3, 4, 2.25, 6, 7, 3.75},
     {2, 4, 4, 2, 4, 4, 1, 2, 2}},
    {"avgpool c=1 h=3 w=3 kernel=2x2 pad=1,0,0,1 include_pad=0",
     9,
     9,
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {4, 4, 4, 4, 4, 4, 4, 4, 4},
     {1.5, 2.5, 3, 3, 4, 4.5, 6, 7, 7.5},
     {3, 6, 9, 2, 4, 6, 1, 2, 3}},
    /* the last window has one pixel, or two and one of padding, and more that ceil adds */
    {"avgpool c=1 h=1 w=5 kernel=1x2 stride=1x2 ceil=1",
     5,
     3,
     {1, 2, 3, 4, 5},
     {2, 4, 6},
     {1.5, 3.5, 5},
     {1, 1, 2, 2, 6}},
    {"avgpool c=1 h=1 w=5 kernel=1x4 stride=1x4 pad=0x1 ceil=1",
     5,
     2,
     {1, 2, 3, 4, 5},
     {4, 6},
     {1.5, 3},
     {1, 1, 1, 2, 2}},
    {"avgpool c=1 h=1 w=5 kernel=1x4 stride=1x4 pad=0x1 ceil=1 include_pad=0",
     5,
     2,
     {1, 2, 3, 4, 5},
     {3, 6},
     {2, 4.5},
     {1, 1, 1, 3, 3}},
    /* one window, larger than the image and its padding */
    {"avgpool c=1 h=1 w=2 kernel=1x4 stride=1x3 pad=0,0,1,0 ceil=1", 2, 1, {3, 6}, {6}, {3}, {2, 2}},
    {"avgpool c=1 h=1 w=2 kernel=1x4 stride=1x3 pad=0,0,1,0 ceil=1 include_pad=0", 2, 1, {3, 6}, {6}, {4.5}, {3, 3}},
    /* no window begins behind the image: two, not three */
    {"avgpool c=1 h=1 w=3 kernel=1x1 stride=1x2 pad=0,0,0,2 ceil=1", 3, 2, {1, 2, 3}, {5, 6}, {1, 3}, {5, 0, 6}},
    /* windows of nothing but padding */
    {"avgpool c=1 h=1 w=1 kernel=1x1 pad=0x1", 1, 3, {4}, {5, 6, 7}, {0, 4, 0}, {6}},
    {"avgpool c=1 h=1 w=1 kernel=1x1 pad=0x1 include_pad=0", 1, 3, {4}, {5, 6, 7}, {0, 4, 0}, {6}},
    /* every third pixel */
    {"avgpool c=1 h=1 w=6 kernel=1x2 dilation=1x3",
     6,
     3,
     {1, 2, 3, 4, 5, 6},
     {2, 4, 6},
     {2.5, 3.5, 4.5},
     {1, 2, 3, 1, 2, 3}},
    /* two images of two channels, to a pixel each */
    {"avgpool n=2 c=2 h=2 w=4 kernel=global",
     32,
     4,
     {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
     {8, 16, 24, 32},
     {7, 8, 23, 24},
     {1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4}},
};

static const resampled resizings[] = {
    /* 0.3, 0.9, 1.5, 2.1 and 2.7; 1.5 and 4.5, between two pixels' centres */
    {"upsample c=1 h=1 w=3 size=1x5", 3, 5, {1, 2, 3}, {1, 10, 100, 1000, 10000}, {1, 1, 2, 3, 3}, {11, 100, 11000}},
    {"upsample c=1 h=6 w=1 size=2x1", 6, 2, {1, 2, 3, 4, 5, 6}, {1, 10}, {2, 5}, {0, 1, 0, 0, 10, 0}},
    {"upsample c=2 h=1 w=2 size=2x2",
     4,
     8,
     {1, 2, 3, 4},
     {1, 2, 3, 4, 10, 20, 30, 40},
     {1, 2, 3, 4, 1, 2, 3, 4},
     {11, 22, 33, 44}},
    /* -0.25, 0.25, 0.75, 1.25 */
    {"upsample c=1 h=1 w=2 size=1x4 mode=bilinear", 2, 4, {4, 8}, {1, 10, 100, 1000}, {4, 5, 7, 8}, {33.5, 1077.5}},
    /* 0.5 and 2.5; 1 */
    {"upsample c=1 h=1 w=4 size=1x2 mode=bilinear", 4, 2, {1, 2, 3, 4}, {2, 4}, {1.5, 3.5}, {1, 1, 2, 2}},
    {"upsample c=1 h=3 w=1 size=1x1 mode=bilinear", 3, 1, {1, 2, 4}, {8}, {2}, {0, 8, 0}},
    {"upsample c=1 h=3 w=1 size=1x1 mode=bilinear align=1", 3, 1, {1, 2, 4}, {8}, {1}, {8, 0, 0}},
    {"upsample c=1 h=1 w=2 size=1x5 mode=bilinear align=1", 2, 5, {4, 8}, {4, 4, 4, 4, 4}, {4, 5, 6, 7, 8}, {10, 10}},
    {"upsample c=1 h=2 w=2 size=3x3 mode=bilinear align=1",
     4,
     9,
     {1, 2, 3, 4},
     {4, 4, 4, 4, 4, 4, 4, 4, 4},
     {1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4},
     {9, 9, 9, 9}},
    /* both axes at once: quarters across, thirds down are none here */
    {"upsample c=1 h=2 w=1 size=4x2 mode=bilinear",
     2,
     8,
     {4, 8},
     {1, 1, 2, 2, 4, 4, 8, 8},
     {4, 4, 5, 5, 7, 7, 8, 8},
     {7, 23}},
};

static void check_resampled(const resampled *table, size_t count) {
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < count; ++j) {
            resampled r = table[j];
            float y[MOST], dx[MOST];
            host_arrays at = {[FV_X] = r.x, [FV_Y] = y, [FV_DY] = r.dy, [FV_DX] = dx};
            run(contexts[i], r.text, FV_FORWARD, at);
            expect(contexts[i], r.text, y, r.y, r.outputs);
            run(contexts[i], r.text, FV_BACKWARD_DATA, at);
            expect(contexts[i], r.text, dx, r.dx, r.inputs);
        }
}

static void averages_by_hand(void **state) {
    (void)state;
    check_resampled(averages, sizeof averages / sizeof averages[0]);
}

static void resizings_by_hand(void **state) {
    (void)state;
    check_resampled(resizings, sizeof resizings / sizeof resizings[0]);
}

/* A pixel of weight 0 has no part in the result, infinite as it may be; oneDNN multiplies it by 0. */
static void no_weight_no_part(void **state) {
    (void)state;
    float x[2] = {1, INFINITY}, y[4];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_Y] = y};
        if (!strcmp(fv_context_backend(contexts[i]), "onednn"))
            continue;
        run(contexts[i], "upsample c=1 h=1 w=2 size=1x2 mode=bilinear", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){1, INFINITY}, 2);
        run(contexts[i], "upsample c=1 h=1 w=2 size=1x4 mode=bilinear", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){1, INFINITY, INFINITY, INFINITY}, 4);
    }
}

/* ---- with argmax */

typedef struct selected {
    const char *text;
    int inputs, outputs;
    float x[MOST], dy[MOST];
    uint8_t argmax[MOST];
    double y[MOST], dx[MOST];
} selected;

static void expect_bytes(const fv_context *context, const char *text, const uint8_t *got, const uint8_t *expected,
                         int count) {
    for (int i = 0; i < count; ++i)
        if (got[i] != expected[i])
            fail_msg("%s: %s: argmax[%d] is %d, expected %d", fv_context_backend(context), text, i, got[i],
                     expected[i]);
}

static void maxima_by_hand(void **state) {
    (void)state;
    static const selected table[] = {
        {"maxpool c=1 h=1 w=5 kernel=1x2 stride=1x2 ceil=1",
         5,
         3,
         {1, 3, 2, 2, -5},
         {1, 10, 100},
         {1, 0, 0},
         {3, 2, -5},
         {0, 1, 10, 0, 100}},
        {"maxpool c=1 h=3 w=1 kernel=2x1 stride=3x1 pad=1,2,0,0 ceil=1",
         3,
         2,
         {-1, -2, -3},
         {1, 10},
         {1, 0},
         {-1, -3},
         {1, 0, 10}},
        /* equals at 2 and 9, which different rows of a block find, of two channels; nothing but equals */
        {"maxpool n=1 c=2 h=3 w=4 kernel=global",
         24,
         2,
         {0, 9, 1, 9, 7, 9, 2, 9, 3, 9, 3, 9, 3, 9, 3, 9, 3, 9, 7, 9, 3, 9, 3, 9},
         {5, 6},
         {2, 0},
         {7, 9},
         {0, 6, 0, 0, 5}},
        /* the largest is the last, and the only one of its row */
        {"maxpool n=1 c=1 h=3 w=3 kernel=global",
         9,
         1,
         {-9, -8, -7, -6, -5, -4, -3, -2, -1},
         {5},
         {8},
         {-1},
         {0, 0, 0, 0, 0, 0, 0, 0, 5}},
    };
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof table / sizeof table[0]; ++j) {
            selected t = table[j];
            float y[MOST], dx[MOST];
            uint8_t argmax[MOST];
            host_arrays at = {[FV_X] = t.x, [FV_Y] = y, [FV_ARGMAX] = argmax, [FV_DY] = t.dy, [FV_DX] = dx};
            run(contexts[i], t.text, FV_FORWARD, at);
            expect(contexts[i], t.text, y, t.y, t.outputs);
            expect_bytes(contexts[i], t.text, argmax, t.argmax, t.outputs);
            run(contexts[i], t.text, FV_BACKWARD_DATA, at);
            expect(contexts[i], t.text, dx, t.dx, t.inputs);
        }
}

/* Nothing but -inf, of which the first wins; but in the vendors' libraries, which start from -FLT_MAX. */
static void maxima_of_nothing_else(void **state) {
    (void)state;
    float x[9], y[1];
    uint8_t argmax[1];
    for (int i = 0; i < 9; ++i)
        x[i] = -INFINITY;
    for (int i = 0; i < context_count; ++i) {
        const char *name = fv_context_backend(contexts[i]);
        host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_ARGMAX] = argmax};
        if (!strcmp(name, "onednn") || !strcmp(name, "cudnn"))
            continue;
        run(contexts[i], "maxpool c=1 h=3 w=3 kernel=global", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){-INFINITY}, 1);
        expect_bytes(contexts[i], "y", argmax, (const uint8_t[]){0}, 1);
    }
}

static void unpoolings_by_hand(void **state) {
    (void)state;
    static const selected table[] = {
        {"unpool c=1 h=2 w=4 kernel=2x2 stride=2",
         2,
         8,
         {5, 6},
         {1, 2, 3, 4, 5, 6, 7, 8},
         {3, 1},
         {0, 0, 0, 6, 0, 5, 0, 0},
         {6, 4}},
        /* all four windows name the pixel in the middle: the first gives it, and gets its gradient */
        {"unpool c=1 h=3 w=3 kernel=2x2",
         4,
         9,
         {1, 2, 3, 4},
         {1, 2, 3, 4, 5, 6, 7, 8, 9},
         {3, 2, 1, 0},
         {0, 0, 0, 0, 1},
         {5, 0, 0, 0}},
        /* the second row's windows share a pixel; the last position is none of its window */
        {"unpool c=1 h=3 w=3 kernel=2x2",
         4,
         9,
         {1, 2, 3, 4},
         {1, 2, 3, 4, 5, 6, 7, 8, 9},
         {0, 1, 3, 2},
         {1, 0, 2, 0, 0, 0, 0, 3, 0},
         {1, 3, 8, 0}},
        {"unpool c=1 h=3 w=3 kernel=2x2",
         4,
         9,
         {1, 2, 3, 4},
         {1, 2, 3, 4, 5, 6, 7, 8, 9},
         {0, 0, 0, 4},
         {1, 2, 0, 3},
         {1, 2, 4, 0}},
        /* a position in the padding */
        {"unpool c=1 h=1 w=1 kernel=1x2 pad=0x1", 2, 1, {5, 6}, {7}, {0, 0}, {6}, {0, 7}},
        {"unpool c=2 h=1 w=5 kernel=1x2 stride=1x2 ceil=1",
         6,
         10,
         {1, 2, 3, 4, 5, 6},
         {10, 11, 12, 13, 14, 15, 16, 17, 18, 19},
         {0, 1, 1, 0, 0, 1},
         {1, 0, 0, 2, 0, 4, 3, 0, 5, 0},
         {10, 13, 16, 15, 18, 0}},
    };
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof table / sizeof table[0]; ++j) {
            selected t = table[j];
            float y[MOST], dx[MOST];
            host_arrays at = {[FV_X] = t.x, [FV_Y] = y, [FV_ARGMAX] = t.argmax, [FV_DY] = t.dy, [FV_DX] = dx};
            run(contexts[i], t.text, FV_FORWARD, at);
            expect(contexts[i], t.text, y, t.y, t.outputs);
            run(contexts[i], t.text, FV_BACKWARD_DATA, at);
            expect(contexts[i], t.text, dx, t.dx, t.inputs);
        }
}

/* An argmax of another type or shape than the window's is refused. */
static void argmax_must_fit(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_dtype dtype;
        fv_shape shape;
        const char *message;
    } table[] = {
        {"unpool c=3 h=4 w=4 kernel=2x2 stride=2",
         FV_I32,
         {4, {1, 2, 2, 3}},
         "unpool forward: tensor argmax is i32 [1,2,2,3]: expected u8 [1,2,2,3]"},
        {"unpool c=3 h=4 w=4 kernel=2x2 stride=2",
         FV_U8,
         {4, {1, 2, 3, 3}},
         "unpool forward: tensor argmax is u8 [1,2,3,3]: expected u8 [1,2,2,3]"},
        {"unpool c=1 h=17 w=17 kernel=17x17",
         FV_U8,
         {4, {1, 1, 1, 1}},
         "unpool forward: tensor argmax is u8 [1,1,1,1]: expected i32 [1,1,1,1]"},
        {"maxpool c=1 h=17 w=17 kernel=global",
         FV_U8,
         {4, {1, 1, 1, 1}},
         "maxpool forward: tensor argmax is u8 [1,1,1,1]: expected i32 [1,1,1,1]"},
        {"maxpool c=3 h=4 w=4 kernel=2x2 stride=2",
         FV_U8,
         {4, {1, 2, 2, 4}},
         "maxpool forward: tensor argmax is u8 [1,2,2,4]: expected u8 [1,2,2,3]"},
    };
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof table / sizeof table[0]; ++j) {
            fv_operation op;
            fv_tensor_spec specs[FV_MAX_SPECS];
            fv_tensor *at[FV_ROLES] = {0};
            assert_int_equal(fv_operation_parse(table[j].text, &op), FV_OK);
            const int count = fv_operation_signature(&op, FV_FORWARD, specs);
            for (int k = 0; k < count; ++k) {
                const bool bad = specs[k].role == FV_ARGMAX;
                assert_int_equal(fv_tensor_create(contexts[i], bad ? table[j].dtype : specs[k].dtype,
                                                  bad ? table[j].shape : specs[k].shape, &at[specs[k].role]),
                                 FV_OK);
            }
            assert_int_equal(fv_execute(contexts[i], &op, FV_FORWARD, at), FV_BAD_INPUT);
            assert_string_equal(fv_error_message(), table[j].message);
            for (int role = 0; role < FV_ROLES; ++role)
                fv_tensor_destroy(at[role]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_by_hand),       cmocka_unit_test(resizings_by_hand),
        cmocka_unit_test(no_weight_no_part),      cmocka_unit_test(maxima_by_hand),
        cmocka_unit_test(maxima_of_nothing_else), cmocka_unit_test(unpoolings_by_hand),
        cmocka_unit_test(argmax_must_fit),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
