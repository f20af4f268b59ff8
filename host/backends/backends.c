/* The list of backends, and contexts. */
#include <stdlib.h>
#include <string.h>

#include "backends/choose.h"
#include "base/error.h"

/* X(name) for every backend of this build, best first. */
#if FV_HAVE_CUDA
#define WITH_CUDA(X) X(cuda)
#else
#define WITH_CUDA(X)
#endif
#if FV_HAVE_CUDNN
#define WITH_CUDNN(X) X(cudnn)
#else
#define WITH_CUDNN(X)
#endif
#if FV_HAVE_ONEDNN
#define WITH_ONEDNN(X) X(onednn)
#else
#define WITH_ONEDNN(X)
#endif
#define BACKENDS(X) WITH_CUDA(X) WITH_CUDNN(X) WITH_ONEDNN(X) X(emulated) X(reference)

#define DECLARATION(name) extern const fv_backend fv_backend_##name;
#define ADDRESS(name) &fv_backend_##name,
#define NAME(name) #name,

BACKENDS(DECLARATION)
const fv_backend *const fv_backends[] = {BACKENDS(ADDRESS) NULL};
static const char *const backend_names[] = {BACKENDS(NAME) NULL};

/* Every backend there can be, what a build without it lacks, and whether "auto" considers it, in auto's order. */
static const struct {
    const char *name, *remedy;
    bool automatic;
} known[] = {
    {"cuda", "the CUDA toolkit (nvcc) was not found when this program was built", true},
    {"cudnn", "cuDNN 9 or the CUDA toolkit was not found when this program was built", false},
    {"onednn", "oneDNN (Debian: libdnnl-dev) was not found when this program was built", true},
    {"emulated", "", false},
    {"reference", "", true},
};
enum { KNOWN = sizeof known / sizeof known[0] };

const char *const *fv_backend_names(void) {
    return backend_names;
}

const fv_backend *fv_backend_find(const char *name) {
    for (const fv_backend *const *backend = fv_backends; *backend; ++backend)
        if (!strcmp((*backend)->name, name))
            return *backend;
    return NULL;
}

static fv_status open_backend(const fv_backend *backend, const fv_context_options *options, fv_context **context) {
    static const fv_context_options defaults;
    fv_context *created = calloc(1, sizeof *created);
    if (!created)
        return fv_fail(FV_NO_MEMORY, "no memory for a context");
    created->backend = backend;
    options = options ? options : &defaults;
    fv_status status = fv_selection_create(created, options->tune != 0);
    if (status == FV_OK)
        status = backend->open(created, options);
    if (status != FV_OK) {
        fv_selection_destroy(created->selection);
        free(created);
        return status;
    }
    *context = created;
    return FV_OK;
}

fv_status fv_context_create(const char *name, const fv_context_options *options, fv_context **context) {
    *context = NULL;
    const bool automatic = !strcmp(name, "auto");
    for (int i = 0; i < KNOWN; ++i) {
        if (automatic ? !known[i].automatic : strcmp(name, known[i].name) != 0)
            continue;
        const fv_backend *backend = fv_backend_find(known[i].name);
        if (!backend && !automatic)
            return fv_fail(FV_UNSUPPORTED, "backend %s is not in this build: %s", name, known[i].remedy);
        if (!backend)
            continue;
        const fv_status status = open_backend(backend, options, context);
        if (status != FV_UNSUPPORTED || !automatic)
            return status;
    }
    return fv_fail(FV_BAD_INPUT, "unknown backend '%s': expected auto, cuda, cudnn, onednn, emulated or reference",
                   name);
}

void fv_context_destroy(fv_context *context) {
    if (!context)
        return;
    context->backend->close(context);
    fv_selection_destroy(context->selection);
    free(context);
}

const char *fv_context_backend(const fv_context *context) {
    return context->backend->name;
}

const char *fv_context_description(const fv_context *context) {
    return context->description;
}

void fv_context_on_notice(fv_context *context, fv_notice *notice, void *user) {
    context->notice = notice;
    context->notice_user = user;
}

const fv_kernel *fv_kernel_next(const fv_backend *backend, fv_kernel_cursor *cursor) {
    while (backend->tables[cursor->table]) {
        const fv_kernel *kernel = &backend->tables[cursor->table][cursor->row];
        if (kernel->name) {
            ++cursor->row;
            return kernel;
        }
        ++cursor->table;
        cursor->row = 0;
    }
    return NULL;
}

bool fv_context_is_lost(fv_context *context) {
    char message[1024];
    fv_error_save(message);
    const bool lost = context->backend->synchronize(context) != FV_OK;
    fv_error_restore(message);
    return lost;
}
