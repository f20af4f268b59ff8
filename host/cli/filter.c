#include <fnmatch.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/filter.h"

fv_filter fv_filter_all(void) {
    return (fv_filter){.kinds = (1u << FV_KINDS) - 1, .passes = (1u << FV_PASSES) - 1, .dtype = -1};
}

bool fv_filter_matches(const fv_filter *filter, const fv_kernel *kernel) {
    return (filter->kinds >> kernel->kind & 1) && (filter->passes >> kernel->pass & 1) &&
           (filter->dtype < 0 || filter->dtype == (int)kernel->dtype) &&
           (!filter->kernel || fnmatch(filter->kernel, kernel->name, 0) == 0);
}

static void narrow_op(const struct argp_state *state, const char *text, fv_filter *filter) {
    const char *names[FV_KINDS];
    for (int i = 0; i < FV_KINDS; ++i)
        names[i] = fv_kind_name((fv_kind)i);
    filter->kinds = 1u << fv_option_choice(state, "op", text, names, FV_KINDS);
}

static void narrow_pass(const struct argp_state *state, const char *text, fv_filter *filter) {
    const char *names[FV_PASSES];
    for (int i = 0; i < FV_PASSES; ++i)
        names[i] = fv_pass_name((fv_pass)i);
    filter->passes = 1u << fv_option_choice(state, "pass", text, names, FV_PASSES);
}

/* Bit set of the dtypes that kernels of this build have: others are of indices and images only. */
static unsigned dtypes_of_kernels(void) {
    unsigned dtypes = 0;
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend) {
        fv_kernel_cursor cursor = {0};
        for (const fv_kernel *kernel; (kernel = fv_kernel_next(*backend, &cursor));)
            dtypes |= 1u << kernel->dtype;
    }
    return dtypes;
}

static void narrow_dtype(const struct argp_state *state, const char *text, fv_filter *filter) {
    const unsigned present = dtypes_of_kernels();
    const char *names[FV_DTYPES];
    fv_dtype dtypes[FV_DTYPES];
    int count = 0;
    for (int i = 0; i < FV_DTYPES; ++i)
        if (present >> i & 1) {
            dtypes[count] = (fv_dtype)i;
            names[count++] = fv_dtype_name((fv_dtype)i);
        }
    filter->dtype = (int)dtypes[fv_option_choice(state, "dtype", text, names, count)];
}

enum { KEY_OP = 256, KEY_PASS, KEY_DTYPE, KEY_KERNEL };

static const struct argp_option option_table[] = {
    {"op", KEY_OP, "KIND", 0, "only kernels of this operation, such as conv2d", 0},
    {"pass", KEY_PASS, "PASS", 0, "only forward, backward_data or backward_weights", 0},
    {"dtype", KEY_DTYPE, "DTYPE", 0, "only kernels of this data type, such as f32", 0},
    {"kernel", KEY_KERNEL, "PATTERN", 0, "only kernels with such a name; * and ? stand for any letters and any one", 0},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state) {
    fv_filter *filter = state->input;
    switch (key) {
    case KEY_OP:
        narrow_op(state, text, filter);
        break;
    case KEY_PASS:
        narrow_pass(state, text, filter);
        break;
    case KEY_DTYPE:
        narrow_dtype(state, text, filter);
        break;
    case KEY_KERNEL:
        filter->kernel = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp fv_filter_argp = {option_table, parse_option, NULL, NULL, NULL, NULL, NULL};

/* A backend that this build leaves out is told with its remedy, which creating a context knows. */
static void refuse_absent(const struct argp_state *state, const char *name) {
    fv_context *context = NULL;
    if (fv_backend_find(name) || !strcmp(name, "auto"))
        return;
    if (fv_context_create(name, NULL, &context) == FV_UNSUPPORTED)
        argp_failure(state, FV_EXIT_USAGE, 0, "%s", fv_error_message());
    fv_context_destroy(context);
}

const fv_backend *fv_option_backend(const struct argp_state *state, const char *text) {
    const char *const *names = fv_backend_names();
    int count = 0;
    while (names[count])
        ++count;
    refuse_absent(state, text);
    return fv_backends[fv_option_choice(state, "backend", text, names, count)];
}
