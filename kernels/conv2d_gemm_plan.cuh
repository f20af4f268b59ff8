/* The host's side of conv2d_gemm.cuh: plans by a function of the descriptor alone, so that results are the same bits on
 * every device, launches, and the rows of the kernel table.
 *
 * A conv2d_transposed is the adjoint of its mirror (conv2d_transposed.cu), and takes its passes with their roles
 * exchanged; a linear layer is a conv2d with a 1x1 window on images of one pixel. */
#ifndef FOVEA_CONV2D_GEMM_PLAN_CUH
#define FOVEA_CONV2D_GEMM_PLAN_CUH

#include "channel_sums.cuh"
#include "conv2d_gemm.cuh"
#include "conv2d_tile_plan.cuh"
#include "estimate.cuh"
#include "ops/op.h"
#include "splits.cuh"

namespace FV_NAMESPACE {

constexpr int GEMM_LARGE = 128, GEMM_SMALL = 64;

/* ---- plans ---- */

struct gemm_choice {
    gemm_plan plan;
    int tile;
    bool wide; /* as far as channels go */
};

inline double gemm_tiles(const gemm_plan &plan) {
    return static_cast<double>(plan.row_tiles) * static_cast<double>(plan.column_tiles) *
           static_cast<double>(plan.groups) * plan.vertical.classes * plan.horizontal.classes;
}

inline void gemm_cut(gemm_plan &plan, int tile) {
    plan.row_tiles = ceil_div(plan.rows, tile);
    plan.column_tiles = ceil_div(plan.columns, tile);
}

/* Relative time of a grid: what the multiprocessors of an H200 have to multiply, wave by wave; small tiles read more
 * from shared memory for each product. */
inline double gemm_cost(gemm_plan plan, int tile, double splits) {
    constexpr double UNITS = 132, SMALL_PENALTY = 1.5;
    gemm_cut(plan, tile);
    const double resident = tile == GEMM_LARGE ? 2 : 4;
    const double waves = ceil(gemm_tiles(plan) * splits / (UNITS * resident));
    return waves * resident * tile * tile * (tile == GEMM_LARGE ? 1 : SMALL_PENALTY);
}

/* What is the same for every pass. */
inline gemm_plan gemm_problem(const fv_conv2d &d, bool backward) {
    gemm_plan plan = {};
    plan.vertical = tile_axis_of(d.h, fv_conv2d_p(&d), d.r, d.stride_h, d.pad_top, d.dilation_h, backward);
    plan.horizontal = tile_axis_of(d.w, fv_conv2d_q(&d), d.s, d.stride_w, d.pad_left, d.dilation_w, backward);
    plan.images = d.n;
    plan.groups = d.groups;
    plan.splits = 1;
    plan.columns_first = true;
    return plan;
}

/* forward, or backward_data if `backward`. */
inline gemm_choice gemm_choice_of(const fv_conv2d &d, bool backward, int lanes) {
    gemm_plan plan = gemm_problem(d, backward);
    const tile_axis &v = plan.vertical, &h = plan.horizontal;
    plan.rows = d.n * results_of(v) * results_of(h);
    plan.columns = static_cast<int>((backward ? d.c : d.k) / d.groups);
    plan.channels = static_cast<int>((backward ? d.k : d.c) / d.groups);
    plan.source_pitch = backward ? d.k : d.c;
    plan.result_pitch = backward ? d.c : d.k;
    plan.relu = d.relu != 0;
    const double source = static_cast<double>(d.n) * v.source * h.source * static_cast<double>(plan.source_pitch);
    plan.columns_first = source >= static_cast<double>(d.k) * v.filter * h.filter * static_cast<double>(d.c / d.groups);
    const bool wide = plan.channels % lanes == 0 && (!backward || plan.columns % lanes == 0);
    const bool large = wide && gemm_cost(plan, GEMM_LARGE, 1) <= gemm_cost(plan, GEMM_SMALL, 1);
    const int tile = large ? GEMM_LARGE : GEMM_SMALL;
    gemm_cut(plan, tile);
    return {plan, tile, wide};
}

/* `biases` sums lie behind the weights in each partial gradient. */
inline gemm_choice gemm_weights_choice_of(const fv_conv2d &d, int64_t biases, int lanes, int depth) {
    constexpr int64_t LEAST_SLICES = 16; /* a split of fewer costs more than it saves */
    gemm_plan plan = gemm_problem(d, false);
    plan.rows = d.k / d.groups;
    plan.channels = static_cast<int>(d.c / d.groups);
    plan.columns = static_cast<int>(d.r * d.s * plan.channels);
    plan.source_pitch = d.c;
    plan.result_pitch = d.k;
    const int64_t p = plan.vertical.result, q = plan.horizontal.result;
    plan.pixels = d.n * p * q;
    plan.partial = d.k * plan.columns + biases;
    plan.step_images = static_cast<int>(depth / (p * q));
    plan.step_rows = static_cast<int>(depth / q % p);
    plan.step_cols = static_cast<int>(depth % q);
    const bool wide = plan.channels % lanes == 0 && plan.rows % lanes == 0;
    const int64_t most = ceil_div(plan.pixels, depth * LEAST_SLICES);
    const double splits = static_cast<double>(most > 0 ? most : 1);
    const bool large = wide && gemm_cost(plan, GEMM_LARGE, splits) <= gemm_cost(plan, GEMM_SMALL, splits);
    const int tile = large ? GEMM_LARGE : GEMM_SMALL;
    gemm_cut(plan, tile);
    const sum_splits cut = splits_of(plan.pixels, plan.groups * plan.row_tiles * plan.column_tiles, most, depth);
    plan.splits = cut.count;
    plan.per_split = cut.per_split;
    return {plan, tile, wide};
}

/* ---- launches ---- */

inline bool gemm_aligned(const void *pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % GEMM_PIECE_BYTES == 0;
}

inline dim3 gemm_grid(const gemm_plan &plan) {
    return dim3(static_cast<unsigned>(gemm_tiles(plan)), static_cast<unsigned>(plan.splits));
}

template <typename ARITHMETIC, bool BACKWARD, int TILE, bool WIDE, typename T>
fv_status gemm_launch(fv_context *context, const gemm_plan &plan, const T *source, const T *filters, const T *bias,
                      T *result) {
    return FV_LAUNCH(context, (conv2d_gemm_kernel<ARITHMETIC, BACKWARD, TILE, WIDE>), gemm_grid(plan),
                     (GEMM_THREADS<ARITHMETIC, TILE>), (GEMM_SHARED_BYTES<T, TILE>), plan, source, filters, bias,
                     result);
}

/* BACKWARD: backward_data; the bias, of the results' channels, may be NULL. */
template <typename ARITHMETIC, bool BACKWARD, typename T>
fv_status gemm_run(fv_context *context, const fv_conv2d &d, const T *source, const T *filters, const T *bias,
                   T *result) {
    gemm_choice choice = gemm_choice_of(d, BACKWARD, GEMM_LANES<T>);
    gemm_plan &plan = choice.plan;
    if (plan.rows == 0)
        return FV_OK;
    plan.wide_stores = plan.columns % GEMM_LANES<T> == 0 && gemm_aligned(result);
    if (!choice.wide || !gemm_aligned(source) || !gemm_aligned(filters)) {
        gemm_cut(plan, GEMM_SMALL);
        return gemm_launch<ARITHMETIC, BACKWARD, GEMM_SMALL, false>(context, plan, source, filters, bias, result);
    }
    if (choice.tile == GEMM_SMALL)
        return gemm_launch<ARITHMETIC, BACKWARD, GEMM_SMALL, true>(context, plan, source, filters, bias, result);
    return gemm_launch<ARITHMETIC, BACKWARD, GEMM_LARGE, true>(context, plan, source, filters, bias, result);
}

template <typename ARITHMETIC, int TILE, bool WIDE, typename T>
fv_status gemm_launch_weights(fv_context *context, const gemm_plan &plan, const T *x, const T *dy, float *dw,
                              float *db) {
    return FV_LAUNCH(context, (conv2d_gemm_weights_kernel<ARITHMETIC, TILE, WIDE>), gemm_grid(plan),
                     (GEMM_THREADS<ARITHMETIC, TILE>), (GEMM_SHARED_BYTES<T, TILE>), plan, x, dy, dw, db);
}

/* Partial gradients of all splits; db: of dy's channels, or NULL. */
template <typename ARITHMETIC, typename T>
fv_status gemm_run_weights(fv_context *context, gemm_choice choice, const T *x, const T *dy, float *dw, float *db) {
    gemm_plan &plan = choice.plan;
    plan.wide_stores =
        plan.columns % GEMM_LANES<float> == 0 && plan.partial % GEMM_LANES<float> == 0 && gemm_aligned(dw);
    if (!choice.wide || !gemm_aligned(x) || !gemm_aligned(dy)) {
        gemm_cut(plan, GEMM_SMALL);
        return gemm_launch_weights<ARITHMETIC, GEMM_SMALL, false>(context, plan, x, dy, dw, db);
    }
    if (choice.tile == GEMM_SMALL)
        return gemm_launch_weights<ARITHMETIC, GEMM_SMALL, true>(context, plan, x, dy, dw, db);
    return gemm_launch_weights<ARITHMETIC, GEMM_LARGE, true>(context, plan, x, dy, dw, db);
}

/* ---- rows of the table ---- */

inline fv_conv2d gemm_conv2d_of(const fv_operation *op) {
    if (op->kind == FV_TRANSPOSED)
        return fv_transposed_mirror(&op->transposed);
    if (op->kind == FV_CONV2D)
        return op->conv2d;
    const fv_linear &d = op->linear;
    fv_conv2d same = {};
    same.n = d.n;
    same.c = d.c;
    same.k = d.k;
    same.h = same.w = same.r = same.s = same.groups = 1;
    same.stride_h = same.stride_w = same.dilation_h = same.dilation_w = 1;
    same.bias = d.bias;
    same.dtype = d.dtype;
    return same;
}

inline int64_t gemm_biases_of(const fv_operation *op) {
    if (op->kind == FV_TRANSPOSED)
        return op->transposed.bias ? op->transposed.k : 0;
    const fv_conv2d d = gemm_conv2d_of(op);
    return d.bias ? d.k : 0;
}

/* Before there is a plan. In narrow groups hardly one product in a hundred would count: those have kernels of their
 * own. */
inline const char *gemm_refusal(const fv_conv2d &d, bool of_f32) {
    constexpr double MOST = 1 << 30, LEAST_PRODUCTS = 16, LEAST_CHANNELS = 8;
    const double filter = static_cast<double>(d.r) * static_cast<double>(d.s);
    const double kg = static_cast<double>(d.k / d.groups), cg = static_cast<double>(d.c / d.groups);
    const double pixels = static_cast<double>(fv_conv2d_p(&d)) * static_cast<double>(fv_conv2d_q(&d));
    if (static_cast<double>(d.c) > MOST || static_cast<double>(d.k) > MOST || filter * cg > MOST || filter * kg > MOST)
        return "there are over 2^30 channels, or weights of a channel";
    if (static_cast<double>(d.n) > MOST || static_cast<double>(d.n) * pixels > 16 * MOST)
        return "there are over 2^30 images, or 2^34 pixels";
    if (of_f32 && fmin(kg, cg) < LEAST_CHANNELS) /* there are better rows; of 16 bits only direct */
        return "a group has fewer than 8 channels: tiles would be mostly empty";
    return d.groups > 1 && kg * cg < LEAST_PRODUCTS
               ? "a group has fewer than 16 pairs of channels: tiles would be empty"
               : NULL;
}

/* Arithmetic of the roofline: which unit, and the share of its peak that the loop is expected to reach
 * (conv2d_gemm.cuh). */
template <typename ARITHMETIC>
double gemm_rate(const fv_chip &chip) {
    if constexpr (!ARITHMETIC::TENSOR_CORES)
        return 0.72 * chip.fma;
    else if constexpr (ARITHMETIC::THREE_PRODUCTS)
        return 0.4 / 3 * chip.tensor_tf32;
    else
        return sizeof(typename ARITHMETIC::T) == 2 ? 0.48 * chip.tensor_half : 0.4 * chip.tensor_tf32;
}

/* Small tiles, and those that are copied value by value. */
inline double gemm_share(const gemm_choice &choice) {
    return choice.tile == GEMM_LARGE ? 1 : choice.wide ? 0.7 : 0.15;
}

/* A row of `ARITHMETIC` for a pass of a kind. */
template <typename ARITHMETIC, fv_kind KIND, fv_pass PASS>
struct gemm_row {
    using T = typename ARITHMETIC::T;
    static constexpr bool MIRRORED = KIND == FV_TRANSPOSED, WEIGHTS = PASS == FV_BACKWARD_WEIGHTS;
    static constexpr bool BACKWARD = !WEIGHTS && MIRRORED == (PASS == FV_FORWARD); /* the kernel's */

    static gemm_choice choice_of(const fv_operation *op) {
        const fv_conv2d d = gemm_conv2d_of(op);
        return WEIGHTS ? gemm_weights_choice_of(d, gemm_biases_of(op), GEMM_LANES<T>, GEMM_DEPTH<T>)
                       : gemm_choice_of(d, BACKWARD, GEMM_LANES<T>);
    }

    static const char *supports(const fv_operation *op) {
        if (const char *refusal = gemm_refusal(gemm_conv2d_of(op), sizeof(T) == sizeof(float)))
            return refusal;
        gemm_plan plan = choice_of(op).plan;
        gemm_cut(plan, GEMM_SMALL);
        return gemm_tiles(plan) > static_cast<double>(MAX_BLOCKS) ? "there are over 2^31-1 tiles of 64 x 64" : NULL;
    }

    static bool needs_parts(const gemm_plan &plan) {
        return plan.splits > 1 || sizeof(T) < sizeof(float);
    }

    static size_t workspace(const fv_operation *op, const void *) {
        const gemm_plan plan = choice_of(op).plan;
        return needs_parts(plan) ? static_cast<size_t>(plan.splits * plan.partial) * sizeof(float) : 0;
    }

    static fv_status run(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
        const fv_role from = PASS == FV_FORWARD ? FV_X : FV_DY, to = PASS == FV_FORWARD ? FV_Y : FV_DX;
        if constexpr (WEIGHTS)
            return run_weights(context, op, buffers);
        else
            return gemm_run<ARITHMETIC, BACKWARD>(context, gemm_conv2d_of(op), input<T>(buffers, from),
                                                  input<T>(buffers, FV_W), input<T>(buffers, FV_B),
                                                  output<T>(buffers, to));
    }

    /* A transposed convolution's bias is of the tensor that its mirror reads. */
    static fv_status run_weights(fv_context *context, const fv_operation *op, const fv_buffers *buffers) {
        const gemm_choice choice = choice_of(op);
        const gemm_plan &plan = choice.plan;
        const T *const x = input<T>(buffers, MIRRORED ? FV_DY : FV_X), *const dy =
                                                                           input<T>(buffers, MIRRORED ? FV_X : FV_DY);
        const int64_t biases = gemm_biases_of(op), weights = plan.partial - biases;
        const bool parts = needs_parts(plan);
        float *const dw = parts ? static_cast<float *>(buffers->workspace) : output<float>(buffers, FV_DW);
        float *const db = biases == 0 ? nullptr : parts ? dw + weights : output<float>(buffers, FV_DB);
        if (MIRRORED && db) {
            const int64_t pixels = plan.images * plan.vertical.source * plan.horizontal.source;
            FV_TRY(channel_sums(context, pixels, biases, plan.splits, x, db, plan.partial));
        }
        FV_TRY(gemm_run_weights<ARITHMETIC>(context, choice, x, dy, dw, MIRRORED ? nullptr : db));
        if (!parts)
            return FV_OK;
        return FV_LAUNCH(context, reduce_splits_kernel<T>, elementwise_grid(plan.partial), ELEMENTWISE_THREADS, 0,
                         plan.splits, plan.partial, weights, dw, output<T>(buffers, FV_DW), output<T>(buffers, FV_DB));
    }

    static double estimate(const fv_operation *op, const fv_chip *chip) {
        const gemm_choice choice = choice_of(op);
        const gemm_plan &plan = choice.plan;
        const tile_axis &v = plan.vertical, &h = plan.horizontal;
        const double depth = GEMM_DEPTH<T>, all = gemm_tiles(plan) * static_cast<double>(plan.splits);
        const double slices = WEIGHTS ? ceil(static_cast<double>(plan.per_split) / depth)
                                      : static_cast<double>(v.filter) * h.filter / (v.classes * h.classes) *
                                            ceil(static_cast<double>(plan.channels) / depth);
        double bytes = 0;
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(op, PASS, specs);
        for (int i = 0; i < count; ++i)
            bytes += static_cast<double>(fv_shape_elements(&specs[i].shape)) * sizeof(T);
        const bool parts = WEIGHTS && needs_parts(plan);
        bytes += parts ? 8.0 * static_cast<double>(plan.splits * plan.partial) : 0;
        constexpr gemm_layout SECOND = WEIGHTS || BACKWARD ? ACROSS : ALONG;
        constexpr int LARGE = gemm_resident<ARITHMETIC, GEMM_LARGE, SECOND>();
        constexpr int SMALL = gemm_resident<ARITHMETIC, GEMM_SMALL, SECOND>();
        const kernel_work work = {.flop = 2 * all * choice.tile * choice.tile * slices * depth,
                                  .rate = gemm_rate<ARITHMETIC>(*chip) * gemm_share(choice),
                                  .bytes = bytes,
                                  .cache_bytes = all * slices * 2 * choice.tile * GEMM_SLICE_BYTES,
                                  .blocks = all,
                                  .resident = static_cast<double>(choice.tile == GEMM_LARGE ? LARGE : SMALL),
                                  .launches = parts ? 2 : 1};
        return expected_seconds(*chip, work);
    }

    static void numerics(const fv_operation *, const void *, fv_numerics *numerics) {
        if constexpr (ARITHMETIC::TENSOR_CORES)
            numerics->notes = ARITHMETIC::THREE_PRODUCTS ? FV_NOTE_3XTF32 : sizeof(T) == 4 ? FV_NOTE_TF32 : 0;
    }
};

/* Its entry. */
template <typename ARITHMETIC, fv_kind KIND, fv_pass PASS>
constexpr fv_kernel gemm_entry(fv_dtype dtype, const char *method) {
    using ROW = gemm_row<ARITHMETIC, KIND, PASS>;
    constexpr bool WEIGHTS = PASS == FV_BACKWARD_WEIGHTS;
    return {.kind = KIND,
            .pass = PASS,
            .dtype = dtype,
            .name = method,
            .min_capability = 80,
            .deterministic = true,
            .fuses_relu = KIND == FV_CONV2D && PASS == FV_FORWARD,
            .supports = ROW::supports,
            .workspace = WEIGHTS ? ROW::workspace : nullptr,
            .workspace_rule =
                WEIGHTS ? "splits*(weights + biases)*4 bytes; of f32 and tf32 0 where it need not split" : nullptr,
            .estimate = ROW::estimate,
            .numerics = ROW::numerics,
            .run = ROW::run};
}

/* The three passes of a kind. */
#define GEMM_ROWS(arithmetic, kind_, dtype_, method)                                                                   \
    gemm_entry<arithmetic, kind_, FV_FORWARD>(dtype_, method),                                                         \
        gemm_entry<arithmetic, kind_, FV_BACKWARD_DATA>(dtype_, method),                                               \
        gemm_entry<arithmetic, kind_, FV_BACKWARD_WEIGHTS>(dtype_, method)

} // namespace FV_NAMESPACE

#endif
