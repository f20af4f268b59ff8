/* The matrix of a convolution: its entries where they belong, and matrix times input = convolution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fovea/matrix.h>

#include "ops/op.h"
#include "parse.h"
#include "verify/verify.h"

/* ---- the picture of a Toeplitz matrix */

typedef struct picture {
    int side;
    int64_t weight[9][9]; /* -1: none */
} picture;

static bool note(void *user, int64_t row, int64_t column, int64_t weight) {
    picture *p = user;
    assert_in_range(row, 0, p->side - 1);
    assert_in_range(column, 0, p->side - 1);
    assert_int_equal(p->weight[row][column], -1);
    p->weight[row][column] = weight;
    return true;
}

/* A filter of three taps with same padding: the middle one on the diagonal, the first below it, the last above it; an
 * unshared filter has the same places and a weight of its own in each. */
static void toeplitz(void **state) {
    (void)state;
    static const char *const texts[] = {"conv2d c=1 h=1 w=9 k=1 kernel=1x3 pad=same",
                                        "conv2d_unshared c=1 h=1 w=9 k=1 kernel=1x3 pad=same"};
    for (int unshared = 0; unshared < 2; ++unshared) {
        const fv_operation op = parse(texts[unshared]);
        fv_matrix_size size;
        assert_int_equal(fv_matrix_measure(&op, &size), FV_OK);
        assert_int_equal(size.rows, 9);
        assert_int_equal(size.columns, 9);
        assert_int_equal(size.entries, 25);
        assert_int_equal(size.weights, unshared ? 27 : 3);
        picture p = {.side = 9};
        memset(p.weight, -1, sizeof p.weight);
        assert_int_equal(fv_matrix_visit(&op, note, &p), FV_OK);
        for (int row = 0; row < 9; ++row)
            for (int column = 0; column < 9; ++column) {
                const int tap = column - row + 1;
                const int expected = tap < 0 || tap > 2 ? -1 : unshared ? 3 * row + tap : tap;
                assert_int_equal(p.weight[row][column], expected);
            }
    }
}

/* ---- matrix times input */

typedef struct product {
    const double *weights, *x;
    double *y;
    fv_matrix_size size;
    int64_t entries, row, column; /* visited; the last one */
} product;

static bool multiply(void *user, int64_t row, int64_t column, int64_t weight) {
    product *p = user;
    assert_true(row > p->row || (row == p->row && column > p->column));
    assert_true(row < p->size.rows && column >= 0 && column < p->size.columns);
    assert_in_range(weight, 0, p->size.weights - 1);
    p->y[row] += p->weights[weight] * p->x[column];
    p->row = row;
    p->column = column;
    ++p->entries;
    return true;
}

/* On integers, where every sum is exact. */
static void matrix_times_input(void **state) {
    (void)state;
    static const char *const texts[] = {
        "conv2d n=2 c=3 h=5 w=6 k=4 kernel=3x2 pad=1,0,2,1 stride=2x1 dilation=1x2",
        "conv2d n=1 c=4 h=5 w=4 k=6 kernel=3x3 groups=2 pad=1",
        "conv2d n=1 c=2 h=3 w=3 k=2 kernel=2x2 pad=3 stride=2", /* rows without entries */
        "conv2d n=1 c=1 h=1 w=12 k=2 kernel=1x5 stride=3 pad=0x2",
        "conv2d_unshared n=2 c=4 h=5 w=4 k=6 kernel=3x2 groups=2 pad=1 stride=1x2 dilation=2x1",
        "conv2d_unshared n=1 c=1 h=4 w=4 k=1 kernel=4x4 pad=3",
        "conv2d_transposed n=2 c=4 h=3 w=4 k=6 kernel=3x2 stride=2x3 pad=1,0,0,1 output_pad=1x2 groups=2 dilation=1x2",
        "conv2d_transposed n=1 c=1 h=2 w=2 k=1 kernel=2x2 stride=2",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        fv_operation op = parse(texts[i]);
        fv_operation_set_dtype(&op, FV_F64);
        const int64_t images = op.window.n;
        fv_host_tensors t;
        assert_int_equal(fv_generate(&op, FV_FORWARD, FV_EXACT, 11, &t), FV_OK);
        if (fv_run_reference(&op, FV_FORWARD, &t) != FV_OK)
            fail_msg("%s: %s", texts[i], fv_error_message());
        fv_matrix_size size;
        assert_int_equal(fv_matrix_measure(&op, &size), FV_OK);
        for (int64_t n = 0; n < images; ++n) {
            product p = {t.at[FV_W],
                         (const double *)t.at[FV_X] + n * size.columns,
                         calloc((size_t)size.rows, sizeof(double)),
                         size,
                         0,
                         -1,
                         -1};
            assert_int_equal(fv_matrix_visit(&op, multiply, &p), FV_OK);
            assert_int_equal(p.entries, size.entries);
            const double *y = (const double *)t.at[FV_Y] + n * size.rows;
            for (int64_t row = 0; row < size.rows; ++row)
                if (p.y[row] != y[row])
                    fail_msg("%s: image %d, row %d: %g, the convolution gives %g", texts[i], (int)n, (int)row, p.y[row],
                             y[row]);
            free(p.y);
        }
        fv_host_tensors_release(&t);
    }
}

/* ---- the rest */

static bool stop_at_three(void *user, int64_t row, int64_t column, int64_t weight) {
    (void)row, (void)column, (void)weight;
    return ++*(int *)user < 3;
}

static void visits_end_early(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d c=2 h=4 w=4 k=2 kernel=3x3");
    int visited = 0;
    assert_int_equal(fv_matrix_visit(&op, stop_at_three, &visited), FV_OK);
    assert_int_equal(visited, 3);
}

/* A filter as long as its image: of n^2 pairs of an output and a tap, m(m+1)/2 lie before the image and m(m-1)/2
 * behind, with m = n/2. Pair by pair that would take an hour. */
static void measures_long_filters(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d c=1 h=1 w=4000000 k=1 kernel=1x4000000 pad=0,0,2000000,1999999");
    fv_matrix_size size;
    assert_int_equal(fv_matrix_measure(&op, &size), FV_OK);
    assert_true(size.entries == INT64_C(12000000000000));
}

static void refusals(void **state) {
    (void)state;
    fv_matrix_size size;
    fv_operation op = parse("maxpool c=1 h=3 w=3 kernel=2x2");
    assert_int_equal(fv_matrix_measure(&op, &size), FV_UNSUPPORTED);
    assert_string_equal(fv_error_message(),
                        "maxpool has no matrix of its weights: expected conv2d, conv2d_transposed or "
                        "conv2d_unshared");
    op = parse("conv2d c=1 h=65536 w=32768 k=1 kernel=1x1");
    assert_int_equal(fv_matrix_visit(&op, stop_at_three, NULL), FV_UNSUPPORTED);
    assert_non_null(strstr(fv_error_message(), "more than 2^31-1 rows or columns"));
    op.conv2d.stride_h = 0;
    assert_int_equal(fv_matrix_measure(&op, &size), FV_BAD_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toeplitz),         cmocka_unit_test(matrix_times_input),
        cmocka_unit_test(visits_end_early), cmocka_unit_test(measures_long_filters),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
