/* Linear layers by cuBLAS, without a GPU: a stand-in multiplies as cuBLAS documents its products, on matrices in host
 * memory, so that what linear.c makes of them is verified as any kernel is. */
#define fv_cublas_kernels rows_under_test
#define fv_cuda_allocate fv_host_allocate
#define fv_cuda_deallocate fv_host_deallocate
#define fv_cuda_upload fv_host_upload
#define fv_cuda_fill fv_host_fill
#include "../../host/backends/cuda/linear.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ops/op.h"
#include "verify/verify.h"

static int handle;
static int fails_at, calls; /* the product that fails; 0: none */

static fv_dtype dtype_of(cudaDataType type) {
    return type == CUDA_R_16BF ? FV_BF16 : type == CUDA_R_16F ? FV_F16 : FV_F32;
}

/* As tensor cores see a float. */
static double cut(double value) {
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    bits &= 0xFFFFE000u;
    memcpy(&narrow, &bits, sizeof narrow);
    return (double)narrow;
}

static cublasStatus_t multiply_here(cublasHandle_t cublas, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m,
                                    int64_t n, int64_t k, const void *alpha, const void *a, cudaDataType type_a,
                                    int64_t lda, const void *b, cudaDataType type_b, int64_t ldb, const void *beta,
                                    void *c, cudaDataType type_c, int64_t ldc, cublasComputeType_t precision,
                                    cublasGemmAlgo_t algorithm) {
    assert_ptr_equal(cublas, &handle);
    assert_int_equal(algorithm, CUBLAS_GEMM_DEFAULT);
    assert_true(lda >= (op_a == CUBLAS_OP_N ? m : k) && ldb >= (op_b == CUBLAS_OP_N ? k : n) && ldc >= m);
    assert_true(type_a == type_b && type_b == type_c);
    const bool fast = precision == CUBLAS_COMPUTE_32F_FAST_TF32;
    assert_true(fast ? type_a == CUDA_R_32F : precision == CUBLAS_COMPUTE_32F);
    if (++calls == fails_at)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    for (int64_t column = 0; column < n; ++column)
        for (int64_t row = 0; row < m; ++row) {
            const double kept = (double)*(const float *)beta;
            double sum = 0;
            for (int64_t l = 0; l < k; ++l) {
                const double x = fv_element(dtype_of(type_a), a, op_a == CUBLAS_OP_N ? l * lda + row : row * lda + l);
                const double y =
                    fv_element(dtype_of(type_b), b, op_b == CUBLAS_OP_N ? column * ldb + l : l * ldb + column);
                sum += fast ? cut(x) * cut(y) : x * y;
            }
            sum *= (double)*(const float *)alpha;
            if (kept != 0) /* else c may hold anything */
                sum += kept * fv_element(dtype_of(type_c), c, column * ldc + row);
            fv_set_element(dtype_of(type_c), c, column * ldc + row, sum);
        }
    return CUBLAS_STATUS_SUCCESS;
}

static const char *status_string(cublasStatus_t status) {
    return status == CUBLAS_STATUS_EXECUTION_FAILED ? "planted" : "fine";
}

static const fv_kernel *const tables[] = {rows_under_test, NULL};
static const fv_backend here = {.name = "here", .tables = tables, FV_HOST_MEMORY};
static fv_cublas blas = {.api = {.gemm = multiply_here, .status_string = status_string},
                         .handle = (cublasHandle_t)&handle};
static fv_cuda_device device = {.blas = &blas};
static fv_context context = {.backend = &here, .device = &device};

static const char *const texts[] = {
    "linear n=5 c=7 k=3 bias=1",
    "linear n=4 c=6 k=9 bias=0",
    "linear n=1 c=33 k=1 bias=1",
    "linear n=0 c=3 k=2 bias=1",
};

static void rows_are_right(void **unused) {
    (void)unused;
    int rows = 0;
    for (const fv_kernel *row = rows_under_test; row->name; ++row, ++rows)
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
            for (fv_fill fill = 0; fill < FV_FILLS; ++fill) {
                fv_operation op;
                fv_verdict verdict;
                assert_int_equal(fv_operation_parse(texts[i], &op), FV_OK);
                fv_operation_set_dtype(&op, row->dtype);
                assert_int_equal(fv_verify(&context, row, &op, row->pass, fill, 1, &verdict), FV_OK);
                if (verdict.outcome == FV_FAILED)
                    fail_msg("%s %s, %s: %s", texts[i], fv_pass_name(row->pass), fv_dtype_name(row->dtype),
                             verdict.reason);
                assert_int_equal(verdict.numerics.notes, row->dtype == FV_TF32 ? FV_NOTE_TF32_CUT : 0);
            }
    assert_int_equal(rows, 3 * 4);
}

/* A row of f32 that is given an operation of tf32 says what it does with it. */
static void f32_serves_tf32(void **unused) {
    (void)unused;
    fv_operation op;
    fv_verdict verdict;
    assert_int_equal(fv_operation_parse("linear n=5 c=7 k=3 bias=1 dtype=tf32", &op), FV_OK);
    assert_int_equal(fv_verify(&context, &rows_under_test[0], &op, FV_FORWARD, FV_BOUNDED, 1, &verdict), FV_OK);
    assert_int_equal(verdict.outcome, FV_PASSED);
    assert_int_equal(verdict.numerics.notes, FV_NOTE_TF32_CUT);
    assert_string_equal(verdict.numerics.description, "CUBLAS_COMPUTE_32F_FAST_TF32");
}

static void failures_are_told(void **unused) {
    (void)unused;
    for (const fv_kernel *row = rows_under_test; row->name; ++row) {
        const int products = row->pass == FV_BACKWARD_DATA ? 1 : 2;
        fv_operation op;
        assert_int_equal(fv_operation_parse(texts[0], &op), FV_OK);
        fv_operation_set_dtype(&op, row->dtype);
        for (int i = 1; i <= products; ++i) {
            fv_verdict verdict;
            calls = 0;
            fails_at = i;
            (void)fv_verify(&context, row, &op, row->pass, FV_EXACT, 1, &verdict);
            assert_non_null(strstr(fv_error_message(), "cublas: cannot multiply: planted"));
            fails_at = 0;
        }
    }
}

/* Seconds on a made-up chip, worked out by hand. */
static void rows_know_what_they_take(void **unused) {
    (void)unused;
    static const fv_chip chip = {.fma = 60, .tensor_tf32 = 100, .tensor_half = 200, .bandwidth = 10, .launch = 1};
    static const struct {
        const char *text;
        fv_pass pass;
        double seconds;
    } cases[] = {
        {"linear n=100 c=100 k=100 bias=0 dtype=f32", FV_FORWARD, 2e6 / 47 + 1},
        {"linear n=100 c=100 k=100 bias=0 dtype=tf32", FV_BACKWARD_DATA, 2e6 / 100 + 1},
        {"linear n=100 c=100 k=100 bias=0 dtype=bf16", FV_BACKWARD_WEIGHTS, 2e6 / 200 + 1},
        {"linear n=1 c=1 k=10 bias=0 dtype=f16", FV_FORWARD, 2 * (1 + 10 + 10) / 10.0 + 1},
        {"linear n=1 c=1 k=10 bias=1 dtype=f16", FV_FORWARD, 2 * (1 + 10 + 10 + 10 + 2 * 10) / 10.0 + 2},
        {"linear n=1 c=1 k=10 bias=1 dtype=f16", FV_BACKWARD_DATA, 2 * (1 + 10 + 10) / 10.0 + 1},
        {"linear n=1 c=1 k=10 bias=1 dtype=f16", FV_BACKWARD_WEIGHTS, 2 * (1 + 10 + 10 + 10) / 10.0 + 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        fv_operation op;
        assert_int_equal(fv_operation_parse(cases[i].text, &op), FV_OK);
        const fv_kernel *row = rows_under_test;
        while (row->pass != cases[i].pass || row->dtype != op.linear.dtype)
            ++row;
        const double seconds = row->estimate(&op, &chip);
        if (!(seconds > cases[i].seconds * (1 - 1e-12) && seconds < cases[i].seconds * (1 + 1e-12)))
            fail_msg("%s %s: %.17g s, expected %.17g", cases[i].text, fv_pass_name(cases[i].pass), seconds,
                     cases[i].seconds);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_right),
        cmocka_unit_test(f32_serves_tf32),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(rows_know_what_they_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
