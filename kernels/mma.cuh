/* Tensor cores by the warp (sm_80): small matrix products, and loads that bring their factors from shared memory.
 *
 *     mma<T>(d, a, b)             d += a b: a of 16 rows, b of 8 columns, over 16 values of T = bf16 or f16, or over 8
 *                                 of tf32. Products are exact, sums f32
 *     mma_grid<T>(d, a, b)        d[i][j] += a[i] b[j] for each of up to 4 a and 4 b: mma one by one, but in the
 *                                 emulator at one barrier, which is what takes its time
 *     load_matrices<TRANSPOSED>(r, row)
 *                                 ldmatrix.x4: four matrices of 8 rows of 16 bytes. Lane l names a row, a multiple of
 *                                 16 bytes: row l % 8 of matrix l / 8. r[i] belongs to matrix i
 *     load_matrices<TRANSPOSED>(r, rows)
 *                                 several, r[i] by rows[i]; the same, and in the emulator at one barrier
 *     round_to_tf32(value)        the nearest of 11 significant bits, ties away from zero, as the bits of an f32
 *
 * All lanes of a warp call them together. Who holds what, with g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix
 * fragments for mma.m16n8k16" and "for mma.m16n8k8"); a register of bf16 or f16 holds two neighbours, the first in the
 * low half:
 *
 *                 bf16, f16                                    tf32
 *     a[i]        row g + 8(i%2), depth 2t + 8(i/2) and + 1    row g + 8(i%2), depth t + 4(i/2)
 *     b[i]        depth 2t + 8i and + 1, column g              depth t + 4i, column g
 *     d[i]        row g + 8(i/2), column 2t + i%2              the same
 *     r[i]        row g of matrix i, its 4 bytes at 4t; TRANSPOSED: of elements of 16 bits, column g of rows 2t
 *                 and 2t + 1
 *
 * So r is a (and two b) of a matrix that lies in memory with its depth contiguous, whatever the type; where the depth
 * is not contiguous it is with TRANSPOSED, for 16 bits.
 *
 * The twins (emulator/tensor_core.cc) refuse a factor of tf32 that was not rounded, of which the hardware would drop
 * the low bits, rows that are misaligned or not in shared memory, and a warp that is not complete. */
#ifndef FOVEA_MMA_CUH
#define FOVEA_MMA_CUH

#include "half.cuh"

#ifdef FV_EMULATED
#include "emulator/tensor_core.h"
#endif

namespace FV_NAMESPACE {

/* Names the arithmetic; its numbers are stored as f32. */
struct tf32 {};

#ifdef FV_EMULATED

template <typename T>
constexpr factor_format factor_format_of = FACTORS_TF32;
template <>
constexpr factor_format factor_format_of<bf16> = FACTORS_BF16;
template <>
constexpr factor_format factor_format_of<f16> = FACTORS_F16;

template <typename T>
void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const char *file = __builtin_FILE(),
         int line = __builtin_LINE()) {
    multiply_fragments(factor_format_of<T>, 1, 1, d, a, b, {file, line});
}

template <typename T, int DOWN, int RIGHT>
void mma_grid(float (&d)[DOWN][RIGHT][4], const uint32_t (&a)[DOWN][4], const uint32_t (&b)[RIGHT][2],
              const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    static_assert(DOWN <= MMA_MOST && RIGHT <= MMA_MOST);
    multiply_fragments(factor_format_of<T>, DOWN, RIGHT, d[0][0], a[0], b[0], {file, line});
}

template <bool TRANSPOSED>
void load_matrices(uint32_t (&r)[4], const void *row, const char *file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
    load_fragments(TRANSPOSED, 1, r, &row, {file, line});
}

template <bool TRANSPOSED, int COUNT>
void load_matrices(uint32_t (&r)[COUNT][4], const void *const (&rows)[COUNT], const char *file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
    static_assert(COUNT <= MMA_MOST);
    load_fragments(TRANSPOSED, COUNT, r[0], rows, {file, line});
}

/* Adding half of the last place kept may carry into the exponent, up to infinity, which is as it should be. */
inline uint32_t round_to_tf32(float value) {
    return value != value ? 0x7fffe000u : (bits_of_float(value) + 0x1000u) & ~0x1fffu;
}

#else

template <typename T>
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <>
__device__ __forceinline__ void mma<bf16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma<f16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma<tf32>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <typename T, int DOWN, int RIGHT>
__device__ __forceinline__ void mma_grid(float (&d)[DOWN][RIGHT][4], const uint32_t (&a)[DOWN][4],
                                         const uint32_t (&b)[RIGHT][2]) {
    FV_UNROLL
    for (int i = 0; i < DOWN; ++i) {
        FV_UNROLL
        for (int j = 0; j < RIGHT; ++j)
            mma<T>(d[i][j], a[i], b[j]);
    }
}

/* "memory": it reads what others stored. */
template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void *row) {
    const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(from)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(from)
                     : "memory");
}

template <bool TRANSPOSED, int COUNT>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[COUNT][4], const void *const (&rows)[COUNT]) {
    FV_UNROLL
    for (int i = 0; i < COUNT; ++i)
        load_matrices<TRANSPOSED>(r[i], rows[i]);
}

__device__ __forceinline__ uint32_t round_to_tf32(float value) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

#endif

/* How deep one mma multiplies. */
template <typename T>
constexpr int MMA_DEPTH = 16;
template <>
constexpr int MMA_DEPTH<tf32> = 8;

} // namespace FV_NAMESPACE

#endif
