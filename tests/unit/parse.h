/* An operation from its text, in tests where a mistake in the text is the test's own. */
#ifndef FOVEA_TESTS_PARSE_H
#define FOVEA_TESTS_PARSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fovea/fovea.h>

static inline fv_operation parse(const char *text) {
    fv_operation op;
    if (fv_operation_parse(text, &op) != FV_OK)
        fail_msg("%s: %s", text, fv_error_message());
    return op;
}

#endif
