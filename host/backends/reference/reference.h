/* The reference backend: plain loops in double precision, the truth that every other kernel is held against.
 *
 * Each operation is a function on double tensors. Its f64 row runs it as it is; its rows of other dtypes widen the
 * inputs, run the same loops and round the results once, so there is one text per operation and every result is the
 * double result rounded.
 */
#ifndef FOVEA_BACKENDS_REFERENCE_REFERENCE_H
#define FOVEA_BACKENDS_REFERENCE_REFERENCE_H

#include "backends/kernel.h"

/* The loops of one pass. Floating-point tensors are double whatever the operation's dtype says. */
typedef void fv_reference_loops(const fv_operation *op, void *const at[FV_ROLES]);

/* Widens, runs, rounds. */
fv_status fv_reference_run_narrow(const fv_operation *op, fv_pass pass, fv_reference_loops *loops,
                                  const fv_buffers *buffers);

extern const fv_kernel fv_reference_conv2d[], fv_reference_transposed[], fv_reference_chain[], fv_reference_unshared[],
    fv_reference_deformable[], fv_reference_maxpool[], fv_reference_avgpool[], fv_reference_unpool[],
    fv_reference_upsample[], fv_reference_linear[], fv_reference_batchnorm[], fv_reference_relu[],
    fv_reference_dropout[], fv_reference_concat[], fv_reference_add[], fv_reference_flatten[],
    fv_reference_softmax_xent[], fv_reference_batch[], fv_reference_update[];

/* ---- what several loops begin or end with ---- */

/* Zeroes what sums are added up in. */
static inline void fv_reference_clear(double *sums, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i)
        sums[i] = 0;
}

/* y of `outputs` elements, `count` biases over and over: b, or zeros where b is NULL. */
void fv_reference_begin_with_bias(double *y, int64_t outputs, const double *b, int64_t count);

/* The gradient of those biases. */
void fv_reference_sum_bias(double *db, int64_t count, const double *dy, int64_t outputs);

/* ---- rows ---- */

/* Defines LOOPS_narrow and LOOPS_f64, the run functions of rows. */
#define FV_REFERENCE_RUN(loops, which_pass)                                                                            \
    static fv_status loops##_narrow(fv_context *context, const fv_operation *op, void *state,                          \
                                    const fv_buffers *buffers) {                                                       \
        (void)context, (void)state;                                                                                    \
        return fv_reference_run_narrow(op, which_pass, loops, buffers);                                                \
    }                                                                                                                  \
    static fv_status loops##_f64(fv_context *context, const fv_operation *op, void *state,                             \
                                 const fv_buffers *buffers) {                                                          \
        (void)context, (void)state;                                                                                    \
        loops(op, buffers->at);                                                                                        \
        return FV_OK;                                                                                                  \
    }

#define FV_REFERENCE_ROW(which_kind, which_pass, which_dtype, run_)                                                    \
    {                                                                                                                  \
        .kind = which_kind, .pass = which_pass, .dtype = which_dtype, .name = "loops", .deterministic = true,          \
        .fuses_relu = true, .run = run_                                                                                \
    }

/* The rows of f32 and f64. */
#define FV_REFERENCE_ROWS(which_kind, which_pass, loops)                                                               \
    FV_REFERENCE_ROW(which_kind, which_pass, FV_F32, loops##_narrow),                                                  \
        FV_REFERENCE_ROW(which_kind, which_pass, FV_F64, loops##_f64)

/* Those of every dtype: f32's serves tf32. */
#define FV_REFERENCE_ALL_ROWS(which_kind, which_pass, loops)                                                           \
    FV_REFERENCE_ROWS(which_kind, which_pass, loops),                                                                  \
        FV_REFERENCE_ROW(which_kind, which_pass, FV_BF16, loops##_narrow),                                             \
        FV_REFERENCE_ROW(which_kind, which_pass, FV_F16, loops##_narrow)

#endif
