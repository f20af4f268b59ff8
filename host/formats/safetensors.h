/* The safetensors format: named tensors with text metadata (https://github.com/huggingface/safetensors, "Format").
 *
 *     8 bytes    N, the length of the header, little-endian
 *     N bytes    JSON, padded with spaces: {"__metadata__": {KEY: TEXT, ...},
 *                NAME: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...};
 *                offsets count from the header's end
 *     the rest   the tensors' data, row-major, little-endian, without holes
 *
 * Of its data types, those that fv_dtype has: F32, F64, I32, U8. Ranks 0 to FV_MAX_RANK; extents may be 0. */
#ifndef FOVEA_FORMATS_SAFETENSORS_H
#define FOVEA_FORMATS_SAFETENSORS_H

#include <stddef.h>

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_safetensor {
    const char *name; /* UTF-8 */
    fv_dtype dtype;
    fv_shape shape;
    const void *data; /* may be NULL where the shape has no elements */
} fv_safetensor;

/* One entry of the metadata, both UTF-8. */
typedef struct fv_safetensors_text {
    const char *key, *value;
} fv_safetensors_text;

/* Writes a file by the atomic writer of base/file.h, tensors in the given order. FV_BAD_INPUT: a name or key comes
 * twice, is not UTF-8 or is reserved, or a shape or dtype is not one. */
fv_status fv_safetensors_write(const char *path, const fv_safetensor *tensors, size_t tensor_count,
                               const fv_safetensors_text *metadata, size_t metadata_count);

/* What a file holds: tensors in the order of their data, metadata in the order of the file. Each tensor's data has its
 * own block from malloc, so it is aligned whatever the file's layout is. */
typedef struct fv_safetensors {
    fv_safetensor *tensors;
    size_t tensor_count;
    fv_safetensors_text *metadata;
    size_t metadata_count;
    struct json_t *header; /* owns the names, keys and values */
} fv_safetensors;

/* Reads and checks a whole file. FV_BAD_INPUT names the file, the tensor and the expectation. On success, release with
 * fv_safetensors_release. */
fv_status fv_safetensors_read(const char *path, fv_safetensors *file);

/* Frees everything and zeroes the struct; a zeroed struct is fine. */
void fv_safetensors_release(fv_safetensors *file);

/* The tensor of that name, the value of that metadata key; NULL if there is none. */
const fv_safetensor *fv_safetensors_find(const fv_safetensors *file, const char *name);
const char *fv_safetensors_metadata(const fv_safetensors *file, const char *key);

#ifdef __cplusplus
}
#endif
#endif
