/* Files in which what was found out is kept from run to run: $XDG_CACHE_HOME/fovea/NAME, or ~/.cache/fovea/NAME.
 *
 * Each is a JSON object {TITLE: VERSION, "devices": {KEY: ..., ...}, ...}. One that says anything else is damaged, or of
 * another version: it is as if it were not there. Writers take turns, each reads what the one before it has left, and
 * readers see the old file or the new one, whole.
 */
#ifndef FOVEA_BASE_CACHE_H
#define FOVEA_BASE_CACHE_H

#include <jansson.h>
#include <stdbool.h>

#include <fovea/status.h>

typedef struct fv_cache {
    const char *name;  /* of the file */
    const char *title; /* first key of its object, */
    int version;       /* and that one's value */
} fv_cache;

enum { FV_CACHE_PATH_SIZE = 4096 };

/* The file's path; false if the environment names no place for it. */
bool fv_cache_path(const fv_cache *cache, char path[FV_CACHE_PATH_SIZE]);

/* The file's object; NULL if there is none. *foreign (may be NULL): a file is there, but it is not one of these. */
json_t *fv_cache_read(const fv_cache *cache, bool *foreign);

/* Reads the object, or begins one without devices, lets `change` change it, and writes it. False from `change`: it had no
 * memory, and nothing is written. */
typedef bool fv_cache_change(json_t *root, void *user);
fv_status fv_cache_update(const fv_cache *cache, fv_cache_change *change, void *user);

#endif
