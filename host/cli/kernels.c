/* fovea kernels: lists the kernel table of every backend in the build, for which no device is opened; or, of one backend,
 * what there is for a case (kernels_choice.c). */
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/kernels.h"
#include "ops/op.h"

typedef struct arguments {
    const fv_backend *backend; /* NULL: all, or for cases the one that "auto" means */
    fv_filter filter;
    fv_format format;
    bool tune;
    char **words; /* of cases */
    int word_count;
} arguments;

enum { KEY_FORMAT = 256, KEY_TUNE };

static const struct argp_option option_table[] = {
    {"backend", 'b', "NAME", 0, "only of this backend: cuda, cudnn, onednn, emulated or reference", 0},
    {"format", KEY_FORMAT, "NAME", 0, "table (default), json, csv or markdown", 0},
    {"tune", KEY_TUNE, NULL, 0, "measure those that can do the case, and remember the fastest for it", 0},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->filter;
        break;
    case 'b':
        a->backend = fv_option_backend(state, text);
        break;
    case KEY_FORMAT:
        a->format = (fv_format)fv_option_format(state, text, NULL);
        break;
    case KEY_TUNE:
        a->tune = true;
        break;
    case ARGP_KEY_ARGS:
        a->words = state->argv + state->next;
        a->word_count = state->argc - state->next;
        break;
    case ARGP_KEY_END:
        if (a->tune && a->word_count == 0)
            argp_failure(state, FV_EXIT_USAGE, 0, "--tune: expected a case to measure");
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
    "List the kernels of every backend in this build, whether or not their device is here; with a case, those of one "
    "backend for it, and which of them runs."
    "\vA CASE is an operation in Fovea's text, quoted or not:\n\n"
    "  fovea kernels conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 pad=1\n\n"
    "Of the kernels of a backend that can do an operation, the one runs that was measured to be the fastest here, by "
    "--tune of this command or of fovea train; where none was, the one that is expected to be the fastest; and where "
    "nothing is expected, the first in the table. What is expected without a GPU is what an H200 would take. "
    "Yardsticks "
    "for fovea check and fovea bench are never chosen. "
    "A kernel that is not deterministic may give other bits on every run. Tensors that it omits are neither read nor "
    "written. Where a formula is given for its workspace, the letters are the operation's: n, c, h, w, k, p, q and, "
    "for the filter, r, s.\n\nMeasurements are kept in $XDG_CACHE_HOME/fovea/selection.json (~/.cache/fovea), by "
    "device "
    "and operation; those of another build of Fovea do not count. The exit status is 1 if no kernel matches.",
    children,
    NULL,
    NULL};

static const fv_column columns[] = {
    {"backend", "backend", FV_CELL_TEXT, 0},
    {"operation", "operation", FV_CELL_TEXT, 0},
    {"pass", "pass", FV_CELL_TEXT, 0},
    {"dtype", "dtype", FV_CELL_TEXT, 0},
    {"kernel", "kernel", FV_CELL_TEXT, 0},
    {"layout", "layout", FV_CELL_TEXT, 0},
    {"needs", "needs", FV_CELL_TEXT, 0},
    {"chosen", "chosen", FV_CELL_YES_NO, 0},
    {"deterministic", "deterministic", FV_CELL_YES_NO, 0},
    {"omits", "omits", FV_CELL_TEXT, 0},
    {"arithmetic", "arithmetic", FV_CELL_TEXT, 0},
    {"workspace", "workspace", FV_CELL_TEXT, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* The names of a set of roles, separated by blanks. */
static void list_roles(uint64_t roles, char *text, size_t size) {
    text[0] = '\0';
    for (int role = 0; role < FV_ROLES; ++role)
        if (roles >> role & 1)
            fv_append(text, size, "%s%s", *text ? " " : "", fv_role_name((fv_role)role));
}

/* What a row says of its arithmetic on any operation. That of a row that prepares depends on what it then finds. */
static void describe_arithmetic(const fv_kernel *kernel, char *text, size_t size) {
    fv_operation op;
    fv_numerics numerics = {0};
    if (kernel->numerics && !kernel->prepare && fv_operation_parse(fv_op_info_of(kernel->kind)->example, &op) == FV_OK)
        kernel->numerics(&op, NULL, &numerics);
    snprintf(text, size, "%s", numerics.description);
}

static void append_kernel(fv_table *table, const fv_backend *backend, const fv_kernel *kernel) {
    char needs[32] = "NVIDIA GPU", omits[256], arithmetic[128];
    if (backend->host_memory)
        snprintf(needs, sizeof needs, "CPU");
    else if (kernel->min_capability)
        snprintf(needs, sizeof needs, "sm_%d or later", kernel->min_capability);
    list_roles(kernel->omits, omits, sizeof omits);
    describe_arithmetic(kernel, arithmetic, sizeof arithmetic);
    fv_table_text(table, backend->name);
    fv_table_text(table, fv_kind_name(kernel->kind));
    fv_table_text(table, fv_pass_name(kernel->pass));
    fv_table_text(table, fv_dtype_name(kernel->dtype));
    fv_table_text(table, kernel->name);
    fv_table_text(table, kernel->layout == FV_NCHW ? "nchw" : "nhwc");
    fv_table_text(table, needs);
    fv_table_yes_no(table, !kernel->on_request);
    fv_table_yes_no(table, kernel->deterministic);
    fv_table_text(table, omits);
    fv_table_text(table, arithmetic);
    fv_table_text(table, kernel->workspace_rule ? kernel->workspace_rule : "none");
}

/* Appends the backend's kernels that pass the filter; returns their number. */
static int append_backend(fv_table *table, const fv_backend *backend, const fv_filter *filter) {
    int count = 0;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
        if (fv_filter_matches(filter, kernel)) {
            append_kernel(table, backend, kernel);
            ++count;
        }
    return count;
}

static int refuse_nothing(int argc, char **argv) {
    fprintf(stderr, "fovea kernels: no kernel matches");
    for (int i = 1; i < argc; ++i)
        fprintf(stderr, " %s", argv[i]);
    fprintf(stderr, "\n");
    return FV_EXIT_FAILED;
}

static void on_notice(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "fovea kernels: %s\n", line);
}

/* *listed: how many kernels there were. */
static fv_status say_choices(const arguments *a, int *listed) {
    const fv_context_options options = {.tune = a->tune};
    fv_case_list cases = {0};
    fv_kernels_request request = {.cases = &cases, .filter = a->filter, .format = a->format};
    fv_status status = fv_cases_add_words(&cases, a->words, a->word_count);
    if (status == FV_OK)
        status = fv_context_create(a->backend ? a->backend->name : "auto", &options, &request.context);
    if (status == FV_OK) {
        fv_context_on_notice(request.context, on_notice, NULL);
        status = fv_kernels_say_choices(&request);
    }
    fv_context_destroy(request.context);
    fv_cases_release(&cases);
    *listed = request.listed;
    return status;
}

static fv_status say_all(const arguments *a, int *listed) {
    fv_table table;
    fv_table_begin(&table, columns, COLUMNS);
    int backends = 0;
    *listed = 0;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        const int count = !a->backend || a->backend == *backend ? append_backend(&table, *backend, &a->filter) : 0;
        *listed += count;
        backends += count > 0;
    }
    const fv_status status = *listed ? fv_table_print(&table, a->format) : FV_OK;
    fv_table_release(&table);
    if (status == FV_OK && *listed && a->format == FV_FORMAT_TABLE)
        fv_say("\n%d kernel%s in %d backend%s\n", *listed, *listed == 1 ? "" : "s", backends, backends == 1 ? "" : "s");
    return status;
}

int fv_command_kernels(int argc, char **argv) {
    arguments a = {.filter = fv_filter_all(), .format = FV_FORMAT_TABLE};
    fv_parse_arguments(&parser, "fovea kernels", argc, argv, &a);
    int listed = 0;
    const fv_status status = a.word_count ? say_choices(&a, &listed) : say_all(&a, &listed);
    if (status != FV_OK)
        return fv_report("kernels", status);
    return listed ? FV_EXIT_GOOD : refuse_nothing(argc, argv);
}
