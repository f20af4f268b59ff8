/* A failing case is made as small as it can be, and one that cannot be tried stays. */
#include "planted.h"

#include "verify/shrink.h"

FAULT(fails_from_41, if (op->relu.elements > 40)((float *)b->at[FV_Y])[40] += 1)
FAULT(fails_on_strides,
      if (op->conv2d.n > 0 && op->conv2d.stride_w == 2 && op->conv2d.r >= 2) * (float *)b->at[FV_Y] += 1)
FAULT(runs_out, return fv_fail(FV_NO_MEMORY, "too little"))

static void expect_smallest(const char *given, fault *spoil, const char *smallest) {
    fv_operation op = parse(given), expected = parse(smallest);
    const fv_kernel row = planted_row(&op, FV_FORWARD, spoil);
    char text[512], words[512];
    const fv_verdict verdict = {.outcome = FV_FAILED, .compared = 1, .wrong = 1};
    fv_shrink(reference, &row, FV_EXACT, SEED, &verdict, &op);
    fv_operation_print(&op, text, sizeof text);
    fv_operation_print(&expected, words, sizeof words);
    assert_string_equal(text, words);
}

static void cases_become_small(void **state) {
    (void)state;
    expect_smallest("relu elements=1000", fails_from_41, "relu elements=41");
    expect_smallest("relu elements=41", fails_from_41, "relu elements=41");
    expect_smallest("conv2d n=2 c=6 h=9 w=8 k=4 kernel=3x3 stride=1x2 pad=1 groups=2 bias=1", fails_on_strides,
                    "conv2d n=1 c=1 h=1 w=1 k=1 kernel=2x1 stride=1x2 pad=0,1,0,0");
}

/* Nothing smaller fails, or nothing could be tried; what is too large to be tried may still have something small. */
static void others_stay(void **state) {
    (void)state;
    expect_smallest("relu elements=40", fails_from_41, "relu elements=40");
    expect_smallest("relu elements=1000", runs_out, "relu elements=1000");
    expect_smallest("relu elements=1000000000000", fails_from_41, "relu elements=41");
}

/* A case that fails in another way is no smaller form of this one, and a lost device tells nothing. */
static void failures_keep_their_kind(void **state) {
    (void)state;
    fv_operation op = parse("relu elements=1000");
    const fv_kernel row = planted_row(&op, FV_FORWARD, fails_from_41);
    const fv_verdict elsewhere = {.outcome = FV_FAILED, .compared = 1};
    fv_shrink(reference, &row, FV_EXACT, SEED, &elsewhere, &op);
    assert_int_equal(op.relu.elements, 1000);

    fv_backend device = *reference->backend;
    fv_context on_device = *reference;
    device.host_memory = false;
    on_device.backend = &device;
    const fv_verdict lost = {.outcome = FV_FAILED};
    fv_shrink(&on_device, &row, FV_EXACT, SEED, &lost, &op);
    assert_int_equal(op.relu.elements, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cases_become_small), cmocka_unit_test(others_stay),
                                       cmocka_unit_test(failures_keep_their_kind)};
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
