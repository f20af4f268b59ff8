/* Which Fovea this is. */
#ifndef FOVEA_BASE_VERSION_H
#define FOVEA_BASE_VERSION_H

/* The commit that it was built from, such as "73cbc10" or "73cbc10-dirty"; "" if not known. At most 63
 * characters. */
const char *fv_commit(void);

#endif
