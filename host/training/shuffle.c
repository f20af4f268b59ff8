#include "training/shuffle.h"

#include "base/random.h"

/* Streams from here on are the epochs'; those below are the parameters' initial values. */
static const uint64_t first_stream = (uint64_t)1 << 32;

void fv_shuffle(int32_t *order, int64_t count, uint64_t seed, int64_t epoch) {
    for (int64_t i = 0; i < count; ++i)
        order[i] = (int32_t)i;
    for (int64_t i = count - 1; i > 0; --i) {
        const uint32_t j = fv_random_below(seed, first_stream + (uint64_t)epoch, (uint64_t)i, (uint32_t)(i + 1));
        const int32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}
