/* Kernels whose tensors lie in NCHW: the conversion, and their verification. */
#include "planted.h"

#include "verify/excerpt.h"

enum { MOST_BYTES = 8 * 3 * 70 * 45 * 37 };

static uint8_t source[MOST_BYTES], there[MOST_BYTES], back[MOST_BYTES];

static void tensors_of_rank_4_are_turned(void **state) {
    (void)state;
    static const fv_dtype dtypes[] = {FV_U8, FV_I32, FV_F32, FV_F64};
    static const int64_t shapes[][4] = {{1, 1, 1, 1}, {2, 3, 5, 7},    {1, 1, 1, 40}, {3, 40, 1, 1},
                                        {5, 1, 9, 1}, {3, 70, 45, 37}, {2, 8, 8, 64}, {0, 3, 3, 3}};
    for (size_t i = 0; i < sizeof source; ++i)
        source[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t t = 0; t < sizeof dtypes / sizeof dtypes[0]; ++t)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; ++s) {
            const int64_t *dim = shapes[s];
            const fv_tensor_spec spec = {FV_X, FV_IN, dtypes[t], {4, {dim[0], dim[1], dim[2], dim[3]}}, "nhwc"};
            const size_t size = fv_dtype_size(spec.dtype);
            fv_layout_convert(&spec, FV_NHWC, FV_NCHW, source, there);
            for (int64_t n = 0; n < dim[0]; ++n)
                for (int64_t pixel = 0; pixel < dim[1] * dim[2]; ++pixel)
                    for (int64_t c = 0; c < dim[3]; ++c) {
                        const int64_t from = (n * dim[1] * dim[2] + pixel) * dim[3] + c;
                        const int64_t to = (n * dim[3] + c) * dim[1] * dim[2] + pixel;
                        if (memcmp(there + (size_t)to * size, source + (size_t)from * size, size))
                            fail_msg("shape %d: element %lld", (int)s, (long long)from);
                    }
            memset(back, 0, sizeof back);
            fv_layout_convert(&spec, FV_NCHW, FV_NHWC, there, back);
            assert_memory_equal(back, source, fv_spec_bytes(&spec));
            fv_layout_convert(&spec, FV_NCHW, FV_NCHW, source, there);
            assert_memory_equal(there, source, fv_spec_bytes(&spec));
        }
}

static void others_are_copied(void **state) {
    (void)state;
    const fv_shape shapes[] = {{1, {60}}, {2, {6, 10}}, {6, {1, 2, 3, 2, 5, 1}}};
    for (int i = 0; i < 3; ++i) {
        const fv_tensor_spec spec = {FV_W, FV_IN, FV_F32, shapes[i], "pqkrsc"};
        for (fv_layout layout = FV_NHWC; layout <= FV_NCHW; ++layout) {
            memset(there, 0, sizeof there);
            fv_layout_convert(&spec, layout, layout == FV_NHWC ? FV_NCHW : FV_NHWC, source, there);
            assert_memory_equal(there, source, 240);
        }
    }
}

/* A kernel in NCHW: the reference's, on copies of its tensors. */
static fv_status run_in_nchw(fv_context *context, const fv_operation *op, void *kernel_state, const fv_buffers *b) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, plant.truth->pass, specs);
    fv_buffers copies = {.workspace = b->workspace};
    for (int i = 0; i < count; ++i) {
        copies.at[specs[i].role] = malloc(fv_spec_bytes(&specs[i]));
        fv_layout_convert(&specs[i], FV_NCHW, FV_NHWC, b->at[specs[i].role], copies.at[specs[i].role]);
    }
    const fv_status status = run_planted(context, op, kernel_state, &copies);
    for (int i = 0; i < count; ++i) {
        fv_layout_convert(&specs[i], FV_NHWC, FV_NCHW, copies.at[specs[i].role], b->at[specs[i].role]);
        free(copies.at[specs[i].role]);
    }
    return status;
}

static fv_kernel nchw_row(const fv_operation *op, fv_pass pass, fault *spoil) {
    fv_kernel row = planted_row(op, pass, spoil);
    row.layout = FV_NCHW;
    row.on_request = true;
    row.run = run_in_nchw;
    return row;
}

/* The three passes of convolutions, and operations whose tensors include bytes, vectors and results of the forward pass. */
static void kernels_in_nchw_pass(void **state) {
    (void)state;
    static const char *const cases[] = {
        "conv2d n=2 c=3 h=5 w=4 k=6 kernel=3x2 pad=1 groups=3 bias=1",
        "conv2d n=2 c=3 h=5 w=4 k=6 kernel=3x2 pad=1 dtype=f64",
        "conv2d_transposed n=2 c=3 h=5 w=4 k=6 kernel=3x2 stride=2 groups=3 bias=1",
        "maxpool n=2 c=5 h=6 w=7 kernel=2x2",
        "batchnorm n=3 c=5 h=4 w=3",
    };
    int passed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            const fv_operation op = parse(cases[i]);
            if (!fv_operation_has_pass(&op, pass))
                continue;
            for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
                const fv_kernel row = nchw_row(&op, pass, NULL);
                const fv_verdict verdict = verify(&row, &op, fill, SEED);
                if (verdict.outcome == FV_SKIPPED)
                    continue;
                expect_verdict(cases[i], &verdict, FV_PASSED, "");
                assert_true(verdict.repeated && verdict.deterministic);
                ++passed;
            }
        }
    assert_true(passed >= 24);
}

/* One that takes NCHW for NHWC is wrong, and so is one whose row does not tell that it does not. */
static void forgotten_conversions_are_found(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=2 c=3 h=5 w=4 k=6 kernel=3x2 pad=1");
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
        for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
            fv_kernel row = nchw_row(&op, pass, NULL);
            row.run = run_planted;
            fv_verdict verdict = verify(&row, &op, fill, SEED);
            expect_verdict("takes NCHW for NHWC", &verdict, FV_FAILED, "are wrong");
            row = nchw_row(&op, pass, NULL);
            row.layout = FV_NHWC;
            verdict = verify(&row, &op, fill, SEED);
            expect_verdict("takes NHWC for NCHW", &verdict, FV_FAILED, "are wrong");
        }
}

FAULT(spoils_one, ((float *)b->at[FV_Y])[((1 * 5 + 2) * 4 + 3) * 6 + 1] += 1)
FAULT(forgets_one, memset((float *)b->at[FV_Y] + 17, 0xFF, sizeof(float)))
FAULT(changes_input, ((float *)b->at[FV_X])[0] += 1)

/* Where a fault lies is told in NHWC, like that of any other kernel; and the guard bands stay. */
__attribute__((no_sanitize("address"))) static fv_status writes_behind(fv_context *context, const fv_operation *op,
                                                                       void *kernel_state, const fv_buffers *b) {
    ((volatile uint8_t *)b->at[FV_Y])[2 * 5 * 4 * 6 * sizeof(float)] = 0;
    return run_in_nchw(context, op, kernel_state, b);
}

static void faults_are_told_in_nhwc(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=2 c=3 h=5 w=4 k=6 kernel=3x3 pad=1");
    fv_kernel row = nchw_row(&op, FV_FORWARD, spoils_one);
    fv_verdict verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("one", &verdict, FV_FAILED, "1 of 240 elements of y are wrong");
    assert_int_equal(verdict.point[0].index, ((1 * 5 + 2) * 4 + 3) * 6 + 1);
    row = nchw_row(&op, FV_FORWARD, forgets_one);
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("one", &verdict, FV_FAILED, "1 of them poison");
    assert_int_equal(verdict.point[0].index, 17);
    row = nchw_row(&op, FV_FORWARD, changes_input);
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("input", &verdict, FV_FAILED, "wrote to its input x");
    row = nchw_row(&op, FV_FORWARD, NULL);
    row.run = writes_behind;
    verdict = verify(&row, &op, FV_EXACT, SEED);
    expect_verdict("behind", &verdict, FV_FAILED, "wrote outside y, at byte 960 of 960");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_rank_4_are_turned), cmocka_unit_test(others_are_copied),
        cmocka_unit_test(kernels_in_nchw_pass),         cmocka_unit_test(forgotten_conversions_are_found),
        cmocka_unit_test(faults_are_told_in_nhwc),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
