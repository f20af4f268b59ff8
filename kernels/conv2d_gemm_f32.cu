/* Implicit GEMM of f32 by fused multiply-adds: conv2d_gemm.cuh. */
#include "conv2d_gemm_plan.cuh"

namespace FV_NAMESPACE {

const fv_kernel conv2d_gemm_f32_kernels[] = {
    GEMM_ROWS(GEMM_FMA, FV_CONV2D, FV_F32, "implicit_gemm"),
    GEMM_ROWS(GEMM_FMA, FV_TRANSPOSED, FV_F32, "implicit_gemm"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
