/* Implicit GEMM in bf16 on tensor cores, sums in f32: conv2d_gemm.cuh. A file for each arithmetic, so that they compile
 * side by side. */
#include "conv2d_gemm_plan.cuh"

namespace FV_NAMESPACE {

const fv_kernel conv2d_gemm_bf16_kernels[] = {
    GEMM_ROWS(GEMM_HALF<bf16>, FV_CONV2D, FV_BF16, "implicit_gemm"),
    GEMM_ROWS(GEMM_HALF<bf16>, FV_TRANSPOSED, FV_BF16, "implicit_gemm"),
    GEMM_ROWS(GEMM_HALF<bf16>, FV_LINEAR, FV_BF16, "implicit_gemm"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
