/* Implicit GEMM on f32 tensors with factors rounded to tf32, on tensor cores: conv2d_gemm.cuh. */
#include "conv2d_gemm_plan.cuh"

namespace FV_NAMESPACE {

const fv_kernel conv2d_gemm_tf32_kernels[] = {
    GEMM_ROWS(GEMM_TF32, FV_CONV2D, FV_TF32, "implicit_gemm"),
    GEMM_ROWS(GEMM_TF32, FV_TRANSPOSED, FV_TF32, "implicit_gemm"),
    GEMM_ROWS(GEMM_TF32, FV_LINEAR, FV_TF32, "implicit_gemm"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
