/* Contexts, tensors and the execution of operations.
 *
 * A context is one opened backend: a device or a set of threads, with its memory. It may be used by one thread at a
 * time.
 */
#ifndef FOVEA_CONTEXT_H
#define FOVEA_CONTEXT_H

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_context fv_context;

/* In which order the emulator runs the threads between two barriers. FV_ORDER_VARIED: forward, but each run of a
 * verification has another order, so that a result that depends on the order shows. */
typedef enum fv_thread_order { FV_ORDER_FORWARD, FV_ORDER_REVERSE, FV_ORDER_RANDOM, FV_ORDER_VARIED } fv_thread_order;

typedef struct fv_context_options {
    int threads;                  /* CPU threads; 0: all that this process may use */
    fv_thread_order thread_order; /* emulated only */
    uint64_t seed;                /* of the random thread order */
    int tune;                     /* 1: kernels are chosen by measurements, see below */
} fv_context_options;

/* Where several kernels can do an operation, the one that was measured to be the fastest on this device runs; if none
 * was, the one that is expected to be. With `tune` = 1 what has not been measured yet is, when an operation is first
 * prepared, on made-up data in memory of its own, and remembered in $XDG_CACHE_HOME/fovea/selection.json
 * (~/.cache/fovea): with other kernels an operation gives other bits within the same error bounds. Measurements of
 * another build of Fovea do not count. */

/* Names of the backends compiled in, NULL-terminated, best first: of "cuda", "cudnn", "onednn", "emulated",
 * "reference". */
FV_API const char *const *fv_backend_names(void);

/* Opens a backend by name, or with "auto" the first that works of cuda, onednn, reference. options may be NULL.
 * FV_BAD_INPUT: no such backend. FV_UNSUPPORTED: not in this build, or no device; the message says how to get it. */
FV_API fv_status fv_context_create(const char *backend, const fv_context_options *options, fv_context **context);
FV_API void fv_context_destroy(fv_context *context);

/* "onednn", and what it runs on, such as "oneDNN 2.6.3, 2 threads". */
FV_API const char *fv_context_backend(const fv_context *context);
FV_API const char *fv_context_description(const fv_context *context);

/* Called with one line when a backend lacks an operation and another stands in, once per operation and pass. */
typedef void fv_notice(void *user, const char *line);
FV_API void fv_context_on_notice(fv_context *context, fv_notice *notice, void *user);

/* A dense row-major tensor in the context's memory. */
typedef struct fv_tensor {
    fv_context *context;
    fv_dtype dtype;
    fv_shape shape;
    void *data;
} fv_tensor;

/* Contents are zero. Destroy it before its context. */
FV_API fv_status fv_tensor_create(fv_context *context, fv_dtype dtype, fv_shape shape, fv_tensor **tensor);
FV_API void fv_tensor_destroy(fv_tensor *tensor);

/* Copy from and to host memory; bytes must be the tensor's size. */
FV_API fv_status fv_tensor_write(fv_tensor *tensor, const void *host, size_t bytes);
FV_API fv_status fv_tensor_read(const fv_tensor *tensor, void *host, size_t bytes);

/* Runs one pass of an operation. tensors is indexed by fv_role; every tensor of the pass's signature must be there with
 * its dtype and shape. Labels, argmax and order must hold values in range; they are not checked. Results can be read
 * with fv_tensor_read when it returns. Falls back as described at fv_context_on_notice. */
FV_API fv_status fv_execute(fv_context *context, const fv_operation *operation, fv_pass pass,
                            fv_tensor *const tensors[FV_ROLES]);

#ifdef __cplusplus
}
#endif
#endif
