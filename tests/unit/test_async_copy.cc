/* The emulator's asynchronous copies: sound pipelines give sound results in every thread order, and each way to get one
 * wrong is found and named. */
#include "emulated_context.h"

#include "async_copy.cuh"

namespace fv_emulated {

namespace {

constexpr int THREADS = 96; /* three warps */
constexpr int TILES = 5;

/* ---- kernels */

/* sums[t] = sum over tiles of (tile + 1) * x[tile][THREADS - 1 - t], in two stages: while one tile is summed, the next
 * is under way. Right with UNDER_WAY at most 1. */
template <int UNDER_WAY>
__global__ void pipeline(const float *x, float *sums) {
    __shared__ float stage[2][THREADS];
    const unsigned t = threadIdx.x;
    async_copy<4>(&stage[0][t], x + t);
    async_copy_commit();
    float sum = 0;
    for (int tile = 0; tile < TILES; ++tile) {
        if (tile + 1 < TILES)
            async_copy<4>(&stage[(tile + 1) % 2][t], x + (tile + 1) * THREADS + t);
        async_copy_commit(); /* empty after the last tile, so that the count of groups stays in step */
        async_copy_wait<UNDER_WAY>();
        __syncthreads();
        sum += static_cast<float>(tile + 1) * stage[tile % 2][THREADS - 1 - t];
        __syncthreads();
    }
    async_copy_wait<0>();
    sums[t] = sum;
}

/* Three groups of one, two and no copies: what has arrived after each wait. */
__global__ void step_by_step(const float *x, float *seen) {
    FV_DYNAMIC_SHARED(float, slots);
    const auto look = [&](int wait) {
        for (int i = 0; i < 4; ++i)
            seen[4 * wait + i] = slots[i];
    };
    for (int i = 0; i < 4; ++i)
        slots[i] = -1;
    async_copy<4>(slots, x);
    async_copy_commit();
    async_copy<4>(slots + 1, x + 1);
    async_copy<4>(slots + 2, x + 2);
    async_copy_commit();
    async_copy_commit();
    async_copy<4>(slots + 3, x + 3);
    look(0);
    async_copy_wait<3>();
    look(1);
    async_copy_wait<2>();
    look(2);
    async_copy_wait<1>();
    look(3);
    async_copy_wait<0>();
    look(4);
    async_copy_commit();
    async_copy_wait<0>();
    look(5);
}

template <int BYTES>
__global__ void fill_up(const unsigned char *x, int valid_bytes, unsigned char *result) {
    FV_DYNAMIC_SHARED(unsigned char, slot);
    async_copy<BYTES>(slot, x, valid_bytes);
    async_copy_commit();
    async_copy_wait<0>();
    for (int i = 0; i < BYTES; ++i)
        result[i] = slot[i];
}

/* Thread 3 of block 1 misses its wait, or its commit too. */
__global__ void never_wait(const float *x, bool commit, int *line) {
    __shared__ float slots[THREADS];
    const bool guilty = blockIdx.x == 1 && threadIdx.x == 3;
    *line = __LINE__ + 1;
    async_copy<4>(&slots[threadIdx.x], x);
    if (commit || !guilty)
        async_copy_commit();
    if (!guilty)
        async_copy_wait<0>();
    __syncthreads();
}

__global__ void nothing() {}

template <int BYTES>
__global__ void copy_between(void *to, const void *from, ptrdiff_t to_offset, ptrdiff_t from_offset, int valid_bytes) {
    FV_DYNAMIC_SHARED(char, shared);
    char *const destination = to ? static_cast<char *>(to) : shared;
    async_copy<BYTES>(destination + to_offset, static_cast<const char *>(from) + from_offset, valid_bytes);
    async_copy_commit();
    async_copy_wait<0>();
}

/* ---- tests */

void fill_tiles(float x[TILES * THREADS], float sums[THREADS]) {
    for (int i = 0; i < TILES * THREADS; ++i)
        x[i] = static_cast<float>(i * i % 101);
    for (int t = 0; t < THREADS; ++t) {
        sums[t] = 0;
        for (int tile = 0; tile < TILES; ++tile)
            sums[t] += static_cast<float>(tile + 1) * x[tile * THREADS + THREADS - 1 - t];
    }
}

void test_pipeline(void **) {
    float x[TILES * THREADS], expected[THREADS], sums[THREADS];
    fill_tiles(x, expected);
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        assert_int_equal(FV_LAUNCH(context, pipeline<1>, 3, THREADS, 0, x, sums), FV_OK);
        assert_memory_equal(sums, expected, sizeof sums);
        assert_int_equal(FV_LAUNCH(context, pipeline<0>, 3, THREADS, 0, x, sums), FV_OK);
        assert_memory_equal(sums, expected, sizeof sums);
        fv_context_destroy(context);
    }
}

void test_wait_for_too_little(void **) {
    float x[TILES * THREADS], expected[THREADS], sums[THREADS];
    fill_tiles(x, expected);
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        assert_int_equal(FV_LAUNCH(context, pipeline<2>, 1, THREADS, 0, x, sums), FV_OK);
        for (float sum : sums)
            assert_true(isnan(sum));
        fv_context_destroy(context);
    }
}

void test_waits_take_the_oldest_groups(void **) {
    const float x[4] = {10, 11, 12, 13};
    float seen[6][4];
    fv_context *context = open_emulator(FORWARD);
    assert_int_equal(FV_LAUNCH(context, step_by_step, 1, 1, 4 * sizeof(float), x, seen[0]), FV_OK);
    const int arrived[6] = {0, 0, 1, 3, 3, 4}; /* of the four copies; the last one is committed late */
    for (int wait = 0; wait < 6; ++wait)
        for (int i = 0; i < 4; ++i)
            assert_true(i < arrived[wait] ? seen[wait][i] == x[i] : isnan(seen[wait][i]));
    fv_context_destroy(context);
}

template <int BYTES>
void expect_filled_up(fv_context *context) {
    alignas(16) unsigned char x[BYTES];
    for (int i = 0; i < BYTES; ++i)
        x[i] = static_cast<unsigned char>(i + 1);
    for (int valid = 0; valid <= BYTES; ++valid) {
        unsigned char result[BYTES];
        /* With nothing to read the source may be nowhere. */
        assert_int_equal(FV_LAUNCH(context, fill_up<BYTES>, 1, 1, BYTES, valid ? x : nullptr, valid, result), FV_OK);
        for (int i = 0; i < BYTES; ++i)
            assert_int_equal(result[i], i < valid ? x[i] : 0);
    }
}

void test_zero_fill(void **) {
    fv_context *context = open_emulator(FORWARD);
    expect_filled_up<4>(context);
    expect_filled_up<8>(context);
    expect_filled_up<16>(context);
    fv_context_destroy(context);
}

void test_missing_wait(void **) {
    const float x[1] = {1};
    int line = 0;
    float tiles[TILES * THREADS], expected[THREADS], sums[THREADS];
    fill_tiles(tiles, expected);
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        for (int commit = 0; commit < 2; ++commit) {
            assert_int_equal(FV_LAUNCH(context, never_wait, 3, THREADS, 0, x, commit != 0, &line), FV_MISMATCH);
            assert_message_has("kernel never_wait, block (1,0,0): thread 3 returned with an asynchronous copy under "
                               "way, begun at ");
            char end[80];
            snprintf(end, sizeof end, "test_async_copy.cc:%d: %s missing", line,
                     commit ? "a wait is" : "its commit and a wait are");
            assert_message_has(end);
            assert_int_equal(FV_LAUNCH(context, nothing, 1, THREADS, 0), FV_OK); /* the copy is forgotten */
        }
        assert_int_equal(FV_LAUNCH(context, never_wait, 1, THREADS, 0, x, true, &line),
                         FV_OK); /* without the guilty block */
        assert_int_equal(FV_LAUNCH(context, pipeline<1>, 1, THREADS, 0, tiles, sums), FV_OK);
        assert_memory_equal(sums, expected, sizeof sums);
        fv_context_destroy(context);
    }
}

template <int BYTES>
void expect_alignment(fv_context *context) {
    alignas(16) char x[32] = {};
    for (ptrdiff_t offset = 0; offset < 16; ++offset) {
        const bool aligned = offset % BYTES == 0;
        assert_int_equal(FV_LAUNCH(context, copy_between<BYTES>, 1, 1, 32, nullptr, x, 0, offset, BYTES),
                         aligned ? FV_OK : FV_MISMATCH);
        if (!aligned)
            assert_message_has("an asynchronous copy from an address that is no multiple of its size at ");
        assert_int_equal(FV_LAUNCH(context, copy_between<BYTES>, 1, 1, 32, nullptr, x, offset, 0, BYTES),
                         aligned ? FV_OK : FV_MISMATCH);
        if (!aligned)
            assert_message_has("an asynchronous copy to an address that is no multiple of its size at ");
    }
}

void test_alignment(void **) {
    fv_context *context = open_emulator(FORWARD);
    expect_alignment<4>(context);
    expect_alignment<8>(context);
    expect_alignment<16>(context);
    fv_context_destroy(context);
}

void test_destination(void **) {
    fv_context *context = open_emulator(FORWARD);
    alignas(16) char x[16] = {}, local[16];
    const struct {
        void *to;
        ptrdiff_t offset;
    } outside[] = {{local, 0}, {nullptr, 32}, {nullptr, -16}};
    for (const auto &bad : outside) {
        assert_int_equal(FV_LAUNCH(context, copy_between<16>, 1, 1, 32, bad.to, x, bad.offset, 0, 16), FV_MISMATCH);
        assert_message_has("an asynchronous copy to what is not the block's shared memory at ");
        assert_message_has("test_async_copy.cc:");
    }
    assert_int_equal(FV_LAUNCH(context, copy_between<16>, 1, 1, 24, nullptr, x, 16, 0, 16), FV_MISMATCH);
    assert_int_equal(FV_LAUNCH(context, copy_between<16>, 1, 1, 32, nullptr, x, 16, 0, 16), FV_OK);
    fv_context_destroy(context);
}

void test_valid_bytes(void **) {
    fv_context *context = open_emulator(FORWARD);
    alignas(16) char x[32] = {};
    for (int valid = -1; valid <= 9; valid += 10) {
        assert_int_equal(FV_LAUNCH(context, copy_between<8>, 1, 1, 8, nullptr, x, 0, 0, valid), FV_MISMATCH);
        assert_message_has("an asynchronous copy whose valid bytes are negative, or more than it copies, at ");
    }
    fv_context_destroy(context);
}

} // namespace

} // namespace fv_emulated

int main() {
    using namespace fv_emulated;
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_wait_for_too_little),
        cmocka_unit_test(test_waits_take_the_oldest_groups),
        cmocka_unit_test(test_zero_fill),
        cmocka_unit_test(test_missing_wait),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_destination),
        cmocka_unit_test(test_valid_bytes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
