/* {"fovea ceilings": 2, "devices": {"NVIDIA H200, 132 units; driver ...": {"measured": ..., "copy": bytes per second,
 *   "product": {"f32": {"rate": FLOP per second, "by": "cublas linear 8192x8192x8192"}}}}}
 *
 * A file that says anything else is damaged, or of another version: it is as if it were not there. */
#include "measure/ceilings_cache.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

enum { VERSION = 2, MOST_BYTES = 1 << 20, PATH_SIZE = 4096, KEY_SIZE = 320 };

/* The file's path. With `create` its folders are made; false if there is no place for it. */
static bool find_file(char path[PATH_SIZE], bool create) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool given = cache && cache[0] == '/'; /* the XDG specification: others are to be ignored */
    if (!given && !(home && home[0] == '/'))
        return false;
    const char *const parts[] = {given ? cache : home, given ? "" : "/.cache", "/fovea", "/ceilings.json"};
    path[0] = '\0';
    for (size_t i = 0, length = 0; i < 4; ++i) {
        const int written = snprintf(path + length, PATH_SIZE - length, "%s", parts[i]);
        length += (size_t)written;
        if (length >= PATH_SIZE)
            return false;
        if (create && i < 3 && *parts[i])
            (void)mkdir(path, 0700); /* the file will show whether it worked */
    }
    return true;
}

static void write_key(const fv_machine *machine, char key[KEY_SIZE]) {
    snprintf(key, KEY_SIZE, "%s, %d units; %s", machine->device, machine->units, machine->libraries);
}

/* The file's content; NULL unless it is what fv_ceilings_keep writes, as far as can be seen from its outside. */
static json_t *read_root(const char *path) {
    int fd = -1;
    int64_t size = 0;
    if (fv_file_open(path, &fd, &size) != FV_OK)
        return NULL;
    json_t *root = NULL;
    size_t got = 0;
    char *text = size > 0 && size <= MOST_BYTES ? malloc((size_t)size) : NULL;
    if (text && fv_file_read(fd, path, text, (size_t)size, &got) == FV_OK)
        root = json_loadb(text, got, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    close(fd);
    if (json_integer_value(json_object_get(root, "fovea ceilings")) == VERSION &&
        json_is_object(json_object_get(root, "devices")))
        return root;
    json_decref(root);
    return NULL;
}

static bool parse_rate(const json_t *value, double *rate) {
    *rate = json_number_value(value);
    return isfinite(*rate) && *rate > 0;
}

static bool parse_text(const json_t *value, char *text, size_t size) {
    const char *string = json_string_value(value);
    return string && (size_t)snprintf(text, size, "%s", string) < size;
}

static bool parse_entry(const json_t *entry, fv_ceilings *ceilings) {
    const json_t *products = json_object_get(entry, "product");
    if (!parse_rate(json_object_get(entry, "copy"), &ceilings->copy) || !json_is_object(products) ||
        !parse_text(json_object_get(entry, "measured"), ceilings->measured, sizeof ceilings->measured))
        return false;
    for (int dtype = 0; dtype < FV_DTYPES; ++dtype) {
        const json_t *product = json_object_get(products, fv_dtype_name(dtype));
        if (product && (!parse_rate(json_object_get(product, "rate"), &ceilings->product[dtype]) ||
                        !parse_text(json_object_get(product, "by"), ceilings->product_by[dtype],
                                    sizeof ceilings->product_by[dtype])))
            return false;
    }
    return true;
}

bool fv_ceilings_recall(const fv_machine *machine, fv_ceilings *ceilings) {
    char path[PATH_SIZE], key[KEY_SIZE];
    fv_ceilings kept = {.cached = true};
    if (!find_file(path, false))
        return false;
    write_key(machine, key);
    json_t *root = read_root(path);
    const bool found = parse_entry(json_object_get(json_object_get(root, "devices"), key), &kept);
    json_decref(root);
    if (found)
        *ceilings = kept;
    return found;
}

/* ---- writing ---- */

/* NULL if there is no memory, or a text is no UTF-8. */
static json_t *make_entry(const fv_ceilings *ceilings) {
    json_t *entry = json_pack("{s:s, s:f, s:{}}", "measured", ceilings->measured, "copy", ceilings->copy, "product");
    for (int dtype = 0; entry && dtype < FV_DTYPES; ++dtype) {
        if (ceilings->product[dtype] <= 0)
            continue;
        json_t *product = json_pack("{s:f, s:s}", "rate", ceilings->product[dtype], "by", ceilings->product_by[dtype]);
        if (json_object_set_new(json_object_get(entry, "product"), fv_dtype_name(dtype), product) != 0) {
            json_decref(entry);
            entry = NULL;
        }
    }
    return entry;
}

static fv_status write_file(const char *path, const char *text) {
    fv_file_writer *writer;
    FV_TRY(fv_file_writer_open(path, &writer));
    const fv_status status = fv_file_writer_write(writer, text, strlen(text));
    if (status == FV_OK)
        return fv_file_writer_commit(writer);
    fv_file_writer_abandon(writer);
    return status;
}

void fv_ceilings_keep(const fv_machine *machine, const fv_ceilings *ceilings) {
    char path[PATH_SIZE], key[KEY_SIZE];
    if (!find_file(path, true))
        return;
    write_key(machine, key);
    json_t *root = read_root(path);
    if (!root)
        root = json_pack("{s:i, s:{}}", "fovea ceilings", VERSION, "devices");
    if (json_object_set_new(json_object_get(root, "devices"), key, make_entry(ceilings)) == 0) {
        char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
        if (text)
            (void)write_file(path, text);
        free(text);
    }
    json_decref(root);
}
