/* What every kernel file includes: one source for two worlds.
 *
 * Compiled by nvcc, a kernel file is CUDA in namespace fv_cuda. Compiled as C++ with -DFV_EMULATED, it is the same code
 * on the CPU in namespace fv_emulated, run by the emulator (emulator/emulator.h). Both can be linked into one program.
 *
 *     FV_LAUNCH(context, kernel, grid, block, shared_bytes, arguments...)
 *         runs a kernel on the context's stream; an expression of type fv_status. A template goes in parentheses:
 *         FV_LAUNCH(context, (kernel<4, 8>), ...). The grid must not be empty: with nothing to do, do not launch.
 *         Above 48 KiB of shared memory it opts in to as much, on every launch, as the setting belongs to a device.
 *     FV_DYNAMIC_SHARED(float, tile);
 *         declares the launch's dynamic shared memory within a kernel, 16-byte aligned.
 *     FV_UNROLL
 *         stands before a loop of few, fixed turns whose arrays are to live in registers; FV_NO_UNROLL before one that
 *         must not be unrolled, lest it need more registers than there are.
 *
 * Asynchronous copies to shared memory: async_copy.cuh. Tensor cores: mma.cuh. Numbers of 16 bits: half.cuh.
 */
#ifndef FOVEA_KERNEL_CUH
#define FOVEA_KERNEL_CUH

#include <math.h>
#include <stdint.h>

#include "backends/kernel.h"
#include "base/error.h"

#ifdef FV_EMULATED

#include "emulator/emulator.h"

#define FV_NAMESPACE fv_emulated

#else

#include <cuda_runtime.h>

#define FV_NAMESPACE fv_cuda

extern "C" cudaStream_t fv_cuda_stream(const fv_context *context);

namespace fv_cuda {

inline fv_status launched(const char *kernel) {
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? FV_OK : fv_fail(FV_DEVICE, "kernel %s: %s", kernel, cudaGetErrorString(error));
}

/* Lets a kernel have as much shared memory on the current device as any device has, static and dynamic together: always
 * the same, since the setting is the process's and another thread may launch the kernel with more. Below half of the 48 KiB
 * that need no setting the static memory cannot matter. A failure stays behind as the last error, which launched() tells
 * of. */
template <typename KERNEL>
void opt_in(KERNEL *kernel, size_t shared_bytes) {
    cudaFuncAttributes attributes;
    if (shared_bytes > 24 * 1024 && cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess)
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             99 * 1024 - static_cast<int>(attributes.sharedSizeBytes));
}

} // namespace fv_cuda

#define FV_LAUNCH(context, kernel, grid, block, shared_bytes, ...)                                                     \
    (fv_cuda::opt_in(kernel, (shared_bytes)),                                                                          \
     kernel<<<(grid), (block), (shared_bytes), fv_cuda_stream(context)>>>(__VA_ARGS__), fv_cuda::launched(#kernel))

#define FV_DYNAMIC_SHARED(type, name)                                                                                  \
    extern __shared__ __align__(16) unsigned char fv_dynamic_shared[];                                                 \
    type *const name = reinterpret_cast<type *>(fv_dynamic_shared)

#define FV_UNROLL _Pragma("unroll")
#define FV_NO_UNROLL _Pragma("unroll 1")

#endif

/* A row names the fields that it fills; the others are zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* A row of the kernel table for deterministic arithmetic on sm_80 and later: its method, and the other fields that it
 * fills. */
#define FV_KERNEL(kind_, pass_, dtype_, method, ...)                                                                   \
    {                                                                                                                  \
        .kind = kind_, .pass = pass_, .dtype = dtype_, .name = method, .min_capability = 80, .deterministic = true,    \
        __VA_ARGS__                                                                                                    \
    }
#define FV_KERNEL_F32(kind_, pass_, method, ...) FV_KERNEL(kind_, pass_, FV_F32, method, __VA_ARGS__)

namespace FV_NAMESPACE {

constexpr int WARP = 32;
constexpr int ELEMENTWISE_THREADS = 256;
constexpr int64_t MAX_BLOCKS = INT32_MAX;
constexpr int64_t MAX_SHARED_BYTES = 48 * 1024;        /* what a block may have without opting in to more, */
constexpr int64_t MAX_SHARED_BYTES_OPT_IN = 99 * 1024; /* and with it on any device from sm_80 on */

__host__ __device__ inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* The grid-stride loop over `elements` elements: for (i = thread_index(); i < elements; i += thread_count()). */
__device__ inline int64_t thread_index() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t thread_count() {
    return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

/* Blocks of ELEMENTWISE_THREADS for that loop; elements > 0. */
inline dim3 elementwise_grid(int64_t elements) {
    const int64_t blocks = ceil_div(elements, ELEMENTWISE_THREADS);
    return dim3(static_cast<unsigned>(blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS));
}

/* The end of an operation with relu=1. A NaN stays NaN. */
__device__ inline float rectified(float value, bool relu) {
    return relu && value < 0.0f ? 0.0f : value;
}

/* A launcher's tensors by role; NULL where the pass has none. */
template <typename T = float>
const T *input(const fv_buffers *buffers, fv_role role) {
    return static_cast<const T *>(buffers->at[role]);
}

template <typename T = float>
T *output(const fv_buffers *buffers, fv_role role) {
    return static_cast<T *>(buffers->at[role]);
}

/* The rows of each kernel file, in the order of the table. */
extern const fv_kernel conv2d_depthwise_sliding_kernels[];
extern const fv_kernel conv2d_depthwise_sliding_weights_kernels[];
extern const fv_kernel conv2d_depthwise_sweep_kernels[];
extern const fv_kernel conv2d_depthwise_kernels[];
extern const fv_kernel conv2d_grouped_kernels[];
extern const fv_kernel conv2d_dilated_kernels[];
extern const fv_kernel conv2d_pointwise_kernels[];
extern const fv_kernel conv2d_few_kernels[];
extern const fv_kernel conv2d_gemm_bf16_kernels[];
extern const fv_kernel conv2d_gemm_f16_kernels[];
extern const fv_kernel conv2d_gemm_tf32_kernels[];
extern const fv_kernel conv2d_gemm_3xtf32_kernels[];
extern const fv_kernel conv2d_gemm_f32_kernels[];
extern const fv_kernel conv2d_kernels[];
extern const fv_kernel conv2d_winograd_kernels[];
extern const fv_kernel conv2d_im2col_kernels[];
extern const fv_kernel conv2d_transposed_kernels[];
extern const fv_kernel conv2d_separable_mma_kernels[];
extern const fv_kernel conv2d_separable_kernels[];
extern const fv_kernel conv2d_spatial_kernels[];
extern const fv_kernel conv2d_unshared_kernels[];
extern const fv_kernel conv2d_deformable_kernels[];
extern const fv_kernel maxpool_kernels[];
extern const fv_kernel avgpool_kernels[];
extern const fv_kernel unpool_kernels[];
extern const fv_kernel upsample_kernels[];
extern const fv_kernel linear_kernels[];
extern const fv_kernel batchnorm_kernels[];
extern const fv_kernel relu_kernels[];
extern const fv_kernel dropout_kernels[];
extern const fv_kernel concat_kernels[];
extern const fv_kernel add_kernels[];
extern const fv_kernel flatten_kernels[];
extern const fv_kernel softmax_xent_kernels[];
extern const fv_kernel batch_kernels[];
extern const fv_kernel update_kernels[];

} // namespace FV_NAMESPACE

#endif
