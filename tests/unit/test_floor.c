/* The least time of a case, by hand, and families. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "measure/ceilings.h"

static fv_operation parse(const char *text) {
    fv_operation op;
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s", fv_error_message());
    return op;
}

/* An H200's f32 peak, and a copy's rate on it. */
static const fv_ceilings h200 = {.copy = 4.3e12, .product = {[FV_F32] = 67e12}};

static void expect(const char *text, double microseconds, bool compute_bound) {
    const fv_operation op = parse(text);
    const fv_floor floor = fv_floor_of(&h200, &op, FV_FORWARD);
    if (round(1e6 * floor.seconds) != microseconds || floor.compute_bound != compute_bound)
        fail_msg("%s: %g us, %s bound", text, 1e6 * floor.seconds, floor.compute_bound ? "compute" : "memory");
}

/* Well-known layers on such a card, worked out by hand and rounded to microseconds. */
static void known_layers(void **state) {
    (void)state;
    expect("conv2d n=64 c=256 h=56 w=56 k=256 kernel=3x3 pad=1", 3534, true);
    expect("conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 pad=1", 173, true);
    expect("conv2d n=50 c=64 h=56 w=56 k=256 kernel=1x1", 77, true);
    expect("conv2d n=50 c=3 h=224 w=224 k=64 kernel=7x7 stride=2 pad=3", 176, true);
    expect("conv2d n=32 c=128 h=56 w=56 k=128 kernel=3x3 pad=1 groups=128", 24, false);
    expect("conv2d n=64 c=96 h=56 w=56 k=96 kernel=7x7 pad=3 groups=96", 36, false);
}

static void numbers(void **state) {
    (void)state;
    fv_operation op = parse("linear n=2 c=3 k=5 bias=0");
    const fv_ceilings ceilings = {.copy = 8, .product = {[FV_F32] = 15}};
    fv_floor floor = fv_floor_of(&ceilings, &op, FV_FORWARD);
    assert_int_equal(floor.flop, 60);
    assert_int_equal(floor.bytes, 4 * (2 * 3 + 5 * 3 + 2 * 5));
    assert_true(floor.seconds == 124.0 / 8); /* against 4 s of arithmetic */
    assert_false(floor.compute_bound);

    const fv_ceilings slow = {.copy = 124, .product = {[FV_F32] = 15}};
    floor = fv_floor_of(&slow, &op, FV_FORWARD);
    assert_true(floor.seconds == 4);
    assert_true(floor.compute_bound);

    const fv_ceilings unknown = {.copy = 124}; /* no rate of the arithmetic: by memory alone */
    floor = fv_floor_of(&unknown, &op, FV_FORWARD);
    assert_true(floor.seconds == 1);
    assert_false(floor.compute_bound);

    op = parse("linear n=2 c=3 k=5 bias=0 dtype=tf32"); /* at least as fast as f32 */
    floor = fv_floor_of(&slow, &op, FV_FORWARD);
    assert_true(floor.seconds == 4);
    const fv_ceilings faster = {.copy = 124, .product = {[FV_F32] = 15, [FV_TF32] = 20}};
    floor = fv_floor_of(&faster, &op, FV_FORWARD);
    assert_true(floor.seconds == 3);

    op = parse("linear n=2 c=3 k=5 bias=0 dtype=f64"); /* neither is f32's rate f64's */
    floor = fv_floor_of(&slow, &op, FV_FORWARD);
    assert_true(floor.seconds == 2);
    assert_false(floor.compute_bound);
}

static void no_arithmetic(void **state) {
    (void)state;
    const fv_operation op = parse("relu elements=1000");
    const fv_floor floor = fv_floor_of(&h200, &op, FV_FORWARD);
    assert_int_equal(floor.flop, 0);
    assert_int_equal(floor.bytes, 8000);
    assert_false(floor.compute_bound);
}

static void families(void **state) {
    (void)state;
    static const struct {
        const char *text, *family;
    } known[] = {
        {"conv2d c=8 h=9 w=9 k=4 kernel=3x3", "conv2d"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x3", "conv2d"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x1 stride=2", "pointwise"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x1 dilation=2", "pointwise"},
        {"conv2d c=8 h=9 w=9 k=8 kernel=3x3 groups=8", "depthwise"},
        {"conv2d c=8 h=9 w=9 k=16 kernel=3x3 groups=8 dilation=2", "depthwise"},
        {"conv2d c=1 h=9 w=9 k=16 kernel=3x3", "conv2d"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=3x3 groups=2", "grouped"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x1 groups=2", "grouped"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=3x3 dilation=2", "dilated"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x3 dilation=1x2", "dilated"},
        {"conv2d c=8 h=9 w=9 k=4 kernel=1x3 dilation=2x1", "conv2d"},
        {"conv2d_transposed c=8 h=9 w=9 k=4 kernel=1x1", "conv2d_transposed"},
        {"maxpool c=8 h=9 w=9 kernel=3x3", "maxpool"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        const fv_operation op = parse(known[i].text);
        assert_string_equal(fv_family(&op), known[i].family);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_layers),
        cmocka_unit_test(numbers),
        cmocka_unit_test(no_arithmetic),
        cmocka_unit_test(families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
