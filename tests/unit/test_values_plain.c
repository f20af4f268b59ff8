/* relu with a slope, concat, add and flatten by hand, on every backend that opens here: see test_values.c. */
#include "by_hand.h"

static void relu_with_slope(void **state) {
    (void)state;
    float x[6] = {-2, 0, 3, NAN, -INFINITY, INFINITY}, dy[6] = {1, 2, 3, 4, 5, 6}, y[6], dx[6];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_DY] = dy, [FV_DX] = dx};
        run(contexts[i], "relu elements=6 slope=0.25", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){-0.5, 0, 3, NAN, -INFINITY, INFINITY}, 6);
        run(contexts[i], "relu elements=6 slope=0.25", FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){0.25, 0.5, 3, 1, 1.25, 6}, 6);
        run(contexts[i], "relu elements=6", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){0, 0, 3, NAN, 0, INFINITY}, 6);
    }
}

static void concat(void **state) {
    (void)state;
    float x[2] = {1, 2}, x2[4] = {3, 4, 5, 6}, x3[2] = {7, 8}, y[8], dx[2], dx2[4], dx3[2];
    static const char text[] = "concat n=1 h=1 w=2 c=1,2,1";
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {
            [FV_X] = x, [FV_X2] = x2, [FV_X3] = x3, [FV_Y] = y, [FV_DX] = dx, [FV_DX2] = dx2, [FV_DX3] = dx3};
        run(contexts[i], text, FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){1, 3, 4, 7, 2, 5, 6, 8}, 8);
        at[FV_DY] = y;
        run(contexts[i], text, FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){1, 2}, 2);
        expect(contexts[i], "dx2", dx2, (const double[]){3, 4, 5, 6}, 4);
        expect(contexts[i], "dx3", dx3, (const double[]){7, 8}, 2);
    }
}

static void add(void **state) {
    (void)state;
    float x[3] = {1, 2, 3}, x2[3] = {10, -20, 30}, y[3], dy[3] = {4, 5, 6}, dx[3], dx2[3];
    for (int i = 0; i < context_count; ++i) {
        host_arrays at = {[FV_X] = x, [FV_X2] = x2, [FV_Y] = y, [FV_DY] = dy, [FV_DX] = dx, [FV_DX2] = dx2};
        run(contexts[i], "add elements=3", FV_FORWARD, at);
        expect(contexts[i], "y", y, (const double[]){11, -18, 33}, 3);
        run(contexts[i], "add elements=3", FV_BACKWARD_DATA, at);
        expect(contexts[i], "dx", dx, (const double[]){4, 5, 6}, 3);
        expect(contexts[i], "dx2", dx2, (const double[]){4, 5, 6}, 3);
    }
}

/* Two images of 1x3 pixels and two channels: tens are the second channel, hundreds the second image. */
static void flatten(void **state) {
    (void)state;
    float x[12] = {1, 10, 2, 20, 3, 30, 101, 110, 102, 120, 103, 130}, y[12], back[12];
    const double as_it_lies[] = {1, 10, 2, 20, 3, 30, 101, 110, 102, 120, 103, 130};
    const double by_channel[] = {1, 2, 3, 10, 20, 30, 101, 102, 103, 110, 120, 130};
    for (int i = 0; i < context_count; ++i)
        for (int chw = 0; chw < 2; ++chw) {
            const char *text = chw ? "flatten n=2 c=2 h=1 w=3 order=chw" : "flatten n=2 c=2 h=1 w=3";
            host_arrays at = {[FV_X] = x, [FV_Y] = y, [FV_DY] = y, [FV_DX] = back};
            run(contexts[i], text, FV_FORWARD, at);
            expect(contexts[i], text, y, chw ? by_channel : as_it_lies, 12);
            run(contexts[i], text, FV_BACKWARD_DATA, at);
            expect(contexts[i], text, back, as_it_lies, 12);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_with_slope),
        cmocka_unit_test(concat),
        cmocka_unit_test(add),
        cmocka_unit_test(flatten),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
