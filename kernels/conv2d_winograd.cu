/* conv2d with 3x3 filters, stride 1 and dilation 1, by Winograd's minimal filtering (Winograd 1980; Lavin and Gray
 * 2016, arXiv:1509.09308): y is cut into tiles of m x m pixels, and for each tile and each of (m+2)^2 points (i,j)
 *
 *     y_tile[k] = A' M[k] A + b[k],    M[k][i][j] = sum_c (G w[k,c] G')[i][j] * (B' x_tile[c] B)[i][j]
 *
 * which takes (m+2)^2 / m^2 products for each pixel and pair of channels instead of 9: 4 for m = 2 (2.25 times fewer)
 * and 2.25 for m = 4 (4 times fewer). backward_data is the same from dy to dx, with filters turned by half a turn whose
 * channels change places, and padding 2 - pad, which may be negative. Any padding, groups and channels; NHWC, filters
 * [k,3,3,c/groups]; f32 with true f32 FMA throughout. Forward may end with a ReLU.
 *
 * Method: four kernels, by way of workspace.
 *     filter    u[point][group][c][k] = G w G'                           once
 *     input     v[point][group][tile][c] = B' x B                        for each chunk of tiles
 *     product   m[point][group][tile][k] = v u, (m+2)^2 * groups matrix products    (conv2d_winograd_product.cuh)
 *     output    y = A' m A + b
 * In NHWC all of it is contiguous along channels: transforms read and write whole lines, and products copy 16 bytes at
 * a time as they lie. A chunk is as many tiles as take 256 MiB transformed: more would be faster by nothing, since
 * chunks that large fill the device many times over; fewer, to stay within the cache, would leave multiprocessors idle
 * at the end of each product for longer than the memory traffic takes.
 *
 * Why not fused, where a block holds the sums at all points of its tiles in registers (Yan, Wang and Chu 2020, PPoPP,
 * with m = 2, 64 filters x 32 tiles)? The 64 Ki registers of an SM hold about 36 Ki sums: 36 points x 32 filters x 32
 * tiles with m = 4, so that a channel's products take 288 cycles and their operands, 36 * 32 filter values and 32 tiles
 * of 16 to 36 pixels, 7 to 9 KiB from the L2 cache: more than the 24 bytes per cycle that an SM gets. With m = 2 it
 * is 18 bytes and works, but there are 1.78 times as many products. Floors at 67 TFLOP/s (47 in practice) and 4.3 TB/s:
 *
 *     forward, us              direct floor    fused, m = 2      this, m = 4: products + other stages
 *     VGG 3_2, n = 64               3534        1571 (2240)       883 (1260) + 310
 *     ResNet 64 at 56x56, n = 50     173          77 (110)         43 (61) + 60
 *     128 at 28x28                   173          77 (110)         45 (64) + 31
 *     256 at 14x14                   173          77 (110)         63 (90) + 20
 *     512 at 7x7                     173         100 (143)         72 (103) + 30
 *
 * so that m = 4 by workspace wins where it matters and is about even elsewhere; and the fused form with m = 2 is what
 * remains to be tried for few channels.
 *
 * Prediction for an H200 (estimate() below, on the chip that `fovea kernels` assumes; products reach 75 % of the FMA
 * rate): 1702, 147, 117, 133 and 227 us for these five layers, which is 2.1, 1.2, 1.5, 1.3 and 0.8 times the speed of
 * the direct floor. On VGG 3_2 products take 1360 us, bound by FMA; input and output about 165 each, bound by memory
 * and L2 alike. On 512 channels a quarter of the tiles' pixels lies outside of the images, and 576 blocks are a little
 * more than fit at once.
 *
 *     stage      registers   shared     threads, occupancy    bound by
 *     filter     40          0          256, 6 blocks         DRAM: 0.3 to 3 FLOP per byte; neighbours share sectors
 *     input      80          0          256, 3 blocks         DRAM: 36 loads under way a thread; 1 FLOP per byte
 *     product    128         36 KiB     256, 2 blocks         FMA: 32 FLOP per byte of L2
 *     output     64          0          256, 4 blocks         DRAM: 36 loads under way a thread; 1 FLOP per byte
 *
 * Errors. The points are Lavin and Gray's and sums are taken in the order of channels, so the bound is that of
 * host/verify/bounds_winograd.c. On inputs that are uniform in [-1, 1] the error is, against one sum over all 9c
 * products in order, 0.6 times as large for winograd_2x2 (root of the mean square, 64 to 512 channels; 1.2 times with 3
 * channels) and 4 times for winograd_4x4 (8 times with 3): 2^-19 to 2^-18 of a typical result. The transforms divide
 * rather than multiply by rounded reciprocals, so that the exact comparison of verify.h applies
 * (host/verify/exact_winograd.c).
 *
 * Deterministic: each sum is taken by one thread in a fixed order.
 *
 * Variants
 *     winograd_4x4   m = 4: fewest products
 *     winograd_2x2   m = 2: more accurate than direct sums; for images of few pixels, which leave larger tiles empty */
#include "conv2d_winograd.cuh"
#include "conv2d_winograd_product.cuh"
#include "estimate.cuh"

#include <stdio.h>

namespace FV_NAMESPACE {

namespace {

/* ---- plan ---- */

/* Workspace that the transformed tiles of a chunk may take, if that is enough for one row of blocks: on a device, which
 * estimates are about, and where this runs. Less on the emulator, so that its small cases come in chunks, too. */
constexpr int64_t DEVICE_CHUNK_BYTES = int64_t(256) << 20;
#ifdef FV_EMULATED
constexpr int64_t CHUNK_BYTES = int64_t(1) << 20;
#else
constexpr int64_t CHUNK_BYTES = DEVICE_CHUNK_BYTES;
#endif

template <int OUTPUTS>
constexpr int64_t AREA = winograd<OUTPUTS>::POINTS *winograd<OUTPUTS>::POINTS; /* points of a patch */

/* Chunks of about equal size, whole blocks of the product each. */
template <int OUTPUTS>
void plan_tiles(winograd_plan &plan, int64_t images, int64_t chunk_bytes) {
    plan.in_pitch = whole_quads(plan.in);
    plan.out_pitch = whole_quads(plan.out);
    plan.down = ceil_div(plan.out_h, OUTPUTS);
    plan.across = ceil_div(plan.out_w, OUTPUTS);
    plan.tiles = images * plan.down * plan.across;
    const int64_t tile_bytes = AREA<OUTPUTS> * plan.groups * (plan.in_pitch + plan.out_pitch) * 4;
    const int64_t affordable = chunk_bytes / tile_bytes / WINOGRAD_ROWS * WINOGRAD_ROWS;
    const int64_t chunks = ceil_div(plan.tiles, affordable > 0 ? affordable : WINOGRAD_ROWS);
    plan.per_chunk = chunks > 1 ? ceil_div(ceil_div(plan.tiles, chunks), WINOGRAD_ROWS) * WINOGRAD_ROWS : plan.tiles;
}

template <int OUTPUTS, bool BACKWARD>
winograd_plan winograd_plan_of(const fv_conv2d &d, int64_t chunk_bytes = CHUNK_BYTES) {
    const int64_t cg = d.c / d.groups, kg = d.k / d.groups, p = fv_conv2d_p(&d), q = fv_conv2d_q(&d);
    winograd_plan plan = {};
    plan.groups = d.groups;
    plan.tap = cg;
    plan.turned = BACKWARD;
    plan.relu = d.relu != 0;
    if (BACKWARD) { /* dy correlated with the turned filters, whose channels change places */
        plan.in_h = p, plan.in_w = q, plan.out_h = d.h, plan.out_w = d.w;
        plan.pad_top = 2 - d.pad_top, plan.pad_left = 2 - d.pad_left;
        plan.in = kg, plan.out = cg;
        plan.in_step = 9 * cg, plan.out_step = 1;
    } else {
        plan.in_h = d.h, plan.in_w = d.w, plan.out_h = p, plan.out_w = q;
        plan.pad_top = d.pad_top, plan.pad_left = d.pad_left;
        plan.in = cg, plan.out = kg;
        plan.in_step = 1, plan.out_step = 9 * cg;
    }
    plan_tiles<OUTPUTS>(plan, d.n, chunk_bytes);
    return plan;
}

winograd_products products_of(const winograd_plan &plan, int64_t points, int64_t tiles) {
    return {.v = nullptr,
            .u = nullptr,
            .m = nullptr,
            .rows = tiles,
            .depth = plan.in,
            .columns = plan.out,
            .count = points * plan.groups};
}

int64_t filter_blocks(const winograd_plan &plan) {
    return plan.groups * ceil_div(plan.out, WARP) * ceil_div(plan.in, WINOGRAD_BLOCK / WARP);
}

/* ---- rows ---- */

template <int OUTPUTS, bool BACKWARD>
const char *supports(const fv_operation *op) {
    const fv_conv2d &d = op->conv2d;
    if (d.r != 3 || d.s != 3 || d.stride_h != 1 || d.stride_w != 1 || d.dilation_h != 1 || d.dilation_w != 1)
        return "it is for 3x3 windows without stride and dilation";
    if (d.groups > 1 && (d.c < 4 * d.groups || d.k < 4 * d.groups))
        return "a group has fewer than 4 channels: it would transform more than it multiplies";
    const double tiles_down = static_cast<double>(ceil_div(BACKWARD ? d.h : fv_conv2d_p(&d), OUTPUTS));
    const double tiles_across = static_cast<double>(ceil_div(BACKWARD ? d.w : fv_conv2d_q(&d), OUTPUTS));
    constexpr double MOST = INT32_MAX;
    if (static_cast<double>(d.n) * tiles_down * tiles_across > MOST)
        return "there are more than 2^31-1 tiles";
    constexpr double MOST_CHANNELS = 1 << 22; /* keeps every other grid small: a chunk takes 256 MiB, or 128 tiles */
    if (static_cast<double>(d.c) + static_cast<double>(d.k) > MOST_CHANNELS)
        return "there are more than 2^22 channels";
    return filter_blocks(winograd_plan_of<OUTPUTS, BACKWARD>(d)) > MAX_BLOCKS ? "there are more than 2^39 filter planes"
                                                                              : nullptr;
}

template <int OUTPUTS, bool BACKWARD>
size_t workspace(const fv_operation *op, const void *) {
    const winograd_plan plan = winograd_plan_of<OUTPUTS, BACKWARD>(op->conv2d);
    const int64_t floats = plan.in * plan.out_pitch + plan.per_chunk * (plan.in_pitch + plan.out_pitch);
    return static_cast<size_t>(AREA<OUTPUTS> * plan.groups * floats) * sizeof(float);
}

template <int OUTPUTS>
fv_status run_chunk(fv_context *context, const winograd_plan &plan, const winograd_chunk &chunk, const float *x,
                    const float *bias, winograd_products products, float *v, float *y) {
    products.v = v;
    FV_TRY(FV_LAUNCH(context, (conv2d_winograd_input_kernel<OUTPUTS>),
                     dim3(static_cast<unsigned>(winograd_blocks(chunk, plan.groups * plan.in))), WINOGRAD_BLOCK, 0,
                     plan, chunk, x, v));
    FV_TRY(run_winograd_products(context, products));
    return FV_LAUNCH(context, (conv2d_winograd_output_kernel<OUTPUTS>),
                     dim3(static_cast<unsigned>(winograd_blocks(chunk, plan.groups * plan.out))), WINOGRAD_BLOCK, 0,
                     plan, chunk, static_cast<const float *>(products.m), bias, y);
}

template <int OUTPUTS>
fv_status run_plan(fv_context *context, const winograd_plan &plan, const float *x, const float *w, const float *bias,
                   float *workspace, float *y) {
    if (plan.tiles == 0)
        return FV_OK;
    constexpr int64_t POINTS = AREA<OUTPUTS>;
    float *const u = workspace, *const v = u + POINTS * plan.groups * plan.in * plan.out_pitch;
    FV_TRY(FV_LAUNCH(context, (conv2d_winograd_filter_kernel<OUTPUTS>),
                     dim3(static_cast<unsigned>(filter_blocks(plan))), WINOGRAD_BLOCK, 0, plan, w, u));
    for (int64_t first = 0; first < plan.tiles; first += plan.per_chunk) {
        const int64_t left = plan.tiles - first;
        const winograd_chunk chunk = {first, left < plan.per_chunk ? left : plan.per_chunk};
        winograd_products products = products_of(plan, POINTS, chunk.tiles);
        products.u = u;
        products.m = v + POINTS * plan.groups * chunk.tiles * plan.in_pitch;
        FV_TRY(run_chunk<OUTPUTS>(context, plan, chunk, x, bias, products, v, y));
    }
    return FV_OK;
}

template <int OUTPUTS, bool BACKWARD>
fv_status run(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const winograd_plan plan = winograd_plan_of<OUTPUTS, BACKWARD>(op->conv2d);
    return run_plan<OUTPUTS>(context, plan, input(buffers, BACKWARD ? FV_DY : FV_X), input(buffers, FV_W),
                             BACKWARD ? nullptr : input(buffers, FV_B), static_cast<float *>(buffers->workspace),
                             output(buffers, BACKWARD ? FV_DX : FV_Y));
}

template <int OUTPUTS>
void numerics(const fv_operation *, const void *, fv_numerics *numerics) {
    numerics->notes = FV_NOTE_EXACT_TRANSFORMS | (OUTPUTS == 2 ? FV_NOTE_WINOGRAD_2X2 : FV_NOTE_WINOGRAD_4X4);
    snprintf(numerics->description, sizeof numerics->description, "%s",
             OUTPUTS == 2 ? "errors as of direct sums" : "errors about 4 times those of direct sums");
}

/* ---- estimate ---- */

constexpr double PRODUCT_SHARE = 0.75; /* of the FMA rate that the product reaches where all multiprocessors are busy */
constexpr double TRANSFORM_RESIDENT = 3; /* blocks of 256 threads with 80 registers */

template <int COLUMNS>
double product_seconds(const fv_chip &chip, const winograd_products &p, double bytes) {
    const double blocks = static_cast<double>(winograd_product_blocks(COLUMNS, p));
    const double depth = static_cast<double>(ceil_div(p.depth, WINOGRAD_DEPTH) * WINOGRAD_DEPTH);
    return expected_seconds(chip, {.flop = 2 * blocks * WINOGRAD_ROWS * COLUMNS * depth,
                                   .rate = PRODUCT_SHARE * chip.fma,
                                   .bytes = bytes,
                                   .cache_bytes = 4 * blocks * (WINOGRAD_ROWS + COLUMNS) * depth,
                                   .blocks = blocks,
                                   .resident = 512 / WINOGRAD_THREADS<COLUMNS>,
                                   .launches = 1});
}

/* Of a transform that moves so many bytes of memory and of the cache. */
double transform_seconds(const fv_chip &chip, int64_t blocks, double bytes, double cache_bytes) {
    return expected_seconds(chip, {.flop = 0,
                                   .rate = chip.fma,
                                   .bytes = bytes,
                                   .cache_bytes = cache_bytes,
                                   .blocks = static_cast<double>(blocks),
                                   .resident = TRANSFORM_RESIDENT,
                                   .launches = 1});
}

/* Of one chunk: `v` and `m` bytes of transformed tiles, which stay in the cache between two stages if they take less
 * than half of it, and `x` and `y` of images. Tiles share pixels, of which about half the copies come from the first
 * level. */
template <int OUTPUTS>
double chunk_seconds(const fv_chip &chip, const winograd_plan &plan, const winograd_chunk &chunk) {
    constexpr double POINTS = AREA<OUTPUTS>, PIXELS = OUTPUTS * OUTPUTS, SHARED = (1 + POINTS / PIXELS) / 2;
    const int64_t in = plan.groups * plan.in, out = plan.groups * plan.out;
    const double floats = 4.0 * static_cast<double>(chunk.tiles);
    const double v = POINTS * floats * static_cast<double>(in), m = POINTS * floats * static_cast<double>(out);
    const double x = PIXELS * floats * static_cast<double>(in), y = PIXELS * floats * static_cast<double>(out);
    const double far = v + m < chip.cache / 2 ? 0 : 1;
    const winograd_products products = products_of(plan, AREA<OUTPUTS>, chunk.tiles);
    const double filters = POINTS * 4 * static_cast<double>(in * plan.out);
    return transform_seconds(chip, winograd_blocks(chunk, in), x + far * v, SHARED * x + v) +
           (winograd_wide(products, WINOGRAD_ENOUGH_BLOCKS)
                ? product_seconds<128>(chip, products, filters + far * (v + m))
                : product_seconds<64>(chip, products, filters + far * (v + m))) +
           transform_seconds(chip, winograd_blocks(chunk, out), y + far * m, y + m);
}

/* The stages one after the other, and all chunks like the first. */
template <int OUTPUTS, bool BACKWARD>
double estimate(const fv_operation *op, const fv_chip *chip) {
    const winograd_plan plan = winograd_plan_of<OUTPUTS, BACKWARD>(op->conv2d, DEVICE_CHUNK_BYTES);
    if (plan.tiles == 0)
        return chip->launch;
    const double filters = 4.0 * static_cast<double>(plan.groups * plan.in * plan.out);
    const double bytes = (9 + static_cast<double>(AREA<OUTPUTS>)) * filters;
    return transform_seconds(*chip, filter_blocks(plan), bytes, bytes) +
           chunk_seconds<OUTPUTS>(*chip, plan, {0, plan.per_chunk}) * static_cast<double>(plan.tiles) /
               static_cast<double>(plan.per_chunk);
}

constexpr const char *WORKSPACE_RULE =
    "(m+2)^2*4 bytes for each of c*k/groups filters and, c and k of each group rounded up to 4, (c + k) for each of "
    "ceil(out_h/m)*ceil(out_w/m)*n tiles of m*m pixels, of which at most 256 MiB at a time";

} // namespace

#define FV_WINOGRAD(pass, backward, tile, method)                                                                      \
    FV_KERNEL_F32(FV_CONV2D, pass, method, .fuses_relu = pass == FV_FORWARD, .supports = supports<tile, backward>,     \
                  .workspace = workspace<tile, backward>, .workspace_rule = WORKSPACE_RULE,                            \
                  .estimate = estimate<tile, backward>, .numerics = numerics<tile>, .run = run<tile, backward>)

const fv_kernel conv2d_winograd_kernels[] = {
    FV_WINOGRAD(FV_FORWARD, false, 4, "winograd_4x4"),
    FV_WINOGRAD(FV_FORWARD, false, 2, "winograd_2x2"),
    FV_WINOGRAD(FV_BACKWARD_DATA, true, 4, "winograd_4x4"),
    FV_WINOGRAD(FV_BACKWARD_DATA, true, 2, "winograd_2x2"),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
