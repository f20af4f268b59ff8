/* The emulator finds what it is there to find: each test plants a fault in a tiny kernel, or proves that sound kernels
 * give sound results in every thread order. */
#include "emulated_context.h"

namespace {

constexpr int THREADS = 96; /* three warps */

} // namespace

namespace fv_emulated {

namespace {

/* ---- sound kernels ---- */

__global__ void block_sum(const int *values, int *sums) {
    __shared__ int partial[THREADS];
    const unsigned t = threadIdx.x;
    partial[t] = values[blockIdx.x * THREADS + t];
    __syncthreads();
    for (unsigned half = 64; half > 0; half /= 2) {
        if (t < half && t + half < THREADS)
            partial[t] += partial[t + half];
        __syncthreads();
    }
    if (t == 0)
        sums[blockIdx.x] = partial[0];
}

/* Two shuffles in a row: a fast lane's second value must not replace the first before slow lanes have read it. */
__global__ void shuffles(int *swapped, double *shifted) {
    const int t = static_cast<int>(threadIdx.x);
    swapped[t] = __shfl_xor_sync(0xffffffffu, 10 * t, 5);
    shifted[t] = __shfl_down_sync(0xffffffffu, 0.5 * t, 3u);
    __syncwarp();
}

__global__ void ballots(int *counted) {
    const int t = static_cast<int>(threadIdx.x);
    const unsigned thirds = __ballot_sync(0xffffffffu, t % 3 == 0);
    counted[t] = __popc(thirds & ((1u << t % 32) - 1));
}

__global__ void visit(int *visits) {
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    visits[block * (blockDim.x * blockDim.y * blockDim.z) + thread] += 1;
}

/* Writes down the order in which threads run before and after a barrier. */
__global__ void record(int *next, int *sequence) {
    const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    sequence[(*next)++] = thread;
    __syncthreads();
    sequence[(*next)++] = thread;
}

/* ---- kernels with faults ---- */

__global__ void read_neighbour(int *result, bool with_barrier) {
    FV_DYNAMIC_SHARED(int, values);
    const unsigned t = threadIdx.x;
    values[t] = static_cast<int>(t) * 7;
    if (with_barrier)
        __syncthreads();
    result[t] = t > 0 ? values[t - 1] : 0;
}

__global__ void diverge() {
    if (threadIdx.x % 2 == 0)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void return_early() {
    if (blockIdx.x == 1 && threadIdx.x == 40)
        return;
    __syncthreads();
}

__global__ void diverge_in_warp() {
    if (threadIdx.x < 48)
        __syncwarp();
    __syncthreads();
}

__global__ void part_of_a_warp(unsigned mask) {
    __syncwarp(mask);
}

__global__ void read_first(float *result) {
    FV_DYNAMIC_SHARED(float, values);
    result[blockIdx.x] = values[0];
    values[0] = 1;
}

struct counts_destruction {
    int *count;
    ~counts_destruction() {
        ++*count;
    }
};

__global__ void abandon(int *destroyed) {
    const counts_destruction guard = {destroyed};
    __syncthreads();
    if (threadIdx.x < 10)
        return;
    __syncthreads();
}

/* ---- tests ---- */

void expect_block_sums(fv_context *context) {
    int values[3 * THREADS], sums[3] = {};
    for (int i = 0; i < 3 * THREADS; ++i)
        values[i] = i * i % 101;
    assert_int_equal(FV_LAUNCH(context, block_sum, 3, THREADS, 0, values, sums), FV_OK);
    for (int block = 0; block < 3; ++block) {
        int expected = 0;
        for (int i = 0; i < THREADS; ++i)
            expected += values[block * THREADS + i];
        assert_int_equal(sums[block], expected);
    }
}

void test_block_reduction(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        expect_block_sums(context);
        fv_context_destroy(context);
    }
}

void test_shuffles(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        int swapped[THREADS];
        double shifted[THREADS];
        assert_int_equal(FV_LAUNCH(context, shuffles, 1, THREADS, 0, swapped, shifted), FV_OK);
        for (int t = 0; t < THREADS; ++t) {
            assert_int_equal(swapped[t], 10 * (t ^ 5));
            assert_true(shifted[t] == 0.5 * (t % 32 + 3 < 32 ? t + 3 : t));
        }
        fv_context_destroy(context);
    }
}

void test_ballots(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        int counted[THREADS];
        assert_int_equal(FV_LAUNCH(context, ballots, 1, THREADS, 0, counted), FV_OK);
        for (int t = 0, count = 0; t < THREADS; ++t) {
            count = t % 32 == 0 ? 0 : count;
            assert_int_equal(counted[t], count);
            count += t % 3 == 0;
        }
        fv_context_destroy(context);
    }
}

void test_every_thread_runs_once(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        int visits[2 * 3 * 4 * 5 * 2 * 3] = {};
        assert_int_equal(FV_LAUNCH(context, visit, dim3(2, 3, 4), dim3(5, 2, 3), 0, visits), FV_OK);
        for (int count : visits)
            assert_int_equal(count, 1);
        fv_context_destroy(context);
    }
}

void run_record(int order, uint64_t seed, int sequence[2 * THREADS]) {
    fv_context *context = open_emulator(order, seed);
    int next = 0;
    assert_int_equal(FV_LAUNCH(context, record, 1, THREADS, 0, &next, sequence), FV_OK);
    assert_int_equal(next, 2 * THREADS);
    fv_context_destroy(context);
}

void test_thread_orders(void **) {
    int forward[2 * THREADS], reverse[2 * THREADS], random[2 * THREADS], again[2 * THREADS], other[2 * THREADS];
    run_record(FORWARD, 1, forward);
    run_record(REVERSE, 1, reverse);
    run_record(RANDOM, 1, random);
    run_record(RANDOM, 1, again);
    run_record(RANDOM, 2, other);
    bool seen[THREADS] = {};
    for (int i = 0; i < 2 * THREADS; ++i) {
        assert_int_equal(forward[i], i % THREADS);
        assert_int_equal(reverse[i], THREADS - 1 - i % THREADS);
        if (i < THREADS)
            seen[random[i]] = true;
    }
    for (bool thread : seen)
        assert_true(thread);
    assert_memory_equal(random, again, sizeof random);
    assert_memory_not_equal(random, other, sizeof random);
    assert_memory_not_equal(random, random + THREADS, THREADS * sizeof random[0]); /* drawn anew at the barrier */
}

struct recording {
    int sequence[3 * 2 * THREADS];
};

recording record_run(fv_context *context, int run) {
    recording r;
    int next = 0;
    context->backend->begin_run(context, run);
    assert_int_equal(FV_LAUNCH(context, record, 3, THREADS, 0, &next, r.sequence), FV_OK);
    return r;
}

void assert_same(const recording &a, const recording &b) {
    assert_memory_equal(a.sequence, b.sequence, sizeof a.sequence);
}

void assert_different(const recording &a, const recording &b) {
    assert_memory_not_equal(a.sequence, b.sequence, sizeof a.sequence);
}

recording record_fixed(int order) {
    fv_context *context = open_emulator(order);
    const recording r = record_run(context, 0);
    fv_context_destroy(context);
    return r;
}

void test_runs_vary(void **) {
    fv_context *context = open_emulator(VARIED);
    assert_string_equal(fv_context_description(context), "CUDA kernels on the CPU, varied thread order");
    int next = 0;
    recording unbegun;
    assert_int_equal(FV_LAUNCH(context, record, 3, THREADS, 0, &next, unbegun.sequence), FV_OK);
    assert_same(unbegun, record_fixed(FORWARD));
    const recording random = record_run(context, 2), other = record_run(context, 3);
    assert_same(record_run(context, 0), record_fixed(FORWARD));
    assert_same(record_run(context, 1), record_fixed(REVERSE));
    assert_same(record_run(context, 2), random); /* whatever ran before */
    assert_same(record_run(context, 3), other);
    assert_same(record_run(context, 4), record_fixed(FORWARD));
    assert_different(random, other);
    assert_different(random, record_run(context, 6));
    fv_context *same = open_emulator(VARIED), *reseeded = open_emulator(VARIED, 2);
    assert_same(record_run(same, 2), random);
    assert_different(record_run(reseeded, 2), random);
    fv_context_destroy(reseeded);
    fv_context_destroy(same);
    fv_context_destroy(context);
}

void test_runs_keep_a_fixed_order(void **) {
    for (int order = FORWARD; order < RANDOM; ++order) {
        fv_context *context = open_emulator(order);
        assert_same(record_run(context, 2), record_fixed(order));
        fv_context_destroy(context);
    }
    fv_context *context = open_emulator(RANDOM);
    const recording first = record_run(context, 0), second = record_run(context, 1);
    assert_different(first, second);
    assert_same(record_run(context, 0), first);
    assert_same(record_run(context, 1), second);
    fv_context_destroy(context);
}

void test_missing_barrier(void **) {
    int expected[THREADS];
    for (int t = 0; t < THREADS; ++t)
        expected[t] = t > 0 ? (t - 1) * 7 : 0;
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        int result[THREADS];
        assert_int_equal(FV_LAUNCH(context, read_neighbour, 1, THREADS, sizeof result, result, true), FV_OK);
        assert_memory_equal(result, expected, sizeof result);
        assert_int_equal(FV_LAUNCH(context, read_neighbour, 1, THREADS, sizeof result, result, false), FV_OK);
        if (order == FORWARD)
            assert_memory_equal(result, expected, sizeof result); /* the fault hides */
        else
            assert_memory_not_equal(result, expected, sizeof result);
        fv_context_destroy(context);
    }
}

void test_divergent_barrier(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        assert_int_equal(FV_LAUNCH(context, diverge, 2, THREADS, 0), FV_MISMATCH);
        assert_message_has("kernel diverge, block (");
        assert_message_has(": all threads of a block must meet at the same line");
        const char *first = strstr(fv_error_message(), "test_emulator.cc:");
        assert_non_null(first);
        const char *second = strstr(first + 1, "test_emulator.cc:");
        assert_non_null(second);
        int lines[2] = {};
        assert_int_equal(sscanf(first, "test_emulator.cc:%d", &lines[0]), 1);
        assert_int_equal(sscanf(second, "test_emulator.cc:%d", &lines[1]), 1);
        assert_int_equal(lines[0] > lines[1] ? lines[0] - lines[1] : lines[1] - lines[0], 2);
        expect_block_sums(context); /* the context is as good as new */
        fv_context_destroy(context);
    }
}

void test_early_return(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        assert_int_equal(FV_LAUNCH(context, return_early, 3, THREADS, 0), FV_MISMATCH);
        assert_message_has("kernel return_early, block (1,0,0): thread 40 returned while thread 0 waits at ");
        assert_int_equal(FV_LAUNCH(context, return_early, 1, THREADS, 0), FV_OK); /* without the guilty block */
        expect_block_sums(context);
        fv_context_destroy(context);
    }
}

void test_warp_faults(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        assert_int_equal(FV_LAUNCH(context, diverge_in_warp, 1, THREADS, 0), FV_MISMATCH);
        assert_message_has("kernel diverge_in_warp, block (0,0,0): thread 32 waits at ");
        assert_message_has(", thread 48 at ");
        assert_message_has(": all threads of a warp must meet at the same line");
        assert_int_equal(FV_LAUNCH(context, part_of_a_warp, 1, THREADS, 0, 0xffffu), FV_MISMATCH);
        assert_message_has("a warp primitive without the full mask at ");
        assert_int_equal(FV_LAUNCH(context, part_of_a_warp, 1, THREADS - 1, 0, 0xffffffffu), FV_MISMATCH);
        assert_message_has("a warp primitive in a warp that is not full at ");
        expect_block_sums(context);
        fv_context_destroy(context);
    }
}

void test_dynamic_shared_memory_starts_as_nan(void **) {
    fv_context *context = open_emulator(FORWARD);
    float result[3] = {};
    assert_int_equal(FV_LAUNCH(context, read_first, 3, 1, sizeof(float), result), FV_OK);
    for (float value : result)
        assert_true(isnan(value));
    fv_context_destroy(context);
}

void test_failed_launch_unwinds(void **) {
    for (int order = 0; order < ORDERS; ++order) {
        fv_context *context = open_emulator(order);
        int destroyed = 0;
        assert_int_equal(FV_LAUNCH(context, abandon, 1, THREADS, 0, &destroyed), FV_MISMATCH);
        assert_int_equal(destroyed, THREADS);
        expect_block_sums(context);
        fv_context_destroy(context);
    }
}

void test_limits(void **) {
    fv_context *context = open_emulator(FORWARD);
    int visits[1] = {};
    const struct {
        dim3 grid, block;
        size_t shared_bytes;
    } bad[] = {
        {0, 32, 0}, {dim3(1, 65536), 32, 0}, {1, 1025, 0}, {1, dim3(1, 1, 65), 0}, {1, 0, 0}, {1, 1, 99 * 1024 + 1},
    };
    for (const auto &launch : bad) {
        assert_int_equal(FV_LAUNCH(context, visit, launch.grid, launch.block, launch.shared_bytes, visits), FV_DEVICE);
        assert_message_has("kernel visit: no device takes a grid of ");
    }
    assert_int_equal(visits[0], 0);
    fv_context_destroy(context);
}

void test_unknown_order(void **) {
    fv_context_options options = {};
    const int unknown = VARIED + 1; /* C callers can pass any number */
    static_assert(sizeof unknown == sizeof options.thread_order);
    memcpy(&options.thread_order, &unknown, sizeof unknown);
    fv_context *context = nullptr;
    assert_int_equal(fv_context_create("emulated", &options, &context), FV_BAD_INPUT);
    assert_message_has("thread order 4");
}

} // namespace

} // namespace fv_emulated

int main() {
    using namespace fv_emulated;
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_block_reduction),
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_ballots),
        cmocka_unit_test(test_every_thread_runs_once),
        cmocka_unit_test(test_thread_orders),
        cmocka_unit_test(test_runs_vary),
        cmocka_unit_test(test_runs_keep_a_fixed_order),
        cmocka_unit_test(test_missing_barrier),
        cmocka_unit_test(test_divergent_barrier),
        cmocka_unit_test(test_early_return),
        cmocka_unit_test(test_warp_faults),
        cmocka_unit_test(test_dynamic_shared_memory_starts_as_nan),
        cmocka_unit_test(test_failed_launch_unwinds),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_unknown_order),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
