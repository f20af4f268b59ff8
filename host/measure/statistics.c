/* What samples say: median, interval, spread; and means of ratios. */
#include <math.h>
#include <stdlib.h>

#include "measure/measure.h"

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The rank, from 1, at which the 95 % interval of the median begins; it ends at count + 1 - rank.
 *
 * The number of samples below the true median is binomial with p = 1/2, whatever their distribution; the interval
 * misses the median if fewer than `rank` of them lie on one of its sides. So from the middle of that distribution we go
 * outwards until the probability of what was passed is 0.95. For fewer than 6 samples even the ends hold less, and are
 * taken in spite of that. */
static int64_t interval_rank(int64_t count) {
    const int64_t middle = count / 2; /* of an odd count, the lower of two numbers that are as probable */
    const double n = (double)count, m = (double)middle;
    double probability = exp(lgamma(n + 1) - lgamma(m + 1) - lgamma(n - m + 1) - n * log(2));
    double coverage = count % 2 ? 2 * probability : probability;
    int64_t rank = middle;
    while (coverage < 0.95 && rank > 1) {
        probability *= (double)rank / (double)(count - rank + 1); /* of rank - 1 samples, from that of `rank` */
        coverage += 2 * probability;
        --rank;
    }
    return rank > 1 ? rank : 1;
}

fv_summary fv_summarize(double *seconds, int64_t count) {
    qsort(seconds, (size_t)count, sizeof *seconds, by_size);
    const int64_t rank = interval_rank(count);
    return (fv_summary){
        .samples = count,
        .median = (seconds[(count - 1) / 2] + seconds[count / 2]) / 2,
        .low = seconds[rank - 1],
        .high = seconds[count - rank],
        .least = seconds[0],
    };
}

double fv_spread(const fv_summary *summary) {
    if (summary->high <= summary->low)
        return 0;
    return summary->median > 0 ? (summary->high - summary->low) / 2 / summary->median : 1;
}

void fv_geomean_add(fv_geomean *mean, double ratio) {
    if (!(ratio > 0) || !isfinite(ratio))
        return;
    mean->logarithms += log(ratio);
    mean->worst = mean->count && mean->worst < ratio ? mean->worst : ratio;
    ++mean->count;
}

double fv_geomean_value(const fv_geomean *mean) {
    return mean->count ? exp(mean->logarithms / (double)mean->count) : 0;
}
