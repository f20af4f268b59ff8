/* Why a GPU is slow, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cuda/throttle.h"

static void expect(unsigned long long reasons, const char *words) {
    char text[96];
    memset(text, 'x', sizeof text);
    fv_throttle_words(reasons, text, sizeof text);
    assert_string_equal(text, words);
}

static void reasons(void **state) {
    (void)state;
    expect(0, "");
    expect(0x1, ""); /* idle */
    expect(0x4, "power cap");
    expect(0x5, "power cap");
    expect(0x2, "application clocks");
    expect(0x10, "sync boost");
    expect(0x20, "temperature");
    expect(0x100, "display clocks");
    expect(0x48, "hardware slowdown, temperature (hardware)");
    expect(0x88, "hardware slowdown, power brake");
    expect(0x200, "reason 0x200"); /* of a driver to come */
    expect(0x8000000000000004, "power cap, reason 0x8000000000000000");
}

/* All at once are more than there is room for. */
static void too_many(void **state) {
    (void)state;
    char text[24];
    fv_throttle_words(~0ull, text, sizeof text);
    assert_string_equal(text, "application clocks, pow");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reasons), cmocka_unit_test(too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
