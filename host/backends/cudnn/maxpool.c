/* Max pooling by cuDNN.
 *
 * Forward gives y alone and leaves argmax untouched; backward finds the maximum again from x and y. Both therefore take
 * the same cases: windows without dilation that reach into the image, and padding that is the same before and after.
 */
#include <stdlib.h>

#include "backends/cudnn/cudnn.h"
#include "ops/op.h"

typedef struct state {
    const fv_cudnn_device *device;
    cudnnPoolingDescriptor_t pooling;
    cudnnTensorDescriptor_t x, y;
} state;

/* cuDNN pads both ends alike. It may still do for uneven padding, when the end's padding makes no window more or less.
 */
static bool evenly_padded(const fv_axis *axis) {
    fv_axis even = *axis;
    even.pad_after = even.pad_before;
    return fv_axis_output(&even) == fv_axis_output(axis);
}

static const char *supports(const fv_operation *op) {
    const fv_maxpool *d = &op->maxpool;
    const fv_axis height = fv_pool_vertical(&op->pool);
    const fv_axis width = fv_pool_horizontal(&op->pool);
    if (d->n == 0)
        return "cuDNN takes no empty batch";
    if (d->dilation_h != 1 || d->dilation_w != 1)
        return "cuDNN has no dilated pooling";
    if (!evenly_padded(&height) || !evenly_padded(&width))
        return "cuDNN pads both ends of an axis alike";
    if (d->pad_top >= d->r || d->pad_left >= d->s)
        return "a window would lie wholly in the padding";
    if (!fv_cudnn_fits(d->n, d->h, d->w, d->c) || !fv_cudnn_fits(d->n, fv_maxpool_p(d), fv_maxpool_q(d), d->c))
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

static fv_status describe(state *s, const fv_maxpool *d) {
    const fv_cudnn_api *api = &s->device->api;
    FV_TRY(fv_cudnn_tensor_create(api, d->n, d->h, d->w, d->c, &s->x));
    FV_TRY(fv_cudnn_tensor_create(api, d->n, fv_maxpool_p(d), fv_maxpool_q(d), d->c, &s->y));
    FV_TRY(FV_CUDNN(api, "create a pooling descriptor", api->pooling_create(&s->pooling)));
    return FV_CUDNN(api, "describe a pooling",
                    api->pooling_set(s->pooling, CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_PROPAGATE_NAN, (int)d->r,
                                     (int)d->s, (int)d->pad_top, (int)d->pad_left, (int)d->stride_h, (int)d->stride_w));
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **opaque) {
    fv_cudnn_device *device = NULL;
    FV_TRY(fv_cudnn_get(context, &device));
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cudnn: no memory for a pooling");
    s->device = device;
    const fv_status status = describe(s, &op->maxpool);
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

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context, (void)op;
    const state *s = opaque;
    const fv_cudnn_api *api = &s->device->api;
    const float alpha = 1.0f, beta = 0.0f;
    return FV_CUDNN(api, "take the gradient of a pooling",
                    api->pooling_backward(s->device->handle, s->pooling, &alpha, s->y, buffers->at[FV_Y], s->y,
                                          buffers->at[FV_DY], s->x, buffers->at[FV_X], &beta, s->x,
                                          buffers->at[FV_DX]));
}

const fv_kernel fv_cudnn_maxpool_kernels[] = {
    {.kind = FV_MAXPOOL,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "cudnn",
     .deterministic = true,
     .omits = UINT64_C(1) << FV_ARGMAX,
     .supports = supports,
     .prepare = prepare,
     .release = release,
     .run = forward},
    {.kind = FV_MAXPOOL,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "cudnn",
     .deterministic = true,
     .omits = UINT64_C(1) << FV_ARGMAX, /* it looks for the maximum again; which one it takes on a tie is not documented */
     .supports = supports,
     .prepare = prepare,
     .release = release,
     .run = backward_data},
    FV_KERNELS_END,
};
