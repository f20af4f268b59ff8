/* Max and average pooling by cuDNN.
 *
 * It takes windows without dilation that reach into the image, and padding that is the same before and after. It has no
 * ceil mode. A maximum's forward pass gives y alone and leaves argmax untouched; its backward pass finds the maximum
 * again from x and y, so both take the same cases. An average that includes padding always divides by the window's
 * size.
 */
#include <stdlib.h>

#include "backends/cudnn/cudnn.h"
#include "ops/op.h"

typedef struct state {
    const fv_cudnn_device *device;
    cudnnPoolingDescriptor_t pooling;
    cudnnTensorDescriptor_t x, y;
} state;

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

static void release(void *opaque) {
    state *s = opaque;
    if (!s)
        return;
    const fv_cudnn_api *api = &s->device->api;
    if (s->pooling)
        (void)api->pooling_destroy(s->pooling);
    if (s->x)
        (void)api->tensor_destroy(s->x);
    if (s->y)
        (void)api->tensor_destroy(s->y);
    free(s);
}

static cudnnPoolingMode_t mode(const fv_operation *op) {
    return op->kind == FV_MAXPOOL         ? CUDNN_POOLING_MAX_DETERMINISTIC
           : op->avgpool.include_pad == 1 ? CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING
                                          : CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING;
}

static fv_status describe(state *s, const fv_operation *op) {
    const fv_pool2d *d = &op->pool;
    const fv_cudnn_api *api = &s->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, d->n, d->h, d->w, d->c, &s->x));
    FV_TRY(fv_cudnn_tensor_create(api, d->n, fv_pool_p(d), fv_pool_q(d), d->c, &s->y));
    FV_TRY(FV_CUDNN(api, "create a pooling descriptor", api->pooling_create(&s->pooling)));
    return FV_CUDNN(api, "describe a pooling",
                    api->pooling_set(s->pooling, mode(op), CUDNN_PROPAGATE_NAN, (int)d->r, (int)d->s, (int)d->pad_top,
                                     (int)d->pad_left, (int)d->stride_h, (int)d->stride_w));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **opaque) {
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a pooling");
    s->device = device;
    const fv_status status = describe(s, op);
    if (status != FV_OK) {
        release(s);
        return status;
    }
    *opaque = s;
    return FV_OK;
}

static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    return FV_CUDNN(api, "pool",
                    api->pooling_forward(s->device->handle, s->pooling, &alpha, s->x, buffers->at[FV_X], &beta, s->y,
                                         buffers->at[FV_Y]));
}

/* Of an average x and y are not looked at, but cuDNN wants pointers: tensors of the same shape stand in. */
static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    const void *x = buffers->at[op->kind == FV_MAXPOOL ? FV_X : FV_DX];
    const void *y = buffers->at[op->kind == FV_MAXPOOL ? FV_Y : FV_DY];
    return FV_CUDNN(api, "take the gradient of a pooling",
                    api->pooling_backward(s->device->handle, s->pooling, &alpha, s->y, y, s->y, buffers->at[FV_DY],
                                          s->x, x, &beta, s->x, buffers->at[FV_DX]));
}

#define ROW(kind_, pass_, omits_, run_)                                                                                \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = FV_F32, .name = "cudnn", .deterministic = true, .omits = omits_,        \
        .supports = supports, .prepare = prepare, .release = release, .run = run_                                      \
    }

const fv_kernel fv_cudnn_pooling_kernels[] = {
    ROW(FV_MAXPOOL, FV_FORWARD, UINT64_C(1) << FV_ARGMAX, forward),
    /* it looks for the maximum again; which one it takes on a tie is not documented */
    ROW(FV_MAXPOOL, FV_BACKWARD_DATA, UINT64_C(1) << FV_ARGMAX, backward_data),
    ROW(FV_AVGPOOL, FV_FORWARD, 0, forward),
    ROW(FV_AVGPOOL, FV_BACKWARD_DATA, 0, backward_data),
    FV_KERNELS_END,
};
