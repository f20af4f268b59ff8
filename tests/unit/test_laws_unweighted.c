/* <dy, A x> = <A' dy, x> for linear operations without weights: average pooling, unpooling, resizing, dropout and what
 * moves values; and, at a fixed argmax, max pooling. On every backend that opens here, and exactly, as inputs are drawn so
 * that every sum is exact in f32 (see test_laws.c). */
#include "by_hand.h"

#include "ops/op.h"
#include "own_kernels.h"
#include "parse.h"
#include "verify/verify.h"

/* Generated inputs as f32, or as they are if they are integers; other tensors' contents mean nothing. */
static void generate(const fv_operation *op, fv_pass pass, host_arrays at) {
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_host_tensors wide;
    assert_int_equal(fv_generate(op, pass, FV_EXACT, 7, &wide), FV_OK);
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i) {
        const fv_role role = specs[i].role;
        if (at[role])
            continue;
        at[role] = malloc(fv_spec_bytes(&specs[i]) + 1);
        assert_non_null(at[role]);
        if (specs[i].dtype != FV_F32)
            memcpy(at[role], wide.at[role], fv_spec_bytes(&specs[i]));
        for (int64_t e = 0; specs[i].dtype == FV_F32 && e < fv_shape_elements(&specs[i].shape); ++e)
            ((float *)at[role])[e] = (float)((const double *)wide.at[role])[e];
    }
    fv_host_tensors_release(&wide);
}

/* 0 if the backward pass has no role a. */
static double dot(void *const at[FV_ROLES], fv_role a, fv_role b, const fv_operation *op) {
    fv_tensor_spec spec;
    double sum = 0;
    if (!fv_operation_tensor(op, FV_BACKWARD_DATA, a, &spec))
        return 0;
    for (int64_t i = 0; i < fv_shape_elements(&spec.shape); ++i)
        sum += (double)((const float *)at[a])[i] * (double)((const float *)at[b])[i];
    return sum;
}

static void adjoint(void **state) {
    (void)state;
    static const char *const texts[] = {
        "maxpool n=2 c=3 h=7 w=8 kernel=3x2 stride=2 pad=1,0,1,1 ceil=1",
        "maxpool n=2 c=5 h=5 w=4 kernel=global",
        "avgpool n=2 c=3 h=9 w=8 kernel=2x2 pad=1,0,0,1 stride=2x1 include_pad=0",
        "avgpool n=1 c=4 h=9 w=8 kernel=4x2 pad=2,1,1,0 stride=3x2 dilation=1x3",
        "avgpool n=1 c=4 h=9 w=9 kernel=2x2 stride=2 ceil=1",
        "avgpool n=2 c=5 h=4 w=8 kernel=global",
        "unpool n=2 c=3 h=7 w=8 kernel=3x2 stride=2 pad=1,0,1,1 ceil=1",
        "unpool n=1 c=4 h=9 w=9 kernel=3x3 dilation=2",
        "upsample n=2 c=3 h=5 w=4 size=7x9",
        "upsample n=1 c=4 h=9 w=7 size=2x3",
        "upsample n=2 c=3 h=3 w=5 size=6x20 mode=bilinear",
        "upsample n=1 c=4 h=8 w=12 size=4x3 mode=bilinear",
        "upsample n=2 c=3 h=3 w=5 size=9x17 mode=bilinear align=1",
        "upsample n=1 c=4 h=9 w=6 size=3x1 mode=bilinear align=1",
        "dropout elements=1003 rate=0.5 seed=3",
        "concat n=2 h=5 w=3 c=4,33,1,17",
        "add elements=1003",
        "flatten n=2 c=35 h=5 w=9 order=chw",
        "flatten n=3 c=5 h=4 w=3",
    };
    for (int i = 0; i < context_count; ++i) {
        if (strcmp(fv_context_backend(contexts[i]), "onednn") != 0) /* which has no dilated pooling and no unpooling */
            require_own_kernels(contexts[i]);
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; ++j) {
            const fv_operation op = parse(texts[j]);
            host_arrays at = {0};
            generate(&op, FV_FORWARD, at);
            generate(&op, FV_BACKWARD_DATA, at);
            run(contexts[i], texts[j], FV_FORWARD, at);
            run(contexts[i], texts[j], FV_BACKWARD_DATA, at);
            const double by_output = dot(at, FV_DY, FV_Y, &op);
            const double by_input = dot(at, FV_DX, FV_X, &op) + dot(at, FV_DX2, FV_X2, &op) +
                                    dot(at, FV_DX3, FV_X3, &op) + dot(at, FV_DX4, FV_X4, &op);
            if (!(by_output == by_input && by_output != 0))
                fail_msg("%s %s: <dy,Ax> = %.17g, <A'dy,x> = %.17g", fv_context_backend(contexts[i]), texts[j],
                         by_output, by_input);
            for (int role = 0; role < FV_ROLES; ++role)
                free(at[role]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(adjoint)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
