/* Estimates of kernels that are bound by how many instructions the multiprocessors issue: what the f32 kernels of plain
 * FMAs expect of themselves (fv_kernel.estimate). The counts are of the loops' source, an FMA and a load one each, an
 * address or a bound checked a few. */
#ifndef FOVEA_ISSUE_ESTIMATE_CUH
#define FOVEA_ISSUE_ESTIMATE_CUH

#include "estimate.cuh"
#include "product.cuh"

namespace FV_NAMESPACE {

/* What dividing two 64-bit integers takes. */
constexpr double DIVISION = 60;

struct issued_work {
    double instructions; /* of all warps; the launches behind the first are too short to count */
    double blocks, threads;
    double shared_bytes; /* of a block */
    double bytes, cache_bytes;
    int launches = 1;
    double busy_threads = 512; /* of a multiprocessor: fewer leave it waiting; 0: that is in `instructions` already */
};

/* Blocks that a multiprocessor holds at once, with some 64 registers a thread. */
inline double resident_blocks(double threads, double shared_bytes) {
    constexpr double THREADS_PER_SM = 1024, SHARED_PER_SM = 220 * 1024;
    const double fitting =
        shared_bytes > 0 ? fmin(SHARED_PER_SM / shared_bytes, THREADS_PER_SM / threads) : THREADS_PER_SM / threads;
    return fmax(1, floor(fitting));
}

/* The lines of the first-level cache, of 32 floats, that `values` floats, `step` apart, lie in: it serves one a clock. */
inline double cache_lines(double values, double step) {
    return values <= 1 ? 1 : fmin(values, ceil(values * step / 32));
}

/* Instructions that a multiprocessor issues in a clock, at best. */
constexpr double ISSUED_PER_CLOCK = 4;

/* Were every instruction of a warp an FMA, it would be 64 FLOP; of the slots to issue one, loops with barriers and loads
 * that wait fill some 7 in 10. Blocks that a multiprocessor holds at once share its slots, so what counts is how many it gets in
 * all. */
inline double expected_issue(const fv_chip &chip, const issued_work &work) {
    constexpr double FLOP_OF_WARP = 2 * WARP, FILLED_SLOTS = 0.7;
    const double resident = resident_blocks(work.threads, work.shared_bytes);
    const double threads = work.threads * fmin(resident, ceil(work.blocks / chip.units));
    const double hidden = work.busy_threads > 0 ? fmin(1, threads / work.busy_threads) : 1;
    return expected_seconds(chip, {.flop = FLOP_OF_WARP * work.instructions,
                                   .rate = FILLED_SLOTS * hidden * chip.fma,
                                   .bytes = work.bytes,
                                   .cache_bytes = work.cache_bytes,
                                   .blocks = work.blocks,
                                   .resident = 1,
                                   .launches = work.launches});
}

inline double bytes_of(const fv_operation *op, fv_pass pass) {
    return static_cast<double>(fv_operation_bytes(op, pass));
}

/* ---- tiled products (product.cuh) ---- */

constexpr double STAGE_DENSE = 10, STAGE_GATHERED = 25; /* for each element staged */

/* What a warp issues for a slice of PRODUCT_DEPTH values beside staging it: 16 FMAs and 2 reads for each, barriers. */
constexpr double SLICE_PRODUCT = PRODUCT_DEPTH * (16 + 2) + 40;

/* `count` products of m x n by tiles, each sum `depth` long; `splits` blocks share a tile's sum. */
struct product_shape {
    double m, n, depth, count;
    int tile;
    double splits = 1;
};

inline issued_work product_work(const product_shape &shape, double stage_a, double stage_b) {
    const double tiles = ceil(shape.m / shape.tile) * ceil(shape.n / shape.tile) * shape.count;
    const double threads = shape.tile * shape.tile / 16;
    const double staged = shape.tile * PRODUCT_DEPTH / threads; /* elements of an operand that a thread stages */
    const double slice = SLICE_PRODUCT + staged * (stage_a + stage_b);
    return {.instructions = tiles * ceil(shape.depth / PRODUCT_DEPTH) * (threads / WARP) * slice,
            .blocks = tiles * shape.splits,
            .threads = threads,
            .shared_bytes = 2.0 * PRODUCT_DEPTH * (shape.tile + 4) * sizeof(float),
            .bytes = 0,
            .cache_bytes = tiles * shape.depth * 2 * shape.tile * sizeof(float),
            .launches = 1,
            .busy_threads = 256}; /* with 16 FMAs of a thread that do not wait for each other */
}

/* Adds what it takes to write the partial results of splits and to sum them up (splits.cuh). */
inline void add_splits(issued_work &work, double splits, double partial) {
    if (splits <= 1)
        return;
    work.cache_bytes += 2 * splits * partial * sizeof(float);
    work.launches += 1;
}

} // namespace FV_NAMESPACE

#endif
