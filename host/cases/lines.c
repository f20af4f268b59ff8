#include "cases/lines.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"

/* Copies a line without its comment and the blanks around it. */
static fv_status clean(const char *line, size_t length, char copy[FV_LINE_SIZE]) {
    if (length >= FV_LINE_SIZE)
        return fv_fail(FV_BAD_INPUT, "the line has %zu characters, expected at most %d", length, FV_LINE_SIZE - 1);
    if (memchr(line, '\0', length))
        return fv_fail(FV_BAD_INPUT, "the line holds a NUL byte, expected text");
    size_t end = 0;
    while (end < length && !(line[end] == '#' && (end == 0 || isspace((unsigned char)line[end - 1]))))
        ++end;
    while (end > 0 && isspace((unsigned char)line[end - 1]))
        --end;
    size_t begin = 0;
    while (begin < end && isspace((unsigned char)line[begin]))
        ++begin;
    memcpy(copy, line + begin, end - begin);
    copy[end - begin] = '\0';
    return FV_OK;
}

fv_status fv_each_line(const char *path, const char *text, size_t size, fv_line_reader *read, void *user) {
    fv_place place = {path, 0};
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        const size_t length = newline ? (size_t)(newline - text) - at : size - at;
        char line[FV_LINE_SIZE];
        ++place.line;
        fv_status status = clean(text + at, length, line);
        if (status == FV_OK && *line)
            status = read(user, &place, line);
        if (status != FV_OK)
            return fv_fail_within(status, "%s:%" PRId64, path, place.line);
        at += length + 1;
    }
    return FV_OK;
}

fv_status fv_each_line_of_file(const char *path, fv_line_reader *read, void *user) {
    const bool input = !strcmp(path, "-");
    const char *name = input ? "standard input" : path;
    int fd = STDIN_FILENO;
    int64_t size = FV_MOST_TEXT_BYTES + 1; /* of standard input: one more than there may be */
    if (!input)
        FV_TRY(fv_file_open(path, &fd, &size));
    fv_status status = FV_OK;
    size_t got = 0;
    char *text = malloc((size_t)fv_min(size, FV_MOST_TEXT_BYTES + 1) + 1);
    if (!text)
        status = fv_fail(FV_NO_MEMORY, "%s: no memory for its %" PRId64 " bytes", name, size);
    else
        status = fv_file_read(fd, name, text, (size_t)fv_min(size, FV_MOST_TEXT_BYTES + 1), &got);
    if (!input)
        close(fd);
    if (status == FV_OK && got > FV_MOST_TEXT_BYTES)
        status = fv_fail(FV_BAD_INPUT, "%s: expected a list of cases of at most %d bytes", name, FV_MOST_TEXT_BYTES);
    if (status == FV_OK)
        status = fv_each_line(name, text, got, read, user);
    free(text);
    return status;
}

char *fv_cut_word(char **rest) {
    static const char blanks[] = " \t\v\f\r\n";
    char *word = *rest + strspn(*rest, blanks);
    if (!*word)
        return NULL;
    *rest = word + strcspn(word, blanks);
    if (**rest)
        *(*rest)++ = '\0';
    return word;
}

bool fv_read_extent(const char **text, int64_t *value) {
    const char *p = *text;
    int64_t sum = 0;
    for (; isdigit((unsigned char)*p); ++p)
        sum = fv_min(10 * sum + (*p - '0'), FV_TOO_LARGE);
    if (p == *text)
        return false;
    *value = sum;
    *text = p;
    return true;
}

bool fv_axis_fit(fv_axis *axis, int64_t output) {
    const int64_t least = (output - 1) * axis->stride + fv_axis_span(axis) - axis->input - axis->pad_before;
    const int64_t choices[] = {axis->pad_before, least, 0};
    if (axis->pad_before < 0)
        return false;
    if (axis->pad_before > INT32_MAX) {
        axis->pad_after = 0; /* validation will refuse pad_before by name */
        return true;
    }
    for (int i = 0; i < 3; ++i) {
        axis->pad_after = choices[i];
        if (choices[i] >= 0 && fv_axis_output(axis) == output)
            return true;
    }
    return false;
}
