#include "cli/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/chip.h"
#include "backends/choose.h"
#include "base/error.h"
#include "cli/cli.h"
#include "measure/ceilings.h"
#include "ops/op.h"

enum { OPERATION_SIZE = 560 };

/* One pass of one case. */
typedef struct subject {
    fv_kernels_request *request;
    fv_table *table;
    char text[OPERATION_SIZE];
    const fv_operation *op;
    fv_pass pass;
    const fv_kernel *chosen; /* NULL: none can */
    fv_choice measured;      /* "" for the kernel: not known */
} subject;

static const fv_column columns[] = {
    {"case", "case", FV_CELL_TEXT, 0},
    {"pass", "pass", FV_CELL_TEXT, 0},
    {"backend", "backend", FV_CELL_TEXT, 0},
    {"kernel", "kernel", FV_CELL_TEXT, 0},
    {"dtype", "dtype", FV_CELL_TEXT, 0},
    {"expected_us", "expected us", FV_CELL_REAL, 4},
    {"percent_of_floor", "% of floor", FV_CELL_REAL, 3},
    {"measured_us", "measured us", FV_CELL_REAL, 4},
    {"chosen", "chosen", FV_CELL_YES_NO, 0},
    {"why_not", "why not", FV_CELL_TEXT, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0], OF_HEADING = 2 };

/* The floor that the rates of the estimates set. */
static fv_floor find_floor(const subject *s) {
    const fv_chip *chip = fv_context_chip(s->request->context);
    fv_ceilings ceilings = {.copy = chip->bandwidth};
    ceilings.product[FV_F32] = chip->fma;
    ceilings.product[FV_TF32] = chip->tensor_tf32;
    ceilings.product[FV_BF16] = ceilings.product[FV_F16] = chip->tensor_half;
    return fv_floor_of(&ceilings, s->op, s->pass);
}

static void put_real(fv_table *table, double real) {
    if (isnan(real))
        fv_table_empty(table);
    else
        fv_table_real(table, real);
}

static void put_kernel(subject *s, const fv_backend *backend, const fv_kernel *kernel) {
    fv_context *context = s->request->context;
    const char *refusal = fv_kernel_refusal(kernel, context, s->op, s->pass);
    const double expected = refusal ? NAN : fv_kernel_expected(kernel, context, s->op);
    const bool measured =
        backend == context->backend && s->measured.dtype == kernel->dtype && !strcmp(s->measured.kernel, kernel->name);
    if (s->request->format != FV_FORMAT_TABLE) {
        fv_table_text(s->table, s->text);
        fv_table_text(s->table, fv_pass_name(s->pass));
    }
    fv_table_text(s->table, backend->name);
    fv_table_text(s->table, kernel->name);
    fv_table_text(s->table, fv_dtype_name(kernel->dtype));
    put_real(s->table, 1e6 * expected);
    put_real(s->table, 100 * find_floor(s).seconds / expected);
    put_real(s->table, measured ? 1e6 * s->measured.measured : NAN);
    fv_table_yes_no(s->table, kernel == s->chosen);
    fv_table_text(s->table, refusal ? refusal : kernel->on_request ? "it is a yardstick" : NULL);
    ++s->request->listed;
}

/* Whether the row is of this operation, pass and dtype; rows of f32 are of tf32, too. */
static bool concerns(const subject *s, const fv_kernel *kernel) {
    const fv_dtype dtype = fv_operation_dtype(s->op);
    return kernel->kind == s->op->kind && kernel->pass == s->pass &&
           (kernel->dtype == dtype || (kernel->dtype == FV_F32 && dtype == FV_TF32));
}

/* The rows of the context's backend, and the chosen one if it is a stand-in's. */
static void put_kernels(subject *s) {
    const fv_backend *const own = s->request->context->backend;
    fv_kernel_cursor cursor = {0};
    bool chosen = !s->chosen;
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(own, &cursor));) {
        chosen |= kernel == s->chosen;
        if (concerns(s, kernel) && fv_filter_matches(&s->request->filter, kernel))
            put_kernel(s, own, kernel);
    }
    for (const fv_backend *const *backend = fv_backends; *backend && !chosen; ++backend) {
        cursor = (fv_kernel_cursor){0};
        for (const fv_kernel *kernel; !chosen && (kernel = fv_kernel_next(*backend, &cursor));)
            if ((chosen = kernel == s->chosen) && fv_filter_matches(&s->request->filter, kernel))
                put_kernel(s, *backend, kernel);
    }
}

static fv_status choose(subject *s) {
    fv_call call;
    const fv_status status = fv_call_prepare(&call, s->request->context, s->op, s->pass);
    s->chosen = status == FV_OK ? call.kernel : NULL;
    fv_call_release(&call);
    s->measured = (fv_choice){.kernel = ""};
    (void)fv_selection_recall(s->request->context, s->request->context->backend, s->op, s->pass, &s->measured);
    return status == FV_UNSUPPORTED ? FV_OK : status;
}

static void say_heading(const subject *s, bool first) {
    const fv_floor floor = find_floor(s);
    fv_say("%s%s %s: floor %.4g us (%s)\n", first ? "" : "\n", s->text, fv_pass_name(s->pass), 1e6 * floor.seconds,
           floor.compute_bound ? "compute" : "memory");
}

static fv_status put_rows(subject *s) {
    FV_TRY(choose(s));
    put_kernels(s);
    return FV_OK;
}

/* For people: a table of its own below a line that says what it is about. */
static fv_status say_pass(subject *s) {
    const int before = s->request->listed;
    fv_table table, *const whole = s->table;
    fv_table_begin(&table, columns + OF_HEADING, COLUMNS - OF_HEADING);
    s->table = &table;
    fv_status status = put_rows(s);
    if (status == FV_OK && s->request->listed > before) {
        say_heading(s, before == 0);
        status = fv_table_print(&table, FV_FORMAT_TABLE);
    }
    fv_table_release(&table);
    s->table = whole;
    return status;
}

fv_status fv_kernels_say_choices(fv_kernels_request *request) {
    fv_table table;
    subject s = {.request = request, .table = &table};
    fv_status status = FV_OK;
    fv_table_begin(&table, columns, COLUMNS);
    for (int64_t i = 0; i < request->cases->count && status == FV_OK; ++i) {
        const fv_case *item = &request->cases->items[i];
        s.op = &item->op;
        fv_operation_print_short(s.op, s.text, sizeof s.text);
        for (s.pass = 0; s.pass < FV_PASSES && status == FV_OK; ++s.pass)
            if (item->passes >> s.pass & 1 && request->filter.passes >> s.pass & 1 &&
                fv_operation_has_pass(s.op, s.pass))
                status = request->format == FV_FORMAT_TABLE ? say_pass(&s) : put_rows(&s);
    }
    if (status == FV_OK && request->format != FV_FORMAT_TABLE && request->listed)
        status = fv_table_print(&table, request->format);
    fv_table_release(&table);
    return status;
}
