/* Max and average pooling by cuDNN, in NHWC and, to be compared with, in NCHW.
 *
 * It takes windows without dilation that reach into the image, and padding that is the same before and after. It has no
 * ceil mode. A maximum's forward pass gives y alone and leaves argmax untouched; its backward pass finds the maximum
 * again from x and y, so both take the same cases. An average that includes padding always divides by the window's
 * size.
 */
#include "backends/cudnn/plan.h"
#include "ops/op.h"

enum { IMAGES, POOLED }; /* the plan's tensors: x and dx, y and dy */

/* cuDNN pads both ends alike and drops what is left of a step. It may still do for uneven padding or ceil, when they
 * make no window more or less. */
static bool evenly_padded(const fv_axis *axis) {
    fv_axis even = *axis;
    even.pad_after = even.pad_before;
    even.ceil = 0;
    return fv_axis_output(&even) == fv_axis_output(axis);
}

/* Whether the last window ends within our padding, so that every divisor is the window's size. */
static bool within_padding(const fv_axis *axis) {
    return (fv_axis_output(axis) - 1) * axis->stride + fv_axis_span(axis) <=
           axis->input + axis->pad_before + axis->pad_after;
}

static const char *supports(const fv_operation *op) {
    const fv_pool2d *d = &op->pool;
    const fv_axis height = fv_pool_vertical(d), width = fv_pool_horizontal(d);
    if (d->n == 0)
        return "cuDNN takes no empty batch";
    if (d->dilation_h != 1 || d->dilation_w != 1)
        return "cuDNN has no dilated pooling";
    if (!evenly_padded(&height) || !evenly_padded(&width))
        return "cuDNN pads both ends of an axis alike";
    if (d->pad_top >= d->r || d->pad_left >= d->s)
        return "a window would lie wholly in the padding";
    if (op->kind == FV_AVGPOOL && op->avgpool.include_pad && !(within_padding(&height) && within_padding(&width)))
        return "cuDNN would count what ceil adds to the padding";
    if (!fv_cudnn_fits(d->n, d->h, d->w, d->c) || !fv_cudnn_fits(d->n, fv_pool_p(d), fv_pool_q(d), d->c))
        return "cuDNN takes at most 2^31 - 1 elements in a tensor";
    return NULL;
}

static cudnnPoolingMode_t mode(const fv_operation *op) {
    return op->kind == FV_MAXPOOL         ? CUDNN_POOLING_MAX_DETERMINISTIC
           : op->avgpool.include_pad == 1 ? CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING
                                          : CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING;
}

static fv_status describe(const fv_operation *op, fv_cudnn_plan *plan) {
    const fv_pool2d *d = &op->pool;
    const fv_cudnn_api *api = &plan->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, plan->layout, d->n, d->h, d->w, d->c, &plan->tensor[IMAGES]));
    FV_TRY(fv_cudnn_tensor_create(api, FV_F32, plan->layout, d->n, fv_pool_p(d), fv_pool_q(d), d->c,
                                  &plan->tensor[POOLED]));
    FV_TRY(FV_CUDNN(api, "create a pooling descriptor", api->pooling_create(&plan->pooling)));
    return FV_CUDNN(api, "describe a pooling",
                    api->pooling_set(plan->pooling, mode(op), CUDNN_PROPAGATE_NAN, (int)d->r, (int)d->s,
                                     (int)d->pad_top, (int)d->pad_left, (int)d->stride_h, (int)d->stride_w));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NHWC, describe, state);
}

static fv_status prepare_nchw(fv_context *context, const fv_operation *op, void **state) {
    return fv_cudnn_prepare(context, op, FV_NCHW, describe, state);
}

static fv_status forward(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context, (void)op;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    return FV_CUDNN(api, "pool",
                    api->pooling_forward(plan->device->handle, plan->pooling, &fv_cudnn_one, plan->tensor[IMAGES],
                                         buffers->at[FV_X], &fv_cudnn_zero, plan->tensor[POOLED], buffers->at[FV_Y]));
}

/* Of an average x and y are not looked at, but cuDNN wants pointers: tensors of the same shape stand in. */
static fv_status backward_data(fv_context *context, const fv_operation *op, void *state, const fv_buffers *buffers) {
    (void)context;
    const fv_cudnn_plan *plan = state;
    const fv_cudnn_api *api = &plan->device->api;
    const cudnnTensorDescriptor_t images = plan->tensor[IMAGES], pooled = plan->tensor[POOLED];
    const void *x = buffers->at[op->kind == FV_MAXPOOL ? FV_X : FV_DX];
    const void *y = buffers->at[op->kind == FV_MAXPOOL ? FV_Y : FV_DY];
    return FV_CUDNN(api, "take the gradient of a pooling",
                    api->pooling_backward(plan->device->handle, plan->pooling, &fv_cudnn_one, pooled, y, pooled,
                                          buffers->at[FV_DY], images, x, &fv_cudnn_zero, images, buffers->at[FV_DX]));
}

#define ROW(kind_, pass_, omits_, run_, name_, prepare_, ...)                                                          \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = name_, .deterministic = true, .omits = omits_,          \
        .supports = supports, .prepare = prepare_, .release = fv_cudnn_release, .run = run_, __VA_ARGS__               \
    }
#define ROWS(kind, pass, omits, run)                                                                                   \
    ROW(kind, pass, omits, run, "cudnn", prepare, .layout = FV_NHWC),                                                  \
        ROW(kind, pass, omits, run, "cudnn_nchw", prepare_nchw, .layout = FV_NCHW, .on_request = true)

const fv_kernel fv_cudnn_pooling_kernels[] = {
    ROWS(FV_MAXPOOL, FV_FORWARD, UINT64_C(1) << FV_ARGMAX, forward),
    /* it looks for the maximum again; which one it takes on a tie is not documented */
    ROWS(FV_MAXPOOL, FV_BACKWARD_DATA, UINT64_C(1) << FV_ARGMAX, backward_data),
    ROWS(FV_AVGPOOL, FV_FORWARD, 0, forward),
    ROWS(FV_AVGPOOL, FV_BACKWARD_DATA, 0, backward_data),
    FV_KERNELS_END,
};
