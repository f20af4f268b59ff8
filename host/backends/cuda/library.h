/* Vendor libraries, loaded when first needed.
 *
 * Linking cuBLAS costs every start of the program 65 ms, even for --help, and over a second when its 600 MB are not in
 * the page cache; and a linked program does not start at all where the library is missing. So cuBLAS and cuDNN are
 * opened at run time, and their functions are called through a table that has the headers' types:
 *
 *     #define FUNCTIONS(X) X(create, vendorCreate) X(destroy, vendorDestroy)
 *     typedef struct api { FUNCTIONS(FV_LIBRARY_MEMBER) } api;
 *     #define FV_LIBRARY_TABLE api
 *     static const fv_library_symbol symbols[] = {FUNCTIONS(FV_LIBRARY_SYMBOL)};
 */
#ifndef FOVEA_BACKENDS_CUDA_LIBRARY_H
#define FOVEA_BACKENDS_CUDA_LIBRARY_H

#include <stddef.h>

#include <fovea/status.h>

typedef struct fv_library_symbol {
    const char *name;
    size_t offset; /* of the function pointer in the table */
} fv_library_symbol;

#define FV_LIBRARY_MEMBER(member, function) __typeof__(function) *member;
#define FV_LIBRARY_SYMBOL(member, function) {#function, offsetof(FV_LIBRARY_TABLE, member)},

/* Opens a library by its file name (in LD_LIBRARY_PATH, the system's folders, then those where the build found it) and
 * fills the table. It stays loaded until the process ends. FV_UNSUPPORTED if it is missing or lacks a function. */
fv_status fv_library_load(const char *file, const fv_library_symbol *symbols, int count, void *table);

#endif
