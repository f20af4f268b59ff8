#include "data/idx.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "data/source.h"

enum { MAGIC_SIZE = 4, MAX_HEADER_SIZE = MAGIC_SIZE * (1 + FV_IDX_MAX_RANK), UNSIGNED_BYTE = 0x08 };

/* A failed download is often an error page under the data file's name. */
static bool looks_like_html(const uint8_t *bytes, int64_t count) {
    int64_t i = count >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */
    while (i < count && (bytes[i] == ' ' || bytes[i] == '\t' || bytes[i] == '\r' || bytes[i] == '\n'))
        ++i;
    if (i + 1 >= count || bytes[i] != '<')
        return false;
    const int next = bytes[i + 1] | 0x20; /* lower case */
    return bytes[i + 1] == '!' || bytes[i + 1] == '?' || (next >= 'a' && next <= 'z');
}

static const char *type_name(uint8_t type) {
    switch (type) {
    case UNSIGNED_BYTE:
        return "unsigned byte";
    case 0x09:
        return "signed byte";
    case 0x0b:
        return "16-bit integer";
    case 0x0c:
        return "32-bit integer";
    case 0x0d:
        return "32-bit float";
    case 0x0e:
        return "64-bit float";
    default:
        return "unknown";
    }
}

/* Checks the first `count` bytes of a file, at most the header's size. */
static fv_status check_header(const char *path, int rank, const uint8_t *header, int64_t count) {
    const int64_t header_size = MAGIC_SIZE * (1 + rank);
    if (looks_like_html(header, count))
        return fv_fail(FV_BAD_INPUT, "%s: looks like an HTML page, expected an IDX file", path);
    if (count < MAGIC_SIZE)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %lld of the %lld bytes of an IDX header", path, (long long)count,
                       (long long)header_size);
    if (header[0] != 0 || header[1] != 0)
        return fv_fail(FV_BAD_INPUT,
                       "%s: wrong magic number %02x%02x%02x%02x, expected %08x (IDX, unsigned byte, rank %d)", path,
                       header[0], header[1], header[2], header[3], UNSIGNED_BYTE << 8 | rank, rank);
    if (header[2] != UNSIGNED_BYTE)
        return fv_fail(FV_BAD_INPUT, "%s: data type 0x%02x (%s), expected 0x%02x (%s)", path, header[2],
                       type_name(header[2]), UNSIGNED_BYTE, type_name(UNSIGNED_BYTE));
    if (header[3] != rank)
        return fv_fail(FV_BAD_INPUT, "%s: rank %d, expected %d", path, header[3], rank);
    if (count < header_size)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %lld of the %lld bytes of an IDX header", path, (long long)count,
                       (long long)header_size);
    return FV_OK;
}

/* Reads the extents and the number of data bytes from a checked header. */
static fv_status parse_extents(const char *path, int rank, const uint8_t *header, fv_idx *idx, int64_t *bytes) {
    *bytes = 1;
    for (int i = 0; i < rank; ++i) {
        const uint8_t *at = header + MAGIC_SIZE * (1 + i);
        const uint32_t extent = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        if (extent == 0)
            return fv_fail(FV_BAD_INPUT, "%s: dimension %d of %d is 0, expected at least 1", path, i + 1, rank);
        idx->dim[i] = extent;
        if (!fv_checked_mul(*bytes, extent, bytes))
            return fv_fail(FV_BAD_INPUT, "%s: size overflow: its %d dimensions multiply to more than 2^63 bytes", path,
                           rank);
    }
    return FV_OK;
}

/* Compares what the header describes with what the file can hold, before memory is taken for it. */
static fv_status check_size(const char *path, const fv_source *source, int64_t header_size, int64_t data_size) {
    int64_t described = 0;
    if (!fv_checked_add(header_size, data_size, &described))
        return fv_fail(FV_BAD_INPUT, "%s: size overflow: its header describes more than 2^63 bytes", path);
    const int64_t file_size = fv_source_file_size(source);
    if (fv_source_is_gzip(source)) {
        if (described <= fv_source_limit(source))
            return FV_OK;
        return fv_fail(FV_BAD_INPUT,
                       "%s: its header describes %lld bytes, more than a gzip file of %lld bytes can hold", path,
                       (long long)described, (long long)file_size);
    }
    if (file_size < described)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %lld of the %lld bytes that its header describes", path,
                       (long long)file_size, (long long)described);
    if (file_size > described)
        return fv_fail(FV_BAD_INPUT, "%s: %lld bytes of trailing data after the %lld that its header describes", path,
                       (long long)(file_size - described), (long long)described);
    return FV_OK;
}

static fv_status read_data(const char *path, fv_source *source, int64_t header_size, int64_t data_size, uint8_t *data) {
    int64_t got = 0;
    FV_TRY(fv_source_read(source, data, data_size, &got));
    if (got < data_size)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: %lld of the %lld bytes that its header describes", path,
                       (long long)(header_size + got), (long long)(header_size + data_size));
    return fv_source_expect_end(source);
}

static fv_status read_source(const char *path, fv_source *source, int rank, fv_idx *idx) {
    const int64_t header_size = MAGIC_SIZE * (1 + rank);
    uint8_t header[MAX_HEADER_SIZE];
    int64_t got = 0;
    int64_t data_size = 0;
    if (fv_source_file_size(source) == 0)
        return fv_fail(FV_BAD_INPUT, "%s: empty file, expected an IDX file", path);
    FV_TRY(fv_source_read(source, header, header_size, &got));
    FV_TRY(check_header(path, rank, header, got));
    FV_TRY(parse_extents(path, rank, header, idx, &data_size));
    FV_TRY(check_size(path, source, header_size, data_size));

    uint8_t *data = malloc((size_t)data_size);
    if (!data)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for its %lld bytes", path, (long long)data_size);
    const fv_status status = read_data(path, source, header_size, data_size, data);
    if (status != FV_OK) {
        free(data);
        return status;
    }
    idx->data = data;
    return FV_OK;
}

fv_status fv_idx_read(const char *path, int rank, fv_idx *idx) {
    memset(idx, 0, sizeof *idx);
    fv_source *source = NULL;
    FV_TRY(fv_source_open(path, &source));
    const fv_status status = read_source(path, source, rank, idx);
    fv_source_close(source);
    return status;
}
