#include "backends/cuda/product.h"

#include "backends/cuda/blas.h"

fv_status fv_cublas_ready(fv_context *context) {
    fv_cublas *blas = NULL;
    return fv_cublas_get(context, &blas);
}

/* cuBLAS is column-major: what it takes for a matrix is the transpose of ours (see linear.c). So it is given b, then a,
 * and makes result' = b' a'; an operand that is transposed already it has to transpose back. */
fv_status fv_cublas_multiply(fv_context *context, const fv_product *product) {
    const float one = 1.0f, kept = product->accumulate ? 1.0f : 0.0f;
    const fv_matrix *a = &product->a, *b = &product->b;
    fv_cublas *blas = NULL;
    FV_TRY(fv_cublas_get(context, &blas));
    return FV_CUBLAS(blas, "multiply",
                     blas->api.sgemm_batched(blas->handle, b->transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                                             a->transposed ? CUBLAS_OP_T : CUBLAS_OP_N, product->n, product->m,
                                             product->depth, &one, b->data, b->pitch, b->next, a->data, a->pitch,
                                             a->next, &kept, product->result, product->pitch, product->next,
                                             product->count));
}
