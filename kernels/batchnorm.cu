/* batchnorm, per channel over the N = n*h*w pixels, with X = (x - mean) * rstd and rstd = 1 / sqrt(variance + epsilon):
 *
 *     forward          y = w * X + b
 *     backward_data    db = sum dy, dw = sum dy * X, dx = w * rstd * (dy - (db + X * dw) / N)
 *
 * where mean and variance are the batch's (training) or the running ones (inference: dx = w * rstd * dy). With relu=1, y
 * is max(y, 0) in the end, and backward dy counts where y > 0. x, y, dx and dy are [n,h,w,c], the others [c].
 *
 * Method. The pixels are cut into slices. A block takes one slice of some neighbouring channels, a thread one channel, or
 * four in 16 bytes where they are a multiple of four, of every so many-th pixel: four pixels are read at once, and what
 * is wanted of them is computed in registers. For the statistics that is their mean and then the squared deviations from
 * it, so that nothing cancels where the mean is large. What is known of two parts of the pixels makes up what is known of
 * both (Chan, Golub and LeVeque 1983): with n and n' pixels, d = mean' - mean,
 *
 *     mean + d * n' / (n + n')     and     squares + squares' + d^2 * n * n' / (n + n');
 *
 * so a thread goes on from four pixels to the next four, threads of a channel meet in shared memory, a second kernel
 * brings the slices together, and the third applies the statistics. Backward the same with sums of dy and
 * dy * (x - mean). The slices depend on the descriptor alone and every sum has a fixed order: deterministic. Any size of
 * fewer than 2^31 blocks.
 *
 * Variants
 *     slices        as above.
 *     elementwise   (forward, inference) the third kernel alone.
 *
 * To expect. Some six operations per element, so that memory is the limit: forward moves 12 bytes per element, or 8 where
 * x stays in the L2 cache (the third kernel begins with the slices that were read last); backward 20, and 28 with a
 * ReLU, as y tells where it was; inference 8. A warp reads 512 bytes in a row from 128 channels on, and four times that
 * at once: 16 KiB a block and tensor, with five blocks a multiprocessor far more than the 40 KiB in flight that 4.8 TB/s
 * take; 9 KiB of shared memory, its rows of an odd number of words: no bank is met twice. Above 90 % of a copy's
 * bandwidth for these bytes on an H200 where there are 50 MB and more; below, the two launches more (some 5 us) and the
 * second kernel (2 us for its 1024 slices) show. */
#include "batchnorm_slices.cuh"
#include "estimate.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int COMBINED_LANES = 8; /* channels of a block that brings slices together */

template <int LANES>
__global__ void __launch_bounds__(SLICE_THREADS, SLICE_RESIDENT)
    batchnorm_slice_moments_kernel(batchnorm_plan plan, const float *x, float *means, float *squares) {
    const slice_place at = slice_place_of(plan);
    moments<LANES> known = {};
    for_each_turn(at, [&](int64_t pixel) {
        lanes<LANES> held[SLICE_HELD];
        hold<LANES>(plan, at, pixel, x, held);
        const int64_t left = ceil_div(at.end - pixel, at.step);
        moments<LANES> more = {};
        more.count = left < SLICE_HELD ? static_cast<float>(left) : static_cast<float>(SLICE_HELD);
        FV_UNROLL
        for (int j = 0; j < LANES; ++j) {
            float sum = 0;
            FV_UNROLL
            for (int i = 0; i < SLICE_HELD; ++i)
                sum += held[i].at[j];
            more.mean[j] = sum / more.count;
            FV_UNROLL
            for (int i = 0; i < SLICE_HELD; ++i) {
                const float deviation = i < left ? held[i].at[j] - more.mean[j] : 0.0f;
                more.squares[j] += deviation * deviation;
            }
        }
        known.add(more);
    });
    meet(known, plan.width);
    store_results(plan, at, known.mean, known.squares, means, squares);
}

/* dy and y: see hold_gradient. */
template <int LANES>
__global__ void __launch_bounds__(SLICE_THREADS, SLICE_RESIDENT - 1)
    batchnorm_slice_gradients_kernel(batchnorm_plan plan, const float *x, const float *dy, const float *y,
                                     const float *mean, float *plain, float *weighted) {
    const slice_place at = slice_place_of(plan);
    const lanes<LANES> centre = at.inside ? load_lanes<LANES>(mean, at.group) : lanes<LANES>{};
    gradient_sums<LANES> sums = {};
    for_each_turn(at, [&](int64_t pixel) {
        lanes<LANES> value[SLICE_HELD], gradient[SLICE_HELD];
        hold<LANES>(plan, at, pixel, x, value);
        hold_gradient<LANES>(plan, at, pixel, dy, y, gradient);
        FV_UNROLL
        for (int i = 0; i < SLICE_HELD; ++i) {
            FV_UNROLL
            for (int j = 0; j < LANES; ++j) {
                sums.plain[j] += gradient[i].at[j];
                sums.weighted[j] += gradient[i].at[j] * (value[i].at[j] - centre.at[j]);
            }
        }
    });
    meet(sums, plan.width);
    store_results(plan, at, sums.plain, sums.weighted, plain, weighted);
}

/* ---- the second kernel: a block for COMBINED_LANES channels, whose threads share the slices ---- */

__device__ inline float rstd_of(float variance, float epsilon) {
    return 1.0f / sqrtf(variance + epsilon);
}

/* What becomes of the batch's statistics: [c] each. */
struct batchnorm_statistics {
    float *saved_mean, *saved_rstd, *running_mean, *running_variance;
    float momentum, rest; /* rest = 1 - momentum, subtracted in double */
};

struct combined_place {
    int64_t channel;
    int row, rows; /* the thread's first slice, and from one to the next */
    bool inside;
};

__device__ inline combined_place combined_place_of(const batchnorm_plan &plan) {
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * COMBINED_LANES + thread % COMBINED_LANES;
    return {.channel = channel,
            .row = thread / COMBINED_LANES,
            .rows = SLICE_THREADS / COMBINED_LANES,
            .inside = channel < plan.channels};
}

static __global__ void __launch_bounds__(SLICE_THREADS)
    batchnorm_combine_moments_kernel(batchnorm_plan plan, const float *means, const float *squares,
                                     batchnorm_statistics s) {
    const combined_place at = combined_place_of(plan);
    moments<1> known = {};
    for (int64_t slice = at.row; at.inside && slice < plan.slices; slice += at.rows) {
        const int64_t i = slice * plan.channels + at.channel;
        known.add({.count = slice_pixels(plan, slice), .mean = {means[i]}, .squares = {squares[i]}});
    }
    meet(known, COMBINED_LANES);
    if (!at.inside || at.row > 0)
        return;
    const float pixels = static_cast<float>(plan.pixels), mean = known.mean[0], square = known.squares[0];
    const float variance = square / pixels, unbiased = plan.pixels > 1 ? square / (pixels - 1) : variance;
    s.saved_mean[at.channel] = mean;
    s.saved_rstd[at.channel] = rstd_of(variance, plan.epsilon);
    s.running_mean[at.channel] = s.rest * s.running_mean[at.channel] + s.momentum * mean;
    s.running_variance[at.channel] = s.rest * s.running_variance[at.channel] + s.momentum * unbiased;
}

/* `spread` is the running variance where TRAINING is not, else rstd; here and below. */
template <bool TRAINING>
__device__ inline float scale_of(float spread, float epsilon) {
    return TRAINING ? spread : rstd_of(spread, epsilon);
}

template <bool TRAINING>
__global__ void __launch_bounds__(SLICE_THREADS)
    batchnorm_combine_gradients_kernel(batchnorm_plan plan, const float *plain, const float *weighted,
                                       const float *spread, float *dw, float *db) {
    const combined_place at = combined_place_of(plan);
    gradient_sums<1> sums = {};
    for (int64_t slice = at.row; at.inside && slice < plan.slices; slice += at.rows) {
        const int64_t i = slice * plan.channels + at.channel;
        sums.plain[0] += plain[i];
        sums.weighted[0] += weighted[i];
    }
    meet(sums, COMBINED_LANES);
    if (!at.inside || at.row > 0)
        return;
    db[at.channel] = sums.plain[0];
    dw[at.channel] = sums.weighted[0] * scale_of<TRAINING>(spread[at.channel], plan.epsilon);
}

/* ---- the third kernel ---- */

template <bool TRAINING, int LANES>
__global__ void __launch_bounds__(SLICE_THREADS, SLICE_RESIDENT)
    batchnorm_forward_apply_kernel(batchnorm_plan plan, const float *x, const float *w, const float *b,
                                   const float *mean, const float *spread, float *y) {
    const slice_place at = slice_place_of<TRAINING>(plan);
    if (!at.inside)
        return;
    const lanes<LANES> centre = load_lanes<LANES>(mean, at.group), shift = load_lanes<LANES>(b, at.group);
    const lanes<LANES> spreads = load_lanes<LANES>(spread, at.group), weights = load_lanes<LANES>(w, at.group);
    float scale[LANES];
    FV_UNROLL
    for (int j = 0; j < LANES; ++j)
        scale[j] = scale_of<TRAINING>(spreads.at[j], plan.epsilon) * weights.at[j];
    for_each_turn(at, [&](int64_t pixel) {
        lanes<LANES> held[SLICE_HELD];
        hold<LANES>(plan, at, pixel, x, held);
        FV_UNROLL
        for (int i = 0; i < SLICE_HELD; ++i) {
            FV_UNROLL
            for (int j = 0; j < LANES; ++j)
                held[i].at[j] = rectified((held[i].at[j] - centre.at[j]) * scale[j] + shift.at[j], plan.relu);
        }
        put<LANES>(plan, at, pixel, y, held);
    });
}

/* dy and y: see hold_gradient. */
template <bool TRAINING, int LANES>
__global__ void __launch_bounds__(SLICE_THREADS, SLICE_RESIDENT - 1)
    batchnorm_backward_apply_kernel(batchnorm_plan plan, const float *x, const float *dy, const float *y,
                                    const float *w, const float *mean, const float *spread, const float *dw,
                                    const float *db, float *dx) {
    const slice_place at = slice_place_of<true>(plan);
    if (!at.inside)
        return;
    const float share = 1.0f / static_cast<float>(plan.pixels);
    const lanes<LANES> centre = load_lanes<LANES>(mean, at.group), weights = load_lanes<LANES>(w, at.group);
    const lanes<LANES> spreads = load_lanes<LANES>(spread, at.group);
    const lanes<LANES> sum = load_lanes<LANES>(db, at.group), product = load_lanes<LANES>(dw, at.group);
    float rstd[LANES];
    FV_UNROLL
    for (int j = 0; j < LANES; ++j)
        rstd[j] = scale_of<TRAINING>(spreads.at[j], plan.epsilon);
    for_each_turn(at, [&](int64_t pixel) {
        lanes<LANES> value[SLICE_HELD] = {}, gradient[SLICE_HELD];
        if (TRAINING)
            hold<LANES>(plan, at, pixel, x, value);
        hold_gradient<LANES>(plan, at, pixel, dy, y, gradient);
        FV_UNROLL
        for (int i = 0; i < SLICE_HELD; ++i) {
            FV_UNROLL
            for (int j = 0; j < LANES; ++j) {
                const float normal = (value[i].at[j] - centre.at[j]) * rstd[j];
                const float through = TRAINING ? (sum.at[j] + normal * product.at[j]) * share : 0.0f;
                gradient[i].at[j] = weights.at[j] * rstd[j] * (gradient[i].at[j] - through);
            }
        }
        put<LANES>(plan, at, pixel, dx, gradient);
    });
}

/* ---- launchers ---- */

dim3 slice_grid(const batchnorm_plan &plan) {
    return dim3(static_cast<unsigned>(plan.slices * plan.tiles));
}

dim3 combined_grid(const batchnorm_plan &plan) {
    return dim3(static_cast<unsigned>(ceil_div(plan.channels, COMBINED_LANES)));
}

/* The two results of every slice. */
float *first_results(const fv_buffers *buffers) {
    return static_cast<float *>(buffers->workspace);
}

float *second_results(const batchnorm_plan &plan, const fv_buffers *buffers) {
    return first_results(buffers) + plan.slices * plan.channels;
}

/* For either way of access: the pointers are not known yet. */
size_t workspace(const fv_operation *op, const void *) {
    const int64_t narrow = sums_plan_of(op->batchnorm, 1).slices, wide = sums_plan_of(op->batchnorm, WIDE_LANES).slices;
    return static_cast<size_t>(2 * (narrow > wide ? narrow : wide) * op->batchnorm.c) * sizeof(float);
}

template <bool TRAINING, int LANES>
fv_status apply_forward(fv_context *context, const fv_batchnorm &d, const fv_buffers *buffers) {
    const batchnorm_plan plan = apply_plan_of(d, LANES);
    return FV_LAUNCH(context, (batchnorm_forward_apply_kernel<TRAINING, LANES>), slice_grid(plan), SLICE_THREADS, 0,
                     plan, input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_B),
                     input(buffers, TRAINING ? FV_SAVED_MEAN : FV_MEAN),
                     input(buffers, TRAINING ? FV_SAVED_RSTD : FV_VARIANCE), output(buffers, FV_Y));
}

fv_status batchnorm_forward_elementwise(fv_context *context, const fv_operation *op, void *,
                                        const fv_buffers *buffers) {
    const fv_batchnorm &d = op->batchnorm;
    if (d.n == 0)
        return FV_OK;
    return takes_wide_lanes(d.c, buffers) ? apply_forward<false, WIDE_LANES>(context, d, buffers)
                                          : apply_forward<false, 1>(context, d, buffers);
}

template <int LANES>
fv_status run_forward(fv_context *context, const fv_batchnorm &d, const fv_buffers *buffers) {
    const batchnorm_plan plan = sums_plan_of(d, LANES);
    float *means = first_results(buffers), *squares = second_results(plan, buffers);
    const batchnorm_statistics statistics = {.saved_mean = output(buffers, FV_SAVED_MEAN),
                                             .saved_rstd = output(buffers, FV_SAVED_RSTD),
                                             .running_mean = output(buffers, FV_MEAN),
                                             .running_variance = output(buffers, FV_VARIANCE),
                                             .momentum = static_cast<float>(d.momentum),
                                             .rest = static_cast<float>(1 - d.momentum)};
    FV_TRY(FV_LAUNCH(context, batchnorm_slice_moments_kernel<LANES>, slice_grid(plan), SLICE_THREADS, 0, plan,
                     input(buffers, FV_X), means, squares));
    FV_TRY(FV_LAUNCH(context, batchnorm_combine_moments_kernel, combined_grid(plan), SLICE_THREADS, 0, plan, means,
                     squares, statistics));
    return apply_forward<true, LANES>(context, d, buffers);
}

fv_status batchnorm_forward_slices(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_batchnorm &d = op->batchnorm;
    return takes_wide_lanes(d.c, buffers) ? run_forward<WIDE_LANES>(context, d, buffers)
                                          : run_forward<1>(context, d, buffers);
}

template <bool TRAINING, int LANES>
fv_status run_backward(fv_context *context, const fv_batchnorm &d, const fv_buffers *buffers) {
    const batchnorm_plan plan = sums_plan_of(d, LANES);
    float *plain = first_results(buffers), *weighted = second_results(plan, buffers);
    const float *const mean = input(buffers, TRAINING ? FV_SAVED_MEAN : FV_MEAN);
    const float *const spread = input(buffers, TRAINING ? FV_SAVED_RSTD : FV_VARIANCE);
    if (plan.slices > 0)
        FV_TRY(FV_LAUNCH(context, batchnorm_slice_gradients_kernel<LANES>, slice_grid(plan), SLICE_THREADS, 0, plan,
                         input(buffers, FV_X), input(buffers, FV_DY), input(buffers, FV_Y), mean, plain, weighted));
    FV_TRY(FV_LAUNCH(context, batchnorm_combine_gradients_kernel<TRAINING>, combined_grid(plan), SLICE_THREADS, 0, plan,
                     plain, weighted, spread, output(buffers, FV_DW), output(buffers, FV_DB)));
    if (plan.slices == 0)
        return FV_OK;
    const batchnorm_plan apply = apply_plan_of(d, LANES);
    return FV_LAUNCH(context, (batchnorm_backward_apply_kernel<TRAINING, LANES>), slice_grid(apply), SLICE_THREADS, 0,
                     apply, input(buffers, FV_X), input(buffers, FV_DY), input(buffers, FV_Y), input(buffers, FV_W),
                     mean, spread, input(buffers, FV_DW), input(buffers, FV_DB), output(buffers, FV_DX));
}

fv_status batchnorm_backward_data_slices(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const fv_batchnorm &d = op->batchnorm;
    if (takes_wide_lanes(d.c, buffers))
        return d.training ? run_backward<true, WIDE_LANES>(context, d, buffers)
                          : run_backward<false, WIDE_LANES>(context, d, buffers);
    return d.training ? run_backward<true, 1>(context, d, buffers) : run_backward<false, 1>(context, d, buffers);
}

/* ---- rows ---- */

const char *supports_slices(const fv_operation *op) {
    return ceil_div(op->batchnorm.c, COMBINED_LANES) > MAX_BLOCKS ? "it would take more than 2^31-1 blocks" : NULL;
}

const char *supports_forward_slices(const fv_operation *op) {
    return op->batchnorm.training ? supports_slices(op) : "there are no statistics to take in inference";
}

const char *supports_elementwise(const fv_operation *op) {
    return op->batchnorm.training ? "training takes the batch's statistics first" : supports_slices(op);
}

/* So many tensors of the image's size travel, and so many of these a second time, from the cache if they fit in it. */
double moving(const fv_operation *op, const fv_chip *chip, int tensors, int again, int launches) {
    const fv_batchnorm &d = op->batchnorm;
    const batchnorm_plan plan = apply_plan_of(d, d.c % WIDE_LANES ? 1 : WIDE_LANES);
    const double bytes = static_cast<double>(plan.pixels) * static_cast<double>(d.c) * sizeof(float);
    const bool cached = bytes * again <= chip->cache;
    return expected_seconds(*chip, {.flop = 0,
                                    .rate = 1,
                                    .bytes = bytes * (cached ? tensors : tensors + again),
                                    .cache_bytes = bytes * (tensors + again),
                                    .blocks = static_cast<double>(plan.slices) * static_cast<double>(plan.tiles),
                                    .resident = SLICE_RESIDENT,
                                    .launches = launches});
}

double estimate_forward_slices(const fv_operation *op, const fv_chip *chip) {
    return moving(op, chip, 2, 1, 3);
}

double estimate_elementwise(const fv_operation *op, const fv_chip *chip) {
    return moving(op, chip, 2, 0, 1);
}

double estimate_backward(const fv_operation *op, const fv_chip *chip) {
    const int gradients = op->batchnorm.relu ? 2 : 1; /* dy, and y */
    return moving(op, chip, 2 + gradients, gradients + (op->batchnorm.training ? 1 : 0), 3);
}

constexpr const char *WORKSPACE_RULE = "two sums per slice of pixels and channel";

} // namespace

const fv_kernel batchnorm_kernels[] = {
    FV_KERNEL_F32(FV_BATCHNORM, FV_FORWARD, "slices", .fuses_relu = true, .supports = supports_forward_slices,
                  .workspace = workspace, .workspace_rule = WORKSPACE_RULE, .estimate = estimate_forward_slices,
                  .run = batchnorm_forward_slices),
    FV_KERNEL_F32(FV_BATCHNORM, FV_FORWARD, "elementwise", .fuses_relu = true, .supports = supports_elementwise,
                  .estimate = estimate_elementwise, .run = batchnorm_forward_elementwise),
    FV_KERNEL_F32(FV_BATCHNORM, FV_BACKWARD_DATA, "slices", .fuses_relu = true, .supports = supports_slices,
                  .workspace = workspace, .workspace_rule = WORKSPACE_RULE, .estimate = estimate_backward,
                  .run = batchnorm_backward_data_slices),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
