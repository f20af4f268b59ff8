#include "base/version.h"

#include "commit.h" /* written by cmake/Commit.cmake */

const char *fv_commit(void) {
    return FV_COMMIT;
}
