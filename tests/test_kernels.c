/* test_kernels BACKEND [forward|reverse|random]: every row of the backend's table on every case of tests/cases, exact
 * and bounded, against the double-precision reference. A row that no case exercises is a failure, and so is a run
 * without rows. Exit status 77: the backend has no device here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/kernel.h"
#include "ops/op.h"
#include "verify/verify.h"

enum { SEED = 1, MAX_CASES = 1000 };

static fv_operation cases[MAX_CASES];
static int case_count;

static int read_cases(const char *name) {
    char path[4096], line[512];
    snprintf(path, sizeof path, "%s/%s", FV_TEST_CASES_DIR, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        return 0;
    }
    int good = 1;
    for (int number = 1; fgets(line, sizeof line, file); ++number) {
        line[strcspn(line, "#\n")] = '\0';
        if (!line[strspn(line, " \t")])
            continue;
        if (case_count == MAX_CASES || fv_operation_parse(line, &cases[case_count]) != FV_OK) {
            fprintf(stderr, "%s:%d: %s\n", path, number,
                    case_count == MAX_CASES ? "too many cases" : fv_error_message());
            good = 0;
        } else {
            ++case_count;
        }
    }
    fclose(file);
    return good;
}

static void print_failure(const fv_context *context, const fv_kernel *kernel, const fv_operation *op, fv_fill fill,
                          const fv_verdict *v) {
    char text[512];
    fv_operation_print(op, text, sizeof text);
    printf("FAILED %s %s %s, %s: %s\n  %s\n", fv_context_backend(context), fv_pass_name(kernel->pass), kernel->name,
           fill == FV_EXACT ? "exact" : "bounded", v->reason, text);
    for (int i = 0; i < v->points; ++i)
        printf("  %s[%" PRId64 "]: expected %.9g, got %.9g, difference %.3g, bound %.3g\n", fv_role_name(v->spec.role),
               v->point[i].index, v->point[i].expected, v->point[i].got, v->point[i].got - v->point[i].expected,
               v->point[i].bound);
}

/* One row on all cases; returns the number of failures, and of what passed. */
static int64_t run_row(fv_context *context, const fv_kernel *kernel, int64_t *passed) {
    int64_t count[FV_OUTCOMES] = {0};
    double worst = 0;
    char refusal[320] = "no case in tests/cases is of this operation";
    for (int i = 0; i < case_count; ++i) {
        fv_operation op = cases[i];
        if (op.kind != kernel->kind)
            continue;
        fv_operation_set_dtype(&op, kernel->dtype);
        for (fv_fill fill = FV_EXACT; fill <= FV_BOUNDED; ++fill) {
            fv_verdict verdict;
            if (fv_verify(context, kernel, &op, kernel->pass, fill, SEED, &verdict) != FV_OK) {
                verdict.outcome = FV_FAILED;
                snprintf(verdict.reason, sizeof verdict.reason, "%.300s", fv_error_message());
            }
            if (++count[verdict.outcome] == 1 && verdict.outcome == FV_UNSUPPORTED_CASE)
                memcpy(refusal, verdict.reason, sizeof refusal);
            if (verdict.worst > worst)
                worst = verdict.worst;
            if (verdict.outcome == FV_FAILED)
                print_failure(context, kernel, &op, fill, &verdict);
        }
    }
    printf("%-12s %-16s %-4s %-16s %4" PRId64 " passed %3" PRId64 " failed %3" PRId64 " unsupported %3" PRId64
           " skipped %3" PRId64 " mistrusted  worst %.2f of bound\n",
           fv_kind_name(kernel->kind), fv_pass_name(kernel->pass), fv_dtype_name(kernel->dtype), kernel->name,
           count[FV_PASSED], count[FV_FAILED], count[FV_UNSUPPORTED_CASE], count[FV_SKIPPED], count[FV_MISTRUSTED],
           worst);
    if (count[FV_PASSED] == 0)
        printf("FAILED: no case exercises this kernel: %s\n", refusal);
    *passed += count[FV_PASSED];
    return count[FV_FAILED] + (count[FV_PASSED] == 0);
}

/* The number of a thread order; -1 if there is none of that name. */
static int order_number(const char *name) {
    static const char *const orders[] = {"forward", "reverse", "random"};
    for (int i = 0; i < 3; ++i)
        if (!strcmp(name, orders[i]))
            return i;
    return -1;
}

/* 77, "skipped", where a GPU backend has no device to run on; not where it cannot be opened in spite of one. */
static int opening_failed(const char *backend, fv_status status) {
    fprintf(stderr, "test_kernels: %s\n", fv_error_message());
    fv_context *cuda = NULL;
    const bool device = fv_context_create("cuda", NULL, &cuda) == FV_OK;
    fv_context_destroy(cuda);
    const bool wants_device = !strcmp(backend, "cuda") || !strcmp(backend, "cudnn");
    return wants_device && status == FV_UNSUPPORTED && !device ? 77 : 2;
}

int main(int argc, char **argv) {
    const int order = argc > 2 ? order_number(argv[2]) : 0;
    if (argc < 2 || argc > 3 || order < 0) {
        fprintf(stderr, "usage: test_kernels BACKEND [forward|reverse|random]\n");
        return 2;
    }
    if (!read_cases("conv2d.txt") || !read_cases("maxpool.txt") || !read_cases("other.txt"))
        return 2;
    const fv_context_options options = {.seed = SEED, .thread_order = (fv_thread_order)order};
    fv_context *context;
    const fv_status status = fv_context_create(argv[1], &options, &context);
    if (status != FV_OK)
        return opening_failed(argv[1], status);
    printf("%s: %s; %d cases\n", fv_context_backend(context), fv_context_description(context), case_count);
    int64_t passed = 0, failed = 0;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(context->backend, &cursor));)
        failed += run_row(context, kernel, &passed);
    fv_context_destroy(context);
    printf("%" PRId64 " passed, %" PRId64 " failed\n", passed, failed);
    return failed || !passed;
}
