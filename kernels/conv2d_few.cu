/* conv2d on images of up to four channels: the first layers of networks. Operation and layouts as in conv2d.cu; f32; any
 * window, stride, padding, dilation and number of output channels whose rows fit shared memory; one group. A stem's
 * backward_data is nobody's need: the other rows do it. The method, that rows of such images are runs of floats, is in
 * conv2d_few.cuh; it is the direct convolution of Zhang, Franchetti and Low 2018 (arXiv:1809.10170) taken to where the
 * channels are too few to be a vector, and the gradient's sum in splits is that of splits.cuh.
 *
 * Variant
 *     few_channels   (forward, backward_weights) rows of the image in shared memory, 64 results (forward) or up to 84 sums
 *                    (backward) in a thread's registers, and the floats of a row that these share read once.
 *
 * Budget: 128 threads of up to 168 registers and up to 72 KiB a block, so that three blocks (12 warps) share a
 * multiprocessor, of sm_80 (with fewer by shared memory where tiles are large) or sm_90; 64 independent sums a thread hide
 * the latency of arithmetic with three warps to a scheduler, and two blocks work while the third waits for its tile. The
 * grid is what an H200 holds at once.
 *
 * Intensity, forward, ResNet's stem (n=50, 7x7/2 on 3 x 224 x 224 to 64): 11.8 GFLOP, 30 MB read and 161 MB written: 62
 * FLOP a byte of memory, where an H200 balances at 16: bound by arithmetic, floor 176 us. A tile of 8 x 16 results (51 KB of
 * shared memory: a window of 21 rows, and all filters, which stay for 13 tiles) makes 2.4 MFLOP of 9.4 KB staged: 255 FLOP a
 * byte from L2. A filter row takes 1344 FMAs and 58 reads of 16 bytes in each warp: 336 cycles of a multiprocessor's FMA
 * units against 58 to 150 of its shared memory (rows of pixels without collision of banks, which the plan sees to; filters
 * of eight lanes are 128 contiguous bytes). Staging is some 300 instructions a warp and tile beside 9400 FMAs.
 *
 * Expected on an H200, as shares of the floor at its data sheet's 67 TFLOP/s and a copy's 4.3 TB/s (the rows' estimates):
 *     n=50  7x7/2  c=3  k=64  224x224   forward 237 us, 74 %    backward_weights 292 us, 60 %
 *     n=64  3x3    c=3  k=64  224x224   forward 238 us, 84 %    backward_weights 241 us, 83 %    (bound by memory: y)
 *     n=32  3x3/2  c=3  k=32  224x224   forward  21 us, 77 %    backward_weights  24 us, 68 %
 *     n=256 5x5    c=1  k=24  28x28     forward   6 us, 57 %    backward_weights   8 us, 42 %    (2 us of each launch)
 *     n=32  5x20/2 c=1  k=32  161x700   forward 117 us, 70 %    backward_weights 137 us, 60 %
 *     n=256 11x11/4 c=3 k=96  227x227   forward 1.33 ms, 61 %   backward_weights 1.93 ms, 42 %   (tiles with rests)
 * If the compiler's order of FMAs and its use of register banks reach less than 75 % of the FMA rate, all but the second
 * and third row fall short in proportion; that is what the first run tests. */
#include "conv2d_few_forward_plan.cuh"
#include "conv2d_few_weights_plan.cuh"
#include "conv2d_weights.cuh"
#include "estimate.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr const char *TOO_LARGE = "no row of the filter and window fits 72 KiB of shared memory";

const char *supports_forward(const fv_operation *op) {
    few_forward_plan plan;
    const char *const refusal = few_refusal(op->conv2d);
    return refusal ? refusal : few_forward_plan_of(op->conv2d, plan) ? NULL : TOO_LARGE;
}

/* What the products' loop reaches of the chip's rate. Registers are full, so that 12 warps share a multiprocessor: enough
 * for 64 independent sums each. */
double forward_share(const few_geometry &d) {
    return few_is_fixed(d) ? 0.75 : few_takes_quads(d) ? 0.65 : 0.45;
}

double estimate_forward(const fv_operation *op, const fv_chip *chip) {
    few_forward_plan plan;
    if (!few_forward_plan_of(op->conv2d, plan))
        return INFINITY;
    const few_geometry &d = plan.d;
    const double tiles = static_cast<double>(plan.tiles.count) * plan.tiles.channel_tiles;
    const double products = tiles * plan.threads * FEW_PIXELS * FEW_CHANNELS * d.filter;
    const double chunks = ceil(1.0 * d.filter_rows / plan.tiles.chunk);
    const double window = 4.0 * chunks * plan.window.rows * plan.window.width;
    const double filters = 4.0 * d.filter * plan.tiles.channels;
    const double blocks = static_cast<double>(plan.blocks) * plan.tiles.channel_tiles;
    const double bytes = static_cast<double>(fv_operation_bytes(op, FV_FORWARD));
    return expected_seconds(*chip, {.flop = 2 * products,
                                    .rate = forward_share(d) * chip->fma,
                                    .bytes = bytes / 0.85,
                                    .cache_bytes = bytes + tiles * window + (chunks > 1 ? tiles : blocks) * filters,
                                    .blocks = blocks,
                                    .resident = 3,
                                    .launches = 1});
}

fv_status prepare_forward(fv_context *, const fv_operation *op, void **state) {
    few_forward_plan plan;
    if (!few_forward_plan_of(op->conv2d, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", supports_forward(op));
    return tile_keep(plan, state);
}

template <typename METHOD>
fv_status launch_forward(fv_context *context, const few_forward_plan &plan, const fv_buffers *buffers) {
    return FV_LAUNCH(context, conv2d_few_forward_kernel<METHOD>,
                     dim3(plan.blocks, static_cast<unsigned>(plan.tiles.channel_tiles)), plan.threads,
                     static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_W),
                     input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status conv2d_forward_few_channels(fv_context *context, const fv_operation *, void *state,
                                      const fv_buffers *buffers) {
    few_forward_plan plan = *static_cast<const few_forward_plan *>(state);
    if (plan.blocks == 0)
        return FV_OK;
    plan.window.quads &= few_aligned(input(buffers, FV_X));
    plan.wide = plan.d.k % 4 == 0 && few_aligned(output(buffers, FV_Y));
    return few_fixed_dispatch(plan.d, [&]<int STEP, int RUN>() {
        if constexpr (STEP > 0)
            return launch_forward<few_fixed<STEP, RUN>>(context, plan, buffers);
        else
            return few_takes_quads(plan.d) ? launch_forward<few_quads>(context, plan, buffers)
                                           : launch_forward<few_any>(context, plan, buffers);
    });
}

const char *supports_weights(const fv_operation *op) {
    few_weights_plan plan;
    const char *const refusal = few_refusal(op->conv2d);
    return refusal ? refusal : few_weights_plan_of(op->conv2d, plan) ? NULL : TOO_LARGE;
}

fv_status prepare_weights(fv_context *, const fv_operation *op, void **state) {
    few_weights_plan plan;
    if (!few_weights_plan_of(op->conv2d, plan))
        return fv_fail(FV_UNSUPPORTED, "conv2d: %s", supports_weights(op));
    return tile_keep(plan, state);
}

double estimate_weights(const fv_operation *op, const fv_chip *chip) {
    few_weights_plan plan;
    if (!few_weights_plan_of(op->conv2d, plan))
        return INFINITY;
    const few_geometry &d = plan.d;
    const double others = static_cast<double>(plan.tiles.channel_tiles) * plan.row_tiles;
    const double tiles = static_cast<double>(plan.tiles.count) * others;
    /* Warps work, not threads, and the last turn of the parts may be short of rows. */
    const double warps = ceil(1.0 * plan.items * plan.parts / WARP);
    const double turns = ceil(1.0 * plan.tiles.rows / plan.parts) * plan.tiles.cols;
    const double sums = few_weights_dispatch(
        d, [&]<typename METHOD>() { return static_cast<double>(METHOD::LENGTH * METHOD::CHANNELS); });
    const double bytes = static_cast<double>(fv_operation_bytes(op, FV_BACKWARD_WEIGHTS));
    const double partial = static_cast<double>(plan.splits) * static_cast<double>(weights_partial(op->conv2d)) * 8;
    const double staged =
        4.0 * (plan.window.rows * plan.window.width + plan.tiles.rows * plan.tiles.cols * plan.tiles.channels);
    return expected_seconds(*chip, {.flop = 2 * tiles * warps * WARP * turns * sums,
                                    .rate = (few_is_fixed(d)      ? 0.7
                                             : few_takes_quads(d) ? 0.6
                                                                  : 0.45) *
                                            chip->fma,
                                    .bytes = bytes / 0.85 + partial,
                                    .cache_bytes = tiles * staged + partial,
                                    .blocks = plan.splits * others,
                                    .resident = 3,
                                    .launches = plan.splits > 1 ? 2 : 1});
}

size_t workspace_weights(const fv_operation *op, const void *state) {
    return splits_workspace(static_cast<const few_weights_plan *>(state)->splits, weights_partial(op->conv2d));
}

fv_status conv2d_backward_weights_few_channels(fv_context *context, const fv_operation *op, void *state,
                                               const fv_buffers *buffers) {
    few_weights_plan plan = *static_cast<const few_weights_plan *>(state);
    plan.window.quads &= few_aligned(input(buffers, FV_X));
    plan.wide = plan.d.k % 4 == 0 && few_aligned(input(buffers, FV_DY));
    const dim3 grid(plan.splits, static_cast<unsigned>(plan.tiles.channel_tiles * plan.row_tiles));
    return weights_in_splits(context, op->conv2d, plan.splits, buffers, [&](float *dw, float *db) {
        return few_weights_dispatch(plan.d, [&]<typename METHOD>() {
            return FV_LAUNCH(context, conv2d_few_weights_kernel<METHOD>, grid, FEW_THREADS,
                             static_cast<size_t>(plan.shared_bytes), plan, input(buffers, FV_X), input(buffers, FV_DY),
                             dw, db, weights_partial(op->conv2d));
        });
    });
}

} // namespace

const fv_kernel conv2d_few_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "few_channels", .fuses_relu = true, .supports = supports_forward,
                  .prepare = prepare_forward, .release = free, .estimate = estimate_forward,
                  .run = conv2d_forward_few_channels),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "few_channels", .supports = supports_weights,
                  .prepare = prepare_weights, .release = free, .workspace = workspace_weights,
                  .workspace_rule = WEIGHTS_WORKSPACE_RULE, .estimate = estimate_weights,
                  .run = conv2d_backward_weights_few_channels),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
