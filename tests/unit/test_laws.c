/* Laws that need no second implementation.
 *
 * Adjoint: a linear operation's passes are one bilinear form seen from three sides:
 *     <dy, A(w) x> = <A'(w) dy, x> = <dw(x, dy), w>,
 * and where there are second filters, = <dw2(x, dy), w2>. On small integers every term and sum is an exact integer, so
 * all these numbers are the same, on every backend. And a transposed convolution is the A' of a convolution, on the
 * same filters.
 * and where there are second filters, = <dw2(x, dy), w2>, or a mask, = <dmask(x, w, dy), mask>. On small integers (and
 * offsets and masks of quarters) every term and sum is exact, so all these numbers are the same, on every backend.
 *
 * Finite differences, on the double-precision reference: for the piecewise linear operations with integer data and a
 * step of 1/8 the quotient is exact and must equal the gradient; for softmax the error has a bound from its third
 * derivative.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/kernel.h"
#include "ops/op.h"
#include "own_kernels.h"
#include "parse.h"
#include "verify/verify.h"

/* ---- adjoint */

static fv_operation parse_as(const char *text, fv_dtype dtype) {
    fv_operation op = parse(text);
    fv_operation_set_dtype(&op, dtype);
    return op;
}

static int64_t elements_of(const fv_operation *op, fv_pass pass, fv_role role) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i)
        if (specs[i].role == role)
            return fv_shape_elements(&specs[i].shape);
    return 0;
}

/* Runs a pass on the context with the f32 values of x, w, dy; fetches `out` as doubles. */
static double *run_pass(fv_context *context, const fv_operation *op, fv_pass pass, double *const in[FV_ROLES],
                        fv_role out) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    fv_tensor *tensors[FV_ROLES] = {0};
    double *result = NULL;
    for (int i = 0; i < count; ++i) {
        const int64_t elements = fv_shape_elements(&specs[i].shape);
        assert_int_equal(fv_tensor_create(context, FV_F32, specs[i].shape, &tensors[specs[i].role]), FV_OK);
        if (specs[i].direction != FV_IN)
            continue;
        float *narrow = malloc((size_t)elements * sizeof *narrow);
        for (int64_t e = 0; e < elements; ++e)
            narrow[e] = (float)in[specs[i].role][e];
        assert_int_equal(fv_tensor_write(tensors[specs[i].role], narrow, (size_t)elements * sizeof *narrow), FV_OK);
        free(narrow);
    }
    if (fv_execute(context, op, pass, tensors) != FV_OK)
        fail_msg("%s", fv_error_message());
    const int64_t elements = elements_of(op, pass, out);
    float *narrow = malloc((size_t)elements * sizeof *narrow);
    assert_int_equal(fv_tensor_read(tensors[out], narrow, (size_t)elements * sizeof *narrow), FV_OK);
    result = malloc((size_t)elements * sizeof *result);
    for (int64_t e = 0; e < elements; ++e)
        result[e] = (double)narrow[e];
    free(narrow);
    for (int role = 0; role < FV_ROLES; ++role)
        fv_tensor_destroy(tensors[role]);
    return result;
}

static double dot(const double *a, const double *b, int64_t elements) {
    double sum = 0;
    for (int64_t i = 0; i < elements; ++i)
        sum += a[i] * b[i];
    return sum;
}

static void check_adjoint(fv_context *context, const char *text) {
    const fv_operation op = parse_as(text, FV_F32);
    fv_host_tensors forward, backward;
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_EXACT, 7, &forward), FV_OK);
    assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_EXACT, 7, &backward), FV_OK);
    double *const in[FV_ROLES] = {
        [FV_X] = forward.at[FV_X],           [FV_W] = forward.at[FV_W],       [FV_W2] = forward.at[FV_W2],
        [FV_OFFSET] = forward.at[FV_OFFSET], [FV_MASK] = forward.at[FV_MASK], [FV_DY] = backward.at[FV_DY]};
    static const struct {
        fv_pass pass;
        fv_role result, with;
        const char *name;
    } sides[] = {{FV_FORWARD, FV_Y, FV_DY, "<dy,Ax>"},
                 {FV_BACKWARD_DATA, FV_DX, FV_X, "<A'dy,x>"},
                 {FV_BACKWARD_WEIGHTS, FV_DW, FV_W, "<dw,w>"},
                 {FV_BACKWARD_WEIGHTS, FV_DW2, FV_W2, "<dw2,w2>"},
                 {FV_BACKWARD_DATA, FV_DMASK, FV_MASK, "<dmask,mask>"}};
    double by_output = 0;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; ++i) {
        const int64_t elements = elements_of(&op, sides[i].pass, sides[i].result);
        if (elements == 0)
            continue; /* no second filters, or no mask */
        double *result = run_pass(context, &op, sides[i].pass, in, sides[i].result);
        const double product = dot(result, in[sides[i].with], elements);
        free(result);
        if (i == 0)
            by_output = product;
        if (!(product == by_output && product != 0))
            fail_msg("%s %s: <dy,Ax> = %.17g, %s = %.17g", fv_context_backend(context), text, by_output, sides[i].name,
                     product);
    }
    fv_host_tensors_release(&forward);
    fv_host_tensors_release(&backward);
}

/* Whether a backend has the operation at all, or another that works on its memory; vendors have not every kind. */
static bool has_kind(const fv_backend *backend, fv_kind kind) {
    for (; backend; backend = backend->stand_in) {
        fv_kernel_cursor cursor = {0};
        for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
            if (kernel->kind == kind)
                return true;
    }
    return false;
}

static void adjoint(void **state) {
    (void)state;
    static const char *const texts[] = {
        "conv2d n=2 c=3 h=9 w=8 k=4 kernel=3x3 pad=1",
        "conv2d n=1 c=4 h=11 w=10 k=6 kernel=3x2 stride=2x3 pad=2,0,1,1 dilation=2x1 groups=2",
        "conv2d n=3 c=6 h=6 w=6 k=6 kernel=3x3 groups=6 pad=1",
        "conv2d n=2 c=34 h=9 w=11 k=68 kernel=5x3 stride=2x1 pad=2 dilation=1x2 groups=34",
        "conv2d n=2 c=1 h=28 w=28 k=24 kernel=5x5",
        "conv2d n=1 c=3 h=25 w=23 k=5 kernel=3x3 stride=2x3 pad=5,4,6,3 dilation=4x5",
        "conv2d n=2 c=24 h=7 w=6 k=48 kernel=3x3 groups=6 pad=1 stride=1x2",
        "conv2d_separable n=2 c=6 multiplier=3 h=9 w=8 k=5 kernel=3x3 pad=1",
        "conv2d_separable n=1 c=35 h=11 w=13 k=66 kernel=3x2 stride=2x3 pad=2,0,1,1 dilation=2x1",
        "conv2d_transposed n=2 c=4 h=4 w=4 k=3 kernel=4x4 stride=2 pad=1",
        "conv2d_transposed n=1 c=6 h=4 w=5 k=4 kernel=3x2 stride=2x3 pad=2,0,1,1 dilation=2x1 output_pad=1x2 groups=2",
        "conv2d_unshared n=9 c=4 h=7 w=6 k=6 kernel=3x2 stride=2x1 pad=1,0,1,1 dilation=1x2 groups=2",
        "conv2d_spatial n=2 c=4 m=6 k=2 h=9 w=8 kernel=3x2 stride=2x3 pad=1,2,0,1 dilation=2x1 groups=2",
        "conv2d_deformable n=2 c=6 h=9 w=10 k=4 kernel=3x2 stride=2x1 pad=2,0,1,1 groups=2 offset_groups=3 mask=1",
        "conv2d_deformable n=1 c=70 h=11 w=5 k=3 kernel=3x3 pad=1 dilation=1x2",
        "linear n=5 c=37 k=11",
    };
    for (const char *const *name = fv_backend_names(); *name; ++name) {
        fv_context *context;
        const fv_status status = fv_context_create(*name, NULL, &context);
        if (status == FV_UNSUPPORTED)
            continue; /* no device */
        assert_int_equal(status, FV_OK);
        require_own_kernels(context);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
            if (has_kind(context->backend, parse_as(texts[i], FV_F32).kind))
                check_adjoint(context, texts[i]);
        fv_context_destroy(context);
    }
}

/* <conv(x), z> = <x, transposed(z)>. */
static void check_transposed(fv_context *context, const char *conv_text, const char *transposed_text) {
    const fv_operation conv = parse_as(conv_text, FV_F32), transposed = parse_as(transposed_text, FV_F32);
    fv_host_tensors forward, backward;
    assert_int_equal(fv_generate(&conv, FV_FORWARD, FV_EXACT, 11, &forward), FV_OK);
    assert_int_equal(fv_generate(&conv, FV_BACKWARD_DATA, FV_EXACT, 11, &backward), FV_OK);
    double *const x = forward.at[FV_X], *const z = backward.at[FV_DY];
    double *const from_x[FV_ROLES] = {[FV_X] = x, [FV_W] = forward.at[FV_W]};
    double *const from_z[FV_ROLES] = {[FV_X] = z, [FV_W] = forward.at[FV_W]};
    double *y = run_pass(context, &conv, FV_FORWARD, from_x, FV_Y);
    double *back = run_pass(context, &transposed, FV_FORWARD, from_z, FV_Y);
    const int64_t inputs = elements_of(&conv, FV_FORWARD, FV_X), outputs = elements_of(&conv, FV_FORWARD, FV_Y);
    assert_int_equal(elements_of(&transposed, FV_FORWARD, FV_X), outputs);
    assert_int_equal(elements_of(&transposed, FV_FORWARD, FV_Y), inputs);
    const double by_output = dot(y, z, outputs), by_input = dot(x, back, inputs);
    if (!(by_output == by_input && by_output != 0))
        fail_msg("%s %s: <Ax,z> = %.17g, <x,A'z> = %.17g", fv_context_backend(context), conv_text, by_output, by_input);
    free(y);
    free(back);
    fv_host_tensors_release(&forward);
    fv_host_tensors_release(&backward);
}

static void transposed_is_the_adjoint(void **state) {
    (void)state;
    static const struct {
        const char *conv, *transposed;
    } pairs[] = {
        {"conv2d n=2 c=3 h=9 w=8 k=4 kernel=3x3 pad=1", "conv2d_transposed n=2 c=4 h=9 w=8 k=3 kernel=3x3 pad=1"},
        {"conv2d n=1 c=4 h=11 w=10 k=6 kernel=3x2 stride=2x3 pad=2,0,1,1 dilation=2x1 groups=2",
         "conv2d_transposed n=1 c=6 h=5 w=4 k=4 kernel=3x2 stride=2x3 pad=2,0,1,1 dilation=2x1 output_pad=0x1 "
         "groups=2"},
        {"conv2d n=2 c=5 h=8 w=11 k=2 kernel=2x2 stride=3",
         "conv2d_transposed n=2 c=2 h=3 w=4 k=5 kernel=2x2 stride=3"},
    };
    for (const char *const *name = fv_backend_names(); *name; ++name) {
        fv_context *context;
        const fv_status status = fv_context_create(*name, NULL, &context);
        if (status == FV_UNSUPPORTED)
            continue; /* no device */
        assert_int_equal(status, FV_OK);
        require_own_kernels(context);
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i)
            check_transposed(context, pairs[i].conv, pairs[i].transposed);
        fv_context_destroy(context);
    }
}

/* ---- finite differences */

typedef double scalar_of(const fv_operation *op, const fv_host_tensors *t, const double *weight);

/* <dy, f(x)>, by the reference. */
static double inner_output(const fv_operation *op, const fv_host_tensors *t, const double *dy) {
    assert_int_equal(fv_run_reference(op, FV_FORWARD, t), FV_OK);
    return dot(t->at[FV_Y], dy, elements_of(op, FV_FORWARD, FV_Y));
}

/* The mean loss, by the reference. */
static double mean_loss(const fv_operation *op, const fv_host_tensors *t, const double *unused) {
    (void)unused;
    assert_int_equal(fv_run_reference(op, FV_FORWARD, t), FV_OK);
    double sum = 0;
    for (int64_t i = 0; i < op->softmax_xent.n; ++i)
        sum += ((const double *)t->at[FV_LOSS])[i];
    return sum / (double)op->softmax_xent.n;
}

/* Central differences of `value` by each element of the tensor `by` against `gradient`. */
static void check_differences(const fv_operation *op, scalar_of *value, fv_role by, const fv_host_tensors *t,
                              const double *weight, const double *gradient, double step, double tolerance) {
    double *place = t->at[by];
    const int64_t elements = elements_of(op, FV_FORWARD, by);
    assert_true(elements > 0);
    for (int64_t i = 0; i < elements; ++i) {
        const double before = place[i];
        place[i] = before + step;
        const double above = value(op, t, weight);
        place[i] = before - step;
        const double below = value(op, t, weight);
        place[i] = before;
        const double quotient = (above - below) / (2 * step);
        if (!(fabs(quotient - gradient[i]) <= tolerance)) {
            char text[256];
            fv_operation_print(op, text, sizeof text);
            fail_msg("%s: by %s[%ld]: difference quotient %.17g, gradient %.17g", text, fv_role_name(by), (long)i,
                     quotient, gradient[i]);
        }
    }
}

/* Inputs whose neighbours differ by at least 1, so that a step of 1/8 changes no maximum and no sign: a permutation of
 * the odd numbers around zero. */
static void make_distinct(double *x, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        x[i] = (double)(2 * ((i * 7919) % elements) - elements) + (elements % 2 == 0);
}

/* Offsets are multiples of 1/4, and a deformable convolution is linear in each as long as its tap stays between the
 * same pixels: a step of 1/8 is exact for those that are off the grid. */
static void leave_grid(double *offset, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        offset[i] += offset[i] == rint(offset[i]) ? 0.5 : 0;
}

static void exact_differences(void **state) {
    (void)state;
    static const char *const texts[] = {
        "conv2d n=2 c=2 h=5 w=6 k=3 kernel=3x2 stride=2x1 pad=1,0,2,1 dilation=1x2 bias=1",
        "conv2d n=1 c=4 h=5 w=5 k=4 kernel=3x3 groups=2 pad=1 bias=1",
        "conv2d n=1 c=2 h=7 w=6 k=2 kernel=2x3 stride=2x3 pad=4,2,3,3 dilation=4x3 bias=1",
        "conv2d n=1 c=3 h=5 w=5 k=6 kernel=3x3 groups=3 pad=1 bias=1",
        "conv2d_separable n=2 c=2 multiplier=2 h=5 w=6 k=3 kernel=3x2 stride=2x1 pad=1,0,2,1 dilation=1x2 bias=1",
        "conv2d_transposed n=2 c=4 h=3 w=2 k=6 kernel=3x2 stride=2x3 pad=1,0,1,2 output_pad=1x2 groups=2 bias=1",
        "conv2d_deformable n=2 c=4 h=5 w=4 k=2 kernel=3x2 stride=2x1 pad=1,0,2,1 dilation=1x2 mask=1 bias=1",
        "conv2d_deformable n=1 c=6 h=4 w=5 k=4 kernel=2x2 pad=1 groups=2 offset_groups=3 bias=1",
        "conv2d_unshared n=2 c=2 h=5 w=4 k=4 kernel=3x2 stride=2x1 pad=1,0,2,1 dilation=1x2 groups=2 bias=1",
        "conv2d_spatial n=2 c=2 m=3 k=2 h=5 w=6 kernel=3x2 stride=2x1 pad=1,0,2,1 dilation=1x2 bias=1",
        "linear n=3 c=5 k=4 bias=1",
        "maxpool n=1 c=2 h=7 w=7 kernel=3x3 stride=2 pad=1",
        "maxpool n=1 c=1 h=7 w=7 kernel=2x2 dilation=2",
        "maxpool n=1 c=1 h=5 w=6 kernel=2x3 stride=2 pad=1 ceil=1",
        "avgpool n=1 c=2 h=5 w=6 kernel=2x2 stride=2x1 pad=1,0,0,1 include_pad=0 ceil=1",
        "avgpool n=1 c=2 h=5 w=7 kernel=4x2 pad=2,1,1,0 dilation=1x3",
        "unpool n=1 c=2 h=5 w=5 kernel=3x2 stride=1x2 pad=1",
        "upsample n=1 c=2 h=3 w=4 size=5x3",
        "upsample n=1 c=2 h=3 w=4 size=6x2 mode=bilinear",
        "upsample n=1 c=2 h=3 w=2 size=5x5 mode=bilinear align=1",
        "relu elements=101",
        "relu elements=101 slope=0.25",
        "dropout elements=101 rate=0.75 seed=4",
        "concat n=2 h=3 w=2 c=3,1,4,2",
        "add elements=31",
        "flatten n=2 c=3 h=2 w=4 order=chw",
        "flatten n=2 c=3 h=2 w=4",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        const fv_operation op = parse_as(texts[i], FV_F64);
        fv_host_tensors t = {0};
        /* One set of tensors with everything: forward inputs and outputs, dy, and all gradients. */
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            fv_tensor_spec specs[FV_MAX_SPECS];
            const int count = fv_operation_signature(&op, pass, specs);
            fv_host_tensors made = {0};
            if (count)
                assert_int_equal(fv_generate(&op, pass, FV_EXACT, 3, &made), FV_OK);
            for (int j = 0; j < count; ++j)
                if (!t.at[specs[j].role]) {
                    t.at[specs[j].role] = made.at[specs[j].role];
                    made.at[specs[j].role] = NULL;
                }
            fv_host_tensors_release(&made);
        }
        if (op.kind == FV_MAXPOOL || op.kind == FV_RELU)
            make_distinct(t.at[FV_X], elements_of(&op, FV_FORWARD, FV_X));
        if (t.at[FV_OFFSET])
            leave_grid(t.at[FV_OFFSET], elements_of(&op, FV_FORWARD, FV_OFFSET));
        assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
        for (fv_pass pass = FV_BACKWARD_DATA; pass < FV_PASSES; ++pass)
            if (fv_operation_has_pass(&op, pass))
                assert_int_equal(fv_run_reference(&op, pass, &t), FV_OK);
        const struct {
            fv_role by, gradient;
        } pairs[] = {{FV_X, FV_DX},   {FV_X2, FV_DX2}, {FV_X3, FV_DX3},         {FV_X4, FV_DX4},    {FV_W, FV_DW},
                     {FV_W2, FV_DW2}, {FV_B, FV_DB},   {FV_OFFSET, FV_DOFFSET}, {FV_MASK, FV_DMASK}};
        for (size_t j = 0; j < sizeof pairs / sizeof pairs[0]; ++j)
            if (t.at[pairs[j].gradient])
                check_differences(&op, inner_output, pairs[j].by, &t, t.at[FV_DY], t.at[pairs[j].gradient], 0.125, 0);
        fv_host_tensors_release(&t);
    }
}

/* Central differences err by h^2/6 times the third derivative, which for -log softmax is p(1-p)(1-2p), below 0.1, plus
 * the error of the two losses, which the verifier's bound gives, over 2h, plus the gradient's own, 3u of at most 1. */
static void softmax_differences(void **state) {
    (void)state;
    const fv_operation op = parse_as("softmax_xent n=4 classes=7", FV_F64);
    fv_host_tensors forward, backward;
    assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, 5, &forward), FV_OK);
    assert_int_equal(fv_generate(&op, FV_BACKWARD_DATA, FV_BOUNDED, 5, &backward), FV_OK);
    assert_int_equal(fv_run_reference(&op, FV_BACKWARD_DATA, &backward), FV_OK);
    assert_int_equal(fv_run_reference(&op, FV_FORWARD, &forward), FV_OK);
    double loss_errors[4], loss_error = 0;
    assert_int_equal(fv_error_bounds(&op, FV_FORWARD, FV_LOSS, 0, &forward, &forward, loss_errors), FV_OK);
    for (int i = 0; i < 4; ++i)
        loss_error = fmax(loss_error, loss_errors[i]);
    const double h = 0x1p-13, tolerance = h * h / 6 * 0.1 + loss_error / h + 3 * 0x1p-53;
    check_differences(&op, mean_loss, FV_X, &forward, NULL, backward.at[FV_DX], h, tolerance);
    fv_host_tensors_release(&forward);
    fv_host_tensors_release(&backward);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjoint),
        cmocka_unit_test(transposed_is_the_adjoint),
        cmocka_unit_test(exact_differences),
        cmocka_unit_test(softmax_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
