/* The verifier against planted faults: each must be found and called by its name, and right kernels must pass. */
#include "planted.h"

/* ---- faults of a relu over 64 floats with 100 bytes of workspace */

/* A raw store: where the bands are forbidden, AddressSanitizer would stop an ordinary one. */
__attribute__((no_sanitize("address"))) static void poke(void *at, ptrdiff_t offset, uint8_t byte) {
    ((volatile uint8_t *)at)[offset] = byte;
}

__attribute__((no_sanitize("address"))) static uint8_t peek(const void *at, ptrdiff_t offset) {
    return ((const volatile uint8_t *)at)[offset];
}

FAULT(gives_nan, ((float *)b->at[FV_Y])[7] = NAN)
FAULT(gives_infinity, ((float *)b->at[FV_Y])[63] = INFINITY)
FAULT(too_high, ((float *)b->at[FV_Y])[0] += 1)
FAULT(too_low, ((float *)b->at[FV_Y])[63] -= 1)
FAULT(gives_nothing, memset(b->at[FV_Y], 0, 256))
FAULT(spoils_input, ((float *)b->at[FV_X])[0] += 1)
FAULT(spoils_input_end, ((float *)b->at[FV_X])[63] = 99)
FAULT(pokes_behind, poke(b->at[FV_Y], 256, 0))
FAULT(pokes_far_behind, poke(b->at[FV_Y], 256 + 4095, 0))
FAULT(pokes_before, poke(b->at[FV_Y], -1, 0))
FAULT(pokes_far_before, poke(b->at[FV_Y], -4096, 0))
FAULT(runs_on, for (int i = 0; i < 4; ++i) poke(b->at[FV_Y], 256 + i, peek(b->at[FV_X], 256 + i)))
FAULT(pokes_behind_input, poke(b->at[FV_X], 256, 0))
FAULT(pokes_behind_workspace, poke(b->workspace, 100, 0))
FAULT(uses_workspace, memset(b->workspace, 0, 100))
FAULT(device_fails, return fv_fail(FV_DEVICE, "the device gave up"))
FAULT(check_fails, return fv_fail(FV_MISMATCH, "a barrier was missed"))
FAULT(runs_out_of_memory, return fv_fail(FV_NO_MEMORY, "too little"))

/* -0 equals 0, so that only the bits tell. */
static fv_status alternates(const fv_operation *op, const fv_buffers *b) {
    float *y = b->at[FV_Y];
    for (int64_t i = 0; i < op->relu.elements; ++i)
        if (!(y[i] > 0))
            y[i] = plant.run % 2 ? 0.0f : -0.0f;
    return FV_OK;
}

static void faults_are_named(void **state) {
    (void)state;
    static const struct {
        const char *what;
        fault *spoil;
        int from;
        fv_outcome outcome;
        const char *reason;
    } cases[] = {
        {"nothing", NULL, 1, FV_PASSED, ""},
        {"NaN", gives_nan, 1, FV_FAILED, "1 of 64 elements of y are wrong"},
        {"infinity", gives_infinity, 1, FV_FAILED, "1 of 64 elements of y are wrong"},
        {"too high", too_high, 1, FV_FAILED, "1 of 64 elements of y are wrong"},
        {"too low", too_low, 1, FV_FAILED, "1 of 64 elements of y are wrong"},
        {"all zeros", gives_nothing, 1, FV_FAILED, "of 64 elements of y are wrong"},
        {"input", spoils_input, 1, FV_FAILED, "wrote to its input x"},
        {"end of input", spoils_input_end, 1, FV_FAILED, "wrote to its input x"},
        {"behind", pokes_behind, 1, FV_FAILED, "wrote outside y, at byte 256 of 256"},
        {"far behind", pokes_far_behind, 1, FV_FAILED, "wrote outside y, at byte 4351 of 256"},
        {"before", pokes_before, 1, FV_FAILED, "wrote outside y, at byte -1 of 256"},
        {"far before", pokes_far_before, 1, FV_FAILED, "wrote outside y, at byte -4096 of 256"},
        {"band into band", runs_on, 1, FV_FAILED, "wrote outside y, at byte 256 of 256"},
        {"behind input", pokes_behind_input, 1, FV_FAILED, "wrote outside x, at byte 256 of 256"},
        {"behind workspace", pokes_behind_workspace, 1, FV_FAILED, "wrote outside workspace, at byte 100 of 100"},
        {"within workspace", uses_workspace, 1, FV_PASSED, ""},
        {"device", device_fails, 1, FV_FAILED, "the device gave up"},
        {"own check", check_fails, 1, FV_FAILED, "a barrier was missed"},
        {"second NaN", gives_nan, 2, FV_FAILED, "two runs differ"},
        {"second too low", too_low, 2, FV_FAILED, "two runs differ"},
        {"second sign of zero", alternates, 1, FV_FAILED, "two runs differ"},
        {"second input", spoils_input, 2, FV_FAILED, "wrote to its input x"},
        {"second behind", pokes_behind, 2, FV_FAILED, "wrote outside y, at byte 256 of 256"},
        {"second workspace", pokes_behind_workspace, 2, FV_FAILED, "wrote outside workspace, at byte 100 of 100"},
        {"second device", device_fails, 2, FV_FAILED, "the device gave up"},
        {"second own check", check_fails, 2, FV_FAILED, "a barrier was missed"},
    };
    const fv_operation op = parse("relu elements=64");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
            fv_kernel row = planted_row(&op, FV_FORWARD, cases[i].spoil);
            row.workspace = hundred_bytes;
            plant.from = cases[i].from;
            const fv_verdict verdict = verify(&row, &op, fill, SEED);
            expect_verdict(cases[i].what, &verdict, cases[i].outcome, cases[i].reason);
            if (verdict.outcome == FV_PASSED)
                assert_true(verdict.deterministic && verdict.compared == 64 && plant.run == 2);
        }
}

/* Rows that own up to differing may differ in bits, but not in being right. */
static void second_runs_are_judged(void **state) {
    (void)state;
    const fv_operation op = parse("relu elements=64");
    fv_kernel row = planted_row(&op, FV_FORWARD, alternates);
    row.deterministic = false;
    fv_verdict verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("sign of zero", &verdict, FV_PASSED, "");
    assert_false(verdict.deterministic);

    static const struct {
        const char *what;
        fault *spoil;
    } cases[] = {{"NaN", gives_nan}, {"too low", too_low}, {"too high", too_high}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        plant.spoil = cases[i].spoil;
        plant.from = 2;
        verdict = verify(&row, &op, FV_BOUNDED, SEED);
        expect_verdict(cases[i].what, &verdict, FV_FAILED, "1 of 64 elements of y are wrong");
        assert_false(verdict.deterministic);
    }
    plant.spoil = NULL;
    row.run = run_first_only;
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("idle in the second run", &verdict, FV_FAILED, "64 of 64 elements of y are wrong");
}

/* So many that with the guard bands they wrap around. */
static size_t nearly_all_bytes(const fv_operation *op, const void *state) {
    (void)op, (void)state;
    return SIZE_MAX - 100;
}

/* The right answer is then an infinity, or a number of few bits; no bound in proportion to the sum allows for that. */
static void results_beyond_the_dtype_are_rounded(void **state) {
    (void)state;
    static const char *const cases[] = {"batch n=3 items=3 elements=50 scale=1e300 shift=1",
                                        "batch n=3 items=3 elements=50 scale=1e-44"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i]);
        const fv_kernel row = planted_row(&op, FV_FORWARD, NULL);
        const fv_verdict verdict = verify(&row, &op, FV_BOUNDED, SEED);
        expect_verdict(cases[i], &verdict, FV_PASSED, "");
    }
}

static void other_failures_are_no_verdict(void **state) {
    (void)state;
    const fv_operation op = parse("relu elements=64");
    const fv_kernel row = planted_row(&op, FV_FORWARD, runs_out_of_memory);
    for (plant.from = 1; plant.from <= 2; ++plant.from) {
        fv_verdict verdict;
        plant.run = 0;
        assert_int_equal(fv_verify(reference, &row, &op, FV_FORWARD, FV_EXACT, SEED, &verdict), FV_NO_MEMORY);
    }
    fv_kernel greedy = planted_row(&op, FV_FORWARD, NULL);
    greedy.workspace = nearly_all_bytes;
    fv_verdict verdict;
    assert_int_equal(fv_verify(reference, &greedy, &op, FV_FORWARD, FV_EXACT, SEED, &verdict), FV_NO_MEMORY);
}

/* ---- outcomes other than passed and failed */

FAULT(leaves_argmax, memset(b->at[FV_ARGMAX], 0xFF, 54))
FAULT(spoils_first_y, ((float *)b->at[FV_Y])[0] += 1)
FAULT(spoils_both, spoils_first_y(op, b); leaves_argmax(op, b))

static void zeros_are_mistrusted(void **state) {
    (void)state;
    static const char reason[] = "all expected elements are zero";
    fv_operation op =
        parse("conv2d c=1 h=1 w=1 k=1 kernel=1x1 stride=3 pad=1,0,1,0"); /* its window is in the padding */
    fv_kernel row = planted_row(&op, FV_FORWARD, NULL);
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("exact", &verdict, FV_MISTRUSTED, reason);
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("bounded", &verdict, FV_MISTRUSTED, reason);
    plant.spoil = spoils_first_y;
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("wrong", &verdict, FV_FAILED, "1 of 1 elements");

    op = parse("conv2d c=1 h=1 w=1 k=1 kernel=1x1 pad=2"); /* one output of 25 is not in the padding */
    row = planted_row(&op, FV_FORWARD, NULL);
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("one is enough", &verdict, FV_PASSED, "");
    assert_int_equal(verdict.compared, 25);

    op = parse("linear n=0 c=3 k=2");
    row = planted_row(&op, FV_FORWARD, NULL);
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("nothing to compare", &verdict, FV_PASSED, "");
    assert_int_equal(verdict.compared, 0);
}

static void omitted_tensors_are_left_out(void **state) {
    (void)state;
    const fv_operation op = parse("maxpool n=2 c=3 h=6 w=6 kernel=2x2 stride=2");
    fv_kernel row = planted_row(&op, FV_FORWARD, leaves_argmax);
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("argmax is an output", &verdict, FV_FAILED, "54 of 54 elements of argmax are wrong");
    assert_int_equal(verdict.compared, 108);
    row.omits = 1u << FV_ARGMAX;
    for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
        plant.spoil = leaves_argmax;
        verdict = verify(&row, &op, fill, SEED);
        expect_verdict("argmax is omitted", &verdict, FV_PASSED, "");
        assert_int_equal(verdict.compared, 54);
        plant.spoil = spoils_both;
        verdict = verify(&row, &op, fill, SEED);
        expect_verdict("y is not", &verdict, FV_FAILED, "1 of 54 elements of y are wrong");
        plant.spoil = NULL;
        verdict = verify(&row, &op, fill, SEED);
        expect_verdict("argmax is written all the same", &verdict, FV_FAILED, "wrote to what it says it omits, argmax");
    }
    row = planted_row(&op, FV_BACKWARD_DATA, NULL);
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("backward", &verdict, FV_PASSED, "");
    row.omits = 1u << FV_ARGMAX;
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("backward without argmax", &verdict, FV_SKIPPED, "integers tie");
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("backward without argmax on reals", &verdict, FV_PASSED, "");
}

static const char *refuses(const fv_operation *op) {
    (void)op;
    return "it dislikes this case";
}

static fv_status cannot_prepare(fv_context *context, const fv_operation *op, void **state) {
    (void)context, (void)op, (void)state;
    return fv_fail(FV_UNSUPPORTED, "it cannot after all");
}

static fv_status breaks_down(fv_context *context, const fv_operation *op, void **state) {
    (void)context, (void)op, (void)state;
    return fv_fail(FV_DEVICE, "no plan");
}

static void inapplicable_checks_say_why(void **state) {
    (void)state;
    static const char *const reals[] = {"softmax_xent n=2 classes=3", "batch n=2 items=3 elements=4", "sgd elements=4",
                                        "adam elements=4"};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; ++i) {
        const fv_operation op = parse(reals[i]);
        const fv_kernel row = planted_row(&op, FV_FORWARD, NULL);
        const fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
        expect_verdict(reals[i], &verdict, FV_SKIPPED, "does not map integers to integers");
        assert_int_equal(plant.run, 0);
    }
    fv_operation op = parse("linear c=16777217 k=1");
    fv_kernel row = planted_row(&op, FV_FORWARD, NULL);
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("too long a sum", &verdict, FV_SKIPPED, "2^24");

    op = parse("relu elements=4");
    row = planted_row(&op, FV_FORWARD, NULL);
    row.supports = refuses;
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("supports", &verdict, FV_UNSUPPORTED_CASE, "it dislikes this case");
    row.supports = NULL;
    row.prepare = cannot_prepare;
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("prepare", &verdict, FV_UNSUPPORTED_CASE, "it cannot after all");
    row.prepare = breaks_down;
    assert_int_equal(fv_verify(reference, &row, &op, FV_FORWARD, FV_EXACT, SEED, &verdict), FV_DEVICE);

    static const char *const names[] = {"passed", "failed", "unsupported", "skipped", "mistrusted"};
    for (fv_outcome outcome = FV_PASSED; outcome < FV_OUTCOMES; ++outcome)
        assert_string_equal(fv_outcome_name(outcome), names[outcome]);
}

/* ---- points */

static fv_status spoils_some(const fv_operation *op, const fv_buffers *b) {
    float *y = b->at[FV_Y];
    for (int64_t i = 3; i < op->relu.elements; i += 5)
        y[i] += (float)i;
    return FV_OK;
}

static void points_tell_where(void **state) {
    (void)state;
    fv_operation op = parse("relu elements=64");
    fv_kernel row = planted_row(&op, FV_FORWARD, spoils_some);
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("points", &verdict, FV_FAILED, "13 of 64 elements of y are wrong");
    assert_int_equal(verdict.wrong, 13);
    assert_int_equal(verdict.points, FV_MAX_POINTS);
    assert_int_equal(verdict.spec.role, FV_Y);
    assert_int_equal(verdict.spec.shape.dim[0], 64);
    fv_host_tensors t;
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_EXACT, SEED, &t), FV_OK);
    for (int i = 0; i < FV_MAX_POINTS; ++i) {
        const fv_point *point = &verdict.point[i];
        const int64_t index = 3 + 5 * i;
        const double x = ((const double *)t.at[FV_X])[index];
        assert_int_equal(point->index, index);
        assert_true(point->expected == (x > 0 ? x : 0));
        assert_true(point->got == point->expected + (double)index);
        assert_true(point->bound == 0);
    }
    fv_host_tensors_release(&t);

    /* The first wrong tensor is told, and it alone is counted. */
    op = parse("maxpool n=2 c=3 h=6 w=6 kernel=2x2 stride=2");
    row = planted_row(&op, FV_FORWARD, spoils_both);
    verdict = verify(&row, &op, FV_BOUNDED, SEED);
    expect_verdict("first tensor", &verdict, FV_FAILED, "1 of 54 elements of y are wrong");
    assert_int_equal(verdict.spec.role, FV_Y);
    assert_int_equal(verdict.wrong, 1);
    assert_int_equal(verdict.points, 1);
}

/* ---- reproducibility */

static float seen[2][64];

FAULT(records_input, memcpy(seen[plant.run - 1], b->at[FV_X], sizeof seen[0]))

static void seeds_replay(void **state) {
    (void)state;
    const fv_operation op = parse("relu elements=64");
    for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
        fv_kernel row = planted_row(&op, FV_FORWARD, records_input);
        float first[64];
        verify(&row, &op, fill, SEED);
        memcpy(first, seen[0], sizeof first);
        assert_memory_equal(first, seen[1], sizeof first);
        verify(&row, &op, fill, SEED);
        assert_memory_equal(first, seen[0], sizeof first);
        verify(&row, &op, fill, SEED + 1);
        assert_memory_not_equal(first, seen[0], sizeof first);

        /* What fv_generate gives is what the kernel sees, whatever the dtype; and an element depends on its own index,
         * not on the tensor's size. */
        static const char *const texts[] = {"relu elements=64", "relu elements=64 slope=0 dtype=f64",
                                            "relu elements=65"};
        for (int i = 0; i < 3; ++i) {
            const fv_operation other = parse(texts[i]);
            fv_host_tensors t;
            assert_int_equal(fv_generate(&other, FV_FORWARD, fill, SEED, &t), FV_OK);
            for (int e = 0; e < 64; ++e)
                assert_true(((const double *)t.at[FV_X])[e] == (double)first[e]);
            fv_host_tensors_release(&t);
        }
        row = planted_row(&op, FV_FORWARD, spoils_some);
        const fv_verdict once = verify(&row, &op, fill, SEED), again = verify(&row, &op, fill, SEED);
        const fv_verdict other = verify(&row, &op, fill, SEED + 1);
        assert_string_equal(once.reason, again.reason);
        assert_memory_equal(once.point, again.point, sizeof once.point);
        assert_memory_not_equal(once.point, other.point, sizeof once.point);
    }
    /* Tensors of one operation hold different numbers. */
    const fv_operation pair = parse("linear n=8 c=8 k=8");
    fv_host_tensors t;
    assert_int_equal(fv_generate(&pair, FV_FORWARD, FV_BOUNDED, SEED, &t), FV_OK);
    assert_memory_not_equal(t.at[FV_X], t.at[FV_W], 64 * sizeof(double));
    fv_host_tensors_release(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(second_runs_are_judged),
        cmocka_unit_test(results_beyond_the_dtype_are_rounded),
        cmocka_unit_test(other_failures_are_no_verdict),
        cmocka_unit_test(zeros_are_mistrusted),
        cmocka_unit_test(omitted_tensors_are_left_out),
        cmocka_unit_test(inapplicable_checks_say_why),
        cmocka_unit_test(points_tell_where),
        cmocka_unit_test(seeds_replay),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
