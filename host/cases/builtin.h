/* The files of tests/cases as part of the program; cmake/EmbedCases.cmake writes the array. */
#ifndef FOVEA_CASES_BUILTIN_H
#define FOVEA_CASES_BUILTIN_H

#include <stddef.h>

typedef struct fv_builtin_text {
    const char *path; /* from the source tree's root */
    const unsigned char *bytes;
    size_t size;
} fv_builtin_text;

/* Ends with a NULL path. */
extern const fv_builtin_text fv_builtin_cases[];

#endif
