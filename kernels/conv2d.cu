/* conv2d: a correlation of images with filters,
 *
 *     y[n,p,q,k] = b[k] + sum_{r,s,c} x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w - pad_left,
 *                                       g*C/G + c] * w[k,r,s,c]    with g = k / (K/G),
 *
 * and its gradients by x, w and b. x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [k,r,s,c/groups]. Any stride,
 * padding, dilation, groups and channels. f32 throughout; every row is deterministic. Depthwise convolutions have rows of
 * their own in conv2d_depthwise.cu.
 *
 * Variants
 *     direct         (all passes) one thread per result, straight from the formula and global memory: any case. The
 *                    backward passes gather: a thread owns its result and looks for the products that belong to it.
 *     direct_tile    (forward, backward_data) a block stages the input tile with its halo and the filters in shared
 *                    memory and each thread keeps up to 8 x 8 results in registers: each value read from global memory
 *                    serves hundreds of products instead of one. Refuses windows whose halo exceeds 48 KiB. See
 *                    conv2d_tile.cuh.
 *     split_reduce   (backward_weights) a tiled matrix product whose long sum is split over blocks: thousands of
 *                    threads share the pixels that a direct thread walks alone. See conv2d_weights.cuh.
 * Dilated filters and groups of few channels have rows of their own, which are chosen before these: conv2d_dilated.cu,
 * conv2d_grouped.cu. */
#include "conv2d_tile_run.cuh"
#include "conv2d_weights.cuh"

namespace FV_NAMESPACE {

namespace {

/* ---- direct ---- */

struct direct_geometry {
    fv_conv2d d;
    int64_t p, q, cg, kg;
};

direct_geometry geometry_of(const fv_conv2d &d) {
    return {d, fv_conv2d_p(&d), fv_conv2d_q(&d), d.c / d.groups, d.k / d.groups};
}

__global__ void conv2d_forward_direct_kernel(direct_geometry g, const float *x, const float *w, const float *b,
                                             float *y) {
    const fv_conv2d &d = g.d;
    for (int64_t i = thread_index(); i < d.n * g.p * g.q * d.k; i += thread_count()) {
        const int64_t k = i % d.k, q = i / d.k % g.q, p = i / d.k / g.q % g.p, n = i / d.k / g.q / g.p;
        float sum = b ? b[k] : 0.0f;
        for (int64_t r = 0; r < d.r; ++r) {
            const int64_t row = p * d.stride_h + r * d.dilation_h - d.pad_top; /* input row under tap r */
            if (row < 0 || row >= d.h)
                continue;
            for (int64_t s = 0; s < d.s; ++s) {
                const int64_t col = q * d.stride_w + s * d.dilation_w - d.pad_left;
                if (col < 0 || col >= d.w)
                    continue;
                const float *pixel = x + ((n * d.h + row) * d.w + col) * d.c + k / g.kg * g.cg;
                const float *tap = w + ((k * d.r + r) * d.s + s) * g.cg;
                for (int64_t c = 0; c < g.cg; ++c)
                    sum += pixel[c] * tap[c];
            }
        }
        y[i] = sum;
    }
}

__global__ void conv2d_backward_data_direct_kernel(direct_geometry g, const float *dy, const float *w, float *dx) {
    const fv_conv2d &d = g.d;
    for (int64_t i = thread_index(); i < d.n * d.h * d.w * d.c; i += thread_count()) {
        const int64_t c = i % d.c, col = i / d.c % d.w, row = i / d.c / d.w % d.h, n = i / d.c / d.w / d.h;
        const int64_t first_k = c / g.cg * g.kg;
        float sum = 0;
        for (int64_t r = 0; r < d.r; ++r) {
            const int64_t down =
                row + d.pad_top - r * d.dilation_h; /* stride * the output row that has it under tap r */
            if (down < 0 || down % d.stride_h != 0 || down / d.stride_h >= g.p)
                continue;
            for (int64_t s = 0; s < d.s; ++s) {
                const int64_t across = col + d.pad_left - s * d.dilation_w;
                if (across < 0 || across % d.stride_w != 0 || across / d.stride_w >= g.q)
                    continue;
                const float *gradient =
                    dy + ((n * g.p + down / d.stride_h) * g.q + across / d.stride_w) * d.k + first_k;
                const float *tap = w + ((first_k * d.r + r) * d.s + s) * g.cg + c % g.cg;
                for (int64_t k = 0; k < g.kg; ++k)
                    sum += gradient[k] * tap[k * d.r * d.s * g.cg];
            }
        }
        dx[i] = sum;
    }
}

/* One thread per filter element, and behind those one per bias element. */
__global__ void conv2d_backward_weights_direct_kernel(direct_geometry g, const float *x, const float *dy, float *dw,
                                                      float *db) {
    const fv_conv2d &d = g.d;
    const int64_t weights = d.k * d.r * d.s * g.cg;
    for (int64_t i = thread_index(); i < weights + (db ? d.k : 0); i += thread_count()) {
        const bool bias = i >= weights;
        const int64_t c = i % g.cg, s = i / g.cg % d.s, r = i / g.cg / d.s % d.r;
        const int64_t k = bias ? i - weights : i / g.cg / d.s / d.r;
        float sum = 0;
        for (int64_t n = 0; n < d.n; ++n)
            for (int64_t p = 0; p < g.p; ++p)
                for (int64_t q = 0; q < g.q; ++q) {
                    const float gradient = dy[((n * g.p + p) * g.q + q) * d.k + k];
                    const int64_t row = p * d.stride_h + r * d.dilation_h - d.pad_top;
                    const int64_t col = q * d.stride_w + s * d.dilation_w - d.pad_left;
                    if (bias)
                        sum += gradient;
                    else if (row >= 0 && row < d.h && col >= 0 && col < d.w)
                        sum += gradient * x[((n * d.h + row) * d.w + col) * d.c + k / g.kg * g.cg + c];
                }
        if (bias)
            db[k] = sum;
        else
            dw[i] = sum;
    }
}

/* ---- launchers ---- */

fv_status conv2d_forward_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const direct_geometry g = geometry_of(op->conv2d);
    const int64_t elements = g.d.n * g.p * g.q * g.d.k;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, conv2d_forward_direct_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0, g,
                     input(buffers, FV_X), input(buffers, FV_W), input(buffers, FV_B), output(buffers, FV_Y));
}

fv_status conv2d_backward_data_direct(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const direct_geometry g = geometry_of(op->conv2d);
    const int64_t elements = g.d.n * g.d.h * g.d.w * g.d.c;
    if (elements == 0)
        return FV_OK;
    return FV_LAUNCH(context, conv2d_backward_data_direct_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0, g,
                     input(buffers, FV_DY), input(buffers, FV_W), output(buffers, FV_DX));
}

fv_status conv2d_backward_weights_direct(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const direct_geometry g = geometry_of(op->conv2d);
    const int64_t elements = g.d.k * g.d.r * g.d.s * g.cg + (g.d.bias ? g.d.k : 0);
    return FV_LAUNCH(context, conv2d_backward_weights_direct_kernel, elementwise_grid(elements), ELEMENTWISE_THREADS, 0,
                     g, input(buffers, FV_X), input(buffers, FV_DY), output(buffers, FV_DW), output(buffers, FV_DB));
}

const char *supports_split_reduce(const fv_operation *op) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    return op->conv2d.groups * plan.tiles_k * plan.tiles_j > MAX_BLOCKS ? "there are over 2^31-1 tiles" : NULL;
}

size_t workspace_split_reduce(const fv_operation *op, const void *) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    return weights_workspace(plan.splits, plan.partial);
}

fv_status conv2d_backward_weights_split_reduce(fv_context *context, const fv_operation *op, void *,
                                               const fv_buffers *buffers) {
    const weights_plan plan = weights_plan_of(op->conv2d);
    const dim3 grid(static_cast<unsigned>(op->conv2d.groups * plan.tiles_k * plan.tiles_j),
                    static_cast<unsigned>(plan.splits));
    return weights_in_splits(context, op->conv2d, plan.splits, buffers, [&](float *dw, float *db) {
        if (plan.tile == 64)
            return FV_LAUNCH(context, conv2d_weights_split_kernel<64>, grid, PRODUCT_THREADS<64>, 0, plan,
                             input(buffers, FV_X), input(buffers, FV_DY), dw, db, plan.partial);
        return FV_LAUNCH(context, conv2d_weights_split_kernel<32>, grid, PRODUCT_THREADS<32>, 0, plan,
                         input(buffers, FV_X), input(buffers, FV_DY), dw, db, plan.partial);
    });
}

} // namespace

const fv_kernel conv2d_kernels[] = {
    {.kind = FV_CONV2D,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "direct_tile",
     .min_capability = 80,
     .deterministic = true,
     .supports = tile_supports<false, TILE_PLAIN>,
     .prepare = tile_prepare<false, TILE_PLAIN>,
     .release = free,
     .run = tile_run<false, TILE_PLAIN>},
    {.kind = FV_CONV2D,
     .pass = FV_FORWARD,
     .dtype = FV_F32,
     .name = "direct",
     .min_capability = 80,
     .deterministic = true,
     .run = conv2d_forward_direct},
    {.kind = FV_CONV2D,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "direct_tile",
     .min_capability = 80,
     .deterministic = true,
     .supports = tile_supports<true, TILE_PLAIN>,
     .prepare = tile_prepare<true, TILE_PLAIN>,
     .release = free,
     .run = tile_run<true, TILE_PLAIN>},
    {.kind = FV_CONV2D,
     .pass = FV_BACKWARD_DATA,
     .dtype = FV_F32,
     .name = "direct",
     .min_capability = 80,
     .deterministic = true,
     .run = conv2d_backward_data_direct},
    {.kind = FV_CONV2D,
     .pass = FV_BACKWARD_WEIGHTS,
     .dtype = FV_F32,
     .name = "split_reduce",
     .min_capability = 80,
     .deterministic = true,
     .supports = supports_split_reduce,
     .workspace = workspace_split_reduce,
     .workspace_rule = WEIGHTS_WORKSPACE_RULE,
     .run = conv2d_backward_weights_split_reduce},
    {.kind = FV_CONV2D,
     .pass = FV_BACKWARD_WEIGHTS,
     .dtype = FV_F32,
     .name = "direct",
     .min_capability = 80,
     .deterministic = true,
     .run = conv2d_backward_weights_direct},
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
