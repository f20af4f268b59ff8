/* fovea check: every kernel on every case, against the reference and other libraries. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backends/emulated/emulated.h"
#include "base/error.h"
#include "cli/arguments.h"
#include "cli/check.h"
#include "cli/signals.h"

enum { KEY_FILL = 256, KEY_ORDER, KEY_SEED, KEY_THREADS, KEY_FORMAT, KEY_SELF_TEST };

static const struct argp_option option_table[] = {
    {"backend", 'b', "NAME", 0, "whose kernels to check (default: cuda if there is a device, else emulated)", 0},
    {"against", 'a', "NAMES", 0,
     "backends for a second opinion, with commas between, or none (default: cudnn for cuda, onednn for emulated); the "
     "reference is always asked",
     0},
    {"fill", KEY_FILL, "FILL", 0, "only the exact or the bounded comparison", 0},
    {"cases", 'c', "FILE", 0,
     "operations to check on, one per line: Fovea's text, benchdnn's descriptors or MIOpenDriver's commands; - reads "
     "standard input",
     0},
    {"random", 'r', "N", 0, "N random operations, at or near the corners of what there can be", 0},
    {"seed", KEY_SEED, "N", 0, "of the data, the random operations and the random thread order (default 1)", 0},
    {"order", KEY_ORDER, "ORDER", 0,
     "in which the emulator takes the threads: forward, reverse, random, or varied from run to run (default)", 0},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default: all)", 0},
    {"format", KEY_FORMAT, "NAME", 0, "table (default), json, csv, markdown or junit", 0},
    {"self-test", KEY_SELF_TEST, NULL, 0, "check the checker: plant faults and see that each is caught", 0},
    {0},
};

static void choose_fill(const struct argp_state *state, const char *text, fv_check_options *o) {
    const char *names[FV_FILLS];
    for (fv_fill fill = 0; fill < FV_FILLS; ++fill) {
        names[fill] = fv_fill_name(fill);
        o->fills[fill] = false;
    }
    o->fills[fv_option_choice(state, "fill", text, names, FV_FILLS)] = true;
}

static error_t parse_option(int key, char *text, struct argp_state *state) {
    fv_check_options *o = state->input;
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
    case KEY_FILL:
        choose_fill(state, text, o);
        break;
    case 'c':
        fv_option_require(state, fv_cases_read(&o->cases, text));
        o->builtin = false;
        break;
    case 'r':
        o->random = fv_option_count(state, "random", text, 1, 1000000);
        o->builtin = false;
        break;
    case KEY_SEED:
        o->seed = (uint64_t)fv_option_count(state, "seed", text, 0, INT64_MAX);
        break;
    case KEY_ORDER:
        o->order = fv_option_choice(state, "order", text, fv_order_names, FV_ORDER_VARIED + 1);
        break;
    case KEY_THREADS:
        o->threads = (int)fv_option_count(state, "threads", text, 1, 1024);
        break;
    case KEY_FORMAT:
        o->format = fv_option_format(state, text, "junit");
        break;
    case KEY_SELF_TEST:
        o->self_test = true;
        break;
    case ARGP_KEY_ARGS:
        o->words = state->argv + state->next;
        o->word_count = state->argc - state->next;
        o->builtin = false;
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
    "Run every kernel of a backend on every case, exactly on integers and within a derived error bound on reals, and "
    "compare with the double-precision reference and another library. Without cases, the built-in corner cases."
    "\vA CASE is an operation in Fovea's text, quoted or not:\n\n"
    "  fovea check conv2d n=2 c=3 h=7 w=6 k=4 kernel=3x3 pad=1\n\n"
    "Kernels of every data type run it, whatever dtype= it has; --dtype picks one. "
    "Each kernel runs twice; outputs are poisoned and every buffer lies between guard bands. A failure comes with the "
    "first wrong elements, a map of where they lie, the outlier among the three opinions, and the command that "
    "reproduces it. The worst error is given as a share of its bound.\n\n"
    "The exit status is 0 if everything passed, 1 if something failed or nothing was compared, 2 for bad input. Ctrl-C "
    "stops after the current case and reports what was checked.",
    children,
    NULL,
    NULL};

/* ---- what the survey asks ---- */

typedef struct checking {
    const fv_check_options *options;
    fv_report_sink sink;
} checking;

static bool selects(void *user, const fv_kernel *kernel) {
    return fv_filter_matches(&((checking *)user)->options->filter, kernel);
}

/* Known before it runs, in case that the program does not survive it. */
static void on_begin(void *user, const fv_finding *finding) {
    char replay[FV_REPLAY_SIZE];
    fv_replay_line(((checking *)user)->options, finding, replay);
    fv_now_running(replay);
}

static void on_finding(void *user, const fv_finding *finding) {
    fv_report_finding(&((checking *)user)->sink, finding);
}

static bool on_case(void *user, int64_t done, int64_t all) {
    fv_progress_draw(&((checking *)user)->sink.progress, done, all, "cases");
    return !fv_caught_signal();
}

/* ---- backends ---- */

static fv_status open_backend(const fv_check_options *o, fv_context **context) {
    const fv_context_options options = {.threads = o->threads,
                                        .thread_order = o->order < 0 ? FV_ORDER_VARIED : (fv_thread_order)o->order,
                                        .seed = o->seed};
    if (o->backend)
        return fv_context_create(o->backend, &options, context);
    const fv_status status = fv_context_create("cuda", &options, context);
    return status == FV_UNSUPPORTED ? fv_context_create("emulated", &options, context) : status;
}

static fv_status add_witness(const fv_check_options *o, const char *name, fv_survey *survey) {
    /* The emulator's order as in a witness's replay line, where it is the backend that is checked. */
    const fv_context_options options = {.threads = o->threads, .thread_order = FV_ORDER_VARIED, .seed = o->seed};
    if (survey->witnesses == FV_MAX_WITNESSES)
        return fv_fail(FV_BAD_INPUT, "--against=%s: more than %d backends", o->against, FV_MAX_WITNESSES);
    FV_TRY(fv_context_create(name, &options, &survey->witness[survey->witnesses].context));
    ++survey->witnesses;
    return FV_OK;
}

/* The vendor's library for the same device, if it is here. */
static fv_status add_vendor(const fv_check_options *o, fv_survey *survey) {
    const char *backend = fv_context_backend(survey->context);
    const char *vendor = !strcmp(backend, "cuda") ? "cudnn" : !strcmp(backend, "emulated") ? "onednn" : NULL;
    if (!vendor)
        return FV_OK;
    const fv_status status = add_witness(o, vendor, survey);
    return status == FV_UNSUPPORTED ? FV_OK : status;
}

/* That the last witness adds an opinion. It is compared by the backend's own name: what was asked for may be "auto". */
static fv_status require_new(const fv_check_options *o, const fv_survey *survey) {
    const char *name = fv_context_backend(survey->witness[survey->witnesses - 1].context);
    if (!strcmp(name, fv_context_backend(survey->context)))
        return fv_fail(FV_BAD_INPUT, "--against=%s: %s is what is being checked", o->against, name);
    for (int i = 0; i < survey->witnesses - 1; ++i)
        if (!strcmp(name, fv_context_backend(survey->witness[i].context)))
            return fv_fail(FV_BAD_INPUT, "--against=%s: %s is named twice", o->against, name);
    return FV_OK;
}

static fv_status add_witnesses(const fv_check_options *o, fv_survey *survey) {
    if (!o->against)
        return add_vendor(o, survey);
    char names[256], *rest = names;
    if (snprintf(names, sizeof names, "%s", o->against) >= (int)sizeof names)
        return fv_fail(FV_BAD_INPUT, "--against: more than %zu characters", sizeof names - 1);
    for (const char *name; (name = strsep(&rest, ","));) {
        if (!strcmp(name, "reference") || !strcmp(name, "none"))
            continue; /* it is asked in any case */
        FV_TRY(add_witness(o, name, survey));
        FV_TRY(require_new(o, survey));
    }
    return FV_OK;
}

/* ---- cases ---- */

/* The operations of the kernels to be checked. */
static unsigned kinds_of(const checking *c, const fv_backend *backend) {
    unsigned kinds = 0;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
        if (fv_filter_matches(&c->options->filter, kernel))
            kinds |= 1u << kernel->kind;
    return kinds;
}

/* The built-in cases, as far as there are kernels for them. */
static fv_status add_builtin(fv_case_list *cases, unsigned kinds) {
    fv_case_list all = {0};
    fv_status status = fv_cases_add_builtin(&all);
    for (int64_t i = 0; i < all.count && status == FV_OK; ++i)
        if (kinds >> all.items[i].op.kind & 1)
            status = fv_cases_add(cases, &all.items[i].op, all.items[i].passes);
    fv_cases_release(&all);
    return status;
}

static fv_status gather_cases(fv_check_options *o, const checking *c, const fv_context *context) {
    const unsigned kinds = kinds_of(c, context->backend);
    FV_TRY(fv_cases_add_words(&o->cases, o->words, o->word_count));
    if (o->builtin)
        FV_TRY(add_builtin(&o->cases, kinds));
    for (int64_t i = 0; kinds && i < o->random; ++i) {
        const fv_operation op = fv_random_case(o->seed, (uint64_t)i, kinds);
        FV_TRY(fv_cases_add(&o->cases, &op, FV_ALL_PASSES));
    }
    fv_say_left_out("check", &o->cases);
    return FV_OK;
}

/* ---- the command ---- */

static fv_status refuse_with_self_test(const fv_check_options *o) {
    if (!o->builtin)
        return fv_fail(FV_BAD_INPUT, "--self-test brings its own cases: give none");
    const fv_filter all = fv_filter_all(), *given = &o->filter;
    if (given->kernel || given->dtype != all.dtype || given->kinds != all.kinds || given->passes != all.passes)
        return fv_fail(FV_BAD_INPUT, "--self-test brings its own kernels: choose none");
    if (o->against || o->order >= 0 || !o->fills[FV_EXACT] || !o->fills[FV_BOUNDED])
        return fv_fail(FV_BAD_INPUT, "--self-test takes no --against, --order or --fill");
    if (o->format == FV_FORMAT_JUNIT)
        return fv_fail(FV_BAD_INPUT, "--self-test has no junit report: expected table, json, csv or markdown");
    return FV_OK;
}

static fv_status check(fv_check_options *o, bool *good) {
    checking c = {.options = o};
    fv_survey survey = {.cases = &o->cases,
                        .fills = {o->fills[FV_EXACT], o->fills[FV_BOUNDED]},
                        .seed = o->seed,
                        .selects = selects,
                        .on_begin = on_begin,
                        .on_finding = on_finding,
                        .on_case = on_case,
                        .user = &c};
    fv_status status;
    FV_TRY_GOTO(status, fv_report_begin(&c.sink, o), done);
    FV_TRY_GOTO(status, open_backend(o, &survey.context), done);
    if (o->self_test) {
        FV_TRY_GOTO(status, refuse_with_self_test(o), done);
        FV_TRY_GOTO(status, fv_check_self_test(survey.context, o, good), done);
        goto done;
    }
    if (o->order >= 0 && strcmp(fv_context_backend(survey.context), "emulated"))
        FV_TRY_GOTO(status,
                    fv_fail(FV_BAD_INPUT, "--order=%s: only the emulated backend has an order of threads, not %s",
                            fv_order_names[o->order], fv_context_backend(survey.context)),
                    done);
    FV_TRY_GOTO(status, add_witnesses(o, &survey), done);
    FV_TRY_GOTO(status, gather_cases(o, &c, survey.context), done);
    fv_catch_signals(); /* before the head, whose appearance tells others that the check has begun */
    fv_catch_crashes();
    fv_report_head(&c.sink, &survey);
    FV_TRY_GOTO(status, fv_survey_run(&survey), done);
    fv_now_running("");
    FV_TRY_GOTO(status, fv_report_survey(&c.sink, &survey, good), done);
done:
    fv_report_end(&c.sink);
    fv_survey_end(&survey);
    for (int i = 0; i < survey.witnesses; ++i)
        fv_context_destroy(survey.witness[i].context);
    fv_context_destroy(survey.context);
    return status;
}

int fv_command_check(int argc, char **argv) {
    fv_check_options options = {
        .filter = fv_filter_all(), .fills = {true, true}, .builtin = true, .seed = 1, .order = -1};
    bool good = false;
    fv_parse_arguments(&parser, "fovea check", argc, argv, &options);
    const fv_status status = check(&options, &good);
    fv_cases_release(&options.cases);
    if (status != FV_OK)
        return fv_report("check", status);
    return fv_caught_signal() ? 128 + fv_caught_signal() : good ? FV_EXIT_GOOD : FV_EXIT_FAILED;
}
