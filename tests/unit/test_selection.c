/* Which row runs an operation: by what rows expect, by what was measured of them, and the file that remembers it. */
#include <math.h>
#include <sys/wait.h>

#include "backends/chip.h"
#include "backends/choose.h"
#include "base/error.h"
#include "base/version.h"
#include "scratch.h"

/* ---- a made-up device: its clock goes on by what each row's name claims ---- */

typedef struct device {
    double clock;
    int timed, swept; /* calls, and those before which the caches were emptied */
    bool full, zeros; /* it has no memory; something was computed from zeros */
} device;

static device d;
static fv_machine machine;

static fv_status allocate(fv_context *context, size_t bytes, void **pointer) {
    *pointer = NULL;
    if (d.full)
        return fv_fail(FV_NO_MEMORY, "the card is full");
    return fv_host_allocate(context, bytes, pointer);
}

static fv_status time_work(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                           bool *exposed) {
    (void)context;
    ++d.timed;
    d.swept += scratch && bytes >= 2 * (size_t)machine.cache;
    *exposed = false;
    const double start = d.clock;
    FV_TRY(work(user));
    *seconds = d.clock - start;
    return FV_OK;
}

static void get_machine(const fv_context *context, fv_machine *got) {
    (void)context;
    *got = machine;
}

/* A relu that takes so many milliseconds. */
static fv_status take(const fv_operation *op, const fv_buffers *buffers, double milliseconds) {
    const float *x = buffers->at[FV_X];
    float *y = buffers->at[FV_Y];
    for (int64_t i = 0; i < op->relu.elements; ++i) {
        d.zeros |= x[i] == 0;
        y[i] = x[i] > 0 ? x[i] : 0;
    }
    d.clock += 1e-3 * milliseconds;
    return FV_OK;
}

#define RUN(name, milliseconds)                                                                                        \
    static fv_status name(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {       \
        (void)context, (void)state;                                                                                    \
        return take(op, buffers, milliseconds);                                                                        \
    }
RUN(run_in_1, 1)
RUN(run_in_2, 2)
RUN(run_in_3, 3)
RUN(run_in_100, 100)

static fv_status run_badly(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op, (void)state, (void)buffers;
    return fv_fail(FV_DEVICE, "it fell over");
}

static fv_status prepare_never(fv_context *context, const fv_operation *op, void **state) {
    (void)context, (void)op, (void)state;
    return fv_fail(FV_UNSUPPORTED, "no plan for this one");
}

#define EXPECT(name, seconds)                                                                                          \
    static double name(const fv_operation *op, const fv_chip *chip) {                                                  \
        (void)op, (void)chip;                                                                                          \
        return seconds;                                                                                                \
    }
EXPECT(expect_1, 1e-3)
EXPECT(expect_2, 2e-3)
EXPECT(expect_3, 3e-3)
EXPECT(expect_nothing, NAN)

/* Two calls of what "passes" are: forwards. */
static int two_steps(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]) {
    steps[0] = steps[1] = (fv_kernel_step){*op, FV_FORWARD};
    return 2;
}

#define ROW(title, run_, ...)                                                                                          \
    { .kind = FV_RELU, .pass = FV_FORWARD, .dtype = FV_F32, .name = title, .run = run_, __VA_ARGS__ }

/* A context on a device with these rows. */
typedef struct scene {
    fv_backend backend;
    const fv_kernel *tables[2];
    fv_context context;
    int notices;
    char notice[512]; /* the last one */
} scene;

static void note(void *user, const char *line) {
    scene *s = user;
    ++s->notices;
    snprintf(s->notice, sizeof s->notice, "%s", line);
}

static void open_scene(scene *s, const fv_kernel *rows, bool tune) {
    *s = (scene){.backend = {.name = "made up",
                             .tables = s->tables,
                             .allocate = allocate,
                             .deallocate = fv_host_deallocate,
                             .upload = fv_host_upload,
                             .fill = fv_host_fill,
                             .synchronize = fv_host_synchronize,
                             .time = time_work,
                             .machine = get_machine},
                 .tables = {rows, NULL},
                 .context = {.backend = &s->backend}};
    fv_context_on_notice(&s->context, note, s);
    assert_int_equal(fv_selection_create(&s->context, tune), FV_OK);
}

static void close_scene(scene *s) {
    fv_selection_destroy(s->context.selection);
}

static fv_operation relu_of(int64_t elements) {
    return (fv_operation){.kind = FV_RELU, .relu = {.elements = elements, .dtype = FV_F32}};
}

/* The row that runs; "" if none of the backend's own. */
static const char *choice_of(scene *s, int64_t elements) {
    const fv_operation op = relu_of(elements);
    fv_call call;
    const char *name = fv_call_prepare_own(&call, &s->context, &op, FV_FORWARD) == FV_OK ? call.kernel->name : "";
    fv_call_release(&call);
    return name;
}

/* The same in a context of its own. */
static const char *chosen(const fv_kernel *rows, bool tune, int64_t elements) {
    scene s;
    open_scene(&s, rows, tune);
    const char *name = choice_of(&s, elements);
    close_scene(&s);
    return name;
}

static int begin(void **state) {
    (void)state;
    d = (device){0};
    machine = (fv_machine){.device = "Card 1", .libraries = "driver 7", .cache = 4096, .memory = 1 << 26, .units = 3};
    unlink(scratch_path("cache/fovea/selection.json").text);
    setenv("XDG_CACHE_HOME", scratch_path("cache").text, 1);
    return 0;
}

/* ---- by what is expected ---- */

static void least_expected_runs(void **state) {
    (void)state;
    const fv_kernel rows[] = {ROW("mute", run_in_1, .estimate = NULL),
                              ROW("slow", run_in_1, .estimate = expect_3),
                              ROW("fast", run_in_1, .estimate = expect_1),
                              ROW("same", run_in_1, .estimate = expect_1),
                              ROW("unsure", run_in_1, .estimate = expect_nothing),
                              FV_KERNELS_END};
    const fv_operation op = relu_of(5);
    static const char *const order[] = {"fast", "same", "slow", "mute", "unsure"};
    scene s;
    open_scene(&s, rows, false);
    fv_candidates candidates;
    fv_candidates_find(&candidates, &s.context, &s.backend, &op, FV_FORWARD);
    assert_int_equal(candidates.count, 5);
    assert_null(candidates.refusal);
    for (int i = 0; i < 5; ++i)
        assert_string_equal(candidates.items[i].kernel->name, order[i]);
    assert_string_equal(choice_of(&s, 5), "fast");
    assert_string_equal(chosen(&rows[3], false, 5), "same");
    assert_string_equal(chosen(&rows[4], false, 5), "unsure");
    close_scene(&s);
}

static const char *refuse(const fv_operation *op) {
    (void)op;
    return "not today";
}

static void passes_over_what_cannot(void **state) {
    (void)state;
    const fv_kernel rows[] = {ROW("refusing", run_in_1, .supports = refuse, .estimate = expect_1),
                              ROW("yardstick", run_in_1, .on_request = true, .estimate = expect_1),
                              ROW("last", run_in_1, .estimate = NULL),
                              ROW("unplanned", run_in_1, .prepare = prepare_never, .estimate = expect_1),
                              ROW("second", run_in_1, .estimate = expect_2),
                              FV_KERNELS_END};
    assert_string_equal(chosen(rows, false, 5), "second");
    const fv_kernel unplanned[] = {rows[3], FV_KERNELS_END};
    assert_string_equal(chosen(unplanned, false, 5), "");
    assert_non_null(strstr(fv_error_message(), "no plan for this one"));
}

static void steps_add_up(void **state) {
    (void)state;
    const fv_kernel rows[] = {ROW("slow", run_in_1, .estimate = expect_3),
                              ROW("fast", run_in_1, .estimate = expect_2),
                              {.kind = FV_RELU,
                               .pass = FV_BACKWARD_DATA,
                               .dtype = FV_F32,
                               .name = "both",
                               .run = run_in_1,
                               .steps = two_steps},
                              FV_KERNELS_END};
    const fv_operation op = relu_of(5);
    scene s;
    open_scene(&s, rows, false);
    assert_true(fv_kernel_expected(&rows[2], &s.context, &op) == 4e-3);
    s.tables[0] = &rows[2]; /* where nobody does the forward pass */
    assert_true(isnan(fv_kernel_expected(&rows[2], &s.context, &op)));
    close_scene(&s);
}

/* Data sheets give the H200 the rates of the table, and half its multiprocessors half of them. */
static void rates_follow_data_sheets(void **state) {
    (void)state;
    fv_data_sheet sheet = {.capability = 90, .units = 132, .clock = 1.98e9, .bandwidth = 4.92e12, .cache = 60e6};
    const fv_chip chip = fv_chip_of(&sheet);
    assert_memory_equal(&chip, &fv_chip_h200, sizeof chip);
    sheet.units = 66;
    assert_true(fv_chip_of(&sheet).fma == fv_chip_h200.fma / 2);
    assert_true(fv_chip_of(&sheet).bandwidth == fv_chip_h200.bandwidth);
    sheet = (fv_data_sheet){.capability = 80, .units = 108, .clock = 1.41e9, .bandwidth = 1.555e12, .cache = 40e6};
    const fv_chip a100 = fv_chip_of(&sheet); /* 19.5, 156 and 312 TFLOP/s on paper */
    assert_true(a100.fma > 15e12 && a100.fma < 19.5e12);
    assert_true(a100.tensor_tf32 > 100e12 && a100.tensor_tf32 < 156e12);
    assert_true(a100.tensor_half > 200e12 && a100.tensor_half < 312e12);
    fv_context context = {.capability = 80};
    assert_ptr_equal(fv_context_chip(&context), &fv_chip_h200);
    context.chip = a100;
    assert_ptr_equal(fv_context_chip(&context), &context.chip);
}

/* ---- by what is measured ---- */

static const fv_kernel misjudged[] = {
    ROW("hoped", run_in_3, .estimate = expect_1), ROW("mute", run_in_2, .workspace = NULL),
    ROW("feared", run_in_1, .estimate = expect_3), ROW("hopeless", run_in_100, .estimate = expect_2), FV_KERNELS_END};

static void measures_and_remembers(void **state) {
    (void)state;
    const fv_operation op = relu_of(50);
    scene s;
    open_scene(&s, misjudged, true);
    assert_string_equal(choice_of(&s, 50), "feared");
    assert_int_equal(s.notices, 0);
    assert_false(d.zeros);
    assert_int_equal(d.swept, d.timed);
    assert_true(d.clock < 0.3); /* the hopeless one was called twice */
    fv_choice choice;
    assert_true(fv_selection_recall(&s.context, &s.backend, &op, FV_FORWARD, &choice));
    assert_string_equal(choice.kernel, "feared");
    assert_true(fabs(choice.measured - 1e-3) < 1e-9 && choice.expected == 3e-3);
    const int timed = d.timed;
    assert_string_equal(choice_of(&s, 50), "feared"); /* from memory */
    close_scene(&s);
    assert_string_equal(chosen(misjudged, true, 50), "feared"); /* from the file */
    assert_string_equal(chosen(misjudged, false, 50), "feared");
    assert_int_equal(d.timed, timed);
    assert_string_equal(chosen(misjudged, false, 51), "hoped"); /* another operation */
}

/* A row that is gone, or does not support the case any more, is as good as none. */
static void forgets_rows_that_are_gone(void **state) {
    (void)state;
    assert_string_equal(chosen(misjudged, true, 50), "feared");
    const fv_kernel rows[] = {misjudged[1], misjudged[0], FV_KERNELS_END};
    assert_string_equal(chosen(rows, false, 50), "hoped");
    assert_string_equal(chosen(rows, true, 50), "mute");
    assert_string_equal(chosen(rows, false, 50), "mute"); /* its expectation is null in the file */
}

static void measures_nothing_unasked(void **state) {
    (void)state;
    assert_string_equal(chosen(misjudged, false, 50), "hoped");
    const fv_kernel one[] = {misjudged[0], FV_KERNELS_END}; /* there is nothing to choose */
    assert_string_equal(chosen(one, true, 50), "hoped");
    assert_int_equal(d.timed, 0);
    assert_int_equal(access(scratch_path("cache/fovea/selection.json").text, F_OK), -1);
}

static void passes_over_what_fails(void **state) {
    (void)state;
    const fv_kernel rows[] = {ROW("unplanned", run_in_1, .prepare = prepare_never),
                              ROW("falling", run_badly, .estimate = expect_1), misjudged[1], misjudged[0],
                              FV_KERNELS_END};
    scene s;
    open_scene(&s, rows, true);
    assert_string_equal(choice_of(&s, 50), "mute");
    assert_int_equal(s.notices, 1);
    assert_string_equal(s.notice, "relu forward falling is passed over: it fell over");
    close_scene(&s);
    open_scene(&s, misjudged, true);
    d.full = true;
    assert_string_equal(choice_of(&s, 60), "hoped");
    assert_string_equal(s.notice, "relu forward cannot be measured: the card is full");
    close_scene(&s);
}

static void tells_devices_apart(void **state) {
    (void)state;
    assert_string_equal(chosen(misjudged, true, 50), "feared");
    const fv_machine original = machine;
    static const char *const others[] = {"device", "libraries", "units"};
    for (int other = 0; other < 3; ++other) {
        machine = original;
        if (other == 0)
            snprintf(machine.device, sizeof machine.device, "Card 2");
        else if (other == 1)
            snprintf(machine.libraries, sizeof machine.libraries, "driver 8");
        else
            machine.units = 4;
        if (strcmp(chosen(misjudged, false, 50), "hoped") != 0)
            fail_msg("another card's measurement counts in spite of its %s", others[other]);
        assert_string_equal(chosen(misjudged, true, 50), "feared");
    }
    machine = original;
    assert_string_equal(chosen(misjudged, false, 50), "feared");
}

/* ---- the file ---- */

/* What a file may be: with "BUILD" standing for this build. */
static void put_file(const char *text) {
    char build[96], whole[2048] = "";
    const char *mark = strstr(text, "BUILD");
    snprintf(build, sizeof build, "%s %s", FV_VERSION, fv_commit());
    snprintf(whole, sizeof whole, "%.*s%s%s", (int)(mark ? mark - text : 0), text, mark ? build : "",
             mark ? mark + strlen("BUILD") : text);
    scratch_put(scratch_path("cache/fovea/selection.json").text, whole, strlen(whole));
}

#define WITH(version, build, entry)                                                                                    \
    "{\"fovea selection\": " version ", \"build\": \"" build                                                           \
    "\", \"devices\": {\"made up on Card 1, 3 units; driver 7\": {\"relu elements=50 forward\": " entry "}}}"
#define ENTRY "{\"kernel\": \"mute\", \"dtype\": \"f32\", \"measured\": 0.25, \"expected\": 0.5}"

static void ignores_what_it_does_not_understand(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int notices; /* silence where a file is just another build's */
    } files[] = {
        {"", 1},
        {"{", 1},
        {"[]", 1},
        {"{\"fovea selection\": 1, \"build\": \"BUILD\", \"devices\": []}", 1},
        {"{\"fovea ceilings\": 1, \"build\": \"BUILD\", \"devices\": {}}", 1},
        {WITH("2", "BUILD", ENTRY), 1},
        {WITH("1", "0.0.1 abc", ENTRY), 0},
        {"{\"fovea selection\": 1, \"devices\": {}}", 0},
        {WITH("1", "BUILD", "[]"), 1},
        {WITH("1", "BUILD", "{\"measured\": 0.25, \"expected\": 0.5}"), 1},
        {WITH("1", "BUILD", "{\"kernel\": \"mute\", \"dtype\": \"f32\", \"expected\": 0.5}"), 1},
        {WITH("1", "BUILD", "{\"kernel\": \"mute\", \"measured\": 0.25, \"expected\": 0.5}"), 1},
        {WITH("1", "BUILD", "{\"kernel\": \"mute\", \"dtype\": \"f32\", \"measured\": -1, \"expected\": 0.5}"), 1},
        {WITH("1", "BUILD", "{\"kernel\": \"mute\", \"dtype\": \"f32\", \"measured\": 0.25}"), 1},
        {WITH("1", "BUILD",
              "{\"kernel\": \"a name that is longer than any kernel of ours could ever have\", \"dtype\": \"f32\", "
              "\"measured\": 0.25, "
              "\"expected\": 0.5}"),
         1},
    };
    chosen(misjudged, true, 7); /* makes the folders */
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        scene s;
        put_file(files[i].text);
        open_scene(&s, misjudged, false);
        for (int again = 0; again < 2; ++again)
            if (strcmp(choice_of(&s, 50), "hoped") != 0)
                fail_msg("taken for good: %s", files[i].text);
        if (s.notices != files[i].notices)
            fail_msg("%d notices, of %s", s.notices, files[i].text);
        if (s.notices)
            assert_non_null(strstr(s.notice, "selection.json is damaged or of another version: it is ignored"));
        close_scene(&s);
        assert_string_equal(chosen(misjudged, true, 50), "feared"); /* and this writes it anew */
        assert_string_equal(chosen(misjudged, false, 50), "feared");
    }
    put_file(WITH("1", "BUILD", ENTRY)); /* what the ones above damage */
    assert_string_equal(chosen(misjudged, false, 50), "mute");
    /* A row of that name, but of another dtype: what there is is of f32. */
    put_file(WITH("1", "BUILD", "{\"kernel\": \"mute\", \"dtype\": \"tf32\", \"measured\": 0.25, \"expected\": 0.5}"));
    assert_string_equal(chosen(misjudged, false, 50), "hoped");
}

/* No beginning of a file is one. */
static void truncated_files(void **state) {
    (void)state;
    const scratch_name path = scratch_path("cache/fovea/selection.json");
    size_t size = 0;
    chosen(misjudged, true, 50);
    char *text = scratch_get(path.text, &size);
    assert_true(size > 2);
    for (size_t cut = 0; cut + 1 < size; cut += 7) {
        scratch_put(path.text, text, cut);
        assert_string_equal(chosen(misjudged, false, 50), "hoped");
    }
    free(text);
}

static void does_without_a_place(void **state) {
    (void)state;
    static const char *const places[] = {"file", "locked"};
    scratch_put(scratch_path("file").text, "x", 1); /* no folder can be made in it */
    assert_int_equal(mkdir(scratch_path("locked").text, 0500), 0);
    for (int i = 0; i < 2; ++i) {
        scene s;
        if (i == 1 && geteuid() == 0)
            continue; /* nothing is locked to root */
        setenv("XDG_CACHE_HOME", scratch_path(places[i]).text, 1);
        open_scene(&s, misjudged, true);
        for (int64_t elements = 50; elements < 53; ++elements)
            for (int again = 0; again < 2; ++again)
                assert_string_equal(choice_of(&s, elements), "feared");
        assert_int_equal(s.notices, 1);
        assert_non_null(strstr(s.notice, "what is measured is not remembered: "));
        close_scene(&s);
        assert_string_equal(chosen(misjudged, false, 50), "hoped");
    }
}

/* Several processes at once: what each has measured stays. */
static void writers_take_turns(void **state) {
    (void)state;
    enum { WRITERS = 6, EACH = 5 };
    for (int64_t writer = 0; writer < WRITERS; ++writer) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child > 0)
            continue;
        bool good = true;
        for (int64_t i = 0; i < EACH; ++i)
            good &= !strcmp(chosen(misjudged, true, 100 + writer * EACH + i), "feared");
        _exit(!good);
    }
    for (int status = 0, writer = 0; writer < WRITERS; ++writer) {
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    for (int64_t elements = 100; elements < 100 + WRITERS * EACH; ++elements)
        assert_string_equal(chosen(misjudged, false, elements), "feared");
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(least_expected_runs),
        TEST(passes_over_what_cannot),
        TEST(steps_add_up),
        TEST(rates_follow_data_sheets),
        TEST(measures_and_remembers),
        TEST(forgets_rows_that_are_gone),
        TEST(measures_nothing_unasked),
        TEST(passes_over_what_fails),
        TEST(tells_devices_apart),
        TEST(ignores_what_it_does_not_understand),
        TEST(truncated_files),
        TEST(does_without_a_place),
        TEST(writers_take_turns),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
