/* The ways that cuDNN offers for a convolution, without a GPU: which of its engines are admitted, what becomes of one
 * that it refuses, and how long they live. */
#include "fake_cudnn.h"
#include "ops/op.h"

static fv_operation conv2d(const char *text) {
    fv_operation op;
    assert_int_equal(fv_operation_parse(text, &op), FV_OK);
    return op;
}

static const fv_kernel *row_in(fv_dtype dtype, const char *name) {
    for (const fv_kernel *row = fv_cudnn_conv2d_kernels; row->name; ++row)
        if (row->kind == FV_CONV2D && row->pass == FV_FORWARD && row->dtype == dtype && !strcmp(row->name, name))
            return row;
    fail_msg("no row %s in %s", name, fv_dtype_name(dtype));
    return NULL;
}

static const fv_kernel *row_named(const char *name) {
    return row_in(FV_F32, name);
}

/* Seven engines, of which 2, 3, 6 and 7 are in true fp32, and 2 and 7 in the same bits on every run. 2 comes with two
 * settings, and several are listed more than once. */
static int open_with_engines(void **state) {
    static const fake_config a[] = {{1, 0}, {2, 0}, {3, 0}, {2, 1}, {3, 0}}, b[] = {{2, 1}, {6, 0}, {8, 0}},
                             fallback[] = {{4, 0}, {5, 0}, {2, 0}, {7, 0}};
    fake_open(state);
    fake_notes(1, 1, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    fake_notes(3, 2, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC); /* and Winograd */
    fake_notes(4, 1, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
    fake_notes(5, 1, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
    fake_notes(6, 1, CUDNN_NUMERICAL_NOTE_FFT);
    fake_notes(7, 1, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP);
    fake_notes(8, 1, CUDNN_NUMERICAL_NOTE_TYPE_COUNT); /* one that is not known */
    memcpy(fake.lists[CUDNN_HEUR_MODE_A], a, sizeof a);
    memcpy(fake.lists[CUDNN_HEUR_MODE_B], b, sizeof b);
    memcpy(fake.lists[CUDNN_HEUR_MODE_FALLBACK], fallback, sizeof fallback);
    fake.knobs = 1;
    return 0;
}

static const char text[] = "conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3";

/* Prepares a way, or what the row chooses (-1), and compares what is said of it. */
static void assert_takes(const fv_kernel *row, const fv_operation *op, int way, const char *description) {
    void *plan = NULL;
    fv_numerics numerics = {0};
    const fv_status status =
        way < 0 ? row->prepare(&fake_context, op, &plan) : row->prepare_way(&fake_context, op, way, &plan);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    row->numerics(op, plan, &numerics);
    assert_string_equal(numerics.description, description);
    row->release(plan);
}

static void ways_are_the_engines_in_fp32(void **state) {
    (void)state;
    static const char *const names[] = {"cudnn_best", "cudnn_nchw"};
    static const char *const expected[] = {"engine 2, f32 math, no notes; k10=0",
                                           "engine 3, f32 math, nondeterministic winograd; k10=0",
                                           "engine 2, f32 math, no notes; k10=1", "engine 6, f32 math, fft; k10=0",
                                           "engine 7, f32 math, strict_nan_prop; k10=0"};
    const fv_operation op = conv2d(text);
    for (int n = 0; n < 2; ++n) {
        int count = 0;
        const fv_kernel *row = row_named(names[n]);
        fake.asked = 0;
        assert_int_equal(row->ways(&fake_context, &op, &count), FV_OK);
        assert_int_equal(count, 5);
        for (int way = 0; way < count; ++way)
            assert_takes(row, &op, way, expected[way]);
        assert_takes(row, &op, -1, expected[0]);
        assert_int_equal(fake.asked, 3); /* each mode once, for all of them */
    }
}

/* In the other dtypes tensor cores are welcome. Sums in 16 bits are not, nor inputs that become something else, nor, where
 * tensors have 16 bits, transforms. */
static void ways_are_those_of_the_dtype(void **state) {
    (void)state;
    static const struct {
        fv_dtype dtype;
        const char *ways[7], *fastest;
    } cases[] = {
        {FV_TF32,
         {"engine 1, tf32 math, tensor_core; k10=0", "engine 2, f32 math, no notes; k10=0",
          "engine 3, f32 math, nondeterministic winograd; k10=0", "engine 2, f32 math, no notes; k10=1",
          "engine 6, f32 math, fft; k10=0", "engine 7, f32 math, strict_nan_prop; k10=0"},
         "engine 5, tf32 math, down_convert_inputs; k10=0"},
        {FV_BF16,
         {"engine 1, bf16 math, tensor_core; k10=0", "engine 2, bf16 math, no notes; k10=0",
          "engine 2, bf16 math, no notes; k10=1", "engine 7, bf16 math, strict_nan_prop; k10=0"},
         "engine 4, bf16 math, 16-bit sums, reduced_precision_reduction; k10=0"},
        {FV_F16,
         {"engine 1, f16 math, tensor_core; k10=0", "engine 2, f16 math, no notes; k10=0",
          "engine 2, f16 math, no notes; k10=1", "engine 7, f16 math, strict_nan_prop; k10=0"},
         "engine 4, f16 math, 16-bit sums, reduced_precision_reduction; k10=0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        fv_operation op = conv2d(text);
        const fv_dtype dtype = cases[i].dtype;
        fv_operation_set_dtype(&op, dtype);
        const fv_kernel *best = row_in(dtype, "cudnn_best");
        int count = 0, expected = 0;
        while (cases[i].ways[expected])
            ++expected;
        open_with_engines(state);
        assert_int_equal(best->ways(&fake_context, &op, &count), FV_OK);
        assert_int_equal(count, expected);
        for (int way = 0; way < count; ++way)
            assert_takes(best, &op, way, cases[i].ways[way]);
        assert_takes(row_in(dtype, "cudnn"), &op, -1, cases[i].ways[0]);
        fv_cudnn_convolution_forget(&fake_device);
        /* the fastest row takes what the others do not */
        memset(fake.lists, 0, sizeof fake.lists);
        fake.lists[CUDNN_HEUR_MODE_A][0].engine = 5;
        fake.lists[CUDNN_HEUR_MODE_A][1].engine = 4;
        assert_takes(row_in(dtype, "cudnn_fastest"), &op, -1, cases[i].fastest);
    }
}

/* With a bias there are those that add it, and then those that leave that to another function. */
static void a_bias_doubles_the_ways(void **state) {
    (void)state;
    const fv_operation op = conv2d("conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3 bias=1");
    const fv_kernel *row = row_named("cudnn_best");
    int count = 0;
    assert_int_equal(row->ways(&fake_context, &op, &count), FV_OK);
    assert_int_equal(count, 10);
    assert_takes(row, &op, 4, "engine 7, f32 math, strict_nan_prop; k10=0");
    assert_int_equal(fake.biases, 0);
    assert_takes(row, &op, 5, "engine 2, f32 math, no notes; k10=0, then the bias");
    assert_int_equal(fake.biases, 1);
    assert_takes(row, &op, 9, "engine 7, f32 math, strict_nan_prop; k10=0, then the bias");
    assert_int_equal(fake.asked, 6);
}

/* The other rows take the first that is theirs, and ask no further. */
static void other_rows_take_the_first(void **state) {
    (void)state;
    const fv_operation op = conv2d(text);
    assert_takes(row_named("cudnn"), &op, -1, "engine 2, f32 math, no notes; k10=0");
    assert_takes(row_named("cudnn_fastest"), &op, -1, "engine 1, tf32 math, tensor_core; k10=0");
    assert_int_equal(fake.asked, 2);
    fake.engines[2].refused = true;
    assert_takes(row_named("cudnn"), &op, -1, "engine 7, f32 math, strict_nan_prop; k10=0");
    assert_null(row_named("cudnn")->ways);
    assert_null(row_named("cudnn_fastest")->ways);
}

static void a_refused_way_spoils_no_other(void **state) {
    (void)state;
    const fv_operation op = conv2d(text);
    const fv_kernel *row = row_named("cudnn_best");
    int count = 0;
    void *plan = NULL;
    fake.engines[2].refused = true;
    fake.engines[3].workspace = INT64_MAX;
    fake.engines[6].workspace = -1;
    assert_int_equal(row->ways(&fake_context, &op, &count), FV_OK);
    assert_int_equal(count, 5);
    for (int way = 0; way < count - 1; ++way) {
        assert_int_equal(row->prepare_way(&fake_context, &op, way, &plan), FV_UNSUPPORTED);
        assert_null(plan);
    }
    assert_takes(row, &op, 4, "engine 7, f32 math, strict_nan_prop; k10=0");
    assert_takes(row, &op, -1, "engine 7, f32 math, strict_nan_prop; k10=0");
    assert_int_equal(row->prepare_way(&fake_context, &op, 2, &plan), FV_UNSUPPORTED);
    assert_string_equal(fv_error_message(), "engine 2: cudnn: cannot complete a part of a graph: not supported");
    assert_int_equal(row->prepare_way(&fake_context, &op, 5, &plan), FV_BAD_INPUT);
}

static void none_may_be_offered(void **state) {
    (void)state;
    const fv_operation op = conv2d(text);
    const fv_kernel *row = row_named("cudnn_best");
    int count = 0;
    void *plan = NULL;
    memset(fake.lists, 0, sizeof fake.lists);
    fake.lists[CUDNN_HEUR_MODE_A][0].engine = 1;
    assert_int_equal(row->ways(&fake_context, &op, &count), FV_UNSUPPORTED);
    assert_string_equal(fv_error_message(), "cudnn: no engine runs this in true fp32");
    assert_int_equal(row->prepare(&fake_context, &op, &plan), FV_UNSUPPORTED);
    assert_int_equal(row->prepare_way(&fake_context, &op, 0, &plan), FV_UNSUPPORTED);
}

/* What two operations share, and what outlives what. */
static void ways_outlive_other_operations(void **state) {
    (void)state;
    const fv_operation op = conv2d(text), other = conv2d("conv2d n=3 c=8 h=8 w=8 k=8 kernel=3x3");
    const fv_kernel *row = row_named("cudnn_best");
    void *first = NULL, *second = NULL, *third = NULL;
    assert_int_equal(row->prepare_way(&fake_context, &op, 1, &first), FV_OK);
    assert_int_equal(row->prepare_way(&fake_context, &other, 1, &second), FV_OK);
    assert_int_equal(fake.asked, 6);
    assert_int_equal(row->prepare_way(&fake_context, &other, 2, &third), FV_OK);
    assert_int_equal(fake.asked, 6);
    const int alive = fake.alive;
    row->release(first);
    assert_true(fake.alive < alive - 1); /* with its graph, which nobody uses any more */
    row->release(second);
    fv_cudnn_convolution_forget(&fake_device);
    assert_true(fake.alive > 1); /* the third still has it */
    row->release(third);
    assert_int_equal(fake.alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ways_are_the_engines_in_fp32, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(ways_are_those_of_the_dtype, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(a_bias_doubles_the_ways, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(other_rows_take_the_first, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(a_refused_way_spoils_no_other, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(none_may_be_offered, open_with_engines, fake_close),
        cmocka_unit_test_setup_teardown(ways_outlive_other_operations, open_with_engines, fake_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
