/* What the kernels of conv2d_direct.cuh expect of themselves. A warp's products wait for the first-level cache, which
 * serves one line of 128 bytes a clock: where the lanes' values lie in as many lines, that is 32 clocks for 32 products. */
#ifndef FOVEA_CONV2D_DIRECT_ESTIMATE_CUH
#define FOVEA_CONV2D_DIRECT_ESTIMATE_CUH

#include "issue_estimate.cuh"

namespace FV_NAMESPACE {

/* `results` of so many taps, each with so many products; of 32 products the cache is read at so many lines. A thread on its
 * own finds its place, looks at its taps and waits for each product, in so many clocks. */
struct direct_shape {
    double results, taps, products;
    double per_tap, lines;
};

inline double direct_expected(const fv_chip &chip, const direct_shape &shape, double bytes) {
    constexpr double PER_PRODUCT = 8, PER_RESULT = 5 * DIVISION, PRODUCT_CLOCKS = 12;
    const double products = shape.taps * shape.products;
    const double multiply = products * fmax(PER_PRODUCT, ISSUED_PER_CLOCK * shape.lines);
    const double throughput = expected_issue(
        chip, {.instructions = shape.results / WARP * (PER_RESULT + shape.taps * shape.per_tap + multiply),
               .blocks = ceil(shape.results / ELEMENTWISE_THREADS),
               .threads = ELEMENTWISE_THREADS,
               .shared_bytes = 0,
               .bytes = bytes,
               .cache_bytes = 0});
    const double clock = chip.fma / (chip.units * 2 * WARP * ISSUED_PER_CLOCK);
    const double alone = (PER_RESULT + shape.taps * shape.per_tap) * 2 + products * PRODUCT_CLOCKS;
    return fmax(throughput, alone / clock + chip.launch);
}

/* Lanes are output channels, whose filters lie far apart, then pixels. */
inline double direct_forward_expected(const fv_chip &chip, const fv_conv2d &d, double bytes) {
    const double k = static_cast<double>(d.k), cg = static_cast<double>(d.c / d.groups);
    const double taps = static_cast<double>(d.r * d.s), lanes = fmin(k, WARP);
    const double lines =
        cache_lines(lanes, taps * cg) + cache_lines(ceil(WARP / lanes), static_cast<double>(d.c * d.stride_w));
    return direct_expected(chip,
                           {.results = static_cast<double>(d.n * fv_conv2d_p(&d) * fv_conv2d_q(&d)) * k,
                            .taps = taps,
                            .products = cg,
                            .per_tap = 20,
                            .lines = lines},
                           bytes);
}

/* Lanes are input channels, whose filters lie side by side. With a stride most taps meet no output, which takes two
 * divisions to find out. */
inline double direct_backward_data_expected(const fv_chip &chip, const fv_conv2d &d, double bytes) {
    const double c = static_cast<double>(d.c), kg = static_cast<double>(d.k / d.groups);
    const double lanes = fmin(c, WARP), met = static_cast<double>(fv_conv2d_p(&d) * fv_conv2d_q(&d));
    return direct_expected(chip,
                           {.results = static_cast<double>(d.n * d.h * d.w) * c,
                            .taps = static_cast<double>(d.r * d.s),
                            .products = kg * met / static_cast<double>(d.h * d.w),
                            .per_tap = 2 * DIVISION,
                            .lines = 1 + cache_lines(ceil(WARP / lanes), static_cast<double>(d.k))},
                           bytes);
}

/* Lanes are input channels; a thread walks over all pixels, and works out for each where it lies. */
inline double direct_backward_weights_expected(const fv_chip &chip, const fv_conv2d &d, double bytes) {
    return direct_expected(chip,
                           {.results = static_cast<double>(d.k * d.r * d.s * (d.c / d.groups)),
                            .taps = static_cast<double>(d.n * fv_conv2d_p(&d) * fv_conv2d_q(&d)),
                            .products = 1,
                            .per_tap = 20,
                            .lines = 1},
                           bytes);
}

} // namespace FV_NAMESPACE

#endif
