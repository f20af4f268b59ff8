/* The depthwise kernels: all three passes are one-dimensional correlations along a line of pixels, one filter row after
 * the other,
 *
 *     sum[j] += in[j + v] * factor[v]    for v = 0, 1, ..., count - 1,
 *
 * in which a thread keeps a strip of sums j and as many values of `in` in registers. Each step takes one new value of
 * `in` and one factor and makes a product for every j (correlate_strip).
 * - forward:          j are output pixels q, v filter columns s, in = x, factor = w.
 * - backward_data:    j are input pixels of one residue modulo the stride, v the filter columns that reach them, in =
 *                     dy, factor = w; the classes are those of conv2d_tile.cuh.
 * - backward_weights: j are filter columns s, v output pixels q, in = x, factor = dy.
 * Result j advances by `advance` source pixels, v by `spacing`. Results lcm/advance apart and factors lcm/spacing apart
 * meet the same source pixels, lcm of them from one to the next: a strip is made of such results, and the factors are
 * taken residue by residue. So stride and dilation cost no reuse.
 *
 * Neighbouring threads take neighbouring channels: every access to x, y and their gradients is coalesced where there are
 * 32 channels. Filters stand in shared memory, [tap][channel] with an odd pitch, so that neither the reads nor the
 * transposing writes meet in a bank. */
#ifndef FOVEA_CONV2D_DEPTHWISE_CUH
#define FOVEA_CONV2D_DEPTHWISE_CUH

#include "conv2d_tile_plan.cuh"

namespace FV_NAMESPACE {

constexpr int DEPTHWISE_THREADS = 256, DEPTHWISE_STRIP = 8;

/* How results and factors along a line share source pixels. */
struct strip_steps {
    int share, turns; /* results share apart, and factors turns apart, meet the same pixels, */
    int64_t step;     /* which lie step apart */
};

inline strip_steps strip_steps_of(int64_t advance, int64_t spacing) {
    constexpr int64_t BEYOND_LINES = (int64_t)1 << 32; /* no line has two pixels as far apart */
    const int64_t divisor = common_divisor(advance, spacing), step = advance / divisor * spacing;
    return {.share = static_cast<int>(spacing / divisor),
            .turns = static_cast<int>(advance / divisor),
            .step = step < BEYOND_LINES ? step : BEYOND_LINES};
}

/* Strips of `length` that cover `count` results, of which those `share` apart make up a strip. */
__host__ __device__ inline int64_t strips_of(int64_t count, int64_t share, int length) {
    const int64_t residues = share < count ? share : count;
    return residues > 0 ? residues * ceil_div(ceil_div(count, share), length) : 0;
}

/* The first result of a strip; beyond `count` where its residue has fewer strips than others. */
__device__ inline int64_t strip_first(int64_t strip, int64_t count, int64_t share, int length) {
    const int64_t residues = share < count ? share : count;
    return strip % residues + strip / residues * length * share;
}

/* Pixels start + i*step of a line of `pixels`, of which those with low <= i < high are inside; `line` points to one
 * channel of the line's first pixel. */
struct line_walk {
    int64_t start, step; /* in elements */
    int low, high;
};

__device__ inline line_walk line_walk_of(int64_t start, int64_t step, int64_t pixels, int64_t channels) {
    return {.start = start * channels,
            .step = step * channels,
            .low = static_cast<int>(start < 0 ? ceil_div(-start, step) : 0),
            .high = static_cast<int>(start < pixels ? ceil_div(pixels - start, step) : 0)};
}

__device__ inline float line_value(const line_walk &walk, const float *line, int i) {
    return i >= walk.low && i < walk.high ? line[walk.start + i * walk.step] : 0.0f;
}

/* sum[j] += in(j + v) * factor(v) for v < count; both are functions of an index. The ring of registers is indexed by
 * constants only, as the loop over it is unrolled. */
template <int STRIP, typename IN, typename FACTOR>
__device__ __forceinline__ void correlate_strip(int count, IN in, FACTOR factor, float (&sum)[STRIP]) {
    float ring[STRIP];
    FV_UNROLL
    for (int j = 0; j < STRIP - 1; ++j)
        ring[j] = in(j);
    for (int first = 0; first < count; first += STRIP) {
        FV_UNROLL
        for (int i = 0; i < STRIP; ++i) {
            if (first + i < count) {
                ring[(i + STRIP - 1) % STRIP] = in(first + i + STRIP - 1);
                const float by = factor(first + i);
                FV_UNROLL
                for (int j = 0; j < STRIP; ++j)
                    sum[j] += ring[(i + j) % STRIP] * by;
            }
        }
    }
}

/* ---- forward and backward_data ---- */

struct depthwise_plan {
    tile_axis vertical, horizontal; /* uncut */
    strip_steps across;
    int64_t images, channels, multiplier; /* channels of the result; k/c */
    int lanes, units;                     /* channels, and strips of results, of a block */
    int threads, pitch, chunk;            /* chunk: filter rows staged at once */
    bool three;                           /* every line meets three adjoining taps */
    int64_t channel_tiles, blocks, shared_bytes;
};

/* Channels of a block: a warp's worth, or fewer where there are fewer. */
inline int depthwise_lanes(int64_t channels) {
    int lanes = 1;
    while (lanes < WARP && lanes < channels)
        lanes *= 2;
    return lanes;
}

/* What does not depend on how the work is shared out. */
inline depthwise_plan depthwise_problem(const fv_conv2d &d, bool backward) {
    depthwise_plan plan = {};
    plan.vertical = tile_axis_of(d.h, fv_conv2d_p(&d), d.r, d.stride_h, d.pad_top, d.dilation_h, backward);
    plan.horizontal = tile_axis_of(d.w, fv_conv2d_q(&d), d.s, d.stride_w, d.pad_left, d.dilation_w, backward);
    plan.across = strip_steps_of(plan.horizontal.advance, plan.horizontal.spacing);
    plan.three = d.s == 3 && plan.across.turns == 1 && (!backward || d.stride_w == 1);
    plan.images = d.n;
    plan.channels = backward ? d.c : d.k;
    plan.multiplier = d.k / d.c;
    return plan;
}

inline depthwise_plan depthwise_plan_of(const fv_conv2d &d, bool backward) {
    constexpr int64_t SLAB_FLOATS = 4096; /* 16 KiB, so that shared memory does not limit the blocks in flight */
    depthwise_plan plan = depthwise_problem(d, backward);
    plan.lanes = depthwise_lanes(plan.channels);
    plan.pitch = plan.lanes | 1;
    const int64_t row_floats = static_cast<int64_t>(plan.horizontal.taps) * plan.pitch;
    const int64_t rows = SLAB_FLOATS / row_floats > 1 ? SLAB_FLOATS / row_floats : 1;
    plan.chunk = static_cast<int>(rows < plan.vertical.taps ? rows : plan.vertical.taps);
    plan.shared_bytes = plan.chunk * row_floats * static_cast<int64_t>(sizeof(float));
    /* The largest class decides. */
    const int64_t lines = d.n * ceil_div(plan.vertical.result, plan.vertical.classes);
    const int64_t results = ceil_div(plan.horizontal.result, plan.horizontal.classes);
    const int64_t units = lines * strips_of(results, plan.across.share, DEPTHWISE_STRIP);
    const int64_t most = DEPTHWISE_THREADS / plan.lanes;
    plan.units = static_cast<int>(units < most ? units : most);
    plan.threads = static_cast<int>(ceil_div(plan.units * plan.lanes, WARP) * WARP);
    plan.channel_tiles = ceil_div(plan.channels, plan.lanes);
    const int64_t classes = static_cast<int64_t>(plan.vertical.classes) * plan.horizontal.classes;
    const int64_t unit_blocks = units > 0 ? ceil_div(units, plan.units) : 0;
    const double blocks =
        static_cast<double>(plan.channel_tiles) * static_cast<double>(classes) * static_cast<double>(unit_blocks);
    plan.blocks =
        blocks > static_cast<double>(MAX_BLOCKS) ? MAX_BLOCKS + 1 : plan.channel_tiles * classes * unit_blocks;
    return plan;
}

/* A strip of results. */
struct strip_place {
    int64_t image, row, first; /* row and first result are counted within the class */
    bool inside;
};

/* Strip number `unit` of `units`; they are counted down the rows first, so that the windows of neighbours overlap in the
 * first-level cache. */
template <int STRIP>
__device__ inline strip_place strip_place_of(const strip_steps &across, int64_t unit, int64_t units, int64_t rows,
                                             int64_t count) {
    const int64_t column = unit / rows, strips = strips_of(count, across.share, STRIP);
    const int64_t first = strip_first(column % strips, count, across.share, STRIP);
    return {.image = column / strips, .row = unit % rows, .first = first, .inside = unit < units && first < count};
}

/* slab[tap][channel] of the class's filter rows from `first_row`. Neighbouring threads take neighbouring taps, which
 * lie side by side in memory. BACKWARD: the filters of the channels' output channel number `product`. */
template <bool BACKWARD>
__device__ void stage_depthwise_filters(const depthwise_plan &plan, const tile_class &v, const tile_class &h,
                                        int64_t first_channel, int64_t product, int first_row, int rows,
                                        const float *filters, float *slab) {
    const int taps = rows * h.taps;
    for (int e = static_cast<int>(threadIdx.x); e < taps * plan.lanes; e += plan.threads) {
        const int lane = e / taps, tap = e % taps;
        const int r = v.first_tap + (first_row + tap / h.taps) * v.tap_step;
        const int s = h.first_tap + tap % h.taps * h.tap_step;
        const int64_t channel = first_channel + lane;
        const int64_t k = BACKWARD ? channel * plan.multiplier + product : channel;
        slab[tap * plan.pitch + lane] =
            channel < plan.channels ? filters[(k * plan.vertical.filter + r) * plan.horizontal.filter + s] : 0.0f;
    }
}

/* Adds the products of a strip with `rows` filter rows of its class from first_row, staged at `taps` with
 * plan.pitch from tap to tap. source: the channel of the tensor's first pixel. TAPS: filter columns if every line meets
 * as many adjoining ones; 0: any. */
template <int TAPS, int STRIP>
__device__ void correlate_window(const depthwise_plan &plan, const tile_class &v, const tile_class &h,
                                 const strip_place &place, int first_row, int rows, const float *source,
                                 int64_t channels, const float *taps, float (&sum)[STRIP]) {
    const int64_t image = place.image * plan.vertical.source * plan.horizontal.source * channels;
    const int64_t first_line = v.start + place.row * plan.vertical.advance;
    const int turns = TAPS ? 1 : plan.across.turns < h.taps ? plan.across.turns : h.taps;
    for (int turn = 0; turn < turns; ++turn) {
        const int64_t start =
            h.start + place.first * plan.horizontal.advance + static_cast<int64_t>(turn) * plan.horizontal.spacing;
        const line_walk walk = line_walk_of(start, plan.across.step, plan.horizontal.source, channels);
        const int count = TAPS ? TAPS : static_cast<int>(ceil_div(h.taps - turn, turns));
        for (int t = 0; t < rows; ++t) {
            const int64_t line = first_line + static_cast<int64_t>(first_row + t) * plan.vertical.spacing;
            if (line < 0 || line >= plan.vertical.source)
                continue;
            const float *const pixels = source + image + line * plan.horizontal.source * channels;
            const float *const row = taps + (t * h.taps + turn) * plan.pitch;
            const int step = turns * plan.pitch;
            correlate_strip<STRIP>(
                count, [&](int i) { return line_value(walk, pixels, i); }, [&](int i) { return row[i * step]; }, sum);
        }
    }
}

/* TAPS: as in correlate_window. bias: NULL for none. */
template <bool BACKWARD, int TAPS>
__global__ void __launch_bounds__(DEPTHWISE_THREADS, 3)
    conv2d_depthwise_kernel(depthwise_plan plan, const float *source, const float *filters, const float *bias,
                            float *result) {
    FV_DYNAMIC_SHARED(float, slab);
    int64_t block = blockIdx.x;
    const int64_t first_channel = block % plan.channel_tiles * plan.lanes; /* neighbours share lines of memory */
    block /= plan.channel_tiles;
    const tile_class h = tile_class_of<BACKWARD>(plan.horizontal, static_cast<int>(block % plan.horizontal.classes));
    block /= plan.horizontal.classes;
    const tile_class v = tile_class_of<BACKWARD>(plan.vertical, static_cast<int>(block % plan.vertical.classes));
    block /= plan.vertical.classes;
    const int64_t units = plan.images * v.count * strips_of(h.count, plan.across.share, DEPTHWISE_STRIP);
    if (block * plan.units >= units)
        return; /* a class of fewer results than the largest; the whole block leaves */

    const int lane = static_cast<int>(threadIdx.x) % plan.lanes, turn = static_cast<int>(threadIdx.x) / plan.lanes;
    const int64_t channel = first_channel + lane;
    const strip_place place =
        strip_place_of<DEPTHWISE_STRIP>(plan.across, block * plan.units + turn, units, v.count, h.count);
    const bool active = place.inside && turn < plan.units && channel < plan.channels;
    const int64_t products = BACKWARD ? plan.multiplier : 1; /* filters over one channel of the result */
    const int64_t channels = BACKWARD ? plan.channels * plan.multiplier : plan.channels / plan.multiplier;
    float sum[DEPTHWISE_STRIP] = {};
    for (int64_t product = 0; product < products; ++product)
        for (int chunk = 0; chunk < v.taps; chunk += plan.chunk) {
            const int rows = v.taps - chunk < plan.chunk ? v.taps - chunk : plan.chunk;
            stage_depthwise_filters<BACKWARD>(plan, v, h, first_channel, product, chunk, rows, filters, slab);
            __syncthreads();
            const int64_t from = BACKWARD ? channel * products + product : channel / plan.multiplier;
            if (active)
                correlate_window<TAPS>(plan, v, h, place, chunk, rows, source + from, channels, slab + lane, sum);
            __syncthreads();
        }
    if (!active)
        return;
    const float start = bias ? bias[channel] : 0.0f;
    const int64_t line = place.image * plan.vertical.result + v.first + place.row * v.step;
    FV_UNROLL
    for (int j = 0; j < DEPTHWISE_STRIP; ++j) {
        const int64_t i = place.first + static_cast<int64_t>(j) * plan.across.share;
        if (i < h.count)
            result[(line * plan.horizontal.result + h.first + i * h.step) * plan.channels + channel] = sum[j] + start;
    }
}

} // namespace FV_NAMESPACE

#endif
