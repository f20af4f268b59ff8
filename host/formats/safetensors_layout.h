/* What the reader and the writer of safetensors files share. Both need a little-endian machine, as the format is. */
#ifndef FOVEA_FORMATS_SAFETENSORS_LAYOUT_H
#define FOVEA_FORMATS_SAFETENSORS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include <fovea/operations.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian and copied as it is");

enum { FV_SAFETENSORS_PREFIX = 8 }; /* bytes of the header's length */

/* The format's own limit, 100 MB; whatever asks for more is not a safetensors file. */
enum { FV_SAFETENSORS_MAX_HEADER = 100 * 1000 * 1000 };

#define FV_SAFETENSORS_METADATA "__metadata__"

/* The format's name of a data type; NULL for a value that is not an fv_dtype. */
const char *fv_safetensors_dtype_name(fv_dtype dtype);

/* The data type of that name; false if it has none. */
bool fv_safetensors_dtype_parse(const char *name, fv_dtype *dtype);

/* Bytes of a dense tensor; false if an extent is negative or the product exceeds 63 bits. */
bool fv_safetensors_bytes(fv_dtype dtype, const fv_shape *shape, int64_t *bytes);

#endif
