/* The emulator: CUDA kernels on the CPU, for finding their faults with the CPU's tools.
 *
 * One fiber (ucontext) stands for each CUDA thread that waits, one block runs at a time. Threads that never wait run
 * one after another on the same fiber, so that a kernel without barriers costs little more than a loop. Fibers and
 * their stacks belong to the context and are used again for every block and launch. Launches of all contexts are
 * serialised.
 *
 * What it finds
 * - Under AddressSanitizer: accesses outside a buffer, a static __shared__ array (a plain `static`, with red zones) or
 *   the dynamic shared memory (an allocation of exactly the launch's size). Under UBSan: overflow, misalignment.
 * - Reads of dynamic shared memory before it is written: every block finds it filled with NaN (all bits set).
 * - Missing barriers: threads run in forward, reverse or seeded random order (drawn anew at every barrier), so that a
 *   result that depends on the order differs between them. Blocks run forward, backward, or forward from a random one.
 *   FV_ORDER_VARIED gives each run of a verification another of these orders.
 * - Asynchronous copies (async_copy.cuh) read too early: they arrive only at the wait that covers them, and until then
 *   the destination holds NaN. A thread that returns with a copy under way, a misaligned copy, or one to what is not
 *   shared memory: the launch fails with FV_MISMATCH and names the copy's line.
 * - Tensor-core fragments (mma.cuh): a factor that was not rounded, a row that is misaligned or not in shared memory.
 * - A barrier that the threads of a block, or of a warp for warp primitives, reach at different lines, or that some
 *   never reach since they returned: the launch fails with FV_MISMATCH and names kernel, block and lines.
 * - Launches beyond the limits of the device, masks that are not full, shuffles in a warp that is not full.
 *
 * What it does not find
 * - A static __shared__ array keeps the last block's values, and starts as zeros: reading it before writing it shows
 *   only as a result that depends on the order of the blocks. Tiles sized by the case are dynamic shared memory.
 * - An unguarded access to a neighbouring row of the same array. Races between blocks, memory-model effects, and warps
 *   that are out of step where the code relies on lockstep: those need the GPU.
 * - Two asynchronous copies under way to the same bytes, whose order hardware does not promise; a source that changes
 *   while the copy is under way, which is read when it begins.
 * - Two visits of one barrier line that are not the same visit, as long as their number is the same for all threads.
 *
 * Kernels must not hold locks or be noexcept across a barrier: a failed launch unwinds its waiting threads by an
 * exception.
 *
 * Cost on two Zen 5 cores: about 190 ns per thread and barrier (380 with the sanitizers), 8 ns (30) per thread that
 * never waits.
 */
#ifndef FOVEA_EMULATOR_H
#define FOVEA_EMULATOR_H

#include <stddef.h>

#include "backends/kernel.h"

#define __global__
#define __host__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

#define FV_UNROLL
#define FV_NO_UNROLL

#define FV_LAUNCH(context, kernel, grid, block, shared_bytes, ...)                                                     \
    fv_emulated::launch((context), #kernel, (grid), (block), (shared_bytes), [&] { (kernel)(__VA_ARGS__); })

#define FV_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(fv_emulated::dynamic_shared())

namespace fv_emulated {

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(8) float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

inline float2 make_float2(float x, float y) {
    return {x, y};
}

inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

/* Of the thread that runs now. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* Runs `body(argument)` once for each thread. */
fv_status run_grid(fv_context *context, const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*body)(const void *argument), const void *argument);

template <typename F>
fv_status launch(fv_context *context, const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const F &call) {
    return run_grid(
        context, kernel, grid, block, shared_bytes, [](const void *argument) { (*static_cast<const F *>(argument))(); },
        &call);
}

void *dynamic_shared();

/* Where in the source a thread waits. */
struct site {
    const char *file;
    int line;
};

void wait_for_block(site where);
void wait_for_warp(unsigned mask, site where);

/* Lane of the calling thread within its warp. */
int lane();

/* The twins of cp.async, see async_copy.cuh. */
void begin_async_copy(void *shared, const void *global, int bytes, int valid_bytes, site where);
void commit_async_copies();
void wait_for_async_copies(int groups);

/* Hands `size` bytes (at most 104) to the warp; all[i] is where those of lane i lie until the calling thread's next
 * exchange. */
void gather(const void *mine, size_t size, const void *all[32], site where);

/* Ends the calling thread and with it the launch: "WHAT at FILE:LINE". */
[[noreturn]] void refuse(const char *what, site where);

/* Whether bytes lie in the block's dynamic shared memory or, as far as can be told, in a static __shared__ array. */
bool in_shared_memory(const void *pointer, int bytes);

/* Hands `size` bytes (at most 8) to the warp and takes those of lane `from`. */
void exchange(unsigned mask, void *value, size_t size, int from, site where);

inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    wait_for_block({file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    wait_for_warp(mask, {file, line});
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, const char *file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
    exchange(mask, &value, sizeof value, lane() ^ lane_mask, {file, line});
    return value;
}

/* Lanes whose source lies beyond the warp keep their own value. */
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, const char *file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
    const int from = lane() + static_cast<int>(delta);
    exchange(mask, &value, sizeof value, from < 32 ? from : lane(), {file, line});
    return value;
}

/* Bit i: the predicate of lane i. Five shuffles. */
inline unsigned __ballot_sync(unsigned mask, bool predicate, const char *file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
    unsigned bits = static_cast<unsigned>(predicate) << lane();
    for (int distance = 1; distance < 32; distance *= 2)
        bits |= __shfl_xor_sync(mask, bits, distance, file, line);
    return bits;
}

inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}

} // namespace fv_emulated

#endif
