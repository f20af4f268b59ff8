/* Records of fovea bench: their cases, their means, and their files. */
#include "records.h"
#include "scratch.h"

#include <float.h>
#include <math.h>

/* The same but for rounding: there are at most a dozen operations between them, each right to an ulp or two. */
static void expect_near(double got, double expected) {
    if (!(fabs(got - expected) <= 16 * DBL_EPSILON * fabs(expected)))
        fail_msg("%.17g, expected %.17g", got, expected);
}

/* ---- what is in a record ---- */

static void cases_of_a_record(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    static const int64_t ends[] = {5, 7, 9, 11, 12};
    int64_t begin = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; begin = ends[i++])
        assert_int_equal(fv_bench_case_end(&record, begin), ends[i]);
    assert_int_equal(begin, record.count);

    assert_string_equal(fv_bench_fastest(&record, 0, 5)->kernel, "im2col");
    assert_string_equal(fv_bench_chosen(&record, 0, 5)->kernel, "direct_tile");
    assert_ptr_equal(fv_bench_rival(&record, 0, 5, "nhwc"), &record.rows[3]);
    assert_ptr_equal(fv_bench_rival(&record, 0, 5, "nchw"), &record.rows[4]);
    assert_null(fv_bench_rival(&record, 5, 7, "nchw"));
    assert_null(fv_bench_fastest(&record, 9, 11)); /* no memory, and a rival that failed */
    assert_ptr_equal(fv_bench_chosen(&record, 9, 11), &record.rows[9]);
    assert_null(fv_bench_rival(&record, 9, 11, "nhwc"));
    record.rows[3].wrong = 1;
    assert_null(fv_bench_rival(&record, 0, 5, "nhwc"));
    fv_bench_record_release(&record);
    assert_int_equal(record.count, 0);
    assert_null(record.rows);
}

/* The same case twice in a row stays two cases, with and without a rival. */
static void repeated_cases(void **state) {
    (void)state;
    fv_bench_record record = record_empty();
    const fv_bench_row a = record_ours(&record, "", "relu elements=8", "relu", FV_FORWARD, "a", 1);
    const fv_bench_row b = record_ours(&record, "", "relu elements=8", "relu", FV_FORWARD, "b", 1);
    const fv_bench_row rival = record_rivals(&record, &a, "nhwc", 1);
    const fv_bench_row rows[] = {a, b, a, b, rival, b, rival};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        record_put(&record, rows[i]);
    assert_int_equal(fv_bench_case_end(&record, 0), 2);
    assert_int_equal(fv_bench_case_end(&record, 2), 5);
    assert_int_equal(fv_bench_case_end(&record, 5), 7);
    fv_bench_record_release(&record);
}

static void figures(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    const fv_bench_row *row = &record.rows[1], *rival = &record.rows[3];
    fv_bench_figures f = fv_bench_figures_of(row, rival);
    expect_near(f.ratio, 0.8);
    expect_near(f.rival_us, 4000);
    expect_near(f.tflops, 2e-12 * 64 * 56 * 56 * 256 * 256 * 9 / 5000e-6);
    expect_near(f.gb_per_s, 1e-9 * (double)row->floor.bytes / 5000e-6);
    expect_near(f.percent_of_floor, 100 * row->floor.seconds / 5000e-6);
    expect_near(f.spread_percent, 100 * fv_spread(&row->timing.summary));
    assert_true(isnan(f.expected_us) && isnan(f.times_expected)); /* it has no estimate */
    expect_near(fv_bench_figures_of(&record.rows[0], rival).expected_us, 8000);
    expect_near(fv_bench_figures_of(&record.rows[0], rival).times_expected, 0.8);
    assert_true(isnan(fv_bench_figures_of(rival, rival).ratio));
    f = fv_bench_figures_of(&record.rows[2], rival); /* wrong: what it took says nothing */
    assert_true(isnan(f.median_us) && isnan(f.ratio) && isnan(f.tflops) && isnan(f.percent_of_floor));
    assert_false(isnan(f.floor_us) || isnan(f.rival_us));
    f = fv_bench_figures_of(&record.rows[11], NULL); /* a pooling multiplies nothing */
    assert_true(isnan(f.tflops) && isnan(f.ratio) && !isnan(f.gb_per_s));
    fv_bench_record_release(&record);
}

static void groups_of_a_record(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    fv_bench_group *groups;
    int64_t count;
    /* A second dense layer: the fastest is half as fast as the rival, and its floor is the first one's. */
    fv_bench_row row = record_ours(&record, "b", "conv2d n=64 c=256 h=56 w=56 k=256 kernel=3x3 pad=1", "conv2d",
                                   FV_FORWARD, "direct_tile", 20000);
    row.chosen = true;
    record_put(&record, row);
    record_put(&record, record_rivals(&record, &row, "nhwc", 10000));
    assert_int_equal(fv_bench_groups(&record, &groups, &count), FV_OK);
    assert_int_equal(count, 4);
    assert_string_equal(groups[0].family, "conv2d");
    assert_string_equal(groups[0].pass, "forward");
    assert_string_equal(groups[1].pass, "backward_data");
    assert_string_equal(groups[2].family, "depthwise");
    assert_string_equal(groups[3].family, "maxpool");
    assert_int_equal(groups[0].cases, 2);
    expect_near(fv_geomean_value(&groups[0].fastest), sqrt(0.8 * 0.5));
    expect_near(fv_geomean_value(&groups[0].chosen), sqrt(0.625 * 0.5));
    expect_near(groups[0].fastest.worst, 0.5);
    expect_near(fv_geomean_value(&groups[0].share), row.floor.seconds / sqrt(5000e-6 * 20000e-6));
    assert_int_equal(groups[3].cases, 1);
    assert_int_equal(groups[3].fastest.count, 0); /* without a rival there is no ratio */
    assert_int_equal(groups[3].share.count, 1);
    free(groups);
    fv_bench_record_release(&record);
}

/* ---- files ---- */

static bool same_real(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

#define TEXT(member) assert_string_equal(a->member, b->member)
#define WHOLE(member) assert_true(a->member == b->member)
#define REAL(member) assert_true(same_real(a->member, b->member))

static void expect_same_row(const fv_bench_row *a, const fv_bench_row *b) {
    TEXT(label), TEXT(op), TEXT(family), TEXT(pass), TEXT(dtype), TEXT(backend), TEXT(kernel), TEXT(implementation);
    TEXT(layout), TEXT(reason), TEXT(scope);
    WHOLE(rival), WHOLE(chosen), WHOLE(state), WHOLE(verified), WHOLE(compared), WHOLE(wrong), WHOLE(workspace);
    WHOLE(ways), WHOLE(timing.settled), WHOLE(timing.exposed), WHOLE(timing.summary.samples);
    WHOLE(floor.flop), WHOLE(floor.bytes), WHOLE(floor.compute_bound);
    REAL(worst), REAL(timing.summary.median), REAL(timing.summary.low), REAL(timing.summary.high);
    REAL(timing.summary.least), REAL(floor.seconds), REAL(expected);
}

static void expect_same_conditions(const fv_conditions *a, const fv_conditions *b) {
    WHOLE(clock), WHOLE(memory_clock), WHOLE(temperature), REAL(power), TEXT(throttled);
}

static void expect_same_record(const fv_bench_record *a, const fv_bench_record *b) {
    TEXT(version), TEXT(commit), TEXT(date), TEXT(backend), TEXT(against), TEXT(description), TEXT(against_description);
    TEXT(command), TEXT(sweep), TEXT(first_unsupported);
    WHOLE(seed), WHOLE(complete), WHOLE(unsupported), WHOLE(count);
    TEXT(machine.device), TEXT(machine.libraries), WHOLE(machine.cache), WHOLE(machine.memory), WHOLE(machine.units);
    REAL(ceilings.copy), TEXT(ceilings.measured), WHOLE(ceilings.cached);
    for (int i = 0; i < FV_DTYPES; ++i)
        REAL(ceilings.product[i]), TEXT(ceilings.product_by[i]);
    WHOLE(protocol.samples), REAL(protocol.least), REAL(protocol.noise), REAL(protocol.most), WHOLE(protocol.warm);
    expect_same_conditions(&a->before, &b->before);
    expect_same_conditions(&a->after, &b->after);
    for (int64_t i = 0; i < a->count; ++i)
        expect_same_row(&a->rows[i], &b->rows[i]);
}

static void expect_round_trip(const fv_bench_record *record) {
    const scratch_name path = scratch_path("record.json");
    fv_bench_record read = {0};
    if (fv_bench_write(record, path.text) != FV_OK || fv_bench_read(&read, path.text) != FV_OK)
        fail_msg("%s", fv_error_message());
    expect_same_record(record, &read);
    fv_bench_record_release(&read);
}

static void round_trips(void **state) {
    (void)state;
    fv_bench_record record = {0};
    expect_round_trip(&record);
    record = record_empty();
    expect_round_trip(&record);
    record = record_full();
    expect_round_trip(&record);

    /* numbers to the last bit, and each end of their range */
    static const double awkward[] = {0.1 + 0.2, 1.0 / 3, DBL_MIN, 5e-324, DBL_MAX, 1e-6 * 812.7, 0, 4.1e-05};
    for (size_t i = 0; i < sizeof awkward / sizeof awkward[0]; ++i) {
        fv_bench_row *row = &record.rows[i];
        row->timing.summary = (fv_summary){3, awkward[i], awkward[i], awkward[i], awkward[i]};
        row->worst = row->floor.seconds = awkward[i];
        record.ceilings.copy = record.ceilings.product[FV_F64] = record.before.power = awkward[i];
        record.protocol.noise = record.protocol.least = record.protocol.most = awkward[i];
        expect_round_trip(&record);
    }
    record.rows[0].worst = INFINITY;
    record.rows[1].worst = NAN;
    record.rows[0].workspace = (size_t)INT64_MAX;
    record.rows[0].floor.flop = INT64_MAX;
    record.seed = INT64_MAX;
    record.before.temperature = -40;
    record.protocol.warm = true;
    record.complete = record.ceilings.cached = false;
    snprintf(record.sweep, sizeof record.sweep, "h,w");
    memset(record.rows[0].label, 'x', sizeof record.rows[0].label - 1); /* as long as it may be */
    snprintf(record.rows[1].label, sizeof record.rows[1].label, "\"\\ / \xe2\x88\x9e\n\t\x01");
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass)
        snprintf(record.rows[pass].pass, sizeof record.rows[pass].pass, "%s", fv_pass_name(pass));
    expect_round_trip(&record);

    fv_bench_record_release(&record);
}

/* What JSON cannot hold. */
static void odd_records(void **state) {
    (void)state;
    const scratch_name path = scratch_path("odd.json");
    fv_bench_record record = record_full(), read = {0};
    snprintf(record.rows[0].label, sizeof record.rows[0].label, "caf\xe9"); /* Latin-1 */
    assert_int_equal(fv_bench_write(&record, path.text), FV_OK);
    assert_int_equal(fv_bench_read(&read, path.text), FV_OK);
    assert_string_equal(read.rows[0].label, "caf?");
    fv_bench_record_release(&read);
    record.seed = UINT64_MAX;
    EXPECT_FAILURE(fv_bench_write(&record, path.text), FV_BAD_INPUT, "18446744073709551615", "below 2^63");
    fv_bench_record_release(&record);
}

/* Other programs read what follows from the numbers. */
static void derived_numbers(void **state) {
    (void)state;
    fv_bench_record record = record_full();
    json_t *json;
    assert_int_equal(fv_bench_to_json(&record, &json), FV_OK);
    const json_t *rows = json_object_get(json, "rows"), *row = json_array_get(rows, 1);
    const json_t *group = json_array_get(json_object_get(json, "groups"), 0);
    assert_string_equal(json_string_value(json_object_get(json, "format")), "fovea-bench-1");
    expect_near(json_real_value(json_object_get(row, "median_us")), 5000);
    expect_near(json_real_value(json_object_get(row, "ratio")), 0.8);
    expect_near(json_real_value(json_object_get(row, "percent_of_floor")),
                100 * record.rows[1].floor.seconds / 5000e-6);
    assert_string_equal(json_string_value(json_object_get(row, "bound")), "compute");
    assert_true(json_is_null(json_object_get(row, "times_expected")));
    expect_near(json_real_value(json_object_get(json_array_get(rows, 0), "times_expected")), 0.8);
    assert_true(json_is_null(json_object_get(json_array_get(rows, 2), "median_us"))); /* wrong */
    assert_true(json_is_null(json_object_get(json_array_get(rows, 11), "tflops")));   /* a pooling */
    expect_near(json_real_value(json_object_get(group, "ratio_of_chosen")), 0.625);
    json_decref(json);
    fv_bench_record_release(&record);
}

/* A record of before there were estimates. */
static void older_records(void **state) {
    (void)state;
    const scratch_name path = scratch_path("older.json");
    fv_bench_record record = record_full(), read = {0};
    json_t *json;
    assert_int_equal(fv_bench_to_json(&record, &json), FV_OK);
    for (size_t i = 0; i < json_array_size(json_object_get(json, "rows")); ++i)
        assert_int_equal(json_object_del(json_array_get(json_object_get(json, "rows"), i), "expected_s"), 0);
    char *text = json_dumps(json, 0);
    scratch_put(path.text, text, strlen(text));
    assert_int_equal(fv_bench_read(&read, path.text), FV_OK);
    record.rows[0].expected = 0;
    expect_same_record(&record, &read);
    free(text);
    json_decref(json);
    fv_bench_record_release(&read);
    fv_bench_record_release(&record);
}

/* ---- damaged files ---- */

/* Writes the full record with `value` (NULL: nothing) in the place of one member: of the whole, of an object of it, or
 * of a row; and reads it. */
static fv_status read_damaged(const char *object, int row, const char *key, json_t *value) {
    const scratch_name path = scratch_path("damaged.json");
    fv_bench_record record = record_full(), read = {0};
    json_t *json;
    assert_int_equal(fv_bench_to_json(&record, &json), FV_OK);
    fv_bench_record_release(&record);
    json_t *place = object ? json_object_get(json, object) : json;
    if (row >= 0)
        place = json_array_get(place, (size_t)row);
    assert_non_null(json_object_get(place, key));
    if (value)
        json_object_set_new(place, key, value);
    else
        json_object_del(place, key);
    char *text = json_dumps(json, 0);
    scratch_put(path.text, text, strlen(text));
    free(text);
    json_decref(json);
    const fv_status status = fv_bench_read(&read, path.text);
    assert_int_equal(read.count, 0); /* as it was on failure */
    assert_null(read.rows);
    return status;
}

#define REFUSED(object, row, key, value, ...)                                                                          \
    EXPECT_FAILURE(read_damaged(object, row, key, value), FV_BAD_INPUT, "damaged.json: ", __VA_ARGS__)

static void damaged_members(void **state) {
    (void)state;
    REFUSED(NULL, -1, "commit", NULL, ": commit: missing: expected a text");
    REFUSED(NULL, -1, "date", json_integer(3), ": date: expected a text");
    REFUSED(NULL, -1, "seed", json_integer(-1), ": seed: expected a whole number from 0 to ");
    REFUSED(NULL, -1, "complete", json_integer(1), ": complete: expected true or false");
    REFUSED(NULL, -1, "machine", json_array(), ": machine: expected an object");
    REFUSED(NULL, -1, "rows", json_object(), ": rows: expected an array");
    REFUSED(NULL, -1, "rows", NULL, ": rows: missing: expected an array");
    REFUSED("machine", -1, "units", json_integer(INT64_C(1) << 31), ": machine.units: expected a whole number");
    REFUSED("before", -1, "power_watts", json_string("much"), ": before.power_watts: expected a number");
    REFUSED("ceilings", -1, "copy_bytes_per_s", json_real(-1),
            ": ceilings.copy_bytes_per_s: expected a number of at least");
    REFUSED("ceilings", -1, "products", json_pack("[i]", 3), ": ceilings.products[0]: expected an object");
    REFUSED("ceilings", -1, "products", json_pack("[{s:s,s:f,s:s}]", "dtype", "f8", "flop_per_s", 1.0, "by", ""),
            ": ceilings.products[0].dtype: expected one of \"f32\"");
    REFUSED("ceilings", -1, "products",
            json_pack("[{s:s,s:f,s:s},{s:s,s:f,s:s}]", "dtype", "f32", "flop_per_s", 1.0, "by", "", "dtype", "f32",
                      "flop_per_s", 1.0, "by", ""),
            ": ceilings.products[1].dtype: expected another");
    REFUSED("rows", 3, "median_s", json_string("5"), ": rows[3].median_s: expected a number");
    REFUSED("rows", 3, "median_s", NULL, ": rows[3].median_s: missing: expected a number");
    REFUSED("rows", 3, "median_s", json_real(1), ": rows[3].median_s: expected a time from ");
    REFUSED("rows", 3, "samples", json_integer(0), ": rows[3].samples: expected at least 1");
    REFUSED("rows", 3, "samples", json_real(3), ": rows[3].samples: expected a whole number");
    REFUSED("rows", 3, "floor_s", json_string("inf"), ": rows[3].floor_s: expected a number");
    REFUSED("rows", 3, "worst", json_string("bad"), ": rows[3].worst: expected a number");
    REFUSED("rows", 0, "expected_s", json_real(-1), ": rows[0].expected_s: expected a number of at least 0");
    REFUSED("rows", 2, "wrong", json_integer(2049), ": rows[2].wrong: expected at most as many as");
    REFUSED("rows", 0, "state", json_string("slow"),
            ": rows[0].state: expected one of \"timed\", \"wrong\", \"no memory\"");
    REFUSED("rows", 0, "pass", json_string("sideways"), ": rows[0].pass: expected one of \"forward\"");
    REFUSED("rows", 0, "layout", json_string(""), ": rows[0].layout: expected one of \"nhwc\"");
    REFUSED("rows", 0, "bound", json_true(), ": rows[0].bound: expected one of \"memory\", \"compute\"");
    REFUSED("rows", 0, "op", json_string("conv3d n=1"), ": rows[0].op: ", "conv3d");
    char label[65];
    memset(label, 'x', 64);
    label[64] = '\0';
    REFUSED("rows", 11, "label", json_string(label), ": rows[11].label: 64 bytes: expected at most 63");
}

static fv_status read_text(const char *text) {
    const scratch_name path = scratch_path("other.json");
    fv_bench_record read = {0};
    scratch_put(path.text, text, strlen(text));
    return fv_bench_read(&read, path.text);
}

static void other_files(void **state) {
    (void)state;
    static const char *const others[] = {"{}", "[]", "[1, 2]", "{\"format\": 1}", "{\"format\": \"npy\"}"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; ++i)
        EXPECT_FAILURE(read_text(others[i]), FV_BAD_INPUT, "other.json: not a record of fovea bench", "fovea-bench-1");
    EXPECT_FAILURE(read_text("{\"format\": \"fovea-bench-2\"}"), FV_BAD_INPUT, "fovea-bench-2 of another version");
    EXPECT_FAILURE(read_text("{\"format\": \"fovea-bench-1\"}"), FV_BAD_INPUT, "other.json: version: missing");
    EXPECT_FAILURE(read_text(""), FV_BAD_INPUT, "other.json:1: no JSON");
    EXPECT_FAILURE(read_text("{\n\"format\": \"fovea"), FV_BAD_INPUT, "other.json:2: no JSON");
    EXPECT_FAILURE(read_text("{\"format\": 1,\n\n\"format\": 2}"), FV_BAD_INPUT, "other.json:3: no JSON");
    fv_bench_record read = {0};
    EXPECT_FAILURE(fv_bench_read(&read, scratch_path("none.json").text), FV_BAD_INPUT, "none.json");
}

/* No beginning of a record's file is one, and whatever becomes of a byte, reading ends in good order. */
static void broken_files(void **state) {
    (void)state;
    const scratch_name path = scratch_path("broken.json");
    fv_bench_record record = record_full(), read = {0};
    char *text;
    assert_int_equal(fv_bench_to_text(&record, &text), FV_OK);
    const size_t length = strlen(text);
    for (size_t cut = 0; cut < length; cut += 97) {
        scratch_put(path.text, text, cut);
        EXPECT_FAILURE(fv_bench_read(&read, path.text), FV_BAD_INPUT, "broken.json:", ": no JSON: ");
    }
    scratch_put(path.text, text, length);
    for (size_t at = 0; at < length; at += 31) {
        static const uint8_t bytes[] = {'0', '"', '-', '\0', 0xff, '\n'};
        scratch_poke(path.text, at, bytes[at % sizeof bytes]);
        const fv_status status = fv_bench_read(&read, path.text);
        if (status != FV_OK)
            expect_failure(status, FV_BAD_INPUT, (const char *const[]){"broken.json:"}, 1);
        fv_bench_record_release(&read);
        scratch_poke(path.text, at, (uint8_t)text[at]);
    }
    assert_int_equal(fv_bench_read(&read, path.text), FV_OK);
    fv_bench_record_release(&read);
    free(text);
    fv_bench_record_release(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_of_a_record),  cmocka_unit_test(repeated_cases), cmocka_unit_test(figures),
        cmocka_unit_test(groups_of_a_record), cmocka_unit_test(round_trips),    cmocka_unit_test(odd_records),
        cmocka_unit_test(derived_numbers),    cmocka_unit_test(older_records),  cmocka_unit_test(damaged_members),
        cmocka_unit_test(other_files),        cmocka_unit_test(broken_files),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
