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
 * The bias is put into y first, as the product b 1' of depth 1, and the product x w^T is added to it, so that results in
 * 16 bits are rounded once; its gradient is db = dy' 1. 1 is a vector of n ones.
 *
 * f32 is computed in true fp32, tf32 with CUBLAS_COMPUTE_32F_FAST_TF32 (whether that rounds inputs or cuts them off, cuBLAS
 * does not say), bf16 and f16 with products and sums in f32. Bias and db are in f32 in any case. The dtype is the
 * operation's: what the row of f32 is given in tf32, it computes so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backends/cuda/blas.h"
#include "ops/dtype.h"

typedef struct state {
    fv_context *context;
    fv_cublas *blas;
    cudaDataType_t type;           /* of the tensors */
    cublasComputeType_t precision; /* of y, dx and dw */
    void *ones;                    /* n of them on the device; NULL without a bias */
} state;

static const float one = 1.0f, zero = 0.0f;

static fv_status make_ones(state *s, int64_t n, fv_dtype dtype) {
    const size_t bytes = (size_t)n * fv_dtype_size(dtype);
    void *host = malloc(bytes);
    if (!host)
        return fv_fail(FV_NO_MEMORY, "cublas: no memory for %zu bytes", bytes);
    for (int64_t i = 0; i < n; ++i)
        fv_set_element(fv_dtype_stored(dtype), host, i, 1);
    fv_status status = fv_cuda_allocate(s->context, bytes, &s->ones);
    if (status == FV_OK)
        status = fv_cuda_upload(s->context, s->ones, host, bytes);
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
    const fv_linear *d = &op->linear;
    state *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "cublas: no memory for a linear layer");
    s->context = context;
    s->type = d->dtype == FV_BF16 ? CUDA_R_16BF : d->dtype == FV_F16 ? CUDA_R_16F : CUDA_R_32F;
    s->precision = d->dtype == FV_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    fv_status status = fv_cublas_get(context, &s->blas);
    if (status == FV_OK && d->bias && d->n > 0)
        status = make_ones(s, d->n, d->dtype);
    if (status != FV_OK) {
        release(s);
        return status;
    }
    *opaque = s;
    return FV_OK;
}

static void numerics(const fv_operation *op, const void *opaque, fv_numerics *result) {
    (void)op;
    const bool fast = ((const state *)opaque)->precision == CUBLAS_COMPUTE_32F_FAST_TF32;
    result->notes = fast ? FV_NOTE_TF32_CUT : 0;
    snprintf(result->description, sizeof result->description, "%s",
             fast ? "CUBLAS_COMPUTE_32F_FAST_TF32" : "CUBLAS_COMPUTE_32F");
}

/* A matrix in cuBLAS's terms: what is done to it, where it is, and its leading dimension. */
typedef struct matrix {
    cublasOperation_t op;
    const void *at;
    int64_t pitch;
} matrix;

/* result (m x n, leading dimension m) = a b + kept * result */
static fv_status multiply(const state *s, cublasComputeType_t precision, int64_t m, int64_t n, int64_t depth, matrix a,
                          matrix b, const float *kept, void *result) {
    return FV_CUBLAS(s->blas, "multiply",
                     s->blas->api.gemm(s->blas->handle, a.op, b.op, m, n, depth, &one, a.at, s->type, a.pitch, b.at,
                                       s->type, b.pitch, kept, result, s->type, m, precision, CUBLAS_GEMM_DEFAULT));
}

static fv_status forward(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context;
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0)
        return FV_OK;
    if (d->bias)
        FV_TRY(multiply(s, CUBLAS_COMPUTE_32F, d->k, d->n, 1, (matrix){CUBLAS_OP_N, buffers->at[FV_B], d->k},
                        (matrix){CUBLAS_OP_N, s->ones, 1}, &zero, buffers->at[FV_Y]));
    return multiply(s, s->precision, d->k, d->n, d->c, (matrix){CUBLAS_OP_T, buffers->at[FV_W], d->c},
                    (matrix){CUBLAS_OP_N, buffers->at[FV_X], d->c}, d->bias ? &one : &zero, buffers->at[FV_Y]);
}

static fv_status backward_data(fv_context *context, const fv_operation *op, void *opaque, const fv_buffers *buffers) {
    (void)context;
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0)
        return FV_OK;
    return multiply(s, s->precision, d->c, d->n, d->k, (matrix){CUBLAS_OP_N, buffers->at[FV_W], d->c},
                    (matrix){CUBLAS_OP_N, buffers->at[FV_DY], d->k}, &zero, buffers->at[FV_DX]);
}

static fv_status backward_weights(fv_context *context, const fv_operation *op, void *opaque,
                                  const fv_buffers *buffers) {
    const state *s = opaque;
    const fv_linear *d = &op->linear;
    if (d->n == 0) { /* sums over nothing */
        const size_t size = fv_dtype_size(d->dtype);
        FV_TRY(fv_cuda_fill(context, buffers->at[FV_DW], 0, (size_t)(d->k * d->c) * size));
        return d->bias ? fv_cuda_fill(context, buffers->at[FV_DB], 0, (size_t)d->k * size) : FV_OK;
    }
    FV_TRY(multiply(s, s->precision, d->c, d->k, d->n, (matrix){CUBLAS_OP_N, buffers->at[FV_X], d->c},
                    (matrix){CUBLAS_OP_T, buffers->at[FV_DY], d->k}, &zero, buffers->at[FV_DW]));
    if (!d->bias)
        return FV_OK;
    return multiply(s, CUBLAS_COMPUTE_32F, d->k, 1, d->n, (matrix){CUBLAS_OP_N, buffers->at[FV_DY], d->k},
                    (matrix){CUBLAS_OP_N, s->ones, d->n}, &zero, buffers->at[FV_DB]);
}

/* At what cuBLAS reaches on large products: on tensor cores the chip's rate, which is taken from that, and 47 of 60 of what
 * f32 can. Small ones are bound by their operands. Bias and db take a call of their own, and the bias a second look at y. */
static double estimate(const fv_operation *op, const fv_chip *chip, fv_pass pass) {
    const fv_linear *d = &op->linear;
    const double rate = d->dtype == FV_TF32  ? chip->tensor_tf32
                        : d->dtype == FV_F32 ? chip->fma * 47 / 60
                                             : chip->tensor_half;
    const double size = (double)fv_dtype_size(d->dtype), again = d->bias && pass == FV_FORWARD ? 2 : 0;
    const double multiply = 2 * (double)fv_operation_macs(op, pass) / rate;
    const double move =
        ((double)fv_operation_bytes(op, pass) + again * size * (double)d->n * (double)d->k) / chip->bandwidth;
    const int calls = 1 + (d->bias && pass != FV_BACKWARD_DATA);
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

#define ROW(direction, dtype_, function)                                                                               \
    {                                                                                                                  \
        .kind = FV_LINEAR, .pass = direction, .dtype = dtype_, .name = "cublas", .deterministic = true,                \
        .prepare = prepare, .release = release, .estimate = estimate_##function, .numerics = numerics, .run = function \
    }
#define ROWS(dtype)                                                                                                    \
    ROW(FV_FORWARD, dtype, forward), ROW(FV_BACKWARD_DATA, dtype, backward_data),                                      \
        ROW(FV_BACKWARD_WEIGHTS, dtype, backward_weights)

const fv_kernel fv_cublas_kernels[] = {ROWS(FV_F32), ROWS(FV_TF32), ROWS(FV_BF16), ROWS(FV_F16), FV_KERNELS_END};
