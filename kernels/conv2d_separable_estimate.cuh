/* What the fused kernels of conv2d_separable.cu expect of themselves. */
#ifndef FOVEA_CONV2D_SEPARABLE_ESTIMATE_CUH
#define FOVEA_CONV2D_SEPARABLE_ESTIMATE_CUH

#include "conv2d_separable_weights.cuh"
#include "issue_estimate.cuh"

namespace FV_NAMESPACE {

constexpr double SEPARABLE_WARPS = SEPARABLE_THREADS / WARP;
constexpr double SEPARABLE_STAGED =
    SEPARABLE_TILE * PRODUCT_DEPTH / SEPARABLE_THREADS; /* elements of a slice, a thread */

/* A strip of results of one channel: for each row of taps, strip + taps - 1 values are fetched and checked. */
inline double strip_instructions(double rows, double taps) {
    constexpr double FETCH = 5, PER_ROW = 20;
    return rows * (taps * (SEPARABLE_STRIP + 1) + (SEPARABLE_STRIP + taps - 1) * FETCH + PER_ROW);
}

/* x is read under each tile once for every tile of output channels; the taps' overlap stays in the first-level cache. */
inline double separable_forward_expected(const fv_operation *op, const fv_chip *chip) {
    const fv_separable &d = op->separable;
    const separable_plan plan = separable_forward_plan_of(d);
    const double blocks = static_cast<double>(plan.blocks), channels = static_cast<double>(plan.depthwise.channels);
    const double slice = plan.tiles * (SLICE_PRODUCT + SEPARABLE_STAGED * STAGE_DENSE) +
                         strip_instructions(static_cast<double>(d.r), static_cast<double>(d.s));
    const double read =
        SEPARABLE_TILE * static_cast<double>(d.c * d.stride_h * d.stride_w) + plan.tiles * SEPARABLE_TILE * channels;
    return expected_issue(*chip, {.instructions = blocks * SEPARABLE_WARPS * ceil(channels / PRODUCT_DEPTH) * slice,
                                  .blocks = blocks,
                                  .threads = SEPARABLE_THREADS,
                                  .shared_bytes = static_cast<double>(plan.shared_bytes),
                                  .bytes = bytes_of(op, FV_FORWARD),
                                  .cache_bytes = blocks * read * sizeof(float)});
}

/* compute_dz of so many pixels by 64 channels: instructions of a block, and floats read. */
inline double dz_instructions(double pixels, double k) {
    const double slice = SLICE_PRODUCT + SEPARABLE_STAGED * (STAGE_DENSE + STAGE_DENSE / 2);
    return SEPARABLE_WARPS * ceil(pixels / SEPARABLE_TILE) * ceil(k / PRODUCT_DEPTH) * slice;
}

inline double dz_floats(double pixels, double k) {
    return (pixels + SEPARABLE_TILE) * k;
}

/* dx gathers those taps of each value that meet an output. */
inline double separable_backward_data_expected(const fv_operation *op, const fv_chip *chip) {
    constexpr double PER_TAP = 8, PER_RESULT = 60;
    separable_data_plan plan = {};
    if (!separable_data_plan_of(op->separable, plan))
        return NAN;
    const fv_separable &d = plan.d;
    const double blocks = static_cast<double>(plan.blocks), k = static_cast<double>(d.k);
    const double taps = static_cast<double>(d.r * d.s * d.multiplier) / static_cast<double>(d.stride_h * d.stride_w);
    const double results = static_cast<double>(plan.tile_h) * plan.tile_w * plan.channels;
    const double gathering = results / WARP * (PER_RESULT + taps * PER_TAP);
    return expected_issue(*chip, {.instructions = blocks * (dz_instructions(plan.pixels, k) + gathering),
                                  .blocks = blocks,
                                  .threads = SEPARABLE_THREADS,
                                  .shared_bytes = static_cast<double>(plan.shared_bytes),
                                  .bytes = bytes_of(op, FV_BACKWARD_DATA),
                                  .cache_bytes = blocks * dz_floats(plan.pixels, k) * sizeof(float)});
}

/* The gradient of w2: for 16 pixels at a time, a strip of z by each thread and its product with dy. */
inline double separable_pointwise_expected(const fv_operation *op, const fv_chip *chip) {
    const fv_separable &d = op->separable;
    const separable_plan plan = separable_pointwise_plan_of(d);
    const double blocks = static_cast<double>(plan.blocks), units = static_cast<double>(plan.units);
    const double slice = plan.tiles * (SLICE_PRODUCT + SEPARABLE_STAGED * STAGE_DENSE) +
                         strip_instructions(static_cast<double>(d.r), static_cast<double>(d.s));
    const double floats = units * SEPARABLE_STRIP * SEPARABLE_TILE * (1 + plan.tiles);
    issued_work work = {.instructions = blocks * SEPARABLE_WARPS * ceil(units / POINTWISE_STRIPS) * slice,
                        .blocks = blocks * static_cast<double>(plan.splits),
                        .threads = SEPARABLE_THREADS,
                        .shared_bytes = static_cast<double>(plan.shared_bytes),
                        .bytes = bytes_of(op, FV_BACKWARD_WEIGHTS),
                        .cache_bytes = blocks * floats * sizeof(float)};
    add_splits(work, static_cast<double>(plan.splits), static_cast<double>(plan.partial));
    return expected_issue(*chip, work);
}

/* The gradient of w: dz by a product, then each strip of taps walks along the lines of the tile. */
inline double separable_taps_expected(const fv_operation *op, const fv_chip *chip) {
    constexpr double PER_COLUMN = SEPARABLE_STRIP + 8, PER_LINE = 60, PER_STRIP = 40;
    const fv_separable &d = op->separable;
    const separable_taps_plan plan = separable_taps_plan_of(d);
    const double tiles = static_cast<double>(plan.tiles * plan.channel_tiles), k = static_cast<double>(d.k);
    const double strips = static_cast<double>(d.r) * plan.row_strips;
    const double walking =
        SEPARABLE_TILE / WARP * strips * (PER_STRIP + plan.tile_lines * (PER_LINE + plan.tile_cols * PER_COLUMN));
    issued_work work = {.instructions = tiles * (dz_instructions(plan.pixels, k) + walking),
                        .blocks = static_cast<double>(plan.channel_tiles * plan.splits),
                        .threads = SEPARABLE_THREADS,
                        .shared_bytes = static_cast<double>(plan.shared_bytes),
                        .bytes = bytes_of(op, FV_BACKWARD_WEIGHTS),
                        .cache_bytes = tiles * dz_floats(plan.pixels, k) * sizeof(float)};
    add_splits(work, static_cast<double>(plan.splits), static_cast<double>(plan.partial));
    return expected_issue(*chip, work);
}

inline double separable_backward_weights_expected(const fv_operation *op, const fv_chip *chip) {
    return separable_pointwise_expected(op, chip) + separable_taps_expected(op, chip);
}

} // namespace FV_NAMESPACE

#endif
