#include "base/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

fv_status fv_next_word(const char **text, char word[FV_WORD_SIZE]) {
    const char *p = *text;
    while (isspace((unsigned char)*p))
        ++p;
    size_t length = 0;
    for (; *p && !isspace((unsigned char)*p); ++p) {
        if (length + 1 == FV_WORD_SIZE)
            return fv_fail(FV_BAD_INPUT, "'%.20s...' is longer than %d characters", p - length, FV_WORD_SIZE - 1);
        word[length++] = *p;
    }
    word[length] = '\0';
    *text = p;
    return FV_OK;
}

void fv_append(char *text, size_t size, const char *format, ...) {
    const size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
}
