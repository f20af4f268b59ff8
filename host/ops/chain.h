/* What conv2d_separable and conv2d_spatial share: two conv2d operations, one behind the other. */
#ifndef FOVEA_OPS_CHAIN_H
#define FOVEA_OPS_CHAIN_H

#include "ops/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The two stages of an operation of either kind; the second has the bias. */
void fv_chain_stages(const fv_operation *op, fv_operation stages[2]);

/* Checks both stages under the whole's name; the channels between them are called `middle`. */
fv_status fv_chain_validate(const fv_operation *op, const char *middle);

/* The tensors: x, w, w2, y and their gradients; both filters in all backward passes. */
int fv_chain_signature(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs);

/* Products of both stages, as two calls would do them; going back by weights takes the first stage's result and the
 * second's gradient by its input, too. */
int64_t fv_chain_macs(const fv_operation *op, fv_pass pass);

/* The K of the error bound. A result of the first stage is off by 4 sqrt(K1) u S1; through the second, which adds 4
 * sqrt(K2) u, this makes 4 (sqrt(K1) + sqrt(K2)) u S with S the sum of the absolute products of three; so K = (sqrt(K1)
 * + sqrt(K2))^2, and one more for the terms in u^2. */
int64_t fv_chain_reduction(const fv_operation *op, fv_pass pass, fv_role role);

/* Products of three numbers, K1 * K2 of them in a sum. */
fv_exactness fv_chain_exactness(const fv_operation *op, fv_pass pass);

#ifdef __cplusplus
}
#endif
#endif
