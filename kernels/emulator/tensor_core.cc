#include "emulator/tensor_core.h"

#include <math.h>
#include <string.h>

#include "half.cuh"

namespace fv_emulated {

namespace {

constexpr int DEPTH = 16; /* at most */
constexpr uint32_t TF32_DROPS = 0x1fff;

struct fragments {
    uint32_t a[4], b[2];
};

/* The value at `depth` of a row or column whose registers `first` and `second` (8 or 4 values deeper) each of the four
 * lanes of a group holds; `of` gives a lane's. */
template <typename F>
double factor_at(factor_format format, int depth, const F &of) {
    if (format == FACTORS_TF32)
        return static_cast<double>(float_of_bits(of(depth % 4, depth / 4)));
    const uint32_t both = of(depth % 8 / 2, depth / 8);
    const uint16_t bits = static_cast<uint16_t>(depth % 2 == 0 ? both & 0xffff : both >> 16);
    return static_cast<double>(format == FACTORS_BF16 ? widen(bf16{bits}) : widen(f16{bits}));
}

double cut_to(double value, int last_place) {
    return ldexp(trunc(ldexp(value, -last_place)), last_place);
}

/* sum + the addends, as a tensor core makes it. */
float add_step(float sum, const double *addends, int count) {
    double most = fabs(static_cast<double>(sum));
    bool finite = isfinite(sum);
    for (int i = 0; i < count; ++i) {
        most = fmax(most, fabs(addends[i]));
        finite = finite && isfinite(addends[i]);
    }
    double total = static_cast<double>(sum);
    if (!finite || most == 0) {
        for (int i = 0; i < count; ++i)
            total += addends[i];
        return static_cast<float>(total);
    }
    const int last_place = ilogb(most) < -126 ? -149 : ilogb(most) - 23;
    total = cut_to(total, last_place);
    for (int i = 0; i < count; ++i)
        total += cut_to(addends[i], last_place);
    if (total == 0)
        return 0;
    const int place = ilogb(total) < -126 ? -149 : ilogb(total) - 23;
    return static_cast<float>(cut_to(total, place));
}

/* One element of the product, whose row and column the lanes from row_lane and column_lane on hold. */
float multiply_one(factor_format format, float sum, const void *const *all, int row_lane, int high_row,
                   int column_lane) {
    const int depth = format == FACTORS_TF32 ? 8 : DEPTH, step = depth / 2;
    double products[DEPTH];
    for (int i = 0; i < depth; ++i) {
        const double from_a = factor_at(format, i, [&](int lane, int deeper) {
            return static_cast<const fragments *>(all[row_lane + lane])->a[2 * deeper + high_row];
        });
        const double from_b = factor_at(format, i, [&](int lane, int deeper) {
            return static_cast<const fragments *>(all[column_lane + lane])->b[deeper];
        });
        products[i] = from_a * from_b;
    }
    for (int i = 0; i < depth; i += step)
        sum = add_step(sum, products + i, step);
    return sum;
}

} // namespace

void multiply_fragments(factor_format format, float d[4], const uint32_t a[4], const uint32_t b[2], site where) {
    fragments mine;
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b, b, sizeof mine.b);
    uint32_t dropped = 0;
    for (int i = 0; i < 6; ++i)
        dropped |= i < 4 ? a[i] : b[i - 4];
    if (format == FACTORS_TF32 && dropped & TF32_DROPS)
        refuse("a factor of mma<tf32> that was not rounded to tf32", where);
    const void *all[WARP];
    gather(&mine, sizeof mine, all, where);
    const int row_lane = lane() / 4 * 4, column = lane() % 4 * 2;
    for (int i = 0; i < 4; ++i)
        d[i] = multiply_one(format, d[i], all, row_lane, i / 2, (column + i % 2) * 4);
}

/* A lane takes its row before the barrier, so that a row which another lane still writes shows as the order of the
 * threads makes it. */
void load_fragments(bool transposed, uint32_t r[4], const void *row, site where) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
        refuse("a row of ldmatrix at an address that is no multiple of 16", where);
    if (!in_shared_memory(row, 16))
        refuse("a row of ldmatrix that is not in the block's shared memory", where);
    const void *all[WARP];
    gather(row, 16, all, where);
    const int g = lane() / 4, t = lane() % 4;
    for (int i = 0; i < 4; ++i) {
        const void *const *const matrix = all + 8 * i;
        if (transposed) {
            uint16_t low, high;
            memcpy(&low, static_cast<const char *>(matrix[2 * t]) + 2 * g, 2);
            memcpy(&high, static_cast<const char *>(matrix[2 * t + 1]) + 2 * g, 2);
            r[i] = low | static_cast<uint32_t>(high) << 16;
        } else {
            memcpy(&r[i], static_cast<const char *>(matrix[g]) + 4 * t, 4);
        }
    }
}

} // namespace fv_emulated
