/* The rows of conv2d_separable_mma.cuh: conv2d_separable forward, fused, with the pointwise product on tensor cores. */
#include "conv2d_gemm_plan.cuh"
#include "conv2d_separable_mma.cuh"

namespace FV_NAMESPACE {

namespace {

template <typename ARITHMETIC, int TILE>
separable_mma_plan plan_of(const fv_separable &d) {
    return separable_mma_plan_of<TILE, GEMM_THREADS<ARITHMETIC, TILE>>(d);
}

/* Of the kernel: where results go, and where strips lie. */
template <int TILE>
constexpr int64_t static_bytes =
    TILE *static_cast<int64_t>(sizeof(int64_t)) + TILE / MMA_STRIP *static_cast<int64_t>(sizeof(strip_place));

/* Large tiles need lines of three adjoining taps, pieces of 16 bytes of w2, more than a small tile of output channels,
 * and blocks for half of an H200: with fewer, small tiles, which compute z twice as often, find twice as much of it free. */
template <typename ARITHMETIC>
bool takes_large_tiles(const fv_separable &d) {
    constexpr int64_t ENOUGH_BLOCKS = 64;
    const separable_mma_plan plan = plan_of<ARITHMETIC, GEMM_LARGE>(d);
    return plan.depthwise.three && plan.depthwise.channels % GEMM_LANES<float> == 0 && d.k > GEMM_SMALL &&
           plan.blocks >= ENOUGH_BLOCKS && plan.shared_bytes + static_bytes<GEMM_LARGE> <= MAX_SHARED_BYTES_OPT_IN;
}

template <typename ARITHMETIC>
const char *supports(const fv_operation *op) {
    const separable_mma_plan plan = plan_of<ARITHMETIC, GEMM_SMALL>(op->separable);
    if (plan.shared_bytes + static_bytes < GEMM_SMALL >> MAX_SHARED_BYTES_OPT_IN)
        return "the filters of 16 channels do not fit 99 KiB of shared memory beside the tiles";
    if (op->separable.k > INT32_MAX - GEMM_LARGE || plan.depthwise.channels > INT32_MAX)
        return "there are about 2^31 channels or more, in the middle or of the output";
    return plan.blocks > MAX_BLOCKS ? "there are over 2^31-1 blocks" : NULL;
}

template <typename ARITHMETIC, int TILE, bool WIDE>
fv_status launch(fv_context *context, const fv_separable &d, const fv_buffers *buffers) {
    separable_mma_plan plan = plan_of<ARITHMETIC, TILE>(d);
    float *const y = output(buffers, FV_Y);
    plan.store.wide_stores = d.k % GEMM_LANES<float> == 0 && gemm_aligned(y);
    if (plan.blocks == 0)
        return FV_OK;
    return FV_LAUNCH(context, (separable_mma_kernel<ARITHMETIC, TILE, WIDE>), dim3(static_cast<unsigned>(plan.blocks)),
                     (GEMM_THREADS<ARITHMETIC, TILE>), static_cast<size_t>(plan.shared_bytes), plan,
                     input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_W2), input(buffers, FV_B), y);
}

template <typename ARITHMETIC>
fv_status run(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_separable &d = op->separable;
    if (d.c * d.multiplier % GEMM_LANES<float> != 0 || !gemm_aligned(buffers->at[FV_W2]))
        return launch<ARITHMETIC, GEMM_SMALL, false>(context, d, buffers);
    return takes_large_tiles<ARITHMETIC>(d) ? launch<ARITHMETIC, GEMM_LARGE, true>(context, d, buffers)
                                            : launch<ARITHMETIC, GEMM_SMALL, true>(context, d, buffers);
}

/* A depthwise product takes about four instructions of the FMA units' time. z and x are of each block's pixels, and read
 * again where there are several blocks along k. */
template <typename ARITHMETIC>
double estimate(const fv_operation *op, const fv_chip *chip) {
    const fv_separable &d = op->separable;
    const bool large = takes_large_tiles<ARITHMETIC>(d);
    const separable_mma_plan plan = large ? plan_of<ARITHMETIC, GEMM_LARGE>(d) : plan_of<ARITHMETIC, GEMM_SMALL>(d);
    const double share = large ? 1 : plan.depthwise.channels % GEMM_LANES<float> == 0 ? 0.7 : 0.3;
    const double tile = large ? GEMM_LARGE : GEMM_SMALL, blocks = static_cast<double>(plan.blocks);
    const double z = blocks * tile * static_cast<double>(ceil_div(plan.depthwise.channels, MMA_LANES) * MMA_LANES);
    const double seconds_per_z =
        2 * static_cast<double>(d.r * d.s) / (chip->fma / 4) + 2 * tile / (gemm_rate<ARITHMETIC>(*chip) * share);
    const double floats = tile * static_cast<double>(d.c * d.stride_h * d.stride_w + plan.depthwise.channels);
    const double resident =
        large ? SEPARABLE_RESIDENT<ARITHMETIC, GEMM_LARGE> : SEPARABLE_RESIDENT<ARITHMETIC, GEMM_SMALL>;
    return expected_seconds(*chip, {.flop = z * seconds_per_z, /* in seconds, at a rate of 1 */
                                    .rate = 1,
                                    .bytes = static_cast<double>(fv_operation_bytes(op, FV_FORWARD)),
                                    .cache_bytes = blocks * floats * sizeof(float),
                                    .blocks = blocks,
                                    .resident = resident,
                                    .launches = 1});
}

template <typename ARITHMETIC>
void numerics(const fv_operation *, const void *, fv_numerics *numerics) {
    numerics->notes = ARITHMETIC::THREE_PRODUCTS ? FV_NOTE_3XTF32 : FV_NOTE_TF32;
}

} // namespace

const fv_kernel conv2d_separable_mma_kernels[] = {
    FV_KERNEL(FV_SEPARABLE, FV_FORWARD, FV_TF32, "fused_tf32", .supports = supports<GEMM_TF32>,
              .estimate = estimate<GEMM_TF32>, .numerics = numerics<GEMM_TF32>, .run = run<GEMM_TF32>),
    FV_KERNEL(FV_SEPARABLE, FV_FORWARD, FV_F32, "fused_3xtf32", .supports = supports<GEMM_3XTF32>,
              .estimate = estimate<GEMM_3XTF32>, .numerics = numerics<GEMM_3XTF32>, .run = run<GEMM_3XTF32>),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
