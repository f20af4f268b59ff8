/* The IDX format (LeCun's, of the MNIST page), unsigned bytes only: two zero bytes, the data type (08: unsigned byte),
 * the rank, one big-endian 32-bit extent per dimension, outermost first, then the data, row-major. Raw or gzip. */
#ifndef FOVEA_DATA_IDX_H
#define FOVEA_DATA_IDX_H

#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_IDX_MAX_RANK = 3 };

typedef struct fv_idx {
    int64_t dim[FV_IDX_MAX_RANK];
    uint8_t *data; /* from malloc; the caller frees it */
} fv_idx;

/* Reads a file of the given rank (1 to FV_IDX_MAX_RANK). Memory beyond the data itself is small, and none is taken for
 * data that a file of this size cannot hold. FV_BAD_INPUT names the file, the fact and the expectation. */
fv_status fv_idx_read(const char *path, int rank, fv_idx *idx);

#ifdef __cplusplus
}
#endif
#endif
