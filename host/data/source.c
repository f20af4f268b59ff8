#include "data/source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"

/* Deflate's shortest code for its longest match: 2 bits for 258 bytes. */
enum { MOST_BYTES_PER_PACKED_BYTE = 4 * 258 };

enum { BUFFER_SIZE = 64 * 1024 };

struct fv_source {
    char *path;
    int fd;
    int64_t file_size;
    int64_t position; /* bytes handed out so far */
    bool gzip;
    bool between;    /* gzip: a member has ended and none has begun since */
    z_stream stream; /* next_in and avail_in are the unread part of the buffer, for raw files too */
    unsigned char buffer[BUFFER_SIZE];
};

static fv_status refill(fv_source *source) {
    size_t got = 0;
    FV_TRY(fv_file_read(source->fd, source->path, source->buffer, BUFFER_SIZE, &got));
    source->stream.next_in = source->buffer;
    source->stream.avail_in = (uInt)got;
    return FV_OK;
}

static fv_status begin(fv_source *source) {
    FV_TRY(fv_file_open(source->path, &source->fd, &source->file_size));
    FV_TRY(refill(source));
    if (source->stream.avail_in < 2 || source->buffer[0] != 0x1f || source->buffer[1] != 0x8b)
        return FV_OK;
    enum { GZIP_WRAPPER = 16 };
    if (inflateInit2(&source->stream, MAX_WBITS + GZIP_WRAPPER) != Z_OK)
        return fv_fail(FV_NO_MEMORY, "cannot read %s: no memory to unpack it", source->path);
    source->gzip = true;
    return FV_OK;
}

fv_status fv_source_open(const char *path, fv_source **result) {
    *result = NULL;
    fv_source *source = calloc(1, sizeof *source);
    if (!source)
        return fv_fail_errno("read", path);
    source->fd = -1;
    source->path = strdup(path);
    const fv_status status = source->path ? begin(source) : fv_fail_errno("read", path);
    if (status != FV_OK) {
        fv_source_close(source);
        return status;
    }
    *result = source;
    return FV_OK;
}

void fv_source_close(fv_source *source) {
    if (!source)
        return;
    if (source->gzip)
        inflateEnd(&source->stream);
    if (source->fd >= 0)
        close(source->fd);
    free(source->path);
    free(source);
}

bool fv_source_is_gzip(const fv_source *source) {
    return source->gzip;
}

int64_t fv_source_file_size(const fv_source *source) {
    return source->file_size;
}

int64_t fv_source_limit(const fv_source *source) {
    int64_t limit = source->file_size;
    if (source->gzip && !fv_checked_mul(source->file_size, MOST_BYTES_PER_PACKED_BYTE, &limit))
        return INT64_MAX;
    return limit;
}

/* Moves up to count bytes from the buffer, which is not empty, to `bytes`; *step is how many came out. */
static fv_status copy_some(fv_source *source, unsigned char *bytes, int64_t count, int64_t *step) {
    *step = fv_min(count, source->stream.avail_in);
    memcpy(bytes, source->stream.next_in, (size_t)*step);
    source->stream.next_in += *step;
    source->stream.avail_in -= (uInt)*step;
    return FV_OK;
}

static fv_status unpack_some(fv_source *source, unsigned char *bytes, int64_t count, int64_t *step) {
    z_stream *stream = &source->stream;
    if (source->between)
        inflateReset(stream);
    source->between = false;

    enum { MOST_AT_ONCE = 1 << 30 }; /* avail_out has 32 bits */
    const uInt wanted = (uInt)fv_min(count, MOST_AT_ONCE);
    stream->next_out = bytes;
    stream->avail_out = wanted;
    const int outcome = inflate(stream, Z_NO_FLUSH);
    *step = wanted - stream->avail_out;
    if (outcome == Z_MEM_ERROR)
        return fv_fail(FV_NO_MEMORY, "cannot read %s: no memory to unpack it", source->path);
    if (outcome != Z_OK && outcome != Z_STREAM_END)
        return fv_fail(FV_BAD_INPUT, "%s: corrupt gzip data after %lld unpacked bytes: %s", source->path,
                       (long long)(source->position + *step), stream->msg ? stream->msg : zError(outcome));
    source->between = outcome == Z_STREAM_END;
    return FV_OK;
}

fv_status fv_source_read(fv_source *source, void *bytes, int64_t count, int64_t *got) {
    *got = 0;
    while (*got < count) {
        if (source->stream.avail_in == 0)
            FV_TRY(refill(source));
        if (source->stream.avail_in == 0)
            break;
        unsigned char *next = (unsigned char *)bytes + *got;
        int64_t step = 0;
        FV_TRY((source->gzip ? unpack_some : copy_some)(source, next, count - *got, &step));
        *got += step;
        source->position += step;
    }
    return FV_OK;
}

fv_status fv_source_expect_end(fv_source *source) {
    const int64_t expected = source->position;
    char extra;
    int64_t got = 0;
    FV_TRY(fv_source_read(source, &extra, 1, &got));
    if (got > 0)
        return fv_fail(FV_BAD_INPUT, "%s: trailing data: more than the expected %lld bytes", source->path,
                       (long long)expected);
    if (source->gzip && !source->between)
        return fv_fail(FV_BAD_INPUT, "%s: truncated: ends within a gzip member, after %lld unpacked bytes",
                       source->path, (long long)expected);
    return FV_OK;
}
