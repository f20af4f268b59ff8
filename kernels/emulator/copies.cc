#include "emulator/copies.h"

#include <stdlib.h>
#include <string.h>

namespace fv_emulated {

namespace {

/* The linker's bounds of the zeroed static data of the program or library that this file is part of: there lie its
 * static __shared__ arrays. */
extern "C" char __bss_start[] __attribute__((visibility("hidden")));
extern "C" char _end[] __attribute__((visibility("hidden")));

bool lies_within(const void *pointer, int bytes, const void *first, size_t size) {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(first);
    return offset < size && size - offset >= static_cast<size_t>(bytes);
}

bool is_aligned(const void *pointer, int bytes) {
    return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(bytes) == 0;
}

pending_copy *take(copy_pool *pool) {
    pending_copy *const copy = pool->spare;
    if (!copy)
        return static_cast<pending_copy *>(malloc(sizeof *copy));
    pool->spare = copy->next;
    return copy;
}

void drop_oldest(copy_pool *pool, copy_queue *queue) {
    pending_copy *const copy = queue->oldest;
    queue->oldest = copy->next;
    copy->next = pool->spare;
    pool->spare = copy;
}

} // namespace

bool is_shared(const void *shared, size_t shared_bytes, const void *pointer, int bytes) {
    return lies_within(pointer, bytes, shared, shared_bytes) ||
           lies_within(pointer, bytes, __bss_start, static_cast<size_t>(_end - __bss_start));
}

const char *copy_fault(const void *shared, size_t shared_bytes, const void *to, const void *from, int bytes,
                       int valid_bytes) {
    if (valid_bytes < 0 || valid_bytes > bytes)
        return "an asynchronous copy whose valid bytes are negative, or more than it copies,";
    if (!is_aligned(to, bytes))
        return "an asynchronous copy to an address that is no multiple of its size";
    if (!is_aligned(from, bytes))
        return "an asynchronous copy from an address that is no multiple of its size";
    if (!is_shared(shared, shared_bytes, to, bytes))
        return "an asynchronous copy to what is not the block's shared memory";
    return nullptr;
}

bool copy_begin(copy_pool *pool, copy_queue *queue, void *to, const void *from, int bytes, int valid_bytes,
                site where) {
    pending_copy *const copy = take(pool);
    if (!copy)
        return false;
    *copy = {.to = to, .data = {}, .bytes = bytes, .group = queue->committed, .begun = where, .next = nullptr};
    if (valid_bytes > 0)
        memcpy(copy->data, from, static_cast<size_t>(valid_bytes));
    memset(to, 0xff, static_cast<size_t>(bytes));
    if (queue->oldest)
        queue->newest->next = copy;
    else
        queue->oldest = copy;
    queue->newest = copy;
    return true;
}

void copy_wait(copy_pool *pool, copy_queue *queue, int groups) {
    while (queue->oldest && queue->oldest->group < queue->committed - groups) {
        memcpy(queue->oldest->to, queue->oldest->data, static_cast<size_t>(queue->oldest->bytes));
        drop_oldest(pool, queue);
    }
}

void copy_drop_all(copy_pool *pool, copy_queue *queue) {
    while (queue->oldest)
        drop_oldest(pool, queue);
}

void copy_pool_close(copy_pool *pool) {
    while (pool->spare) {
        pending_copy *const next = pool->spare->next;
        free(pool->spare);
        pool->spare = next;
    }
}

} // namespace fv_emulated
