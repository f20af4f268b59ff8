/* The 16-bit formats: every pattern's value by the formats' definition, and rounding to nearest with ties to even, told
 * from the order of the patterns alone. */
#include <math.h>
#include <string.h>

#include "tally.h"

#include "ops/dtype.h"

/* By the definition: bits of exponent, bits of fraction. */
static double defined_value(unsigned pattern, int exponent_bits, int fraction_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    const int exponent = (int)(pattern >> fraction_bits) & top;
    const double fraction = (double)(pattern & ((1u << fraction_bits) - 1)) / (double)(1 << fraction_bits);
    const double sign = pattern >> 15 ? -1 : 1;
    if (exponent == top)
        return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * (1 + fraction) * pow(2, exponent - bias) : sign * fraction * pow(2, 1 - bias);
}

static unsigned pattern_of(fv_dtype dtype, double value) {
    uint16_t pattern;
    fv_set_element(dtype, &pattern, 0, value);
    return pattern;
}

static const struct {
    fv_dtype dtype;
    int exponent_bits, fraction_bits;
    unsigned infinity;
} formats[] = {{FV_BF16, 8, 7, 0x7f80}, {FV_F16, 5, 10, 0x7c00}};

enum { FORMATS = sizeof formats / sizeof formats[0] };

static void has_every_value(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; ++f)
        for (unsigned pattern = 0; pattern < 0x10000; ++pattern) {
            const uint16_t stored = (uint16_t)pattern;
            const double value = fv_element(formats[f].dtype, &stored, 0);
            const double defined = defined_value(pattern, formats[f].exponent_bits, formats[f].fraction_bits);
            if (isnan(defined)) {
                assert_true(isnan(value));
                assert_true(isnan(defined_value(pattern_of(formats[f].dtype, value), formats[f].exponent_bits,
                                                formats[f].fraction_bits)));
                continue;
            }
            assert_true(value == defined && !signbit(value) == !signbit(defined));
            assert_int_equal(pattern_of(formats[f].dtype, value), pattern);
            assert_true(fv_rounded(formats[f].dtype, value) == value);
        }
}

static void rounds_to_nearest(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; ++f)
        for (unsigned below = 0; below < formats[f].infinity; ++below) {
            const fv_dtype dtype = formats[f].dtype;
            const double low = defined_value(below, formats[f].exponent_bits, formats[f].fraction_bits);
            /* Beyond the largest, what would come next if there were more exponents. */
            const double high = below + 1 == formats[f].infinity
                                    ? ldexp(1, 1 << (formats[f].exponent_bits - 1))
                                    : defined_value(below + 1, formats[f].exponent_bits, formats[f].fraction_bits);
            const double middle = (low + high) / 2;
            for (int sign = 0; sign < 2; ++sign) {
                const unsigned bit = sign ? 0x8000 : 0;
                const double s = sign ? -1 : 1;
                assert_int_equal(pattern_of(dtype, s * middle), bit | (below % 2 ? below + 1 : below));
                assert_int_equal(pattern_of(dtype, s * nextafter(middle, 0)), bit | below);
                assert_int_equal(pattern_of(dtype, s * nextafter(middle, high)), bit | (below + 1));
            }
        }
}

/* A roundoff is what a tie next to 1 loses; the least number is the first pattern. */
static void knows_its_accuracy(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; ++f) {
        assert_true(fv_unit_roundoff(formats[f].dtype) == ldexp(1, -formats[f].fraction_bits - 1));
        assert_true(fv_least_number(formats[f].dtype) ==
                    defined_value(1, formats[f].exponent_bits, formats[f].fraction_bits));
    }
    assert_true(fv_rounded(FV_F32, 1 + fv_unit_roundoff(FV_F32)) == 1);
    assert_true(fv_rounded(FV_F32, 1 + 1.01 * fv_unit_roundoff(FV_F32)) > 1);
    assert_true(fv_rounded(FV_F32, fv_least_number(FV_F32)) > 0 &&
                fv_rounded(FV_F32, fv_least_number(FV_F32) / 2) == 0);
    assert_true(1 + fv_unit_roundoff(FV_F64) == 1);
    assert_true(fv_least_number(FV_F64) > 0 && fv_least_number(FV_F64) / 2 == 0);
}

static void converts_tensors(void **state) {
    (void)state;
    static const double values[] = {0.1, -3, 1e6, 1e-9, 257};
    enum { COUNT = sizeof values / sizeof values[0] };
    for (fv_dtype dtype = FV_FIRST_REAL; dtype <= FV_LAST_REAL; ++dtype) {
        double stored[COUNT], back[COUNT];
        fv_narrow(dtype, values, stored, COUNT);
        fv_widen(dtype, stored, back, COUNT);
        for (int i = 0; i < COUNT; ++i)
            assert_true(back[i] == fv_rounded(dtype, values[i]));
    }
    assert_int_equal(fv_dtype_stored(FV_TF32), FV_F32);
    assert_int_equal(fv_dtype_stored(FV_BF16), FV_BF16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_every_value),
        cmocka_unit_test(rounds_to_nearest),
        cmocka_unit_test(knows_its_accuracy),
        cmocka_unit_test(converts_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
