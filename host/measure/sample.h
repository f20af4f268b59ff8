/* When sampling ends, apart from the clock that it depends on. */
#ifndef FOVEA_MEASURE_SAMPLE_H
#define FOVEA_MEASURE_SAMPLE_H

#include "measure/measure.h"

/* More samples say nothing new, and they have to be kept. */
enum { FV_MOST_SAMPLES = 100000 };

typedef enum fv_sampling { FV_GO_ON, FV_SETTLED, FV_OUT_OF_TIME } fv_sampling;

/* `sum` of the samples and `elapsed`, the wall time since the first one began, in seconds; `spread` as last looked at,
 * INFINITY if it was not yet. */
fv_sampling fv_sampling_progress(const fv_protocol *protocol, int64_t count, double sum, double spread, double elapsed);

#endif
