#include "backends/cuda/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* Folders to look in after the system's, separated by colons. */
#ifndef FV_CUDA_LIBRARY_PATH
#define FV_CUDA_LIBRARY_PATH "/usr/local/cuda/lib64"
#endif

static void *open_library(const char *file) {
    void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    for (const char *folder = FV_CUDA_LIBRARY_PATH; !library && *folder;) {
        const size_t length = strcspn(folder, ":");
        char path[4096];
        const int written = snprintf(path, sizeof path, "%.*s/%s", (int)length, folder, file);
        if (length > 0 && written > 0 && (size_t)written < sizeof path)
            library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
        folder += length + (folder[length] == ':');
    }
    return library;
}

fv_status fv_library_load(const char *file, const fv_library_symbol *symbols, int count, void *table) {
    void *library = open_library(file);
    if (!library) {
        const char *reason = dlerror();
        return fv_fail(FV_UNSUPPORTED, "cuda: cannot load %s: %s; put its folder into LD_LIBRARY_PATH", file,
                       reason ? reason : "unknown error");
    }
    for (int i = 0; i < count; ++i) {
        void *function = dlsym(library, symbols[i].name);
        if (!function)
            return fv_fail(FV_UNSUPPORTED, "cuda: %s has no function %s; a newer version of the library is needed",
                           file, symbols[i].name);
        memcpy((char *)table + symbols[i].offset, &function, sizeof function);
    }
    return FV_OK;
}
