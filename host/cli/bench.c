/* fovea bench: how long every variant takes, beside the vendor's best and the chip's limit; and what is made of records. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/bench.h"
#include "cli/bench_options.h"
#include "cli/signals.h"
#include "measure/bench.h"

/* ---- what the loop asks ---- */

typedef struct benching {
    const fv_bench_options *options;
    fv_bench *bench;
    fv_progress progress;
    bool begun; /* a variant has been measured, by this run or an earlier one */
} benching;

static bool selects(void *user, const fv_kernel *kernel) {
    return fv_filter_matches(&((benching *)user)->options->filter, kernel);
}

/* Known before it runs, in case that the program does not survive it. */
static void on_begin(void *user, const fv_bench_row *row) {
    const benching *b = user;
    char line[1024];
    if (b->options->out)
        fv_bench_save(b->bench->record, row, b->options->out);
    snprintf(line, sizeof line, "fovea bench --backend %s --pass %s --dtype %s --kernel %s '%s'", row->backend,
             row->pass, row->dtype, row->kernel, row->op);
    fv_now_running(line);
}

static bool on_end(void *user, int64_t case_index) {
    benching *b = user;
    fv_context *context = b->bench->context;
    if (!b->begun) /* not earlier: an idle device rests */
        context->backend->conditions(context, &b->bench->record->before);
    b->begun = true;
    fv_progress_draw(&b->progress, case_index, b->bench->cases->count, "cases");
    return !fv_caught_signal();
}

/* ---- what is to be measured ---- */

static fv_status gather_cases(fv_bench_options *o, fv_bench_record *record) {
    FV_TRY(fv_cases_add_words(&o->cases, o->words, o->word_count));
    if (o->cases.count == 0 && o->cases.left_out == 0)
        FV_TRY(fv_cases_add_suite(&o->cases, "small"));
    if (o->sweep)
        FV_TRY(fv_cases_sweep(&o->cases, o->sweep, record->sweep));
    fv_say_left_out("bench", &o->cases);
    return FV_OK;
}

/* The backend that is compared with, if any: the vendor's where none was named and it is here. */
static fv_status open_rival(const fv_bench_options *o, const fv_context *context, fv_context **rival) {
    const fv_context_options context_options = {.threads = o->threads, .seed = o->seed};
    const char *backend = fv_context_backend(context), *name = o->against;
    if (!name)
        name = !strcmp(backend, "cuda") ? "cudnn" : "none";
    if (!strcmp(name, "none"))
        return FV_OK;
    const fv_status status = fv_context_create(name, &context_options, rival);
    if (status == FV_UNSUPPORTED && !o->against)
        return FV_OK;
    FV_TRY(status);
    if (!strcmp(fv_context_backend(*rival), backend))
        return fv_fail(FV_BAD_INPUT, "--against=%s: %s is what is being timed", name, backend);
    return FV_OK;
}

static void describe_run(const fv_bench_options *o, int argc, char **argv, const fv_context *context,
                         const fv_context *rival, fv_bench_record *record) {
    fv_clock_date(record->date);
    snprintf(record->version, sizeof record->version, "%s", FV_VERSION);
    snprintf(record->commit, sizeof record->commit, "%s", fv_commit());
    snprintf(record->backend, sizeof record->backend, "%s", fv_context_backend(context));
    snprintf(record->description, sizeof record->description, "%s", fv_context_description(context));
    if (rival) {
        snprintf(record->against, sizeof record->against, "%s", fv_context_backend(rival));
        snprintf(record->against_description, sizeof record->against_description, "%s", fv_context_description(rival));
    }
    for (int i = 0; i < argc; ++i)
        fv_append(record->command, sizeof record->command, "%s%s", i ? " " : "", argv[i]);
    record->protocol = o->protocol;
    record->seed = o->seed;
    context->backend->machine(context, &record->machine);
    if (rival) { /* the vendor's library shows in its own description of the same machine */
        fv_machine machine;
        rival->backend->machine(rival, &machine);
        if (strlen(machine.libraries) > strlen(record->machine.libraries))
            memcpy(record->machine.libraries, machine.libraries, sizeof machine.libraries);
    }
}

/* ---- the command ---- */

static fv_status measure(fv_bench_options *o, int argc, char **argv, fv_bench_record *record) {
    const fv_context_options context_options = {.threads = o->threads, .seed = o->seed};
    benching b = {.options = o};
    fv_bench bench = {.cases = &o->cases,
                      .selects = selects,
                      .protocol = o->protocol,
                      .seed = o->seed,
                      .budget = 3e8, /* about a second of the reference */
                      .on_begin = on_begin,
                      .on_end = on_end,
                      .user = &b,
                      .record = record};
    fv_status status;
    b.bench = &bench;
    FV_TRY_GOTO(status, fv_context_create(o->backend ? o->backend : "auto", &context_options, &bench.context), done);
    FV_TRY_GOTO(status, open_rival(o, bench.context, &bench.rival), done);
    if (o->resume && access(o->out, F_OK) == 0)
        FV_TRY_GOTO(status,
                    fv_bench_take_over(record, o->out, fv_context_backend(bench.context),
                                       bench.rival ? fv_context_backend(bench.rival) : "", o->seed),
                    done);
    FV_TRY_GOTO(status, gather_cases(o, record), done);
    describe_run(o, argc, argv, bench.context, bench.rival, record);
    fv_catch_signals();
    fv_catch_crashes();
    b.begun = record->count > 0;
    if (!b.begun) /* else with the ceilings that its rows were held against */
        FV_TRY_GOTO(status, fv_ceilings_get(bench.context, o->measure_ceilings, &record->ceilings), done);
    fv_progress_begin(&b.progress);
    status = fv_bench_run(&bench);
    bench.context->backend->conditions(bench.context, &record->after);
    fv_progress_clear(&b.progress);
    fv_now_running("");
done:
    fv_context_destroy(bench.rival);
    fv_context_destroy(bench.context);
    return status;
}

/* Everything that the options ask to be made of the record. What was measured must not be lost: the file comes first. */
static fv_status show(const fv_bench_options *o, const fv_bench_record *record) {
    if (o->out)
        FV_TRY(fv_bench_write(record, o->out));
    if (o->ladder)
        FV_TRY(fv_bench_print_ladder(record, &o->reasons));
    else
        FV_TRY(fv_bench_print(record, o->format));
    return o->plot ? fv_bench_plot(record, o->plot) : FV_OK;
}

static bool is_good(const fv_bench_record *record) {
    int64_t timed = 0, bad = 0;
    for (int64_t i = 0; i < record->count; ++i) {
        const fv_bench_row *row = &record->rows[i];
        timed += row->state == FV_BENCH_TIMED;
        bad += row->state == FV_BENCH_WRONG || row->state == FV_BENCH_FAILED;
    }
    return timed > 0 && bad == 0;
}

static fv_status bench(fv_bench_options *o, int argc, char **argv, fv_bench_record *record) {
    FV_TRY(fv_bench_options_check(o));
    if (o->compare)
        return fv_bench_compare(o->compare, o->words[0], o->format);
    /* Early: what cannot be read or written shows before the work, not after it. */
    if (o->out)
        FV_TRY(fv_file_check_writable(o->out));
    if (o->plot)
        FV_TRY(fv_bench_check_plot(o->plot));
    if (o->ladder)
        FV_TRY(fv_reasons_read(&o->reasons, o->ladder));
    FV_TRY(o->from ? fv_bench_read(record, o->from) : measure(o, argc, argv, record));
    return show(o, record);
}

int fv_command_bench(int argc, char **argv) {
    fv_bench_options o;
    fv_bench_record record = {0};
    fv_bench_options_parse(argc, argv, &o);
    const fv_status status = bench(&o, argc, argv, &record);
    const bool good = o.compare || o.from || is_good(&record);
    fv_bench_options_release(&o);
    fv_bench_record_release(&record);
    if (status != FV_OK)
        return fv_report("bench", status);
    return fv_caught_signal() ? 128 + fv_caught_signal() : good ? FV_EXIT_GOOD : FV_EXIT_FAILED;
}
