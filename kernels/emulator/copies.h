/* Asynchronous copies under way: one queue per CUDA thread. They know nothing of how threads take turns.
 *
 * A copy takes its bytes from the source when it begins, so that a fault there shows at the guilty line, and puts them
 * down when it ends. In between the destination holds NaN (all bits set).
 */
#ifndef FOVEA_EMULATOR_COPIES_H
#define FOVEA_EMULATOR_COPIES_H

#include "emulator/emulator.h"

namespace fv_emulated {

constexpr int MAX_COPY_BYTES = 16;

struct pending_copy {
    void *to;
    unsigned char data[MAX_COPY_BYTES];
    int bytes;
    int64_t group;
    site begun;
    pending_copy *next;
};

/* A zeroed queue is empty. */
struct copy_queue {
    pending_copy *oldest, *newest;
    int64_t committed; /* groups, over all blocks and launches; copies begun now belong to group number `committed` */
};

/* Copies that no queue holds, to be used again. */
struct copy_pool {
    pending_copy *spare;
};

/* Whether bytes lie in the dynamic shared memory `shared`, or among the static __shared__ arrays. */
bool is_shared(const void *shared, size_t shared_bytes, const void *pointer, int bytes);

/* What the hardware would not put up with in such a copy, NULL if nothing. `shared` is the dynamic shared memory of the
 * block. */
const char *copy_fault(const void *shared, size_t shared_bytes, const void *to, const void *from, int bytes,
                       int valid_bytes);

/* Fills the rest of `bytes` with zeros behind the first `valid_bytes`. False if there is no memory. */
bool copy_begin(copy_pool *pool, copy_queue *queue, void *to, const void *from, int bytes, int valid_bytes, site where);

/* Ends the copies of all committed groups but the newest `groups`. */
void copy_wait(copy_pool *pool, copy_queue *queue, int groups);

/* Empties the queue without putting anything down. */
void copy_drop_all(copy_pool *pool, copy_queue *queue);

/* Frees the spare copies; all queues must be empty. */
void copy_pool_close(copy_pool *pool);

} // namespace fv_emulated

#endif
