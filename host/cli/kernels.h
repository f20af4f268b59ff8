/* fovea kernels CASE: which kernel runs an operation, and why. */
#ifndef FOVEA_CLI_KERNELS_H
#define FOVEA_CLI_KERNELS_H

#include "cases/cases.h"
#include "cli/filter.h"
#include "cli/table.h"

typedef struct fv_kernels_request {
    const fv_case_list *cases;
    fv_context *context;
    fv_filter filter;
    fv_format format;
    int listed; /* rows that were shown */
} fv_kernels_request;

/* Shows the rows of the context's backend for every pass of every case: what each refuses or expects, and which is
 * chosen. */
fv_status fv_kernels_say_choices(fv_kernels_request *request);

#endif
