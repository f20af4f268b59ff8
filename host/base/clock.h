/* The host's clocks: one for how long something takes, one for when it was. */
#ifndef FOVEA_BASE_CLOCK_H
#define FOVEA_BASE_CLOCK_H

#include <time.h>

/* Seconds since some moment in the past; never goes back. */
static inline double fv_clock_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Now, in UTC, as "2026-01-31T12:34:56Z". */
static inline void fv_clock_date(char date[32]) {
    const time_t now = time(NULL);
    struct tm parts;
    date[0] = '\0';
    if (gmtime_r(&now, &parts))
        strftime(date, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

#endif
