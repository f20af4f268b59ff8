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
            ++count[verdict.outcome];
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
    *passed += count[FV_PASSED];
    return count[FV_FAILED] + (count[FV_PASSED] == 0);
}

int main(int argc, char **argv) {
    static const char *const orders[] = {"forward", "reverse", "random"};
    fv_context_options options = {.seed = SEED};
    for (int i = 0; argc > 2 && i < 3; ++i)
        if (!strcmp(argv[2], orders[i]))
            options.thread_order = i;
    if (argc < 2 || !read_cases("conv2d.txt") || !read_cases("maxpool.txt") || !read_cases("other.txt")) {
        fprintf(stderr, "usage: test_kernels BACKEND [forward|reverse|random]\n");
        return 2;
    }
    fv_context *context;
    const fv_status status = fv_context_create(argv[1], &options, &context);
    if (status != FV_OK) {
        fprintf(stderr, "test_kernels: %s\n", fv_error_message());
        return status == FV_UNSUPPORTED ? 77 : 2;
    }
    printf("%s: %s; %d cases\n", fv_context_backend(context), fv_context_description(context), case_count);
    int64_t passed = 0, failed = 0;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(context->backend, &cursor));)
        failed += run_row(context, kernel, &passed);
    fv_context_destroy(context);
    printf("%" PRId64 " passed, %" PRId64 " failed\n", passed, failed);
    return failed || !passed;
}
