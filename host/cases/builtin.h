/* Case files as part of the program; cmake/EmbedCases.cmake writes the arrays. */
#ifndef FOVEA_CASES_BUILTIN_H
#define FOVEA_CASES_BUILTIN_H

#include <stddef.h>

typedef struct fv_builtin_text {
    const char *path; /* from the source tree's root */
    const char *name; /* the file's, without ".txt" */
    const unsigned char *bytes;
    size_t size;
} fv_builtin_text;

/* The files of tests/cases and of benchmarks/suites. They end with a NULL path. */
extern const fv_builtin_text fv_builtin_cases[], fv_builtin_suites[];

#endif
