/* The tiled filter gradient: per group, a matrix product over all output pixels l = (n,p,q),
 *
 *     dw[k][j] = sum_l dy[l][k] * x_l[j],    j = (r,s,c),    x_l[j] = x[n, p*stride_h + r*dilation_h - pad, ..., c],
 *
 * where dy is read as it lies and the row x_l is gathered from under the filter at pixel l while it is staged
 * (product.cuh).
 *
 * There are few filters and many pixels, so the sum over l is split over blocks: splits.cuh. */
#ifndef FOVEA_CONV2D_WEIGHTS_CUH
#define FOVEA_CONV2D_WEIGHTS_CUH

#include "issue_estimate.cuh"
#include "product.cuh"
#include "splits.cuh"

namespace FV_NAMESPACE {

struct weights_plan {
    fv_conv2d d;
    int64_t p, q;
    int64_t kg, cg;            /* output and input channels of a group */
    int64_t columns;           /* j runs below it */
    int64_t pixels, per_split; /* all, and those of one split */
    int64_t splits, tiles_k, tiles_j;
    int tile;
    int64_t partial; /* floats of one partial gradient, dw and then db */
};

/* Floats of one partial gradient, dw and then db. */
inline int64_t weights_partial(const fv_conv2d &d) {
    return d.k * d.r * d.s * (d.c / d.groups) + (d.bias ? d.k : 0);
}

/* The plan for a descriptor. */
inline weights_plan weights_plan_of(const fv_conv2d &d) {
    constexpr int64_t LEAST_PIXELS = 256; /* a split of fewer costs more than it saves */
    weights_plan plan = {};
    plan.d = d;
    plan.p = fv_conv2d_p(&d);
    plan.q = fv_conv2d_q(&d);
    plan.kg = d.k / d.groups;
    plan.cg = d.c / d.groups;
    plan.columns = d.r * d.s * plan.cg;
    plan.pixels = d.n * plan.p * plan.q;
    plan.tile = plan.kg <= 32 || plan.columns <= 32 ? 32 : 64;
    plan.tiles_k = ceil_div(plan.kg, plan.tile);
    plan.tiles_j = ceil_div(plan.columns, plan.tile);
    const int64_t tiles = d.groups * plan.tiles_k * plan.tiles_j;
    const sum_splits splits = splits_of(plan.pixels, tiles, ceil_div(plan.pixels, LEAST_PIXELS), PRODUCT_DEPTH);
    plan.splits = splits.count;
    plan.per_split = splits.per_split;
    plan.partial = weights_partial(d);
    return plan;
}

/* Where the filter lies at an output pixel. */
struct filter_place {
    int64_t pixel, image;
    int row, col; /* the input pixel under tap 0,0 */
};

__device__ inline filter_place filter_place_of(const weights_plan &plan, int64_t pixel) {
    const int64_t line = pixel / plan.q, image = line / plan.p;
    return {.pixel = pixel,
            .image = image,
            .row = static_cast<int>((line - image * plan.p) * plan.d.stride_h - plan.d.pad_top),
            .col = static_cast<int>((pixel - line * plan.q) * plan.d.stride_w - plan.d.pad_left)};
}

/* Stages x_l[j] for the pixels of `places` and the thread's column j; zeros beyond the image, the columns and the
 * pixels. */
template <int TILE>
__device__ void stage_gathered(const weights_plan &plan, int64_t group, int64_t j, const filter_place *places,
                               int64_t remaining, const float *x, product_slice<TILE> &slice) {
    const fv_conv2d &d = plan.d;
    const int64_t tap = j / plan.cg, c = j - tap * plan.cg;
    const int down = static_cast<int>(tap / d.s * d.dilation_h), across = static_cast<int>(tap % d.s * d.dilation_w);
    const int column = static_cast<int>(threadIdx.x) % TILE;
    for (int l = static_cast<int>(threadIdx.x) / TILE; l < PRODUCT_DEPTH; l += PRODUCT_THREADS<TILE> / TILE) {
        float value = 0;
        if (j < plan.columns && l < remaining) {
            const filter_place place = places[l];
            const int row = place.row + down, col = place.col + across;
            if (row >= 0 && row < d.h && col >= 0 && col < d.w)
                value = x[((place.image * d.h + row) * d.w + col) * d.c + group * plan.cg + c];
        }
        slice[l][column] = value;
    }
}

/* Partial gradient number blockIdx.y goes to dw + blockIdx.y * stride, its bias part to db + blockIdx.y * stride. INPUT is
 * what stage_gathered takes: x, or something that is read in another way. */
template <int TILE, typename INPUT>
__global__ void __launch_bounds__(PRODUCT_THREADS<TILE>, 2)
    conv2d_weights_split_kernel(weights_plan plan, INPUT x, const float *dy, float *dw, float *db, int64_t stride) {
    __shared__ __align__(16) product_slice<TILE> gradients, inputs;
    __shared__ filter_place places[2][PRODUCT_DEPTH]; /* one to read while the next is filled */
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t first_j = blockIdx.x % plan.tiles_j * TILE;
    const int64_t first_k = blockIdx.x / plan.tiles_j % plan.tiles_k * TILE;
    const int64_t group = blockIdx.x / plan.tiles_j / plan.tiles_k;
    const int64_t first_pixel = blockIdx.y * plan.per_split;
    const int64_t end_pixel = first_pixel + plan.per_split < plan.pixels ? first_pixel + plan.per_split : plan.pixels;
    const product_operand gradient = {dy + group * plan.kg, 1, plan.d.k, plan.kg};
    const bool sums_bias = db && first_j == 0 && thread < TILE; /* one column of blocks does it for all */
    float sum[4][4] = {};
    float bias_sum = 0;
    int turn = 0;
    if (thread < PRODUCT_DEPTH)
        places[turn][thread] = filter_place_of(plan, first_pixel + thread);
    __syncthreads();
    for (int64_t pixel = first_pixel; pixel < end_pixel; pixel += PRODUCT_DEPTH, turn ^= 1) {
        product_stage<TILE, false>(gradients, gradient, first_k, pixel, end_pixel);
        stage_gathered<TILE>(plan, group, first_j + thread % TILE, places[turn], end_pixel - pixel, x, inputs);
        if (thread < PRODUCT_DEPTH)
            places[turn ^ 1][thread] = filter_place_of(plan, pixel + PRODUCT_DEPTH + thread);
        __syncthreads();
        product_multiply<TILE>(gradients, inputs, sum);
        if (sums_bias)
            bias_sum += product_row_sum<TILE>(gradients, thread);
        __syncthreads();
    }
    if (sums_bias && first_k + thread < plan.kg)
        db[blockIdx.y * stride + group * plan.kg + first_k + thread] = bias_sum;
    FV_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int64_t k = first_k + product_row<TILE>() + i;
        FV_UNROLL
        for (int j = 0; j < 4; ++j) {
            const int64_t column = first_j + product_column<TILE>() + j;
            if (k < plan.kg && column < plan.columns)
                dw[blockIdx.y * stride + (group * plan.kg + k) * plan.columns + column] = sum[i][j];
        }
    }
}

/* ---- host ---- */

/* The product behind a plan; `stage` is what it takes to stage an element of the other operand than dy. */
inline issued_work weights_work(const weights_plan &plan, double stage) {
    issued_work work = product_work({.m = static_cast<double>(plan.kg),
                                     .n = static_cast<double>(plan.columns),
                                     .depth = static_cast<double>(plan.pixels),
                                     .count = static_cast<double>(plan.d.groups),
                                     .tile = plan.tile,
                                     .splits = static_cast<double>(plan.splits)},
                                    STAGE_DENSE, stage);
    add_splits(work, static_cast<double>(plan.splits), static_cast<double>(plan.partial));
    return work;
}

inline const char *weights_refusal(const weights_plan &plan) {
    return plan.d.groups * plan.tiles_k * plan.tiles_j > MAX_BLOCKS ? "there are over 2^31-1 tiles" : NULL;
}

constexpr const char *WEIGHTS_WORKSPACE_RULE = "splits*(k*r*s*c/groups + bias*k)*4 bytes, 0 where it need not split";

/* gradients_in_splits for a conv2d's own gradients. */
template <typename F>
fv_status weights_in_splits(fv_context *context, const fv_conv2d &d, int64_t splits, const fv_buffers *buffers,
                            const F &launch) {
    const int64_t biases = d.bias ? d.k : 0;
    return gradients_in_splits(context, weights_partial(d) - biases, biases, splits, buffers, output(buffers, FV_DW),
                               launch);
}

/* Launches the splits of a plan. db: NULL for none. */
template <typename INPUT>
fv_status weights_split(fv_context *context, const weights_plan &plan, const INPUT &x, const float *dy, float *dw,
                        float *db) {
    const dim3 grid(static_cast<unsigned>(plan.d.groups * plan.tiles_k * plan.tiles_j),
                    static_cast<unsigned>(plan.splits));
    if (plan.tile == 64)
        return FV_LAUNCH(context, (conv2d_weights_split_kernel<64, INPUT>), grid, PRODUCT_THREADS<64>, 0, plan, x, dy,
                         dw, db, plan.partial);
    return FV_LAUNCH(context, (conv2d_weights_split_kernel<32, INPUT>), grid, PRODUCT_THREADS<32>, 0, plan, x, dy, dw,
                     db, plan.partial);
}

} // namespace FV_NAMESPACE

#endif
