/* The depthwise filter gradient: dw[k][r][s] = sum over n, p, q of dy[n,p,q,k] * x[n, row, col, k/multiplier].
 *
 * A thread keeps a strip of one channel's filter row in registers and walks along output lines (correlate_strip). The
 * threads of a block are channels x strips x walkers; the walkers share a block's lines, and add up what they found in
 * shared memory at the end, in order. Few filters and many pixels: so the lines are split over blocks as well, until
 * the device is full (splits.cuh).
 *
 * A window of 3x3 is three strips of up to 4, which leave 2 walkers of 32 channels a block. One of 31x31 is 124 strips
 * of 8, in 16 blocks of 8 strips: no block holds more than 8 taps a thread, whatever the window. */
#ifndef FOVEA_CONV2D_DEPTHWISE_WEIGHTS_CUH
#define FOVEA_CONV2D_DEPTHWISE_WEIGHTS_CUH

#include "conv2d_depthwise.cuh"
#include "splits.cuh"

namespace FV_NAMESPACE {

constexpr int DEPTHWISE_SEGMENT = 64; /* output pixels that a walker takes at once */

struct depthwise_weights_plan {
    fv_conv2d d;
    int64_t p, q, multiplier;
    strip_steps across;
    int strip;              /* taps that a thread keeps: 4 or 8 */
    int strips, row_strips; /* of the window, and of a row of it */
    int lanes, block_strips, walkers, threads;
    int64_t channel_tiles, strip_tiles;
    int64_t turns, segments;  /* walks along an output line: pixels turns apart, by segments */
    int64_t units, per_split; /* walks: all, and those of one split */
    int64_t splits;
    int64_t partial; /* floats of one partial gradient, dw and then db */
    int64_t shared_bytes;
};

inline depthwise_weights_plan depthwise_weights_plan_of(const fv_conv2d &d) {
    constexpr int64_t LEAST_PIXELS = 64; /* a walker of fewer costs more than it saves */
    depthwise_weights_plan plan = {};
    plan.d = d;
    plan.p = fv_conv2d_p(&d);
    plan.q = fv_conv2d_q(&d);
    plan.multiplier = d.k / d.c;
    plan.across = strip_steps_of(d.s == 1 ? 1 : d.dilation_w, d.stride_w);
    plan.strip = ceil_div(d.s, plan.across.share) <= 4 ? 4 : 8;
    plan.row_strips = static_cast<int>(strips_of(d.s, plan.across.share, plan.strip));
    plan.strips = static_cast<int>(d.r) * plan.row_strips;
    plan.lanes = depthwise_lanes(d.k);
    const int most_strips = DEPTHWISE_THREADS / plan.lanes;
    plan.block_strips = plan.strips < most_strips ? plan.strips : most_strips;
    plan.channel_tiles = ceil_div(d.k, plan.lanes);
    plan.strip_tiles = ceil_div(plan.strips, plan.block_strips);
    plan.turns = plan.across.turns < plan.q ? plan.across.turns : plan.q;
    plan.segments = ceil_div(ceil_div(plan.q, plan.across.turns), DEPTHWISE_SEGMENT);
    plan.units = d.n * plan.p * plan.turns * plan.segments;
    const int64_t most_walkers = most_strips / plan.block_strips;
    plan.walkers = static_cast<int>(plan.units < most_walkers ? (plan.units > 0 ? plan.units : 1) : most_walkers);
    plan.threads = static_cast<int>(ceil_div(plan.lanes * plan.block_strips * plan.walkers, WARP) * WARP);
    const int64_t most = ceil_div(d.n * plan.p * plan.q, plan.walkers * LEAST_PIXELS);
    const sum_splits splits = splits_of(plan.units, plan.channel_tiles * plan.strip_tiles, most, plan.walkers);
    plan.splits = splits.count;
    plan.per_split = splits.per_split;
    plan.partial = d.k * d.r * d.s + (d.bias ? d.k : 0);
    plan.shared_bytes = (plan.strip + 1) * plan.threads * static_cast<int64_t>(sizeof(float));
    return plan;
}

/* One walk: `count` output pixels of a line, `turns` apart. */
struct output_walk {
    int64_t line, first; /* n*p + p; the first pixel */
    int count;
};

__device__ inline output_walk output_walk_of(const depthwise_weights_plan &plan, int64_t unit) {
    const int64_t segment = unit % plan.segments, turn = unit / plan.segments % plan.turns;
    const int64_t done = segment * DEPTHWISE_SEGMENT;
    const int64_t rest = ceil_div(plan.q - turn, plan.across.turns) - done;
    return {.line = unit / plan.segments / plan.turns,
            .first = turn + done * plan.across.turns,
            .count = static_cast<int>(rest < DEPTHWISE_SEGMENT ? rest : DEPTHWISE_SEGMENT)};
}

/* Adds a walk's products to the strip that begins with tap (r, s), and its dy to `bias` if sums_bias. */
template <int STRIP>
__device__ void walk_output(const depthwise_weights_plan &plan, const output_walk &walk, int64_t k, int64_t r,
                            int64_t s, const float *x, const float *dy, float (&sum)[STRIP], bool sums_bias,
                            float &bias) {
    const fv_conv2d &d = plan.d;
    const int64_t image = walk.line / plan.p;
    const int64_t row = (walk.line - image * plan.p) * d.stride_h + r * d.dilation_h - d.pad_top;
    const float *const gradients = dy + (walk.line * plan.q + walk.first) * d.k + k;
    const int64_t step = plan.across.turns * d.k;
    for (int i = 0; sums_bias && i < walk.count; ++i)
        bias += gradients[i * step];
    if (row < 0 || row >= d.h)
        return;
    const float *const pixels = x + (image * d.h + row) * d.w * d.c + k / plan.multiplier;
    const line_walk under =
        line_walk_of(s * d.dilation_w + walk.first * d.stride_w - d.pad_left, plan.across.step, d.w, d.c);
    correlate_strip<STRIP>(
        walk.count, [&](int i) { return line_value(under, pixels, i); }, [&](int i) { return gradients[i * step]; },
        sum);
}

/* Partial gradient number blockIdx.y goes to dw + blockIdx.y * stride, its bias part to db + blockIdx.y * stride. */
template <int STRIP>
__global__ void __launch_bounds__(DEPTHWISE_THREADS, 3)
    conv2d_depthwise_weights_kernel(depthwise_weights_plan plan, const float *x, const float *dy, float *dw, float *db,
                                    int64_t stride) {
    FV_DYNAMIC_SHARED(float, parts); /* parts[tap, and behind those the bias][thread] */
    const fv_conv2d &d = plan.d;
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t first_channel = blockIdx.x % plan.channel_tiles * plan.lanes;
    const int64_t first_strip = blockIdx.x / plan.channel_tiles * plan.block_strips;
    const int64_t k = first_channel + thread % plan.lanes;
    const int64_t strip = first_strip + thread / plan.lanes % plan.block_strips;
    const int walker = thread / plan.lanes / plan.block_strips;
    const int64_t first_tap = strip_first(strip % plan.row_strips, d.s, plan.across.share, STRIP);
    const bool sums_bias = db && strip == 0;
    const int64_t first_unit = blockIdx.y * plan.per_split;
    const int64_t end_unit = first_unit + plan.per_split < plan.units ? first_unit + plan.per_split : plan.units;
    float sum[STRIP] = {};
    float bias_sum = 0;
    if (k < d.k && strip < plan.strips && walker < plan.walkers)
        for (int64_t unit = first_unit + walker; unit < end_unit; unit += plan.walkers) {
            const output_walk walk = output_walk_of(plan, unit);
            walk_output<STRIP>(plan, walk, k, strip / plan.row_strips, first_tap, x, dy, sum, sums_bias, bias_sum);
        }
    FV_UNROLL
    for (int j = 0; j < STRIP; ++j)
        parts[j * plan.threads + thread] = sum[j];
    parts[STRIP * plan.threads + thread] = bias_sum;
    __syncthreads();

    const int columns = plan.lanes * plan.block_strips; /* threads of a walker */
    const auto all_walkers = [&](const float *part) {
        float total = 0;
        for (int i = 0; i < plan.walkers; ++i)
            total += part[i * columns];
        return total;
    };
    for (int e = thread; e < columns * STRIP; e += plan.threads) {
        const int j = e % STRIP, in_block = e / STRIP % plan.block_strips, lane = e / STRIP / plan.block_strips;
        const int64_t at = first_strip + in_block, channel = first_channel + lane, r = at / plan.row_strips;
        const int64_t s = strip_first(at % plan.row_strips, d.s, plan.across.share, STRIP) +
                          static_cast<int64_t>(j) * plan.across.share;
        if (channel < d.k && at < plan.strips && s < d.s)
            dw[blockIdx.y * stride + (channel * d.r + r) * d.s + s] =
                all_walkers(&parts[j * plan.threads + in_block * plan.lanes + lane]);
    }
    if (db && first_strip == 0 && thread < plan.lanes && first_channel + thread < d.k)
        db[blockIdx.y * stride + first_channel + thread] = all_walkers(&parts[STRIP * plan.threads + thread]);
}

} // namespace FV_NAMESPACE

#endif
