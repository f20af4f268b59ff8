/* conv2d_unshared (locally connected): a conv2d with filters and biases of its own at every output position,
 *
 *     y[n,p,q,k] = b[p,q,k] + sum_{r,s,c} x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w - pad_left,
 *                                           g*C/G + c] * w[p,q,k,r,s,c]    with g = k / (K/G),
 *
 * and its gradients by x, w and b. x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [p,q,k,r,s,c/groups], b and db
 * [p,q,k]. Any stride, padding, dilation, groups and channels, up to 2^31-1 blocks. f32; every row is deterministic.
 * Neither cuDNN nor oneDNN has this operation, so there is no vendor's row to compare with.
 *
 * A weight serves one product per image, and nothing else does: unless the batch is large, the time cannot be below that of
 * moving w (or writing dw) once, p*q*k*r*s*c/groups*4 bytes. So all passes, `position`, are built around w:
 *
 *     forward            A block has a position, 8 images and up to 32 filters. It stages the images' windows in shared
 *                        memory, chunk by chunk; a warp takes four filters, its lanes neighbouring weights, which it reads
 *                        once, in order, for 8 products each. The lanes' 4 x 8 sums are added up by shuffles, such that
 *                        each lane ends with one. Further images read w again, from the second-level cache if blocks that
 *                        share it run at the same time: they are neighbours.
 *     backward_data      A block has a pixel, 8 images and a part of the channels, and walks over the (tap, k) that reach
 *                        the pixel: every weight belongs to one pixel, so here, too, it is read once per 8 images, along
 *                        c. The sum over (tap, k) is split over slices of the block, which are added up in order.
 *     backward_weights   A block has a position, 128 window values and up to 32 filters, and walks over all images, 8 at
 *                        a time; a thread keeps 4 x 4 sums and a warp writes neighbouring weights.
 *
 * With few window values (below 32, as in depthwise filters of 3x3) lanes idle in forward and backward_weights, with few
 * channels slices of c are short in backward_data. Expected on a GPU, not measured: near the floor for up to 8 images,
 * bound by shared memory reads (two for 8 products and more) beyond. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int IMAGES = 8;         /* of a block: what a weight serves once it is read */
constexpr int WARP_FILTERS = 4;   /* of a warp */
constexpr int MOST_WARPS = 8;     /* of a block */
constexpr int MOST_STAGED = 512;  /* forward: window values of an image in shared memory */
constexpr int MOST_COLUMNS = 128; /* backward_weights: window values of a block, 4 for each lane */
constexpr int LANE_COLUMNS = MOST_COLUMNS / WARP;
constexpr int DEPTH = 128;                 /* backward_data: (tap, k) staged at once */
constexpr int GRADIENT_PITCH = IMAGES + 4; /* floats between them, which keeps rows 16-byte aligned and spreads banks */
constexpr int MOST_DATA_THREADS = 256;

static_assert(WARP_FILTERS * IMAGES == WARP, "each lane ends with one sum");

struct unshared_plan {
    fv_unshared d;
    int64_t q, positions;
    int64_t cg, kg;  /* input and output channels of a group */
    int64_t columns; /* window values of a group: r*s*cg */
    int64_t blocks;
    int64_t image_tiles;
    int64_t filter_tiles; /* of block_filters filters of a group */
    int64_t column_tiles; /* of `staged` window values, or c_tile channels of a group */
    int block_filters;
    int staged; /* window values of an image in shared memory, a multiple of a warp */
    int threads;
    int p;                  /* backward_data only, from here on */
    int c_tile, slices;     /* threads = c_tile * slices */
    int period_h, period_w; /* taps from one that reaches a pixel to the next */
};

int period_of(int64_t stride, int64_t dilation) {
    int64_t divisor = stride;
    for (int64_t rest = dilation; rest != 0;) {
        const int64_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return static_cast<int>(stride / divisor);
}

int power_of_two_from(int64_t value, int most) {
    int power = 1;
    while (power < value && power < most)
        power *= 2;
    return power;
}

unshared_plan plan_of(const fv_operation *op, fv_pass pass) {
    const fv_unshared &d = op->unshared;
    unshared_plan plan = {};
    plan.d = d;
    plan.p = static_cast<int>(fv_window_p(&op->window));
    plan.q = fv_window_q(&op->window);
    plan.positions = plan.p * plan.q;
    plan.cg = d.c / d.groups;
    plan.kg = d.k / d.groups;
    plan.columns = d.r * d.s * plan.cg;
    plan.image_tiles = ceil_div(d.n, IMAGES);
    const int64_t warps = ceil_div(plan.kg, WARP_FILTERS);
    plan.threads = static_cast<int>(warps < MOST_WARPS ? warps : MOST_WARPS) * WARP;
    plan.block_filters = plan.threads / WARP * WARP_FILTERS;
    plan.filter_tiles = ceil_div(plan.kg, plan.block_filters);
    const int most = pass == FV_FORWARD ? MOST_STAGED : MOST_COLUMNS;
    plan.staged = static_cast<int>(plan.columns < most ? ceil_div(plan.columns, WARP) * WARP : most);
    plan.column_tiles = ceil_div(plan.columns, plan.staged);
    plan.blocks =
        plan.positions * d.groups * plan.filter_tiles * (pass == FV_FORWARD ? plan.image_tiles : plan.column_tiles);
    if (pass != FV_BACKWARD_DATA)
        return plan;
    plan.period_h = period_of(d.stride_h, d.dilation_h);
    plan.period_w = period_of(d.stride_w, d.dilation_w);
    plan.c_tile = power_of_two_from(plan.cg, MOST_DATA_THREADS / 2);
    const int64_t depth = ceil_div(d.r, plan.period_h) * ceil_div(d.s, plan.period_w) * plan.kg;
    plan.slices = power_of_two_from(depth, MOST_DATA_THREADS / plan.c_tile);
    if (plan.c_tile * plan.slices < WARP)
        plan.slices = WARP / plan.c_tile;
    plan.threads = plan.c_tile * plan.slices;
    plan.column_tiles = ceil_div(plan.cg, plan.c_tile);
    plan.blocks = d.h * d.w * d.groups * plan.column_tiles * plan.image_tiles;
    return plan;
}

/* Takes the digits of a block's number one after the other. */
__device__ inline int64_t next_digit(int64_t &rest, int64_t base) {
    const int64_t digit = rest % base;
    rest /= base;
    return digit;
}

/* places[i]: where window value first + i of a position lies within an image; -1 in the padding and behind the
 * window. */
__device__ void find_window(const unshared_plan &plan, int64_t position, int64_t group, int64_t first,
                            int64_t *places) {
    const fv_unshared &d = plan.d;
    const int64_t p = position / plan.q, q = position % plan.q;
    for (int i = static_cast<int>(threadIdx.x); i < plan.staged; i += static_cast<int>(blockDim.x)) {
        const int64_t j = first + i, tap = j / plan.cg;
        const int64_t row = p * d.stride_h + tap / d.s * d.dilation_h - d.pad_top;
        const int64_t col = q * d.stride_w + tap % d.s * d.dilation_w - d.pad_left;
        const bool inside = j < plan.columns && row >= 0 && row < d.h && col >= 0 && col < d.w;
        places[i] = inside ? (row * d.w + col) * d.c + group * plan.cg + j % plan.cg : -1;
    }
}

/* windows[image][i], zeros where there is no pixel or no image. */
__device__ void stage_windows(const unshared_plan &plan, int64_t first_image, const int64_t *places, const float *x,
                              float *windows) {
    const int64_t image_size = plan.d.h * plan.d.w * plan.d.c;
    for (int n = 0; n < IMAGES; ++n)
        for (int i = static_cast<int>(threadIdx.x); i < plan.staged; i += static_cast<int>(blockDim.x)) {
            const bool inside = places[i] >= 0 && first_image + n < plan.d.n;
            windows[n * plan.staged + i] = inside ? x[(first_image + n) * image_size + places[i]] : 0.0f;
        }
}

/* Adds up 32 sums over the warp; lane l gets the total of sum l. At each step a lane hands half of its sums to a
 * partner and takes the partner's share of the others. */
template <int HALF = WARP / 2>
__device__ inline float warp_totals(float (&sum)[WARP]) {
    const bool upper = (static_cast<int>(threadIdx.x) & HALF) != 0;
    FV_UNROLL
    for (int i = 0; i < HALF; ++i) {
        const float kept = upper ? sum[i + HALF] : sum[i], given = upper ? sum[i] : sum[i + HALF];
        sum[i] = kept + __shfl_xor_sync(0xffffffffu, given, HALF);
    }
    if constexpr (HALF > 1)
        return warp_totals<HALF / 2>(sum);
    return sum[0];
}

__global__ void __launch_bounds__(MOST_WARPS *WARP, 3)
    unshared_forward_kernel(unshared_plan plan, const float *x, const float *w, const float *b, float *y) {
    FV_DYNAMIC_SHARED(int64_t, places);
    float *const windows = reinterpret_cast<float *>(places + plan.staged);
    int64_t rest = blockIdx.x;
    const int64_t first_image = next_digit(rest, plan.image_tiles) * IMAGES; /* neighbours share the filters */
    const int64_t first_filter = next_digit(rest, plan.filter_tiles) * plan.block_filters;
    const int64_t group = next_digit(rest, plan.d.groups), position = rest;
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int64_t k = first_filter + warp * WARP_FILTERS; /* the warp's first, within the group */
    const float *const filters = w + (position * plan.d.k + group * plan.kg + k) * plan.columns;

    float sum[WARP] = {}; /* [filter][image] */
    for (int64_t first = 0; first < plan.columns; first += plan.staged) {
        find_window(plan, position, group, first, places);
        __syncthreads();
        stage_windows(plan, first_image, places, x, windows);
        __syncthreads();
        for (int i = lane; i < plan.staged && first + i < plan.columns; i += WARP) {
            float weight[WARP_FILTERS];
            FV_UNROLL
            for (int f = 0; f < WARP_FILTERS; ++f)
                weight[f] = k + f < plan.kg ? filters[f * plan.columns + first + i] : 0.0f;
            FV_UNROLL
            for (int n = 0; n < IMAGES; ++n) {
                const float value = windows[n * plan.staged + i];
                FV_UNROLL
                for (int f = 0; f < WARP_FILTERS; ++f)
                    sum[f * IMAGES + n] += value * weight[f];
            }
        }
        __syncthreads();
    }
    const float total = warp_totals(sum);
    const int64_t image = first_image + lane % IMAGES, filter = k + lane / IMAGES;
    const int64_t at = position * plan.d.k + group * plan.kg + filter;
    if (image < plan.d.n && filter < plan.kg)
        y[image * plan.positions * plan.d.k + at] = total + (b ? b[at] : 0.0f);
}

/* The taps of an axis that reach a pixel: first, first + period, .. */
struct reaching {
    int first, count;
};

__device__ inline reaching reaching_of(int64_t reach, int64_t stride, int64_t dilation, int64_t filter, int64_t outputs,
                                       int period) { /* reach: pixel + padding before */
    const int64_t beyond = reach - (outputs - 1) * stride;
    const int64_t first = beyond > 0 ? ceil_div(beyond, dilation) : 0; /* from the last output, or before it */
    const int64_t end = reach / dilation < filter ? reach / dilation + 1 : filter;
    for (int64_t tap = first; tap < end; ++tap)
        if ((reach - tap * dilation) % stride == 0)
            return {static_cast<int>(tap), static_cast<int>((end - 1 - tap) / period + 1)};
    return {0, 0};
}

__global__ void __launch_bounds__(MOST_DATA_THREADS)
    unshared_backward_data_kernel(unshared_plan plan, const float *dy, const float *w, float *dx) {
    FV_DYNAMIC_SHARED(int64_t, rows); /* where the weights of (tap, k) begin */
    float *const gradients = reinterpret_cast<float *>(rows + DEPTH);
    float *const sums = gradients + DEPTH * GRADIENT_PITCH; /* [slice][image][c] */
    const fv_unshared &d = plan.d;
    const int thread = static_cast<int>(threadIdx.x);
    int64_t rest = blockIdx.x;
    const int64_t first_image = next_digit(rest, plan.image_tiles) * IMAGES;
    const int64_t first_c = next_digit(rest, plan.column_tiles) * plan.c_tile;
    const int64_t group = next_digit(rest, d.groups);
    const int64_t col = next_digit(rest, d.w), row = rest;
    const reaching v = reaching_of(row + d.pad_top, d.stride_h, d.dilation_h, d.r, plan.p, plan.period_h);
    const reaching h = reaching_of(col + d.pad_left, d.stride_w, d.dilation_w, d.s, plan.q, plan.period_w);
    const int64_t depth = static_cast<int64_t>(v.count) * h.count * plan.kg;
    const int c = thread % plan.c_tile, slice = thread / plan.c_tile;

    float sum[IMAGES] = {};
    for (int64_t first = 0; first < depth; first += DEPTH) {
        const int count = static_cast<int>(depth - first < DEPTH ? depth - first : DEPTH);
        for (int l = thread; l < count; l += plan.threads) {
            const int64_t k = (first + l) % plan.kg, tap = (first + l) / plan.kg;
            const int64_t r = v.first + tap / h.count * plan.period_h, s = h.first + tap % h.count * plan.period_w;
            const int64_t p = (row + d.pad_top - r * d.dilation_h) / d.stride_h;
            const int64_t q = (col + d.pad_left - s * d.dilation_w) / d.stride_w;
            const int64_t output = (p * plan.q + q) * d.k + group * plan.kg + k;
            rows[l] = output * plan.columns + (r * d.s + s) * plan.cg;
            for (int n = 0; n < IMAGES; ++n)
                gradients[l * GRADIENT_PITCH + n] =
                    first_image + n < d.n ? dy[(first_image + n) * plan.positions * d.k + output] : 0.0f;
        }
        __syncthreads();
        for (int l = slice; l < count; l += plan.slices) {
            const float weight = first_c + c < plan.cg ? w[rows[l] + first_c + c] : 0.0f;
            const float4 low = *reinterpret_cast<const float4 *>(&gradients[l * GRADIENT_PITCH]);
            const float4 high = *reinterpret_cast<const float4 *>(&gradients[l * GRADIENT_PITCH + 4]);
            const float gradient[IMAGES] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
            FV_UNROLL
            for (int n = 0; n < IMAGES; ++n)
                sum[n] += gradient[n] * weight;
        }
        __syncthreads();
    }
    FV_UNROLL
    for (int n = 0; n < IMAGES; ++n)
        sums[(slice * IMAGES + n) * plan.c_tile + c] = sum[n];
    __syncthreads();
    for (int e = thread; e < IMAGES * plan.c_tile; e += plan.threads) {
        const int64_t image = first_image + e / plan.c_tile, channel = first_c + e % plan.c_tile;
        float total = 0;
        for (int part = 0; part < plan.slices; ++part)
            total += sums[part * IMAGES * plan.c_tile + e];
        if (image < d.n && channel < plan.cg)
            dx[((image * d.h + row) * d.w + col) * d.c + group * plan.cg + channel] = total;
    }
}

__global__ void __launch_bounds__(MOST_WARPS *WARP, 3)
    unshared_backward_weights_kernel(unshared_plan plan, const float *x, const float *dy, float *dw, float *db) {
    FV_DYNAMIC_SHARED(int64_t, places);
    float *const windows = reinterpret_cast<float *>(places + plan.staged);
    float *const gradients = windows + IMAGES * plan.staged; /* [image][filter] */
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    int64_t rest = blockIdx.x;
    const int64_t first_column = next_digit(rest, plan.column_tiles) * plan.staged;
    const int64_t first_filter = next_digit(rest, plan.filter_tiles) * plan.block_filters;
    const int64_t group = next_digit(rest, plan.d.groups), position = rest;
    const int64_t output = position * plan.d.k + group * plan.kg + first_filter; /* of the block's first filter */
    const bool sums_bias = db && first_column == 0 && thread < plan.block_filters;

    find_window(plan, position, group, first_column, places);
    float sum[WARP_FILTERS][LANE_COLUMNS] = {};
    float bias_sum = 0;
    for (int64_t first_image = 0; first_image < plan.d.n; first_image += IMAGES) {
        __syncthreads();
        stage_windows(plan, first_image, places, x, windows);
        for (int e = thread; e < IMAGES * plan.block_filters; e += plan.threads) {
            const int64_t image = first_image + e / plan.block_filters;
            const int filter = e % plan.block_filters;
            const bool inside = image < plan.d.n && first_filter + filter < plan.kg;
            gradients[e] = inside ? dy[image * plan.positions * plan.d.k + output + filter] : 0.0f;
        }
        __syncthreads();
        FV_UNROLL
        for (int n = 0; n < IMAGES; ++n) {
            const float4 four =
                *reinterpret_cast<const float4 *>(&gradients[n * plan.block_filters + warp * WARP_FILTERS]);
            const float gradient[WARP_FILTERS] = {four.x, four.y, four.z, four.w};
            FV_UNROLL
            for (int i = 0; i < LANE_COLUMNS; ++i) {
                const float value = i * WARP < plan.staged ? windows[n * plan.staged + i * WARP + lane] : 0.0f;
                FV_UNROLL
                for (int f = 0; f < WARP_FILTERS; ++f)
                    sum[f][i] += value * gradient[f];
            }
            if (sums_bias)
                bias_sum += gradients[n * plan.block_filters + thread];
        }
    }
    FV_UNROLL
    for (int f = 0; f < WARP_FILTERS; ++f) {
        const int filter = warp * WARP_FILTERS + f;
        FV_UNROLL
        for (int i = 0; i < LANE_COLUMNS; ++i) {
            const int64_t column = first_column + i * WARP + lane;
            if (first_filter + filter < plan.kg && i * WARP < plan.staged && column < plan.columns)
                dw[(output + filter) * plan.columns + column] = sum[f][i];
        }
    }
    if (sums_bias && first_filter + thread < plan.kg)
        db[output + thread] = bias_sum;
}

/* ---- launchers ---- */

/* places and windows, as find_window and stage_windows leave them. */
size_t window_bytes(const unshared_plan &plan) {
    return static_cast<size_t>(plan.staged) * (sizeof(int64_t) + IMAGES * sizeof(float));
}

template <fv_pass PASS>
const char *supports(const fv_operation *op) {
    return plan_of(op, PASS).blocks > MAX_BLOCKS ? "there are over 2^31-1 blocks" : NULL;
}

fv_status unshared_forward(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const unshared_plan plan = plan_of(op, FV_FORWARD);
    if (plan.blocks == 0)
        return FV_OK;
    return FV_LAUNCH(context, unshared_forward_kernel, dim3(static_cast<unsigned>(plan.blocks)),
                     static_cast<unsigned>(plan.threads), window_bytes(plan), plan, input(buffers, FV_X),
                     input(buffers, FV_W), input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status unshared_backward_data(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const unshared_plan plan = plan_of(op, FV_BACKWARD_DATA);
    const size_t bytes = DEPTH * (sizeof(int64_t) + GRADIENT_PITCH * sizeof(float)) +
                         static_cast<size_t>(plan.threads) * IMAGES * sizeof(float);
    if (plan.blocks == 0)
        return FV_OK;
    return FV_LAUNCH(context, unshared_backward_data_kernel, dim3(static_cast<unsigned>(plan.blocks)),
                     static_cast<unsigned>(plan.threads), bytes, plan, input(buffers, FV_DY), input(buffers, FV_W),
                     output(buffers, FV_DX));
}

fv_status unshared_backward_weights(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const unshared_plan plan = plan_of(op, FV_BACKWARD_WEIGHTS);
    const size_t bytes = window_bytes(plan) + static_cast<size_t>(plan.block_filters) * IMAGES * sizeof(float);
    return FV_LAUNCH(context, unshared_backward_weights_kernel, dim3(static_cast<unsigned>(plan.blocks)),
                     static_cast<unsigned>(plan.threads), bytes, plan, input(buffers, FV_X), input(buffers, FV_DY),
                     output(buffers, FV_DW), output(buffers, FV_DB));
}

} // namespace

const fv_kernel conv2d_unshared_kernels[] = {
    FV_KERNEL_F32(FV_UNSHARED, FV_FORWARD, "position", .supports = supports<FV_FORWARD>, .run = unshared_forward),
    FV_KERNEL_F32(FV_UNSHARED, FV_BACKWARD_DATA, "position", .supports = supports<FV_BACKWARD_DATA>,
                  .run = unshared_backward_data),
    FV_KERNEL_F32(FV_UNSHARED, FV_BACKWARD_WEIGHTS, "position", .supports = supports<FV_BACKWARD_WEIGHTS>,
                  .run = unshared_backward_weights),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
