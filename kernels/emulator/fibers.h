/* Fibers: stacks that take turns on one host thread. They know nothing of kernels.
 *
 * A fiber is entered by ucontext, and from then on left and taken up by __builtin_setjmp and __builtin_longjmp (GCC, and
 * clang on x86-64), since ucontext keeps a signal mask by two system calls a change, ten times the rest of its cost.
 *
 * AddressSanitizer is told of each change of stack, so that its red zones on fiber stacks stay in force. Below each
 * stack lies a page that cannot be touched: an overflow ends in a fault, not in a neighbour.
 */
#ifndef FOVEA_EMULATOR_FIBERS_H
#define FOVEA_EMULATOR_FIBERS_H

#include <stddef.h>
#include <ucontext.h>

namespace fv_emulated {

constexpr int MAX_FIBERS = 1024;

struct fiber {
    ucontext_t beginning;
    bool begun;
    void *left_at[5];  /* where it rests, for __builtin_longjmp */
    const void *stack; /* lowest address */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's, while the fiber rests */
};

struct fiber_pool {
    void (*entry)(); /* a fiber's whole life, see fiber_pool_open */
    bool closing;
    char *stacks;
    fiber fibers[MAX_FIBERS];
    fiber *idle[MAX_FIBERS];
    int made, idle_count;
    fiber scheduler; /* the stack that the pool's user calls from */
    fiber *running, *previous;
};

/* Opens a zeroed pool; false if there is no memory for the stacks. entry is a fiber's whole life: it calls
 * fiber_arrive, then works and rests in turn until the pool is closing, then calls fiber_leave. */
bool fiber_pool_open(fiber_pool *pool, void (*entry)());

/* Runs every fiber to its end and frees the stacks. No fiber may be at work. Fine on a zeroed pool. */
void fiber_pool_close(fiber_pool *pool);

/* A fiber with nothing to do, made if need be; at most MAX_FIBERS can be at work. */
fiber *fiber_idle(fiber_pool *pool);

/* Goes on with `to`; returns when something switches back. */
void fiber_switch(fiber_pool *pool, fiber *to);

/* Declares the running fiber idle and goes on with `to`, which must be another. */
void fiber_rest(fiber_pool *pool, fiber *to);

/* The first and the last act of an entry function. */
void fiber_arrive(fiber_pool *pool);
void fiber_leave(fiber_pool *pool);

} // namespace fv_emulated

#endif
