/* How long does it take? Samples of one call, and what they say.
 *
 * Each sample is one call with cold caches, timed by the backend (events on a GPU, the wall clock on the CPU). After a
 * warm-up samples are taken until there are enough of them, they have run long enough, and they agree: the spread is
 * below the noise limit. If time runs out first, that is said.
 *
 * The time of a call is the samples' median, and what is known of it is the 95 % confidence interval by order
 * statistics, which assumes nothing about their distribution (Hoefler and Belli, "Scientific benchmarking of parallel
 * computing systems", SC15, rule 8). The spread is half the interval's width as a share of the median. Two times
 * differ if their intervals do not overlap.
 */
#ifndef FOVEA_MEASURE_MEASURE_H
#define FOVEA_MEASURE_MEASURE_H

#include "backends/kernel.h"

typedef struct fv_protocol {
    int64_t samples; /* at least so many, */
    double least;    /* together at least so long, in seconds, */
    double noise;    /* and until the spread is below this, such as 0.005; */
    double most;     /* but no longer than so many seconds of wall time, once there are `samples`, */
                     /* and no longer than ten times that, once there are 3 */
    bool warm;       /* leave the caches as they are */
} fv_protocol;

/* 10 samples, 0.5 s, 0.5 %, 3 s, cold. */
fv_protocol fv_protocol_default(void);

typedef struct fv_summary {
    int64_t samples;
    double median, low,
        high;     /* seconds; the interval is from the least to the greatest where there are under 6 samples */
    double least; /* the fastest */
} fv_summary;

/* Sorts the samples; at least one. The median of an even number is the mean of the middle two. */
fv_summary fv_summarize(double *seconds, int64_t count);
double fv_spread(const fv_summary *summary); /* 0 where all agree, else 1 where the median is 0 */

typedef struct fv_timing {
    fv_summary summary;
    bool settled; /* there are `samples`, and their spread fell below the noise limit in time */
    bool exposed; /* the host was too slow to keep the device busy in some samples: see fv_backend.time */
} fv_timing;

/* Memory that is overwritten between samples: twice the last-level cache (64 MiB if that is not known, and 1 GiB at
 * most). Release it in any case. */
typedef struct fv_scratch {
    fv_context *context;
    void *data;
    size_t bytes;
} fv_scratch;
fv_status fv_scratch_allocate(fv_scratch *scratch, fv_context *context);
void fv_scratch_release(fv_scratch *scratch);

/* Times `work`, which queues one call. Before the samples come at least two calls (one, if that takes longer than
 * protocol->most) until they get no faster, which do not count. A failure of the work is passed on. */
fv_status fv_measure(const fv_scratch *scratch, const fv_protocol *protocol, fv_work *work, void *user,
                     fv_timing *timing);

/* The geometric mean of ratios, and the least of them. Start with a zeroed one; the mean of none is 0. What is not
 * above 0 and finite is no ratio, and is not counted. */
typedef struct fv_geomean {
    double logarithms, worst;
    int64_t count;
} fv_geomean;
void fv_geomean_add(fv_geomean *mean, double ratio);
double fv_geomean_value(const fv_geomean *mean);

#endif
