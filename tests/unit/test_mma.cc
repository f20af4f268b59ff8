/* The twins of the tensor cores' instructions: fragments lie where the PTX ISA's tables say, sums are cut off, and
 * misuse is named; and the numbers of 16 bits. */
#include "emulated_context.h"

#include <math.h>

#include "mma.cuh"

namespace fv_emulated {

namespace {

constexpr int ROWS = 16, COLUMNS = 8;

/* ---- the tables of the PTX ISA: where element i of a lane's fragment lies ---- */

struct place {
    int row, column;
};

/* Element i of a's 8 (16 bits) or 4 (tf32). */
place place_in_a(bool wide, int lane, int i) {
    const int group = lane >> 2, thread = lane & 3;
    if (wide)
        return {i == 0 || i == 2 ? group : group + 8, i == 0 || i == 1 ? thread : thread + 4};
    return {i < 2 || (i >= 4 && i < 6) ? group : group + 8, i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8};
}

/* Element i of b's 4 or 2. */
place place_in_b(bool wide, int lane, int i) {
    const int group = lane >> 2, thread = lane & 3;
    if (wide)
        return {i == 0 ? thread : thread + 4, group};
    return {i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group};
}

place place_in_d(int lane, int i) {
    const int group = lane >> 2, thread = lane & 3;
    return {i < 2 ? group : group + 8, thread * 2 + (i & 1)};
}

/* ---- kernels ---- */

template <typename T>
uint32_t element_bits(float value) {
    return narrow<T>(value).bits;
}

template <>
uint32_t element_bits<tf32>(float value) {
    return round_to_tf32(value);
}

/* d += a b, with a [16][DEPTH], b [DEPTH][8] and d [16][8] in memory. */
template <typename T>
__global__ void multiply(const float *a, const float *b, float *d) {
    constexpr int DEPTH = MMA_DEPTH<T>, PER_REGISTER = DEPTH / 8;
    constexpr bool WIDE = PER_REGISTER == 1;
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    uint32_t of_a[4] = {}, of_b[2] = {};
    float of_d[4];
    for (int i = 0; i < 4 * PER_REGISTER; ++i) {
        const place at = place_in_a(WIDE, lane, i);
        of_a[i / PER_REGISTER] |= element_bits<T>(a[at.row * DEPTH + at.column]) << 16 * (i % PER_REGISTER);
    }
    for (int i = 0; i < 2 * PER_REGISTER; ++i) {
        const place at = place_in_b(WIDE, lane, i);
        of_b[i / PER_REGISTER] |= element_bits<T>(b[at.row * COLUMNS + at.column]) << 16 * (i % PER_REGISTER);
    }
    for (int i = 0; i < 4; ++i)
        of_d[i] = d[place_in_d(lane, i).row * COLUMNS + place_in_d(lane, i).column];
    mma<T>(of_d, of_a, of_b);
    for (int i = 0; i < 4; ++i)
        d[place_in_d(lane, i).row * COLUMNS + place_in_d(lane, i).column] = of_d[i];
}

/* The four matrices of 8 x 8 elements of 16 bits at `from`, by rows in shared memory that lie in falling order. */
template <bool TRANSPOSED>
__global__ void load(const uint16_t *from, uint32_t (*loaded)[4]) {
    FV_DYNAMIC_SHARED(uint16_t, rows);
    const int lane = static_cast<int>(threadIdx.x), slot = 31 - lane;
    for (int i = 0; i < 8; ++i)
        rows[8 * slot + i] = from[8 * lane + i];
    __syncwarp();
    load_matrices<TRANSPOSED>(loaded[lane], rows + 8 * slot);
}

/* Lane 5 names a row `offset` bytes beyond its own; or one elsewhere. */
__global__ void load_from(ptrdiff_t offset, const char *elsewhere) {
    FV_DYNAMIC_SHARED(char, rows);
    const char *row = rows + 16 * threadIdx.x;
    if (threadIdx.x == 5)
        row = elsewhere ? elsewhere : row + offset;
    uint32_t r[4];
    load_matrices<false>(r, row);
}

__global__ void multiply_without_a_lane(float *d) {
    const uint32_t a[4] = {}, b[2] = {};
    float sum[4] = {};
    if (threadIdx.x == 7)
        return;
    mma<tf32>(sum, a, b);
    d[threadIdx.x] = sum[0];
}

__global__ void multiply_unrounded(float value) {
    const uint32_t a[4] = {0, 0, bits_of_float(value), 0}, b[2] = {};
    float sum[4] = {};
    mma<tf32>(sum, a, b);
}

__global__ void touch_last(size_t bytes, unsigned char *seen) {
    FV_DYNAMIC_SHARED(unsigned char, shared);
    shared[bytes - 1] = 7;
    *seen = shared[bytes - 1];
}

/* ---- tests ---- */

template <typename T>
void expect_product(fv_context *context) {
    constexpr int DEPTH = MMA_DEPTH<T>;
    float a[ROWS * DEPTH], b[DEPTH * COLUMNS], d[ROWS * COLUMNS], expected[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * DEPTH; ++i)
        a[i] = static_cast<float>(i * 37 % 17 - 8);
    for (int i = 0; i < DEPTH * COLUMNS; ++i)
        b[i] = static_cast<float>(i * 29 % 15 - 7);
    for (int row = 0; row < ROWS; ++row)
        for (int column = 0; column < COLUMNS; ++column) {
            float sum = d[row * COLUMNS + column] = static_cast<float>(row - 3 * column);
            for (int i = 0; i < DEPTH; ++i)
                sum += a[row * DEPTH + i] * b[i * COLUMNS + column];
            expected[row * COLUMNS + column] = sum;
        }
    assert_int_equal(FV_LAUNCH(context, multiply<T>, 1, WARP, 0, a, b, d), FV_OK);
    assert_memory_equal(d, expected, sizeof d);
}

void test_products(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        expect_product<bf16>(context);
        expect_product<f16>(context);
        expect_product<tf32>(context);
        fv_context_destroy(context);
    }
}

/* d[0][0] = start + sum of a[i] * b[i], the first of the depth. */
template <typename T>
float sum_of(fv_context *context, float start, const float *x, const float *y, int count) {
    float a[ROWS * 16] = {}, b[16 * COLUMNS] = {}, d[ROWS * COLUMNS] = {start};
    for (int i = 0; i < count; ++i) {
        a[i] = x[i];
        b[i * COLUMNS] = y[i];
    }
    assert_int_equal(FV_LAUNCH(context, multiply<T>, 1, WARP, 0, a, b, d), FV_OK);
    return d[0];
}

template <typename T>
void expect_cut(fv_context *context) {
    const float ulp = 0x1p-23f;
    const float below[2] = {0.875f * 0x1p-12f, 0.875f * 0x1p-12f}, by[2] = {0x1p-11f, 0x1p-11f};
    const float negative[1] = {-1.875f * 0x1p-12f};
    assert_true(sum_of<T>(context, 1, below, by, 1) == 1); /* 7/8 of the last place */
    assert_true(sum_of<T>(context, 1, below, by, 2) == 1); /* each is cut by itself */
    assert_true(sum_of<T>(context, 1, negative, by, 1) == 1 - ulp);
    assert_true(sum_of<T>(context, -1, negative, by, 1) == -1 - ulp);
    assert_true(sum_of<T>(context, 0, below, by, 1) == 0.875f * ulp); /* products are exact */
    const float large[2] = {1, -1}, small[2] = {1, 1};
    assert_true(sum_of<T>(context, 0x1p-30f, large, small, 2) == 0); /* cut before the larger cancel */
    const float infinite[1] = {INFINITY};
    assert_true(isinf(sum_of<T>(context, 1, infinite, small, 1)));
    assert_true(isnan(sum_of<T>(context, -INFINITY, infinite, small, 1)));
}

void test_sums_are_cut(void **) {
    fv_context *context = open_emulator(FORWARD);
    expect_cut<bf16>(context);
    expect_cut<f16>(context);
    expect_cut<tf32>(context);
    fv_context_destroy(context);
}

template <bool TRANSPOSED>
void expect_loaded(fv_context *context) {
    uint16_t from[4][8][8];
    uint32_t loaded[WARP][4];
    for (int i = 0; i < 4 * 64; ++i)
        from[i / 64][i / 8 % 8][i % 8] = static_cast<uint16_t>(1000 + i * 7);
    assert_int_equal(FV_LAUNCH(context, load<TRANSPOSED>, 1, WARP, 512, &from[0][0][0], loaded), FV_OK);
    for (int lane = 0; lane < WARP; ++lane)
        for (int i = 0; i < 4; ++i)
            for (int half = 0; half < 2; ++half) {
                const int row = lane / 4, column = lane % 4 * 2 + half;
                const uint16_t expected = TRANSPOSED ? from[i][column][row] : from[i][row][column];
                assert_int_equal(loaded[lane][i] >> 16 * half & 0xffff, expected);
            }
}

void test_loads(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        expect_loaded<false>(context);
        expect_loaded<true>(context);
        fv_context_destroy(context);
    }
}

void test_misuse(void **) {
    fv_context *context = open_emulator(FORWARD);
    const char outside[32] = {};
    assert_int_equal(FV_LAUNCH(context, load_from, 1, WARP, 512, 0, nullptr), FV_OK);
    assert_int_equal(FV_LAUNCH(context, load_from, 1, WARP, 512, 8, nullptr), FV_MISMATCH);
    assert_message_has("a row of ldmatrix at an address that is no multiple of 16 at ");
    assert_message_has("test_mma.cc:");
    const char *const aligned = outside + (16 - reinterpret_cast<uintptr_t>(outside) % 16) % 16;
    assert_int_equal(FV_LAUNCH(context, load_from, 1, WARP, 512, 0, aligned), FV_MISMATCH);
    assert_message_has("a row of ldmatrix that is not in the block's shared memory at ");
    assert_int_equal(FV_LAUNCH(context, load_from, 1, WARP, 504, 26 * 16, nullptr), FV_MISMATCH);
    assert_message_has("a row of ldmatrix that is not in the block's shared memory at ");
    float d[WARP];
    assert_int_equal(FV_LAUNCH(context, multiply_without_a_lane, 1, WARP, 0, d), FV_MISMATCH);
    assert_message_has("thread 7 returned while thread 0 waits at ");
    assert_int_equal(FV_LAUNCH(context, multiply_unrounded, 1, WARP, 0, 1.0f + 0x1p-10f), FV_OK);
    assert_int_equal(FV_LAUNCH(context, multiply_unrounded, 1, WARP, 0, 1.0f + 0x1p-11f), FV_MISMATCH);
    assert_message_has("a factor of mma<tf32> that was not rounded to tf32 at ");
    assert_int_equal(FV_LAUNCH(context, multiply_unrounded, 1, 16, 0, 1.0f), FV_MISMATCH);
    assert_message_has("in a warp that is not full");
    fv_context_destroy(context);
}

void test_shared_memory_opt_in(void **) {
    fv_context *context = open_emulator(FORWARD);
    unsigned char seen = 0;
    const size_t most = MAX_SHARED_BYTES_OPT_IN;
    assert_int_equal(FV_LAUNCH(context, touch_last, 1, 1, most, most, &seen), FV_OK);
    assert_int_equal(seen, 7);
    assert_int_equal(FV_LAUNCH(context, touch_last, 1, 1, most + 1, most + 1, &seen), FV_DEVICE);
    fv_context_destroy(context);
}

void test_rounding_to_tf32(void **) {
    const float ulp = 0x1p-10f;
    const struct {
        float value, rounded;
    } cases[] = {{1, 1},
                 {1 + ulp / 2, 1 + ulp}, /* ties away from zero, also from an even one */
                 {1 + ulp * 1.5f, 1 + 2 * ulp},
                 {-1 - ulp / 2, -1 - ulp},
                 {1 + ulp / 2 - 0x1p-23f, 1},
                 {2 - 0x1p-23f, 2},
                 {-0.0f, -0.0f},
                 {0x1p-149f, 0},
                 {INFINITY, INFINITY},
                 {0x1.fffffep127f, INFINITY}};
    for (const auto &c : cases)
        assert_int_equal(round_to_tf32(c.value), bits_of_float(c.rounded));
    assert_true(isnan(float_of_bits(round_to_tf32(NAN))));
    assert_int_equal(round_to_tf32(NAN) & 0x1fff, 0);
    assert_true(isnan(float_of_bits(round_to_tf32(float_of_bits(0xffffffffu)))));
}

/* Every number of the format, the points halfway between neighbours, and the f32 next to those. `infinity`: its
 * bits. */
template <typename T>
void expect_nearest(uint16_t infinity) {
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000)
        for (uint32_t bits = 0; bits < infinity; ++bits) {
            const T number = {static_cast<uint16_t>(sign | bits)}, next = {static_cast<uint16_t>(sign | (bits + 1))};
            const float low = widen(number);
            assert_int_equal(narrow<T>(low).bits, number.bits);
            /* Behind the largest comes infinity, but it rounds as if there were one more. */
            const float step =
                bits + 1 == infinity ? low - widen(T{static_cast<uint16_t>(number.bits - 1)}) : widen(next) - low;
            const float half = low + step / 2;
            assert_int_equal(narrow<T>(half).bits, bits % 2 == 0 ? number.bits : next.bits);
            assert_int_equal(narrow<T>(nextafterf(half, low)).bits, number.bits);
            assert_int_equal(narrow<T>(nextafterf(half, 2 * half)).bits, next.bits);
        }
    const float infinite = widen(T{infinity});
    assert_true(isinf(infinite) && infinite > 0);
    assert_int_equal(narrow<T>(INFINITY).bits, infinity);
    assert_int_equal(narrow<T>(-INFINITY).bits, infinity | 0x8000);
    assert_true(isnan(widen(narrow<T>(NAN))));
    assert_true(isnan(widen(T{static_cast<uint16_t>(infinity + 1)})));
}

void test_numbers_of_16_bits(void **) {
    expect_nearest<bf16>(0x7f80);
    expect_nearest<f16>(0x7c00);
    assert_true(widen(bf16{0x3fc0}) == 1.5f);
    assert_true(widen(f16{0xc100}) == -2.5f);
    assert_true(widen(f16{0x7bff}) == 65504);
    assert_true(widen(f16{0x0001}) == 0x1p-24f);
    assert_true(widen(f16{0x0400}) == 0x1p-14f);
    assert_true(widen(f16{0x8000}) == 0 && signbit(widen(f16{0x8000})));
}

} // namespace

} // namespace fv_emulated

int main() {
    using namespace fv_emulated;
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_sums_are_cut),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_shared_memory_opt_in),
        cmocka_unit_test(test_rounding_to_tf32),
        cmocka_unit_test(test_numbers_of_16_bits),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
