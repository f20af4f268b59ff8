/* Contexts, tensors, the choice of kernels, and what happens where a backend lacks one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/fovea.h>

#include "backends/kernel.h"
#include "network/network.h"

static void backends(void **state) {
    (void)state;
    const char *const *names = fv_backend_names();
    int count = 0;
    for (; names[count]; ++count) {
        fv_context *context;
        const fv_status status = fv_context_create(names[count], NULL, &context);
        assert_true(status == FV_OK || status == FV_UNSUPPORTED); /* a GPU backend without a GPU */
        if (status == FV_OK) {
            assert_string_equal(fv_context_backend(context), names[count]);
            assert_true(strlen(fv_context_description(context)) > 0);
        } else {
            assert_true(strlen(fv_error_message()) > 0);
        }
        fv_context_destroy(context);
    }
    assert_true(count >= 2);
    assert_string_equal(names[count - 1], "reference");

    fv_context *context;
    assert_int_equal(fv_context_create("gpu", NULL, &context), FV_BAD_INPUT);
    assert_null(context);
    assert_non_null(strstr(fv_error_message(), "unknown backend 'gpu': expected auto"));
    fv_context_destroy(NULL);
    static const char *const optional[] = {"cuda", "cudnn", "onednn"};
    for (int i = 0; i < 3; ++i)
        if (!fv_backend_find(optional[i])) {
            assert_int_equal(fv_context_create(optional[i], NULL, &context), FV_UNSUPPORTED);
            assert_non_null(strstr(fv_error_message(), "is not in this build: "));
        }
}

/* "auto" is the first of these that opens: the GPU, then the vendor on the CPU, then plain loops. */
static void automatic(void **state) {
    (void)state;
    static const char *const order[] = {"cuda", "onednn", "reference"};
    fv_context *best = NULL, *context;
    for (size_t i = 0; !best && i < sizeof order / sizeof order[0]; ++i)
        fv_context_create(order[i], NULL, &best);
    assert_non_null(best);
    assert_int_equal(fv_context_create("auto", NULL, &context), FV_OK);
    assert_string_equal(fv_context_backend(context), fv_context_backend(best));
    fv_context_destroy(context);
    fv_context_destroy(best);
}

static void unreasonable_options(void **state) {
    (void)state;
    fv_context *context;
    static const int threads[] = {-1, 1 << 30};
    for (size_t i = 0; fv_backend_find("onednn") && i < sizeof threads / sizeof threads[0]; ++i) {
        const fv_context_options options = {.threads = threads[i]};
        assert_int_equal(fv_context_create("onednn", &options, &context), FV_BAD_INPUT);
        assert_non_null(strstr(fv_error_message(), "threads"));
        assert_null(context);
    }
    const fv_context_options options = {.thread_order = (fv_thread_order)(FV_ORDER_VARIED + 1)};
    assert_int_equal(fv_context_create("emulated", &options, &context), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "thread order"));
}

static void tensors(void **state) {
    (void)state;
    fv_context *context;
    fv_tensor *tensor;
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){2, {2, 3}}, &tensor), FV_OK);
    const float in[6] = {1, 2, 3, 4, 5, 6};
    float out[6];
    assert_int_equal(fv_tensor_read(tensor, out, sizeof out), FV_OK);
    for (int i = 0; i < 6; ++i)
        assert_true(out[i] == 0);
    assert_int_equal(fv_tensor_write(tensor, in, sizeof in), FV_OK);
    assert_int_equal(fv_tensor_read(tensor, out, sizeof out), FV_OK);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(fv_tensor_write(tensor, in, sizeof in - 1), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "23 bytes given, but it has 24"));
    fv_tensor_destroy(tensor);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){FV_MAX_RANK + 1, {1}}, &tensor), FV_BAD_INPUT);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){-1, {1}}, &tensor), FV_BAD_INPUT);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){1, {-1}}, &tensor), FV_BAD_INPUT);
    assert_int_equal(fv_tensor_create(context, FV_F64, (fv_shape){2, {1LL << 31, 1LL << 31}}, &tensor), FV_BAD_INPUT);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){1, {1LL << 60}}, &tensor), FV_NO_MEMORY);
    assert_null(tensor);
    fv_context_destroy(context);
}

static void execute_checks_its_tensors(void **state) {
    (void)state;
    fv_context *context, *other;
    assert_int_equal(fv_context_create("reference", NULL, &context), FV_OK);
    assert_int_equal(fv_context_create("reference", NULL, &other), FV_OK);
    fv_operation op;
    assert_int_equal(fv_operation_parse("linear n=2 c=3 k=4", &op), FV_OK);
    fv_tensor *at[FV_ROLES] = {0}, *foreign, *wide;
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){2, {2, 3}}, &at[FV_X]), FV_OK);
    assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){2, {2, 4}}, &at[FV_Y]), FV_OK);
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "linear forward: tensor w is missing: expected f32 [4,3]");
    assert_int_equal(fv_tensor_create(context, FV_F64, (fv_shape){2, {3, 4}}, &wide), FV_OK);
    at[FV_W] = wide;
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_BAD_INPUT);
    assert_string_equal(fv_error_message(), "linear forward: tensor w is f64 [3,4]: expected f32 [4,3]");
    static const fv_tensor_spec wrong[] = {{.dtype = FV_F64, .shape = {2, {4, 3}}},
                                           {.dtype = FV_F32, .shape = {2, {3, 4}}},
                                           {.dtype = FV_F32, .shape = {3, {4, 3, 1}}}};
    for (int i = 0; i < 3; ++i) {
        fv_tensor_destroy(wide);
        assert_int_equal(fv_tensor_create(context, wrong[i].dtype, wrong[i].shape, &wide), FV_OK);
        at[FV_W] = wide;
        assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_BAD_INPUT);
        assert_non_null(strstr(fv_error_message(), ": expected f32 [4,3]"));
    }
    assert_int_equal(fv_tensor_create(other, FV_F32, (fv_shape){2, {4, 3}}, &foreign), FV_OK);
    at[FV_W] = foreign;
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_BAD_INPUT);
    assert_non_null(strstr(fv_error_message(), "belongs to another context"));
    op.linear.c = 0;
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_BAD_INPUT);
    assert_int_equal(fv_operation_parse("relu elements=3", &op), FV_OK);
    assert_int_equal(fv_execute(context, &op, FV_BACKWARD_WEIGHTS, at), FV_UNSUPPORTED);
    fv_tensor_destroy(at[FV_X]);
    fv_tensor_destroy(at[FV_Y]);
    fv_tensor_destroy(wide);
    fv_tensor_destroy(foreign);
    fv_context_destroy(context);
    fv_context_destroy(other);
}

/* ---- a device without kernels: its pointers cannot be followed, so everything must travel through the reference */

static const uintptr_t disguise = (uintptr_t)1 << 62;

static void *real(const void *device) {
    return (void *)((uintptr_t)device ^ disguise);
}
static fv_status open_far(fv_context *context, const fv_context_options *options) {
    (void)context, (void)options;
    return FV_OK;
}
static void close_far(fv_context *context) {
    (void)context;
}
static fv_status allocate_far(fv_context *context, size_t bytes, void **pointer) {
    const fv_status status = fv_host_allocate(context, bytes, pointer);
    *pointer = real(*pointer);
    return status;
}
static void deallocate_far(fv_context *context, void *pointer) {
    fv_host_deallocate(context, real(pointer));
}
static fv_status upload_far(fv_context *context, void *device, const void *host, size_t bytes) {
    return fv_host_upload(context, real(device), host, bytes);
}
static fv_status download_far(fv_context *context, void *host, const void *device, size_t bytes) {
    return fv_host_download(context, host, real(device), bytes);
}
static fv_status fill_far(fv_context *context, void *device, int byte, size_t bytes) {
    return fv_host_fill(context, real(device), byte, bytes);
}

static const fv_kernel *const no_tables[] = {NULL};
static const fv_backend far_backend = {
    .name = "far",
    .tables = no_tables,
    .open = open_far,
    .close = close_far,
    .allocate = allocate_far,
    .deallocate = deallocate_far,
    .upload = upload_far,
    .download = download_far,
    .fill = fill_far,
    .synchronize = fv_host_synchronize,
};

typedef struct notices {
    int count;
    char last[256];
} notices;

static void take_notice(void *user, const char *line) {
    notices *n = user;
    ++n->count;
    snprintf(n->last, sizeof n->last, "%s", line);
}

static float *train_on(fv_context *context) {
    static uint8_t images[6 * 36], labels[6] = {0, 1, 0, 1, 0, 1};
    for (int i = 0; i < 6 * 36; ++i)
        images[i] = (uint8_t)(i * 37 % 251);
    const fv_dataset data = {6, 6, 6, 1, 2, images, labels};
    fv_training_options options = fv_training_defaults();
    options.batch = 4;
    options.epochs = 2;
    fv_network *network;
    fv_model *model;
    assert_int_equal(fv_network_parse("input 6x6x1\nconv 2 3x3\nmaxpool 2x2\nrelu\nlinear 2", &network), FV_OK);
    assert_int_equal(fv_model_create(context, network, 1, &model), FV_OK);
    if (fv_train(model, &data, &data, &options, NULL) != FV_OK)
        fail_msg("%s", fv_error_message());
    float *parameters = malloc((size_t)network->parameter_end * sizeof *parameters);
    assert_int_equal(fv_model_get_parameters(model, parameters), FV_OK);
    /* batches of the same size out of sets of different sizes */
    static uint8_t many[270 * 36];
    int32_t predicted[270];
    for (int count = 270; count >= 260; count -= 5)
        assert_int_equal(fv_model_predict(model, many, count, predicted, NULL), FV_OK);
    fv_model_destroy(model);
    fv_network_destroy(network);
    return parameters;
}

static void stands_in_across_memories(void **state) {
    (void)state;
    fv_context *near;
    fv_context far = {.backend = &far_backend};
    notices seen = {0};
    fv_context_on_notice(&far, take_notice, &seen);
    assert_int_equal(fv_context_create("reference", NULL, &near), FV_OK);
    float *expected = train_on(near), *got = train_on(&far);
    assert_memory_equal(expected, got, 3 * FV_PARAMETER_ALIGN * sizeof(float));
    /* batch; conv, pool, relu and linear forward; loss both ways; the way back; adam: once each in spite of many steps
     */
    assert_int_equal(seen.count, 1 + 4 + 2 + (1 + 1 + 1 + 2) + 1);
    assert_non_null(strstr(seen.last, "is done by reference"));
    free(expected);
    free(got);
    fv_context_destroy(near);
}

/* ---- which row is chosen */

static fv_status do_nothing(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op, (void)state, (void)buffers;
    return FV_OK;
}
static const char *only_even(const fv_operation *op) {
    return op->relu.elements % 2 ? "odd" : NULL;
}

#define RELU_ROW(name_, ...)                                                                                           \
    { .kind = FV_RELU, .pass = FV_FORWARD, .dtype = FV_F32, .name = name_, .run = do_nothing, __VA_ARGS__ }

static const fv_kernel first_rows[] = {RELU_ROW("hopper", .min_capability = 90),
                                       RELU_ROW("even", .min_capability = 80, .supports = only_even), FV_KERNELS_END};
static const fv_kernel last_rows[] = {RELU_ROW("any", .min_capability = 80), FV_KERNELS_END};
static const fv_kernel *const first_table[] = {first_rows, NULL}, *const last_table[] = {last_rows, NULL};
static const fv_kernel *const both_tables[] = {first_rows, last_rows, NULL};

/* The kernel and the notice of a relu on a device. */
static const char *chosen(const fv_backend *backend, int capability, int64_t elements, notices *seen, bool *bridged) {
    fv_context context = {.backend = backend, .capability = capability};
    const fv_operation op = {.kind = FV_RELU, .relu = {elements, FV_F32}};
    fv_call call;
    *seen = (notices){0};
    fv_context_on_notice(&context, take_notice, seen);
    assert_int_equal(fv_call_prepare(&call, &context, &op, FV_FORWARD), FV_OK);
    const char *name = call.kernel->name;
    *bridged = call.bridged;
    fv_call_release(&call);
    return name;
}

/* The first row that the device is able and the row willing to run; a notice only where none is. */
static void chooses_by_capability(void **state) {
    (void)state;
    notices seen;
    bool bridged;
    fv_backend device = far_backend;
    device.tables = both_tables;
    assert_string_equal(chosen(&device, 90, 4, &seen, &bridged), "hopper");
    assert_string_equal(chosen(&device, 89, 4, &seen, &bridged), "even");
    assert_string_equal(chosen(&device, 80, 4, &seen, &bridged), "even");
    assert_string_equal(chosen(&device, 80, 5, &seen, &bridged), "any");
    assert_int_equal(seen.count, 0);
    assert_false(bridged);
    chosen(&device, 75, 4, &seen, &bridged);
    assert_true(bridged);
    assert_string_equal(seen.last,
                        "far: relu forward is done by reference (the device's compute capability is too low)");
    fv_context context = {.backend = &device, .capability = 80};
    fv_call call;
    const fv_operation op = {.kind = FV_RELU, .relu = {4, FV_F32}};
    assert_int_equal(fv_call_prepare_kernel(&call, &context, &first_rows[0], &op, FV_FORWARD), FV_UNSUPPORTED);
    assert_string_equal(fv_error_message(), "far hopper: the device's compute capability is too low");
}

/* Before the reference comes the backend that works on the same memory. */
static void stand_in_comes_first(void **state) {
    (void)state;
    notices seen;
    bool bridged;
    fv_backend helper = far_backend, device = far_backend;
    helper.name = "near";
    helper.tables = last_table;
    device.tables = first_table;
    device.stand_in = &helper;
    assert_string_equal(chosen(&device, 80, 4, &seen, &bridged), "even");
    assert_int_equal(seen.count, 0);
    assert_string_equal(chosen(&device, 80, 5, &seen, &bridged), "any");
    assert_false(bridged);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last, "far: relu forward is done by near (the device's compute capability is too low)");
    chosen(&device, 75, 5, &seen, &bridged);
    assert_true(bridged);
}

/* The emulated backend has no f64 kernels: the reference takes over, and says so once. */
static void stands_in_on_the_host(void **state) {
    (void)state;
    fv_context *context;
    notices seen = {0};
    fv_operation op;
    fv_tensor *at[FV_ROLES] = {0};
    assert_int_equal(fv_context_create("emulated", NULL, &context), FV_OK);
    fv_context_on_notice(context, take_notice, &seen);
    assert_int_equal(fv_operation_parse("relu elements=3 dtype=f64", &op), FV_OK);
    assert_int_equal(fv_tensor_create(context, FV_F64, (fv_shape){1, {3}}, &at[FV_X]), FV_OK);
    assert_int_equal(fv_tensor_create(context, FV_F64, (fv_shape){1, {3}}, &at[FV_Y]), FV_OK);
    const double in[3] = {-1, 2, -3}, expected[3] = {0, 2, 0};
    double out[3];
    assert_int_equal(fv_tensor_write(at[FV_X], in, sizeof in), FV_OK);
    for (int i = 0; i < 2; ++i)
        assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_OK);
    assert_int_equal(fv_tensor_read(at[FV_Y], out, sizeof out), FV_OK);
    assert_memory_equal(out, expected, sizeof out);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last, "emulated: relu forward is done by reference (no kernel of this dtype)");
    /* backward it is another pass, and says so too; in f32 nobody stands in */
    fv_tensor_destroy(at[FV_X]);
    at[FV_DY] = at[FV_Y];
    assert_int_equal(fv_tensor_create(context, FV_F64, (fv_shape){1, {3}}, &at[FV_DX]), FV_OK);
    assert_int_equal(fv_execute(context, &op, FV_BACKWARD_DATA, at), FV_OK);
    assert_int_equal(seen.count, 2);
    fv_tensor_destroy(at[FV_DX]);
    fv_tensor_destroy(at[FV_Y]);
    assert_int_equal(fv_operation_parse("sgd elements=3", &op), FV_OK);
    static const fv_role roles[] = {FV_W, FV_DW, FV_M, FV_RATE};
    for (int i = 0; i < 4; ++i)
        assert_int_equal(fv_tensor_create(context, FV_F32, (fv_shape){1, {3}}, &at[roles[i]]), FV_OK);
    assert_int_equal(fv_execute(context, &op, FV_FORWARD, at), FV_OK);
    assert_int_equal(seen.count, 2);
    for (int i = 0; i < 4; ++i)
        fv_tensor_destroy(at[roles[i]]);
    fv_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends),
        cmocka_unit_test(automatic),
        cmocka_unit_test(unreasonable_options),
        cmocka_unit_test(tensors),
        cmocka_unit_test(execute_checks_its_tensors),
        cmocka_unit_test(stands_in_across_memories),
        cmocka_unit_test(chooses_by_capability),
        cmocka_unit_test(stand_in_comes_first),
        cmocka_unit_test(stands_in_on_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
