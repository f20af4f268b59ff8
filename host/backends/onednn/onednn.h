/* What the files of the oneDNN backend share. No other folder calls oneDNN.
 *
 * Every operation that oneDNN computes goes the same way. Its design function describes the primitive and says which
 * argument belongs to which tensor; fv_onednn_prepare turns that into a plan: the primitive, a reorder for each
 * argument that the primitive wants in another layout than ours, and a place in the workspace for the reordered copies
 * and for the primitives' own scratch memory. Running a plan only points the plan's memories at the caller's tensors
 * and executes.
 */
#ifndef FOVEA_BACKENDS_ONEDNN_ONEDNN_H
#define FOVEA_BACKENDS_ONEDNN_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "backends/kernel.h"

/* context->device */
typedef struct fv_onednn_device {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
} fv_onednn_device;

/* FV_OK, or a failure that says "onednn: cannot WHAT: STATUS". */
fv_status fv_onednn_check(dnnl_status_t status, const char *what);

/* One argument of a primitive: the tensor it is, and how that tensor lies in memory. */
typedef struct fv_onednn_operand {
    fv_role role;
    int argument; /* DNNL_ARG_... */
    dnnl_memory_desc_t layout;
} fv_onednn_operand;

enum { FV_ONEDNN_OPERANDS = 9 };

typedef struct fv_onednn_design {
    dnnl_engine_t engine;
    const_dnnl_primitive_attr_t attributes;
    /* filled in by the design function */
    dnnl_primitive_desc_t primitive;
    int count;
    fv_onednn_operand operands[FV_ONEDNN_OPERANDS];
} fv_onednn_design;

/* Creates design->primitive for a oneDNN operation descriptor. `hint` is the forward primitive of a backward one, or
 * NULL. */
fv_status fv_onednn_design_primitive(fv_onednn_design *design, const_dnnl_op_desc_t descriptor,
                                     const_dnnl_primitive_desc_t hint);

/* How oneDNN calls what tensors of an operation's dtype are stored as. To primitives the results are f32 in any case: not
 * every implementation for bf16 would round them only once, as a reorder behind it does. */
dnnl_data_type_t fv_onednn_type(fv_dtype dtype);

/* fv_kernel.lacks of rows of bf16. */
const char *fv_onednn_lacks_bf16(const fv_context *context);
#define FV_ONEDNN_LACKS(dtype) ((dtype) == FV_BF16 ? fv_onednn_lacks_bf16 : NULL)

void fv_onednn_design_operand(fv_onednn_design *design, fv_role role, int argument, const dnnl_memory_desc_t *layout);

/* Describes a memory; tag dnnl_format_tag_any leaves the layout to oneDNN. */
fv_status fv_onednn_layout(dnnl_memory_desc_t *layout, int rank, const int64_t *dims, dnnl_data_type_t type,
                           dnnl_format_tag_t tag);

/* ---- what the rows need ---- */

/* fv_kernel.prepare with the operation's design function; the others as they stand. `items` is the batch: with none
 * there is no plan, and running zeroes the weight gradients. */
fv_status fv_onednn_prepare(fv_context *context, const fv_operation *op, int64_t items,
                            fv_status (*describe)(const fv_operation *op, fv_onednn_design *design), void **state);
void fv_onednn_release(void *state);
size_t fv_onednn_workspace(const fv_operation *op, const void *state);
#define FV_ONEDNN_WORKSPACE_RULE "oneDNN's reorders and scratchpads"

/* Describes the primitive's implementation in oneDNN's words, such as "jit:avx512_core"; nothing without a batch. */
void fv_onednn_numerics(const fv_operation *op, const void *state, fv_numerics *numerics);
fv_status fv_onednn_run(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers);

/* oneDNN's generated code counts in 32 bits here and there. NULL if every tensor of the operation has fewer than 2^31
 * elements and one image, with its padding, a stride and the filter's reach, stays below 2^31 bytes; else the reason.
 * `reach` is height then width of all that together. */
const char *fv_onednn_too_large(const fv_operation *op, int64_t channels, const double reach[2]);

extern const fv_kernel fv_onednn_conv2d[], fv_onednn_pooling[], fv_onednn_upsample[], fv_onednn_linear[],
    fv_onednn_batchnorm[], fv_onednn_plain[], fv_onednn_moves[];

#endif
