/* Writing safetensors files, and what the reader shares with it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "formats/safetensors_layout.h"

static const struct {
    fv_dtype dtype;
    const char *name;
} dtypes[] = {{FV_F32, "F32"}, {FV_BF16, "BF16"}, {FV_F16, "F16"}, {FV_F64, "F64"}, {FV_I32, "I32"}, {FV_U8, "U8"}};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *fv_safetensors_dtype_name(fv_dtype dtype) {
    for (int i = 0; i < DTYPES; ++i)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return NULL;
}

bool fv_safetensors_dtype_parse(const char *name, fv_dtype *dtype) {
    for (int i = 0; i < DTYPES; ++i)
        if (strcmp(dtypes[i].name, name) == 0) {
            *dtype = dtypes[i].dtype;
            return true;
        }
    return false;
}

bool fv_safetensors_bytes(fv_dtype dtype, const fv_shape *shape, int64_t *bytes) {
    *bytes = (int64_t)fv_dtype_size(dtype);
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dim[i] < 0 || !fv_checked_mul(*bytes, shape->dim[i], bytes))
            return false;
    return true;
}

/* Adds a member that is not there yet; takes the value over. jansson refuses keys and values that are not UTF-8. */
static fv_status add_member(const char *path, json_t *object, const char *key, json_t *value) {
    const char *problem = NULL;
    if (json_object_get(object, key))
        problem = "it comes twice";
    else if (!value)
        problem = "its content is not UTF-8, or memory ran out";
    else if (json_object_set(object, key, value) != 0)
        problem = "its name is not UTF-8, or memory ran out";
    json_decref(value);
    return problem ? fv_fail(FV_BAD_INPUT, "cannot write %s: \"%.200s\": %s", path, key, problem) : FV_OK;
}

static fv_status add_metadata(const char *path, json_t *header, const fv_safetensors_text *metadata, size_t count) {
    if (count == 0)
        return FV_OK;
    json_t *object = json_object();
    FV_TRY(add_member(path, header, FV_SAFETENSORS_METADATA, object));
    for (size_t i = 0; i < count; ++i)
        FV_TRY(add_member(path, object, metadata[i].key, json_string(metadata[i].value)));
    return FV_OK;
}

/* Describes a tensor whose data begins at *offset, and moves *offset behind it. */
static fv_status add_tensor(const char *path, json_t *header, const fv_safetensor *tensor, int64_t *offset) {
    const int64_t begin = *offset;
    int64_t bytes = 0;
    const char *dtype = fv_safetensors_dtype_name(tensor->dtype);
    if (!dtype)
        return fv_fail(FV_BAD_INPUT, "cannot write %s: tensor \"%.200s\": no such dtype: %d", path, tensor->name,
                       (int)tensor->dtype);
    if (strcmp(tensor->name, FV_SAFETENSORS_METADATA) == 0)
        return fv_fail(FV_BAD_INPUT, "cannot write %s: the tensor name %s is reserved", path, tensor->name);
    if (tensor->shape.rank < 0 || tensor->shape.rank > FV_MAX_RANK)
        return fv_fail(FV_BAD_INPUT, "cannot write %s: tensor \"%.200s\": rank %d, expected 0 to %d", path,
                       tensor->name, tensor->shape.rank, FV_MAX_RANK);
    if (!fv_safetensors_bytes(tensor->dtype, &tensor->shape, &bytes) || !fv_checked_add(begin, bytes, offset))
        return fv_fail(FV_BAD_INPUT, "cannot write %s: tensor \"%.200s\": its extents are negative or too large", path,
                       tensor->name);

    json_t *shape = json_array();
    for (int i = 0; i < tensor->shape.rank; ++i)
        if (json_array_append_new(shape, json_integer(tensor->shape.dim[i])) != 0) {
            json_decref(shape);
            return fv_fail(FV_NO_MEMORY, "cannot write %s: no memory for its header", path);
        }
    json_t *description = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                                    (json_int_t)begin, (json_int_t)*offset);
    return add_member(path, header, tensor->name, description);
}

/* The header's text, from malloc, padded so that the data begins at a multiple of 8. */
static fv_status print_header(const char *path, const json_t *header, char **text, size_t *length) {
    char *printed = json_dumps(header, JSON_COMPACT);
    const size_t printed_length = printed ? strlen(printed) : 0;
    *length = (printed_length + 7) / 8 * 8;
    char *padded = printed ? realloc(printed, *length) : NULL;
    if (!padded) {
        free(printed);
        return fv_fail(FV_NO_MEMORY, "cannot write %s: no memory for its header", path);
    }
    memset(padded + printed_length, ' ', *length - printed_length);
    *text = padded;
    return FV_OK;
}

static fv_status write_parts(fv_file_writer *writer, const char *header, size_t header_length,
                             const fv_safetensor *tensors, size_t tensor_count) {
    const uint64_t prefix = header_length;
    FV_TRY(fv_file_writer_write(writer, &prefix, FV_SAFETENSORS_PREFIX));
    FV_TRY(fv_file_writer_write(writer, header, header_length));
    for (size_t i = 0; i < tensor_count; ++i) {
        int64_t bytes = 0;
        fv_safetensors_bytes(tensors[i].dtype, &tensors[i].shape, &bytes);
        FV_TRY(fv_file_writer_write(writer, tensors[i].data, (size_t)bytes));
    }
    return FV_OK;
}

fv_status fv_safetensors_write(const char *path, const fv_safetensor *tensors, size_t tensor_count,
                               const fv_safetensors_text *metadata, size_t metadata_count) {
    fv_status status = FV_OK;
    char *text = NULL;
    size_t length = 0;
    int64_t offset = 0;
    fv_file_writer *writer = NULL;
    json_t *header = json_object();
    FV_TRY_GOTO(status, add_metadata(path, header, metadata, metadata_count), done);
    for (size_t i = 0; i < tensor_count; ++i)
        FV_TRY_GOTO(status, add_tensor(path, header, &tensors[i], &offset), done);
    FV_TRY_GOTO(status, print_header(path, header, &text, &length), done);
    FV_TRY_GOTO(status, fv_file_writer_open(path, &writer), done);
    status = write_parts(writer, text, length, tensors, tensor_count);
    if (status == FV_OK)
        status = fv_file_writer_commit(writer);
    else
        fv_file_writer_abandon(writer);
done:
    free(text);
    json_decref(header);
    return status;
}
