/* batchnorm, per channel over the N = n*h*w pixels, with X = (x - mean) * rstd and rstd = 1 / sqrt(variance + epsilon):
 *
 *     forward          y = w * X + b
 *     backward_data    db = sum dy, dw = sum dy * X, dx = w * rstd * (dy - (db + X * dw) / N)
 *
 * where mean and variance are the batch's (training) or the running ones (inference: dx = w * rstd * dy). x, y, dx and
 * dy are [n,h,w,c], the others [c].
 *
 * Method. The pixels are cut into slices. A block takes one slice of a few neighbouring channels: neighbouring threads
 * read neighbouring channels, each thread adds up every so many-th pixel of its channel, and the sums meet in shared
 * memory. For the statistics it goes over its slice twice, first for the slice's mean, then for the squared deviations
 * from that, so that nothing cancels where the mean is large; of 100 thousand pixels of 64 channels a slice is 25 KiB,
 * so the second reading should come from L1 or L2. A second kernel combines the slices (Chan, Golub and LeVeque 1983):
 *
 *     mean = sum_i n_i * mean_i / N,     N * variance = sum_i squares_i + n_i * (mean_i - mean)^2
 *
 * and the third applies them, one thread per element, in 32-bit indices where they fit. Backward the same with the sums
 * of dy and dy * (x - mean). The slices depend on the descriptor alone and every sum has a fixed order: deterministic.
 * Any size of fewer than 2^31 blocks.
 *
 * Variants
 *     slices        as above. Expected to be bound by memory: x is read from it twice and y written, or x and dy twice.
 *     elementwise   (forward, inference) the third kernel alone. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int THREADS = 256;

struct batchnorm_plan {
    int64_t channels, pixels, per_slice, slices;
    int64_t tiles; /* groups of `width` channels */
    int width;     /* channels of a block, a power of two up to 32; thread t has channel t % width */
    float epsilon;
};

batchnorm_plan plan_of(const fv_batchnorm &d) {
    constexpr int64_t ENOUGH_BLOCKS = 1024, LEAST_TURNS = 8; /* pixels per thread; fewer are not worth a block */
    batchnorm_plan plan = {};
    plan.channels = d.c;
    plan.pixels = d.n * d.h * d.w;
    plan.epsilon = static_cast<float>(d.epsilon);
    plan.width = 1;
    while (plan.width < WARP && plan.width < d.c)
        plan.width *= 2;
    plan.tiles = ceil_div(d.c, plan.width);
    const int64_t wanted = ceil_div(ENOUGH_BLOCKS, plan.tiles);
    const int64_t sensible = ceil_div(plan.pixels, LEAST_TURNS * (THREADS / plan.width));
    const int64_t slices = wanted < sensible ? wanted : sensible;
    plan.per_slice = slices ? ceil_div(plan.pixels, slices) : 0;
    plan.slices = slices ? ceil_div(plan.pixels, plan.per_slice) : 0;
    return plan;
}

/* What a thread of a slice's block works on. */
struct slice_place {
    int64_t slice, channel, first, end; /* pixels: the thread's first, and the slice's end */
    int step;                           /* from one pixel of the thread to the next */
};

__device__ inline slice_place slice_place_of(const batchnorm_plan &plan) {
    const int64_t slice = blockIdx.x / plan.tiles, first = slice * plan.per_slice;
    const int row = static_cast<int>(threadIdx.x) / plan.width;
    return {.slice = slice,
            .channel = blockIdx.x % plan.tiles * plan.width + static_cast<int>(threadIdx.x) % plan.width,
            .first = first + row,
            .end = first + plan.per_slice < plan.pixels ? first + plan.per_slice : plan.pixels,
            .step = THREADS / plan.width};
}

/* The sum over the block's threads of the same channel, for all of them. All threads of the block must call it. */
__device__ inline float channel_sum(float mine, int width) {
    __shared__ float sums[THREADS];
    const int thread = static_cast<int>(threadIdx.x);
    __syncthreads(); /* the sum before this one has been read */
    sums[thread] = mine;
    for (int half = THREADS / 2; half >= width; half /= 2) {
        __syncthreads();
        if (thread < half)
            sums[thread] += sums[thread + half];
    }
    __syncthreads();
    return sums[thread % width];
}

__device__ inline int64_t slice_pixels(const batchnorm_plan &plan, int64_t slice) {
    const int64_t left = plan.pixels - slice * plan.per_slice;
    return left < plan.per_slice ? left : plan.per_slice;
}

/* Each slice's mean and its squared deviations from it, [slices][channels] each. */
__global__ void __launch_bounds__(THREADS)
    batchnorm_slice_moments_kernel(batchnorm_plan plan, const float *x, float *means, float *squares) {
    const slice_place at = slice_place_of(plan);
    const bool inside = at.channel < plan.channels;
    const float count = static_cast<float>(slice_pixels(plan, at.slice));
    float sum = 0;
    for (int64_t pixel = at.first; inside && pixel < at.end; pixel += at.step)
        sum += x[pixel * plan.channels + at.channel];
    const float mean = channel_sum(sum, plan.width) / count;
    float square = 0;
    for (int64_t pixel = at.first; inside && pixel < at.end; pixel += at.step) {
        const float deviation = x[pixel * plan.channels + at.channel] - mean;
        square += deviation * deviation;
    }
    square = channel_sum(square, plan.width);
    if (inside && static_cast<int>(threadIdx.x) < plan.width) {
        means[at.slice * plan.channels + at.channel] = mean;
        squares[at.slice * plan.channels + at.channel] = square;
    }
}

/* Each slice's sums of dy and dy * (x - mean). */
__global__ void __launch_bounds__(THREADS)
    batchnorm_slice_gradients_kernel(batchnorm_plan plan, const float *x, const float *dy, const float *mean,
                                     float *plain, float *weighted) {
    const slice_place at = slice_place_of(plan);
    const bool inside = at.channel < plan.channels;
    const float centre = inside ? mean[at.channel] : 0.0f;
    float sum = 0, product = 0;
    for (int64_t pixel = at.first; inside && pixel < at.end; pixel += at.step) {
        const int64_t i = pixel * plan.channels + at.channel;
        sum += dy[i];
        product += dy[i] * (x[i] - centre);
    }
    sum = channel_sum(sum, plan.width);
    product = channel_sum(product, plan.width);
    if (inside && static_cast<int>(threadIdx.x) < plan.width) {
        plain[at.slice * plan.channels + at.channel] = sum;
        weighted[at.slice * plan.channels + at.channel] = product;
    }
}

__device__ inline float rstd_of(float variance, float epsilon) {
    return 1.0f / sqrtf(variance + epsilon);
}

/* What becomes of the batch's statistics: [c] each. */
struct batchnorm_statistics {
    float *saved_mean, *saved_rstd, *running_mean, *running_variance;
    float momentum, rest; /* rest = 1 - momentum, subtracted in double */
};

/* The thread's channel where there is one block for each group of channels, whose threads share the slices. */
__device__ inline int64_t channel_of(const batchnorm_plan &plan) {
    return static_cast<int64_t>(blockIdx.x) * plan.width + static_cast<int>(threadIdx.x) % plan.width;
}

__global__ void __launch_bounds__(THREADS)
    batchnorm_combine_moments_kernel(batchnorm_plan plan, const float *means, const float *squares,
                                     batchnorm_statistics s) {
    const int64_t channel = channel_of(plan);
    const int row = static_cast<int>(threadIdx.x) / plan.width, rows = THREADS / plan.width;
    const bool inside = channel < plan.channels;
    const float pixels = static_cast<float>(plan.pixels);
    float sum = 0;
    for (int64_t slice = row; inside && slice < plan.slices; slice += rows)
        sum += static_cast<float>(slice_pixels(plan, slice)) * means[slice * plan.channels + channel];
    const float mean = channel_sum(sum, plan.width) / pixels;
    float square = 0;
    for (int64_t slice = row; inside && slice < plan.slices; slice += rows) {
        const float deviation = means[slice * plan.channels + channel] - mean;
        square += squares[slice * plan.channels + channel] +
                  static_cast<float>(slice_pixels(plan, slice)) * (deviation * deviation);
    }
    square = channel_sum(square, plan.width);
    if (!inside || row > 0)
        return;
    const float variance = square / pixels, unbiased = plan.pixels > 1 ? square / (pixels - 1) : variance;
    s.saved_mean[channel] = mean;
    s.saved_rstd[channel] = rstd_of(variance, plan.epsilon);
    s.running_mean[channel] = s.rest * s.running_mean[channel] + s.momentum * mean;
    s.running_variance[channel] = s.rest * s.running_variance[channel] + s.momentum * unbiased;
}

/* `spread` is the running variance where TRAINING is not, else rstd; here and below. */
template <bool TRAINING>
__device__ inline float scale_of(const float *spread, int64_t channel, float epsilon) {
    return TRAINING ? spread[channel] : rstd_of(spread[channel], epsilon);
}

template <bool TRAINING>
__global__ void __launch_bounds__(THREADS)
    batchnorm_combine_gradients_kernel(batchnorm_plan plan, const float *plain, const float *weighted,
                                       const float *spread, float *dw, float *db) {
    const int64_t channel = channel_of(plan);
    const int row = static_cast<int>(threadIdx.x) / plan.width, rows = THREADS / plan.width;
    const bool inside = channel < plan.channels;
    float sum = 0, product = 0;
    for (int64_t slice = row; inside && slice < plan.slices; slice += rows) {
        sum += plain[slice * plan.channels + channel];
        product += weighted[slice * plan.channels + channel];
    }
    sum = channel_sum(sum, plan.width);
    product = channel_sum(product, plan.width);
    if (!inside || row > 0)
        return;
    db[channel] = sum;
    dw[channel] = product * scale_of<TRAINING>(spread, channel, plan.epsilon);
}

template <bool TRAINING, typename INDEX>
__global__ void batchnorm_forward_apply_kernel(batchnorm_plan plan, const float *x, const float *w, const float *b,
                                               const float *mean, const float *spread, float *y) {
    const int64_t elements = plan.pixels * plan.channels;
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX c = static_cast<INDEX>(i) % static_cast<INDEX>(plan.channels);
        y[i] = (x[i] - mean[c]) * (scale_of<TRAINING>(spread, c, plan.epsilon) * w[c]) + b[c];
    }
}

template <bool TRAINING, typename INDEX>
__global__ void batchnorm_backward_apply_kernel(batchnorm_plan plan, const float *x, const float *dy, const float *w,
                                                const float *mean, const float *spread, const float *dw,
                                                const float *db, float *dx) {
    const int64_t elements = plan.pixels * plan.channels;
    const float share = 1.0f / static_cast<float>(plan.pixels);
    for (int64_t i = thread_index(); i < elements; i += thread_count()) {
        const INDEX c = static_cast<INDEX>(i) % static_cast<INDEX>(plan.channels);
        const float rstd = scale_of<TRAINING>(spread, c, plan.epsilon);
        const float through = TRAINING ? (db[c] + (x[i] - mean[c]) * rstd * dw[c]) * share : 0.0f;
        dx[i] = w[c] * rstd * (dy[i] - through);
    }
}

template <bool TRAINING, typename INDEX>
fv_status launch_forward(fv_context *context, const batchnorm_plan &plan, const fv_buffers *buffers) {
    return FV_LAUNCH(context, (batchnorm_forward_apply_kernel<TRAINING, INDEX>),
                     elementwise_grid(plan.pixels * plan.channels), ELEMENTWISE_THREADS, 0, plan, input(buffers, FV_X),
                     input(buffers, FV_W), input(buffers, FV_B), input(buffers, TRAINING ? FV_SAVED_MEAN : FV_MEAN),
                     input(buffers, TRAINING ? FV_SAVED_RSTD : FV_VARIANCE), output(buffers, FV_Y));
}

template <bool TRAINING>
fv_status apply_forward(fv_context *context, const batchnorm_plan &plan, const fv_buffers *buffers) {
    return plan.pixels * plan.channels <= INT32_MAX ? launch_forward<TRAINING, int32_t>(context, plan, buffers)
                                                    : launch_forward<TRAINING, int64_t>(context, plan, buffers);
}

fv_status batchnorm_forward_elementwise(fv_context *context, const fv_operation *op, void *,
                                        const fv_buffers *buffers) {
    return op->batchnorm.n == 0 ? FV_OK : apply_forward<false>(context, plan_of(op->batchnorm), buffers);
}

dim3 slice_grid(const batchnorm_plan &plan) {
    return dim3(static_cast<unsigned>(plan.slices * plan.tiles));
}

dim3 tile_grid(const batchnorm_plan &plan) {
    return dim3(static_cast<unsigned>(plan.tiles));
}

/* The two results of every slice, [slices][channels] each. */
float *first_results(const fv_buffers *buffers) {
    return static_cast<float *>(buffers->workspace);
}

float *second_results(const batchnorm_plan &plan, const fv_buffers *buffers) {
    return first_results(buffers) + plan.slices * plan.channels;
}

size_t workspace(const fv_operation *op, const void *) {
    const batchnorm_plan plan = plan_of(op->batchnorm);
    return static_cast<size_t>(2 * plan.slices * plan.channels) * sizeof(float);
}

fv_status batchnorm_forward_slices(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_batchnorm &d = op->batchnorm;
    const batchnorm_plan plan = plan_of(d);
    float *means = first_results(buffers), *squares = second_results(plan, buffers);
    const batchnorm_statistics statistics = {.saved_mean = output(buffers, FV_SAVED_MEAN),
                                             .saved_rstd = output(buffers, FV_SAVED_RSTD),
                                             .running_mean = output(buffers, FV_MEAN),
                                             .running_variance = output(buffers, FV_VARIANCE),
                                             .momentum = static_cast<float>(d.momentum),
                                             .rest = static_cast<float>(1 - d.momentum)};
    FV_TRY(FV_LAUNCH(context, batchnorm_slice_moments_kernel, slice_grid(plan), THREADS, 0, plan, input(buffers, FV_X),
                     means, squares));
    FV_TRY(FV_LAUNCH(context, batchnorm_combine_moments_kernel, tile_grid(plan), THREADS, 0, plan, means, squares,
                     statistics));
    return apply_forward<true>(context, plan, buffers);
}

template <bool TRAINING, typename INDEX>
fv_status launch_backward(fv_context *context, const batchnorm_plan &plan, const fv_buffers *buffers) {
    return FV_LAUNCH(context, (batchnorm_backward_apply_kernel<TRAINING, INDEX>),
                     elementwise_grid(plan.pixels * plan.channels), ELEMENTWISE_THREADS, 0, plan, input(buffers, FV_X),
                     input(buffers, FV_DY), input(buffers, FV_W), input(buffers, TRAINING ? FV_SAVED_MEAN : FV_MEAN),
                     input(buffers, TRAINING ? FV_SAVED_RSTD : FV_VARIANCE), input(buffers, FV_DW),
                     input(buffers, FV_DB), output(buffers, FV_DX));
}

template <bool TRAINING>
fv_status run_backward(fv_context *context, const batchnorm_plan &plan, const fv_buffers *buffers) {
    float *plain = first_results(buffers), *weighted = second_results(plan, buffers);
    if (plan.slices > 0)
        FV_TRY(FV_LAUNCH(context, batchnorm_slice_gradients_kernel, slice_grid(plan), THREADS, 0, plan,
                         input(buffers, FV_X), input(buffers, FV_DY),
                         input(buffers, TRAINING ? FV_SAVED_MEAN : FV_MEAN), plain, weighted));
    FV_TRY(FV_LAUNCH(context, batchnorm_combine_gradients_kernel<TRAINING>, tile_grid(plan), THREADS, 0, plan, plain,
                     weighted, input(buffers, TRAINING ? FV_SAVED_RSTD : FV_VARIANCE), output(buffers, FV_DW),
                     output(buffers, FV_DB)));
    if (plan.slices == 0)
        return FV_OK;
    return plan.pixels * plan.channels <= INT32_MAX ? launch_backward<TRAINING, int32_t>(context, plan, buffers)
                                                    : launch_backward<TRAINING, int64_t>(context, plan, buffers);
}

fv_status batchnorm_backward_data_slices(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const batchnorm_plan plan = plan_of(op->batchnorm);
    return op->batchnorm.training ? run_backward<true>(context, plan, buffers)
                                  : run_backward<false>(context, plan, buffers);
}

const char *supports_slices(const fv_operation *op) {
    const batchnorm_plan plan = plan_of(op->batchnorm);
    return plan.tiles * (plan.slices ? plan.slices : 1) > MAX_BLOCKS ? "it would take more than 2^31-1 blocks" : NULL;
}

const char *supports_forward_slices(const fv_operation *op) {
    return op->batchnorm.training ? supports_slices(op) : "there are no statistics to take in inference";
}

const char *supports_elementwise(const fv_operation *op) {
    return op->batchnorm.training ? "training takes the batch's statistics first" : NULL;
}

constexpr const char *WORKSPACE_RULE = "two sums per slice of pixels and channel";

} // namespace

const fv_kernel batchnorm_kernels[] = {
    FV_KERNEL_F32(FV_BATCHNORM, FV_FORWARD, "slices", .supports = supports_forward_slices, .workspace = workspace,
                  .workspace_rule = WORKSPACE_RULE, .run = batchnorm_forward_slices),
    FV_KERNEL_F32(FV_BATCHNORM, FV_FORWARD, "elementwise", .supports = supports_elementwise,
                  .run = batchnorm_forward_elementwise),
    FV_KERNEL_F32(FV_BATCHNORM, FV_BACKWARD_DATA, "slices", .supports = supports_slices, .workspace = workspace,
                  .workspace_rule = WORKSPACE_RULE, .run = batchnorm_backward_data_slices),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
