/* What a kernel expects of itself: a roofline with the waves of its grid. It orders the kernels that can do an operation
 * (fv_kernel.estimate), and is the prediction that a measurement tests; so it counts what this kernel does, not what the
 * operation takes: products of padded tiles, operands that are read again by other blocks. */
#ifndef FOVEA_ESTIMATE_CUH
#define FOVEA_ESTIMATE_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

struct kernel_work {
    double flop;        /* that are executed */
    double rate;        /* FLOP/s: of the chip's unit times the share that the inner loop reaches where all are busy */
    double bytes;       /* between the chip and its memory */
    double cache_bytes; /* between the multiprocessors and the last-level cache */
    double blocks;      /* of the launch that does most of the work, */
    double resident;    /* and how many of them a multiprocessor holds at once */
    int launches;
};

/* Share of the multiprocessors that are at work on average: the last wave of blocks leaves some idle. */
inline double busy_share(const fv_chip &chip, const kernel_work &work) {
    const double waves = work.blocks / (chip.units * work.resident);
    return waves > 1 ? waves / ceil(waves) : fmin(1, work.blocks / chip.units);
}

/* Seconds; arithmetic, memory and cache overlap. */
inline double expected_seconds(const fv_chip &chip, const kernel_work &work) {
    if (work.blocks <= 0)
        return chip.launch * work.launches;
    const double busy = busy_share(chip, work);
    const double arithmetic = work.flop > 0 ? work.flop / (work.rate * busy) : 0;
    const double memory = fmax(work.bytes / chip.bandwidth, work.cache_bytes / (chip.cache_rate * fmin(1, 2 * busy)));
    return fmax(arithmetic, memory) + chip.launch * work.launches;
}

} // namespace FV_NAMESPACE

#endif
