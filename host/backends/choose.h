/* Which row runs an operation: the one that expects least, or, where it was measured, the one that took least.
 *
 * Measurements are kept in the file selection.json, see base/cache.h:
 *
 *     {"fovea selection": 1, "build": "0.1.0 73cbc10", "devices": {"cuda on NVIDIA H200, 132 units; driver ...":
 *       {"conv2d n=1 c=64 ... forward": {"kernel": "direct_tile", "dtype": "f32", "measured": seconds, "expected": seconds or null}}}}
 *
 * Other builds have other kernels, so what another build has measured is ignored, and replaced when this one measures. A
 * build is known by its commit: those of changes that are not committed yet count as one, so that who changes a kernel
 * should delete the file.
 */
#ifndef FOVEA_BACKENDS_CHOOSE_H
#define FOVEA_BACKENDS_CHOOSE_H

#include "backends/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds that a row is expected to take; NAN: it does not say. The operation must be one that it does not refuse. */
double fv_kernel_expected(const fv_kernel *kernel, const fv_context *context, const fv_operation *op);

/* The rows of a backend that can run an operation on the context and are not on_request, in the order in which they are
 * to be tried. */
enum { FV_MOST_CANDIDATES = 64 };
typedef struct fv_candidate {
    const fv_kernel *kernel;
    double expected; /* seconds; NAN: not known */
} fv_candidate;
typedef struct fv_candidates {
    fv_candidate items[FV_MOST_CANDIDATES];
    int count;
    const char *refusal; /* of the first row that refused; NULL: none did */
} fv_candidates;

/* By what they expect; those that do not say come last, in the table's order, as rows do that expect the same. */
void fv_candidates_find(fv_candidates *candidates, const fv_context *context, const fv_backend *backend,
                        const fv_operation *op, fv_pass pass);

/* Puts the one in front that was measured to be the fastest. Where that is not known, and the context is to find out,
 * measures it. */
void fv_candidates_prefer(fv_candidates *candidates, fv_context *context, const fv_backend *backend,
                          const fv_operation *op, fv_pass pass);

/* ---- what is remembered: selection.c ---- */

/* The fastest row for an operation, and its time. */
typedef struct fv_choice {
    char kernel[48];
    fv_dtype dtype;            /* of the row: an operation of tf32 may have two of one name */
    double measured, expected; /* seconds; expected is NAN if it did not say */
} fv_choice;

typedef struct fv_selection fv_selection;

/* Of a context that remembers; `tune`: and measures what it does not find. */
fv_status fv_selection_create(fv_context *context, bool tune);
void fv_selection_destroy(fv_selection *selection); /* NULL is fine */
bool fv_selection_tunes(const fv_context *context);

/* False if nothing is known of this operation on a backend's rows, or the context does not remember. A file that cannot
 * be understood is told of in a notice, once. */
bool fv_selection_recall(fv_context *context, const fv_backend *backend, const fv_operation *op, fv_pass pass,
                         fv_choice *choice);

/* Remembers a choice from now on, and in the file if that can be written, or says why not in a notice, once. */
void fv_selection_keep(fv_context *context, const fv_backend *backend, const fv_operation *op, fv_pass pass,
                       const fv_choice *choice);

/* ---- measuring: tune.c ---- */

/* Times the candidates on made-up inputs with cold caches, each several times, and chooses by their medians; what goes
 * wrong with one is told in a notice, and it is passed over. False if none could be timed. */
bool fv_candidates_time(const fv_candidates *candidates, fv_context *context, const fv_operation *op, fv_pass pass,
                        fv_choice *choice);

/* Calls the context's notice, if there is one. */
void fv_context_say(fv_context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
