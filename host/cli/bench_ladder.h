/* The ladder: the reasons it gives, and the parts of fv_bench_print_ladder. */
#ifndef FOVEA_CLI_BENCH_LADDER_H
#define FOVEA_CLI_BENCH_LADDER_H

#include <stdio.h>

#include "measure/record.h"

/* Why a method is there. */
typedef struct fv_reason {
    char operation[96], kernel[96];
    char *why;
} fv_reason;

/* Start with zeroed ones. */
typedef struct fv_reasons {
    fv_reason *items;
    int64_t count, capacity;
} fv_reasons;

/* Reads lines "OPERATION KERNEL: why"; '#' starts a comment. FV_BAD_INPUT "FILE:LINE: what is wrong". */
fv_status fv_reasons_read(fv_reasons *reasons, const char *path);
void fv_reasons_release(fv_reasons *reasons);

/* "" if there is no line for it. */
const char *fv_reasons_find(const fv_reasons *reasons, const char *operation, const char *kernel);

#endif
