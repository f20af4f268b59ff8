/* What a proof by an excerpt says where it is neither right nor wrong, and what it leaves out. */
#include "planted.h"

#include <unistd.h>

#include "verify/excerpt.h"

/* The true results of an operation in f32, by role; release them. */
static void make_outputs(const fv_excerpt *excerpt, void *outputs[FV_MAX_SPECS]) {
    fv_host_tensors truth;
    assert_int_equal(fv_generate(&excerpt->op, excerpt->pass, FV_BOUNDED, SEED, &truth), FV_OK);
    assert_int_equal(fv_run_reference(&excerpt->op, excerpt->pass, &truth), FV_OK);
    for (int i = 0; i < FV_MAX_SPECS; ++i) {
        const fv_tensor_spec *spec = &excerpt->specs[i];
        outputs[i] = NULL;
        if (i >= excerpt->count || spec->direction == FV_IN)
            continue;
        outputs[i] = malloc(fv_spec_bytes(spec) + 1);
        assert_non_null(outputs[i]);
        if (spec->dtype != FV_F32)
            memcpy(outputs[i], truth.at[spec->role], fv_spec_bytes(spec));
        for (int64_t e = 0; spec->dtype == FV_F32 && e < fv_shape_elements(&spec->shape); ++e)
            ((float *)outputs[i])[e] = (float)((const double *)truth.at[spec->role])[e];
    }
    fv_host_tensors_release(&truth);
}

static void release_outputs(void *outputs[FV_MAX_SPECS]) {
    for (int i = 0; i < FV_MAX_SPECS; ++i)
        free(outputs[i]);
}

static fv_excerpt begin(const char *text, fv_pass pass, double budget, const char *scope) {
    const fv_operation op = parse(text);
    fv_excerpt excerpt;
    if (fv_excerpt_begin(&excerpt, &op, pass, SEED, budget) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    if (strcmp(excerpt.scope, scope))
        fail_msg("%s: compares '%s', expected '%s'", text, excerpt.scope, scope);
    return excerpt;
}

static fv_proof prove(fv_excerpt *excerpt, uint64_t omits, unsigned notes, void *const outputs[FV_MAX_SPECS]) {
    const fv_kernel kernel = {.name = "plain", .omits = omits};
    const fv_numerics numerics = {.notes = notes};
    const void *given[FV_MAX_SPECS];
    for (int i = 0; i < FV_MAX_SPECS; ++i)
        given[i] = outputs[i];
    fv_proof proof;
    if (fv_excerpt_judge(excerpt, &kernel, &numerics, given, &proof) != FV_OK)
        fail_msg("not carried out: %s", fv_error_message());
    return proof;
}

static void expect_proof(const fv_proof *proof, fv_outcome outcome, const char *reason) {
    if (proof->outcome != outcome || !strstr(proof->reason, reason) || (!*reason && *proof->reason))
        fail_msg("%s '%s', expected %s '%s'", fv_outcome_name(proof->outcome), proof->reason, fv_outcome_name(outcome),
                 reason);
}

static void scopes_say_what_is_compared(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_pass pass;
        double budget;
        const char *scope;
    } cases[] = {
        {"conv2d n=2 c=3 h=5 w=5 k=4 kernel=3x3", FV_FORWARD, 1944, "whole"}, /* that many products */
        {"conv2d n=2 c=3 h=5 w=5 k=4 kernel=3x3", FV_FORWARD, 1943, "k=3 of 4"},
        {"conv2d n=2 c=3 h=5 w=5 k=4 kernel=3x3", FV_FORWARD, 1, "n=1 of 2, k=1 of 4, over budget"},
        {"conv2d n=64 c=32 h=5 w=5 k=64 kernel=3x3", FV_FORWARD, 70000, "n=3 of 64, k=8 of 64"},
        {"conv2d n=64 c=32 h=5 w=5 k=64 kernel=3x3 groups=8", FV_FORWARD, 24000, "n=3 of 64, groups=3 of 8"},
        {"conv2d n=64 c=32 h=5 w=5 k=32 kernel=3x3 groups=32", FV_BACKWARD_DATA, 1000, "n=3 of 64, groups=4 of 32"},
        {"conv2d n=64 c=32 h=5 w=5 k=64 kernel=3x3", FV_BACKWARD_WEIGHTS, 50000, "c=2 of 32, k=4 of 64"},
        {"conv2d n=64 c=1 h=5 w=5 k=1 kernel=3x3", FV_BACKWARD_WEIGHTS, 1, "whole, over budget"},
        {"conv2d n=0 c=3 h=5 w=5 k=4 kernel=3x3", FV_FORWARD, 0, "whole"},
        {"relu elements=100", FV_FORWARD, 1, "whole"},
        {"avgpool n=2 c=3 h=6 w=6 kernel=2x2", FV_FORWARD, 1, "whole"},
        {"maxpool n=2 c=3 h=6 w=6 kernel=2x2", FV_BACKWARD_DATA, 1, "whole"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        fv_excerpt excerpt = begin(cases[i].text, cases[i].pass, cases[i].budget, cases[i].scope);
        void *outputs[FV_MAX_SPECS];
        make_outputs(&excerpt, outputs);
        const fv_proof proof = prove(&excerpt, 0, 0, outputs);
        expect_proof(&proof, FV_PASSED, "");
        release_outputs(outputs);
        fv_excerpt_end(&excerpt);
    }
}

/* The first and the last are among them, and what lies between is a matter of the seed. */
static void choices_are_spread(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=90 c=32 h=3 w=3 k=64 kernel=3x3");
    int64_t middle[2] = {0, 0};
    for (uint64_t seed = 0; seed < 20; ++seed) {
        fv_excerpt excerpt;
        assert_int_equal(fv_excerpt_begin(&excerpt, &op, FV_FORWARD, seed, 288 * 3 * 8), FV_OK);
        const int64_t *image = excerpt.index[0][0], *channel = excerpt.index[1][0];
        assert_string_equal(excerpt.scope, "n=3 of 90, k=8 of 64");
        assert_true(image[0] == 0 && image[1] > 0 && image[1] < 89 && image[2] == 89);
        assert_true(channel[0] == 0 && channel[7] == 63);
        for (int i = 1; i < 8; ++i)
            assert_true(channel[i] > channel[i - 1] && channel[i] - channel[i - 1] < 2 * 62 / 6 + 2);
        middle[image[1] >= 45]++;
        fv_excerpt_end(&excerpt);
    }
    assert_true(middle[0] > 0 && middle[1] > 0);
}

/* No bound, no verdict; but what was never written is wrong by any bound. */
static void arithmetic_without_a_bound_is_skipped(void **state) {
    (void)state;
    fv_excerpt excerpt = begin("conv2d n=9 c=8 h=7 w=7 k=9 kernel=3x3", FV_FORWARD, 40000, "n=3 of 9, k=7 of 9");
    void *outputs[FV_MAX_SPECS];
    make_outputs(&excerpt, outputs);
    const int y = excerpt.count - 1;
    fv_proof proof = prove(&excerpt, 0, FV_NOTE_FFT, outputs);
    expect_proof(&proof, FV_SKIPPED, "no error bound");
    assert_int_equal(proof.compared, 0);
    memset((float *)outputs[y] + 100, 0xFF, 3 * sizeof(float));
    proof = prove(&excerpt, 0, FV_NOTE_FFT, outputs);
    expect_proof(&proof, FV_FAILED, "3 of 2025 elements of y are NaN, 3 of them poison");
    assert_int_equal(proof.wrong, 3);
    assert_int_equal(proof.compared, 3);
    release_outputs(outputs);
    fv_excerpt_end(&excerpt);
}

/* Nothing was written: more is wrong than the excerpt has elements, but not more than was looked at. */
static void wrong_elements_are_among_the_compared(void **state) {
    (void)state;
    fv_excerpt excerpt = begin("conv2d n=9 c=8 h=7 w=7 k=9 kernel=3x3", FV_FORWARD, 40000, "n=3 of 9, k=7 of 9");
    void *outputs[FV_MAX_SPECS];
    make_outputs(&excerpt, outputs);
    float *y = outputs[excerpt.count - 1];
    memset(y, 0xFF, 2025 * sizeof *y);
    fv_proof proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_FAILED, "2025 of 2025 elements of y are NaN, 2025 of them poison");
    assert_int_equal(proof.wrong, 2025);
    assert_int_equal(proof.compared, 2025);
    for (int e = 1; e < 2025; ++e)
        y[e] = 1e6f;
    proof = prove(&excerpt, 0, 0, outputs);
    assert_int_equal(proof.wrong, 525);
    assert_int_equal(proof.compared, 525);
    release_outputs(outputs);
    fv_excerpt_end(&excerpt);
}

/* Other arithmetic has wider bounds, and the part's are made anew. */
static void notes_choose_the_bounds(void **state) {
    (void)state;
    fv_excerpt excerpt = begin("conv2d n=9 c=8 h=7 w=7 k=9 kernel=3x3", FV_FORWARD, 40000, "n=3 of 9, k=7 of 9");
    void *outputs[FV_MAX_SPECS];
    make_outputs(&excerpt, outputs);
    float *y = outputs[excerpt.count - 1];
    const double *bounds;
    assert_int_equal(fv_trial_bounds(&excerpt.part, excerpt.count - 1, 0, &bounds), FV_OK);
    y[0] += (float)(2 * bounds[0]);
    fv_proof proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_FAILED, "1 of 525 elements of y that were compared are wrong, first y[0,0,0,0] = ");
    proof = prove(&excerpt, 0, FV_NOTE_TF32, outputs);
    expect_proof(&proof, FV_PASSED, "");
    assert_true(proof.worst > 0 && proof.worst < 1);
    release_outputs(outputs);
    fv_excerpt_end(&excerpt);
}

static void zeros_are_mistrusted(void **state) {
    (void)state;
    /* Every window lies in the padding. */
    fv_excerpt excerpt =
        begin("conv2d n=9 c=1 h=1 w=1 k=9 kernel=1x1 stride=3 pad=1,0,1,0", FV_FORWARD, 20, "n=3 of 9, k=6 of 9");
    void *outputs[FV_MAX_SPECS];
    make_outputs(&excerpt, outputs);
    fv_proof proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_MISTRUSTED, "all expected elements are zero");
    ((float *)outputs[excerpt.count - 1])[0] = 1;
    proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_FAILED, "1 of 18 elements");
    release_outputs(outputs);
    fv_excerpt_end(&excerpt);
}

static void omitted_tensors_are_left_out(void **state) {
    (void)state;
    fv_excerpt excerpt = begin("maxpool n=2 c=3 h=40 w=40 kernel=16x16 stride=2", FV_FORWARD, 1, "whole");
    void *outputs[FV_MAX_SPECS];
    make_outputs(&excerpt, outputs);
    int argmax = 0;
    while (excerpt.specs[argmax].role != FV_ARGMAX)
        ++argmax;
    const int64_t elements = fv_shape_elements(&excerpt.specs[argmax].shape);
    uint8_t *position = outputs[argmax];
    fv_proof proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_PASSED, ""); /* 0xFF is a position as good as any */
    assert_int_equal(proof.compared, 2 * elements);
    position[5] ^= 1;
    proof = prove(&excerpt, 0, 0, outputs);
    expect_proof(&proof, FV_FAILED, "of argmax that were compared are wrong, first argmax[0,0,1,2] = ");
    assert_int_equal(proof.wrong, 1);
    proof = prove(&excerpt, UINT64_C(1) << FV_ARGMAX, 0, outputs);
    expect_proof(&proof, FV_PASSED, "");
    assert_int_equal(proof.compared, elements);
    free(outputs[argmax]);
    outputs[argmax] = NULL;
    proof = prove(&excerpt, UINT64_C(1) << FV_ARGMAX, 0, outputs);
    expect_proof(&proof, FV_PASSED, "");
    const fv_kernel kernel = {.name = "plain"};
    const fv_numerics numerics = {0};
    assert_int_equal(fv_excerpt_judge(&excerpt, &kernel, &numerics, (const void *const *)outputs, &proof),
                     FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "the outputs to be judged lack argmax");
    release_outputs(outputs);
    fv_excerpt_end(&excerpt);
}

/* What fits by itself may not fit with all that a proof needs, and must not be tried. */
static void memory_is_counted_before_it_is_used(void **state) {
    (void)state;
    char text[64];
    const int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    snprintf(text, sizeof text, "relu elements=%lld", (long long)bytes / 32); /* two tensors, a quarter of it */
    const fv_operation op = parse(text);
    fv_excerpt excerpt;
    assert_int_equal(fv_excerpt_begin(&excerpt, &op, FV_FORWARD, SEED, 1), FV_NO_MEMORY);
    assert_non_null(strstr(fv_error_message(), "no memory to prove the result"));
    fv_excerpt_end(&excerpt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_say_what_is_compared),
        cmocka_unit_test(choices_are_spread),
        cmocka_unit_test(arithmetic_without_a_bound_is_skipped),
        cmocka_unit_test(wrong_elements_are_among_the_compared),
        cmocka_unit_test(notes_choose_the_bounds),
        cmocka_unit_test(zeros_are_mistrusted),
        cmocka_unit_test(omitted_tensors_are_left_out),
        cmocka_unit_test(memory_is_counted_before_it_is_used),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
