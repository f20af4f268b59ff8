/* The checker checked: faults planted in a sound kernel's result or run, each of which the verifier must catch and call
 * by its name. */
#ifndef FOVEA_VERIFY_SELFTEST_H
#define FOVEA_VERIFY_SELFTEST_H

#include "verify/verify.h"

/* What came of one fault. `caught`: the verdict is the one that this fault deserves. Among the faults are sound kernels,
 * which deserve to pass. */
typedef struct fv_self_test_result {
    const char *fault;
    bool caught;
    const fv_verdict *verdict;
} fv_self_test_result;

/* Plants faults in the result of the context's convolution kernel and, whatever the context, in the run of a relu under
 * the emulator. `on_result` is called for each. A status other than FV_OK: the test could not be carried out. */
fv_status fv_self_test(fv_context *context, uint64_t seed,
                       void (*on_result)(void *user, const fv_self_test_result *result), void *user);

#endif
