/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3;
 * SC 2011). Number i of stream s under seed k depends on (k, s, i) alone: no state, any order, any number of threads.
 * Plain inline C, so that CUDA code can draw the same numbers. */
#ifndef FOVEA_BASE_RANDOM_H
#define FOVEA_BASE_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define FV_HOST_DEVICE __host__ __device__
#else
#define FV_HOST_DEVICE
#endif

typedef struct fv_philox {
    uint32_t word[4];
} fv_philox;

/* Four random words for a 128-bit counter and a 64-bit key. */
static inline FV_HOST_DEVICE fv_philox fv_philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t product0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    fv_philox result = {{c0, c1, c2, c3}};
    return result;
}

/* Number `index` of stream `stream` under `seed`. */
static inline FV_HOST_DEVICE uint32_t fv_random_u32(uint64_t seed, uint64_t stream, uint64_t index) {
    return fv_philox4x32(seed, stream, index / 4).word[index % 4];
}

/* Uniform in [0, 1): 24 random bits, exact in a float. Of a word that is at hand, and of number `index`. */
static inline FV_HOST_DEVICE float fv_random_unit(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

static inline FV_HOST_DEVICE float fv_random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    return fv_random_unit(fv_random_u32(seed, stream, index));
}

/* Uniform in {0, ..., limit-1}, limit > 0. The bias of the multiplication is below limit * 2^-32. */
static inline FV_HOST_DEVICE uint32_t fv_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t limit) {
    return (uint32_t)(((uint64_t)fv_random_u32(seed, stream, index) * limit) >> 32);
}

#endif
