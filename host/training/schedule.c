#include "training/schedule.h"

#include <math.h>

/* Half a cosine from `from` at 0 to `to` at 1. */
static double anneal(double from, double to, double fraction) {
    return to + (from - to) / 2 * (1 + cos(3.14159265358979323846 * fraction));
}

double fv_one_cycle(double peak, int64_t step, int64_t steps) {
    const double start = peak / 25, end = start / 1e4;
    /* Very short runs have no room to warm up: they begin at the summit. */
    const double summit = fmax(0.3 * (double)steps - 1, 0), last = (double)steps - 1, now = (double)step;
    if (now < summit)
        return anneal(start, peak, now / summit);
    return anneal(peak, end, last > summit ? (now - summit) / (last - summit) : 0);
}
