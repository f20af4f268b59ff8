/* Learning-rate schedules. */
#ifndef FOVEA_TRAINING_SCHEDULE_H
#define FOVEA_TRAINING_SCHEDULE_H

#include <stdint.h>

/* The one-cycle rate of step 0 <= step < steps: from peak/25 up to peak over the first 30 % of the steps, then down to
 * peak/250000, both along half a cosine (Smith and Topin 2018, Super-convergence, with the usual constants). */
double fv_one_cycle(double peak, int64_t step, int64_t steps);

#endif
