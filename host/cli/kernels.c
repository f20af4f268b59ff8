/* fovea kernels: lists the kernel table of every backend in the build. No device is opened. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/table.h"

typedef struct arguments {
    const fv_backend *backend; /* NULL: all */
    fv_filter filter;
    fv_format format;
} arguments;

enum { KEY_FORMAT = 256 };

static const struct argp_option option_table[] = {
    {"backend", 'b', "NAME", 0, "only of this backend: cuda, cudnn, onednn, emulated or reference", 0},
    {"format", KEY_FORMAT, "NAME", 0, "table (default), json, csv or markdown", 0},
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
    case ARGP_KEY_ARG:
        argp_failure(state, FV_EXIT_USAGE, 0, "unexpected argument '%s': fovea kernels takes options only", text);
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
    NULL,
    "List the kernels of every backend in this build, whether or not their device is here."
    "\vWithin an operation and pass of a backend, the first kernel that can do the case at hand is the one that runs, "
    "but for those that are never chosen: they are yardsticks for fovea check and fovea bench. "
    "A kernel that is not deterministic may give other bits on every run. Tensors that it omits are neither read nor "
    "written. Where a formula is given for its workspace, the letters are the operation's: n, c, h, w, k, p, q and, "
    "for the filter, r, s.\n\nThe exit status is 1 if no kernel matches.",
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

static void append_kernel(fv_table *table, const fv_backend *backend, const fv_kernel *kernel) {
    char needs[32] = "NVIDIA GPU", omits[256];
    if (backend->host_memory)
        snprintf(needs, sizeof needs, "CPU");
    else if (kernel->min_capability)
        snprintf(needs, sizeof needs, "sm_%d or later", kernel->min_capability);
    list_roles(kernel->omits, omits, sizeof omits);
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

int fv_command_kernels(int argc, char **argv) {
    arguments a = {.filter = fv_filter_all(), .format = FV_FORMAT_TABLE};
    fv_parse_arguments(&parser, "fovea kernels", argc, argv, &a);
    fv_table table;
    fv_table_begin(&table, columns, COLUMNS);
    int kernels = 0, backends = 0;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        const int count = !a.backend || a.backend == *backend ? append_backend(&table, *backend, &a.filter) : 0;
        kernels += count;
        backends += count > 0;
    }
    const fv_status status = kernels ? fv_table_print(&table, a.format) : FV_OK;
    fv_table_release(&table);
    if (!kernels)
        return refuse_nothing(argc, argv);
    if (status != FV_OK)
        return fv_report("kernels", status);
    if (a.format == FV_FORMAT_TABLE)
        fv_say("\n%d kernel%s in %d backend%s\n", kernels, kernels == 1 ? "" : "s", backends, backends == 1 ? "" : "s");
    return FV_EXIT_GOOD;
}
