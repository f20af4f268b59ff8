/* A survey counts what it should, and the three-way verdict names the right one, for kernels with known faults. */
#include "staged.h"

static fv_status run_two_off(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    return run_and_add(context, op, state, b, 2);
}

static fv_status run_and_fail(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    FV_TRY(run_and_add(context, op, state, b, 1));
    return fv_fail(FV_DEVICE, "the device gave up");
}

/* Right, but for what it writes behind its output. */
__attribute__((no_sanitize("address"))) static fv_status run_too_far(fv_context *context, const fv_operation *op,
                                                                     void *state, const fv_buffers *b) {
    FV_TRY(truth->run(context, op, state, b));
    ((volatile float *)b->at[FV_Y])[op->relu.elements] = 1;
    return FV_OK;
}

static fv_status run_by_turns(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    static int turn;
    return run_and_add(context, op, state, b, turn++ % 2 ? 1 : 0);
}

static fv_status run_out_of_memory(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)op, (void)state, (void)b;
    return fv_fail(FV_NO_MEMORY, "too little");
}

static fv_status allocate(fv_context *context, size_t bytes, void **pointer) {
    *pointer = NULL;
    FV_TRY(synchronize(context));
    return fv_host_allocate(context, bytes, pointer);
}

static const char *large_only(const fv_operation *op) {
    return op->relu.elements < 10 ? "it is too small" : NULL;
}

static const fv_kernel two_off_rows[] = {ROW("two_off", .run = run_two_off), FV_KERNELS_END};
static const fv_kernel failing_rows[] = {ROW("failing", .run = run_and_fail), FV_KERNELS_END};
static const fv_kernel too_far_rows[] = {ROW("too_far", .run = run_too_far), FV_KERNELS_END};
static const fv_kernel turning_rows[] = {ROW("by_turns", .run = run_by_turns), FV_KERNELS_END};
static const fv_kernel memory_rows[] = {ROW("out_of_memory", .run = run_out_of_memory), FV_KERNELS_END};
static const fv_kernel no_rows[] = {FV_KERNELS_END};
static const fv_kernel breaking_rows[] = {ROW("right", .run = run_right),
                                          ROW("breaking", .run = run_breaking, .supports = large_only),
                                          ROW("innocent", .run = run_right), FV_KERNELS_END};
static const fv_kernel mixed_rows[] = {
    ROW("right", .run = run_right),
    ROW("large_only", .run = run_one_off, .supports = large_only),
    ROW("never", .run = run_right, .supports = never),
    ROW("out_of_memory", .run = run_out_of_memory),
    FV_KERNELS_END,
};

/* ---- what a survey says */

typedef struct record {
    int findings, failures, witness_failures;
    char outlier[32];
    int64_t stop_after;
} record;

static void note(void *user, const fv_finding *finding) {
    record *r = user;
    ++r->findings;
    if (finding->verdict->outcome != FV_FAILED)
        return;
    ++(*(finding->witness ? &r->witness_failures : &r->failures));
    snprintf(r->outlier, sizeof r->outlier, "%s", finding->outlier);
}

static bool go_on(void *user, int64_t done, int64_t all) {
    assert_true(done <= all);
    return done != ((record *)user)->stop_after;
}

static fv_survey survey_of(fv_context *context, const fv_case_list *cases, record *r) {
    return (fv_survey){.context = context,
                       .cases = cases,
                       .fills = {true, true},
                       .seed = SEED,
                       .on_finding = note,
                       .on_case = go_on,
                       .user = r};
}

static fv_case_list relus(void) {
    static fv_case items[3];
    items[0] = (fv_case){.op = parse("relu elements=8"), .passes = FV_ALL_PASSES};
    items[1] = (fv_case){.op = parse("relu elements=64"), .passes = FV_ALL_PASSES};
    items[2] = (fv_case){.op = parse("linear n=2 c=3 k=4"), .passes = FV_ALL_PASSES};
    return (fv_case_list){.items = items, .count = 3};
}

static void the_outlier_is_named(void **state) {
    (void)state;
    static const struct {
        const fv_kernel *ours, *first, *second; /* NULL: no such witness */
        const char *outlier;
        bool witness; /* the fault is a witness's */
    } cases[] = {
        {right_rows, right_rows, NULL, "", false},
        {one_off_rows, right_rows, NULL, "ours", false},
        {right_rows, one_off_rows, NULL, "first", true},
        {one_off_rows, one_off_rows, NULL, "reference", false},
        {one_off_rows, two_off_rows, NULL, "nobody", false},
        {failing_rows, right_rows, NULL, "ours", false},
        {failing_rows, one_off_rows, NULL, "ours", false}, /* that a run fails is no matter of opinion */
        {one_off_rows, no_rows, NULL, "", false},
        {one_off_rows, NULL, NULL, "", false},
        {one_off_rows, one_off_rows, right_rows, "ours", false},
        {one_off_rows, no_rows, right_rows, "ours", false},
        {one_off_rows, two_off_rows, one_off_rows, "reference", false},
        {right_rows, right_rows, two_off_rows, "second", true},
        {right_rows, memory_rows, right_rows, "first", true},
        {one_off_rows, memory_rows, NULL, "nobody", false},
        {too_far_rows, too_far_rows, NULL, "ours", false},
        {turning_rows, too_far_rows, NULL, "ours", false},
    };
    const fv_case_list list = relus();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        stage ours, first, second;
        record r = {0};
        fv_survey s = survey_of(stage_with(&ours, "ours", cases[i].ours), &list, &r);
        if (cases[i].first)
            s.witness[s.witnesses++].context = stage_with(&first, "first", cases[i].first);
        if (cases[i].second)
            s.witness[s.witnesses++].context = stage_with(&second, "second", cases[i].second);
        assert_int_equal(fv_survey_run(&s), FV_OK);
        if (strcmp(r.outlier, cases[i].outlier))
            fail_msg("case %zu: the outlier is '%s', expected '%s'", i, r.outlier, cases[i].outlier);
        const bool wrong = cases[i].ours != right_rows;
        assert_int_equal(r.failures, wrong ? 4 : 0); /* two sizes, exact and bounded */
        assert_int_equal(r.witness_failures, cases[i].witness ? 4 : 0);
        for (int w = 0; w < s.witnesses; ++w)
            assert_int_equal(s.witness[w].outliers,
                             cases[i].witness && !strcmp(s.witness[w].context->backend->name, r.outlier) ? 4 : 0);
        if (s.witnesses && cases[i].first != no_rows)
            assert_int_equal(s.witness[0].opinions, 4);
        fv_survey_end(&s);
    }
}

static void rows_are_counted(void **state) {
    (void)state;
    const fv_case_list list = relus();
    stage ours;
    record r = {0};
    fv_survey s = survey_of(stage_with(&ours, "ours", mixed_rows), &list, &r);
    assert_int_equal(fv_survey_run(&s), FV_OK);
    assert_int_equal(s.row_count, 4);
    assert_int_equal(s.cases_done, 3);
    assert_int_equal(r.findings, 4 * 2 * 2);
    const fv_survey_row *right = &s.rows[0], *large = &s.rows[1], *nothing = &s.rows[2], *memory = &s.rows[3];
    assert_int_equal(right->cases, 2);
    assert_int_equal(right->count[FV_PASSED], 2);
    assert_int_equal(right->passed[FV_EXACT], 2);
    assert_int_equal(right->passed[FV_BOUNDED], 2);
    assert_int_equal(right->repeated, 4);
    assert_int_equal(right->reproduced, 4);
    assert_int_equal(memory->repeated, 0);
    assert_int_equal(large->count[FV_FAILED], 1);
    assert_int_equal(large->count[FV_UNSUPPORTED_CASE], 1);
    assert_string_equal(large->idle, "it is too small");
    assert_int_equal(nothing->count[FV_UNSUPPORTED_CASE], 2);
    assert_int_equal(memory->count[FV_FAILED], 2);
    fv_survey_end(&s);
}

/* A kernel that breaks the device is blamed alone; neither the rows and cases after it nor a witness are. */
static void broken_devices_end_it(void **state) {
    (void)state;
    const fv_case_list list = relus();
    stage ours, first;
    record r = {0};
    broken = false;
    fv_survey s = survey_of(stage_with(&ours, "ours", breaking_rows), &list, &r);
    s.witness[s.witnesses++].context = stage_with(&first, "first", right_rows);
    ours.backend.synchronize = first.backend.synchronize = synchronize;
    ours.backend.allocate = first.backend.allocate = allocate;
    assert_int_equal(fv_survey_run(&s), FV_OK);
    assert_true(s.lost);
    assert_int_equal(s.cases_done, 1);
    assert_int_equal(s.rows[0].count[FV_FAILED], 0);
    assert_int_equal(s.rows[1].count[FV_FAILED], 1);
    assert_int_equal(s.rows[2].count[FV_FAILED], 0);
    assert_int_equal(r.failures, 1);
    assert_int_equal(r.witness_failures, 0);
    fv_survey_end(&s);
}

static bool right_only(void *user, const fv_kernel *kernel) {
    (void)user;
    return !strcmp(kernel->name, "right");
}

static void selections(void **state) {
    (void)state;
    fv_case_list list = relus();
    stage ours;
    record r = {.stop_after = 1};
    fv_survey s = survey_of(stage_with(&ours, "ours", mixed_rows), &list, &r);
    s.selects = right_only;
    s.fills[FV_EXACT] = false;
    assert_int_equal(fv_survey_run(&s), FV_OK);
    assert_int_equal(s.row_count, 1);
    assert_int_equal(s.cases_done, 1);
    assert_int_equal(r.findings, 1);
    assert_int_equal(s.rows[0].passed[FV_EXACT], 0);
    assert_int_equal(s.rows[0].passed[FV_BOUNDED], 1);
    fv_survey_end(&s);
    /* A case may ask for other passes than the kernel's. */
    list.items[0].passes = list.items[1].passes = 1 << FV_BACKWARD_DATA;
    r = (record){0};
    s = survey_of(stage_with(&ours, "ours", mixed_rows), &list, &r);
    assert_int_equal(fv_survey_run(&s), FV_OK);
    assert_int_equal(r.findings, 0);
    fv_survey_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_outlier_is_named),
        cmocka_unit_test(rows_are_counted),
        cmocka_unit_test(broken_devices_end_it),
        cmocka_unit_test(selections),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
