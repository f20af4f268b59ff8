/* conv2d_spatial: an r x 1 conv2d from c to m channels and a 1 x s conv2d from those to k, in one kernel,
 *
 *     z[n,p,j,m] = sum_{r,c} w[m,r,c] * x[n, p*stride_h + r*dilation_h - pad_top, j, c]
 *     y[n,p,q,k] = b[k] + sum_{s,m} w2[k,s,m] * z[n,p, q*stride_w + s*dilation_w - pad_left, m],
 *
 * and its gradients by x, w, w2 and b; z is 0 outside the image. x and dx are [n,h,w,c], w and dw [m,r,1,c/groups], w2 and
 * dw2 [k,1,s,m/groups], y and dy [n,p,q,k]. Any stride, padding, dilation and groups. f32; deterministic.
 *
 * `fused` keeps z (and going back its gradient dz) in shared memory, where "unfused" writes them to global memory and
 * reads them again: 8 bytes a value. That pays where there are few channels, as for filters of rank 1 on images, or
 * depthwise; with 16 channels in and out and three taps a value costs some hundred products, which take longer than its 8
 * bytes. So this kernel keeps the filters in shared memory, too, gives a thread one channel at four places, and refuses
 * filters of over 1024 elements in a group, which are left to the larger register tiles of conv2d. It also refuses
 * dilations that spread what one result needs over more than 48 KiB.
 *
 *     forward            Tiles are as long as possible along a row, as neighbours in a row both compute the z that both
 *                        need: a tile of t results computes (t-1)*stride_w + (s-1)*dilation_w + 1 columns of z, so the
 *                        recompute factor is 1 for whole rows, and about 1 + (s-1)/t for t of them with stride 1.
 *     backward_data      The same kernel with the stages in reverse: dz from dy along a row, dx from dz along a column; so
 *                        tiles are as long as possible along a column.
 *     backward_weights   dw2 from dy and a tile of z, then dw from x and a tile of dz (which overlaps nothing). Threads
 *                        share out a tile's pixels and keep up to 8 sums each, over all tiles of a block; blocks write
 *                        partial gradients to the workspace, which a second kernel adds in order. dy and x are read
 *                        once each from global memory beside what the tiles read.
 *
 * With a stride, stage 1 and 2 going back try every tap and drop those that meet no output. Expected on a GPU, not
 * measured: bound by memory up to about 4 channels a group, by reads from shared memory and the first-level cache beyond. */
#include "conv2d_spatial_tile.cuh"
#include "issue_estimate.cuh"
#include "splits.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int MOST_SUMS = 8; /* of a thread, going back by weights */

static_assert(SPATIAL_THREADS * MOST_SUMS >= 2 * SPATIAL_FILTER, "a sum for every weight, and for every bias");

/* Stage 2 from shared memory to the results. A thread takes four places along axis 1. */
template <bool BACKWARD>
__device__ void write_results(const spatial_plan &plan, const spatial_place &place, const float *filters,
                              const float *bias, const float *middle, float *result) {
    const int channels = place.groups * plan.result_channels, pitch = plan.group_tile * plan.result_channels;
    const int parts = static_cast<int>(ceil_div(plan.tile1, SPATIAL_BLOCKING));
    const int64_t first_channel = static_cast<int64_t>(place.first_group) * plan.result_channels;
    for (int e = static_cast<int>(threadIdx.x); e < parts * plan.tile2 * channels; e += SPATIAL_THREADS) {
        const int k = e % channels, l2 = e / channels % plan.tile2, part = e / channels / plan.tile2;
        const int64_t i2 = place.first2 + l2;
        if (i2 >= plan.extent2)
            continue;
        float sum[SPATIAL_BLOCKING];
        FV_UNROLL
        for (int j = 0; j < SPATIAL_BLOCKING; ++j)
            sum[j] = bias ? bias[first_channel + k] : 0.0f;
        for (int tap = 0; tap < plan.second.filter; ++tap) {
            const int64_t from2 = spatial_source<BACKWARD>(plan.second, i2, tap);
            if (from2 < 0)
                continue;
            const float *const weights = filters + tap * plan.middle_channels * pitch + k;
            const float *const values =
                middle + (from2 - place.start2) * plan.pitch + k / plan.result_channels * plan.middle_channels;
            for (int m = 0; m < plan.middle_channels; ++m) {
                FV_UNROLL
                for (int j = 0; j < SPATIAL_BLOCKING; ++j)
                    if (part + j * parts < plan.tile1)
                        sum[j] += values[(part + j * parts) * plan.staged2 * plan.pitch + m] * weights[m * pitch];
            }
        }
        FV_UNROLL
        for (int j = 0; j < SPATIAL_BLOCKING; ++j) {
            const int64_t i1 = place.first1 + part + j * parts;
            if (part + j * parts < plan.tile1 && i1 < plan.extent1)
                result[place.image * plan.result_image + i1 * plan.result_step1 + i2 * plan.result_step2 +
                       first_channel + k] = sum[j];
        }
    }
}

template <bool BACKWARD>
__global__ void __launch_bounds__(SPATIAL_THREADS, 3)
    spatial_fused_kernel(spatial_plan plan, const float *source, const float *filters1, const float *filters2,
                         const float *bias, float *result) {
    FV_DYNAMIC_SHARED(float, staged1);
    float *const staged2 = staged1 + plan.group_tile * plan.filters1.out * plan.filters1.taps * plan.filters1.in;
    float *const middle = staged1 + plan.middle;
    const spatial_place place =
        spatial_place_of<BACKWARD, false>(plan, blockIdx.x % plan.group_tiles, blockIdx.x / plan.group_tiles);
    spatial_stage_filters<BACKWARD>(plan.filters1, plan, place, filters1, staged1);
    spatial_stage_filters<BACKWARD>(plan.filters2, plan, place, filters2, staged2);
    __syncthreads();
    spatial_stage_middle<BACKWARD>(plan, place, source, staged1, middle);
    __syncthreads();
    write_results<BACKWARD>(plan, place, staged2, bias, middle, result);
}

/* ---- backward by weights ---- */

/* FIRST: of w, whose tiles are dz and whose other operand is x; else of w2 and b, with z and dy. */
template <bool FIRST>
struct weights_of {
    spatial_plan tile;
    int64_t splits, per_split; /* tiles of a split */
    int64_t weights, partial;  /* floats of the whole gradient, and with the bias behind it */
    int biases;                /* of a group */
    int lanes, slices;         /* threads side by side on different sums, and on different pixels of the same */
};

/* A sum of a thread: which tap, and which channels of the tile's and the other operand's pixels. */
struct weights_sum {
    int tap; /* -1: a bias, which adds up the other operand; -2: none */
    int tile_channel;
    int64_t other_channel;
};

template <bool FIRST>
__device__ weights_sum weights_sum_of(const weights_of<FIRST> &plan, const spatial_place &place, int index) {
    const spatial_filters &f = plan.tile.filters2;
    const int weights = place.groups * f.out * f.taps * f.in;
    const int64_t first_group = place.first_group;
    if (index >= weights + place.groups * plan.biases)
        return {-2, 0, 0};
    if (index >= weights)
        return {-1, 0, first_group * f.out + index - weights};
    const int in = index % f.in, tap = index / f.in % f.taps, out = index / f.in / f.taps;
    const int in_of_all = out / f.out * f.in + in;
    return FIRST ? weights_sum{tap, out, first_group * f.in + in_of_all}
                 : weights_sum{tap, in_of_all, first_group * f.out + out};
}

/* The products of one tile for the thread's sums. */
template <bool FIRST>
__device__ void add_tile(const weights_of<FIRST> &plan, const spatial_place &place, const float *middle,
                         const float *other, const weights_sum (&at)[MOST_SUMS], float (&sum)[MOST_SUMS]) {
    const spatial_plan &tile = plan.tile;
    const float *const image = other + place.image * tile.result_image;
    for (int l = static_cast<int>(threadIdx.x) / plan.lanes; l < tile.tile1 * tile.tile2; l += plan.slices) {
        const int l1 = l / tile.tile2, l2 = l % tile.tile2;
        const int64_t i1 = place.first1 + l1, i2 = place.first2 + l2;
        if (i1 >= tile.extent1 || i2 >= tile.extent2)
            continue;
        FV_UNROLL
        for (int j = 0; j < MOST_SUMS; ++j) {
            if (at[j].tap == -2)
                continue;
            const int64_t moved = at[j].tap >= 0 ? spatial_source<false>(tile.second, i2, at[j].tap) : 0;
            if (moved < 0)
                continue;
            const float *const pixel =
                image + i1 * tile.result_step1 + (FIRST ? moved : i2) * tile.result_step2 + at[j].other_channel;
            const int64_t column = FIRST ? l2 : moved - place.start2;
            const float value =
                at[j].tap >= 0 ? middle[(l1 * tile.staged2 + column) * tile.pitch + at[j].tile_channel] : 1.0f;
            sum[j] += value * *pixel;
        }
    }
}

template <bool FIRST>
__global__ void __launch_bounds__(SPATIAL_THREADS, 2)
    spatial_weights_kernel(weights_of<FIRST> plan, const float *source, const float *filters, const float *other,
                           float *dw, float *db, int64_t stride) {
    FV_DYNAMIC_SHARED(float, staged);
    float *const middle = staged + plan.tile.middle;
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t group_tile = blockIdx.x % plan.tile.group_tiles, split = blockIdx.x / plan.tile.group_tiles;
    const spatial_place whole = spatial_place_of<FIRST, FIRST>(plan.tile, group_tile, 0);
    spatial_stage_filters<FIRST>(plan.tile.filters1, plan.tile, whole, filters, staged);

    weights_sum at[MOST_SUMS];
    float sum[MOST_SUMS] = {};
    FV_UNROLL
    for (int j = 0; j < MOST_SUMS; ++j)
        at[j] = weights_sum_of<FIRST>(plan, whole, thread % plan.lanes + j * plan.lanes);
    const int64_t first = split * plan.per_split;
    const int64_t end = first + plan.per_split < plan.tile.tiles ? first + plan.per_split : plan.tile.tiles;
    for (int64_t tile = first; tile < end; ++tile) {
        const spatial_place place = spatial_place_of<FIRST, FIRST>(plan.tile, group_tile, tile);
        __syncthreads();
        spatial_stage_middle<FIRST>(plan.tile, place, source, staged, middle);
        __syncthreads();
        add_tile<FIRST>(plan, place, middle, other, at, sum);
    }

    __syncthreads(); /* from here on the shared memory holds sums[slice][index] */
    const int indices = MOST_SUMS * plan.lanes;
    FV_UNROLL
    for (int j = 0; j < MOST_SUMS; ++j)
        staged[thread / plan.lanes * indices + j * plan.lanes + thread % plan.lanes] = sum[j];
    __syncthreads();
    const spatial_filters &f = plan.tile.filters2;
    const int of_group = f.out * f.taps * f.in, weights = whole.groups * of_group;
    for (int index = thread; index < weights + whole.groups * plan.biases; index += SPATIAL_THREADS) {
        float total = 0;
        for (int slice = 0; slice < plan.slices; ++slice)
            total += staged[slice * indices + index];
        const int64_t group = whole.first_group;
        if (index < weights)
            dw[split * stride + group * of_group + index] = total;
        else
            db[split * stride + group * f.out + index - weights] = total;
    }
}

/* ---- launchers ---- */

template <bool FIRST>
const char *weights_plan_for(const fv_operation *op, weights_of<FIRST> &plan) {
    const fv_spatial &d = op->spatial;
    const char *const refusal = spatial_plan_of(op, FIRST, FIRST, plan.tile);
    if (refusal)
        return refusal;
    const spatial_filters &f = plan.tile.filters2;
    const sum_splits splits = splits_of(plan.tile.tiles, plan.tile.group_tiles, plan.tile.tiles);
    plan.splits = splits.count;
    plan.per_split = splits.per_split;
    plan.biases = !FIRST && d.bias ? f.out : 0;
    plan.weights = d.groups * f.out * f.taps * f.in;
    plan.partial = plan.weights + d.groups * plan.biases;
    const int sums = plan.tile.group_tile * (f.out * f.taps * f.in + plan.biases);
    plan.lanes = 1;
    while (plan.lanes < sums && plan.lanes < SPATIAL_THREADS)
        plan.lanes *= 2;
    plan.slices = SPATIAL_THREADS / plan.lanes;
    return NULL;
}

template <bool BACKWARD>
const char *supports_fused(const fv_operation *op) {
    spatial_plan plan;
    return spatial_plan_of(op, BACKWARD, false, plan);
}

const char *supports_weights(const fv_operation *op) {
    weights_of<true> first;
    weights_of<false> second;
    const char *const refusal = weights_plan_for(op, first);
    return refusal ? refusal : weights_plan_for(op, second);
}

template <bool BACKWARD>
fv_status launch_fused(fv_context *context, const fv_operation *op, const float *source, const float *filters1,
                       const float *filters2, const float *bias, float *result) {
    spatial_plan plan;
    const char *const refusal = spatial_plan_of(op, BACKWARD, false, plan);
    if (refusal)
        return fv_fail(FV_UNSUPPORTED, "conv2d_spatial: %s", refusal);
    if (plan.tiles == 0)
        return FV_OK;
    return FV_LAUNCH(context, (spatial_fused_kernel<BACKWARD>),
                     dim3(static_cast<unsigned>(plan.tiles * plan.group_tiles)), SPATIAL_THREADS,
                     static_cast<size_t>(plan.shared_bytes), plan, source, filters1, filters2, bias, result);
}

fv_status spatial_forward(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return launch_fused<false>(context, op, input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_W2),
                               input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status spatial_backward_data(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return launch_fused<true>(context, op, input(buffers, FV_DY), input(buffers, FV_W2), input(buffers, FV_W), nullptr,
                              output(buffers, FV_DX));
}

template <bool FIRST>
size_t weights_workspace(const fv_operation *op) {
    weights_of<FIRST> plan;
    return weights_plan_for(op, plan) ? 0 : splits_workspace(plan.splits, plan.partial);
}

size_t workspace_weights(const fv_operation *op, const void *) {
    const size_t first = weights_workspace<true>(op), second = weights_workspace<false>(op);
    return first > second ? first : second;
}

template <bool FIRST>
fv_status launch_weights(fv_context *context, const fv_operation *op, const float *source, const float *filters,
                         const float *other, float *result, const fv_buffers *buffers) {
    weights_of<FIRST> plan;
    const char *const refusal = weights_plan_for(op, plan);
    if (refusal)
        return fv_fail(FV_UNSUPPORTED, "conv2d_spatial: %s", refusal);
    const int64_t sums = SPATIAL_THREADS * MOST_SUMS * static_cast<int64_t>(sizeof(float));
    const size_t shared = static_cast<size_t>(plan.tile.shared_bytes > sums ? plan.tile.shared_bytes : sums);
    const dim3 grid(static_cast<unsigned>(plan.splits * plan.tile.group_tiles));
    return gradients_in_splits(context, plan.weights, plan.partial - plan.weights, plan.splits, buffers, result,
                               [&](float *dw, float *db) {
                                   return FV_LAUNCH(context, (spatial_weights_kernel<FIRST>), grid, SPATIAL_THREADS,
                                                    shared, plan, source, filters, other, dw, db, plan.partial);
                               });
}

fv_status spatial_backward_weights(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    FV_TRY(launch_weights<false>(context, op, input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_DY),
                                 output(buffers, FV_DW2), buffers));
    return launch_weights<true>(context, op, input(buffers, FV_DY), input(buffers, FV_W2), input(buffers, FV_X),
                                output(buffers, FV_DW), buffers);
}

/* ---- estimates: instructions of a warp ---- */

/* `parts` times four places, each with so many taps of `products` products, of which one takes `per_product` for all
 * four. Going back, two divisions tell what a tap meets. */
double places_instructions(double parts, double taps, double products, double per_product, bool backward) {
    constexpr double PER_PART = 60, PER_TAP = 15;
    return parts / WARP * (PER_PART + taps * (PER_TAP + (backward ? 2 * DIVISION : 0) + products * per_product));
}

/* Stage 1 reads the source from the first-level cache, and checks each place. */
double middle_instructions(const spatial_plan &plan, bool backward) {
    const double parts = static_cast<double>(plan.tile1) * ceil(plan.staged2 / static_cast<double>(SPATIAL_BLOCKING));
    return places_instructions(parts * plan.pitch, plan.first.filter, plan.source_channels, 20, backward);
}

template <bool BACKWARD>
double estimate_fused(const fv_operation *op, const fv_chip *chip) {
    spatial_plan plan;
    if (spatial_plan_of(op, BACKWARD, false, plan))
        return NAN;
    const double parts = ceil(plan.tile1 / static_cast<double>(SPATIAL_BLOCKING)) * plan.tile2;
    const double results = places_instructions(parts * plan.group_tile * plan.result_channels, plan.second.filter,
                                               plan.middle_channels, 16, BACKWARD);
    const double blocks = static_cast<double>(plan.tiles * plan.group_tiles);
    return expected_issue(*chip, {.instructions = blocks * (middle_instructions(plan, BACKWARD) + results),
                                  .blocks = blocks,
                                  .threads = SPATIAL_THREADS,
                                  .shared_bytes = static_cast<double>(plan.shared_bytes),
                                  .bytes = bytes_of(op, BACKWARD ? FV_BACKWARD_DATA : FV_FORWARD),
                                  .cache_bytes = 0});
}

/* A thread takes up to eight products at each of its pixels, and works out for each of them where it lies. */
template <bool FIRST>
double expect_weights(const fv_operation *op, const fv_chip *chip) {
    constexpr double PER_PIXEL = 30, PER_PRODUCT = 30;
    weights_of<FIRST> plan;
    if (weights_plan_for(op, plan))
        return NAN;
    const spatial_plan &tile = plan.tile;
    const double sums = tile.group_tile * (static_cast<double>(plan.weights / tile.groups) + plan.biases);
    const double of_thread = fmin(MOST_SUMS, ceil(sums / plan.lanes));
    const double pixels = ceil(static_cast<double>(tile.tile1) * tile.tile2 / plan.slices);
    const double adding = SPATIAL_THREADS / WARP * pixels * (PER_PIXEL + of_thread * PER_PRODUCT);
    issued_work work = {.instructions = static_cast<double>(tile.tiles * tile.group_tiles) *
                                        (middle_instructions(tile, FIRST) + adding),
                        .blocks = static_cast<double>(plan.splits * tile.group_tiles),
                        .threads = SPATIAL_THREADS,
                        .shared_bytes = static_cast<double>(tile.shared_bytes),
                        .bytes = bytes_of(op, FV_BACKWARD_WEIGHTS),
                        .cache_bytes = 0};
    add_splits(work, static_cast<double>(plan.splits), static_cast<double>(plan.partial));
    return expected_issue(*chip, work);
}

double estimate_weights(const fv_operation *op, const fv_chip *chip) {
    return expect_weights<false>(op, chip) + expect_weights<true>(op, chip);
}

} // namespace

const fv_kernel conv2d_spatial_kernels[] = {
    FV_KERNEL_F32(FV_SPATIAL, FV_FORWARD, "fused", .supports = supports_fused<false>, .estimate = estimate_fused<false>,
                  .run = spatial_forward),
    FV_KERNEL_F32(FV_SPATIAL, FV_BACKWARD_DATA, "fused", .supports = supports_fused<true>,
                  .estimate = estimate_fused<true>, .run = spatial_backward_data),
    FV_KERNEL_F32(FV_SPATIAL, FV_BACKWARD_WEIGHTS, "fused", .supports = supports_weights,
                  .workspace = workspace_weights,
                  .workspace_rule = "splits*(the larger of w and w2 with its bias)*4 bytes, 0 where it need not split",
                  .estimate = estimate_weights, .run = spatial_backward_weights),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
