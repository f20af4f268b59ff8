/* The kernel table and the backend vtable: everything a backend is to the rest of the library.
 *
 * A kernel variant is one row. Selection, verification and tests walk the rows; nothing else dispatches. To add a
 * kernel, write its run function and add its row to the array at the end of the same file.
 */
#ifndef FOVEA_BACKENDS_KERNEL_H
#define FOVEA_BACKENDS_KERNEL_H

#include <stdbool.h>

#include <fovea/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Device pointers by role, 256-byte aligned as allocate() gives them. Roles that the pass lacks, and the bias of an
 * operation without one, are NULL. */
typedef struct fv_buffers {
    void *at[FV_ROLES];
    void *workspace; /* at least workspace() bytes, 256-byte aligned, contents undefined */
} fv_buffers;

/* How a kernel's arithmetic departs from products and sums rounded to its dtype; its error bound follows from these
 * (verify/bounds.c). */
typedef enum fv_numerical_note {
    FV_NOTE_TF32 = 1 << 0,         /* inputs are rounded to 11 significant bits, as tf32 and f16 have */
    FV_NOTE_HALF_SUMS = 1 << 1,    /* sums are kept in f16 */
    FV_NOTE_WINOGRAD_2X2 = 1 << 2, /* Winograd's transforms with output tiles of 2x2, 4x4 and 9x9 pixels */
    FV_NOTE_WINOGRAD_4X4 = 1 << 3,
    FV_NOTE_WINOGRAD_9X9 = 1 << 4,
    FV_NOTE_FFT = 1 << 5,
    FV_NOTE_TF32_CUT = 1 << 6, /* inputs are brought to tf32's 11 bits, by rounding or by cutting off the others */
    FV_NOTE_EXACT_TRANSFORMS = 1 << 7, /* beside a Winograd note: see verify/exact_winograd.c */
    FV_NOTE_3XTF32 = 1 << 8, /* factors are the sums of two values of tf32, whose smaller parts are not multiplied */
} fv_numerical_note;

/* Whether arithmetic with these notes (a bit set) is less than operations of this dtype permit: factors of fewer bits,
 * sums in less than f32, or transformed values in 16 bits, which is what transforms on tensors of 16 bits may have. */
bool fv_notes_fall_short(fv_dtype dtype, unsigned notes);

typedef struct fv_numerics {
    unsigned notes;        /* bit set of fv_numerical_note */
    char description[128]; /* the implementation chosen, such as "engine 38, tile 128x64" or "jit:avx512_core" */
} fv_numerics;

/* How tensors of rank 4 lie in memory. Everything is NHWC, with filters K,R,S,C; rows in NCHW (filters K,C,R,S: the last
 * axis moves to the second place) are yardsticks, and whoever runs one brings the tensors into its layout. */
typedef enum fv_layout { FV_NHWC, FV_NCHW } fv_layout;

/* What the estimates of kernels are made from: the rates of a device. */
typedef struct fv_chip {
    int units;          /* multiprocessors */
    double fma;         /* FLOP/s of f32 without tensor cores, */
    double tensor_tf32; /* of tensor cores, dense, */
    double tensor_half; /* with factors of bf16 and f16 */
    double bandwidth;   /* bytes/s that a copy reads and writes */
    double cache;       /* bytes of the last-level cache, */
    double cache_rate;  /* and bytes/s from there */
    double launch;      /* seconds from one kernel to the next */
} fv_chip;

/* One of the operations that a row hands to other rows of its backend. */
typedef struct fv_kernel_step {
    fv_operation op;
    fv_pass pass;
} fv_kernel_step;
enum { FV_MOST_STEPS = 4 };

typedef struct fv_kernel {
    fv_kind kind;
    fv_pass pass;
    fv_dtype dtype;     /* rows of f32 serve operations of tf32, too */
    const char *name;   /* method, such as "direct_tile"; unique per kind, pass, dtype and backend */
    int min_capability; /* least compute capability, 80 for sm_80; 0 where that means nothing */
    bool deterministic; /* the same bits on every run */
    bool on_request;    /* a yardstick, of another arithmetic or layout: verified and measured, never selected */
    bool fuses_relu;    /* it can do the operations with relu=1, too */
    uint64_t omits;     /* bit set of roles that the pass has, but this kernel neither reads nor writes */
    fv_layout layout;   /* of its tensors; FV_NCHW rows are on_request */

    /* Why this machine cannot run it at all, or NULL. Optional. */
    const char *(*lacks)(const fv_context *context);

    /* NULL if the kernel can do this operation, else why not (a string that stays valid). Optional: NULL means
     * anything. */
    const char *(*supports)(const fv_operation *op);

    /* Work worth doing once per operation (a vendor's plan, say); *state goes to the others. Optional. FV_UNSUPPORTED
     * if only the attempt shows that it cannot be done. */
    fv_status (*prepare)(fv_context *context, const fv_operation *op, void **state);
    void (*release)(void *state);

    /* The ways in which a vendor's library offers to do this operation (engines, say), to be measured one by one: their
     * number, and prepare() for way 0, 1, ... FV_UNSUPPORTED if that one cannot. Optional: NULL means that there is one,
     * prepare()'s. */
    fv_status (*ways)(fv_context *context, const fv_operation *op, int *count);
    fv_status (*prepare_way)(fv_context *context, const fv_operation *op, int way, void **state);

    /* Bytes of workspace, and the rule behind them in words or as a formula of the descriptor's letters. Optional: NULL
     * means none. */
    size_t (*workspace)(const fv_operation *op, const void *state);
    const char *workspace_rule;

    /* Seconds that the pass is expected to take with cold caches: where several rows can do an operation, the one that
     * expects least is chosen; rows without an estimate come after those, in the order of the table. And a prediction,
     * for measurements to test. Optional. */
    double (*estimate)(const fv_operation *op, const fv_chip *chip);

    /* In place of an estimate, for a row that only calls others: what it has them do, one after the other; returns how
     * many. It takes as long as they do together. Optional. */
    int (*steps)(const fv_operation *op, fv_kernel_step steps[FV_MOST_STEPS]);

    /* Fills in what is particular about the arithmetic; *numerics is zeroed before. Optional: NULL means nothing. */
    void (*numerics)(const fv_operation *op, const void *state, fv_numerics *numerics);

    /* Computes the pass. May return before the device is done. */
    fv_status (*run)(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers);
} fv_kernel;

/* Ends a row array. */
#define FV_KERNELS_END                                                                                                 \
    { .name = NULL }

/* What a context's device is, for the record of a measurement. Zeros and empty texts: not known. */
typedef struct fv_machine {
    char device[96];     /* "NVIDIA H200", "AMD EPYC 9B45, 2 threads" */
    char libraries[160]; /* "driver 580.82.07, CUDA 13.0, cuDNN 9.19" */
    int64_t cache;       /* bytes of the last-level cache */
    int64_t memory;      /* bytes of memory */
    int units;           /* multiprocessors, or threads */
} fv_machine;

/* The state of the device at one moment. Zeros: not known. */
typedef struct fv_conditions {
    int clock, memory_clock; /* MHz */
    int temperature;         /* degrees Celsius */
    double power;            /* watts */
    char throttled[96];      /* why the device runs slower than it could, such as "power cap"; "" if it does not */
} fv_conditions;

typedef fv_status fv_work(void *user);

typedef struct fv_backend {
    const char *name;

    /* NULL-terminated list of row arrays. Which of the rows that support a case is chosen: see choose.h. */
    const fv_kernel *const *tables;

    /* Another backend that works on the same memory and stands in for missing operations (cuda for cudnn); may be
     * NULL. */
    const struct fv_backend *stand_in;

    /* Pointers can be dereferenced by the host. */
    bool host_memory;

    /* Fills context->device and context->description. */
    fv_status (*open)(fv_context *context, const fv_context_options *options);
    void (*close)(fv_context *context);

    /* Tells that run number `run` of a verification begins, so that what is left to chance can be varied between the
     * runs and is the same when a verification is repeated. Optional. */
    void (*begin_run)(fv_context *context, int run);

    /* Memory is 256-byte aligned. Copies are ordered with the kernels; when upload returns, the source may be reused,
     * and when download returns, the data is there. */
    fv_status (*allocate)(fv_context *context, size_t bytes, void **pointer);
    void (*deallocate)(fv_context *context, void *pointer);
    fv_status (*upload)(fv_context *context, void *device, const void *host, size_t bytes);
    fv_status (*download)(fv_context *context, void *host, const void *device, size_t bytes);
    fv_status (*fill)(fv_context *context, void *device, int byte, size_t bytes);
    fv_status (*copy)(fv_context *context, void *to, const void *from, size_t bytes); /* both in the context's memory */
    fv_status (*synchronize)(fv_context *context);

    /* Times what `work` queues: seconds from the start of its first kernel to the end of its last one. Before that,
     * `bytes` bytes at `scratch` are overwritten, which empties the caches (none: they stay as they are). *exposed: the
     * device had to wait for the host between the kernels, and the time holds these gaps. */
    fv_status (*time)(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                      bool *exposed);
    void (*machine)(const fv_context *context, fv_machine *machine);
    void (*conditions)(const fv_context *context, fv_conditions *conditions);
} fv_backend;

struct fv_context {
    const fv_backend *backend;
    void *device;                   /* the backend's own: handles, stream, threads */
    int capability;                 /* compute capability, 90 for sm_90; 0 on the CPU */
    fv_chip chip;                   /* units 0: not known, see fv_context_chip */
    struct fv_selection *selection; /* what was measured of rows, see choose.h; NULL: nothing is remembered */
    char description[128];          /* such as "oneDNN 2.6.3, 2 threads" */
    fv_notice *notice;
    void *notice_user;
    bool noticed[FV_KINDS][FV_PASSES];
};

/* Whether a kernel broke the device: after an access to memory that is not there, a CUDA device does nothing more for this
 * process. Leaves the thread's message as it is. */
bool fv_context_is_lost(fv_context *context);

/* Rows for every backend that has conv2d or batchnorm, made of its kernels for these and relu (unfused.c). */
extern const fv_kernel fv_unfused_kernels[], fv_unfused_batchnorm_kernels[];

/* Host memory, shared by the CPU backends. */
fv_status fv_host_allocate(fv_context *context, size_t bytes, void **pointer);
void fv_host_deallocate(fv_context *context, void *pointer);
fv_status fv_host_upload(fv_context *context, void *device, const void *host, size_t bytes);
fv_status fv_host_download(fv_context *context, void *host, const void *device, size_t bytes);
fv_status fv_host_fill(fv_context *context, void *device, int byte, size_t bytes);
fv_status fv_host_copy(fv_context *context, void *to, const void *from, size_t bytes);
fv_status fv_host_synchronize(fv_context *context);

/* The host's clock, processor and state (host_timing.c). */
fv_status fv_host_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed);
void fv_host_machine(const fv_context *context, fv_machine *machine);
void fv_host_conditions(const fv_context *context, fv_conditions *conditions);

/* A CPU backend's entries for memory and timing, within its initialiser. */
#define FV_HOST_MEMORY                                                                                                 \
    .host_memory = true, .allocate = fv_host_allocate, .deallocate = fv_host_deallocate, .upload = fv_host_upload,     \
    .download = fv_host_download, .fill = fv_host_fill, .copy = fv_host_copy, .synchronize = fv_host_synchronize,      \
    .time = fv_host_time, .machine = fv_host_machine, .conditions = fv_host_conditions

/* The backends compiled in, NULL-terminated, in the order of fv_backend_names(). */
extern const fv_backend *const fv_backends[];
const fv_backend *fv_backend_find(const char *name);

/* The rows of a backend, one after the other: start with a zeroed cursor; NULL at the end. */
typedef struct fv_kernel_cursor {
    int table, row;
} fv_kernel_cursor;
const fv_kernel *fv_kernel_next(const fv_backend *backend, fv_kernel_cursor *cursor);

/* Why this row can run no operation on this context: its compute capability, or what lacks() says; NULL if nothing is in
 * the way. */
const char *fv_kernel_lacks(const fv_kernel *kernel, const fv_context *context);

/* Why this row cannot run the operation on this context: another kind, pass or dtype, capability, supports(); NULL if
 * it can, as far as can be said before prepare(). */
const char *fv_kernel_refusal(const fv_kernel *kernel, const fv_context *context, const fv_operation *op, fv_pass pass);

/* An operation bound to the kernel that runs it. */
typedef struct fv_call {
    fv_context *context;
    const fv_kernel *kernel;
    fv_operation op;
    fv_pass pass;
    void *state;
    size_t workspace; /* bytes that run wants in buffers->workspace */
    bool bridged;     /* reference stands in for a device backend: tensors travel through host memory */
} fv_call;

/* Chooses a row that can run the operation and is not on_request, and prepares it: the best of the backend's own (see
 * choose.h), else of its stand-in's, else of reference's. FV_UNSUPPORTED if there is none, with the first reason met. */
fv_status fv_call_prepare(fv_call *call, fv_context *context, const fv_operation *op, fv_pass pass);

/* The same with the backend's own rows alone: nothing stands in. */
fv_status fv_call_prepare_own(fv_call *call, fv_context *context, const fv_operation *op, fv_pass pass);

/* The same for one given row of the context's backend, without falling back. */
fv_status fv_call_prepare_kernel(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                                 fv_pass pass);

/* How many ways there are to prepare this row (1 if it has no ways), and the same for one of them, from 0. */
fv_status fv_call_ways(fv_context *context, const fv_kernel *kernel, const fv_operation *op, int *count);
fv_status fv_call_prepare_way(fv_call *call, fv_context *context, const fv_kernel *kernel, const fv_operation *op,
                              fv_pass pass, int way);
fv_status fv_call_run(const fv_call *call, const fv_buffers *buffers);

/* What the kernel says of its arithmetic for this operation. */
fv_numerics fv_call_numerics(const fv_call *call);

/* Fine on a zeroed call. */
void fv_call_release(fv_call *call);

#ifdef __cplusplus
}
#endif
#endif
