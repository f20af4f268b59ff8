#include "emulator/tensor_core.h"

#include <math.h>
#include <string.h>

#include "half.cuh"

namespace fv_emulated {

namespace {

constexpr int DEPTH = 16; /* at most, in two steps */
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

/* What a lane brings: its registers of a, then those of b, and of each, as a bit, whether its factors are all 0, and
 * whether none of them is infinite or NaN. */
struct contribution {
    uint32_t registers[6 * MMA_MOST], zero, finite;
};

/* The bits of an exponent that is all ones, and of the two halves of a register for 16 bits. */
bool is_finite(factor_format format, uint32_t bits) {
    if (format == FACTORS_TF32)
        return (bits & 0x7f800000u) != 0x7f800000u;
    const uint32_t exponent = format == FACTORS_BF16 ? 0x7f80u : 0x7c00u;
    return (bits & exponent) != exponent && (bits >> 16 & exponent) != exponent;
}

void describe(factor_format format, int registers, contribution &mine) {
    const uint32_t magnitude = format == FACTORS_TF32 ? 0x7fffffffu : 0x7fff7fffu;
    for (int i = 0; i < registers; ++i) {
        mine.zero |= static_cast<uint32_t>((mine.registers[i] & magnitude) == 0) << i;
        mine.finite |= static_cast<uint32_t>(is_finite(format, mine.registers[i])) << i;
    }
}

/* The four lanes that hold a row of a, or a column of b. */
struct line {
    const contribution *lanes[4];
    uint32_t zero, finite; /* in all of them */
};

line line_of(const void *const *all, int number) {
    line l = {{}, ~0u, ~0u};
    for (int i = 0; i < 4; ++i) {
        l.lanes[i] = static_cast<const contribution *>(all[4 * number + i]);
        l.zero &= l.lanes[i]->zero;
        l.finite &= l.lanes[i]->finite;
    }
    return l;
}

/* The values over the depth of a step, which is one register of each lane. */
void decode(factor_format format, const line &l, int index, float *value) {
    for (int i = 0; i < 4; ++i) {
        const uint32_t bits = l.lanes[i]->registers[index];
        if (format == FACTORS_TF32) {
            value[i] = float_of_bits(bits);
            continue;
        }
        const uint16_t low = static_cast<uint16_t>(bits & 0xffff), high = static_cast<uint16_t>(bits >> 16);
        value[2 * i] = format == FACTORS_BF16 ? widen(bf16{low}) : widen(f16{low});
        value[2 * i + 1] = format == FACTORS_BF16 ? widen(bf16{high}) : widen(f16{high});
    }
}

} // namespace

void multiply_fragments(factor_format format, int down, int right, float *d, const uint32_t *a, const uint32_t *b,
                        site where) {
    contribution mine = {};
    mine.finite = ~0u << (4 * down + 2 * right);
    memcpy(mine.registers, a, sizeof *a * 4 * static_cast<size_t>(down));
    memcpy(mine.registers + 4 * down, b, sizeof *b * 2 * static_cast<size_t>(right));
    const int registers = 4 * down + 2 * right;
    uint32_t dropped = 0;
    for (int i = 0; i < registers; ++i)
        dropped |= mine.registers[i];
    if (format == FACTORS_TF32 && dropped & TF32_DROPS)
        refuse("a factor of mma<tf32> that was not rounded to tf32", where);
    describe(format, registers, mine);
    const void *all[WARP];
    gather(&mine, sizeof mine, all, where);
    const int g = lane() / 4, t = lane() % 4;
    const line row = line_of(all, g), columns[2] = {line_of(all, 2 * t), line_of(all, 2 * t + 1)};
    float rows[4 * MMA_MOST][DEPTH / 2], column[DEPTH / 2];
    for (int i = 0; i < 4 * down; ++i)
        decode(format, row, i, rows[i]);
    /* A step of one sum after the other: register of_a of the row's lanes by of_b of the column's. Tiles are filled up with
     * zeros, which are passed over. */
    for (int j = 0; j < 4 * right; ++j) {
        const int right_half = j / 2 % 2, deeper = j % 2, of_b = 4 * down + 2 * (j / 4) + deeper;
        const bool zero_b = columns[right_half].zero >> of_b & 1, finite_b = columns[right_half].finite >> of_b & 1;
        if (zero_b && row.finite == ~0u)
            continue;
        decode(format, columns[right_half], of_b, column);
        for (int i = 0; i < 2 * down; ++i) {
            const int of_a = 4 * (i / 2) + 2 * deeper + i % 2;
            if ((row.zero >> of_a & 1 && finite_b) || (zero_b && row.finite >> of_a & 1))
                continue;
            float &sum = d[4 * (i / 2 * right + j / 4) + 2 * (i % 2) + right_half];
            sum = format == FACTORS_TF32 ? add_step<4>(sum, rows[of_a], column) : add_step<8>(sum, rows[of_a], column);
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
