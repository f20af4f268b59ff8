#include "cases/lines.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"

enum { LABEL_SIZE = sizeof((fv_case *)0)->label };

/* The bytes of the UTF-8 character that a text begins with (RFC 3629); 0 if that is none. */
static size_t utf8_length(const unsigned char *text, size_t size) {
    const unsigned char lead = text[0];
    const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length > size)
        return 0;
    for (size_t i = 1; i < length; ++i)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if (length > 2) { /* no longer than need be, no half of a surrogate pair, nothing above U+10FFFF */
        const unsigned start = (unsigned)lead << 8 | text[1];
        if ((start >= 0xe080 && start < 0xe0a0) || (start >= 0xeda0 && start < 0xee00) ||
            (start >= 0xf080 && start < 0xf090) || start >= 0xf490)
            return 0;
    }
    return length;
}

/* A comment's text as a label: whole characters of UTF-8, of which control characters become blanks and bytes that are
 * no characters question marks, so that it can stand in tables and in JSON. */
static void make_label(const char *comment, size_t length, char label[LABEL_SIZE]) {
    while (length > 0 && (*comment == '#' || isspace((unsigned char)*comment)))
        ++comment, --length;
    while (length > 0 && isspace((unsigned char)comment[length - 1]))
        --length;
    size_t at = 0;
    while (length > 0) {
        const size_t character = utf8_length((const unsigned char *)comment, length), step = character ? character : 1;
        if (at + step >= LABEL_SIZE)
            break;
        memcpy(label + at, comment, step);
        if (!character)
            label[at] = '?';
        else if (iscntrl((unsigned char)*comment))
            label[at] = ' ';
        at += step, comment += step, length -= step;
    }
    while (at > 0 && label[at - 1] == ' ')
        --at;
    label[at] = '\0';
}

void fv_cases_label(fv_case_list *list, int64_t begin, const char *label) {
    for (int64_t i = begin; i < list->count; ++i)
        if (!list->items[i].label[0])
            snprintf(list->items[i].label, sizeof list->items[i].label, "%s", label);
}

/* Copies a line without its comment and the blanks around it, and the comment as a label. */
static fv_status clean(const char *line, size_t length, char copy[FV_LINE_SIZE], char label[LABEL_SIZE]) {
    if (length >= FV_LINE_SIZE)
        return fv_fail(FV_BAD_INPUT, "the line has %zu characters, expected at most %d", length, FV_LINE_SIZE - 1);
    if (memchr(line, '\0', length))
        return fv_fail(FV_BAD_INPUT, "the line holds a NUL byte, expected text");
    size_t end = 0;
    while (end < length && !(line[end] == '#' && (end == 0 || isspace((unsigned char)line[end - 1]))))
        ++end;
    make_label(line + end, length - end, label);
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
        char line[FV_LINE_SIZE], label[LABEL_SIZE];
        ++place.line;
        fv_status status = clean(text + at, length, line, label);
        if (status == FV_OK && *line)
            status = read(user, &place, line, label);
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
