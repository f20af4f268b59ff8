/* For tests that compare backends: fails the test where the reference stands in for the backend under test, which would
 * compare the reference with itself. */
#ifndef FOVEA_TESTS_OWN_KERNELS_H
#define FOVEA_TESTS_OWN_KERNELS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fovea/context.h>

static inline void refuse_reference(void *user, const char *line) {
    (void)user;
    if (strstr(line, "is done by reference"))
        fail_msg("%s", line);
}

static inline void require_own_kernels(fv_context *context) {
    fv_context_on_notice(context, refuse_reference, NULL);
}

#endif
