/* fovea bench: how long every variant takes, beside the vendor's best and the chip's limit; and what is made of records. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/bench.h"
#include "cli/bench_ladder.h"
#include "cli/filter.h"
#include "cli/signals.h"
#include "measure/bench.h"

enum { MOST_SUITES = 32 };

typedef struct options {
    const char *backend; /* NULL: auto */
    const char *against; /* NULL: the vendor's library beside that backend; "none" */
    fv_filter filter;
    fv_protocol protocol;
    const char *suites[MOST_SUITES];
    int suite_count;
    char **words; /* the arguments that describe cases, or the second record of a comparison */
    int word_count;
    fv_case_list cases;
    const char *sweep;
    uint64_t seed;
    int threads;
    bool measure_ceilings;
    bool resume; /* what an earlier run has left in the file `out` */
    fv_format format;
    const char *out, *plot, *ladder; /* files; NULL: none */
    fv_reasons reasons;              /* what the last one says */
    const char *compare, *from;      /* records to be read instead of measuring */
} options;

enum {
    KEY_SUITE = 256,
    KEY_SWEEP,
    KEY_SAMPLES,
    KEY_LEAST,
    KEY_MOST,
    KEY_NOISE,
    KEY_WARM,
    KEY_SEED,
    KEY_THREADS,
    KEY_CEILINGS,
    KEY_FORMAT,
    KEY_OUT,
    KEY_RESUME,
    KEY_PLOT,
    KEY_COMPARE,
    KEY_FROM,
    KEY_LADDER,
};

static const struct argp_option option_table[] = {
    {"backend", 'b', "NAME", 0, "whose kernels to time (default: auto)", 0},
    {"against", 'a', "NAME", 0,
     "the backend whose best is compared with, or none (default: cudnn for cuda, reference for onednn)", 0},
    {"suite", KEY_SUITE, "NAME", 0, "a list of layers: digits, resnet, mobilenet, ... or all; may be repeated", 0},
    {"cases", 'c', "FILE", 0,
     "operations to time, one per line: Fovea's text, benchdnn's descriptors or MIOpenDriver's commands; - reads "
     "standard input",
     0},
    {"sweep", KEY_SWEEP, "KEYS=RANGE", 0,
     "each case as a series: n=1:256:x2 for n=1, 2, 4, ... 256; c,k=16:128:+16 for both together", 0},
    {"samples", KEY_SAMPLES, "N", 0, "at least so many samples (default 10)", 1},
    {"least", KEY_LEAST, "SECONDS", 0, "sample at least so long (default 0.5)", 1},
    {"noise", KEY_NOISE, "PERCENT", 0, "sample until the spread is below this (default 0.5),", 1},
    {"most", KEY_MOST, "SECONDS", 0, "but no longer than this (default 3)", 1},
    {"warm", KEY_WARM, NULL, 0, "leave the caches as the run before left them (default: overwrite them)", 1},
    {"measure-ceilings", KEY_CEILINGS, NULL, 0, "measure the chip's limits anew (default: once per device)", 1},
    {"seed", KEY_SEED, "N", 0, "of the data (default 1)", 1},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default: all)", 1},
    {"format", KEY_FORMAT, "NAME", 0, "table (default), json, csv or markdown", 2},
    {"out", KEY_OUT, "FILE", 0, "write the record to a file, as JSON: after each variant what there is", 2},
    {"resume", KEY_RESUME, NULL, 0, "go on behind the last variant in the file that --out names, if it is there", 2},
    {"plot", KEY_PLOT, "FILE", 0, "draw a roofline and the ratios by gnuplot, to FILE.svg or FILE.png", 2},
    {"from", KEY_FROM, "FILE", 0, "show a record that --out wrote; nothing is timed", 3},
    {"compare", KEY_COMPARE, "OLD NEW", 0, "show two such records side by side", 3},
    {"ladder", KEY_LADDER, "FILE", 0, "show each family's variants with the reasons in FILE, as Markdown", 3},
    {0},
};

static void parse_protocol(int key, const char *text, const struct argp_state *state, fv_protocol *protocol) {
    if (key == KEY_SAMPLES)
        protocol->samples = fv_option_count(state, "samples", text, 1, 100000);
    else if (key == KEY_LEAST)
        protocol->least = fv_option_positive(state, "least", text, 3600);
    else if (key == KEY_MOST)
        protocol->most = fv_option_positive(state, "most", text, 3600);
    else if (key == KEY_NOISE)
        protocol->noise = fv_option_positive(state, "noise", text, 100) / 100;
    else
        protocol->warm = true;
}

static void add_suite(options *o, const char *name, const struct argp_state *state) {
    if (o->suite_count == MOST_SUITES)
        argp_failure(state, FV_EXIT_USAGE, 0, "--suite=%s: more than %d suites", name, MOST_SUITES);
    fv_option_require(state, fv_cases_add_suite(&o->cases, name));
    o->suites[o->suite_count++] = name;
}

static error_t parse_option(int key, char *text, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->filter;
        break;
    case 'b':
        o->backend = text;
        break;
    case 'a':
        o->against = text;
        break;
    case KEY_SUITE:
        add_suite(o, text, state);
        break;
    case 'c':
        fv_option_require(state, fv_cases_read(&o->cases, text));
        break;
    case KEY_SWEEP:
        o->sweep = text;
        break;
    case KEY_SAMPLES:
    case KEY_LEAST:
    case KEY_MOST:
    case KEY_NOISE:
    case KEY_WARM:
        parse_protocol(key, text, state, &o->protocol);
        break;
    case KEY_SEED:
        o->seed = (uint64_t)fv_option_count(state, "seed", text, 0, INT64_MAX);
        break;
    case KEY_THREADS:
        o->threads = (int)fv_option_count(state, "threads", text, 1, 1024);
        break;
    case KEY_CEILINGS:
        o->measure_ceilings = true;
        break;
    case KEY_FORMAT:
        o->format = (fv_format)fv_option_format(state, text, NULL);
        break;
    case KEY_OUT:
        o->out = text;
        break;
    case KEY_RESUME:
        o->resume = true;
        break;
    case KEY_PLOT:
        o->plot = text;
        break;
    case KEY_COMPARE:
        o->compare = text;
        break;
    case KEY_FROM:
        o->from = text;
        break;
    case KEY_LADDER:
        o->ladder = text;
        break;
    case ARGP_KEY_ARGS:
        o->words = state->argv + state->next;
        o->word_count = state->argc - state->next;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&fv_filter_argp, 0, NULL, 0}, {0}};

static const struct argp parser = {
    option_table,
    parse_option,
    "[CASE...]",
    "Time every variant of a backend on every case and pass, beside the best that another backend can do and the "
    "chip's limit. Without cases, small ones of every operation."
    "\vA CASE is an operation in Fovea's text, quoted or not:\n\n"
    "  fovea bench conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 pad=1\n\n"
    "Each variant is run once and its result compared with the reference; one that is wrong is shown as wrong, and not "
    "timed. Of the other backend every implementation that computes in the case's data type is timed, and the fastest "
    "is compared with. The floor is what the chip's measured rates of copying and multiplying allow. A time is the "
    "median; two differ if their 95 % confidence intervals do not overlap. Large problems are compared in parts, which "
    "the record tells.\n\n"
    "The exit status is 0 if everything that was timed is right, 1 if something was wrong or nothing was timed, 2 for "
    "bad input. Ctrl-C stops after the current variant and reports what was timed.",
    children,
    NULL,
    NULL};

/* ---- what the loop asks ---- */

typedef struct benching {
    const options *options;
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

static fv_status gather_cases(options *o, fv_bench_record *record) {
    FV_TRY(fv_cases_add_words(&o->cases, o->words, o->word_count));
    if (o->cases.count == 0 && o->cases.left_out == 0)
        FV_TRY(fv_cases_add_suite(&o->cases, "small"));
    if (o->sweep)
        FV_TRY(fv_cases_sweep(&o->cases, o->sweep, record->sweep));
    fv_say_left_out("bench", &o->cases);
    return FV_OK;
}

/* The backend that is compared with, if any: the vendor's where none was named and it is here. */
static fv_status open_rival(const options *o, const fv_context *context, fv_context **rival) {
    const fv_context_options context_options = {.threads = o->threads, .seed = o->seed};
    const char *backend = fv_context_backend(context), *name = o->against;
    if (!name)
        name = !strcmp(backend, "cuda") ? "cudnn" : !strcmp(backend, "onednn") ? "reference" : "none";
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

static void describe_run(const options *o, int argc, char **argv, const fv_context *context, const fv_context *rival,
                         fv_bench_record *record) {
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

static fv_status measure(options *o, int argc, char **argv, fv_bench_record *record) {
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
static fv_status show(const options *o, const fv_bench_record *record) {
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

static fv_status refuse_with_records(const options *o) {
    if (o->compare && o->from)
        return fv_fail(FV_BAD_INPUT, "--compare and --from: expected one of them");
    if (o->compare && o->word_count != 1)
        return fv_fail(FV_BAD_INPUT, "--compare=%s: expected one more record, as in --compare OLD.json NEW.json",
                       o->compare);
    if (o->from && o->word_count)
        return fv_fail(FV_BAD_INPUT, "--from=%s: unexpected argument '%s': a record is shown as it is", o->from,
                       o->words[0]);
    if (o->suite_count || o->cases.count || o->sweep || o->backend || o->against)
        return fv_fail(FV_BAD_INPUT, "--%s: a record is shown as it is: choose no cases and no backend",
                       o->compare ? "compare" : "from");
    const fv_filter all = fv_filter_all();
    if (o->filter.kinds != all.kinds || o->filter.passes != all.passes || o->filter.dtype != all.dtype ||
        o->filter.kernel)
        return fv_fail(FV_BAD_INPUT, "--%s: a record is shown as it is: choose no operations and no kernels",
                       o->compare ? "compare" : "from");
    if (o->resume)
        return fv_fail(FV_BAD_INPUT, "--resume: a record is shown as it is: nothing is measured");
    if (o->compare && (o->out || o->plot || o->ladder))
        return fv_fail(FV_BAD_INPUT, "--compare takes no --out, --plot or --ladder");
    return FV_OK;
}

static fv_status bench(options *o, int argc, char **argv, fv_bench_record *record) {
    if (o->compare || o->from)
        FV_TRY(refuse_with_records(o));
    if (o->compare)
        return fv_bench_compare(o->compare, o->words[0], o->format);
    if (o->resume && !o->out)
        return fv_fail(FV_BAD_INPUT, "--resume needs --out FILE: the record to go on with");
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
    options o = {.filter = fv_filter_all(), .protocol = fv_protocol_default(), .seed = 1};
    fv_bench_record record = {0};
    fv_parse_arguments(&parser, "fovea bench", argc, argv, &o);
    const fv_status status = bench(&o, argc, argv, &record);
    const bool good = o.compare || o.from || is_good(&record);
    fv_cases_release(&o.cases);
    fv_reasons_release(&o.reasons);
    fv_bench_record_release(&record);
    if (status != FV_OK)
        return fv_report("bench", status);
    return fv_caught_signal() ? 128 + fv_caught_signal() : good ? FV_EXIT_GOOD : FV_EXIT_FAILED;
}
