/* Deformable convolution where its values are known: between pixels, on the grid, beyond the borders, and where it is a
 * plain convolution; on every backend that opens here. Finite differences and the adjoint law: test_laws.c. */
#include "by_hand.h"
#include "parse.h"

#include "verify/verify.h"

#define POINT "conv2d_deformable c=1 h=5 w=5 k=1 kernel=1x1 stride=5 mask=1"

/* One tap over a 5x5 image that is 1 at (2,2): y is the weight of that pixel at the offset, doffset its derivative. */
static void read_point(fv_context *context, const float offset[2], float *y, float doffset[2], float *dmask) {
    float x[25] = {[2 * 5 + 2] = 1}, w[1] = {1}, mask[1] = {1}, dy[1] = {1}, dx[25], place[2] = {offset[0], offset[1]};
    host_arrays at = {[FV_X] = x,   [FV_W] = w,   [FV_OFFSET] = place,    [FV_MASK] = mask,  [FV_Y] = y,
                      [FV_DY] = dy, [FV_DX] = dx, [FV_DOFFSET] = doffset, [FV_DMASK] = dmask};
    run(context, POINT, FV_FORWARD, at);
    run(context, POINT, FV_BACKWARD_DATA, at);
}

/* (1 - |2 - 1.7|) (1 - |2 - 2.3|) = 0.49, and its derivatives 0.7 and -0.7. Rounding the offsets to f32 moves them by
 * at most u and 2u, u = 2^-24; that, the two roundings of 1 - 0.3 and that of the product stay below 8u. */
static void weight_and_slope_between_pixels(void **state) {
    (void)state;
    for (int i = 0; i < context_count; ++i) {
        float y[1], doffset[2], dmask[1];
        read_point(contexts[i], (const float[]){1.7f, 2.3f}, y, doffset, dmask);
        expect_near(contexts[i], "y", y, (const double[]){0.49}, 1, 0x1p-21);
        expect_near(contexts[i], "dmask", dmask, (const double[]){0.49}, 1, 0x1p-21);
        expect_near(contexts[i], "doffset", doffset, (const double[]){0.7, -0.7}, 2, 0x1p-21);
    }
}

/* On the grid the slope is that of the side of larger coordinates: from the pixel itself it falls, from one before it
 * rises. */
static void slopes_on_the_grid(void **state) {
    (void)state;
    static const struct {
        float offset[2];
        double y, doffset[2];
    } cases[] = {
        {{2, 2}, 1, {-1, -1}}, {{1, 2}, 0, {1, 0}}, {{2, 1}, 0, {0, 1}},
        {{3, 2}, 0, {0, 0}},   {{1, 1}, 0, {0, 0}}, {{1.5f, 2}, 0.5, {1, -0.5}},
    };
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof cases / sizeof cases[0]; ++j) {
            float y[1], doffset[2], dmask[1];
            read_point(contexts[i], cases[j].offset, y, doffset, dmask);
            expect(contexts[i], "y", y, &cases[j].y, 1);
            expect(contexts[i], "doffset", doffset, cases[j].doffset, 2);
        }
}

/* An image of one pixel, 8: halves of it beside it, its slope at the very border, and nothing from far away, however
 * far, or from nowhere. */
static void beyond_the_border(void **state) {
    (void)state;
    static const char text[] = "conv2d_deformable c=1 h=1 w=1 k=1 kernel=1x1";
    static const struct {
        float offset[2];
        double y, dx, doffset[2];
    } cases[] = {
        {{-0.5f, 0}, 4, 0.5, {8, -4}},
        {{0, 0.5f}, 4, 0.5, {-4, -8}},
        {{-1, 0}, 0, 0, {8, 0}},
        {{0, -1}, 0, 0, {0, 8}},
        {{1, 0}, 0, 0, {0, 0}},
        {{0, -1.25f}, 0, 0, {0, 0}},
        {{-1e-30f, 0}, 8, 1, {8, -8}}, /* the fraction rounds to 1 */
        {{0x1p31f, 0}, 0, 0, {0, 0}},
        {{0, -0x1p32f}, 0, 0, {0, 0}},
        {{0x1p32f, 0x1p32f}, 0, 0, {0, 0}}, /* 0 if it were cut to 32 bits */
        {{0, 1e30f}, 0, 0, {0, 0}},
        {{-INFINITY, 0}, 0, 0, {0, 0}},
        {{0, INFINITY}, 0, 0, {0, 0}},
        {{NAN, 0}, 0, 0, {0, 0}},
        {{0, NAN}, 0, 0, {0, 0}},
    };
    for (int i = 0; i < context_count; ++i)
        for (size_t j = 0; j < sizeof cases / sizeof cases[0]; ++j) {
            float x[1] = {8}, w[1] = {1}, dy[1] = {1}, y[1], dx[1], dw[1], doffset[2];
            float offset[2] = {cases[j].offset[0], cases[j].offset[1]};
            host_arrays at = {[FV_X] = x,   [FV_W] = w,   [FV_OFFSET] = offset,   [FV_Y] = y,
                              [FV_DY] = dy, [FV_DX] = dx, [FV_DOFFSET] = doffset, [FV_DW] = dw};
            for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
                run(contexts[i], text, pass, at);
            if (cases[j].offset[0] == -1e-30f) { /* in double the fraction is below 1, and the results below these */
                expect_near(contexts[i], "y", y, &cases[j].y, 1, 0x1p-20);
                continue;
            }
            expect(contexts[i], "y", y, &cases[j].y, 1);
            expect(contexts[i], "dw", dw, &cases[j].y, 1);
            expect(contexts[i], "dx", dx, &cases[j].dx, 1);
            expect(contexts[i], "doffset", doffset, cases[j].doffset, 2);
        }
}

/* ---- as a plain convolution */

#define SIZES "n=2 c=4 h=6 w=7 k=6 kernel=3x2 stride=2x1 dilation=1x2 groups=2 bias=1 "

static float *narrowed(const double *wide, int64_t elements) {
    float *narrow = malloc((size_t)elements * sizeof *narrow);
    for (int64_t i = 0; wide && i < elements; ++i)
        narrow[i] = (float)wide[i];
    return narrow;
}

/* Integers, so that the two must agree to the last bit. All offsets are (down, right). */
static void expect_convolution(fv_context *context, const char *deformable, float down, float right,
                               const char *convolution) {
    const fv_operation op = parse(deformable), conv = parse(convolution);
    host_arrays at = {0}, expected = {0};
    int64_t elements[FV_ROLES] = {0};
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        fv_host_tensors generated;
        assert_int_equal(fv_generate(&conv, pass, FV_EXACT, 5, &generated), FV_OK);
        for (int i = fv_operation_signature(&op, pass, specs) - 1; i >= 0; --i) {
            const fv_role role = specs[i].role;
            elements[role] = fv_shape_elements(&specs[i].shape);
            if (at[role])
                continue;
            at[role] = narrowed(specs[i].direction == FV_IN ? generated.at[role] : NULL, elements[role]);
            expected[role] = specs[i].direction == FV_IN ? at[role] : malloc((size_t)elements[role] * sizeof(float));
        }
        fv_host_tensors_release(&generated);
    }
    for (int64_t i = 0; i < elements[FV_OFFSET]; ++i)
        ((float *)at[FV_OFFSET])[i] = i % 2 ? right : down;
    static const fv_role results[] = {FV_Y, FV_DX, FV_DW, FV_DB};
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        run(context, deformable, pass, at);
        run(context, convolution, pass, expected);
    }
    for (size_t j = 0; j < sizeof results / sizeof results[0]; ++j) {
        const float *got = at[results[j]], *wanted = expected[results[j]];
        for (int64_t i = 0; i < elements[results[j]]; ++i)
            if (got[i] != wanted[i])
                fail_msg("%s: %s[%ld] is %.9g, the convolution's is %.9g", fv_context_backend(context),
                         fv_role_name(results[j]), (long)i, (double)got[i], (double)wanted[i]);
    }
    for (int role = 0; role < FV_ROLES; ++role) {
        if (expected[role] != at[role])
            free(expected[role]);
        free(at[role]);
    }
}

static void whole_offsets_shift_a_convolution(void **state) {
    (void)state;
    for (int i = 0; i < context_count; ++i) {
        expect_convolution(contexts[i], "conv2d_deformable offset_groups=2 pad=2 " SIZES, 0, 0, "conv2d pad=2 " SIZES);
        expect_convolution(contexts[i], "conv2d_deformable pad=2 " SIZES, 1, -2, "conv2d pad=1,3,4,0 " SIZES);
    }
}

/* ---- what is refused */

static void wrong_offsets_are_refused(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d_deformable n=1 c=2 h=3 w=3 k=1 kernel=3x3 offset_groups=2");
    fv_context *context;
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_tensor *tensors[FV_ROLES] = {0};
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    for (int i = fv_operation_signature(&op, FV_FORWARD, specs) - 1; i >= 0; --i) {
        if (specs[i].role == FV_OFFSET)
            specs[i].shape.dim[3] = 18; /* those of one offset group */
        assert_int_equal(fv_tensor_create(context, FV_F32, specs[i].shape, &tensors[specs[i].role]), FV_OK);
    }
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, tensors), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(),
                        "conv2d_deformable forward: tensor offset is f32 [1,1,1,18]: expected f32 [1,1,1,36]");
    for (int role = 0; role < FV_ROLES; ++role)
        fv_tensor_destroy(tensors[role]);
    fv_context_destroy(context);
}

static void wrong_descriptors_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"c=3 offset_groups=2", "conv2d_deformable: offset_groups=2 must divide c=3"},
        {"c=3 offset_groups=0", "conv2d_deformable: offset_groups=0 must be at least 1"},
        {"c=3 groups=2", "conv2d_deformable: groups=2 must divide c=3 and k=2"},
        {"c=2 mask=2", "conv2d_deformable: mask=2 must be 0 or 1"},
        {"c=2 bias=-1", "conv2d_deformable: bias=-1 must be 0 or 1"},
        {"c=1000000000000 n=1000000",
         "conv2d_deformable: the number of pixels read by multiply-accumulates exceeds 2^62"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        char text[128];
        fv_operation op;
        snprintf(text, sizeof text, "conv2d_deformable h=3 w=3 k=2 kernel=1x1 %s", cases[i][0]);
        assert_int_equal(fv_operation_parse(text, &op), FV_BAD_INPUT);
        assert_string_equal(fv_error_message(), cases[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_and_slope_between_pixels),
        cmocka_unit_test(slopes_on_the_grid),
        cmocka_unit_test(beyond_the_border),
        cmocka_unit_test(whole_offsets_shift_a_convolution),
        cmocka_unit_test(wrong_offsets_are_refused),
        cmocka_unit_test(wrong_descriptors_are_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
