/* Where the errors lie, in words and in drawings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verify/map.h"

static const fv_shape image = {4, {2, 6, 5, 8}}; /* npqk */

typedef bool chosen(const int64_t at[FV_MAX_RANK]);

static fv_error_map map_of(const fv_shape *shape, chosen *wrong) {
    fv_error_map map;
    int64_t at[FV_MAX_RANK];
    fv_map_begin(&map, shape);
    for (int64_t i = 0; i < fv_shape_elements(shape); ++i) {
        fv_map_coordinates(shape, i, at);
        if (wrong(at))
            fv_map_note(&map, i);
    }
    return map;
}

static bool all(const int64_t *at) {
    return at[0] >= 0;
}
static bool last_row(const int64_t *at) {
    return at[1] == 5;
}
static bool first_column(const int64_t *at) {
    return at[2] == 0;
}
static bool one_channel(const int64_t *at) {
    return at[3] == 3;
}
static bool last_tile(const int64_t *at) {
    return at[3] >= 6;
}
static bool some_middle(const int64_t *at) {
    return at[1] >= 1 && at[1] <= 2;
}
static bool every_third_channel(const int64_t *at) {
    return at[3] % 3 == 1;
}
static bool every_other_channel(const int64_t *at) {
    return at[3] % 2 == 0;
}
static bool both_ends(const int64_t *at) {
    return at[1] == 0 || at[1] == 5;
}
static bool border(const int64_t *at) {
    return at[1] == 0 || at[1] == 5 || at[2] == 0 || at[2] == 4;
}
static bool one_element(const int64_t *at) {
    return at[0] == 1 && at[1] == 5 && at[2] == 0 && at[3] == 3;
}
static bool checkered(const int64_t *at) {
    return (at[0] + at[1] + at[2] + at[3]) % 2;
}

static void descriptions(void **state) {
    (void)state;
    static const struct {
        chosen *wrong;
        const char *words;
    } cases[] = {
        {all, "everywhere"},
        {checkered, "all over"},
        {last_row, "on the border of p x q, p=5 (the last)"},
        {first_column, "on the border of p x q, q=0 (the first)"},
        {one_channel, "k=3"},
        {last_tile, "k=6..7 (the last 2 of 8)"},
        {some_middle, "p=1..2 of 6"},
        {every_third_channel, "k=1..7 in steps of 3"},
        {every_other_channel, "k=0..6 in steps of 2"},
        {both_ends, "on the border of p x q, p=0 and 5 (the border)"},
        {border, "on the border of p x q"},
        {one_element, "on the border of p x q, n=1 (the last), p=5 (the last), q=0 (the first), k=3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        char words[256];
        const fv_error_map map = map_of(&image, cases[i].wrong);
        fv_map_describe(&map, "npqk", words, sizeof words);
        assert_string_equal(words, cases[i].words);
    }
}

/* A line that does not fit is cut, not overrun. */
static void short_buffers(void **state) {
    (void)state;
    char words[12 + 1] = "............";
    const fv_error_map map = map_of(&image, one_element);
    fv_map_describe(&map, "npqk", words, 12);
    assert_string_equal(words, "on the bord");
    assert_int_equal(words[12], '\0');
}

static void drawings(void **state) {
    (void)state;
    char drawing[FV_MAP_CELLS + 1];
    const fv_error_map map = map_of(&image, border);
    assert_int_equal(map.errors, 2 * 8 * (6 * 5 - 4 * 3));
    assert_int_equal(map.inside, 0);
    assert_true(fv_map_strip(&map, 0, drawing));
    assert_string_equal(drawing, "66"); /* 18 of 30 */
    assert_true(fv_map_strip(&map, 1, drawing));
    assert_string_equal(drawing, "#4444#"); /* 2 of 5 within */
    assert_true(fv_map_strip(&map, 2, drawing));
    assert_string_equal(drawing, "#333#"); /* 2 of 6 within */
    static const char *const plane[] = {"#####", "#...#", "#...#", "#...#", "#...#", "#####"};
    for (int row = 0; row < 6; ++row) {
        assert_true(fv_map_row(&map, row, drawing));
        assert_string_equal(drawing, plane[row]);
    }
    assert_false(fv_map_row(&map, 6, drawing));
    assert_false(fv_map_strip(&map, 4, drawing));
}

static bool from_1000(const int64_t *at) {
    return at[0] >= 1000;
}

/* More places than characters: a cell stands for several, and a cell that is partly wrong shows how much of it is. */
static void long_axes(void **state) {
    (void)state;
    const fv_shape line = {1, {1010, 0, 0, 0}};
    char drawing[FV_MAP_CELLS + 1], words[128];
    const fv_error_map map = map_of(&line, from_1000);
    assert_true(fv_map_strip(&map, 0, drawing));
    assert_int_equal(strlen(drawing), FV_MAP_CELLS);
    assert_int_equal(strspn(drawing, "."), FV_MAP_CELLS - 1);
    assert_int_equal(drawing[FV_MAP_CELLS - 1], '6'); /* 10 of the last 15 */
    assert_false(fv_map_row(&map, 0, drawing));
    fv_map_describe(&map, "i", words, sizeof words);
    assert_string_equal(words, "i=1000..1009 (the last 10 of 1010)");
    /* A single error still shows. */
    fv_error_map one;
    fv_map_begin(&one, &line);
    fv_map_note(&one, 500);
    assert_true(fv_map_strip(&one, 0, drawing));
    assert_int_equal(drawing[500 * FV_MAP_CELLS / 1010], '1');
}

/* Without images, the plane lies over the two longest axes. */
static void planes(void **state) {
    (void)state;
    fv_error_map map;
    const fv_shape matrix = {2, {3, 4, 0, 0}}, filter = {4, {7, 1, 3, 5}}, flat = {4, {1, 1, 9, 1}};
    fv_map_begin(&map, &matrix);
    assert_true(map.down == 0 && map.across == 1);
    fv_map_begin(&map, &filter);
    assert_true(map.down == 0 && map.across == 3);
    fv_map_begin(&map, &flat);
    assert_true(map.down < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions), cmocka_unit_test(short_buffers), cmocka_unit_test(drawings),
        cmocka_unit_test(long_axes),    cmocka_unit_test(planes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
