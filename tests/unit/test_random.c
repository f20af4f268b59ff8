/* Counter-based random numbers against the authors' own vectors, and the numbers drawn from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"

/* philox4x32-10 in kat_vectors of Random123 (Salmon et al.). */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t key, high, low;
        uint32_t word[4];
    } table[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        const fv_philox got = fv_philox4x32(table[i].key, table[i].high, table[i].low);
        assert_memory_equal(got.word, table[i].word, sizeof got.word);
        for (uint64_t w = 0; w < 4 && table[i].low == 0; ++w)
            assert_int_equal(fv_random_u32(table[i].key, table[i].high, w), table[i].word[w]);
    }
}

static void draws(void **state) {
    (void)state;
    float least = 1, most = 0;
    uint32_t seen = 0;
    for (uint64_t i = 0; i < 4096; ++i) {
        const uint32_t word = fv_random_u32(7, 3, i);
        const float uniform = fv_random_uniform(7, 3, i);
        const uint32_t below = fv_random_below(7, 3, i, 5);
        assert_true(word == fv_philox4x32(7, 3, i / 4).word[i % 4]);
        assert_true((double)uniform == (word >> 8) / 16777216.0);
        assert_true(below == (uint32_t)(word / 4294967296.0 * 5));
        least = uniform < least ? uniform : least;
        most = uniform > most ? uniform : most;
        seen |= 1u << below;
    }
    assert_true(least >= 0 && least < 0.01f && most > 0.99f && most < 1);
    assert_int_equal(seen, 0x1F);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
