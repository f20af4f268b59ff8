/* Implicit GEMM in f16 on tensor cores, sums in f32: conv2d_gemm.cuh. */
#include "conv2d_gemm_plan.cuh"

namespace FV_NAMESPACE {

const fv_kernel conv2d_gemm_f16_kernels[] = {
    GEMM_ROWS(GEMM_HALF<f16>, FV_CONV2D, FV_F16, "implicit_gemm"),
    GEMM_ROWS(GEMM_HALF<f16>, FV_TRANSPOSED, FV_F16, "implicit_gemm"),
    GEMM_ROWS(GEMM_HALF<f16>, FV_LINEAR, FV_F16, "implicit_gemm"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
