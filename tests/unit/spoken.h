/* What a function says to standard output, as a text from malloc. */
#ifndef FOVEA_TESTS_UNIT_SPOKEN_H
#define FOVEA_TESTS_UNIT_SPOKEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct spoken {
    FILE *file;
    int terminal;
} spoken;

static inline spoken spoken_begin(void) {
    spoken s = {.file = tmpfile()};
    assert_non_null(s.file);
    fflush(stdout);
    s.terminal = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(s.file), STDOUT_FILENO) >= 0);
    return s;
}

static inline char *spoken_end(spoken *s) {
    fflush(stdout);
    dup2(s->terminal, STDOUT_FILENO);
    close(s->terminal);
    const long size = ftell(s->file) < 0 || fseek(s->file, 0, SEEK_END) != 0 ? -1 : ftell(s->file);
    assert_true(size >= 0);
    char *text = calloc((size_t)size + 1, 1);
    assert_non_null(text);
    rewind(s->file);
    assert_int_equal(fread(text, 1, (size_t)size, s->file), size);
    fclose(s->file);
    return text;
}

static inline void expect_in(const char *text, const char *words) {
    if (!strstr(text, words))
        fail_msg("no \"%s\" in:\n%s", words, text);
}

static inline void expect_absent(const char *text, const char *words) {
    if (strstr(text, words))
        fail_msg("\"%s\" in:\n%s", words, text);
}

#endif
