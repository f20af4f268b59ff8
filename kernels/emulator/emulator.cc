/* See emulator.h for what this does. How:
 *
 * A block runs in phases. In a phase every thread that can run does so, in the drawn order, until it waits or
 * returns; a thread that waits hands the CPU straight to the next one. When none can run any more, the scheduler
 * (the launching stack) checks that the waiting threads agree on where they wait, lets them go, and draws the next
 * order. */
#include "emulator/emulator.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/emulated/emulated.h"
#include "base/error.h"
#include "base/random.h"
#include "emulator/copies.h"
#include "emulator/fibers.h"

namespace fv_emulated {

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

constexpr int MAX_THREADS = MAX_FIBERS;
constexpr int LANES = 32;
constexpr size_t MAX_SHARED = 99 * 1024; /* see MAX_SHARED_BYTES_OPT_IN in kernel.cuh */
constexpr size_t MAILBOX = 104;          /* four by four fragments of mma, and what is said of them */

enum thread_state { UNSTARTED, RUNNABLE, WAITS_FOR_WARP, WAITS_FOR_BLOCK, RETURNED };

struct thread {
    thread_state state;
    site where;         /* it waits */
    fiber *on;          /* it runs */
    unsigned exchanges; /* shuffles so far; its parity picks the mailbox */
    /* Two, so that a fast lane's next shuffle cannot overwrite what a slow lane still reads. */
    alignas(8) unsigned char mailbox[2][MAILBOX];
    copy_queue copies;
};

/* Thrown in a waiting thread when its launch has failed, so that its stack unwinds. */
struct cancelled {};

} // namespace

} // namespace fv_emulated

using namespace fv_emulated;

struct fv_emulator {
    fv_thread_order wanted; /* as the context asks */
    uint64_t seed;
    fiber_pool fibers;
    copy_pool copies;

    /* The run. */
    fv_thread_order order; /* never varied */
    uint64_t key, draws;   /* of its random numbers */

    /* The launch. */
    const char *kernel;
    void (*body)(const void *argument);
    const void *argument;
    void *shared;
    size_t shared_bytes;
    bool failed;
    char failure[512];

    /* The block. */
    thread threads[MAX_THREADS];
    int sequence[MAX_THREADS]; /* the order of this phase */
    int count, cursor, current;
};

namespace fv_emulated {

namespace {

/* __shared__ arrays and threadIdx are the program's: one launch at a time. */
pthread_mutex_t launching = PTHREAD_MUTEX_INITIALIZER;
fv_emulator *active;

/* ---- failing ---- */

__attribute__((format(printf, 2, 3))) void fail(fv_emulator *e, const char *format, ...) {
    e->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(e->failure, sizeof e->failure, format, arguments);
    va_end(arguments);
}

/* The thread returned before its copies arrived. */
void refuse_copy(fv_emulator *e, int index) {
    const copy_queue *copies = &e->threads[index].copies;
    const pending_copy *copy = copies->oldest;
    fail(e, "thread %d returned with an asynchronous copy under way, begun at %s:%d: %s", index, copy->begun.file,
         copy->begun.line, copy->group < copies->committed ? "a wait is missing" : "its commit and a wait are missing");
}

/* ---- threads on fibers ---- */

/* The fiber of the next thread that can run in this phase; the scheduler if there is none. */
fiber *next_fiber(fv_emulator *e) {
    for (; !e->failed && e->cursor < e->count; ++e->cursor) {
        const thread *next = &e->threads[e->sequence[e->cursor]];
        if (next->state == UNSTARTED)
            return fiber_idle(&e->fibers); /* which takes the thread itself */
        if (next->state == RUNNABLE) {
            ++e->cursor;
            return next->on;
        }
    }
    return &e->fibers.scheduler;
}

void become(fv_emulator *e, int index) {
    const unsigned flat = static_cast<unsigned>(index);
    e->current = index;
    threadIdx = {flat % blockDim.x, flat / blockDim.x % blockDim.y, flat / blockDim.x / blockDim.y};
}

void run_thread(fv_emulator *e, int index) {
    thread *self = &e->threads[index];
    self->on = e->fibers.running;
    become(e, index);
    try {
        e->body(e->argument);
        if (self->copies.oldest)
            refuse_copy(e, index);
    } catch (const cancelled &) {
    }
    self->state = RETURNED;
}

/* A fiber's whole life: starts threads until one of them waits and another fiber goes on with the rest. */
void run_threads() {
    fv_emulator *e = active;
    fiber_arrive(&e->fibers);
    while (!e->fibers.closing) {
        while (!e->failed && e->cursor < e->count && e->threads[e->sequence[e->cursor]].state == UNSTARTED)
            run_thread(e, e->sequence[e->cursor++]);
        fiber_rest(&e->fibers, next_fiber(e));
    }
    fiber_leave(&e->fibers);
}

/* ---- waiting and releasing ---- */

void wait(thread_state state, site where) {
    fv_emulator *e = active;
    const int index = e->current;
    e->threads[index].state = state;
    e->threads[index].where = where;
    fiber_switch(&e->fibers, next_fiber(e));
    become(e, index);
    if (e->failed)
        throw cancelled();
}

bool waits(const thread *t) {
    return t->state == WAITS_FOR_WARP || t->state == WAITS_FOR_BLOCK;
}

bool same_barrier(const thread *a, const thread *b) {
    return a->state == b->state && a->where.line == b->where.line &&
           (a->where.file == b->where.file || strcmp(a->where.file, b->where.file) == 0);
}

/* Lets the threads first .. end-1 go if all of them wait at one barrier; fails otherwise. */
void release_together(fv_emulator *e, int first, int end) {
    int waiting = first;
    while (!waits(&e->threads[waiting]))
        ++waiting;
    const thread *one = &e->threads[waiting];
    const bool warp = one->state == WAITS_FOR_WARP;
    for (int i = first; i < end; ++i) {
        const thread *t = &e->threads[i];
        if (t->state == RETURNED)
            return fail(e,
                        "thread %d returned while thread %d waits at %s:%d: a thread without work must skip the work, "
                        "not the %s",
                        i, waiting, one->where.file, one->where.line, warp ? "warp primitive" : "barrier");
        if (!same_barrier(t, one))
            return fail(e,
                        "thread %d waits at %s:%d, thread %d at %s:%d: all threads of a %s must meet at the same line, "
                        "outside of branches that only some take",
                        waiting, one->where.file, one->where.line, i, t->where.file, t->where.line,
                        warp ? "warp" : "block");
    }
    for (int i = first; i < end; ++i)
        e->threads[i].state = RUNNABLE;
}

/* Ends a phase: true if threads can run again. Warps go before the block, whose barrier waits for all of them. */
bool release(fv_emulator *e) {
    bool released = false;
    for (int first = 0; first < e->count && !e->failed; first += LANES) {
        const int end = first + LANES < e->count ? first + LANES : e->count;
        for (int i = first; i < end; ++i)
            if (e->threads[i].state == WAITS_FOR_WARP) {
                release_together(e, first, end);
                released = true;
                break;
            }
    }
    for (int i = 0; i < e->count && !released && !e->failed; ++i)
        if (e->threads[i].state == WAITS_FOR_BLOCK) {
            release_together(e, 0, e->count);
            released = true;
        }
    return released && !e->failed;
}

/* ---- blocks and grids ---- */

void draw_sequence(fv_emulator *e) {
    for (int i = 0; i < e->count; ++i)
        e->sequence[i] = e->order == FV_ORDER_REVERSE ? e->count - 1 - i : i;
    if (e->order != FV_ORDER_RANDOM)
        return;
    const uint64_t draw = e->draws++;
    for (int i = e->count - 1; i > 0; --i) {
        const uint32_t other = fv_random_below(e->key, draw, static_cast<uint64_t>(i), static_cast<uint32_t>(i) + 1);
        const int swapped = e->sequence[i];
        e->sequence[i] = e->sequence[other];
        e->sequence[other] = swapped;
    }
}

/* Wakes every thread that still waits, so that it unwinds and its fiber becomes idle; what was under way never arrives. */
void cancel(fv_emulator *e) {
    for (int i = 0; i < e->count; ++i) {
        if (waits(&e->threads[i]) || e->threads[i].state == RUNNABLE)
            fiber_switch(&e->fibers, e->threads[i].on);
        copy_drop_all(&e->copies, &e->threads[i].copies);
    }
}

void run_block(fv_emulator *e) {
    if (e->shared_bytes > 0)
        memset(e->shared, 0xff, e->shared_bytes);
    for (int i = 0; i < e->count; ++i) {
        e->threads[i].state = UNSTARTED;
        e->threads[i].exchanges = 0;
    }
    do {
        draw_sequence(e);
        e->cursor = 0;
        fiber_switch(&e->fibers, next_fiber(e));
    } while (!e->failed && release(e));
    if (e->failed)
        cancel(e);
}

bool within_limits(dim3 grid, dim3 block, size_t shared_bytes) {
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    return grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535 &&
           threads >= 1 && threads <= MAX_THREADS && block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
           shared_bytes <= MAX_SHARED;
}

/* The block that comes at place i of the launch. */
uint64_t block_at(const fv_emulator *e, uint64_t i, uint64_t blocks, uint64_t start) {
    return e->order == FV_ORDER_REVERSE ? blocks - 1 - i : (i + start) % blocks;
}

fv_status run_blocks(fv_emulator *e, dim3 grid) {
    const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    const uint64_t start = e->order == FV_ORDER_RANDOM ? fv_random_u32(e->key, e->draws++, 0) % blocks : 0;
    for (uint64_t i = 0; i < blocks && !e->failed; ++i) {
        const uint64_t flat = block_at(e, i, blocks, start);
        blockIdx = {static_cast<unsigned>(flat % grid.x), static_cast<unsigned>(flat / grid.x % grid.y),
                    static_cast<unsigned>(flat / grid.x / grid.y)};
        run_block(e);
    }
    if (e->failed)
        return fv_fail(FV_MISMATCH, "kernel %s, block (%u,%u,%u): %s", e->kernel, blockIdx.x, blockIdx.y, blockIdx.z,
                       e->failure);
    return FV_OK;
}

} // namespace

fv_status run_grid(fv_context *context, const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*body)(const void *argument), const void *argument) {
    if (!within_limits(grid, block, shared_bytes))
        return fv_fail(FV_DEVICE,
                       "kernel %s: no device takes a grid of (%u,%u,%u) blocks of (%u,%u,%u) threads with %zu bytes of "
                       "shared memory",
                       kernel, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes);
    fv_emulator *e = static_cast<fv_emulator *>(context->device);
    void *shared = malloc(shared_bytes);
    if (!shared && shared_bytes > 0)
        return fv_fail(FV_NO_MEMORY, "kernel %s: no memory for %zu bytes of shared memory", kernel, shared_bytes);
    pthread_mutex_lock(&launching);
    active = e;
    gridDim = grid;
    blockDim = block;
    e->kernel = kernel;
    e->body = body;
    e->argument = argument;
    e->shared = shared;
    e->shared_bytes = shared_bytes;
    e->count = static_cast<int>(block.x * block.y * block.z);
    e->failed = false;
    const fv_status status = run_blocks(e, grid);
    pthread_mutex_unlock(&launching);
    free(shared);
    return status;
}

void *dynamic_shared() {
    return active->shared;
}

void wait_for_block(site where) {
    wait(WAITS_FOR_BLOCK, where);
}

void wait_for_warp(unsigned mask, site where) {
    const fv_emulator *e = active;
    if (mask != 0xffffffffu)
        refuse("a warp primitive without the full mask", where);
    if (e->current / LANES * LANES + LANES > e->count)
        refuse("a warp primitive in a warp that is not full", where);
    wait(WAITS_FOR_WARP, where);
}

int lane() {
    return active->current % LANES;
}

void refuse(const char *what, site where) {
    fail(active, "%s at %s:%d", what, where.file, where.line);
    throw cancelled();
}

bool in_shared_memory(const void *pointer, int bytes) {
    return is_shared(active->shared, active->shared_bytes, pointer, bytes);
}

void gather(const void *mine, size_t size, const void *all[32], site where) {
    fv_emulator *e = active;
    const int index = e->current;
    if (size > MAILBOX)
        refuse("more than 104 bytes handed to a warp", where);
    const unsigned box = e->threads[index].exchanges++ % 2;
    memcpy(e->threads[index].mailbox[box], mine, size);
    wait_for_warp(0xffffffffu, where);
    for (int i = 0; i < LANES; ++i)
        all[i] = e->threads[index / LANES * LANES + i].mailbox[box];
}

void exchange(unsigned mask, void *value, size_t size, int from, site where) {
    fv_emulator *e = active;
    const int index = e->current;
    if (size > 8 || from < 0 || from >= LANES)
        refuse("a shuffle of more than 8 bytes or from no lane of the warp", where);
    const unsigned box = e->threads[index].exchanges++ % 2;
    memcpy(e->threads[index].mailbox[box], value, size);
    wait_for_warp(mask, where);
    memcpy(value, e->threads[index / LANES * LANES + from].mailbox[box], size);
}

void begin_async_copy(void *shared, const void *global, int bytes, int valid_bytes, site where) {
    fv_emulator *e = active;
    const char *fault = copy_fault(e->shared, e->shared_bytes, shared, global, bytes, valid_bytes);
    if (fault)
        refuse(fault, where);
    if (!copy_begin(&e->copies, &e->threads[e->current].copies, shared, global, bytes, valid_bytes, where))
        refuse("no memory for an asynchronous copy", where);
}

void commit_async_copies() {
    ++active->threads[active->current].copies.committed;
}

void wait_for_async_copies(int groups) {
    copy_wait(&active->copies, &active->threads[active->current].copies, groups);
}

} // namespace fv_emulated

fv_status fv_emulator_create(fv_thread_order order, uint64_t seed, fv_emulator **emulator) {
    fv_emulator *made = static_cast<fv_emulator *>(calloc(1, sizeof *made));
    if (!made || !fiber_pool_open(&made->fibers, run_threads)) {
        free(made);
        return fv_fail(FV_NO_MEMORY, "no memory for the stacks of the emulator's %d fibers", MAX_FIBERS);
    }
    made->wanted = order;
    made->seed = seed;
    fv_emulator_begin_run(made, 0);
    *emulator = made;
    return FV_OK;
}

void fv_emulator_begin_run(fv_emulator *emulator, int run) {
    static const fv_thread_order varied[] = {FV_ORDER_FORWARD, FV_ORDER_REVERSE, FV_ORDER_RANDOM, FV_ORDER_RANDOM};
    emulator->order = emulator->wanted == FV_ORDER_VARIED ? varied[run % 4] : emulator->wanted;
    const fv_philox words = fv_philox4x32(emulator->seed, 0, static_cast<uint64_t>(run));
    emulator->key = static_cast<uint64_t>(words.word[1]) << 32 | words.word[0];
    emulator->draws = 0;
}

void fv_emulator_destroy(fv_emulator *emulator) {
    if (!emulator)
        return;
    pthread_mutex_lock(&launching);
    active = emulator;
    fiber_pool_close(&emulator->fibers);
    copy_pool_close(&emulator->copies);
    active = nullptr;
    pthread_mutex_unlock(&launching);
    free(emulator);
}
