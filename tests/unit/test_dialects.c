/* Lines of all dialects, damaged. */
#include "dialects.h"

#include "base/random.h"

/* Good lines with a few characters replaced: read or refused in one line, never worse. Under sanitizers this also looks
 * for overflow and overruns. */
static void survives_garbage(void **state) {
    (void)state;
    static const char *const seeds[] = {
        "--conv --dir=FWD_B,BWD_D --mb=0,4 --dt=f32,u8:s8:u8 g2mb4ic4oc6_ih5iw7oh8kh3kw2sh2ph3dh1_n\"x\"",
        "--pool --alg=max --match=.*ic.* ic3id1ih4iw4kd1kh2kw2 --attr-post-ops=,relu ic3iw9kw2\\",
        "MIOpenDriver conv -n 1 -c 4 -H 9 -W 8 -k 6 -y 3 -x 2 -p 1 -q 0 -u 2 -v 1 -l 3 -j 4 -g 2 -z same -F 6",
        "MIOpenDriver pool -W 2x3x9x7,NHWC -y 3 -x 2 -v 2 -u 1 -p 1 -q 0 -z valid",
        "conv2d n=1 c=2 h=8 w=8 k=3 kernel=3x3 pad=same # comment",
    };
    static const char characters[] = "0123456789999999abcdghikmnopsw_-=,:x\"\\# \r\n";
    int refused = 0, good = 0;
    for (uint64_t round = 0; round < 20000; ++round) {
        char text[256];
        snprintf(text, sizeof text, "%s", seeds[round % 5]);
        const uint32_t length = (uint32_t)strlen(text);
        for (uint64_t i = 0; i < 1 + round % 4; ++i)
            text[fv_random_below(1, round, 2 * i, length)] =
                characters[fv_random_below(1, round, 2 * i + 1, sizeof characters - 1)];
        fv_case_list list = {0};
        const fv_status status = read_text(&list, text);
        if (status != FV_OK && (status != FV_BAD_INPUT || strchr(fv_error_message(), '\n')))
            fail_msg("'%s': status %d, %s", text, (int)status, fv_error_message());
        for (int64_t i = 0; i < list.count; ++i)
            assert_int_equal(fv_operation_validate(&list.items[i].op), FV_OK);
        ++*(status == FV_OK ? &good : &refused);
        fv_cases_release(&list);
    }
    assert_true(good > 1000 && refused > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_garbage),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
