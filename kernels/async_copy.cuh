/* Asynchronous copies from global to shared memory (cp.async, sm_80), which need no registers on the way and leave the
 * thread free to compute meanwhile.
 *
 *     async_copy<BYTES>(shared, global)                 begins a copy of 4, 8 or 16 bytes, both addresses multiples of
 *                                                       that; 16 bytes bypass the first-level cache
 *     async_copy<BYTES>(shared, global, valid_bytes)    reads only the first valid_bytes, 0 to BYTES, and fills up with
 *                                                       zeros; with 0 nothing is read, but the address must be aligned
 *     async_copy_commit()                               makes a group of the thread's copies since the last commit,
 *                                                       maybe an empty one
 *     async_copy_wait<N>()                              waits until at most the N newest groups are under way
 *
 * Groups and waits are a thread's own: what other threads copied is there only behind a barrier that follows their wait.
 * Every copy must be waited for before its thread returns. */
#ifndef FOVEA_ASYNC_COPY_CUH
#define FOVEA_ASYNC_COPY_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

template <int BYTES>
constexpr bool copies_at_once = BYTES == 4 || BYTES == 8 || BYTES == 16;

#ifdef FV_EMULATED

template <int BYTES>
void async_copy(void *shared, const void *global, int valid_bytes = BYTES, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) {
    static_assert(copies_at_once<BYTES>);
    begin_async_copy(shared, global, BYTES, valid_bytes, {file, line});
}

inline void async_copy_commit() {
    commit_async_copies();
}

template <int N>
void async_copy_wait() {
    static_assert(N >= 0);
    wait_for_async_copies(N);
}

#else

/* "memory" in each, lest the compiler move other accesses to the same shared memory across it. */

template <int BYTES>
__device__ __forceinline__ void async_copy(void *shared, const void *global) {
    static_assert(copies_at_once<BYTES>);
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(global), "n"(BYTES) : "memory");
}

template <int BYTES>
__device__ __forceinline__ void async_copy(void *shared, const void *global, int valid_bytes) {
    static_assert(copies_at_once<BYTES>);
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid_bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(BYTES),
                     "r"(valid_bytes)
                     : "memory");
}

__device__ __forceinline__ void async_copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
__device__ __forceinline__ void async_copy_wait() {
    static_assert(N >= 0);
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif

} // namespace FV_NAMESPACE

#endif
