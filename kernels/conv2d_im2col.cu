/* conv2d by columns and a library's matrix product (Chellapilla et al. 2006; Caffe): the classic to compare with. What a
 * window covers is written out as one row of a matrix, the columns of group g being
 *
 *     columns[g][(n,p,q)][(r,s,c)] = x[n, p*stride_h + r*dilation_h - pad_top, ..., g*C/G + c], 0 in the padding,
 *
 * and then, with the filters of a group as a matrix w_g [K/G, R*S*C/G], each pass is a product for each group:
 *
 *     forward            y_g = columns_g w_g'      after y = 1 b': ones times the bias
 *     backward_data      columns_g = dy_g w_g      then each dx gathers the columns that stand for it: no atomics
 *     backward_weights   dw_g = dy_g' columns_g    and db' = 1' dy
 *
 * The batch is taken some images at a time: enough pixels for a product that fills the device, and no more, so that the
 * columns are read back from cache rather than from memory. A 1x1 window without stride and padding needs no copy: x
 * is its own matrix of columns.
 *
 * Activations NHWC, filters [k,r,s,c/groups], f32; any stride, padding, dilation and groups. Deterministic: the products
 * are (blas.cuh), and those of backward_weights are added in the order of the images.
 *
 * Variant
 *     im2col   a block writes the columns of one output line, or gathers one input line; neighbouring threads take
 *              neighbouring channels. Measured and verified, but never chosen: it is the yardstick of our own kernels.
 *
 * The columns are written and read once each: 2 r s times the traffic of x. Expected on an H200: 60 % of the f32 floor
 * at 256 channels, where cuBLAS's 70 % is lowered by the columns, and 32 % at 64. */
#include "blas.cuh"
#include "issue_estimate.cuh"

namespace FV_NAMESPACE {

namespace {

constexpr int64_t ENOUGH_PIXELS = 8192; /* for a product to fill a large device */

struct column_plan {
    fv_conv2d d;
    int64_t p, q, cg, kg;
    int64_t row;    /* elements of one group's row of columns: r*s*cg */
    int64_t images; /* taken at once */
    bool copies;    /* else x is its own matrix of columns */
};

column_plan column_plan_of(const fv_conv2d &d) {
    column_plan plan = {};
    plan.d = d;
    plan.p = fv_conv2d_p(&d);
    plan.q = fv_conv2d_q(&d);
    plan.cg = d.c / d.groups;
    plan.kg = d.k / d.groups;
    plan.row = d.r * d.s * plan.cg;
    const int64_t enough = ceil_div(ENOUGH_PIXELS, plan.p * plan.q);
    plan.images = enough < d.n ? enough : d.n;
    plan.copies = plan.row != plan.cg || d.stride_h != 1 || d.stride_w != 1 ||
                  d.pad_top + d.pad_bottom + d.pad_left + d.pad_right != 0;
    return plan;
}

/* ---- kernels; `pixels` are all output pixels of the images at hand ---- */

/* Block (g, n, p) writes the columns of one output line. */
__global__ void conv2d_im2col_kernel(column_plan plan, int64_t pixels, const float *x, float *columns) {
    const fv_conv2d &d = plan.d;
    const int64_t line = blockIdx.x % (pixels / plan.q), group = blockIdx.x / (pixels / plan.q);
    const int64_t image = line / plan.p, p = line % plan.p;
    const int row = static_cast<int>(plan.row), cg = static_cast<int>(plan.cg), taps_across = static_cast<int>(d.s);
    float *const target = columns + (group * pixels + line * plan.q) * plan.row;
    for (int e = static_cast<int>(threadIdx.x); e < static_cast<int>(plan.q) * row; e += ELEMENTWISE_THREADS) {
        const int q = e / row, c = e % cg, tap = e % row / cg;
        const int64_t down = p * d.stride_h + tap / taps_across * d.dilation_h - d.pad_top;
        const int64_t across = q * d.stride_w + tap % taps_across * d.dilation_w - d.pad_left;
        const bool inside = down >= 0 && down < d.h && across >= 0 && across < d.w;
        target[e] = inside ? x[((image * d.h + down) * d.w + across) * d.c + group * cg + c] : 0.0f;
    }
}

/* Block (n, h) gathers one input line. */
__global__ void conv2d_col2im_kernel(column_plan plan, int64_t pixels, const float *columns, float *dx) {
    const fv_conv2d &d = plan.d;
    const int64_t image = blockIdx.x / d.h, row = blockIdx.x % d.h;
    const int channels = static_cast<int>(d.c), cg = static_cast<int>(plan.cg);
    for (int e = static_cast<int>(threadIdx.x); e < static_cast<int>(d.w) * channels; e += ELEMENTWISE_THREADS) {
        const int col = e / channels, channel = e % channels;
        const float *const source = columns + channel / cg * pixels * plan.row + channel % cg;
        float sum = 0;
        for (int64_t r = 0; r < d.r; ++r) {
            const int64_t down = row + d.pad_top - r * d.dilation_h; /* stride * the output row that has it under r */
            if (down < 0 || down % d.stride_h != 0 || down / d.stride_h >= plan.p)
                continue;
            const int64_t line = image * plan.p + down / d.stride_h;
            for (int64_t s = 0; s < d.s; ++s) {
                const int64_t across = col + d.pad_left - s * d.dilation_w;
                if (across >= 0 && across % d.stride_w == 0 && across / d.stride_w < plan.q)
                    sum += source[(line * plan.q + across / d.stride_w) * plan.row + (r * d.s + s) * cg];
            }
        }
        dx[static_cast<int64_t>(blockIdx.x) * d.w * d.c + e] = sum;
    }
}

__global__ void conv2d_im2col_ones_kernel(int64_t elements, float *ones) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        ones[i] = 1.0f;
}

/* ---- launchers ---- */

/* Some of the batch's images. */
struct image_range {
    int64_t pixels;        /* their output pixels */
    int64_t input, output; /* the first one's place in x or dx, and in y or dy */
    bool first;            /* no others came before */
};

/* Calls step(range) for one range of images after the other. */
template <class STEP>
fv_status for_each_range(const column_plan &plan, const STEP &step) {
    const fv_conv2d &d = plan.d;
    for (int64_t n = 0; n < d.n; n += plan.images) {
        const int64_t images = plan.images < d.n - n ? plan.images : d.n - n;
        FV_TRY(step(image_range{.pixels = images * plan.p * plan.q,
                                .input = n * d.h * d.w * d.c,
                                .output = n * plan.p * plan.q * d.k,
                                .first = n == 0}));
    }
    return FV_OK;
}

/* The workspace holds the columns, then a one for each pixel. */
int64_t column_elements(const column_plan &plan) {
    return plan.copies ? plan.images * plan.p * plan.q * plan.row * plan.d.groups : 0;
}

template <bool ONES>
size_t workspace_bytes(const fv_operation *op, const void *) {
    const column_plan plan = column_plan_of(op->conv2d);
    const int64_t ones = ONES && plan.d.bias ? plan.images * plan.p * plan.q : 0;
    return static_cast<size_t>(column_elements(plan) + ones) * sizeof(float);
}

fv_status make_ones(fv_context *context, const column_plan &plan, const fv_buffers *buffers, const float **ones) {
    const int64_t pixels = plan.images * plan.p * plan.q;
    float *const place = static_cast<float *>(buffers->workspace) + column_elements(plan);
    *ones = place;
    if (pixels == 0)
        return FV_OK;
    return FV_LAUNCH(context, conv2d_im2col_ones_kernel, elementwise_grid(pixels), ELEMENTWISE_THREADS, 0, pixels,
                     place);
}

/* The columns of a range of x as the products' operand. */
fv_status make_columns(fv_context *context, const column_plan &plan, const image_range &range,
                       const fv_buffers *buffers, fv_matrix *columns) {
    const float *const x = input(buffers, FV_X) + range.input;
    *columns = {x, plan.d.c, plan.cg, false};
    if (!plan.copies)
        return FV_OK;
    float *const place = static_cast<float *>(buffers->workspace);
    *columns = {place, plan.row, range.pixels * plan.row, false};
    return FV_LAUNCH(context, conv2d_im2col_kernel, dim3(static_cast<unsigned>(plan.d.groups * range.pixels / plan.q)),
                     ELEMENTWISE_THREADS, 0, plan, range.pixels, x, place);
}

fv_status conv2d_forward_im2col(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const column_plan plan = column_plan_of(op->conv2d);
    const fv_conv2d &d = plan.d;
    const float *ones = nullptr;
    if (d.bias)
        FV_TRY(make_ones(context, plan, buffers, &ones));
    return for_each_range(plan, [&](const image_range &range) -> fv_status {
        float *const y = output(buffers, FV_Y) + range.output;
        if (d.bias)
            FV_TRY(blas_multiply(context, {.m = range.pixels,
                                           .n = d.k,
                                           .depth = 1,
                                           .count = 1,
                                           .a = {ones, 1, 0, false},
                                           .b = {input(buffers, FV_B), d.k, 0, false},
                                           .result = y,
                                           .pitch = d.k,
                                           .next = 0,
                                           .accumulate = false}));
        fv_matrix columns;
        FV_TRY(make_columns(context, plan, range, buffers, &columns));
        return blas_multiply(context, {.m = range.pixels,
                                       .n = plan.kg,
                                       .depth = plan.row,
                                       .count = d.groups,
                                       .a = columns,
                                       .b = {input(buffers, FV_W), plan.row, plan.kg * plan.row, true},
                                       .result = y,
                                       .pitch = d.k,
                                       .next = plan.kg,
                                       .accumulate = d.bias != 0});
    });
}

fv_status conv2d_backward_data_im2col(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const column_plan plan = column_plan_of(op->conv2d);
    const fv_conv2d &d = plan.d;
    float *const columns = static_cast<float *>(buffers->workspace);
    return for_each_range(plan, [&](const image_range &range) -> fv_status {
        float *const dx = output(buffers, FV_DX) + range.input;
        FV_TRY(blas_multiply(context, {.m = range.pixels,
                                       .n = plan.row,
                                       .depth = plan.kg,
                                       .count = d.groups,
                                       .a = {input(buffers, FV_DY) + range.output, d.k, plan.kg, false},
                                       .b = {input(buffers, FV_W), plan.row, plan.kg * plan.row, false},
                                       .result = plan.copies ? columns : dx,
                                       .pitch = plan.copies ? plan.row : d.c,
                                       .next = plan.copies ? range.pixels * plan.row : plan.cg,
                                       .accumulate = false}));
        if (!plan.copies)
            return FV_OK;
        const int64_t lines = range.pixels / plan.p / plan.q * d.h;
        return FV_LAUNCH(context, conv2d_col2im_kernel, dim3(static_cast<unsigned>(lines)), ELEMENTWISE_THREADS, 0,
                         plan, range.pixels, static_cast<const float *>(columns), dx);
    });
}

fv_status conv2d_backward_weights_im2col(fv_context *context, const fv_operation *op, void *,
                                         const fv_buffers *buffers) {
    const column_plan plan = column_plan_of(op->conv2d);
    const fv_conv2d &d = plan.d;
    float *const dw = output(buffers, FV_DW), *const db = output(buffers, FV_DB);
    const float *ones = nullptr;
    if (d.n == 0) { /* sums over nothing */
        FV_TRY(context->backend->fill(context, dw, 0, static_cast<size_t>(d.k * plan.row) * sizeof(float)));
        return d.bias ? context->backend->fill(context, db, 0, static_cast<size_t>(d.k) * sizeof(float)) : FV_OK;
    }
    if (d.bias)
        FV_TRY(make_ones(context, plan, buffers, &ones));
    return for_each_range(plan, [&](const image_range &range) -> fv_status {
        const float *const dy = input(buffers, FV_DY) + range.output;
        if (d.bias)
            FV_TRY(blas_multiply(context, {.m = 1,
                                           .n = d.k,
                                           .depth = range.pixels,
                                           .count = 1,
                                           .a = {ones, range.pixels, 0, false},
                                           .b = {dy, d.k, 0, false},
                                           .result = db,
                                           .pitch = d.k,
                                           .next = 0,
                                           .accumulate = !range.first}));
        fv_matrix columns;
        FV_TRY(make_columns(context, plan, range, buffers, &columns));
        return blas_multiply(context, {.m = plan.kg,
                                       .n = plan.row,
                                       .depth = range.pixels,
                                       .count = d.groups,
                                       .a = {dy, d.k, plan.kg, true},
                                       .b = columns,
                                       .result = dw,
                                       .pitch = plan.row,
                                       .next = plan.kg * plan.row,
                                       .accumulate = !range.first});
    });
}

/* ---- rows ---- */

const char *supports_columns(const fv_operation *op) {
    constexpr double MOST = INT32_MAX;
    const column_plan plan = column_plan_of(op->conv2d);
    const fv_conv2d &d = plan.d;
    const double images = static_cast<double>(plan.images), row = static_cast<double>(plan.row);
    const double q = static_cast<double>(plan.q), lines = images * static_cast<double>(plan.p);
    if (!plan.copies)
        return NULL;
    if (q * row > MOST - ELEMENTWISE_THREADS ||
        static_cast<double>(d.w) * static_cast<double>(d.c) > MOST - ELEMENTWISE_THREADS)
        return "a line of an image or of columns has about 2^31 elements or more";
    if (lines * static_cast<double>(d.groups) > MOST || images * static_cast<double>(d.h) > MOST)
        return "there are over 2^31-1 lines";
    return lines * q * row * static_cast<double>(d.groups) > 0x1p28 ? "the columns would take more than 1 GiB" : NULL;
}

fv_status prepare_columns(fv_context *context, const fv_operation *, void **) {
    return blas_ready(context);
}

/* Two divisions by 32-bit numbers and some comparisons for every element of the columns, which pass through the cache if
 * they fit it twice; then a library's products, at what cuBLAS reaches of the f32 peak on large ones, 47 of 67 TFLOP/s. */
template <fv_pass PASS>
double estimate_columns(const fv_operation *op, const fv_chip *chip) {
    constexpr double PER_ELEMENT = 60, OF_REACHABLE = 47.0 / 60;
    const column_plan plan = column_plan_of(op->conv2d);
    const fv_conv2d &d = plan.d;
    const double ranges = plan.images > 0 ? ceil(static_cast<double>(d.n) / static_cast<double>(plan.images)) : 0;
    const double chunk = static_cast<double>(column_elements(plan)), bytes = bytes_of(op, PASS);
    const double moved = 2 * ranges * chunk * sizeof(float);
    const bool cached = chunk * sizeof(float) < chip->cache / 2;
    const double copying = expected_issue(*chip, {.instructions = ranges * chunk * PER_ELEMENT / WARP,
                                                  .blocks = ranges * chunk / ELEMENTWISE_THREADS,
                                                  .threads = ELEMENTWISE_THREADS,
                                                  .shared_bytes = 0,
                                                  .bytes = cached ? 0 : moved,
                                                  .cache_bytes = moved,
                                                  .launches = 0});
    const double products = 2 * static_cast<double>(fv_operation_macs(op, PASS)) / (OF_REACHABLE * chip->fma);
    const int of_bias = PASS != FV_BACKWARD_DATA && d.bias;
    return copying + fmax(products, bytes / chip->bandwidth) +
           chip->launch * (of_bias + fmax(1, ranges) * (1 + plan.copies + of_bias));
}

constexpr const char *COLUMNS_AND_ONES_RULE = "(r*s*c + bias)*p*q*4 bytes for each of min(n, ceil(8192/(p*q))) images; "
                                              "no r*s*c for 1x1 without stride and padding";

} // namespace

const fv_kernel conv2d_im2col_kernels[] = {
    FV_KERNEL_F32(FV_CONV2D, FV_FORWARD, "im2col", .on_request = true, .supports = supports_columns,
                  .prepare = prepare_columns, .workspace = workspace_bytes<true>,
                  .workspace_rule = COLUMNS_AND_ONES_RULE, .estimate = estimate_columns<FV_FORWARD>,
                  .run = conv2d_forward_im2col),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_DATA, "im2col", .on_request = true, .supports = supports_columns,
                  .prepare = prepare_columns, .workspace = workspace_bytes<false>,
                  .workspace_rule =
                      "r*s*c*p*q*4 bytes for each of min(n, ceil(8192/(p*q))) images; none for 1x1 without stride "
                      "and padding",
                  .estimate = estimate_columns<FV_BACKWARD_DATA>, .run = conv2d_backward_data_im2col),
    FV_KERNEL_F32(FV_CONV2D, FV_BACKWARD_WEIGHTS, "im2col", .on_request = true, .supports = supports_columns,
                  .prepare = prepare_columns, .workspace = workspace_bytes<true>,
                  .workspace_rule = COLUMNS_AND_ONES_RULE, .estimate = estimate_columns<FV_BACKWARD_WEIGHTS>,
                  .run = conv2d_backward_weights_im2col),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
