#include "measure/record_fields.h"

#include <stddef.h>

#define AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

static const char *const passes[] = {"forward", "backward_data", "backward_weights", NULL};
static const char *const layouts[] = {"nhwc", "nchw", NULL};
static const char *const states[] = {"timed", "wrong", "no memory", "failed", NULL};
static const char *const limits[] = {"memory", "compute", NULL};

const char *fv_bench_state_name(fv_bench_state state) {
    return (unsigned)state < FV_BENCH_STATES ? states[state] : "?";
}

#define HEAD(member) AT(fv_bench_record, member)
const fv_record_field fv_record_head_fields[] = {
    {"version", FV_RECORD_TEXT, HEAD(version), NULL},
    {"commit", FV_RECORD_TEXT, HEAD(commit), NULL},
    {"date", FV_RECORD_TEXT, HEAD(date), NULL},
    {"command", FV_RECORD_TEXT, HEAD(command), NULL},
    {"backend", FV_RECORD_TEXT, HEAD(backend), NULL},
    {"description", FV_RECORD_TEXT, HEAD(description), NULL},
    {"against", FV_RECORD_TEXT, HEAD(against), NULL},
    {"against_description", FV_RECORD_TEXT, HEAD(against_description), NULL},
    {"seed", FV_RECORD_COUNT, HEAD(seed), NULL},
    {"sweep", FV_RECORD_TEXT, HEAD(sweep), NULL},
    {"complete", FV_RECORD_YES_NO, HEAD(complete), NULL},
    {"unsupported", FV_RECORD_COUNT, HEAD(unsupported), NULL},
    {"first_unsupported", FV_RECORD_TEXT, HEAD(first_unsupported), NULL},
    {0},
};

const fv_record_field fv_record_machine_fields[] = {
    {"device", FV_RECORD_TEXT, AT(fv_machine, device), NULL},
    {"libraries", FV_RECORD_TEXT, AT(fv_machine, libraries), NULL},
    {"cache_bytes", FV_RECORD_COUNT, AT(fv_machine, cache), NULL},
    {"memory_bytes", FV_RECORD_COUNT, AT(fv_machine, memory), NULL},
    {"units", FV_RECORD_COUNT, AT(fv_machine, units), NULL},
    {0},
};

const fv_record_field fv_record_conditions_fields[] = {
    {"clock_mhz", FV_RECORD_COUNT, AT(fv_conditions, clock), NULL},
    {"memory_clock_mhz", FV_RECORD_COUNT, AT(fv_conditions, memory_clock), NULL},
    {"temperature_celsius", FV_RECORD_INT, AT(fv_conditions, temperature), NULL},
    {"power_watts", FV_RECORD_REAL, AT(fv_conditions, power), NULL},
    {"throttled", FV_RECORD_TEXT, AT(fv_conditions, throttled), NULL},
    {0},
};

const fv_record_field fv_record_ceilings_fields[] = {
    {"copy_bytes_per_s", FV_RECORD_REAL, AT(fv_ceilings, copy), NULL},
    {"measured", FV_RECORD_TEXT, AT(fv_ceilings, measured), NULL},
    {"cached", FV_RECORD_YES_NO, AT(fv_ceilings, cached), NULL},
    {0},
};

const fv_record_field fv_record_protocol_fields[] = {
    {"samples", FV_RECORD_COUNT, AT(fv_protocol, samples), NULL},
    {"least_s", FV_RECORD_REAL, AT(fv_protocol, least), NULL},
    {"noise", FV_RECORD_REAL, AT(fv_protocol, noise), NULL},
    {"most_s", FV_RECORD_REAL, AT(fv_protocol, most), NULL},
    {"warm", FV_RECORD_YES_NO, AT(fv_protocol, warm), NULL},
    {0},
};

#define ROW(member) AT(fv_bench_row, member)
const fv_record_field fv_record_row_fields[] = {
    {"label", FV_RECORD_TEXT, ROW(label), NULL},
    {"op", FV_RECORD_TEXT, ROW(op), NULL},
    {"family", FV_RECORD_TEXT, ROW(family), NULL},
    {"pass", FV_RECORD_NAME, ROW(pass), passes},
    {"dtype", FV_RECORD_TEXT, ROW(dtype), NULL},
    {"backend", FV_RECORD_TEXT, ROW(backend), NULL},
    {"kernel", FV_RECORD_TEXT, ROW(kernel), NULL},
    {"implementation", FV_RECORD_TEXT, ROW(implementation), NULL},
    {"layout", FV_RECORD_NAME, ROW(layout), layouts},
    {"rival", FV_RECORD_YES_NO, ROW(rival), NULL},
    {"chosen", FV_RECORD_YES_NO, ROW(chosen), NULL},
    {"yardstick", FV_RECORD_YES_NO, ROW(yardstick), NULL},
    {"ways", FV_RECORD_COUNT, ROW(ways), NULL},
    {"state", FV_RECORD_CHOICE, ROW(state), states},
    {"reason", FV_RECORD_TEXT, ROW(reason), NULL},
    {"verified", FV_RECORD_YES_NO, ROW(verified), NULL},
    {"scope", FV_RECORD_TEXT, ROW(scope), NULL},
    {"compared", FV_RECORD_COUNT, ROW(compared), NULL},
    {"wrong", FV_RECORD_COUNT, ROW(wrong), NULL},
    {"worst", FV_RECORD_WORST, ROW(worst), NULL},
    {"samples", FV_RECORD_COUNT, ROW(timing.summary.samples), NULL},
    {"median_s", FV_RECORD_REAL, ROW(timing.summary.median), NULL},
    {"low_s", FV_RECORD_REAL, ROW(timing.summary.low), NULL},
    {"high_s", FV_RECORD_REAL, ROW(timing.summary.high), NULL},
    {"least_s", FV_RECORD_REAL, ROW(timing.summary.least), NULL},
    {"settled", FV_RECORD_YES_NO, ROW(timing.settled), NULL},
    {"exposed", FV_RECORD_YES_NO, ROW(timing.exposed), NULL},
    {"expected_s", FV_RECORD_ADDED, ROW(expected), NULL},
    {"workspace_bytes", FV_RECORD_COUNT, ROW(workspace), NULL},
    {"flop", FV_RECORD_COUNT, ROW(floor.flop), NULL},
    {"bytes", FV_RECORD_COUNT, ROW(floor.bytes), NULL},
    {"floor_s", FV_RECORD_REAL, ROW(floor.seconds), NULL},
    {"bound", FV_RECORD_CHOICE, ROW(floor.compute_bound), limits},
    {0},
};
