/* Three opinions on one result: ours, another implementation's and the reference's. Where two agree and the third does
 * not, the third is the outlier. */
#ifndef FOVEA_VERIFY_BLAME_H
#define FOVEA_VERIFY_BLAME_H

#include "verify/verify.h"

/* What a kernel made of a trial. */
typedef struct fv_opinion {
    fv_context *context;
    const fv_kernel *kernel; /* NULL: it has no opinion */
    fv_verdict verdict;
    fv_host_tensors outputs; /* in double */
} fv_opinion;

void fv_opinion_release(fv_opinion *opinion);

/* Asks the row that the context's backend would choose for the trial. opinion->kernel is NULL if there is none, or if
 * the comparison does not apply to it. That the row cannot be tried (no memory, say) is a failure of its own. */
void fv_opinion_ask(fv_trial *trial, fv_context *context, fv_opinion *opinion);

/* Whether it is within its bound of the reference. */
bool fv_opinion_confirms(const fv_opinion *opinion);

/* Whether two opinions agree with each other, whatever the reference says: there is something that both computed,
 * and no element of it differs by more than their bounds together. */
fv_status fv_opinions_agree(fv_trial *trial, const fv_opinion *a, const fv_opinion *b, bool *agree);

/* The outlier's name, given that `ours` is at fault by the reference's measure: our backend's if one of the others
 * confirms the reference, "reference" if one of them agrees with ours instead, "nobody" where no two agree, "" where
 * nobody else has an opinion. What a kernel does besides giving wrong elements, and that it contradicts itself, is no
 * matter of opinion: the outlier is ours. */
fv_status fv_outlier(fv_trial *trial, const fv_opinion *ours, const fv_opinion *others, int count, const char **name);

#endif
