/* Descriptors: text form, validation, shapes, costs. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/context.h>

#include "ops/op.h"

/* Short forms and what they print as: every key shown, and it parses back to itself. */
static void prints_canonically(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"conv2d c=3 h=5 w=6 k=4 kernel=3",
         "conv2d n=1 c=3 h=5 w=6 k=4 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0 dtype=f32"},
        {"conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 dtype=f64",
         "conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 bias=0 dtype=f64"},
        {"conv2d  c=2 h=9 w=9 k=2 kernel=3x1 stride=2x1 pad=1x0 dilation=1x2 bias=1",
         "conv2d n=1 c=2 h=9 w=9 k=2 kernel=3x1 stride=2x1 pad=1x0 dilation=1x2 groups=1 bias=1 dtype=f32"},
        {"conv2d c=2 h=7 w=8 k=3 kernel=4x4 pad=same",
         "conv2d n=1 c=2 h=7 w=8 k=3 kernel=4x4 stride=1 pad=1,2,1,2 dilation=1 groups=1 bias=0 dtype=f32"},
        {"conv2d c=2 h=7 w=8 k=3 kernel=3x3 pad=valid",
         "conv2d n=1 c=2 h=7 w=8 k=3 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 bias=0 dtype=f32"},
        {"conv2d c=3 h=5 w=6 k=4 kernel=3 pad=1,1,0,2",
         "conv2d n=1 c=3 h=5 w=6 k=4 kernel=3x3 stride=1 pad=1,1,0,2 dilation=1 groups=1 bias=0 dtype=f32"},
        {"maxpool c=2 h=6 w=7 kernel=3 pad=2,0,1,2 stride=2",
         "maxpool n=1 c=2 h=6 w=7 kernel=3x3 stride=2 pad=2,0,1,2 dilation=1 ceil=0 dtype=f32"},
        {"linear c=800 k=256 bias=1", "linear n=1 c=800 k=256 bias=1 dtype=f32"},
        {"relu elements=7", "relu elements=7 slope=0 dtype=f32"},
        {"softmax_xent n=256 classes=10", "softmax_xent n=256 classes=10 dtype=f32"},
        {"batch n=4 items=9 elements=784 scale=0.1 shift=-0.424213",
         "batch n=4 items=9 elements=784 scale=0.1 shift=-0.424213 dtype=f32"},
        {"batch items=1 elements=1 scale=0.1234567890123 shift=-1e-300",
         "batch n=1 items=1 elements=1 scale=0.1234567890123 shift=-1e-300 dtype=f32"},
        {"batch items=1 elements=1 scale=0.30000000000000004 shift=123456789",
         "batch n=1 items=1 elements=1 scale=0.30000000000000004 shift=123456789 dtype=f32"},
        {"sgd elements=5 momentum=0.9", "sgd elements=5 decayed=0 momentum=0.9 weight_decay=0 dtype=f32"},
        {"adam elements=5 decayed=2 beta1=0.7",
         "adam elements=5 decayed=2 beta1=0.7 beta2=0.999 epsilon=1e-08 weight_decay=0 dtype=f32"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i) {
        fv_operation op;
        char text[256], again[256];
        if (fv_operation_parse(pairs[i][0], &op) != FV_OK)
            fail_msg("%s: %s", pairs[i][0], fv_error_message());
        assert_int_equal(fv_operation_print(&op, text, sizeof text), strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(fv_operation_parse(text, &op), FV_OK);
        fv_operation_print(&op, again, sizeof again);
        assert_string_equal(again, text);
    }
}

static void print_reports_its_length(void **state) {
    (void)state;
    fv_operation op;
    char text[256], cut[10];
    assert_int_equal(fv_operation_parse("linear c=3 k=4", &op), FV_OK);
    const int length = fv_operation_print(&op, text, sizeof text);
    assert_int_equal(fv_operation_print(&op, cut, sizeof cut), length);
    assert_int_equal(fv_operation_print(&op, NULL, 0), length);
    assert_string_equal(cut, "linear n=");
}

#define HUNDRED_ZEROS                                                                                                  \
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

/* Every refusal is FV_BAD_INPUT and its one line holds the given words. */
static void refuses_by_name(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "empty operation"},
        {"convolve c=1", "unknown operation 'convolve': expected conv2d, conv2d_transposed, "},
        {"conv2d c=3 h=5 w=5 k=4", "'kernel' is missing"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3x3 colour=1", "unknown key 'colour'"},
        {"conv2d c=3 c=3 h=5 w=5 k=4 kernel=3x3", "'c' is given twice"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3x3 left over", "'left' is not of the form key=value"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3x3x3", "kernel=3x3x3: expected HEIGHTxWIDTH"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=", "kernel=: expected"},
        {"conv2d c=3.5 h=5 w=5 k=4 kernel=3", "c=3.5: expected a whole number"},
        {"conv2d c=99999999999999999999 h=5 w=5 k=4 kernel=3", "expected a whole number"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 pad=-1", "pad=-1: expected PAD"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 pad=0,-1,0,0", "pad=0,-1,0,0: expected PAD"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 pad=1x-1", "pad=1x-1: expected PAD"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 pad=1,2,3", "pad=1,2,3: expected PAD"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 dtype=f8", "dtype=f8: expected f32, tf32, bf16, f16 or f64"},
        {"conv2d_separable c=3 h=5 w=5 k=4 kernel=3 dtype=f16", "dtype=f16: expected f32, tf32 or f64"},
        {"conv2d c=3 h=0 w=5 k=4 kernel=3", "h=0 must be at least 1"},
        {"conv2d n=-1 c=3 h=5 w=5 k=4 kernel=3", "n=-1 must be at least 0"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 groups=2", "groups=2 must divide c=3 and k=4"},
        {"conv2d_unshared c=4 h=3 w=3 k=3 kernel=3 groups=2", "conv2d_unshared: groups=2 must divide c=4 and k=3"},
        {"conv2d_unshared c=4 h=3 w=3 k=3 kernel=4x3", "conv2d_unshared: height: the window spans 4 pixels"},
        {"conv2d_unshared c=4 h=3 w=3 k=3 kernel=3 bias=2", "conv2d_unshared: bias=2 must be 0 or 1"},
        {"conv2d_unshared c=400000 h=300000 w=300000 k=1000 kernel=1", "the number of multiply-accumulates exceeds"},
        {"conv2d_spatial c=4 m=3 h=3 w=3 k=4 kernel=3 groups=2",
         "conv2d_spatial: groups=2 must divide c=4, m=3 and k=4"},
        {"conv2d_spatial c=4 m=0 h=3 w=3 k=4 kernel=3", "conv2d_spatial: m=0 must be at least 1"},
        {"conv2d_spatial c=4 h=3 w=3 k=4 kernel=3", "conv2d_spatial: key 'm' is missing"},
        {"conv2d_spatial c=4 m=4 h=3 w=3 k=4 kernel=3x5", "conv2d_spatial: width: the window spans 5 pixels"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 stride=0", "stride 0 must be 1"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 dilation=0", "dilation 0 must be 1"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 bias=2", "bias=2 must be 0 or 1"},
        {"conv2d c=3 h=2 w=5 k=4 kernel=3", "height: the window spans 3 pixels"},
        {"conv2d c=3 h=5 w=5 k=4 kernel=3 dilation=1x3", "width: the window spans 7 pixels"},
        {"maxpool n=1000000000 c=1000000000 h=1 w=1 kernel=1", "more than 2^56 elements"},
        {"conv2d n=1000000 c=1 h=1000000 w=1000 k=100000 kernel=1000x1000", "exceeds 2^62"},
        {"conv2d c=1099511627776 h=1 w=1 k=1 kernel=1", "must be below 2^40"},
        {"conv2d c=1 h=2147483648 w=1 k=1 kernel=1", "height: input 2147483648 must be 1 to 2^31-1"},
        {"conv2d c=1 h=2147483647 w=1 k=1 kernel=1 pad=1", "height: padded input and window together exceed 2^31-1"},
        {"conv2d c=1 h=1 w=2147483646 k=1 kernel=1 pad=0,0,0,1", "width: padded input and window together exceed"},
        {"conv2d c=1 h=1 w=1 k=1 kernel=1 pad=2147483648", "height: pad 2147483648 must be 0 to 2^31-1"},
        {"maxpool c=1 h=65536 w=32768 kernel=65536x32768", "maxpool: the window has more than 2^31-1 positions"},
        {"maxpool c=1 h=3 w=3 kernel=4", "height: the window spans 4 pixels"},
        {"linear c=0 k=3", "c=0 must be at least 1"},
        {"linear n=2097152 c=2097152 k=1048577", "linear: the number of multiply-accumulates exceeds 2^62"},
        {"conv2d c=16385 h=16384 w=16384 k=1048576 kernel=1",
         "conv2d: the number of multiply-accumulates exceeds 2^62"},
        {"linear n=268435456 c=268435457 k=1", "linear: tensor x has more than 2^56 elements"},
        {"softmax_xent n=1 classes=0", "classes=0 must be at least 1"},
        {"softmax_xent n=1 classes=2147483648", "softmax_xent: classes must be below 2^31"},
        {"batch n=1 items=2147483648 elements=4", "batch: items must be below 2^31"},
        {"batch n=1 items=0 elements=4", "items=0 must be at least 1"},
        {"batch n=1 items=1 elements=4 scale=1x", "scale=1x: expected a number"},
        {"batch n=1 items=1 elements=4 scale=nan", "scale=nan: expected a number"},
        {"sgd elements=3 decayed=4", "decayed=4 exceeds elements=3"},
        {"adam elements=3 beta1=1", "beta1=1 must be at least 0 and below 1"},
        {"adam elements=3 beta1=-0.5", "beta1=-0.5 must be at least 0 and below 1"},
        {"adam elements=3 beta2=1", "beta2=1 must be at least 0 and below 1"},
        {"adam elements=3 beta2=-0.5", "beta2=-0.5 must be at least 0 and below 1"},
        {"sgd elements=3 momentum=1", "momentum=1 must be at least 0 and below 1"},
        {"sgd elements=3 weight_decay=-1", "weight_decay=-1 must be at least 0"},
        {"adam elements=3 epsilon=0", "epsilon=0 must be above 0"},
        {"adam elements=3 dtype=i32", "dtype=i32: expected f32 or f64"},
        {"relu elements=" HUNDRED_ZEROS "1", "relu: 'elements=00000000000...' is longer than 95 characters"},
        {"batch items=1 elements=1 scale=1." HUNDRED_ZEROS "e5", "batch: 'scale=1.000000000000...' is longer"},
        {HUNDRED_ZEROS "1", "'00000000000000000000...' is longer than 95 characters"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        fv_operation op;
        assert_int_equal(fv_operation_parse(bad[i][0], &op), FV_BAD_INPUT);
        if (!strstr(fv_error_message(), bad[i][1]) || strchr(fv_error_message(), '\n'))
            fail_msg("'%s' gave '%s', expected '%s' in it", bad[i][0], fv_error_message(), bad[i][1]);
    }
}

/* What lies exactly on a limit is taken. */
static void takes_the_limits(void **state) {
    (void)state;
    static const char *const good[] = {
        "linear n=2097152 c=2097152 k=1048576", /* 2^62 multiply-accumulates */
        "linear n=268435456 c=268435456 k=1",   /* 2^56 elements */
        "conv2d c=16384 h=16384 w=16384 k=1048576 kernel=1",
        "maxpool c=1 h=65536 w=32767 kernel=65536x32767",
        "softmax_xent n=1 classes=2147483647",
        "batch n=1 items=2147483647 elements=1",
        "conv2d c=1 h=2147483645 w=1 k=1 kernel=1 pad=1,0,0,0",
        "adam elements=0 beta1=0 beta2=0.999999",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i) {
        fv_operation op;
        if (fv_operation_parse(good[i], &op) != FV_OK)
            fail_msg("'%s': %s", good[i], fv_error_message());
    }
    fv_operation op; /* a word of 95 characters */
    char text[] =
        "relu elements=00000000000000000000000000000000000000000000000000000000000000000000000000000000000007";
    assert_int_equal(strlen(strchr(text, ' ') + 1), 95);
    assert_int_equal(fv_operation_parse(text, &op), FV_OK);
    assert_int_equal(op.relu.elements, 7);
    char longer[sizeof text + 1];
    snprintf(longer, sizeof longer, "%s8", text);
    assert_int_equal(fv_operation_parse(longer, &op), FV_BAD_INPUT);
}

/* What text cannot say, a struct can. */
static void refuses_bad_structs(void **state) {
    (void)state;
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    fv_operation sgd, adam, batch;
    assert_int_equal(fv_operation_parse("sgd elements=3", &sgd), FV_OK);
    assert_int_equal(fv_operation_parse("adam elements=3", &adam), FV_OK);
    assert_int_equal(fv_operation_parse("batch items=3 elements=3", &batch), FV_OK);
    const struct {
        const fv_operation *op;
        size_t offset;
        const char *word;
    } members[] = {
        {&sgd, offsetof(fv_operation, sgd.momentum), "momentum"},
        {&sgd, offsetof(fv_operation, sgd.weight_decay), "weight_decay"},
        {&adam, offsetof(fv_operation, adam.beta1), "beta1"},
        {&adam, offsetof(fv_operation, adam.beta2), "beta2"},
        {&adam, offsetof(fv_operation, adam.epsilon), "epsilon"},
        {&adam, offsetof(fv_operation, adam.weight_decay), "weight_decay"},
        {&batch, offsetof(fv_operation, batch.scale), "scale"},
        {&batch, offsetof(fv_operation, batch.shift), "shift"},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; ++i)
        for (size_t j = 0; j < sizeof odd / sizeof odd[0]; ++j) {
            fv_operation op = *members[i].op;
            assert_int_equal(fv_operation_validate(&op), FV_OK);
            memcpy((char *)&op + members[i].offset, &odd[j], sizeof odd[j]);
            assert_int_equal(fv_operation_validate(&op), FV_BAD_INPUT);
            assert_non_null(strstr(fv_error_message(), members[i].word));
        }
}

/* Numbers that are no kind, dtype or pass: refused everywhere, and harmless. */
static void refuses_bad_enums(void **state) {
    (void)state;
    static const struct {
        int kind, dtype, pass;
    } numbers[] = {{-1, -1, -1}, {FV_KINDS, FV_DTYPES, FV_PASSES}, {INT_MAX, INT_MAX, INT_MAX}};
    fv_context *context;
    fv_tensor *tensor, *none[FV_ROLES] = {0};
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
        const fv_kind bad_kind = (fv_kind)numbers[i].kind;
        const fv_dtype bad_dtype = (fv_dtype)numbers[i].dtype;
        const fv_pass bad_pass = (fv_pass)numbers[i].pass;
        for (int kind = 0; kind < FV_KINDS; ++kind) {
            fv_operation op;
            assert_int_equal(fv_operation_parse(fv_op_info_of((fv_kind)kind)->example, &op), FV_OK);
            assert_int_equal(op.kind, kind);
            assert_false(fv_operation_has_pass(&op, bad_pass));
            assert_int_equal(fv_execute(context, &op, bad_pass, none), FV_UNSUPPORTED);
            assert_non_null(strstr(fv_error_message(), "has no unknown pass"));
            fv_operation_set_dtype(&op, bad_dtype);
            assert_int_equal(fv_operation_validate(&op), FV_BAD_INPUT);
            assert_non_null(strstr(fv_error_message(), "f64"));
            assert_int_equal(fv_execute(context, &op, FV_FORWARD, none), FV_BAD_INPUT);
        }
        const fv_operation op = {.kind = bad_kind};
        assert_int_equal(fv_operation_validate(&op), FV_BAD_INPUT);
        assert_int_equal(fv_execute(context, &op, FV_FORWARD, none), FV_BAD_INPUT);
        assert_int_equal(fv_tensor_create(context, bad_dtype, (fv_shape){1, {3}}, &tensor), FV_BAD_INPUT);
        assert_null(tensor);
        assert_int_equal(fv_dtype_size(bad_dtype), 0);
        assert_true(strlen(fv_dtype_name(bad_dtype)) && strlen(fv_kind_name(bad_kind)) &&
                    strlen(fv_pass_name(bad_pass)));
        assert_string_equal(fv_role_name(i == 1 ? FV_ROLES : (fv_role)numbers[i].kind), "unknown");
    }
    fv_context_destroy(context);
}

/* Published output sizes: AlexNet conv1, ResNet-50 stem and pool, TensorFlow's same padding. */
/* Worked by hand: r taps, dilation - 1 pixels between two of them. */
static void dilated_spans(void **state) {
    (void)state;
    static const struct {
        int64_t filter, dilation, span;
    } table[] = {{3, 1, 3}, {3, 2, 5}, {3, 4, 9}, {1, 7, 1}, {2, 10, 11}, {5, 3, 13}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        const fv_axis axis = {.filter = table[i].filter, .dilation = table[i].dilation};
        assert_int_equal(fv_axis_span(&axis), table[i].span);
    }
}

static void shapes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t p, q;
    } table[] = {
        {"conv2d n=1 c=3 h=227 w=227 k=96 kernel=11x11 stride=4", 55, 55},
        {"conv2d n=1 c=3 h=224 w=224 k=64 kernel=7x7 stride=2 pad=3", 112, 112},
        {"conv2d n=1 c=3 h=5 w=6 k=1 kernel=3x3 stride=2 pad=same", 3, 3},
        {"conv2d n=1 c=8 h=65 w=65 k=8 kernel=3x3 pad=12 dilation=12", 65, 65},
        {"conv2d n=1 c=1 h=161 w=700 k=32 kernel=5x20 stride=2", 79, 341},
        {"conv2d n=1 c=1 h=1 w=1 k=1 kernel=3x3 pad=same stride=5", 1, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        fv_operation op;
        assert_int_equal(fv_operation_parse(table[i].text, &op), FV_OK);
        assert_int_equal(fv_conv2d_p(&op.conv2d), table[i].p);
        assert_int_equal(fv_conv2d_q(&op.conv2d), table[i].q);
    }
    fv_operation pool;
    assert_int_equal(fv_operation_parse("maxpool n=50 c=64 h=112 w=112 kernel=3 stride=2 pad=1", &pool), FV_OK);
    assert_int_equal(fv_maxpool_p(&pool.maxpool), 56);
}

static void costs(void **state) {
    (void)state;
    fv_operation op;
    /* DeepBench-like: 50 images, 56x56 outputs, 64 channels to 64, 3x3 */
    assert_int_equal(fv_operation_parse("conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 pad=1 bias=1", &op), FV_OK);
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
        assert_int_equal(fv_operation_macs(&op, pass), 50LL * 56 * 56 * 64 * 64 * 9);
    const int64_t activations = 50LL * 56 * 56 * 64, weights = 64 * 64 * 9;
    assert_int_equal(fv_operation_bytes(&op, FV_FORWARD), 4 * (2 * activations + weights + 64));
    assert_int_equal(fv_operation_bytes(&op, FV_BACKWARD_DATA), 4 * (2 * activations + weights));
    assert_int_equal(fv_operation_parse("relu elements=10", &op), FV_OK);
    assert_false(fv_operation_has_pass(&op, FV_BACKWARD_WEIGHTS));
    assert_int_equal(fv_operation_bytes(&op, FV_BACKWARD_WEIGHTS), 0);
    assert_int_equal(fv_operation_parse("adam elements=10", &op), FV_OK);
    assert_int_equal(fv_operation_bytes(&op, FV_FORWARD), 4 * (7 * 10 + 3)); /* w, m, v both ways; dw; rates */
}

/* What results do not depend on need not be read. */
static void skipped_pixels(void **state) {
    (void)state;
    fv_operation op;
    /* ResNet's projection reads one pixel in four; its gradient is zero in the others, and is written there. */
    assert_int_equal(fv_operation_parse("conv2d n=50 c=256 h=56 w=56 k=512 kernel=1x1 stride=2", &op), FV_OK);
    const int64_t y = 50LL * 28 * 28 * 512, w = 256 * 512;
    assert_int_equal(fv_operation_bytes(&op, FV_FORWARD), 4 * (50LL * 28 * 28 * 256 + w + y));
    assert_int_equal(fv_operation_bytes(&op, FV_BACKWARD_WEIGHTS), 4 * (50LL * 28 * 28 * 256 + w + y));
    assert_int_equal(fv_operation_bytes(&op, FV_BACKWARD_DATA), 4 * (50LL * 56 * 56 * 256 + w + y));
    /* dy and argmax, and dx: the maximum need not be looked for again. */
    assert_int_equal(fv_operation_parse("maxpool n=2 c=3 h=8 w=8 kernel=2x2 stride=2", &op), FV_OK);
    assert_int_equal(fv_operation_bytes(&op, FV_BACKWARD_DATA), 2 * 3 * (16 * 4 + 16 + 64 * 4));
    assert_int_equal(fv_operation_parse("batch n=256 items=60000 elements=784", &op), FV_OK);
    assert_int_equal(fv_operation_bytes(&op, FV_FORWARD), 256 * (784 + 1 + 4 + 784 * 4 + 4));
}

/* Against looking under every tap of every window. */
static void reached_pixels(void **state) {
    (void)state;
    const int64_t pads[] = {0, 1, 4};
    for (int i = 0; i < 9 * 4 * 5 * 4 * 9; ++i) {
        fv_axis axis = {.input = 1 + i % 9,
                        .filter = 1 + i / 9 % 4,
                        .stride = 1 + i / 36 % 5,
                        .dilation = 1 + i / 180 % 4,
                        .pad_before = pads[i / 720 % 3],
                        .pad_after = pads[i / 2160]};
        bool under[9] = {false};
        int64_t expected = 0;
        for (int64_t window = 0; window < fv_axis_output(&axis); ++window)
            for (int64_t tap = 0; tap < axis.filter; ++tap) {
                const int64_t pixel = window * axis.stride + tap * axis.dilation - axis.pad_before;
                if (pixel >= 0 && pixel < axis.input && !under[pixel])
                    under[pixel] = ++expected > 0;
            }
        if (fv_axis_output(&axis) > 0)
            assert_int_equal(fv_axis_reached(&axis), expected);
    }
}

/* Terms in the sum behind one element of the output, by hand. */
static void reductions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_pass pass;
        fv_role role;
        int64_t terms;
    } table[] = {
        {"linear n=5 c=7 k=3", FV_FORWARD, FV_Y, 7},
        {"linear n=5 c=7 k=3 bias=1", FV_FORWARD, FV_Y, 8},
        {"linear n=5 c=7 k=3 bias=1", FV_BACKWARD_DATA, FV_DX, 3},
        {"linear n=5 c=7 k=3 bias=1", FV_BACKWARD_WEIGHTS, FV_DW, 5},
        {"linear n=5 c=7 k=3 bias=1", FV_BACKWARD_WEIGHTS, FV_DB, 5},
        {"conv2d n=2 c=4 h=5 w=6 k=6 kernel=2x3 groups=2", FV_FORWARD, FV_Y, 2 * 3 * 2},
        {"conv2d n=2 c=4 h=5 w=6 k=6 kernel=2x3 groups=2 bias=1", FV_FORWARD, FV_Y, 2 * 3 * 2 + 1},
        {"conv2d n=2 c=4 h=5 w=6 k=6 kernel=2x3 groups=2 bias=1", FV_BACKWARD_DATA, FV_DX, 2 * 3 * 3},
        {"conv2d n=2 c=4 h=5 w=6 k=6 kernel=2x3 groups=2 bias=1", FV_BACKWARD_WEIGHTS, FV_DW, 2 * 4 * 4},
        {"conv2d n=2 c=4 h=5 w=6 k=6 kernel=2x3 groups=2 bias=1", FV_BACKWARD_WEIGHTS, FV_DB, 2 * 4 * 4},
        {"maxpool n=2 c=4 h=5 w=6 kernel=2x3", FV_FORWARD, FV_Y, 0},
        {"maxpool n=2 c=4 h=5 w=6 kernel=2x3", FV_BACKWARD_DATA, FV_DX, 6},
        {"relu elements=9", FV_FORWARD, FV_Y, 0},
        {"softmax_xent n=5 classes=7", FV_FORWARD, FV_LOSS, 7},
        {"softmax_xent n=5 classes=7", FV_FORWARD, FV_PREDICTED, 0},
        {"softmax_xent n=5 classes=7", FV_BACKWARD_DATA, FV_DX, 2},
        {"batch n=5 items=7 elements=3", FV_FORWARD, FV_X, 2},
        {"batch n=5 items=7 elements=3", FV_FORWARD, FV_LABELS, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        fv_operation op;
        assert_int_equal(fv_operation_parse(table[i].text, &op), FV_OK);
        const int64_t terms = fv_op_info_of(op.kind)->reduction(&op, table[i].pass, table[i].role);
        if (terms != table[i].terms)
            fail_msg("%s: %d terms, expected %d", table[i].text, (int)terms, (int)table[i].terms);
    }
}

/* argmax grows with the window */
static void argmax_width(void **state) {
    (void)state;
    fv_operation op;
    fv_tensor_spec specs[FV_MAX_SPECS];
    assert_int_equal(fv_operation_parse("maxpool c=1 h=20 w=20 kernel=16x16", &op), FV_OK);
    assert_int_equal(fv_operation_signature(&op, FV_FORWARD, specs), 3);
    assert_int_equal(specs[2].dtype, FV_U8);
    assert_int_equal(fv_operation_parse("maxpool c=1 h=20 w=20 kernel=16x17", &op), FV_OK);
    fv_operation_signature(&op, FV_FORWARD, specs);
    assert_int_equal(specs[2].dtype, FV_I32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_canonically),
        cmocka_unit_test(print_reports_its_length),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(takes_the_limits),
        cmocka_unit_test(refuses_bad_structs),
        cmocka_unit_test(refuses_bad_enums),
        cmocka_unit_test(dilated_spans),
        cmocka_unit_test(shapes),
        cmocka_unit_test(costs),
        cmocka_unit_test(skipped_pixels),
        cmocka_unit_test(reached_pixels),
        cmocka_unit_test(reductions),
        cmocka_unit_test(argmax_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
