/* {"fovea ceilings": 2, "devices": {"NVIDIA H200, 132 units; driver ...": {"measured": ..., "copy": bytes per second,
 *   "product": {"f32": {"rate": FLOP per second, "by": "cublas linear 8192x8192x8192"}}}}}
 *
 * A file that says anything else is damaged, or of another version: it is as if it were not there. */
#include "measure/ceilings_cache.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cache.h"

static const fv_cache cache = {"ceilings.json", "fovea ceilings", 2};

enum { KEY_SIZE = 320 };

static void write_key(const fv_machine *machine, char key[KEY_SIZE]) {
    snprintf(key, KEY_SIZE, "%s, %d units; %s", machine->device, machine->units, machine->libraries);
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
    char key[KEY_SIZE];
    fv_ceilings kept = {.cached = true};
    write_key(machine, key);
    json_t *root = fv_cache_read(&cache, NULL);
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

typedef struct keeping {
    char key[KEY_SIZE];
    const fv_ceilings *ceilings;
} keeping;

static bool keep_entry(json_t *root, void *user) {
    const keeping *k = user;
    return json_object_set_new(json_object_get(root, "devices"), k->key, make_entry(k->ceilings)) == 0;
}

void fv_ceilings_keep(const fv_machine *machine, const fv_ceilings *ceilings) {
    keeping k = {.ceilings = ceilings};
    write_key(machine, k.key);
    (void)fv_cache_update(&cache, keep_entry, &k);
}
