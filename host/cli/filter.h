/* Options that pick kernels, for the commands that walk the kernel table. */
#ifndef FOVEA_CLI_FILTER_H
#define FOVEA_CLI_FILTER_H

#include <argp.h>

#include "backends/kernel.h"

typedef struct fv_filter {
    unsigned kinds, passes; /* bit sets of fv_kind and fv_pass */
    int dtype;              /* fv_dtype; -1: any */
    const char *kernel;     /* a pattern for the row's name, as the shell has them for files; NULL: any */
} fv_filter;

/* Lets every kernel through. */
fv_filter fv_filter_all(void);
bool fv_filter_matches(const fv_filter *filter, const fv_kernel *kernel);

/* The options --op, --pass, --dtype and --kernel, as a child of a command's parser; its input is the fv_filter. A bad
 * value ends the program with one line, which lists the good ones, and status 2. */
extern const struct argp fv_filter_argp;

/* The value of --backend: a backend of this build. A bad one ends the program in the same way. */
const fv_backend *fv_option_backend(const struct argp_state *state, const char *text);

#endif
