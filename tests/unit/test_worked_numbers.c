/* Numbers that textbooks and papers work out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/op.h"
#include "parse.h"
#include "verify/verify.h"

/* Elements of what an operation learns. */
static int64_t parameters(const fv_operation *op) {
    static const fv_role learned[] = {FV_W, FV_W2, FV_B};
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof learned / sizeof learned[0]; ++i) {
        fv_tensor_spec spec;
        if (fv_operation_tensor(op, FV_FORWARD, learned[i], &spec))
            sum += fv_shape_elements(&spec.shape);
    }
    return sum;
}

/* Krizhevsky, Sutskever and Hinton 2012: 96 filters of 11x11x3 at stride 4 on 227x227 images. */
static void alexnet_conv1(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d c=3 h=227 w=227 k=96 kernel=11x11 stride=4 bias=1");
    assert_int_equal(fv_conv2d_p(&op.conv2d), 55);
    assert_int_equal(fv_conv2d_q(&op.conv2d), 55);
    assert_int_equal(parameters(&op), 34944);
    assert_int_equal(fv_operation_macs(&op, FV_FORWARD), INT64_C(55) * 55 * 96 * 11 * 11 * 3);
}

/* A depthwise-separable layer costs a ninth, and a little, of the 3x3 convolution that it stands for. */
static void separable_weights(void **state) {
    (void)state;
    const fv_operation dense = parse("conv2d c=128 h=8 w=8 k=256 kernel=3x3 pad=1");
    const fv_operation separable = parse("conv2d_separable c=128 h=8 w=8 k=256 kernel=3x3 pad=1");
    assert_int_equal(parameters(&dense), 294912);
    assert_int_equal(parameters(&separable), 33920);
    assert_int_equal(fv_operation_macs(&dense, FV_FORWARD), 64 * parameters(&dense));
    assert_int_equal(fv_operation_macs(&separable, FV_FORWARD), 64 * parameters(&separable));
}

/* A factorised filter has r + s weights for r * s. */
static void spatial_weights(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d_spatial c=1 h=8 w=8 m=1 k=1 kernel=3x3");
    assert_int_equal(parameters(&op), 6);
}

/* What a dilated 3x3 filter covers: the least image that it fits. */
static void dilated_coverage(void **state) {
    (void)state;
    static const struct { int dilation, side; } covers[] = {{1, 3}, {2, 5}, {4, 9}};
    for (size_t i = 0; i < sizeof covers / sizeof covers[0]; ++i) {
        fv_operation op = parse("conv2d c=1 h=9 w=9 k=1 kernel=3x3");
        op.conv2d.dilation_h = op.conv2d.dilation_w = covers[i].dilation;
        op.conv2d.h = op.conv2d.w = covers[i].side;
        assert_int_equal(fv_operation_validate(&op), FV_OK);
        assert_int_equal(fv_conv2d_p(&op.conv2d), 1);
        assert_int_equal(fv_conv2d_q(&op.conv2d), 1);
        --op.conv2d.h;
        assert_int_equal(fv_operation_validate(&op), FV_BAD_INPUT);
    }
}

/* 1-D is h = 1: a moving difference over a signal, worked by hand. */
static void one_dimension(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d c=1 h=1 w=6 k=1 kernel=1x3 stride=2 pad=0x1 dtype=f64");
    double x[] = {1, 4, 9, 16, 25, 36}, w[] = {-1, 0, 1}, y[3];
    const fv_host_tensors t = {.at = {[FV_X] = x, [FV_W] = w, [FV_Y] = y}};
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
    assert_true(y[0] == 4 && y[1] == 16 - 4 && y[2] == 36 - 16);
}

/* A 2x2 image grows to 4x4: each pixel becomes the window times its value, side by side as window = stride. */
static void transposed_2x2_to_4x4(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d_transposed c=1 h=2 w=2 k=1 kernel=2x2 stride=2 dtype=f64");
    double x[] = {1, 2, 3, 4}, w[] = {1, 10, 100, 1000}, y[16];
    static const double expected[] = {1, 10, 2, 20, 100, 1000, 200, 2000, 3, 30, 4, 40, 300, 3000, 400, 4000};
    const fv_host_tensors t = {.at = {[FV_X] = x, [FV_W] = w, [FV_Y] = y}};
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
    for (int i = 0; i < 16; ++i)
        assert_true(y[i] == expected[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alexnet_conv1),   cmocka_unit_test(separable_weights),
        cmocka_unit_test(spatial_weights), cmocka_unit_test(dilated_coverage),
        cmocka_unit_test(one_dimension),   cmocka_unit_test(transposed_2x2_to_4x4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
