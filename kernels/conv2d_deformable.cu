/* conv2d_deformable: a convolution whose taps are moved by offsets, read between pixels and weighed by a mask,
 *
 *     y[n,p,q,k] = b[k] + sum_{r,s,c} w[k,r,s,c] * mask[n,p,q,t]
 *                  * X(p*stride_h + r*dilation_h - pad_top + offset[n,p,q,2t],
 *                      q*stride_w + s*dilation_w - pad_left + offset[n,p,q,2t+1])    at channel g*C/G + c,
 *
 * t = (i*R + r)*S + s with i the channel's offset group, X bilinear between the pixels of x and 0 outside; and its
 * gradients by x, offset, mask, w and b. x and dx are [n,h,w,c], y and dy [n,p,q,k], w and dw [k,r,s,c/groups], offset and
 * doffset [n,p,q,2t], mask and dmask [n,p,q,t]. Any stride, padding, dilation, groups, offset groups and channels, any
 * offsets: one that is infinite or NaN gives 0 and gets none. f32 throughout; every row is deterministic.
 *
 * Variants: one for each pass. Neither cuDNN nor oneDNN has the operation, so none is compared.
 *     sampled_product   (forward) a tiled matrix product with rows that are interpolated while they are staged. See
 *                       conv2d_deformable_forward.cuh.
 *     gathered_columns  (backward_data) the columns' gradients by a matrix product; doffset and dmask are sums of them over
 *                       channels, dx over the taps that a tile of pixels finds to read it. See conv2d_deformable_data.cuh.
 *     split_reduce      (backward_weights) the filter gradient of conv2d with such rows: see conv2d_weights.cuh.
 *
 * Each tap of an output pixel reads four pixels of all channels and weighs them: 8 FLOP per 16 bytes of L1, and then
 * meets 64 filters of the tile: 8 FLOP per byte. 8 to 16 warps of 64. Expected on an H200: 35 to 40 % of the f32 floor
 * forward, 20 to 25 % backward_data (three sums of the columns' gradients, from memory), 30 % backward_weights; the
 * goal of 60 % needs tensor cores. */
#include "conv2d_deformable_data.cuh"
#include "conv2d_deformable_forward.cuh"
#include "product_tile.cuh"

namespace FV_NAMESPACE {

namespace {

/* ---- forward ---- */

const char *supports_forward(const fv_operation *op) {
    const deformable_shape g = deformable_shape_of(*op, op->deformable.n);
    return product_refusal(g.pixels, g.kg, g.d.groups);
}

fv_status deformable_forward_sampled_product(fv_context *context, const fv_operation *op, void *,
                                             const fv_buffers *buffers) {
    const deformable_shape g = deformable_shape_of(*op, op->deformable.n);
    if (g.pixels == 0)
        return FV_OK;
    const moved_taps taps = moved_taps_of(g, buffers);
    const int tile = product_tile_of(g.pixels, g.kg, g.d.groups);
    const dim3 grid(product_blocks(tile, g.pixels, g.kg, g.d.groups));
    if (tile == 64)
        return FV_LAUNCH(context, deformable_forward_kernel<64>, grid, PRODUCT_THREADS<64>, 0, g, taps,
                         input(buffers, FV_W), input(buffers, FV_B), output(buffers, FV_Y));
    return FV_LAUNCH(context, deformable_forward_kernel<32>, grid, PRODUCT_THREADS<32>, 0, g, taps,
                     input(buffers, FV_W), input(buffers, FV_B), output(buffers, FV_Y));
}

/* ---- backward_data ---- */

/* How the images are taken in chunks. */
struct chunk_plan {
    int64_t images;  /* in a chunk; the last may have fewer */
    int64_t columns; /* floats, of a chunk */
    int64_t boxes;   /* of one offset group in one image */
};

chunk_plan chunk_plan_of(const fv_operation &op) {
    const deformable_shape one = deformable_shape_of(op, 1);
    const int64_t columns = one.pixels * one.d.groups * one.columns;
    const int64_t fit = columns < CHUNK_COLUMNS ? CHUNK_COLUMNS / columns : 1;
    const int64_t images = fit < op.deformable.n ? fit : op.deformable.n;
    return {images, images * columns, ceil_div(one.p * one.q * one.window, GATHER_TAPS)};
}

int64_t gather_blocks(const deformable_shape &g) {
    return g.d.n * ceil_div(g.d.h, GATHER_SIDE) * ceil_div(g.d.w, GATHER_SIDE) * g.offset_groups *
           ceil_div(g.channels, GATHER_CHANNELS);
}

const char *supports_backward_data(const fv_operation *op) {
    const deformable_shape g = deformable_shape_of(*op, chunk_plan_of(*op).images);
    const char *refusal = product_refusal(g.pixels, g.columns, g.d.groups);
    return refusal ? refusal : gather_blocks(g) > MAX_BLOCKS ? "it takes more than 2^31-1 blocks" : NULL;
}

size_t columns_bytes(const chunk_plan &plan) {
    return static_cast<size_t>(ceil_div(plan.columns, 64) * 64) * sizeof(float);
}

size_t workspace_backward_data(const fv_operation *op, const void *) {
    const chunk_plan plan = chunk_plan_of(*op);
    return columns_bytes(plan) +
           static_cast<size_t>(plan.images * op->deformable.offset_groups * plan.boxes) * sizeof(tap_box);
}

/* Threads for the channels of a tap: 16 read 64 neighbouring bytes, and leave each enough to do for one place. */
int lanes_for(int64_t channels) {
    int lanes = 1;
    while (lanes < 16 && lanes < channels)
        lanes *= 2;
    return lanes;
}

/* A chunk, whose tensors begin at these pointers. */
fv_status backward_chunk(fv_context *context, const deformable_shape &g, int64_t boxes, const moved_taps &taps,
                         const float *w, const float *dy, float *columns, tap_box *box, float *dx, float *doffset,
                         float *dmask) {
    const int lanes = lanes_for(g.channels);
    const matrix_product product = {
        .a = {dy, g.d.k, 1, g.pixels},
        .b = {w, 1, g.columns, g.columns},
        .depth = g.kg,
        .bias = nullptr,
        .result = columns,
        .pitch = g.d.groups * g.columns,
        .row_sums = nullptr,
        .count = g.d.groups,
        .next = {.a = g.kg, .b = g.kg * g.columns, .bias = 0, .result = g.columns, .row_sums = 0},
    };
    FV_TRY((run_product<true, false>(context, product)));
    FV_TRY(FV_LAUNCH(context, deformable_offsets_kernel, elementwise_grid(g.pixels * g.taps * lanes),
                     ELEMENTWISE_THREADS, 0, g, taps, lanes, columns, doffset, dmask));
    FV_TRY(FV_LAUNCH(context, deformable_boxes_kernel, elementwise_grid(g.d.n * g.offset_groups * boxes * WARP),
                     ELEMENTWISE_THREADS, 0, g, taps, boxes, box));
    return FV_LAUNCH(context, deformable_gather_kernel, dim3(static_cast<unsigned>(gather_blocks(g))), GATHER_THREADS,
                     0, g, taps, boxes, box, columns, dx);
}

fv_status deformable_backward_data_gathered_columns(fv_context *context, const fv_operation *op, void *,
                                                    const fv_buffers *buffers) {
    const chunk_plan plan = chunk_plan_of(*op);
    float *const columns = static_cast<float *>(buffers->workspace);
    tap_box *const box =
        reinterpret_cast<tap_box *>(static_cast<unsigned char *>(buffers->workspace) + columns_bytes(plan));
    const int64_t n = op->deformable.n;
    for (int64_t first = 0; first < n; first += plan.images) {
        const deformable_shape g = deformable_shape_of(*op, n - first < plan.images ? n - first : plan.images);
        const int64_t pixel = first * g.p * g.q, image = first * g.d.h * g.d.w * g.d.c;
        moved_taps taps = moved_taps_of(g, buffers);
        taps.x += image;
        taps.offset += pixel * 2 * g.taps;
        taps.mask += taps.mask ? pixel * g.taps : 0;
        float *const dmask = output(buffers, FV_DMASK);
        FV_TRY(backward_chunk(context, g, plan.boxes, taps, input(buffers, FV_W), input(buffers, FV_DY) + pixel * g.d.k,
                              columns, box, output(buffers, FV_DX) + image,
                              output(buffers, FV_DOFFSET) + pixel * 2 * g.taps,
                              dmask ? dmask + pixel * g.taps : nullptr));
    }
    return FV_OK;
}

/* ---- backward_weights ---- */

const char *supports_backward_weights(const fv_operation *op) {
    return weights_refusal(deformable_shape_of(*op, op->deformable.n));
}

size_t workspace_backward_weights(const fv_operation *op, const void *) {
    const deformable_shape g = deformable_shape_of(*op, op->deformable.n);
    return splits_workspace(g.splits, g.partial);
}

fv_status deformable_backward_weights_split_reduce(fv_context *context, const fv_operation *op, void *,
                                                   const fv_buffers *buffers) {
    const deformable_shape g = deformable_shape_of(*op, op->deformable.n);
    return weights_in_splits(context, g.d, g.splits, buffers, [&](float *dw, float *db) {
        return weights_split(context, g, moved_taps_of(g, buffers), input(buffers, FV_DY), dw, db);
    });
}

} // namespace

const fv_kernel conv2d_deformable_kernels[] = {
    FV_KERNEL_F32(FV_DEFORMABLE, FV_FORWARD, "sampled_product", .supports = supports_forward,
                  .run = deformable_forward_sampled_product),
    FV_KERNEL_F32(
        FV_DEFORMABLE, FV_BACKWARD_DATA, "gathered_columns", .supports = supports_backward_data,
        .workspace = workspace_backward_data,
        .workspace_rule =
            "images*p*q*r*s*c*4 bytes for as many images as fit 8 MiB, at least one; p*q*r*s/16 per offset group",
        .run = deformable_backward_data_gathered_columns),
    FV_KERNEL_F32(FV_DEFORMABLE, FV_BACKWARD_WEIGHTS, "split_reduce", .supports = supports_backward_weights,
                  .workspace = workspace_backward_weights, .workspace_rule = WEIGHTS_WORKSPACE_RULE,
                  .run = deformable_backward_weights_split_reduce),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
