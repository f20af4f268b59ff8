/* Measuring the ceilings.
 *
 * Of a few samples the fastest counts: a ceiling is what the chip can do, not what it usually does among its other
 * work. The data is random, because zeros need less power, and a chip that needs less power runs faster.
 */
#include "measure/ceilings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "measure/ceilings_cache.h"
#include "ops/dtype.h"

static const int64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

static const fv_protocol protocol = {.samples = 20, .least = 0.05, .noise = 0.01, .most = 0.5};

/* Random numbers, uniform in [-1, 1), over and over: so many. */
enum { BLOCK = 1000003 };

static fv_status fill(fv_context *context, void *to, fv_dtype dtype, size_t bytes) {
    const size_t block = BLOCK * fv_dtype_size(dtype);
    void *numbers = malloc(block);
    if (!numbers)
        return fv_fail(FV_NO_MEMORY, "no memory for %d random numbers", BLOCK);
    for (uint64_t i = 0; i < BLOCK; ++i)
        fv_set_element(dtype, numbers, (int64_t)i, 2 * (double)fv_random_uniform(1, 0, i) - 1);
    fv_status status = FV_OK;
    for (size_t at = 0; status == FV_OK && at < bytes; at += block)
        status = context->backend->upload(context, (char *)to + at, numbers, bytes - at < block ? bytes - at : block);
    free(numbers);
    return status;
}

static fv_status allocate_filled(fv_context *context, fv_dtype dtype, size_t bytes, void **pointer) {
    FV_TRY(context->backend->allocate(context, bytes, pointer));
    return fill(context, *pointer, dtype, bytes);
}

/* ---- bytes per second ---- */

typedef struct copying {
    fv_context *context;
    void *to, *from;
    size_t bytes;
} copying;

static fv_status run_copy(void *user) {
    const copying *c = user;
    return c->context->backend->copy(c->context, c->to, c->from, c->bytes);
}

static fv_status time_copy(const fv_scratch *scratch, size_t bytes, double *rate) {
    fv_context *context = scratch->context;
    copying c = {.context = context, .bytes = bytes};
    fv_timing timing;
    fv_status status;
    FV_TRY_GOTO(status, allocate_filled(context, FV_F32, bytes, &c.from), done);
    FV_TRY_GOTO(status, allocate_filled(context, FV_F32, bytes, &c.to), done);
    FV_TRY_GOTO(status, fv_measure(scratch, &protocol, run_copy, &c, &timing), done);
    *rate = timing.summary.least > 0 ? 2 * (double)bytes / timing.summary.least : 0;
done:
    if (c.from)
        context->backend->deallocate(context, c.from);
    if (c.to)
        context->backend->deallocate(context, c.to);
    return status;
}

/* What of the device's memory a measurement may take. */
static int64_t room(const fv_machine *machine) {
    return (machine->memory > 0 ? machine->memory : GIB) / 8;
}

/* Between buffers that no cache holds: 1 GiB, or a quarter of that on CPUs and small devices, where that takes as
 * long. */
static fv_status measure_copy(const fv_scratch *scratch, const fv_machine *machine, double *rate) {
    const bool large = !scratch->context->backend->host_memory && machine->memory > 8 * GIB;
    int64_t bytes = fv_max(large ? GIB : GIB / 4, 4 * machine->cache);
    bytes = fv_max(fv_min(bytes, room(machine) / 2), MIB);
    for (;;) {
        const fv_status status = time_copy(scratch, (size_t)bytes, rate);
        if (status != FV_NO_MEMORY || bytes <= MIB)
            return status;
        bytes /= 2; /* others use the device, too */
    }
}

/* ---- FLOP per second ---- */

typedef struct product {
    fv_call call;
    fv_buffers buffers;
} product;

static fv_status run_product(void *user) {
    const product *p = user;
    return fv_call_run(&p->call, &p->buffers);
}

static fv_status time_prepared(const fv_scratch *scratch, product *p, double *rate) {
    fv_context *context = scratch->context;
    fv_timing timing;
    if (p->call.workspace)
        FV_TRY(context->backend->allocate(context, p->call.workspace, &p->buffers.workspace));
    const fv_status status = fv_measure(scratch, &protocol, run_product, p, &timing);
    if (p->buffers.workspace)
        context->backend->deallocate(context, p->buffers.workspace);
    p->buffers.workspace = NULL;
    if (status == FV_OK && timing.summary.least > 0)
        *rate = 2 * (double)fv_operation_macs(&p->call.op, FV_FORWARD) / timing.summary.least;
    return status;
}

/* *rate is 0 for a row that cannot do it, or that computes in less than its dtype. */
static fv_status time_row(const fv_scratch *scratch, const fv_kernel *kernel, const fv_operation *op,
                          const fv_buffers *buffers, double *rate) {
    product p = {.buffers = *buffers};
    *rate = 0;
    fv_status status = fv_call_prepare_kernel(&p.call, scratch->context, kernel, op, FV_FORWARD);
    if (status == FV_OK && !fv_notes_fall_short(op->linear.dtype, fv_call_numerics(&p.call).notes))
        status = time_prepared(scratch, &p, rate);
    fv_call_release(&p.call);
    return status == FV_UNSUPPORTED ? FV_OK : status;
}

static bool has_rows(const fv_backend *backend, fv_dtype dtype) {
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));)
        if (kernel->kind == FV_LINEAR && kernel->pass == FV_FORWARD && kernel->dtype == dtype)
            return true;
    return false;
}

static fv_status time_rows(const fv_scratch *scratch, const fv_backend *backend, const fv_operation *op,
                           const fv_buffers *buffers, fv_ceilings *ceilings) {
    const fv_dtype dtype = op->linear.dtype;
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(backend, &cursor));) {
        double rate = 0;
        if (kernel->kind != FV_LINEAR || kernel->pass != FV_FORWARD || kernel->dtype != dtype)
            continue;
        FV_TRY(time_row(scratch, kernel, op, buffers, &rate));
        if (rate <= ceilings->product[dtype])
            continue;
        ceilings->product[dtype] = rate;
        snprintf(ceilings->product_by[dtype], sizeof ceilings->product_by[dtype],
                 "%.24s linear %" PRId64 "x%" PRId64 "x%" PRId64, kernel->name, op->linear.n, op->linear.k,
                 op->linear.c);
    }
    return FV_OK;
}

/* A square product, large enough to keep the chip busy and small enough for a few to be done in a second. */
static fv_operation product_for(const fv_context *context, const fv_machine *machine, fv_dtype dtype) {
    int64_t edge = context->backend->host_memory ? 1536 : 8192;
    while (edge > 256 && 3 * edge * edge * (int64_t)fv_dtype_size(dtype) > room(machine))
        edge /= 2;
    return (fv_operation){.kind = FV_LINEAR, .linear = {.n = edge, .c = edge, .k = edge, .dtype = dtype}};
}

static fv_status measure_product(const fv_scratch *scratch, const fv_machine *machine, fv_dtype dtype,
                                 fv_ceilings *ceilings) {
    static const fv_role roles[] = {FV_X, FV_W, FV_Y};
    fv_context *context = scratch->context;
    const fv_backend *backend = context->backend;
    if (!has_rows(backend, dtype))
        backend = backend->stand_in;
    if (!backend || !has_rows(backend, dtype))
        return FV_OK;
    const fv_operation op = product_for(context, machine, dtype);
    const size_t bytes = (size_t)(op.linear.n * op.linear.c) * fv_dtype_size(dtype);
    fv_buffers buffers = {0};
    fv_status status = FV_OK;
    for (size_t i = 0; status == FV_OK && i < sizeof roles / sizeof roles[0]; ++i)
        status = allocate_filled(context, dtype, bytes, &buffers.at[roles[i]]);
    if (status == FV_OK)
        status = time_rows(scratch, backend, &op, &buffers, ceilings);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; ++i)
        if (buffers.at[roles[i]])
            context->backend->deallocate(context, buffers.at[roles[i]]);
    return status == FV_NO_MEMORY ? FV_OK : status; /* then it is not known */
}

/* ---- both ---- */

/* CPU backends other than oneDNN's have loops that show nothing of what the processor can do. */
static bool multiplies_well(const fv_backend *backend) {
    return !backend->host_memory || !strcmp(backend->name, "onednn");
}

static fv_status measure(fv_context *context, const fv_machine *machine, fv_ceilings *ceilings) {
    fv_scratch scratch;
    FV_TRY(fv_scratch_allocate(&scratch, context));
    fv_status status = measure_copy(&scratch, machine, &ceilings->copy);
    for (int dtype = FV_FIRST_REAL; status == FV_OK && dtype <= FV_LAST_REAL && multiplies_well(context->backend);
         ++dtype)
        status = measure_product(&scratch, machine, dtype, ceilings);
    fv_scratch_release(&scratch);
    fv_clock_date(ceilings->measured);
    return status;
}

static fv_status get(fv_context *context, bool afresh, fv_ceilings *ceilings) {
    fv_machine machine;
    context->backend->machine(context, &machine);
    *ceilings = (fv_ceilings){0};
    if (!afresh && fv_ceilings_recall(&machine, ceilings))
        return FV_OK;
    const fv_status status = measure(context, &machine, ceilings);
    if (status == FV_OK)
        fv_ceilings_keep(&machine, ceilings);
    return status == FV_OK ? FV_OK : fv_fail_within(status, "cannot measure what the device can do");
}

fv_status fv_ceilings_get(fv_context *context, bool afresh, fv_ceilings *ceilings) {
    fv_context *vendor = NULL;
    if (!multiplies_well(context->backend) && fv_backend_find("onednn") &&
        fv_context_create("onednn", NULL, &vendor) != FV_OK)
        vendor = NULL;
    const fv_status status = get(vendor ? vendor : context, afresh, ceilings);
    fv_context_destroy(vendor);
    return status;
}
