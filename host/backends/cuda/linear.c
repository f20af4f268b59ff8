/* Linear layers by cuBLAS: y = x w^T + b, dx = dy w, dw = dy^T x, db = dy^T 1.
 *
 * cuBLAS is column-major and we are row-major. A row-major matrix of R rows and C columns is, byte for byte, the
 * column-major matrix of C rows and R columns that is its transpose, with leading dimension C. So cuBLAS sees
 *
 *     x [n,c] as x' (c x n, leading dimension c)     w [k,c] as w' (c x k, c)     y [n,k] as y' (k x n, k)
 *
 * where ' is the transpose, and the products become
 *
 *     forward           y  = x w^T     y'  = w x'  = (w')^T x'      k x n, inner c    op T, N
 *     backward_data     dx = dy w      dx' = w' dy'                 c x n, inner k    op N, N
 *     backward_weights  dw = dy^T x    dw' = x' dy = x' (dy')^T     c x k, inner n    op N, T
 *
 * The bias is the rank-1 update y' += b 1^T (sger) and its gradient db = dy' 1 (sgemv), with a vector of n ones.
 */
#include <stdlib.h>

#include "backends/cuda/blas.h"

typedef struct state {
    fv_context *context;
    fv_cublas *blas;
    float *ones; /* n of them on the device; NULL without a bias */
} state;

static const float one = 1.0f, zero = 0.0f;

static fv_status make_ones(state *s, int64_t n) {
    const size_t bytes = (size_t)n * sizeof(float);
    float *host = malloc(bytes);
    if (!host)
        return fv_fail(FV_NO_MEMORY, "cublas: no memory for %zu bytes", bytes);
    for (int64_t i = 0; i < n; ++i)
        host[i] = 1.0f;
    void *device = NULL;
    fv_status status = fv_cuda_allocate(s->context, bytes, &device);
    if (status == FV_OK)
        status = fv_cuda_upload(s->context, device, host, bytes);
    s->ones = device;
    free(host);
    return status;
}

static void release(void *opaque) {
    state *s = opaque;
    if (!s)
        return;
    fv_cuda_deallocate(s->context, s->ones);
    free(s);
}

static fv_status prepare(fv_context *context, const fv_operation *op, void **opaque) {
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cublas: no memory for a linear layer");
    s->context = context;
    fv_status status = fv_cublas_get(context, &s->blas);
    if (status == FV_OK && op->linear.bias && op->linear.n > 0)
        status = make_ones(s, op->linear.n);
    if (status != FV_OK) {
        release(s);
        return status;
    }
    *opaque = s;
    return FV_OK;
}

static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context;
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0)
        return FV_OK;
    FV_TRY(FV_CUBLAS(s->blas, "multiply",
                     s->blas->api.sgemm(s->blas->handle, CUBLAS_OP_T, CUBLAS_OP_N, d->k, d->n, d->c, &one,
                                        buffers->at[FV_W], d->c, buffers->at[FV_X], d->c, &zero, buffers->at[FV_Y],
                                        d->k)));
    if (!d->bias)
        return FV_OK;
    return FV_CUBLAS(s->blas, "add the bias",
                     s->blas->api.sger(s->blas->handle, d->k, d->n, &one, buffers->at[FV_B], 1, s->ones, 1,
                                       buffers->at[FV_Y], d->k));
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context;
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0)
        return FV_OK;
    return FV_CUBLAS(s->blas, "multiply",
                     s->blas->api.sgemm(s->blas->handle, CUBLAS_OP_N, CUBLAS_OP_N, d->c, d->n, d->k, &one,
                                        buffers->at[FV_W], d->c, buffers->at[FV_DY], d->k, &zero, buffers->at[FV_DX],
                                        d->c));
}

static fv_status backward_weights(fv_context *context, const fv_operation *op, void *opaque,
                                  const fv_buffers *buffers) {
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0) { /* sums over nothing */
        FV_TRY(fv_cuda_fill(context, buffers->at[FV_DW], 0, (size_t)(d->k * d->c) * sizeof(float)));
        return d->bias ? fv_cuda_fill(context, buffers->at[FV_DB], 0, (size_t)d->k * sizeof(float)) : FV_OK;
    }
    FV_TRY(FV_CUBLAS(s->blas, "multiply",
                     s->blas->api.sgemm(s->blas->handle, CUBLAS_OP_N, CUBLAS_OP_T, d->c, d->k, d->n, &one,
                                        buffers->at[FV_X], d->c, buffers->at[FV_DY], d->k, &zero, buffers->at[FV_DW],
                                        d->c)));
    if (!d->bias)
        return FV_OK;
    return FV_CUBLAS(s->blas, "sum the bias gradient",
                     s->blas->api.sgemv(s->blas->handle, CUBLAS_OP_N, d->k, d->n, &one, buffers->at[FV_DY], d->k,
                                        s->ones, 1, &zero, buffers->at[FV_DB], 1));
}

/* At what cuBLAS reaches of the f32 peak on large products, 47 of 67 TFLOP/s; small ones are bound by their operands. The
 * bias takes a call of its own. */
static double estimate(const fv_operation *op, const fv_chip *chip, fv_pass pass) {
    const double multiply = 2 * (double)fv_operation_macs(op, pass) / (chip->fma * 47 / 60);
    const double move = (double)fv_operation_bytes(op, pass) / chip->bandwidth;
    const int calls = 1 + (op->linear.bias && pass != FV_BACKWARD_DATA);
    return (multiply > move ? multiply : move) + chip->launch * calls;
}

static double estimate_forward(const fv_operation *op, const fv_chip *chip) {
    return estimate(op, chip, FV_FORWARD);
}

static double estimate_backward_data(const fv_operation *op, const fv_chip *chip) {
    return estimate(op, chip, FV_BACKWARD_DATA);
}

static double estimate_backward_weights(const fv_operation *op, const fv_chip *chip) {
    return estimate(op, chip, FV_BACKWARD_WEIGHTS);
}

#define ROW(direction, function)                                                                                       \
    {                                                                                                                  \
        .kind = FV_LINEAR, .pass = direction, .dtype = FV_F32, .name = "cublas", .deterministic = true,                \
        .prepare = prepare, .release = release, .estimate = estimate_##function, .run = function                       \
    }

const fv_kernel fv_cublas_kernels[] = {
    ROW(FV_FORWARD, forward),
    ROW(FV_BACKWARD_DATA, backward_data),
    ROW(FV_BACKWARD_WEIGHTS, backward_weights),
    FV_KERNELS_END,
};
