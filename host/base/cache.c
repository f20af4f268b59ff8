#include "base/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

enum { MOST_BYTES = 16 << 20 };

/* With `create` its folders are made. */
static bool find_file(const fv_cache *cache, char path[FV_CACHE_PATH_SIZE], bool create) {
    const char *given = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool absolute = given && given[0] == '/'; /* the XDG specification: others are to be ignored */
    if (!absolute && !(home && home[0] == '/'))
        return false;
    const char *const parts[] = {absolute ? given : home, absolute ? "" : "/.cache", "/fovea", "/", cache->name};
    path[0] = '\0';
    for (size_t i = 0, length = 0; i < sizeof parts / sizeof parts[0]; ++i) {
        const int written = snprintf(path + length, FV_CACHE_PATH_SIZE - length, "%s", parts[i]);
        length += (size_t)written;
        if (length >= FV_CACHE_PATH_SIZE)
            return false;
        if (create && i < 3 && *parts[i])
            (void)mkdir(path, 0700); /* the file will show whether it worked */
    }
    return true;
}

bool fv_cache_path(const fv_cache *cache, char path[FV_CACHE_PATH_SIZE]) {
    return find_file(cache, path, false);
}

/* NULL if the file cannot be read or is no JSON. */
static json_t *read_json(const char *path, bool *there) {
    int fd = -1;
    int64_t size = 0;
    struct stat info;
    *there = stat(path, &info) == 0;
    if (!*there || fv_file_open(path, &fd, &size) != FV_OK)
        return NULL;
    json_t *root = NULL;
    size_t got = 0;
    char *text = size > 0 && size <= MOST_BYTES ? malloc((size_t)size) : NULL;
    if (text && fv_file_read(fd, path, text, (size_t)size, &got) == FV_OK)
        root = json_loadb(text, got, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    close(fd);
    return root;
}

static json_t *read_root(const fv_cache *cache, const char *path, bool *foreign) {
    bool there;
    json_t *root = read_json(path, &there);
    const bool ours = json_integer_value(json_object_get(root, cache->title)) == cache->version &&
                      json_is_object(json_object_get(root, "devices"));
    *foreign = there && !ours;
    if (ours)
        return root;
    json_decref(root);
    return NULL;
}

json_t *fv_cache_read(const fv_cache *cache, bool *foreign) {
    char path[FV_CACHE_PATH_SIZE];
    bool ignored;
    bool *const answer = foreign ? foreign : &ignored;
    *answer = false;
    return find_file(cache, path, false) ? read_root(cache, path, answer) : NULL;
}

/* ---- writing ---- */

/* Waits a second for the other writers. -1 where that was not enough, or cannot be: then the last of two writers at the same moment wins. */
enum { MOST_TRIES = 100 };

static int lock(const char *path) {
    char name[FV_CACHE_PATH_SIZE + 8];
    snprintf(name, sizeof name, "%s.lock", path);
    const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const struct timespec pause = {.tv_nsec = 10000000};
    int failed = 0;
    for (int tries = 0; fd >= 0 && tries < MOST_TRIES && (failed = flock(fd, LOCK_EX | LOCK_NB)) != 0; ++tries)
        nanosleep(&pause, NULL); /* whoever holds it for longer is stopped, or dead on another machine */
    if (fd >= 0 && failed) {
        close(fd);
        return -1;
    }
    return fd;
}

static fv_status write_text(const char *path, const char *text) {
    fv_file_writer *writer;
    FV_TRY(fv_file_writer_open(path, &writer));
    const fv_status status = fv_file_writer_write(writer, text, strlen(text));
    if (status == FV_OK)
        return fv_file_writer_commit(writer);
    fv_file_writer_abandon(writer);
    return status;
}

static fv_status change_file(const fv_cache *cache, const char *path, fv_cache_change *change, void *user) {
    bool foreign;
    json_t *root = read_root(cache, path, &foreign);
    if (!root)
        root = json_pack("{s:i, s:{}}", cache->title, cache->version, "devices");
    char *text = root && change(root, user) ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    const fv_status status = text ? write_text(path, text) : fv_fail(FV_NO_MEMORY, "no memory for %s", path);
    free(text);
    json_decref(root);
    return status;
}

fv_status fv_cache_update(const fv_cache *cache, fv_cache_change *change, void *user) {
    char path[FV_CACHE_PATH_SIZE];
    if (!find_file(cache, path, true))
        return fv_fail(FV_IO, "neither XDG_CACHE_HOME nor HOME names a folder for %s", cache->name);
    const int fd = lock(path);
    const fv_status status = change_file(cache, path, change, user);
    if (fd >= 0)
        close(fd); /* which unlocks it */
    return status;
}
