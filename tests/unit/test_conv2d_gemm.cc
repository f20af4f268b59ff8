/* Implicit GEMM's large tiles, which the plan chooses for grids that are too large for the emulator: on small problems
 * they give the same bits as the small tiles that fovea check proves, with as many ways of copying. */
#include "emulated_context.h"

#include <stdlib.h>

#include "conv2d_gemm_plan.cuh"

namespace fv_emulated {

namespace {

/* More rows, columns and depth than a large tile and a slice have; windows that leave the image; two classes to
 * an axis. */
fv_conv2d problem(int64_t stride) {
    fv_conv2d d = {};
    d.n = 2;
    d.c = 272;
    d.h = 11;
    d.w = 9;
    d.k = 304;
    d.r = 2;
    d.s = 3;
    d.stride_h = d.stride_w = stride;
    d.pad_top = d.pad_right = 1;
    d.dilation_h = 2;
    d.dilation_w = 1;
    d.groups = 2;
    return d;
}

template <typename T>
T *filled(int64_t count, uint64_t seed) {
    T *const values = static_cast<T *>(aligned_alloc(64, static_cast<size_t>(ceil_div(count, 64) * 64) * sizeof(T)));
    for (int64_t i = 0; i < count; ++i)
        values[i] =
            narrow<T>(static_cast<float>((static_cast<uint64_t>(i) * 2654435761u + seed) % 65537) / 65537 - 0.5f);
    return values;
}

template <typename ARITHMETIC, bool BACKWARD>
void expect_same_pixels(fv_context *context, int64_t stride) {
    using T = typename ARITHMETIC::T;
    const fv_conv2d d = problem(stride);
    gemm_plan plan = gemm_choice_of(d, BACKWARD, GEMM_LANES<T>).plan;
    const int64_t large = d.n * d.h * d.w * d.c, small = d.n * fv_conv2d_p(&d) * fv_conv2d_q(&d) * d.k;
    const int64_t sources = BACKWARD ? small : large, results = BACKWARD ? large : small;
    T *const source = filled<T>(sources, 1), *const filters = filled<T>(d.k * d.r * d.s * d.c / d.groups, 2);
    T *const bias = filled<T>(BACKWARD ? d.c : d.k, 3);
    T *const by_small = filled<T>(results, 4), *const by_large = filled<T>(results, 5);
    plan.relu = true;
    plan.wide_stores = true;
    gemm_cut(plan, GEMM_SMALL);
    assert_int_equal(
        (gemm_launch<ARITHMETIC, BACKWARD, GEMM_SMALL, true>(context, plan, source, filters, bias, by_small)), FV_OK);
    gemm_cut(plan, GEMM_LARGE);
    plan.columns_first = !plan.columns_first;
    assert_int_equal(
        (gemm_launch<ARITHMETIC, BACKWARD, GEMM_LARGE, true>(context, plan, source, filters, bias, by_large)), FV_OK);
    assert_memory_equal(by_small, by_large, static_cast<size_t>(results) * sizeof(T));
    free(source);
    free(filters);
    free(bias);
    free(by_small);
    free(by_large);
}

template <typename ARITHMETIC>
void expect_same_weights(fv_context *context) {
    using T = typename ARITHMETIC::T;
    const fv_conv2d d = problem(2);
    gemm_plan plan = gemm_weights_choice_of(d, d.k, GEMM_LANES<T>, GEMM_DEPTH<T>).plan;
    plan.per_split = 2 * GEMM_DEPTH<T>;
    plan.splits = ceil_div(plan.pixels, plan.per_split);
    plan.wide_stores = true;
    const int64_t weights = plan.partial - d.k, all = plan.splits * plan.partial;
    T *const x = filled<T>(d.n * d.h * d.w * d.c, 1), *const dy = filled<T>(plan.pixels * d.k, 2);
    float *const by_small = filled<float>(all, 3), *const by_large = filled<float>(all, 4);
    gemm_cut(plan, GEMM_SMALL);
    assert_int_equal(
        (gemm_launch_weights<ARITHMETIC, GEMM_SMALL, true>(context, plan, x, dy, by_small, by_small + weights)), FV_OK);
    gemm_cut(plan, GEMM_LARGE);
    assert_int_equal(
        (gemm_launch_weights<ARITHMETIC, GEMM_LARGE, true>(context, plan, x, dy, by_large, by_large + weights)), FV_OK);
    assert_memory_equal(by_small, by_large, static_cast<size_t>(all) * sizeof(float));
    free(x);
    free(dy);
    free(by_small);
    free(by_large);
}

template <typename ARITHMETIC>
void expect_same(int order) {
    fv_context *context = open_emulator(order);
    expect_same_pixels<ARITHMETIC, false>(context, 1);
    expect_same_pixels<ARITHMETIC, true>(context, 2);
    expect_same_weights<ARITHMETIC>(context);
    fv_context_destroy(context);
}

void test_half(void **) {
    expect_same<GEMM_HALF<bf16>>(RANDOM);
}

void test_tf32(void **) {
    expect_same<GEMM_TF32>(FORWARD);
}

void test_three_products(void **) {
    expect_same<GEMM_3XTF32>(REVERSE);
}

void test_fma(void **) {
    expect_same<GEMM_FMA>(RANDOM);
}

/* Layers of the usual size take the large tiles; few pixels, few filters and uneven channels the small ones. */
void test_choice(void **) {
    fv_conv2d d = {};
    d.n = 64;
    d.c = d.k = 256;
    d.h = d.w = 56;
    d.r = d.s = 3;
    d.stride_h = d.stride_w = d.dilation_h = d.dilation_w = d.groups = 1;
    d.pad_top = d.pad_bottom = d.pad_left = d.pad_right = 1;
    assert_int_equal(gemm_choice_of(d, false, 8).tile, GEMM_LARGE);
    assert_int_equal(gemm_choice_of(d, true, 8).tile, GEMM_LARGE);
    assert_int_equal(gemm_weights_choice_of(d, 0, 8, 32).tile, GEMM_LARGE);
    d.k = 64;
    assert_int_equal(gemm_choice_of(d, false, 8).tile, GEMM_SMALL);
    d.k = 256;
    d.c = 257;
    assert_int_equal(gemm_choice_of(d, false, 8).tile, GEMM_SMALL);
    assert_false(gemm_choice_of(d, false, 8).wide);
    d.c = 256;
    d.n = 1;
    d.h = d.w = 7;
    assert_int_equal(gemm_choice_of(d, false, 8).tile, GEMM_SMALL);
}

} // namespace

} // namespace fv_emulated

int main() {
    using namespace fv_emulated;
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_half), cmocka_unit_test(test_tf32),   cmocka_unit_test(test_three_products),
        cmocka_unit_test(test_fma),  cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
