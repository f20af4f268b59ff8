/* The order of the training images. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "training/shuffle.h"

static void shuffles(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    static int32_t order[COUNT], same[COUNT], epoch[COUNT], seed[COUNT];
    static uint8_t seen[COUNT];
    memset(order, 0x7F, sizeof order);
    fv_shuffle(order, COUNT, 9, 4);
    for (int i = 0; i < COUNT; ++i) {
        assert_in_range(order[i], 0, COUNT - 1);
        assert_int_equal(seen[order[i]]++, 0);
    }
    memset(same, 0, sizeof same);
    fv_shuffle(same, COUNT, 9, 4); /* whatever the array held before */
    assert_memory_equal(order, same, sizeof order);
    fv_shuffle(epoch, COUNT, 9, 5);
    fv_shuffle(seed, COUNT, 10, 4);
    int stayed = 0, by_epoch = 0, by_seed = 0, both = 0; /* two permutations agree in 1 place on average */
    for (int i = 0; i < COUNT; ++i) {
        stayed += order[i] == i;
        by_epoch += order[i] == epoch[i];
        by_seed += order[i] == seed[i];
        both += epoch[i] == seed[i];
    }
    assert_true(stayed <= 10 && by_epoch <= 10 && by_seed <= 10 && both <= 10);
    fv_shuffle(order, 1, 9, 4);
    assert_int_equal(order[0], 0);
    fv_shuffle(order, 0, 9, 4);
}

/* Over many epochs every permutation of three comes as often as the others, within 5 sigma of a binomial count; and so
 * it does over many seeds. */
static void shuffles_without_bias(void **state) {
    (void)state;
    enum { DRAWS = 60000 };
    const double p = 1.0 / 6, expected = DRAWS * p, sigma = sqrt(DRAWS * p * (1 - p));
    for (int by_seed = 0; by_seed < 2; ++by_seed) {
        int counts[27] = {0}, found = 0;
        for (int i = 0; i < DRAWS; ++i) {
            int32_t order[3];
            fv_shuffle(order, 3, by_seed ? (uint64_t)i : 1, by_seed ? 1 : i);
            ++counts[order[0] * 9 + order[1] * 3 + order[2]];
        }
        for (int i = 0; i < 27; ++i)
            if (counts[i]) {
                ++found;
                assert_true(fabs(counts[i] - expected) <= 5 * sigma);
            }
        assert_int_equal(found, 6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles),
        cmocka_unit_test(shuffles_without_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
