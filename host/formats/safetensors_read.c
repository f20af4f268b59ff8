/* Reading safetensors files. Every number of the header is checked against the file's size before it is used to take
 * memory. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "formats/safetensors_layout.h"

/* A file while it is being read. */
typedef struct input {
    const char *path;
    int fd;
    int64_t data_size; /* bytes after the header */
} input;

/* A described tensor and where the header says that its data lies. */
typedef struct placed {
    fv_safetensor tensor;
    int64_t begin, end;
} placed;

/* ---- the header ---- */

static fv_status parse_json(const char *path, const char *text, size_t length, json_t **header) {
    json_error_t error;
    if (text[0] != '{')
        return fv_fail(FV_BAD_INPUT, "%s: the header begins with byte 0x%02x, expected '{'", path,
                       (unsigned char)text[0]);
    *header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!*header)
        return fv_fail(FV_BAD_INPUT, "%s: the header is not valid JSON at byte %d: %s", path, error.position,
                       error.text);
    return FV_OK;
}

/* Reads the header and sets in->data_size. */
static fv_status read_header(input *in, int64_t file_size, json_t **header) {
    uint64_t length = 0;
    size_t got = 0;
    FV_TRY(fv_file_read(in->fd, in->path, &length, sizeof length, &got));
    if (got < sizeof length)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %zu bytes, expected the header's length in the first 8", in->path,
                       got);
    if (length == 0 || length > FV_SAFETENSORS_MAX_HEADER)
        return fv_fail(FV_BAD_INPUT, "%s: not a safetensors file: header length %llu, expected 1 to %d", in->path,
                       (unsigned long long)length, FV_SAFETENSORS_MAX_HEADER);
    in->data_size = file_size - FV_SAFETENSORS_PREFIX - (int64_t)length;
    if (in->data_size < 0)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: header length %llu, but the file has %lld bytes after it",
                       in->path, (unsigned long long)length, (long long)(file_size - FV_SAFETENSORS_PREFIX));
    char *text = malloc(length);
    if (!text)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for its header", in->path);
    fv_status status = fv_file_read(in->fd, in->path, text, length, &got);
    if (status == FV_OK && got < length)
        status =
            fv_fail(FV_BAD_INPUT, "%s: truncated: %zu of %llu header bytes", in->path, got, (unsigned long long)length);
    if (status == FV_OK)
        status = parse_json(in->path, text, length, header);
    free(text);
    return status;
}

static fv_status parse_metadata(const char *path, json_t *object, fv_safetensors *file) {
    if (!json_is_object(object))
        return fv_fail(FV_BAD_INPUT, "%s: " FV_SAFETENSORS_METADATA " is not an object of texts", path);
    file->metadata = calloc(json_object_size(object) + 1, sizeof *file->metadata);
    if (!file->metadata)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for its metadata", path);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value))
            return fv_fail(FV_BAD_INPUT, "%s: " FV_SAFETENSORS_METADATA ": the value of \"%.200s\" is not a text", path,
                           key);
        file->metadata[file->metadata_count++] = (fv_safetensors_text){key, json_string_value(value)};
    }
    return FV_OK;
}

/* ---- one tensor's description ---- */

/* Fails for one tensor: what is wrong, what was expected. */
static fv_status fail_tensor(const char *path, const char *name, const char *fact, const char *expected) {
    return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": %.200s, expected %s", path, name, fact, expected);
}

/* An integer that is not negative. */
static bool parse_count(const json_t *value, int64_t *count) {
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *count = json_integer_value(value);
    return true;
}

/* Exactly the three keys of the format. */
static fv_status check_keys(const char *path, const char *name, json_t *description) {
    static const char expected[] = "dtype, shape and data_offsets";
    if (!json_is_object(description))
        return fail_tensor(path, name, "its description is not an object", "one with dtype, shape and data_offsets");
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(description, key, value) {
        if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 && strcmp(key, "data_offsets") != 0)
            return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": unknown key \"%.200s\", expected %s", path, name, key,
                           expected);
    }
    if (json_object_size(description) != 3)
        return fail_tensor(path, name, "a key is missing", expected);
    return FV_OK;
}

static fv_status parse_dtype(const char *path, const char *name, const json_t *value, fv_dtype *dtype) {
    static const char expected[] = "F32, BF16, F16, F64, I32 or U8";
    if (!json_is_string(value))
        return fail_tensor(path, name, "dtype is not a text", expected);
    if (!fv_safetensors_dtype_parse(json_string_value(value), dtype))
        return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": unknown dtype \"%.200s\", expected %s", path, name,
                       json_string_value(value), expected);
    return FV_OK;
}

static fv_status parse_shape(const char *path, const char *name, const json_t *value, fv_shape *shape) {
    if (!json_is_array(value))
        return fail_tensor(path, name, "shape is not a list", "a list of extents");
    const size_t rank = json_array_size(value);
    if (rank > FV_MAX_RANK)
        return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": rank %zu, expected at most %d", path, name, rank,
                       FV_MAX_RANK);
    shape->rank = (int)rank;
    for (size_t i = 0; i < rank; ++i)
        if (!parse_count(json_array_get(value, i), &shape->dim[i]))
            return fail_tensor(path, name, "bad extent in its shape", "integers from 0 up");
    return FV_OK;
}

/* Reads where the data lies and checks it against the shape and the file. */
static fv_status parse_offsets(const input *in, const json_t *value, placed *item) {
    const char *name = item->tensor.name;
    if (!json_is_array(value) || json_array_size(value) != 2 || !parse_count(json_array_get(value, 0), &item->begin) ||
        !parse_count(json_array_get(value, 1), &item->end) || item->begin > item->end)
        return fail_tensor(in->path, name, "bad data_offsets", "two integers from 0 up, begin and end");
    int64_t bytes = 0;
    if (!fv_safetensors_bytes(item->tensor.dtype, &item->tensor.shape, &bytes))
        return fail_tensor(in->path, name, "size overflow in its shape", "less than 2^63 bytes");
    if (bytes != item->end - item->begin)
        return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": data_offsets span %lld bytes, expected %lld for its shape",
                       in->path, name, (long long)(item->end - item->begin), (long long)bytes);
    if (item->end > in->data_size)
        return fv_fail(FV_BAD_INPUT,
                       "%s: tensor \"%.200s\": truncated: it ends at byte %lld of the data, expected at most %lld",
                       in->path, name, (long long)item->end, (long long)in->data_size);
    return FV_OK;
}

static fv_status parse_tensor(const input *in, const char *name, json_t *description, placed *item) {
    item->tensor.name = name;
    FV_TRY(check_keys(in->path, name, description));
    FV_TRY(parse_dtype(in->path, name, json_object_get(description, "dtype"), &item->tensor.dtype));
    FV_TRY(parse_shape(in->path, name, json_object_get(description, "shape"), &item->tensor.shape));
    return parse_offsets(in, json_object_get(description, "data_offsets"), item);
}

/* ---- the data ---- */

static int compare_places(const void *a, const void *b) {
    const placed *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end);
}

/* Sorted tensors must lie one after the other and fill the data. */
static fv_status check_layout(const input *in, const placed *items, size_t count) {
    int64_t end = 0;
    for (size_t i = 0; i < count; ++i) {
        if (items[i].begin != end)
            return fv_fail(FV_BAD_INPUT, "%s: tensor \"%.200s\": its data begins at byte %lld (%s), expected %lld",
                           in->path, items[i].tensor.name, (long long)items[i].begin,
                           items[i].begin < end ? "an overlap" : "after a hole", (long long)end);
        end = items[i].end;
    }
    if (end != in->data_size)
        return fv_fail(FV_BAD_INPUT, "%s: %lld bytes of trailing data, expected none after the last tensor", in->path,
                       (long long)(in->data_size - end));
    return FV_OK;
}

static fv_status read_tensor(const input *in, placed *item) {
    const size_t bytes = (size_t)(item->end - item->begin);
    void *data = malloc(bytes > 0 ? bytes : 1);
    if (!data)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for the %zu bytes of tensor \"%.200s\"", in->path, bytes,
                       item->tensor.name);
    item->tensor.data = data;
    size_t got = 0;
    FV_TRY(fv_file_read(in->fd, in->path, data, bytes, &got));
    if (got < bytes)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %zu of the %zu bytes of tensor \"%.200s\"", in->path, got, bytes,
                       item->tensor.name);
    return FV_OK;
}

/* Reads all tensors that file->header describes; items has room for them. */
static fv_status read_tensors(const input *in, placed *items, fv_safetensors *file) {
    size_t count = 0;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(file->header, name, value) {
        if (strcmp(name, FV_SAFETENSORS_METADATA) == 0)
            FV_TRY(parse_metadata(in->path, value, file));
        else
            FV_TRY(parse_tensor(in, name, value, &items[count++]));
    }
    qsort(items, count, sizeof *items, compare_places);
    FV_TRY(check_layout(in, items, count));
    for (size_t i = 0; i < count; ++i) {
        const fv_status status = read_tensor(in, &items[i]);
        file->tensors[file->tensor_count++] = items[i].tensor;
        FV_TRY(status);
    }
    return FV_OK;
}

static fv_status read_file(input *in, int64_t file_size, fv_safetensors *file) {
    FV_TRY(read_header(in, file_size, &file->header));
    const size_t most = json_object_size(file->header) + 1;
    file->tensors = calloc(most, sizeof *file->tensors);
    placed *items = calloc(most, sizeof *items);
    const fv_status status = file->tensors && items ? read_tensors(in, items, file)
                                                    : fv_fail(FV_NO_MEMORY, "%s: no memory for its tensors", in->path);
    free(items);
    return status;
}

fv_status fv_safetensors_read(const char *path, fv_safetensors *file) {
    memset(file, 0, sizeof *file);
    input in = {.path = path};
    int64_t file_size = 0;
    FV_TRY(fv_file_open(path, &in.fd, &file_size));
    const fv_status status = read_file(&in, file_size, file);
    close(in.fd);
    if (status != FV_OK)
        fv_safetensors_release(file);
    return status;
}

void fv_safetensors_release(fv_safetensors *file) {
    for (size_t i = 0; i < file->tensor_count; ++i)
        free((void *)file->tensors[i].data);
    free(file->tensors);
    free(file->metadata);
    json_decref(file->header);
    memset(file, 0, sizeof *file);
}

const fv_safetensor *fv_safetensors_find(const fv_safetensors *file, const char *name) {
    for (size_t i = 0; i < file->tensor_count; ++i)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *fv_safetensors_metadata(const fv_safetensors *file, const char *key) {
    for (size_t i = 0; i < file->metadata_count; ++i)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}
