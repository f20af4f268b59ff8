/* What a benchmark says of kernels with known faults and known times. The clock shows what the kernels claim, so that
 * nothing here depends on how fast the machine is. */
#include "staged.h"

#include "measure/bench.h"

/* ---- kernels that take the time they say */

static double claimed; /* seconds, by the kernel that ran last */

static fv_status tell_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                           bool *exposed) {
    (void)context, (void)scratch, (void)bytes;
    *exposed = false;
    FV_TRY(work(user));
    *seconds = claimed;
    return FV_OK;
}

#define TIMED(name, run, milliseconds)                                                                                 \
    static fv_status name(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {             \
        claimed = 1e-3 * (milliseconds);                                                                               \
        return run(context, op, state, b);                                                                             \
    }
TIMED(right_in_4, run_right, 4)
TIMED(right_in_5, run_right, 5)
TIMED(wrong_in_1, run_one_off, 1)

/* A library with five ways: right in 3 ms, wrong in 1, right in 2, none, and tf32 in half a millisecond. */
enum { WRONG_WAY = 1, FAST_WAY, MISSING_WAY, ROUGH_WAY, WAYS };

static fv_status count_ways(fv_context *context, const fv_operation *op, int *count) {
    (void)context, (void)op;
    *count = WAYS;
    return FV_OK;
}

static fv_status prepare_way(fv_context *context, const fv_operation *op, int way, void **state) {
    static int ways[WAYS];
    (void)context, (void)op;
    if (way == MISSING_WAY)
        return fv_fail(FV_UNSUPPORTED, "this way is closed");
    ways[way] = way;
    *state = &ways[way];
    return FV_OK;
}

static void tell_numerics(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op;
    const int way = *(const int *)state;
    snprintf(numerics->description, sizeof numerics->description, "way %d", way);
    numerics->notes = way == ROUGH_WAY ? FV_NOTE_TF32 : 0;
}

static fv_status run_way(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    static const double milliseconds[WAYS] = {3, 1, 2, 0, 0.5};
    const int way = *(const int *)state;
    claimed = 1e-3 * milliseconds[way];
    if (way == WRONG_WAY) /* which must not fall back on the next one */
        ((float *)b->at[FV_X])[5] += 1;
    return run_and_add(context, op, NULL, b, way == WRONG_WAY ? 1 : 0);
}

static fv_status run_wrong_way(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    FV_TRY(run_way(context, op, state, b));
    ((float *)b->at[FV_Y])[9] += 1;
    return FV_OK;
}

#define WAYS_ROW(title, ...)                                                                                           \
    ROW(title, .on_request = true, .ways = count_ways, .prepare_way = prepare_way, .numerics = tell_numerics,          \
        __VA_ARGS__)

static fv_status run_too_large(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)op, (void)state, (void)b;
    return fv_fail(FV_NO_MEMORY, "the device has no memory for it");
}

/* Computes once, and from then on knows better. */
static int runs;
static fv_status run_once_alone(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return runs++ ? FV_OK : run_right(context, op, state, b);
}
TIMED(lazy_in_1, run_once_alone, 1)

/* Right, but it leaves marks in its input. */
static fv_status run_scribbling(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    FV_TRY(run_right(context, op, state, b));
    ((float *)b->at[FV_X])[7] += 1;
    ((float *)b->at[FV_X])[8] += 1;
    return FV_OK;
}
TIMED(scribbling_in_1, run_scribbling, 1)

static const fv_kernel our_rows[] = {ROW("never", .run = run_right, .supports = never), ROW("slow", .run = right_in_5),
                                     ROW("wrong", .run = wrong_in_1), ROW("fast", .run = right_in_4), FV_KERNELS_END};
static const fv_kernel way_rows[] = {WAYS_ROW("best", .run = run_way),
                                     WAYS_ROW("other_layout", .run = run_way, .layout = FV_NCHW), FV_KERNELS_END};
static const fv_kernel wrong_way_rows[] = {WAYS_ROW("hopeless", .run = run_wrong_way), FV_KERNELS_END};
static fv_status run_breaking_way(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return *(const int *)state == 1 ? run_breaking(context, op, NULL, b) : run_way(context, op, state, b);
}

static const fv_kernel breaking_way_rows[] = {WAYS_ROW("breaking", .run = run_breaking_way), FV_KERNELS_END};
static double in_8_ms(const fv_operation *op, const fv_chip *chip) {
    (void)op, (void)chip;
    return 8e-3;
}
static const fv_kernel estimated_rows[] = {ROW("guessing", .run = right_in_5),
                                           ROW("knowing", .run = right_in_4, .estimate = in_8_ms), FV_KERNELS_END};
static const fv_kernel never_rows[] = {ROW("never", .run = run_right, .supports = never), FV_KERNELS_END};
static const fv_kernel breaking_rows[] = {ROW("breaking", .run = run_breaking), ROW("innocent", .run = right_in_4),
                                          FV_KERNELS_END};
static const fv_kernel memory_rows[] = {ROW("too_large", .run = run_too_large), ROW("fast", .run = right_in_4),
                                        FV_KERNELS_END};

static const fv_kernel lazy_rows[] = {ROW("lazy", .run = lazy_in_1), ROW("right", .run = right_in_4), FV_KERNELS_END};
static const fv_kernel scribbling_rows[] = {ROW("scribbling", .run = scribbling_in_1), ROW("right", .run = right_in_4),
                                            FV_KERNELS_END};

/* ---- running them */

typedef struct scene {
    stage ours, rival;
    fv_case_list cases;
    fv_bench_record record;
    fv_bench bench;
    int begun, ended, stop_after; /* variants */
} scene;

static void note_begin(void *user, const fv_bench_row *row) {
    assert_true(*row->kernel && *row->op);
    ++((scene *)user)->begun;
}

static bool note_end(void *user, int64_t case_index) {
    scene *s = user;
    assert_in_range(case_index, 0, s->cases.count - 1);
    return ++s->ended != s->stop_after;
}

static void set_scene(scene *s, const fv_kernel *ours, const fv_kernel *rival, const char *cases) {
    *s = (scene){0};
    broken = false;
    s->bench = (fv_bench){.context = stage_with(&s->ours, "ours", ours),
                          .rival = rival ? stage_with(&s->rival, "theirs", rival) : NULL,
                          .cases = &s->cases,
                          .protocol = {.samples = 7, .least = 0, .noise = 1, .most = 60},
                          .seed = 3,
                          .budget = 1e6,
                          .on_begin = note_begin,
                          .on_end = note_end,
                          .user = s,
                          .record = &s->record};
    s->ours.backend.time = s->rival.backend.time = tell_time;
    s->ours.backend.synchronize = s->rival.backend.synchronize = synchronize;
    s->record.ceilings = (fv_ceilings){.copy = 1e9, .product = {[FV_F32] = 1e9}};
    assert_int_equal(fv_cases_add_text(&s->cases, cases), FV_OK);
}

static void run_scene(scene *s) {
    if (fv_bench_run(&s->bench) != FV_OK)
        fail_msg("not carried out: %s", fv_error_message());
    assert_int_equal(s->begun, s->ended);
}

static void clear_scene(scene *s) {
    fv_cases_release(&s->cases);
    fv_bench_record_release(&s->record);
}

static const fv_bench_row *row_at(const scene *s, int64_t i, const char *kernel, fv_bench_state state) {
    assert_true(i < s->record.count);
    const fv_bench_row *row = &s->record.rows[i];
    if (strcmp(row->kernel, kernel) != 0 || row->state != state)
        fail_msg("row %d: %s is %s (%s), expected %s to be %s", (int)i, row->kernel, fv_bench_state_name(row->state),
                 row->reason, kernel, fv_bench_state_name(state));
    return row;
}

/* ---- tests */

static void times_what_is_right_and_shows_what_is_wrong(void **state) {
    (void)state;
    scene s;
    set_scene(&s, our_rows, NULL, "relu elements=1000");
    run_scene(&s);
    assert_int_equal(s.record.count, 3);
    assert_true(s.record.complete);
    assert_int_equal(s.record.unsupported, 0);
    const fv_bench_row *row = row_at(&s, 0, "slow", FV_BENCH_TIMED);
    assert_true(row->chosen && row->verified && !row->rival);
    assert_int_equal(row->timing.summary.samples, 7);
    assert_true(row->timing.summary.median == 5e-3 && row->timing.settled);
    assert_int_equal(row->compared, 1000);
    assert_int_equal(row->wrong, 0);
    assert_string_equal(row->scope, "whole");
    assert_string_equal(row->family, "relu");
    assert_string_equal(row->backend, "ours");
    assert_string_equal(row->layout, "nhwc");
    assert_int_equal(row->floor.bytes, 8000);
    assert_true(row->floor.seconds == 8e-6 && !row->floor.compute_bound);
    row = row_at(&s, 1, "wrong", FV_BENCH_WRONG);
    assert_int_equal(row->timing.summary.samples, 0);
    assert_int_equal(row->wrong, 1);
    assert_false(row->verified || row->chosen);
    assert_non_null(strstr(row->reason, "1 of 1000"));
    assert_true(row_at(&s, 2, "fast", FV_BENCH_TIMED)->timing.summary.median == 4e-3);
    clear_scene(&s);
}

static void finds_what_is_right_but_once(void **state) {
    (void)state;
    scene s;
    runs = 0;
    set_scene(&s, lazy_rows, NULL, "relu elements=1000");
    run_scene(&s);
    assert_int_equal(s.record.count, 2);
    const fv_bench_row *row = row_at(&s, 0, "lazy", FV_BENCH_WRONG);
    assert_non_null(strstr(row->reason, "right at first, but not after it was timed: 1000 of 1000 elements of y"));
    assert_int_equal(row->wrong, 1000);
    assert_int_equal(row->timing.summary.samples, 0);
    assert_false(row->verified);
    assert_true(row_at(&s, 1, "right", FV_BENCH_TIMED)->verified);
    clear_scene(&s);
}

static void finds_what_writes_to_its_input(void **state) {
    (void)state;
    scene s;
    set_scene(&s, scribbling_rows, NULL, "relu elements=1000");
    run_scene(&s);
    assert_int_equal(s.record.count, 2);
    const fv_bench_row *row = row_at(&s, 0, "scribbling", FV_BENCH_WRONG);
    assert_string_equal(row->reason, "wrote to 2 elements of its input x");
    assert_int_equal(row->wrong, 2);
    assert_int_equal(row->compared, 1002);
    assert_true(row_at(&s, 1, "right", FV_BENCH_TIMED)->verified);
    clear_scene(&s);
}

static void tells_of_the_fastest_if_all_are_wrong(void **state) {
    (void)state;
    scene s;
    set_scene(&s, wrong_way_rows, NULL, "relu elements=1000");
    run_scene(&s);
    assert_string_equal(row_at(&s, 0, "hopeless", FV_BENCH_WRONG)->implementation, "way 4");
    assert_int_equal(s.record.rows[0].ways, 4);
    clear_scene(&s);
}

static void takes_the_rivals_best(void **state) {
    (void)state;
    scene s;
    set_scene(&s, our_rows, way_rows, "relu elements=1000");
    run_scene(&s);
    assert_int_equal(s.record.count, 5);
    for (int i = 3; i < 5; ++i) {
        const fv_bench_row *row = row_at(&s, i, i == 3 ? "best" : "other_layout", FV_BENCH_TIMED);
        assert_true(row->rival && row->verified);
        assert_string_equal(row->implementation, "way 2");
        assert_true(row->timing.summary.median == 2e-3);
        assert_int_equal(row->ways, 3); /* one is missing, one computes in tf32 */
        assert_non_null(strstr(row->reason, "a faster one is wrong: way 1: "));
        assert_string_equal(row->layout, i == 3 ? "nhwc" : "nchw");
    }
    clear_scene(&s);
}

/* Estimates are of GPUs. */
static void tells_what_was_expected(void **state) {
    (void)state;
    for (int on_gpu = 0; on_gpu < 2; ++on_gpu) {
        scene s;
        set_scene(&s, estimated_rows, NULL, "relu elements=1000");
        s.ours.backend.host_memory = !on_gpu;
        run_scene(&s);
        assert_true(row_at(&s, 0, "guessing", FV_BENCH_TIMED)->expected == 0);
        const fv_bench_row *row = row_at(&s, 1, "knowing", FV_BENCH_TIMED);
        assert_true(row->expected == (on_gpu ? 8e-3 : 0) && row->chosen);
        clear_scene(&s);
    }
}

/* Its own yardsticks are measured as they are, in whatever arithmetic. */
static void measures_every_way_of_ours(void **state) {
    (void)state;
    scene s;
    set_scene(&s, way_rows, NULL, "relu elements=1000");
    run_scene(&s);
    assert_int_equal(s.record.count, 2);
    assert_string_equal(row_at(&s, 0, "best", FV_BENCH_TIMED)->implementation, "way 4");
    assert_true(s.record.rows[0].yardstick && !s.record.rows[0].chosen);
    assert_null(fv_bench_fastest(&s.record, 0, s.record.count));
    clear_scene(&s);
}

static void goes_on_where_memory_is_short(void **state) {
    (void)state;
    scene s;
    set_scene(&s, memory_rows, NULL, "relu elements=549755813888 relu elements=100");
    run_scene(&s);
    assert_int_equal(s.record.count, 3);
    const fv_bench_row *row = row_at(&s, 0, "all", FV_BENCH_NO_MEMORY);
    assert_non_null(strstr(row->reason, "no memory"));
    assert_string_equal(row->op, "relu elements=549755813888 slope=0 dtype=f32");
    row = row_at(&s, 1, "too_large", FV_BENCH_NO_MEMORY);
    assert_non_null(strstr(row->reason, "the device has no memory for it"));
    (void)row_at(&s, 2, "fast", FV_BENCH_TIMED);
    assert_true(s.record.complete);
    clear_scene(&s);
}

static void stops_with_the_device(void **state) {
    (void)state;
    scene s;
    set_scene(&s, breaking_rows, right_rows, "relu elements=100 relu elements=200");
    run_scene(&s);
    assert_int_equal(s.record.count, 1);
    assert_non_null(strstr(row_at(&s, 0, "breaking", FV_BENCH_FAILED)->reason, "illegal memory access"));
    assert_false(s.record.complete);
    clear_scene(&s);
}

static void stops_when_asked(void **state) {
    (void)state;
    scene s;
    set_scene(&s, our_rows, NULL, "relu elements=100 relu elements=200");
    s.stop_after = 2;
    run_scene(&s);
    assert_int_equal(s.record.count, 2);
    assert_false(s.record.complete);
    clear_scene(&s);
}

/* An earlier run that was stopped within a case, at every place where that can be: nothing is measured twice, and nothing
 * is left out. */
static void goes_on_behind_an_earlier_run(void **state) {
    (void)state;
    enum { CASES = 2, ROWS = 5 };
    for (int stop = 1; stop <= CASES * ROWS; ++stop) {
        scene s;
        set_scene(&s, our_rows, way_rows, "relu elements=100 relu elements=200");
        s.stop_after = stop;
        run_scene(&s);
        assert_int_equal(s.record.count, stop);
        s.stop_after = 0;
        s.begun = s.ended = 0;
        run_scene(&s);
        assert_int_equal(s.begun, CASES * ROWS - stop);
        assert_int_equal(s.record.count, CASES * ROWS);
        assert_true(s.record.complete);
        static const char *const kernels[ROWS] = {"slow", "wrong", "fast", "best", "other_layout"};
        for (int i = 0; i < CASES * ROWS; ++i) {
            const int row = i % ROWS;
            (void)row_at(&s, i, kernels[row], row == 1 ? FV_BENCH_WRONG : FV_BENCH_TIMED);
            assert_int_equal(fv_bench_case_end(&s.record, i), i / ROWS * ROWS + ROWS);
        }
        clear_scene(&s);
    }
}

/* Not that which was the fastest before it. */
static void names_the_way_that_broke_the_device(void **state) {
    (void)state;
    scene s;
    set_scene(&s, our_rows, breaking_way_rows, "relu elements=100");
    run_scene(&s);
    assert_int_equal(s.record.count, 4);
    const fv_bench_row *row = row_at(&s, 3, "breaking", FV_BENCH_FAILED);
    assert_string_equal(row->implementation, "way 1");
    assert_non_null(strstr(row->reason, "illegal memory access"));
    assert_false(s.record.complete);
    clear_scene(&s);
}

static void counts_what_nobody_supports(void **state) {
    (void)state;
    scene s;
    set_scene(&s, never_rows, right_rows, "relu elements=100 relu elements=200");
    run_scene(&s);
    assert_int_equal(s.record.count, 0);
    assert_int_equal(s.record.unsupported, 2);
    assert_string_equal(s.record.first_unsupported, "relu elements=100 forward: it never can");
    assert_true(s.record.complete);
    clear_scene(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_what_is_right_and_shows_what_is_wrong),
        cmocka_unit_test(finds_what_is_right_but_once),
        cmocka_unit_test(finds_what_writes_to_its_input),
        cmocka_unit_test(tells_what_was_expected),
        cmocka_unit_test(takes_the_rivals_best),
        cmocka_unit_test(tells_of_the_fastest_if_all_are_wrong),
        cmocka_unit_test(measures_every_way_of_ours),
        cmocka_unit_test(goes_on_where_memory_is_short),
        cmocka_unit_test(stops_with_the_device),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(goes_on_behind_an_earlier_run),
        cmocka_unit_test(names_the_way_that_broke_the_device),
        cmocka_unit_test(counts_what_nobody_supports),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
