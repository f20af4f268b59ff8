/* What the chip can do: measured, and kept from run to run.
 *
 * Two ceilings bound every kernel: how fast it can move bytes, and how fast it can multiply. The first is measured by a
 * copy within the device's memory (bytes read plus bytes written), the second by a large matrix product through
 * whatever library there is: the fastest `linear` row in true arithmetic of the dtype. Of a few samples the fastest
 * counts. The floor of a case is the larger of its arithmetic at the second rate and its least traffic at the first: no
 * version runs much faster (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). Winograd's and FFT's
 * kernels can go below the floor of their arithmetic.
 */
#ifndef FOVEA_MEASURE_CEILINGS_H
#define FOVEA_MEASURE_CEILINGS_H

#include "measure/measure.h"

typedef struct fv_ceilings {
    double copy;                    /* bytes per second */
    double product[FV_DTYPES];      /* FLOP per second by dtype; 0: not known */
    char product_by[FV_DTYPES][64]; /* who reached it: "cublas linear", "onednn linear 4096x4096x4096" */
    char measured[32];              /* when, UTC, ISO 8601 */
    bool cached;                    /* read from the file of an earlier run */
} fv_ceilings;

/* Measures the ceilings of the context's device, or takes them from $XDG_CACHE_HOME/fovea (~/.cache/fovea), where they
 * are kept under the device's and the libraries' names; `afresh`: measures in any case. A cache that cannot be read or
 * written is no error. CPU backends share the CPU's ceilings, by oneDNN if it is in the build. */
fv_status fv_ceilings_get(fv_context *context, bool afresh, fv_ceilings *ceilings);

typedef struct fv_floor {
    int64_t flop, bytes; /* 2 per multiply-accumulate; every input read once, every output written once */
    double seconds;
    bool compute_bound; /* else by memory */
} fv_floor;
fv_floor fv_floor_of(const fv_ceilings *ceilings, const fv_operation *op, fv_pass pass);

/* The family whose goals and means an operation counts for: "conv2d", "pointwise", "depthwise", "grouped", "dilated" of
 * conv2d's; else the kind's name. */
const char *fv_family(const fv_operation *op);

#endif
