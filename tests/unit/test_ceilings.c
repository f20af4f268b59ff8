/* Ceilings on a made-up device, and the file in which they are kept. */
#include <time.h>

#include "base/error.h"
#include "measure/ceilings_cache.h"
#include "scratch.h"

static const int64_t MIB = 1024 * 1024;

/* A device that moves 1000 bytes a second, and multiplies as its row says: its clock counts what work asks for. */
typedef struct device {
    double clock;
    int timed;
    size_t most; /* bytes that an allocation may have; 0: any */
    size_t copied;
    bool zeros; /* something was computed from zeros */
    bool breaks;
} device;

static device d;
static fv_machine machine;

static fv_status allocate(fv_context *context, size_t bytes, void **pointer) {
    *pointer = NULL;
    if (d.most && bytes > d.most)
        return fv_fail(FV_NO_MEMORY, "no room for %zu bytes", bytes);
    return fv_host_allocate(context, bytes, pointer);
}

static bool has_zeros(const void *data, size_t bytes) {
    const uint64_t *words = data;
    for (size_t i = 0; i < bytes / sizeof *words; ++i)
        if (!words[i])
            return true;
    return false;
}

static fv_status copy(fv_context *context, void *to, const void *from, size_t bytes) {
    (void)context, (void)to;
    d.zeros |= has_zeros(from, bytes);
    d.copied = bytes;
    d.clock += (double)bytes / 500; /* each byte is read and written */
    return d.breaks ? fv_fail(FV_DEVICE, "it broke") : FV_OK;
}

static fv_status time_work(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                           bool *exposed) {
    (void)context, (void)scratch, (void)bytes;
    ++d.timed;
    *exposed = false;
    const double start = d.clock;
    FV_TRY(work(user));
    *seconds = d.clock - start;
    return FV_OK;
}

static void get_machine(const fv_context *context, fv_machine *result) {
    (void)context;
    *result = machine;
}

/* A product at `rate` FLOP per second. */
static fv_status multiply(const fv_operation *op, const fv_buffers *buffers, double rate) {
    const fv_linear *l = &op->linear;
    const size_t size = fv_dtype_size(l->dtype);
    d.zeros |= has_zeros(buffers->at[FV_X], (size_t)(l->n * l->c) * size) ||
               has_zeros(buffers->at[FV_W], (size_t)(l->k * l->c) * size);
    assert_non_null(buffers->at[FV_Y]);
    assert_null(buffers->at[FV_B]);
    d.clock += 2 * (double)(l->n * l->c * l->k) / rate;
    return FV_OK;
}
static fv_status run_slow(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)state;
    return multiply(op, buffers, 1e6);
}
static fv_status run_fast(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)state;
    assert_non_null(buffers->workspace);
    return multiply(op, buffers, 4e6);
}
static fv_status run_tf32(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)state;
    return multiply(op, buffers, 8e6);
}
static const char *never(const fv_operation *op) {
    (void)op;
    return "not today";
}
static size_t some_workspace(const fv_operation *op, const void *state) {
    (void)op, (void)state;
    return 64;
}
static void tf32(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op, (void)state;
    numerics->notes = FV_NOTE_TF32_CUT;
}
static void half_sums(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op, (void)state;
    numerics->notes = FV_NOTE_HALF_SUMS;
}

#define ROW(name_, dtype_, run_, ...)                                                                                  \
    { .kind = FV_LINEAR, .pass = FV_FORWARD, .dtype = dtype_, .name = name_, .run = run_, __VA_ARGS__ }

static const fv_kernel rows[] = {
    {.kind = FV_LINEAR, .pass = FV_BACKWARD_DATA, .dtype = FV_F32, .name = "back", .run = run_tf32},
    ROW("refusing", FV_F32, run_tf32, .supports = never),
    ROW("slow", FV_F32, run_slow, .workspace = NULL),
    ROW("fast", FV_F32, run_fast, .workspace = some_workspace),
    ROW("tf32", FV_F32, run_tf32, .numerics = tf32),
    ROW("tensor", FV_TF32, run_tf32, .numerics = tf32),
    ROW("half", FV_BF16, run_fast, .workspace = some_workspace),
    ROW("rough", FV_BF16, run_tf32, .numerics = half_sums),
    ROW("wide", FV_F64, run_slow, .workspace = NULL),
    FV_KERNELS_END,
};
static const fv_kernel *const tables[] = {rows, NULL}, *const no_tables[] = {NULL};

#define MADE_UP                                                                                                        \
    .allocate = allocate, .deallocate = fv_host_deallocate, .upload = fv_host_upload, .copy = copy, .time = time_work, \
    .machine = get_machine

static const fv_backend made_up = {.name = "made up", .tables = tables, MADE_UP};
static const fv_backend borrowing = {.name = "borrowing", .tables = no_tables, .stand_in = &made_up, MADE_UP};
static const fv_backend plain = {.name = "plain", .tables = no_tables, MADE_UP};

static int begin(void **state) {
    (void)state;
    d = (device){0};
    machine = (fv_machine){.device = "Card 1", .libraries = "driver 7", .cache = 4096, .memory = 64 * MIB, .units = 3};
    unlink(scratch_path("cache/fovea/ceilings.json").text);
    setenv("XDG_CACHE_HOME", scratch_path("cache").text, 1);
    return 0;
}

static fv_ceilings get(const fv_backend *backend, bool afresh) {
    fv_context context = {.backend = backend};
    fv_ceilings ceilings;
    if (fv_ceilings_get(&context, afresh, &ceilings) != FV_OK)
        fail_msg("%s", fv_error_message());
    return ceilings;
}

static void assert_near(double got, double expected) {
    if (!(got > expected * (1 - 1e-9) && got < expected * (1 + 1e-9)))
        fail_msg("%.17g, expected %.17g", got, expected);
}

static void measures(void **state) {
    (void)state;
    const fv_ceilings ceilings = get(&made_up, false);
    assert_near(ceilings.copy, 1000);
    assert_near(ceilings.product[FV_F32], 4e6); /* TF32's would not be f32's */
    assert_near(ceilings.product[FV_TF32], 8e6);
    assert_near(ceilings.product[FV_BF16], 4e6); /* not with sums in 16 bits */
    assert_true(ceilings.product[FV_F16] == 0);
    assert_near(ceilings.product[FV_F64], 1e6);
    assert_string_equal(ceilings.product_by[FV_F32], "fast linear 512x512x512"); /* 3 MiB of an eighth of 64 */
    assert_string_equal(ceilings.product_by[FV_F64], "wide linear 512x512x512");
    assert_int_equal(strlen(ceilings.measured), strlen("2026-01-31T12:34:56Z"));
    assert_false(ceilings.cached);
    assert_false(d.zeros);
    assert_int_equal(d.copied, 4 * MIB);
}

static void borrows_rows(void **state) {
    (void)state;
    assert_near(get(&borrowing, false).product[FV_F32], 4e6);
    const fv_ceilings ceilings = get(&plain, true);
    assert_true(ceilings.product[FV_F32] == 0);
    assert_string_equal(ceilings.product_by[FV_F32], "");
    assert_near(ceilings.copy, 1000);
}

static void does_with_less_memory(void **state) {
    (void)state;
    d.most = 2 * (size_t)MIB;
    machine.memory = 128 * MIB; /* a product of 2048 numbers squared would take 4 MiB a matrix */
    const fv_ceilings ceilings = get(&made_up, false);
    assert_int_equal(d.copied, 2 * MIB);
    assert_true(ceilings.product[FV_F32] == 0);
    /* none at all */
    fv_context context = {.backend = &made_up};
    fv_ceilings none;
    d.most = 100;
    EXPECT_FAILURE(fv_ceilings_get(&context, true, &none), FV_NO_MEMORY, "cannot measure what the device can do");
}

static void passes_failures_on(void **state) {
    (void)state;
    fv_context context = {.backend = &made_up};
    fv_ceilings ceilings;
    d.breaks = true;
    EXPECT_FAILURE(fv_ceilings_get(&context, false, &ceilings), FV_DEVICE, "it broke");
    assert_int_equal(access(scratch_path("cache/fovea/ceilings.json").text, F_OK), -1);
}

/* ---- the file ---- */

static void assert_same(const fv_ceilings *a, const fv_ceilings *b) {
    assert_true(a->copy == b->copy);
    for (int dtype = 0; dtype < FV_DTYPES; ++dtype) {
        assert_true(a->product[dtype] == b->product[dtype]);
        assert_string_equal(a->product_by[dtype], b->product_by[dtype]);
    }
    assert_string_equal(a->measured, b->measured);
}

static void keeps(void **state) {
    (void)state;
    const fv_ceilings first = get(&made_up, false);
    const int timed = d.timed;
    const fv_ceilings second = get(&made_up, false);
    assert_int_equal(d.timed, timed);
    assert_true(second.cached);
    assert_same(&first, &second);
    assert_false(get(&made_up, true).cached);
    assert_int_equal(d.timed, 2 * timed);
}

static void tells_devices_apart(void **state) {
    (void)state;
    const fv_machine original = machine;
    get(&made_up, false);
    static const fv_machine others[] = {
        {.device = "Card 2", .libraries = "driver 7", .memory = 64 << 20, .units = 3},
        {.device = "Card 1", .libraries = "driver 8", .memory = 64 << 20, .units = 3},
        {.device = "Card 1", .libraries = "driver 7", .memory = 64 << 20, .units = 2}, /* a slice of it */
    };
    for (int round = 0; round < 2; ++round)
        for (size_t i = 0; i < sizeof others / sizeof others[0]; ++i) {
            machine = others[i];
            assert_int_equal(get(&made_up, false).cached, round == 1);
        }
    machine = original;
    assert_true(get(&made_up, false).cached);
}

/* Each of these is as good as no file. */
static void replaces_damaged_files(void **state) {
    (void)state;
    const scratch_name path = scratch_path("cache/fovea/ceilings.json");
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "{\"fovea ceilings\": 1, \"devices\": {}}",
        "{\"fovea ceilings\": 2, \"devices\": []}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": []}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 0, \"measured\": \"x\", "
        "\"product\": {}}}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": \"1\", \"measured\": \"x\", "
        "\"product\": {}}}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 1, \"product\": {}}}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 1, \"measured\": \"x\"}}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 1, \"measured\": \"x\", "
        "\"product\": {\"f32\": {\"rate\": -1, \"by\": \"x\"}}}}}",
        "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 1, \"measured\": "
        "\"much longer than any date and time can be\", \"product\": {}}}}",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; ++i) {
        get(&made_up, true); /* makes the folders */
        scratch_put(path.text, damaged[i], strlen(damaged[i]));
        const fv_ceilings ceilings = get(&made_up, false);
        if (ceilings.cached)
            fail_msg("taken for good: %s", damaged[i]);
        assert_near(ceilings.copy, 1000);
        assert_true(get(&made_up, false).cached);
    }
    /* and this is what the tests above damage */
    static const char good[] = "{\"fovea ceilings\": 2, \"devices\": {\"Card 1, 3 units; driver 7\": {\"copy\": 1, "
                               "\"measured\": \"x\", \"product\": {\"f32\": {\"rate\": 2, \"by\": \"y\"}}}}}";
    scratch_put(path.text, good, strlen(good));
    const fv_ceilings ceilings = get(&made_up, false);
    assert_true(ceilings.cached && ceilings.copy == 1 && ceilings.product[FV_F32] == 2);
    assert_string_equal(ceilings.product_by[FV_F32], "y");
}

static void does_without_a_place(void **state) {
    (void)state;
    char home[1024];
    snprintf(home, sizeof home, "%s", getenv("HOME") ? getenv("HOME") : "");
    scratch_put(scratch_path("file").text, "x", 1);
    setenv("XDG_CACHE_HOME", scratch_path("file").text, 1); /* no folder can be made in it */
    for (int i = 0; i < 2; ++i)
        assert_false(get(&made_up, false).cached);
    unsetenv("HOME");
    setenv("XDG_CACHE_HOME", "relative", 1);
    for (int i = 0; i < 2; ++i)
        assert_false(get(&made_up, false).cached);
    assert_int_equal(access("relative", F_OK), -1);
    /* the default place */
    setenv("HOME", scratch_folder, 1);
    assert_false(get(&made_up, false).cached);
    assert_true(get(&made_up, false).cached);
    assert_int_equal(access(scratch_path(".cache/fovea/ceilings.json").text, F_OK), 0);
    setenv("HOME", home, 1);
}

/* ---- this machine's processor ---- */

static void measures_the_cpu(void **state) {
    (void)state;
    fv_context *reference, *onednn = NULL;
    fv_ceilings ceilings;
    assert_int_equal(fv_context_create("reference", NULL, &reference), FV_OK);
    assert_int_equal(fv_ceilings_get(reference, false, &ceilings), FV_OK);
    assert_true(ceilings.copy > 0);
    /* plain loops would be a lie */
    assert_int_equal(ceilings.product[FV_F32] > 0, fv_backend_find("onednn") != NULL);
    if (fv_context_create("onednn", NULL, &onednn) == FV_OK) {
        assert_int_equal(fv_ceilings_get(onednn, false, &ceilings), FV_OK);
        assert_true(ceilings.cached);
    }
    fv_context_destroy(onednn);
    fv_context_destroy(reference);
}

static void describes_the_cpu(void **state) {
    (void)state;
    fv_context context = {.description = "oneDNN 2.6.3, 2 threads"};
    fv_machine cpu;
    fv_conditions conditions;
    fv_host_machine(&context, &cpu);
    assert_non_null(strstr(cpu.device, "thread"));
    assert_string_equal(cpu.libraries, context.description);
    assert_true(cpu.units >= 1 && cpu.memory > MIB && cpu.cache >= 0);
    snprintf(context.description, sizeof context.description, "plain loops");
    fv_host_machine(&context, &cpu);
    assert_string_equal(cpu.libraries, "");
    fv_host_conditions(&context, &conditions);
    assert_true(conditions.clock >= 0);
    assert_string_equal(conditions.throttled, "");
}

/* ---- this machine's clock and memory ---- */

static fv_status sleep_a_little(void *user) {
    ++*(int *)user;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return FV_OK;
}

static fv_status break_down(void *user) {
    (void)user;
    return fv_fail(FV_DEVICE, "it broke");
}

/* A byte of every line is changed, and none behind the last; the time is the work's. */
static void times_the_host(void **state) {
    (void)state;
    enum { LINE = 64, LINES = 1000 };
    unsigned char *scratch = calloc(LINES + 1, LINE);
    double seconds = 0;
    bool exposed = true;
    int calls = 0;
    assert_non_null(scratch);
    assert_int_equal(fv_host_time(NULL, scratch, LINES * LINE, sleep_a_little, &calls, &seconds, &exposed), FV_OK);
    assert_int_equal(calls, 1);
    assert_true(seconds >= 0.002);
    assert_false(exposed);
    for (int line = 0; line < LINES; ++line)
        assert_int_equal(scratch[line * LINE], 1);
    assert_int_equal(scratch[LINES * LINE], 0);
    assert_int_equal(fv_host_time(NULL, NULL, 0, sleep_a_little, &calls, &seconds, &exposed), FV_OK); /* warm */
    EXPECT_FAILURE(fv_host_time(NULL, NULL, 0, break_down, NULL, &seconds, &exposed), FV_DEVICE, "it broke");
    free(scratch);
}

/* Large copies are made by several threads: every byte once, none behind the end. */
static void copies_all(void **state) {
    (void)state;
    const size_t bytes = 9 * (size_t)MIB + 123;
    unsigned char *from = malloc(bytes), *to = calloc(bytes + 20, 1);
    assert_non_null(from);
    assert_non_null(to);
    for (size_t i = 0; i < bytes; ++i)
        from[i] = (unsigned char)(i * 31 % 251);
    for (int offset = 0; offset <= 16; offset += 5) { /* aligned as vectors are, and not */
        assert_int_equal(fv_host_copy(NULL, to + offset, from, bytes), FV_OK);
        assert_memory_equal(to + offset, from, bytes);
        assert_int_equal(to[offset + (int)bytes], 0);
    }
    free(from);
    free(to);
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(measures),
        TEST(borrows_rows),
        TEST(does_with_less_memory),
        TEST(passes_failures_on),
        TEST(keeps),
        TEST(tells_devices_apart),
        TEST(replaces_damaged_files),
        TEST(does_without_a_place),
        TEST(measures_the_cpu),
        TEST(describes_the_cpu),
        TEST(times_the_host),
        TEST(copies_all),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
