/* Storage of 16 bits: numbers that are stored as bf16 (8 significant bits, the range of f32) or f16 (11 bits, up to
 * 65504) and computed with as f32.
 *
 *     widen(value)       the f32 of the same value; of a float itself
 *     narrow<T>(value)   the nearest T, ties to even; what is too large becomes infinite; of float itself
 *
 * On the GPU one or two instructions each; the twins do the same in integers. */
#ifndef FOVEA_HALF_CUH
#define FOVEA_HALF_CUH

#include <string.h>

#include "kernel.cuh"

namespace FV_NAMESPACE {

struct bf16 {
    uint16_t bits;
};

struct f16 {
    uint16_t bits;
};

__host__ __device__ inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

__host__ __device__ inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

__device__ inline float widen(float value) {
    return value;
}

__device__ inline float widen(bf16 value) {
    return float_of_bits(static_cast<uint32_t>(value.bits) << 16);
}

#ifdef FV_EMULATED

inline float widen(f16 value) {
    const uint32_t sign = (value.bits & 0x8000u) << 16, exponent = value.bits >> 10 & 31u, rest = value.bits & 0x3ffu;
    if (exponent == 0) /* rest * 2^-24, exactly */
        return copysignf(static_cast<float>(rest) * 0x1p-24f, sign ? -1.0f : 1.0f);
    return float_of_bits(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | rest << 13);
}

inline uint16_t bf16_bits(float value) {
    const uint32_t bits = bits_of_float(value);
    if (value != value)
        return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline uint16_t f16_bits(float value) {
    const uint32_t bits = bits_of_float(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (value != value)
        return 0x7fff;
    if (magnitude >= 0x477ff000u) /* halfway from the largest f16 to 2^16, and beyond */
        return static_cast<uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) /* below 2^-14 they are the multiples of 2^-24: as are f32 around 1/2 */
        return static_cast<uint16_t>(sign | (bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f)));
    return static_cast<uint16_t>(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

#else

__device__ inline float widen(f16 value) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
}

__device__ inline uint16_t bf16_bits(float value) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ inline uint16_t f16_bits(float value) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

#endif

template <typename T>
__device__ T narrow(float value);

template <>
__device__ inline float narrow(float value) {
    return value;
}

template <>
__device__ inline bf16 narrow(float value) {
    return {bf16_bits(value)};
}

template <>
__device__ inline f16 narrow(float value) {
    return {f16_bits(value)};
}

} // namespace FV_NAMESPACE

#endif
