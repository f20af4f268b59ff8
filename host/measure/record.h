/* What a run of fovea bench found out: the one record behind the table, JSON, CSV, Markdown, comparisons and plots. */
#ifndef FOVEA_MEASURE_RECORD_H
#define FOVEA_MEASURE_RECORD_H

#include <jansson.h>

#include "measure/ceilings.h"

typedef enum fv_bench_state {
    FV_BENCH_TIMED,
    FV_BENCH_WRONG,     /* its result is wrong: not timed */
    FV_BENCH_NO_MEMORY, /* the device, or the host, has no room for the case */
    FV_BENCH_FAILED,    /* it could not be run */
    FV_BENCH_STATES
} fv_bench_state;
const char *fv_bench_state_name(fv_bench_state state); /* "timed", "wrong", "no memory", "failed" */

/* One variant on one pass of one case: ours, or the best of the other backend's. */
typedef struct fv_bench_row {
    char label[64];  /* the case's source, such as "VGG-19 3_2"; "" if it has none */
    char op[512];    /* its text form */
    char family[32]; /* see fv_family */
    char pass[24], dtype[8];
    char backend[16], kernel[48]; /* whose row of the table */
    char implementation[128];     /* what a library chose; "" */
    char layout[8];               /* "nhwc" or "nchw" */
    bool rival;                   /* of the backend that is compared with, not ours */
    bool chosen;                  /* the row that runs when nobody asks for another */
    bool yardstick;               /* of ours: it is never chosen, being in other arithmetic or another layout */
    fv_bench_state state;
    char reason[320]; /* of a state other than timed; or what else is to be said; "" */
    bool verified;    /* compared and right; false with state timed: nothing could be said (no bound) */
    char scope[64];   /* what was compared: fv_excerpt.scope; "" */
    int64_t compared, wrong;
    double worst; /* largest error as a share of its bound */
    fv_timing timing;
    double expected;  /* seconds, by the kernel's own estimate; 0: it has none, or none for this device */
    size_t workspace; /* bytes */
    fv_floor floor;
    int ways; /* of a rival: how many implementations were timed */
} fv_bench_row;

typedef struct fv_bench_record {
    char version[32], commit[64];  /* of Fovea; "" if not known */
    char date[32];                 /* UTC, ISO 8601 */
    char backend[16], against[16]; /* "" if there is no rival */
    char description[128], against_description[128];
    char command[1024]; /* the arguments, as they could be typed again */
    fv_machine machine;
    fv_conditions before, after;
    fv_ceilings ceilings;
    fv_protocol protocol;
    uint64_t seed;
    char sweep[32];     /* the keys that the cases vary, such as "h,w"; "" if they are no sweep */
    bool complete;      /* false: stopped before the end */
    fv_bench_row *rows; /* case after case, pass after pass: ours in the table's order, then the rival's (NHWC, NCHW) */
    int64_t count, capacity;
    /* Cases and passes that no variant of ours supports. */
    int64_t unsupported;
    char first_unsupported[640]; /* "CASE PASS: why" */
} fv_bench_record;

/* Start with a zeroed record. */
fv_status fv_bench_record_add(fv_bench_record *record, const fv_bench_row *row);
void fv_bench_record_release(fv_bench_record *record);

/* Whether two rows are of the same case, pass and dtype; and whether of cases that count for the same means. */
bool fv_bench_same_problem(const fv_bench_row *a, const fv_bench_row *b);
bool fv_bench_same_group(const fv_bench_row *a, const fv_bench_row *b);

/* Rows of the same case, pass and dtype lie together: the one behind the last that belongs to the case of `begin`. */
int64_t fv_bench_case_end(const fv_bench_record *record, int64_t begin);

/* Within such a case: the fastest timed row of ours that is no yardstick, the one that is chosen, and the rival's
 * fastest in a layout; NULL: none. A rival's row counts if it was timed and is not wrong. */
const fv_bench_row *fv_bench_fastest(const fv_bench_record *record, int64_t begin, int64_t end);
const fv_bench_row *fv_bench_chosen(const fv_bench_record *record, int64_t begin, int64_t end);
const fv_bench_row *fv_bench_rival(const fv_bench_record *record, int64_t begin, int64_t end, const char *layout);

/* JSON, and back. What was measured is written to the last bit, in seconds and bytes; what follows from it (median_us,
 * tflops, ratio, groups, ...) is written too, for those who read it with other tools, and ignored when it is read.
 * FV_BAD_INPUT "PATH: what is wrong" for a file that is none of ours. */
fv_status fv_bench_to_json(const fv_bench_record *record, json_t **json);
fv_status fv_bench_to_text(const fv_bench_record *record, char **text); /* of the file, from malloc */
fv_status fv_bench_write(const fv_bench_record *record, const char *path);
fv_status fv_bench_read(fv_bench_record *record, const char *path); /* into a zeroed one, which stays so on failure */

/* ---- summaries ---- */

/* What follows from a row; NAN: nothing does, since it is not timed or there is nothing to divide by. */
typedef struct fv_bench_figures {
    double median_us, spread_percent;
    double tflops, gb_per_s; /* of the floor's FLOP and bytes */
    double floor_us, percent_of_floor;
    double expected_us, times_expected; /* the kernel's own estimate, and the median as a multiple of that */
    double rival_us, ratio;             /* the rival's time, and that over ours; no ratio for the rival's own rows */
} fv_bench_figures;

/* `rival` is what the row is compared with, see fv_bench_rival; NULL: nothing. */
fv_bench_figures fv_bench_figures_of(const fv_bench_row *row, const fv_bench_row *rival);

/* A family's pass in numbers. Ratios are the rival's time over ours: above 1, ours is faster. */
typedef struct fv_bench_group {
    char family[32], pass[24], dtype[8];
    int64_t cases;      /* timed */
    fv_geomean fastest; /* ratios of our fastest, */
    fv_geomean chosen;  /* and of the chosen row, to the rival's best in NHWC */
    fv_geomean share;   /* floor over time, of the fastest */
} fv_bench_group;

/* In the order of first appearance, from malloc. */
fv_status fv_bench_groups(const fv_bench_record *record, fv_bench_group **groups, int64_t *count);

#endif
