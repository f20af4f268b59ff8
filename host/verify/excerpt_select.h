/* Which images, groups and channels of a large problem are compared. */
#ifndef FOVEA_VERIFY_EXCERPT_SELECT_H
#define FOVEA_VERIFY_EXCERPT_SELECT_H

#include "verify/excerpt.h"

/* Where a problem can be cut. Channels are those of one group: the same are chosen in every group chosen. */
typedef enum fv_cut { FV_CUT_IMAGES, FV_CUT_GROUPS, FV_CUT_INPUTS, FV_CUT_MIDDLES, FV_CUT_OUTPUTS, FV_CUTS } fv_cut;

typedef struct fv_selection {
    fv_operation op;        /* the whole problem, */
    fv_operation part;      /* and what is left of it */
    int64_t size[FV_CUTS];  /* how many there are, */
    int64_t kept[FV_CUTS];  /* and are chosen */
    int64_t *pick[FV_CUTS]; /* which, sorted; NULL: all */
    bool over;              /* even the smallest part exceeds the budget */
} fv_selection;

/* Chooses so many that the reference's cost fits the budget, spread over the whole range; all where it fits anyway, and
 * of operations without products. Release it in any case. */
fv_status fv_selection_make(const fv_operation *op, fv_pass pass, uint64_t seed, double budget,
                            fv_selection *selection);
void fv_selection_release(fv_selection *selection);

bool fv_selection_whole(const fv_selection *selection);

/* In words: "n=2 of 50, k=8 of 64", or "whole". */
void fv_selection_describe(const fv_selection *selection, char *text, size_t size);

/* Where the part's elements lie along an axis with this letter, of `extent` in the whole tensor: *index is to be freed;
 * NULL: it is not cut. */
fv_status fv_selection_index(const fv_selection *selection, char axis, int64_t extent, int64_t **index);

#endif
