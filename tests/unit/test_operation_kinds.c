/* Descriptors of the kinds besides conv2d: their text forms, refusals, shapes and how exact they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ops/op.h"
#include "parse.h"
#include "verify/verify.h"

/* Short forms, and what they print as and parse back from. Windows may be global, lists have one to four parts, choices
 * are words. */
static void prints_canonically(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"conv2d_transposed c=4 k=6 h=3 w=4 kernel=3 stride=2 output_pad=1x0",
         "conv2d_transposed n=1 c=4 h=3 w=4 k=6 kernel=3x3 stride=2 pad=0 dilation=1 output_pad=1x0 groups=1 bias=0 "
         "dtype=f32"},
        {"conv2d_separable c=3 k=4 h=5 w=6 kernel=3 pad=same multiplier=2",
         "conv2d_separable n=1 c=3 h=5 w=6 multiplier=2 k=4 kernel=3x3 stride=1 pad=1 dilation=1 bias=0 dtype=f32"},
        {"conv2d_spatial c=2 m=3 k=4 h=5 w=6 kernel=3x2",
         "conv2d_spatial n=1 c=2 h=5 w=6 m=3 k=4 kernel=3x2 stride=1 pad=0 dilation=1 groups=1 bias=0 dtype=f32"},
        {"conv2d_unshared c=2 k=4 h=5 w=6 kernel=3x2 groups=2",
         "conv2d_unshared n=1 c=2 h=5 w=6 k=4 kernel=3x2 stride=1 pad=0 dilation=1 groups=2 bias=0 dtype=f32"},
        {"conv2d_deformable c=2 k=4 h=5 w=6 kernel=3 offset_groups=2 mask=1",
         "conv2d_deformable n=1 c=2 h=5 w=6 k=4 kernel=3x3 stride=1 pad=0 dilation=1 groups=1 offset_groups=2 mask=1 "
         "bias=0 dtype=f32"},
        {"maxpool c=2 h=6 w=7 kernel=global", "maxpool n=1 c=2 h=6 w=7 kernel=6x7 stride=1 pad=0 dilation=1 ceil=0 "
                                              "dtype=f32"},
        {"maxpool kernel=global w=7 h=6 c=2 pad=same",
         "maxpool n=1 c=2 h=6 w=7 kernel=6x7 stride=1 pad=2,3,3,3 dilation=1 ceil=0 dtype=f32"},
        {"avgpool c=2 h=6 w=7 kernel=3 ceil=1 include_pad=0 dtype=f64",
         "avgpool n=1 c=2 h=6 w=7 kernel=3x3 stride=1 pad=0 dilation=1 ceil=1 include_pad=0 dtype=f64"},
        {"avgpool c=2 h=6 w=7 kernel=2",
         "avgpool n=1 c=2 h=6 w=7 kernel=2x2 stride=1 pad=0 dilation=1 ceil=0 include_pad=1 dtype=f32"},
        {"unpool c=2 h=6 w=7 kernel=2x3 stride=2x3",
         "unpool n=1 c=2 h=6 w=7 kernel=2x3 stride=2x3 pad=0 dilation=1 ceil=0 dtype=f32"},
        {"upsample c=2 h=6 w=7 size=12", "upsample n=1 c=2 h=6 w=7 size=12x12 mode=nearest align=0 dtype=f32"},
        {"upsample c=2 h=6 w=7 size=3x14 align=1 mode=bilinear",
         "upsample n=1 c=2 h=6 w=7 size=3x14 mode=bilinear align=1 dtype=f32"},
        {"relu elements=7 slope=0.01", "relu elements=7 slope=0.01 dtype=f32"},
        {"dropout elements=7", "dropout elements=7 rate=0.5 seed=1 dtype=f32"},
        {"batchnorm c=3 n=4 training=0", "batchnorm n=4 c=3 h=1 w=1 training=0 epsilon=1e-05 momentum=0.1 dtype=f32"},
        {"concat c=3", "concat n=1 h=1 w=1 c=3 dtype=f32"},
        {"concat c=64,128,32 h=5 w=6 n=2", "concat n=2 h=5 w=6 c=64,128,32 dtype=f32"},
        {"concat c=1,2,3,4", "concat n=1 h=1 w=1 c=1,2,3,4 dtype=f32"},
        {"add elements=4", "add elements=4 dtype=f32"},
        {"flatten c=2 h=3 w=4", "flatten n=1 c=2 h=3 w=4 order=hwc dtype=f32"},
        {"flatten c=2 h=3 w=4 order=chw", "flatten n=1 c=2 h=3 w=4 order=chw dtype=f32"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i) {
        char text[256], again[256];
        fv_operation op = parse(pairs[i][0]);
        assert_int_equal(fv_operation_print(&op, text, sizeof text), strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
        op = parse(text);
        fv_operation_print(&op, again, sizeof again);
        assert_string_equal(again, text);
    }
}

#define WINDOW " c=4 h=5 w=5 k=6 kernel=3 "

/* Whole messages, one line each. */
static void refuses_in_one_line(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        /* conv2d_transposed */
        {"conv2d_transposed c=4 h=5 w=5 kernel=3", "conv2d_transposed: key 'k' is missing"},
        {"conv2d_transposed" WINDOW "stride=2 output_pad=2",
         "conv2d_transposed: height: output_pad 2 must be at least 0 and below the stride, 2"},
        {"conv2d_transposed" WINDOW "stride=2 output_pad=0x-1",
         "conv2d_transposed: width: output_pad -1 must be at least 0 and below the stride, 2"},
        {"conv2d_transposed" WINDOW "pad=same output_pad=9223372036854775807x0",
         "conv2d_transposed: height: output_pad 9223372036854775807 must be at least 0 and below the stride, 1"},
        {"conv2d_transposed" WINDOW "pad=same output_pad=0x-9223372036854775808",
         "conv2d_transposed: width: output_pad -9223372036854775808 must be at least 0 and below the stride, 1"},
        {"conv2d_transposed c=4 h=1 w=5 k=6 kernel=3 pad=2",
         "conv2d_transposed: height: the padding leaves -1 output pixels: (input-1)*stride - pads + "
         "dilation*(kernel-1) + output_pad + 1 must be at least 1"},
        {"conv2d_transposed" WINDOW "groups=4", "conv2d_transposed: groups=4 must divide c=4 and k=6"},
        {"conv2d_transposed" WINDOW "bias=2", "conv2d_transposed: bias=2 must be 0 or 1"},
        {"conv2d_transposed c=4 h=0 w=5 k=6 kernel=3", "conv2d_transposed: h=0 must be at least 1"},
        {"conv2d_transposed" WINDOW "stride=0", "conv2d_transposed: height: stride 0 must be 1 to 2^31-1"},
        {"conv2d_transposed c=1 h=65536 w=1 k=1 kernel=1 stride=65536",
         "conv2d_transposed: height: padded output and window together exceed 2^31-1 pixels"},
        /* conv2d_separable */
        {"conv2d_separable" WINDOW "multiplier=0", "conv2d_separable: multiplier=0 must be at least 1"},
        {"conv2d_separable" WINDOW "groups=2", "conv2d_separable: unknown key 'groups'"},
        {"conv2d_separable c=4 h=5 w=5 k=0 kernel=3", "conv2d_separable: k=0 must be at least 1"},
        {"conv2d_separable" WINDOW "bias=-1", "conv2d_separable: bias=-1 must be 0 or 1"},
        {"conv2d_separable c=4 h=2 w=5 k=6 kernel=3",
         "conv2d_separable: height: the window spans 3 pixels (kernel 3, dilation 1), more than the padded input's 2"},
        /* conv2d_spatial */
        {"conv2d_spatial" WINDOW, "conv2d_spatial: key 'm' is missing"},
        {"conv2d_spatial" WINDOW "m=0", "conv2d_spatial: m=0 must be at least 1"},
        {"conv2d_spatial" WINDOW "m=3 groups=2", "conv2d_spatial: groups=2 must divide c=4, m=3 and k=6"},
        {"conv2d_spatial" WINDOW "m=3 groups=0", "conv2d_spatial: groups=0 must be at least 1"},
        {"conv2d_spatial c=4 h=5 w=1 k=6 m=1 kernel=1x2",
         "conv2d_spatial: width: the window spans 2 pixels (kernel 2, dilation 1), more than the padded input's 1"},
        /* conv2d_unshared */
        {"conv2d_unshared" WINDOW "groups=3", "conv2d_unshared: groups=3 must divide c=4 and k=6"},
        {"conv2d_unshared" WINDOW "bias=2", "conv2d_unshared: bias=2 must be 0 or 1"},
        {"conv2d_unshared c=65536 h=65536 w=65536 k=65536 kernel=1",
         "conv2d_unshared: the number of multiply-accumulates exceeds 2^62"},
        /* conv2d_deformable */
        {"conv2d_deformable" WINDOW "offset_groups=3", "conv2d_deformable: offset_groups=3 must divide c=4"},
        {"conv2d_deformable" WINDOW "offset_groups=0", "conv2d_deformable: offset_groups=0 must be at least 1"},
        {"conv2d_deformable" WINDOW "mask=2", "conv2d_deformable: mask=2 must be 0 or 1"},
        {"conv2d_deformable" WINDOW "groups=4", "conv2d_deformable: groups=4 must divide c=4 and k=6"},
        {"conv2d_deformable" WINDOW "bias=2", "conv2d_deformable: bias=2 must be 0 or 1"},
        /* poolings */
        {"maxpool c=1 h=4 w=4", "maxpool: key 'kernel' is missing"},
        {"maxpool c=1 h=4 w=4 kernel=whole",
         "maxpool: kernel=whole: expected HEIGHTxWIDTH, one whole number or global"},
        {"maxpool c=1 h=4 w=4 kernel=globalx2",
         "maxpool: kernel=globalx2: expected HEIGHTxWIDTH, one whole number or global"},
        {"maxpool c=1 h=4 w=4 kernel=-1", "maxpool: kernel=-1: expected HEIGHTxWIDTH, one whole number or global"},
        {"maxpool c=1 h=4 w=4 kernel=0", "maxpool: height: kernel 0 must be 1 to 2^31-1"},
        {"maxpool c=1 h=4 w=4 kernel=2 ceil=2", "maxpool: ceil=2 must be 0 or 1"},
        {"maxpool c=1 h=4 w=4 kernel=2 include_pad=0", "maxpool: unknown key 'include_pad'"},
        {"maxpool c=1 h=4 w=4 kernel=5 ceil=1", "maxpool: height: the window spans 5 pixels (kernel 5, dilation 1), "
                                                "more than the padded input's 4 by a stride "
                                                "or more"},
        {"maxpool c=1 h=4 w=3 kernel=4 stride=2x1 ceil=1",
         "maxpool: width: the window spans 4 pixels (kernel 4, dilation 1), more than the padded input's 3 by a stride "
         "or more"},
        {"maxpool c=1 h=4 w=4 kernel=global dilation=2",
         "maxpool: height: the window spans 7 pixels (kernel 4, dilation 2), more than the padded input's 4"},
        {"conv2d c=1 k=1 h=4 w=4 kernel=global", "conv2d: kernel=global: expected HEIGHTxWIDTH or one whole number"},
        {"conv2d c=1 k=1 h=4 w=4 kernel=-1", "conv2d: height: kernel -1 must be 1 to 2^31-1"},
        {"avgpool c=1 h=4 w=4 kernel=2 include_pad=2", "avgpool: include_pad=2 must be 0 or 1"},
        {"avgpool c=1 h=4 w=4 kernel=2 ceil=-1", "avgpool: ceil=-1 must be 0 or 1"},
        {"avgpool c=0 h=4 w=4 kernel=global", "avgpool: c=0 must be at least 1"},
        {"avgpool c=1 h=65536 w=32768 kernel=global", "avgpool: the window has more than 2^31-1 positions"},
        {"unpool c=1 h=4 w=4 kernel=2 stride=0", "unpool: height: stride 0 must be 1 to 2^31-1"},
        {"unpool c=1 h=4 w=4 kernel=2 dtype=f16", "unpool: dtype=f16: expected f32 or f64"},
        {"unpool n=-1 c=1 h=4 w=4 kernel=2", "unpool: n=-1 must be at least 0"},
        /* upsample */
        {"upsample c=1 h=4 w=4", "upsample: key 'size' is missing"},
        {"upsample c=1 h=4 w=4 size=0x3", "upsample: size=0 must be at least 1"},
        {"upsample c=1 h=4 w=4 size=3x-2", "upsample: size=-2 must be at least 1"},
        {"upsample c=1 h=4 w=0 size=3", "upsample: w=0 must be at least 1"},
        {"upsample c=1 h=2147483647 w=1 size=1",
         "upsample: height and width, of the input and the output, must be below 2^31-1"},
        {"upsample c=1 h=1 w=1 size=1x2147483647",
         "upsample: height and width, of the input and the output, must be below 2^31-1"},
        {"upsample c=1 h=4 w=4 size=8 mode=cubic", "upsample: mode=cubic: expected nearest or bilinear"},
        {"upsample c=1 h=4 w=4 size=8 mode=", "upsample: mode=: expected nearest or bilinear"},
        {"upsample c=1 h=4 w=4 size=8 align=1", "upsample: align=1 goes with mode=bilinear only"},
        {"upsample c=1 h=4 w=4 size=8 mode=bilinear align=2", "upsample: align=2 must be 0 or 1"},
        /* what stands around them */
        {"relu elements=3 slope=1", "relu: slope=1 must be at least 0 and below 1"},
        {"relu elements=3 slope=-0.5", "relu: slope=-0.5 must be at least 0 and below 1"},
        {"dropout elements=3 rate=1", "dropout: rate=1 must be at least 0 and below 1"},
        {"dropout elements=3 seed=-1", "dropout: seed=-1 must be at least 0"},
        {"dropout elements=-1", "dropout: elements=-1 must be at least 0"},
        {"batchnorm n=0 c=2", "batchnorm: training=1 needs n of at least 1: nothing has no mean"},
        {"batchnorm c=2 training=2", "batchnorm: training=2 must be 0 or 1"},
        {"batchnorm c=2 epsilon=0", "batchnorm: epsilon=0 must be 2^-126 to 1"},
        {"batchnorm c=2 momentum=1.5", "batchnorm: momentum=1.5 must be 0 to 1"},
        {"concat c=", "concat: c=: expected up to four whole numbers, separated by commas"},
        {"concat c=1,2,", "concat: c=1,2,: expected up to four whole numbers, separated by commas"},
        {"concat c=1,2,3,4,5", "concat: c=1,2,3,4,5: expected up to four whole numbers, separated by commas"},
        {"concat c=1x2", "concat: c=1x2: expected up to four whole numbers, separated by commas"},
        {"concat c=1,0,2", "concat: c has a part behind one without channels"},
        {"concat c=0", "concat: c=0 must be at least 1"},
        {"concat c=1,-2", "concat: c=-2 must be at least 1"},
        {"concat c=1 h=0", "concat: h=0 must be at least 1"},
        {"add elements=-1", "add: elements=-1 must be at least 0"},
        {"flatten c=1 h=1 w=1 order=whc", "flatten: order=whc: expected hwc or chw"},
        {"flatten c=1 h=1 w=0", "flatten: w=0 must be at least 1"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        fv_operation op;
        const fv_status status = fv_operation_parse(bad[i][0], &op);
        if (status == FV_BAD_INPUT && !strcmp(fv_error_message(), bad[i][1]))
            continue;
        print_error("'%s' gave status %d, '%s', expected '%s'\n", bad[i][0], (int)status,
                    status == FV_OK ? "" : fv_error_message(), bad[i][1]);
        ++wrong;
    }
    assert_int_equal(wrong, 0);
}

/* Struct members that no text gives. */
static void refuses_bad_structs(void **state) {
    (void)state;
    fv_operation upsample = parse("upsample c=1 h=2 w=2 size=4"), flatten = parse("flatten c=1 h=1 w=1");
    upsample.upsample.mode = 2;
    assert_int_equal(fv_operation_validate(&upsample), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "upsample: mode must be nearest or bilinear");
    flatten.flatten.order = -1;
    assert_int_equal(fv_operation_validate(&flatten), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "flatten: order must be hwc or chw");
    fv_operation pool = parse("maxpool c=1 h=2 w=2 kernel=2");
    pool.pool.r = FV_GLOBAL; /* only text is resolved */
    assert_int_equal(fv_operation_validate(&pool), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "maxpool: height: kernel -1 must be 1 to 2^31-1");
}

/* PyTorch's ceil_mode, by hand. */
static void ceil_outputs(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t p, q;
    } table[] = {
        {"maxpool c=1 h=112 w=112 kernel=3 stride=2", 55, 55},
        {"maxpool c=1 h=112 w=112 kernel=3 stride=2 ceil=1", 56, 56}, /* GoogLeNet */
        {"maxpool c=1 h=113 w=112 kernel=3 stride=2 ceil=1", 56, 56},
        {"maxpool c=1 h=5 w=6 kernel=2 stride=2 ceil=1", 3, 3},
        {"maxpool c=1 h=5 w=4 kernel=2x1 stride=3 pad=1x0 ceil=1", 2, 2},
        {"maxpool c=1 h=4 w=4 kernel=2 stride=3 pad=1 ceil=1", 2, 2}, /* a third would begin at 5, behind the image */
        {"maxpool c=1 h=3 w=3 kernel=1 stride=2 pad=0,4,0,3 ceil=1", 3, 3}, /* not 4: the fourth begins at 6 */
        {"maxpool c=1 h=3 w=3 kernel=1 stride=2 pad=0,4,0,3", 4, 3},
        {"unpool c=1 h=7 w=8 kernel=3 dilation=2x1 stride=2 ceil=1", 2, 4},
        {"avgpool c=1 h=9 w=5 kernel=global ceil=1", 1, 1},
        {"maxpool c=1 h=2 w=2 kernel=3 stride=2 ceil=1", 1,
         1}, /* a window larger than the image, by less than a stride */
        {"avgpool c=1 h=1 w=4 kernel=2x3 stride=2x3 pad=0,0,1,0 dilation=1x3 ceil=1", 1, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        const fv_operation op = parse(table[i].text);
        if (fv_pool_p(&op.pool) != table[i].p || fv_pool_q(&op.pool) != table[i].q)
            fail_msg("%s: output %dx%d, expected %dx%d", table[i].text, (int)fv_pool_p(&op.pool),
                     (int)fv_pool_q(&op.pool), (int)table[i].p, (int)table[i].q);
    }
}

/* The sizing of exact inputs and the lengths of sums, by hand. */
static void averages_are_sized(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double grain;
        int64_t forward, backward; /* terms, less the two of the division */
    } table[] = {
        {"avgpool c=1 h=9 w=9 kernel=2x4", 8, 8, 8},
        {"avgpool c=1 h=9 w=9 kernel=2x3", 0, 6, 6},
        {"avgpool c=1 h=9 w=9 kernel=4 pad=1", 16, 16, 16},
        {"avgpool c=1 h=9 w=9 kernel=4 pad=1 include_pad=0", 0, 16, 16},
        {"avgpool c=1 h=9 w=9 kernel=4x2 pad=0x1 include_pad=0", 8, 8, 8},
        {"avgpool c=1 h=9 w=9 kernel=4 stride=4 ceil=1", 0, 16, 9},
        {"avgpool c=1 h=8 w=8 kernel=4 stride=4 ceil=1", 16, 16, 4},
        {"avgpool c=1 h=9 w=9 kernel=2 stride=4 ceil=1", 4, 4, 4},
        {"avgpool c=1 h=16 w=8 kernel=global", 128, 128, 1},
        {"avgpool c=1 h=2 w=3 kernel=8x4 pad=6,6,4,0", 32, 6, 28},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        const fv_operation op = parse(table[i].text);
        const fv_exactness forward = fv_avgpool_info.exactness(&op, FV_FORWARD);
        const fv_exactness backward = fv_avgpool_info.exactness(&op, FV_BACKWARD_DATA);
        if (!(forward.grain == table[i].grain && backward.grain == table[i].grain && forward.terms == 1 &&
              backward.terms == (double)table[i].backward && forward.factors == 1 && backward.factors == 1))
            fail_msg("%s: grain %g and %g, terms %g and %g", table[i].text, forward.grain, backward.grain,
                     forward.terms, backward.terms);
        assert_int_equal(fv_avgpool_info.reduction(&op, FV_FORWARD, FV_Y), table[i].forward + 2);
        assert_int_equal(fv_avgpool_info.reduction(&op, FV_BACKWARD_DATA, FV_DX), table[i].backward + 2);
    }
}

/* Of a column resized to another: how many outputs read a pixel at most, and whether all weights are multiples of the
 * grain, both told by the images of single pixels. */
static void check_weights(const fv_operation *op) {
    const fv_upsample *d = &op->upsample;
    const double grain = fv_upsample_info.exactness(op, FV_FORWARD).grain;
    double x[16] = {0}, y[32];
    fv_host_tensors tensors = {.at = {[FV_X] = x, [FV_Y] = y}};
    int64_t most = 0;
    for (int64_t i = 0; i < d->h; ++i) {
        x[i] = 1;
        assert_int_equal(fv_run_reference(op, FV_FORWARD, &tensors), FV_OK);
        x[i] = 0;
        int64_t readers = 0;
        for (int64_t p = 0; p < d->p; ++p) {
            readers += y[p] > 0;
            if (grain > 0)
                assert_true(y[p] * grain == (double)(int64_t)(y[p] * grain));
        }
        most = readers > most ? readers : most;
    }
    const int64_t own_roundings = d->mode == FV_NEAREST ? 0 : 8;
    const int64_t bound = fv_upsample_info.reduction(op, FV_BACKWARD_DATA, FV_DX) - own_roundings;
    if (bound < most || bound > 2 * most || fv_upsample_info.exactness(op, FV_BACKWARD_DATA).terms != (double)bound)
        fail_msg("upsample of %d to %d pixels, mode %d, align %d: %d readers, expected at most %d", (int)d->h,
                 (int)d->p, (int)d->mode, (int)d->align, (int)most, (int)bound);
}

static void resizings_are_sized(void **state) {
    (void)state;
    fv_operation op = parse("upsample c=1 h=1 w=1 size=1 dtype=f64");
    for (op.upsample.h = 1; op.upsample.h <= 9; ++op.upsample.h)
        for (op.upsample.p = 1; op.upsample.p <= 24; ++op.upsample.p) {
            op.upsample.mode = FV_NEAREST;
            op.upsample.align = 0;
            check_weights(&op);
            op.upsample.mode = FV_BILINEAR;
            check_weights(&op);
            op.upsample.align = 1;
            check_weights(&op);
        }
    static const struct {
        const char *text;
        double grain;
    } table[] = {
        {"upsample c=1 h=4 w=4 size=8x16 mode=bilinear", 4 * 8},
        {"upsample c=1 h=4 w=4 size=2x4 mode=bilinear", 2 * 2},
        {"upsample c=1 h=3 w=6 size=3x12 mode=bilinear", 2 * 4},
        {"upsample c=1 h=4 w=4 size=6x4 mode=bilinear", 0},
        {"upsample c=1 h=4 w=3 size=7x9 mode=bilinear align=1", 2 * 4},
        {"upsample c=1 h=9 w=9 size=3x1 mode=bilinear align=1", 1},
        {"upsample c=1 h=9 w=1 size=4x5 mode=bilinear align=1", 0},
        {"upsample c=1 h=9 w=1 size=4x5", 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        op = parse(table[i].text);
        const double grain = fv_upsample_info.exactness(&op, FV_FORWARD).grain;
        if (!(grain == table[i].grain))
            fail_msg("%s: grain %g, expected %g", table[i].text, grain, table[i].grain);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_canonically),  cmocka_unit_test(refuses_in_one_line),
        cmocka_unit_test(refuses_bad_structs), cmocka_unit_test(ceil_outputs),
        cmocka_unit_test(averages_are_sized),  cmocka_unit_test(resizings_are_sized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
