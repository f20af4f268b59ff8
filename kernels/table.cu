/* The kernel table: every kernel file's rows. A new file adds its array here and to kernel.cuh. */
#include "kernel.cuh"

#ifdef FV_EMULATED
#define FV_TABLES fv_emulated_tables
#else
#define FV_TABLES fv_cuda_tables
#endif

extern "C" {
extern const fv_kernel fv_cublas_kernels[]; /* host/backends/cuda/linear.c */
extern const fv_kernel *const FV_TABLES[];
const fv_kernel *const FV_TABLES[] = {
#ifndef FV_EMULATED
    fv_cublas_kernels,
#endif
    /* In the order of fv_kind. Of rows that expect the same, or nothing, the first that can is chosen: those for a kind of
     * conv2d come before those for any. */
    FV_NAMESPACE::conv2d_depthwise_sliding_kernels,
    FV_NAMESPACE::conv2d_depthwise_sliding_weights_kernels,
    FV_NAMESPACE::conv2d_depthwise_sweep_kernels,
    FV_NAMESPACE::conv2d_depthwise_kernels,
    FV_NAMESPACE::conv2d_grouped_kernels,
    FV_NAMESPACE::conv2d_dilated_kernels,
    FV_NAMESPACE::conv2d_pointwise_kernels,
    FV_NAMESPACE::conv2d_few_kernels,
    FV_NAMESPACE::conv2d_gemm_bf16_kernels,
    FV_NAMESPACE::conv2d_gemm_f16_kernels,
    FV_NAMESPACE::conv2d_gemm_tf32_kernels,
    FV_NAMESPACE::conv2d_gemm_3xtf32_kernels,
    FV_NAMESPACE::conv2d_gemm_f32_kernels,
    FV_NAMESPACE::conv2d_kernels,
    FV_NAMESPACE::conv2d_winograd_kernels,
    FV_NAMESPACE::conv2d_im2col_kernels, /* to compare with */
    FV_NAMESPACE::conv2d_transposed_kernels,
    FV_NAMESPACE::conv2d_separable_mma_kernels,
    FV_NAMESPACE::conv2d_separable_kernels,
    FV_NAMESPACE::conv2d_spatial_kernels,
    fv_unfused_kernels, /* stands in where those cannot */
    FV_NAMESPACE::conv2d_unshared_kernels,
    FV_NAMESPACE::conv2d_deformable_kernels,
    FV_NAMESPACE::maxpool_kernels,
    FV_NAMESPACE::avgpool_kernels,
    FV_NAMESPACE::unpool_kernels,
    FV_NAMESPACE::upsample_kernels,
    FV_NAMESPACE::linear_kernels,
    FV_NAMESPACE::batchnorm_kernels,
    fv_unfused_batchnorm_kernels,
    FV_NAMESPACE::relu_kernels,
    FV_NAMESPACE::dropout_kernels,
    FV_NAMESPACE::concat_kernels,
    FV_NAMESPACE::add_kernels,
    FV_NAMESPACE::flatten_kernels,
    FV_NAMESPACE::softmax_xent_kernels,
    FV_NAMESPACE::batch_kernels,
    FV_NAMESPACE::update_kernels,
    NULL,
};
}
