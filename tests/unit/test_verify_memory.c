/* What a kernel finds in memory when the verifier runs it, and what becomes of one that reads outside of its buffers. */
#include "planted.h"

#include <sys/wait.h>
#include <unistd.h>

static void assert_pattern(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        assert_int_equal(bytes[i], 0xFF);
}

static fv_status run_looking(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    assert_pattern(b->at[FV_Y], 256);
    assert_pattern(b->workspace, 100);
    assert_int_equal((uintptr_t)b->workspace % 256, 0);
    memset(b->workspace, 0, 100);
    return run_planted(context, op, state, b);
}

static void outputs_are_poisoned(void **state) {
    (void)state;
    const fv_operation op = parse("relu elements=64");
    fv_kernel row = planted_row(&op, FV_FORWARD, NULL);
    row.workspace = hundred_bytes;
    row.run = run_looking;
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("looks first", &verdict, FV_PASSED, "");
    assert_int_equal(plant.run, 2);
    row.run = run_never;
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("never runs", &verdict, FV_FAILED, "64 of 64 elements of y are wrong");

    const fv_operation padding = parse("conv2d c=1 h=1 w=1 k=1 kernel=1x1 stride=3 pad=1,0,1,0");
    row = planted_row(&padding, FV_FORWARD, NULL);
    row.run = run_never;
    verdict = verify(&row, &padding, FV_EXACT, SEED);
    expect_verdict("never runs where zero is expected", &verdict, FV_FAILED, "1 of 1 elements of y are wrong");
}

#if defined(__SANITIZE_ADDRESS__)
FAULT(reads_behind, (void)((volatile float *)b->at[FV_X])[64])
FAULT(reads_far_behind, (void)((volatile float *)b->at[FV_X])[64 + 1023])
FAULT(reads_before, (void)((volatile float *)b->at[FV_X])[-1])
FAULT(reads_far_before, (void)((volatile float *)b->at[FV_X])[-1024])
FAULT(reads_behind_workspace, (void)((volatile uint8_t *)b->workspace)[100])

/* Whether a verification ends the process; in a child with its report thrown away. */
static bool is_trapped(fault *spoil) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const fv_operation op = parse("relu elements=64");
        fv_kernel row = planted_row(&op, FV_FORWARD, spoil);
        row.workspace = hundred_bytes;
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        verify(&row, &op, FV_EXACT, SEED);
        _exit(0);
    }
    int end = 0;
    assert_int_equal(waitpid(child, &end, 0), child);
    return end != 0;
}

static void reads_outside_are_trapped(void **state) {
    (void)state;
    assert_false(is_trapped(NULL));
    assert_true(is_trapped(reads_behind));
    assert_true(is_trapped(reads_far_behind));
    assert_true(is_trapped(reads_before));
    assert_true(is_trapped(reads_far_before));
    assert_true(is_trapped(reads_behind_workspace));
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_poisoned),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(reads_outside_are_trapped),
#endif
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
