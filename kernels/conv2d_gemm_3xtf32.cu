/* Implicit GEMM of f32 by three products of tf32 each, on tensor cores: conv2d_gemm.cuh and, for the error,
 * conv2d_gemm_multiply.cuh. */
#include "conv2d_gemm_plan.cuh"

namespace FV_NAMESPACE {

const fv_kernel conv2d_gemm_3xtf32_kernels[] = {
    GEMM_ROWS(GEMM_3XTF32, FV_CONV2D, FV_F32, "3xtf32"),
    GEMM_ROWS(GEMM_3XTF32, FV_TRANSPOSED, FV_F32, "3xtf32"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
