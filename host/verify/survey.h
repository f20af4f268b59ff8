/* Cross-checking a whole kernel table: every row on every case of its operation and pass, whatever dtype the case has,
 * exact and bounded, against the reference and, as second opinions, other backends. */
#ifndef FOVEA_VERIFY_SURVEY_H
#define FOVEA_VERIFY_SURVEY_H

#include "cases/cases.h"
#include "verify/blame.h"

enum { FV_MAX_WITNESSES = 4 };

/* A row of the table and how it fared. A case fails if one of its comparisons does, and passes if one passes and none
 * fails. */
typedef struct fv_survey_row {
    const fv_kernel *kernel;
    int64_t cases;              /* of its operation, in its dtype; = the sum of count[] */
    int64_t count[FV_OUTCOMES]; /* cases by outcome */
    int64_t passed[FV_FILLS];   /* comparisons passed */
    double worst;               /* largest error as a share of its bound */
    int64_t repeated;           /* comparisons in which it ran twice, */
    int64_t reproduced;         /* and in which that gave the same bits */
    char idle[320];             /* the first reason why a comparison came to neither passed nor failed */
} fv_survey_row;

/* Another backend whose opinion is asked. */
typedef struct fv_witness {
    fv_context *context;
    int64_t opinions; /* comparisons that it took part in */
    int64_t outliers; /* and in which it alone differed */
} fv_witness;

/* What a library chose for some of the cases: an engine of cuDNN's, a primitive of oneDNN's. */
typedef struct fv_implementation {
    fv_context *context;
    const fv_kernel *kernel;
    char description[sizeof((fv_numerics *)0)->description];
    int64_t comparisons;
} fv_implementation;

/* One comparison. Before it, in on_begin, what came out is not set. */
typedef struct fv_finding {
    fv_context *context;
    const fv_kernel *kernel; /* NULL in on_begin: it is for a witness to choose */
    fv_pass pass;
    bool witness; /* the kernel is a second opinion; after the comparison, one that turned out to be the outlier */
    const fv_operation *op; /* in the dtype of the comparison */
    fv_fill fill;
    const fv_verdict *verdict;
    const char *outlier; /* of a failure, see fv_outlier; else "" */
    const fv_opinion *others;
    int other_count;
} fv_finding;

typedef struct fv_survey {
    /* what to do */
    fv_context *context;
    fv_witness witness[FV_MAX_WITNESSES];
    int witnesses;
    const fv_case_list *cases;
    bool fills[FV_FILLS];
    uint64_t seed;
    bool (*selects)(void *user, const fv_kernel *kernel); /* NULL: every row */
    /* Before and after every comparison, and after every case (false: stop); each may be NULL. */
    void (*on_begin)(void *user, const fv_finding *finding);
    void (*on_finding)(void *user, const fv_finding *finding);
    bool (*on_case)(void *user, int64_t done, int64_t all);
    void *user;

    /* what came out */
    fv_survey_row *rows; /* the selected ones, in the table's order */
    int row_count;
    int64_t cases_done;
    bool lost; /* the device stopped working, with the last comparison reported; nothing after it was judged */
    fv_implementation *implementations; /* ours and the witnesses', in the order of their first use */
    size_t implementation_count;
} fv_survey;

/* Runs it. What goes wrong with a single comparison is a failure of its kernel; a status other than FV_OK means that
 * the survey could not be made at all. End it in any case. */
fv_status fv_survey_run(fv_survey *survey);
void fv_survey_end(fv_survey *survey);

#endif
