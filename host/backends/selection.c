/* The file in which measured choices are kept. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/choose.h"
#include "base/cache.h"
#include "base/error.h"
#include "base/version.h"
#include "ops/op.h"

static const fv_cache cache = {"selection.json", "fovea selection", 1};

enum { DEVICE_SIZE = 360, OPERATION_SIZE = 560 };

struct fv_selection {
    bool tune, loaded;
    bool unreadable, unwritable; /* has been told of */
    json_t *devices;             /* as in the file; NULL: nothing is known, or no memory */
    char machine[DEVICE_SIZE];   /* "NVIDIA H200, 132 units; driver ..."; "" until it is needed: asking takes time */
};

/* The keys of an entry. */
typedef struct place {
    char device[DEVICE_SIZE + 32], operation[OPERATION_SIZE];
} place;

static const char *name_machine(const fv_context *context) {
    fv_selection *s = context->selection;
    fv_machine machine = {0};
    if (*s->machine)
        return s->machine;
    if (context->backend->machine)
        context->backend->machine(context, &machine);
    snprintf(s->machine, DEVICE_SIZE, "%s, %d units; %s", machine.device, machine.units, machine.libraries);
    return s->machine;
}

static void find_place(const fv_context *context, const fv_backend *backend, const fv_operation *op, fv_pass pass,
                       place *found) {
    snprintf(found->device, sizeof found->device, "%s on %s", backend->name, name_machine(context));
    const int length = fv_operation_print_short(op, found->operation, OPERATION_SIZE);
    if (length >= 0 && length < OPERATION_SIZE)
        snprintf(found->operation + length, OPERATION_SIZE - (size_t)length, " %s", fv_pass_name(pass));
}

/* "0.1.0 73cbc10": kernels may be others in every build. */
static void name_build(char name[96]) {
    snprintf(name, 96, "%s %s", FV_VERSION, fv_commit());
}

static bool is_of_this_build(const json_t *root) {
    char build[96];
    const char *written = json_string_value(json_object_get(root, "build"));
    name_build(build);
    return written && !strcmp(written, build);
}

fv_status fv_selection_create(fv_context *context, bool tune) {
    fv_selection *created = calloc(1, sizeof *created);
    if (!created)
        return fv_fail(FV_NO_MEMORY, "no memory for a context");
    created->tune = tune;
    context->selection = created;
    return FV_OK;
}

void fv_selection_destroy(fv_selection *selection) {
    if (selection)
        json_decref(selection->devices);
    free(selection);
}

bool fv_selection_tunes(const fv_context *context) {
    return context->selection && context->selection->tune;
}

/* ---- reading ---- */

static void tell_unreadable(fv_context *context) {
    char path[FV_CACHE_PATH_SIZE];
    fv_selection *s = context->selection;
    if (!s->unreadable && fv_cache_path(&cache, path))
        fv_context_say(context, "%.300s is damaged or of another version: it is ignored%s", path,
                       s->tune ? " and replaced" : "; --tune writes it anew");
    s->unreadable = true;
}

/* When first asked, so that whoever opened the context could ask for its notices. */
static void load(fv_context *context) {
    fv_selection *s = context->selection;
    if (s->loaded)
        return;
    s->loaded = true;
    bool foreign;
    json_t *root = fv_cache_read(&cache, &foreign);
    if (is_of_this_build(root))
        s->devices = json_incref(json_object_get(root, "devices"));
    json_decref(root);
    if (foreign)
        tell_unreadable(context);
}

static bool parse_dtype(const json_t *text, fv_dtype *dtype) {
    for (*dtype = FV_FIRST_REAL; *dtype <= FV_LAST_REAL; ++*dtype)
        if (json_is_string(text) && !strcmp(json_string_value(text), fv_dtype_name(*dtype)))
            return true;
    return false;
}

static bool parse_entry(const json_t *entry, fv_choice *choice) {
    const char *kernel = json_string_value(json_object_get(entry, "kernel"));
    const json_t *measured = json_object_get(entry, "measured");
    const json_t *expected = json_object_get(entry, "expected");
    choice->measured = json_number_value(measured);
    choice->expected = json_is_number(expected) ? json_number_value(expected) : NAN;
    return kernel && (size_t)snprintf(choice->kernel, sizeof choice->kernel, "%s", kernel) < sizeof choice->kernel &&
           parse_dtype(json_object_get(entry, "dtype"), &choice->dtype) && json_is_number(measured) &&
           choice->measured >= 0 && (json_is_number(expected) || json_is_null(expected));
}

bool fv_selection_recall(fv_context *context, const fv_backend *backend, const fv_operation *op, fv_pass pass,
                         fv_choice *choice) {
    fv_selection *s = context->selection;
    place at;
    if (!s)
        return false;
    load(context);
    if (json_object_size(s->devices) == 0)
        return false;
    find_place(context, backend, op, pass, &at);
    const json_t *entry = json_object_get(json_object_get(s->devices, at.device), at.operation);
    if (entry && !parse_entry(entry, choice)) {
        tell_unreadable(context);
        return false;
    }
    return entry != NULL;
}

/* ---- writing ---- */

typedef struct keeping {
    place at;
    const fv_choice *choice;
} keeping;

/* Into an object of devices; false: no memory, or a text is no UTF-8. */
static bool put_entry(json_t *devices, const keeping *k) {
    json_t *entry = json_pack("{s:s, s:s, s:f, s:o}", "kernel", k->choice->kernel, "dtype",
                              fv_dtype_name(k->choice->dtype), "measured", k->choice->measured, "expected",
                              isfinite(k->choice->expected) ? json_real(k->choice->expected) : json_null());
    if (!json_is_object(json_object_get(devices, k->at.device)) &&
        json_object_set_new(devices, k->at.device, json_object()) != 0) {
        json_decref(entry);
        return false;
    }
    return json_object_set_new(json_object_get(devices, k->at.device), k->at.operation, entry) == 0;
}

/* Into the file's object. */
static bool keep_entry(json_t *root, void *user) {
    char build[96];
    json_t *devices = json_object_get(root, "devices");
    if (!is_of_this_build(root))
        json_object_clear(devices);
    name_build(build);
    return json_object_set_new(root, "build", json_string(build)) == 0 && put_entry(devices, user);
}

void fv_selection_keep(fv_context *context, const fv_backend *backend, const fv_operation *op, fv_pass pass,
                       const fv_choice *choice) {
    fv_selection *s = context->selection;
    keeping k = {.choice = choice};
    find_place(context, backend, op, pass, &k.at);
    if (!s->devices)
        s->devices = json_object();
    (void)put_entry(s->devices, &k); /* without memory for it, it is measured again */
    if (fv_cache_update(&cache, keep_entry, &k) != FV_OK && !s->unwritable) {
        fv_context_say(context, "what is measured is not remembered: %.300s", fv_error_message());
        s->unwritable = true;
    }
}
