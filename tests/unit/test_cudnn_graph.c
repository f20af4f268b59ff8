/* Building cuDNN's graphs without a GPU. Whatever call fails, every part must be destroyed, once, and none used
 * afterwards (the sanitizers see that). */
#include "fake_cudnn.h"
#include "ops/op.h"

/* Everything that a row can prepare. */
static void prepare_all(const fv_kernel *row, const fv_operation *op) {
    void *plan = NULL;
    int count = 0;
    if (row->prepare(&fake_context, op, &plan) == FV_OK)
        row->release(plan);
    if (row->ways && row->ways(&fake_context, op, &count) != FV_OK)
        return;
    for (int way = 0; way < count; ++way)
        if (row->prepare_way(&fake_context, op, way, &plan) == FV_OK)
            row->release(plan);
}

static void parts_are_destroyed(void **state) {
    (void)state;
    static const char *const texts[FV_KINDS] = {
        [FV_CONV2D] = "conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3 bias=1",
        [FV_TRANSPOSED] = "conv2d_transposed n=2 c=8 h=8 w=8 k=8 kernel=3x3 bias=1",
    };
    fake_notes(1, 1, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    fake_notes(2, 1, CUDNN_NUMERICAL_NOTE_TYPE_COUNT); /* one that is not known */
    fake_notes(3, CUDNN_NUMERICAL_NOTE_TYPE_COUNT + 1, (cudnnBackendNumericalNote_t)0);
    fake.engines[5].refused = true;
    for (int i = 0; i < 5; ++i)
        fake.lists[CUDNN_HEUR_MODE_A][i].engine = i < 4 ? i + 1 : 6;
    fake.lists[CUDNN_HEUR_MODE_B][0] = fake.lists[CUDNN_HEUR_MODE_FALLBACK][0] = (fake_config){5, 0};
    fake.knobs = 5;
    for (const fv_kernel *row = fv_cudnn_conv2d_kernels; row->name; ++row) {
        fv_operation op;
        bool failed = true;
        assert_int_equal(fv_operation_parse(texts[row->kind], &op), FV_OK);
        fv_operation_set_dtype(&op, row->dtype);
        if (row->kind == FV_CONV2D)
            op.conv2d.relu = row->pass == FV_FORWARD;
        for (fake.fails_at = 1; failed; ++fake.fails_at) {
            fake.calls = 0;
            prepare_all(row, &op);
            failed = fake.calls >= fake.fails_at;
            fv_cudnn_convolution_forget(&fake_device);
            assert_int_equal(fake.alive, 0);
        }
        assert_true(fake.fails_at > 100);
    }
}

/* What cuDNN says of an engine, and how it reads: whole words, as many as there is room for. */
static void engines_are_described(void **state) {
    (void)state;
    static const struct {
        fv_dtype dtype;
        cudnnBackendNumericalNote_t first;
        int64_t count;
        unsigned notes;
        bool strict;
        const char *description;
    } cases[] = {
        {FV_F32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0, 0, true, "engine 1, f32 math, no notes"},
        {FV_F32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 1, FV_NOTE_TF32_CUT, false, "engine 1, tf32 math, tensor_core"},
        {FV_TF32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 1, FV_NOTE_TF32_CUT, true, "engine 1, tf32 math, tensor_core"},
        {FV_TF32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0, 0, true, "engine 1, f32 math, no notes"},
        {FV_TF32, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 1, FV_NOTE_TF32_CUT, false,
         "engine 1, tf32 math, down_convert_inputs"},
        {FV_BF16, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 1, 0, true, "engine 1, bf16 math, tensor_core"},
        {FV_F16, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 1, 0, true, "engine 1, f16 math, tensor_core"},
        {FV_F16, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 1, FV_NOTE_HALF_SUMS, false,
         "engine 1, f16 math, 16-bit sums, reduced_precision_reduction"},
        {FV_F32, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, 1, 0, true, "engine 1, f32 math, strict_nan_prop"},
        {FV_F32, CUDNN_NUMERICAL_NOTE_WINOGRAD, 1, FV_NOTE_WINOGRAD_9X9, false, "engine 1, f32 math, winograd"},
        {FV_TF32, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 1, 0, false, "engine 1, f32 math, nondeterministic"},
        {FV_TF32, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, 1, FV_NOTE_WINOGRAD_2X2, false,
         "engine 1, f32 math, winograd_tile_4x4"},
        {FV_F32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 9,
         FV_NOTE_TF32_CUT | FV_NOTE_HALF_SUMS | FV_NOTE_FFT | FV_NOTE_WINOGRAD_2X2 | FV_NOTE_WINOGRAD_4X4 |
             FV_NOTE_WINOGRAD_9X9,
         false,
         "engine 1, tf32 math, 16-bit sums, tensor_core down_convert_inputs reduced_precision_reduction fft "
         "nondeterministic winograd ..."},
    };
    fake_part config = {.number = 1, .setting = 4};
    fv_cudnn_graph graph;
    fv_cudnn_engine engine;
    fv_cudnn_graph_begin(&graph, &fake_device, FV_CUDNN_FASTEST, FV_NHWC, FV_F32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        graph.dtype = cases[i].dtype;
        fake_notes(1, cases[i].count, cases[i].first);
        assert_int_equal(fv_cudnn_examine(&graph, &config, &engine), FV_OK);
        assert_int_equal(engine.strict, cases[i].strict);
        const fv_numerics numerics = fv_cudnn_describe(&graph, &engine);
        assert_int_equal(numerics.notes, cases[i].notes);
        assert_string_equal(numerics.description, cases[i].description);
    }
    static const char *const with_knobs[] = {
        [2] = "engine 1, f32 math, strict_nan_prop; k10=4 k11=11",
        [20] = "engine 1, f32 math, strict_nan_prop; k10=4 k11=11 k12=12 k13=13 k14=14 k15=15 k16=16 k17=17 k18=18 "
               "k19=19 k20=20 k21=21...",
    };
    graph.dtype = FV_F32;
    fake_notes(1, 1, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP);
    for (fake.knobs = 2; fake.knobs <= 20; fake.knobs += 18) {
        assert_int_equal(fv_cudnn_examine(&graph, &config, &engine), FV_OK);
        assert_string_equal(fv_cudnn_describe(&graph, &engine).description, with_knobs[fake.knobs]);
    }
    fake_notes(1, 1, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    assert_int_equal(fv_cudnn_examine(&graph, &config, &engine), FV_UNSUPPORTED);
    /* What 16 bits become when they are converted down, nobody says. */
    graph.dtype = FV_BF16;
    fake_notes(1, 1, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
    assert_int_equal(fv_cudnn_examine(&graph, &config, &engine), FV_UNSUPPORTED);
    fv_cudnn_graph_end(&graph);
}

/* The strides of x, w and y, and the format in which the older functions see dy, are those of the row's layout; what they
 * are stored as is that of its dtype. */
static void layouts_are_told(void **state) {
    (void)state;
    static const struct {
        fv_role role;
        int64_t strides[2][4]; /* of n, c, h, w in NHWC and NCHW */
    } tensors[] = {
        {FV_X, {{7 * 9 * 4, 1, 9 * 4, 4}, {4 * 7 * 9, 7 * 9, 9, 1}}},
        {FV_DW, {{3 * 5 * 2, 1, 5 * 2, 2}, {2 * 3 * 5, 3 * 5, 5, 1}}},
        {FV_DY, {{5 * 5 * 6, 1, 5 * 6, 6}, {6 * 5 * 5, 5 * 5, 5, 1}}},
    };
    static const cudnnDataType_t dtypes[FV_DTYPES] = {[FV_F32] = CUDNN_DATA_FLOAT,
                                                      [FV_TF32] = CUDNN_DATA_FLOAT,
                                                      [FV_BF16] = CUDNN_DATA_BFLOAT16,
                                                      [FV_F16] = CUDNN_DATA_HALF};
    fv_operation op;
    assert_int_equal(fv_operation_parse("conv2d n=2 c=4 h=7 w=9 k=6 kernel=3x5 groups=2 bias=1", &op), FV_OK);
    fake.lists[CUDNN_HEUR_MODE_A][0].engine = 1;
    int rows[2] = {0, 0};
    for (const fv_kernel *row = fv_cudnn_conv2d_kernels; row->name; ++row) {
        void *plan = NULL;
        if (row->kind != FV_CONV2D || row->pass != FV_BACKWARD_WEIGHTS)
            continue;
        fv_operation_set_dtype(&op, row->dtype);
        assert_int_equal(row->prepare(&fake_context, &op, &plan), FV_OK);
        row->release(plan);
        for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; ++i)
            assert_memory_equal(fake.strides[tensors[i].role], tensors[i].strides[row->layout],
                                sizeof tensors[i].strides[0]);
        for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; ++i)
            assert_int_equal(fake.dtypes[tensors[i].role], dtypes[row->dtype]);
        assert_int_equal(fake.older_dtype, dtypes[row->dtype]);
        assert_int_equal(fake.format, row->layout == FV_NCHW ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC);
        assert_int_equal(fake.alignment, row->on_request || row->dtype != FV_F32 ? 16 : 4);
        assert_true(row->layout == FV_NHWC || row->on_request);
        ++rows[row->layout];
    }
    assert_int_equal(rows[FV_NHWC], 3 * 4);
    assert_int_equal(rows[FV_NCHW], 1 * 4);
}

/* Bias and ReLU are in the first graph. Where cuDNN has no engine for that, the older functions do them behind a graph that
 * has only the convolution; but they cannot add a bias to what has been rounded to 16 bits. */
static void epilogues_are_fused(void **state) {
    (void)state;
#define CONV2D "conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3 "
    static const struct {
        const char *text;
        int64_t operations; /* in the graph that fuses, */
        cudnnPointwiseMode_t last;
        cudnnDataType_t y;
        int biases, activations; /* of the older functions; -1: they are no help */
        const char *description;
    } cases[] = {
        {CONV2D "bias=1", 2, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, 1, 0, "f32 math, no notes, then the bias"},
        {CONV2D "relu=1", 2, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_FLOAT, 0, 1, "f32 math, no notes, then the ReLU"},
        {CONV2D "bias=1 relu=1 dtype=tf32", 3, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_FLOAT, 1, 1,
         "f32 math, no notes, then the bias, then the ReLU"},
        {CONV2D "bias=1 relu=1 dtype=bf16", 3, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_BFLOAT16, -1, -1, NULL},
        {CONV2D "relu=1 dtype=f16", 2, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_HALF, 0, 1,
         "f16 math, no notes, then the ReLU"},
        {"conv2d_transposed n=2 c=8 h=8 w=8 k=6 kernel=3x3 bias=1 dtype=f16", 2, CUDNN_POINTWISE_ADD, CUDNN_DATA_HALF,
         -1, -1, NULL},
    };
    fake.lists[CUDNN_HEUR_MODE_A][0].engine = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        fv_operation op;
        void *plan = NULL;
        fv_numerics numerics = {0};
        assert_int_equal(fv_operation_parse(cases[i].text, &op), FV_OK);
        const fv_kernel *row = fv_cudnn_conv2d_kernels;
        while (row->kind != op.kind || row->pass != FV_FORWARD || row->dtype != fv_operation_dtype(&op))
            ++row;
        assert_string_equal(row->name, "cudnn");
        assert_true(row->fuses_relu);
        fake.most_operations = fake.operations = 0;
        fake.biases = fake.activations = 0;
        assert_int_equal(row->prepare(&fake_context, &op, &plan), FV_OK);
        row->release(plan);
        assert_int_equal(fake.operations, cases[i].operations);
        assert_int_equal(fake.mode, cases[i].last);
        assert_int_equal(fake.dtypes[FV_Y], cases[i].y);
        assert_int_equal(fake.dtypes[FV_ROLES], CUDNN_DATA_FLOAT); /* what is between them */
        assert_int_equal(fake.biases + fake.activations, 0);
        fake.most_operations = 1;
        const fv_status status = row->prepare(&fake_context, &op, &plan);
        assert_int_equal(status, cases[i].description ? FV_OK : FV_UNSUPPORTED);
        if (status != FV_OK)
            continue;
        row->numerics(&op, plan, &numerics);
        assert_string_equal(numerics.description + strlen("engine 1, "), cases[i].description);
        row->release(plan);
        assert_int_equal(fake.biases, cases[i].biases);
        assert_int_equal(fake.activations, cases[i].activations);
    }
}

static cudnnStatus_t pooling_create(cudnnPoolingDescriptor_t *made) {
    *made = NULL;
    return fake_outcome();
}

static cudnnStatus_t pooling_set(cudnnPoolingDescriptor_t pooling, cudnnPoolingMode_t mode, cudnnNanPropagation_t nan,
                                 int r, int s, int top, int left, int stride_h, int stride_w) {
    (void)pooling, (void)mode, (void)nan, (void)r, (void)s, (void)top, (void)left, (void)stride_h, (void)stride_w;
    return fake_outcome();
}

static cudnnStatus_t batchnorm_derive(cudnnTensorDescriptor_t derived, cudnnTensorDescriptor_t image,
                                      cudnnBatchNormMode_t mode) {
    (void)derived, (void)image, (void)mode;
    return fake_outcome();
}

/* So are those of what goes through the older functions alone. */
static void older_functions_are_told(void **state) {
    (void)state;
    static const char *const texts[FV_KINDS] = {
        [FV_MAXPOOL] = "maxpool n=2 c=3 h=8 w=8 kernel=2x2 stride=2",
        [FV_AVGPOOL] = "avgpool n=2 c=3 h=8 w=8 kernel=2x2 stride=2",
        [FV_BATCHNORM] = "batchnorm n=2 c=3 h=8 w=8",
    };
    const fv_kernel *const tables[] = {fv_cudnn_pooling_kernels, fv_cudnn_batchnorm_kernels};
    fake_device.api.pooling_create = pooling_create;
    fake_device.api.pooling_set = pooling_set;
    fake_device.api.batchnorm_derive = batchnorm_derive;
    int rows[2] = {0, 0};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; ++t)
        for (const fv_kernel *row = tables[t]; row->name; ++row) {
            void *plan = NULL;
            fv_operation op;
            assert_int_equal(fv_operation_parse(texts[row->kind], &op), FV_OK);
            assert_int_equal(row->prepare(&fake_context, &op, &plan), FV_OK);
            row->release(plan);
            assert_int_equal(fake.format, row->layout == FV_NCHW ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC);
            assert_int_equal(row->on_request, row->layout == FV_NCHW);
            ++rows[row->layout];
        }
    assert_int_equal(rows[FV_NHWC], 6);
    assert_int_equal(rows[FV_NCHW], 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_are_destroyed, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(engines_are_described, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(layouts_are_told, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(epilogues_are_fused, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(older_functions_are_told, fake_open, fake_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
