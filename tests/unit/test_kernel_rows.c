/* What every row of every backend's kernel table must have, and what rows say about themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/kernel.h"
#include "base/error.h"
#include "ops/op.h"

/* An operation of each kind. */
static fv_operation example(fv_kind kind) {
    fv_operation op;
    if (fv_operation_parse(fv_op_info_of(kind)->example, &op) != FV_OK)
        fail_msg("%s", fv_error_message());
    return op;
}

/* Roles of the pass, as a bit set. */
static uint64_t roles_of(const fv_kernel *kernel) {
    const fv_operation op = example(kernel->kind);
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(&op, kernel->pass, specs);
    uint64_t roles = 0;
    for (int i = 0; i < count; ++i)
        roles |= UINT64_C(1) << specs[i].role;
    return roles;
}

static void rows_are_whole(void **state) {
    (void)state;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        fv_kernel_cursor cursor = {0};
        int count = 0;
        for (const fv_kernel *kernel; (kernel = fv_kernel_next(*backend, &cursor)); ++count) {
            assert_in_range(kernel->kind, 0, FV_KINDS - 1);
            assert_in_range(kernel->pass, 0, FV_PASSES - 1);
            assert_in_range(kernel->dtype, 0, FV_DTYPES - 1);
            assert_non_null(kernel->run);
            const uint64_t roles = roles_of(kernel);
            assert_true(roles != 0); /* the operation has the pass */
            assert_int_equal(kernel->omits & ~roles, 0);
            assert_true(kernel->layout == FV_NHWC || kernel->on_request);
            assert_int_equal(!kernel->ways, !kernel->prepare_way);
            assert_true(!kernel->ways || kernel->prepare);
            if (!kernel->workspace != !kernel->workspace_rule || (kernel->workspace && !*kernel->workspace_rule))
                fail_msg("%s %s %s: a workspace needs a rule, and a rule a workspace", (*backend)->name,
                         fv_kind_name(kernel->kind), kernel->name);
        }
        assert_true(count > 0);
    }
}

/* Names are unique within operation, pass, dtype and backend: they are how a user asks for one kernel. */
static void rows_are_named(void **state) {
    (void)state;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        fv_kernel_cursor i = {0};
        for (const fv_kernel *a; (a = fv_kernel_next(*backend, &i));) {
            assert_true(strlen(a->name) > 0);
            fv_kernel_cursor j = {0};
            for (const fv_kernel *b; (b = fv_kernel_next(*backend, &j)) && b != a;)
                assert_false(a->kind == b->kind && a->pass == b->pass && a->dtype == b->dtype &&
                             !strcmp(a->name, b->name));
        }
    }
}

static const fv_kernel *row_of(const fv_backend *backend, fv_kind kind, fv_pass pass, const char *name) {
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
        if (kernel->kind == kind && kernel->pass == pass && !strcmp(kernel->name, name))
            return kernel;
    fail_msg("%s has no kernel %s", backend->name, name);
    return NULL;
}

/* The rules of gradients that are split: a number of splits times what one of them takes, or nothing. */
static void split_workspace_follows_its_rule(void **state) {
    (void)state;
    static const struct {
        const char *kernel, *text;
        size_t bytes_of_split, least_splits; /* 0: it does not split */
    } table[] = {
        {"split_reduce", "conv2d n=4 c=6 h=32 w=32 k=8 kernel=3x5 groups=2 bias=1", (8 * 3 * 5 * 3 + 8) * 4, 2},
        {"split_reduce", "conv2d n=4 c=6 h=32 w=32 k=8 kernel=3x5 groups=2 bias=0", 8 * 3 * 5 * 3 * 4, 2},
        {"split_reduce", "conv2d n=1 c=6 h=9 w=9 k=8 kernel=3x3 bias=1", (8 * 3 * 3 * 6 + 8) * 4, 0},
        {"depthwise", "conv2d n=4 c=33 h=32 w=32 k=66 kernel=3x5 groups=33 bias=1", (66 * 3 * 5 + 66) * 4, 2},
        {"depthwise", "conv2d n=4 c=33 h=32 w=32 k=66 kernel=3x5 groups=33 bias=0", 66 * 3 * 5 * 4, 2},
        {"depthwise", "conv2d n=1 c=33 h=9 w=9 k=33 kernel=3x3 groups=33 bias=1", (33 * 3 * 3 + 33) * 4, 0},
        /* one tile of pixels for w, but two splits for w2 */
        {"fused", "conv2d_separable n=1 c=3 h=40 w=1 k=5 kernel=1x1 bias=1", (5 * 3 + 5) * 4, 2},
        {"fused", "conv2d_separable n=1 c=3 h=40 w=1 k=5 kernel=1x1 bias=0", 5 * 3 * 4, 2},
        {"fused", "conv2d_separable n=1 c=3 h=9 w=9 k=5 kernel=3x3 bias=1", (5 * 3 + 5) * 4, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        fv_operation op;
        assert_int_equal(fv_operation_parse(table[i].text, &op), FV_OK);
        const fv_kernel *kernel = row_of(fv_backend_find("emulated"), op.kind, FV_BACKWARD_WEIGHTS, table[i].kernel);
        const size_t bytes = kernel->workspace(&op, NULL);
        assert_int_equal(bytes % table[i].bytes_of_split, 0);
        assert_true(table[i].least_splits ? bytes >= table[i].least_splits * table[i].bytes_of_split : bytes == 0);
    }
}

/* The last tile of a line of nearly 2^31 pixels would end beyond what an int counts. */
static void tiles_end_within_an_int(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool refused;
    } table[] = {{"conv2d c=1 h=1 w=2147483600 k=1 kernel=1x2", true},
                 {"conv2d c=1 h=1 w=2147000000 k=1 kernel=1x2", false},
                 {"conv2d c=1 h=1 w=1073741824 k=1 kernel=1x2 pad=0,0,1073741816,0", true}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i)
        for (fv_pass pass = FV_FORWARD; pass <= FV_BACKWARD_DATA; ++pass) {
            fv_operation op;
            assert_int_equal(fv_operation_parse(table[i].text, &op), FV_OK);
            const fv_kernel *kernel = row_of(fv_backend_find("emulated"), op.kind, pass, "direct_tile");
            assert_int_equal(kernel->supports(&op) != NULL, table[i].refused);
        }
}

/* What the backend's kernel for this operation says of its arithmetic. */
static fv_numerics numerics_of(fv_context *context, const char *text, fv_pass pass) {
    fv_operation op;
    fv_call call;
    fv_numerics numerics = {0};
    assert_int_equal(fv_operation_parse(text, &op), FV_OK);
    assert_int_equal(fv_call_prepare(&call, context, &op, pass), FV_OK);
    assert_non_null(call.kernel->numerics);
    call.kernel->numerics(&op, call.state, &numerics);
    fv_call_release(&call);
    return numerics;
}

static void onednn_names_its_implementations(void **state) {
    (void)state;
    static const char *const texts[] = {"conv2d n=2 c=3 h=8 w=8 k=4 kernel=3x3 bias=1", "linear n=2 c=5 k=4 bias=1",
                                        "maxpool n=2 c=3 h=8 w=8 kernel=2x2 stride=2"};
    /* what oneDNN 2.6 calls its reorders, which come first where filters are converted; no convolution is called so */
    static const char *const reorders[] = {"jit:uni", "jit:blk", "simple:any"};
    if (!fv_backend_find("onednn"))
        skip();
    fv_context *context;
    assert_int_equal(fv_context_create("onednn", NULL, &context), FV_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        for (fv_pass pass = FV_FORWARD; pass < FV_PASSES - (i == 2); ++pass) {
            const fv_numerics numerics = numerics_of(context, texts[i], pass);
            assert_true(strlen(numerics.description) > 0);
            for (size_t r = 0; i == 0 && r < sizeof reorders / sizeof reorders[0]; ++r)
                assert_string_not_equal(numerics.description, reorders[r]);
            assert_int_equal(numerics.notes, 0);
        }
    /* without a batch nothing is prepared, and nothing said */
    assert_string_equal(numerics_of(context, "linear n=0 c=5 k=4", FV_FORWARD).description, "");
    fv_context_destroy(context);
}

/* 961 columns for each of 3136 pixels and 128 channels, of three images at a time. */
static void im2col_refuses_gigabytes(void **state) {
    (void)state;
    fv_context *emulated;
    assert_int_equal(fv_context_create("emulated", NULL, &emulated), FV_OK);
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        fv_operation op;
        const fv_kernel *kernel = row_of(emulated->backend, FV_CONV2D, pass, "im2col");
        assert_int_equal(fv_operation_parse("conv2d n=32 c=128 h=56 w=56 k=128 kernel=31x31 pad=15 groups=128", &op),
                         FV_OK);
        assert_string_equal(fv_kernel_refusal(kernel, emulated, &op, pass), "the columns would take more than 1 GiB");
        op.conv2d.r = op.conv2d.s = 3;
        assert_null(fv_kernel_refusal(kernel, emulated, &op, pass));
    }
    fv_context_destroy(emulated);
}

/* Passes of a kind that a backend has rows for, as a bit set. */
static unsigned passes_of(const char *name, fv_kind kind) {
    unsigned passes = 0;
    fv_kernel_cursor cursor = {0};
    const fv_backend *backend = fv_backend_find(name);
    for (const fv_kernel *kernel; backend && (kernel = fv_kernel_next(backend, &cursor));)
        if (kernel->kind == kind)
            passes |= 1u << kernel->pass;
    return passes;
}

/* Reference and our kernels have every pass of every operation; vendors all passes but of those that they lack. */
static void every_pass_has_rows(void **state) {
    (void)state;
    for (fv_kind kind = 0; kind < FV_KINDS; ++kind) {
        const fv_operation op = example(kind);
        unsigned all = 0;
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
            all |= (unsigned)fv_operation_has_pass(&op, pass) << pass;
        assert_int_equal(passes_of("reference", kind), all);
        assert_int_equal(passes_of("emulated", kind), all);
        const unsigned of_onednn = passes_of("onednn", kind);
        const bool no_vendor = kind == FV_UNSHARED || kind == FV_DEFORMABLE || kind == FV_UNPOOL;
        if (fv_backend_find("onednn"))
            assert_int_equal(of_onednn, no_vendor ? 0 : all);
        if (fv_backend_find("cuda"))
            assert_int_equal(passes_of("cuda", kind), all);
        if (no_vendor)
            assert_int_equal(passes_of("cudnn", kind), 0);
    }
}

static fv_status do_nothing(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op, (void)state, (void)buffers;
    return FV_OK;
}

static fv_status refuse_preparation(fv_context *context, const fv_operation *op, void **state) {
    (void)context, (void)op, (void)state;
    return fv_fail(FV_DEVICE, "a kernel of tf32 was chosen");
}

/* What is made of two calls has no notes of its own: asked for tf32, it takes f32's kernels, even behind tf32's. */
static void stages_of_tf32_are_f32s(void **state) {
    (void)state;
    static const fv_kernel stages[] = {
        {.kind = FV_CONV2D, .dtype = FV_TF32, .name = "rough", .prepare = refuse_preparation, .run = do_nothing},
        {.kind = FV_CONV2D, .dtype = FV_F32, .name = "fine", .run = do_nothing},
        FV_KERNELS_END,
    };
    static const fv_kernel *const tables[] = {fv_unfused_kernels, stages, NULL};
    static const fv_backend staged = {.name = "staged", .tables = tables, FV_HOST_MEMORY};
    fv_context context = {.backend = &staged};
    fv_operation op = example(FV_SEPARABLE);
    fv_call call;
    fv_operation_set_dtype(&op, FV_TF32);
    const fv_status status = fv_call_prepare_own(&call, &context, &op, FV_FORWARD);
    if (status != FV_OK)
        fail_msg("%s", fv_error_message());
    assert_string_equal(call.kernel->name, "unfused");
    fv_call_release(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(every_pass_has_rows),
        cmocka_unit_test(im2col_refuses_gigabytes),
        cmocka_unit_test(rows_are_named),
        cmocka_unit_test(split_workspace_follows_its_rule),
        cmocka_unit_test(tiles_end_within_an_int),
        cmocka_unit_test(onednn_names_its_implementations),
        cmocka_unit_test(stages_of_tf32_are_f32s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
