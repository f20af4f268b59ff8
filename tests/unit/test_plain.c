/* relu with a slope, concat, add and flatten by hand, on every backend that opens here: see test_values.c. And the
 * adjoint law of those that are linear: <dy, A x> = <A' dy, x>, exact on small integers, with all parts of x. */
#include "by_hand.h"

#include "verify/verify.h"

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

/* ---- the adjoint law */

/* Generated inputs of a pass as kernels see them, and room for its outputs. */
static void make_arrays(const fv_operation *op, fv_pass pass, host_arrays at) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_host_tensors made;
    assert_int_equal(fv_generate(op, pass, FV_EXACT, 7, &made), FV_OK);
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        at[role] = malloc(fv_spec_bytes(&specs[i]));
        if (specs[i].dtype != FV_F32)
            memcpy(at[role], made.at[role], fv_spec_bytes(&specs[i]));
        for (int64_t e = 0; specs[i].dtype == FV_F32 && e < fv_shape_elements(&specs[i].shape); ++e)
            ((float *)at[role])[e] = specs[i].direction == FV_IN ? (float)((double *)made.at[role])[e] : 0;
    }
    fv_host_tensors_release(&made);
}

/* The sum over all roles that both lists have, the one's input and the other's output: x and dx, y and dy. */
static double pair_up(const fv_operation *op, host_arrays forward, host_arrays backward, const fv_role (*pairs)[2]) {
    double sum = 0;
    for (; pairs[0][0] != pairs[0][1]; ++pairs) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(op, FV_FORWARD, specs);
        for (int i = 0; i < count; ++i)
            for (int64_t e = 0; specs[i].role == pairs[0][0] && e < fv_shape_elements(&specs[i].shape); ++e)
                sum += (double)((float *)forward[pairs[0][0]])[e] * (double)((float *)backward[pairs[0][1]])[e];
    }
    return sum;
}

static void adjoint(void **state) {
    (void)state;
    static const char *const texts[] = {"dropout elements=1003 rate=0.5 seed=3", "concat n=2 h=5 w=3 c=4,33,1,17",
                                        "add elements=1003", "flatten n=2 c=35 h=5 w=9 order=chw",
                                        "flatten n=3 c=5 h=4 w=3"};
    static const fv_role inputs[][2] = {{FV_X, FV_DX}, {FV_X2, FV_DX2}, {FV_X3, FV_DX3}, {FV_X4, FV_DX4}, {FV_X, FV_X}};
    static const fv_role outputs[][2] = {{FV_Y, FV_DY}, {FV_X, FV_X}};
    for (int i = 0; i < context_count; ++i)
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; ++t) {
            fv_operation op;
            host_arrays forward = {0}, backward = {0};
            assert_int_equal(fv_operation_parse(texts[t], &op), FV_OK);
            make_arrays(&op, FV_FORWARD, forward);
            make_arrays(&op, FV_BACKWARD_DATA, backward);
            run(contexts[i], texts[t], FV_FORWARD, forward);
            run(contexts[i], texts[t], FV_BACKWARD_DATA, backward);
            const double by_input = pair_up(&op, forward, backward, inputs);
            const double by_output = pair_up(&op, forward, backward, outputs);
            if (!(by_input == by_output && by_input != 0))
                fail_msg("%s %s: <dy,Ax> = %.17g, <A'dy,x> = %.17g", fv_context_backend(contexts[i]), texts[t],
                         by_output, by_input);
            for (int role = 0; role < FV_ROLES; ++role) {
                free(forward[role]);
                free(backward[role]);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_with_slope), cmocka_unit_test(concat),  cmocka_unit_test(add),
        cmocka_unit_test(flatten),         cmocka_unit_test(adjoint),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
