#include "emulator/fibers.h"

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN 1
#endif
#endif
#ifndef EMULATOR_ASAN
#define EMULATOR_ASAN 0
#endif

#if EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fv_emulated {

namespace {

constexpr size_t GUARD_BYTES = 4096;
constexpr size_t STACK_BYTES = (EMULATOR_ASAN ? 256 : 64) * 1024 - GUARD_BYTES; /* red zones take room */
constexpr size_t ALL_BYTES = MAX_FIBERS * (GUARD_BYTES + STACK_BYTES);

/* On its own, since the compiler must take getcontext for a place that can be returned to. */
void capture(fiber *f) {
    getcontext(&f->beginning);
}

/* Never inlined: a function that may be returned to must not also jump. AddressSanitizer must not add to either that what
 * does not return wipes the red zones of its stack. */
__attribute__((noinline, no_sanitize_address)) void jump(void **left_at) {
    __builtin_longjmp(left_at, 1);
}

__attribute__((noinline, no_sanitize_address)) void swap_fibers(fiber *from, fiber *to) {
    if (__builtin_setjmp(from->left_at))
        return;
    if (to->begun)
        jump(to->left_at);
    to->begun = true;
    setcontext(&to->beginning);
}

/* `last`: the running fiber will never run again. */
void change_stack(fiber_pool *pool, fiber *to, bool last) {
    fiber *from = pool->running;
    pool->previous = from;
    pool->running = to;
#if EMULATOR_ASAN
    __sanitizer_start_switch_fiber(last ? nullptr : &from->fake_stack, to->stack, to->stack_bytes);
#else
    (void)last;
#endif
    swap_fibers(from, to);
    fiber_arrive(pool);
}

} // namespace

bool fiber_pool_open(fiber_pool *pool, void (*entry)()) {
    void *stacks = mmap(nullptr, ALL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        return false;
    pool->entry = entry;
    pool->stacks = static_cast<char *>(stacks);
    pool->scheduler.begun = true;
    pool->running = &pool->scheduler;
    for (int i = 0; i < MAX_FIBERS; ++i)
        if (mprotect(pool->stacks + static_cast<size_t>(i) * (GUARD_BYTES + STACK_BYTES), GUARD_BYTES, PROT_NONE) !=
            0) {
            fiber_pool_close(pool);
            return false;
        }
    return true;
}

void fiber_pool_close(fiber_pool *pool) {
    pool->closing = true;
    for (int i = 0; i < pool->made; ++i) {
        change_stack(pool, &pool->fibers[i], false);
#if EMULATOR_ASAN
        /* Its outermost frames never return, and their red zones would trouble the next owner of the address. */
        __asan_unpoison_memory_region(pool->fibers[i].stack, pool->fibers[i].stack_bytes);
#endif
    }
    if (pool->stacks)
        munmap(pool->stacks, ALL_BYTES);
}

fiber *fiber_idle(fiber_pool *pool) {
    if (pool->idle_count > 0)
        return pool->idle[--pool->idle_count];
    fiber *const made = &pool->fibers[pool->made];
    char *const stack = pool->stacks + static_cast<size_t>(pool->made) * (GUARD_BYTES + STACK_BYTES) + GUARD_BYTES;
    ++pool->made;
    made->stack = stack;
    made->stack_bytes = STACK_BYTES;
    made->fake_stack = nullptr;
    capture(made);
    made->beginning.uc_stack.ss_sp = stack;
    made->beginning.uc_stack.ss_size = STACK_BYTES;
    made->beginning.uc_link = nullptr;
    makecontext(&made->beginning, pool->entry, 0);
    return made;
}

void fiber_switch(fiber_pool *pool, fiber *to) {
    change_stack(pool, to, false);
}

void fiber_rest(fiber_pool *pool, fiber *to) {
    pool->idle[pool->idle_count++] = pool->running;
    change_stack(pool, to, false);
}

/* Learns the bounds of the stack left, which for the scheduler's is the only way to know them. */
void fiber_arrive(fiber_pool *pool) {
#if EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(pool->running->fake_stack, &pool->previous->stack, &pool->previous->stack_bytes);
#else
    (void)pool;
#endif
}

void fiber_leave(fiber_pool *pool) {
    change_stack(pool, &pool->scheduler, true);
}

} // namespace fv_emulated
