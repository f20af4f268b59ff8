#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 1024 };

static _Thread_local char message[MESSAGE_SIZE];

const char *fv_error_message(void) {
    return message;
}

const char *fv_status_name(fv_status status) {
    switch (status) {
    case FV_OK:
        return "ok";
    case FV_BAD_INPUT:
        return "bad input";
    case FV_UNSUPPORTED:
        return "unsupported";
    case FV_NO_MEMORY:
        return "out of memory";
    case FV_IO:
        return "input/output error";
    case FV_DEVICE:
        return "device error";
    case FV_MISMATCH:
        return "mismatch";
    }
    return "unknown status";
}

fv_status fv_fail(fv_status status, const char *format, ...) {
    /* Formatted aside first: an argument may be the current message. */
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* Names and quotations may hold line breaks or terminal escapes; a message is one plain line. */
    for (char *c = text; *c; ++c)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    memcpy(message, text, sizeof message);
    return status;
}

fv_status fv_fail_within(fv_status status, const char *format, ...) {
    char prefix[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    return fv_fail(status, "%s: %s", prefix, message);
}

fv_status fv_fail_errno(const char *verb, const char *path) {
    const int code = errno;
    return fv_fail(code == ENOMEM ? FV_NO_MEMORY : FV_IO, "cannot %s %s: %s", verb, path, strerror(code));
}

void fv_error_save(char saved[MESSAGE_SIZE]) {
    memcpy(saved, message, MESSAGE_SIZE);
}

void fv_error_restore(const char saved[MESSAGE_SIZE]) {
    memcpy(message, saved, MESSAGE_SIZE);
}
