#include "backends/chip.h"

/* The f32 rate is 0.9 of the data sheet's, what a well-pipelined kernel of ours can hope for; tf32 and half are the best
 * matrix products seen on an H100, bandwidth a copy measured on an H200. The cache's rate is an assumption, to be
 * measured: 27 bytes a clock and multiprocessor, not half of the 64 that each can take. A launch behind another one in a
 * stream costs 3 us with its ramp and tail. */
const fv_chip fv_chip_h200 = {.units = 132,
                              .fma = 60e12,
                              .tensor_tf32 = 418e12,
                              .tensor_half = 762e12,
                              .bandwidth = 4.3e12,
                              .cache = 60e6,
                              .cache_rate = 7e12,
                              .launch = 3e-6};

/* What the driver says of that one: 1980 MHz, and 3201 MHz on a bus of 6144 bits. */
static const fv_data_sheet h200 = {.capability = 90, .units = 132, .clock = 1.98e9, .bandwidth = 4.92e12};

/* FLOP per clock and multiprocessor: the peak rates of NVIDIA's data sheets over clock and multiprocessors (A100; A10 and
 * A40; L4 and L40S; H100). GeForce cards of 86 and 89 have half of these tensor cores' rates. Later devices reach more
 * only through instructions that no kernel here has. */
static const struct {
    int capability; /* and later */
    double fma, tf32, half;
} per_clock[] = {{90, 256, 2048, 4096}, {86, 256, 512, 1024}, {80, 128, 1024, 2048}};

static int find_generation(int capability) {
    const int count = sizeof per_clock / sizeof per_clock[0];
    int i = 0;
    while (i < count - 1 && per_clock[i].capability > capability)
        ++i;
    return i;
}

fv_chip fv_chip_of(const fv_data_sheet *sheet) {
    const int its = find_generation(sheet->capability), ours = find_generation(h200.capability);
    const double clocks = sheet->units * sheet->clock / (h200.units * h200.clock);
    fv_chip chip = fv_chip_h200;
    chip.units = sheet->units;
    chip.fma *= clocks * per_clock[its].fma / per_clock[ours].fma;
    chip.tensor_tf32 *= clocks * per_clock[its].tf32 / per_clock[ours].tf32;
    chip.tensor_half *= clocks * per_clock[its].half / per_clock[ours].half;
    chip.cache_rate *= clocks;
    chip.bandwidth *= sheet->bandwidth > 0 ? sheet->bandwidth / h200.bandwidth : clocks;
    chip.cache = sheet->cache;
    return chip;
}

const fv_chip *fv_context_chip(const fv_context *context) {
    return context->chip.units > 0 ? &context->chip : &fv_chip_h200;
}
