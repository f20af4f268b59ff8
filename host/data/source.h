/* A data file as one sequence of bytes, raw or gzip. The content decides which, not the name: gzip begins with 1f 8b.
 *
 * Unpacking streams through a small buffer into the caller's memory. A gzip file of several members is their contents
 * one after the other, as gzip -d has it; unlike gzip -d, anything else behind a member is an error. */
#ifndef FOVEA_DATA_SOURCE_H
#define FOVEA_DATA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_source fv_source;

/* Fails as fv_file_open does. On failure *source is NULL. */
fv_status fv_source_open(const char *path, fv_source **source);
void fv_source_close(fv_source *source);

bool fv_source_is_gzip(const fv_source *source);

/* The file's size in bytes. */
int64_t fv_source_file_size(const fv_source *source);

/* The most bytes that the sequence can have: the file's size, or what gzip can pack into it. */
int64_t fv_source_limit(const fv_source *source);

/* Reads count bytes; *got is less only where the file ends, be it rightly or within a gzip member. FV_BAD_INPUT: the
 * gzip data is corrupt (a wrong checksum shows when the member's end is reached). */
fv_status fv_source_read(fv_source *source, void *bytes, int64_t count, int64_t *got);

/* FV_BAD_INPUT unless everything has been read, with gzip's final checksum there and right. */
fv_status fv_source_expect_end(fv_source *source);

#ifdef __cplusplus
}
#endif
#endif
