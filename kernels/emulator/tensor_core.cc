#include "emulator/tensor_core.h"

#include <math.h>
#include <string.h>

#include "half.cuh"

namespace fv_emulated {

namespace {

constexpr int DEPTH = 16; /* at most */
constexpr uint32_t TF32_DROPS = 0x1fff;

/* Power of two; the exponent must be that of a normal double. */
double power_of_two(int exponent) {
    const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* floor(log2(value)) of a normal number above 0, but at least that of the least normal f32. */
int exponent_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int exponent = static_cast<int>(bits >> 52) - 1023;
    return exponent < -126 ? -126 : exponent;
}

/* sum + the products of a step, as a tensor core makes it. */
template <int COUNT>
float add_step(float sum, const float *a, const float *b) {
    double addends[COUNT + 1], most = 0, total = 0;
    for (int i = 0; i <= COUNT; ++i) {
        addends[i] = i < COUNT ? static_cast<double>(a[i]) * static_cast<double>(b[i]) : static_cast<double>(sum);
        total += addends[i];
        const double magnitude = fabs(addends[i]);
        most = magnitude > most ? magnitude : most;
    }
    if (!isfinite(total) || most == 0)
        return static_cast<float>(total);
    const int last_place = exponent_of(most) - 23;
    const double scale = power_of_two(-last_place);
    int64_t places = 0;
    for (int i = 0; i <= COUNT; ++i)
        places += static_cast<int64_t>(addends[i] * scale);
    const uint64_t magnitude = static_cast<uint64_t>(places < 0 ? -places : places);
    const int digits = 64 - __builtin_clzll(magnitude | 1), dropped = digits > 24 ? digits - 24 : 0;
    const double kept = static_cast<double>(magnitude >> dropped << dropped) * power_of_two(last_place);
    return static_cast<float>(places < 0 ? -kept : kept);
}

/* The values of one row of a, or one column of b, over the depth. `of` gives register 0 or 1 (which is deeper) of one
 * of the four lanes that hold them. */
template <typename F>
void decode(factor_format format, float values[DEPTH], const F &of) {
    for (int lane = 0; lane < 4; ++lane)
        for (int deeper = 0; deeper < 2; ++deeper) {
            const uint32_t bits = of(lane, deeper);
            if (format == FACTORS_TF32) {
                values[4 * deeper + lane] = float_of_bits(bits);
                continue;
            }
            const uint16_t low = static_cast<uint16_t>(bits & 0xffff), high = static_cast<uint16_t>(bits >> 16);
            values[8 * deeper + 2 * lane] = format == FACTORS_BF16 ? widen(bf16{low}) : widen(f16{low});
            values[8 * deeper + 2 * lane + 1] = format == FACTORS_BF16 ? widen(bf16{high}) : widen(f16{high});
        }
}

} // namespace

void multiply_fragments(factor_format format, int down, int right, float *d, const uint32_t *a, const uint32_t *b,
                        site where) {
    uint32_t mine[4 * MMA_MOST + 2 * MMA_MOST] = {}, dropped = 0;
    memcpy(mine, a, sizeof *a * 4 * static_cast<size_t>(down));
    memcpy(mine + 4 * down, b, sizeof *b * 2 * static_cast<size_t>(right));
    const int registers = 4 * down + 2 * right;
    for (int i = 0; i < registers; ++i)
        dropped |= mine[i];
    if (format == FACTORS_TF32 && dropped & TF32_DROPS)
        refuse("a factor of mma<tf32> that was not rounded to tf32", where);
    const void *all[WARP];
    gather(mine, sizeof *mine * static_cast<size_t>(registers), all, where);
    const auto held = [&](int lane_, int i) { return static_cast<const uint32_t *>(all[lane_])[i]; };
    const int g = lane() / 4, t = lane() % 4;
    float columns[2 * MMA_MOST][DEPTH];
    for (int j = 0; j < 2 * right; ++j)
        decode(format, columns[j], [&](int lane_, int deeper) {
            return held(4 * (2 * t + j % 2) + lane_, 4 * down + 2 * (j / 2) + deeper);
        });
    for (int i = 0; i < 2 * down; ++i) {
        float row[DEPTH];
        decode(format, row,
               [&](int lane_, int deeper) { return held(4 * g + lane_, 4 * (i / 2) + 2 * deeper + i % 2); });
        for (int j = 0; j < 2 * right; ++j) {
            float *const sum = d + 4 * (i / 2 * right + j / 2) + 2 * (i % 2) + j % 2;
            if (format == FACTORS_TF32)
                *sum = add_step<4>(add_step<4>(*sum, row, columns[j]), row + 4, columns[j] + 4);
            else
                *sum = add_step<8>(add_step<8>(*sum, row, columns[j]), row + 8, columns[j] + 8);
        }
    }
}

/* A lane takes its rows before the barrier, so that a row which another lane still writes shows as the order of the
 * threads makes it. */
void load_fragments(bool transposed, int count, uint32_t *r, const void *const *rows, site where) {
    char mine[MMA_MOST][16] = {};
    for (int m = 0; m < count; ++m) {
        if (reinterpret_cast<uintptr_t>(rows[m]) % 16 != 0)
            refuse("a row of ldmatrix at an address that is no multiple of 16", where);
        if (!in_shared_memory(rows[m], 16))
            refuse("a row of ldmatrix that is not in the block's shared memory", where);
        memcpy(mine[m], rows[m], 16);
    }
    const void *all[WARP];
    gather(mine, 16 * static_cast<size_t>(count), all, where);
    const int g = lane() / 4, t = lane() % 4;
    for (int i = 0; i < 4 * count; ++i) {
        const auto row = [&](int number) { return static_cast<const char *>(all[8 * (i % 4) + number]) + i / 4 * 16; };
        if (transposed) {
            uint16_t low, high;
            memcpy(&low, row(2 * t) + 2 * g, 2);
            memcpy(&high, row(2 * t + 1) + 2 * g, 2);
            r[i] = low | static_cast<uint32_t>(high) << 16;
        } else {
            memcpy(&r[i], row(g) + 4 * t, 4);
        }
    }
}

} // namespace fv_emulated
