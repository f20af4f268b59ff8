/* The options of fovea bench. */
#include "cli/bench_options.h"

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/cli.h"

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
    {"against", 'a', "NAME", 0, "the backend whose best is compared with, or none (default: cudnn for cuda, else none)",
     0},
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

static error_t parse_option(int key, char *text, struct argp_state *state) {
    fv_bench_options *o = state->input;
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
        fv_option_require(state, fv_cases_add_suite(&o->cases, text));
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

/* A record that is read is neither measured nor cut down. */
static fv_status check_for_records(const fv_bench_options *o) {
    if (o->compare && o->from)
        return fv_fail(FV_BAD_INPUT, "--compare and --from: expected one of them");
    if (o->compare && o->word_count != 1)
        return fv_fail(FV_BAD_INPUT, "--compare=%s: expected one more record, as in --compare OLD.json NEW.json",
                       o->compare);
    if (o->from && o->word_count)
        return fv_fail(FV_BAD_INPUT, "--from=%s: unexpected argument '%s': a record is shown as it is", o->from,
                       o->words[0]);
    if (o->cases.count || o->sweep || o->backend || o->against)
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

fv_status fv_bench_options_check(const fv_bench_options *o) {
    if (o->compare || o->from)
        return check_for_records(o);
    if (o->resume && !o->out)
        return fv_fail(FV_BAD_INPUT, "--resume needs --out FILE: the record to go on with");
    return FV_OK;
}

void fv_bench_options_parse(int argc, char **argv, fv_bench_options *options) {
    *options = (fv_bench_options){.filter = fv_filter_all(), .protocol = fv_protocol_default(), .seed = 1};
    fv_parse_arguments(&parser, "fovea bench", argc, argv, options);
}

void fv_bench_options_release(fv_bench_options *options) {
    fv_cases_release(&options->cases);
    fv_reasons_release(&options->reasons);
}
