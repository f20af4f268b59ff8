#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"

int fv_report(const char *command, fv_status status) {
    fprintf(stderr, "fovea %s: %s\n", command, fv_error_message());
    return status == FV_MISMATCH || status == FV_DEVICE || status == FV_NO_MEMORY ? FV_EXIT_FAILED : FV_EXIT_USAGE;
}

static int say_errno;

void fv_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    errno = 0;
    if ((vprintf(format, arguments) < 0 || ferror(stdout)) && errno != EPIPE && !say_errno)
        say_errno = errno;
    va_end(arguments);
}

void fv_say_lost(void) {
    say_errno = say_errno ? say_errno : ENOMEM;
}

int fv_say_status(void) {
    errno = 0;
    if (fflush(stdout) != 0 && errno != EPIPE && !say_errno)
        say_errno = errno;
    return say_errno;
}

void fv_parse_arguments(const struct argp *parser, const char *name, int argc, char **argv, void *input) {
    argv[0] = (char *)(uintptr_t)name; /* argp does not write to it */
    const error_t error = argp_parse(parser, argc, argv, 0, NULL, input);
    if (error) {
        fprintf(stderr, "%s: %s\n", name, strerror(error));
        exit(FV_EXIT_FAILED);
    }
}

int64_t fv_option_count(const struct argp_state *state, const char *option, const char *text, int64_t low,
                        int64_t high) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        argp_failure(state, FV_EXIT_USAGE, 0, "--%s=%s: expected a whole number from %" PRId64 " to %" PRId64, option,
                     text, low, high);
    return value;
}

double fv_option_positive(const struct argp_state *state, const char *option, const char *text, double limit) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value < limit))
        argp_failure(state, FV_EXIT_USAGE, 0, "--%s=%s: expected a number above 0 and below %g", option, text, limit);
    return value;
}

int fv_option_choice(const struct argp_state *state, const char *option, const char *text, const char *const *names,
                     int count) {
    char list[512] = "";
    for (int i = 0; i < count; ++i) {
        if (!strcmp(text, names[i]))
            return i;
        const char *before = i == 0 ? "" : i == count - 1 ? " or " : ", ";
        fv_append(list, sizeof list, "%s%s", before, names[i]);
    }
    argp_failure(state, FV_EXIT_USAGE, 0, "--%s=%s: expected %s", option, text, list);
    return 0;
}

const char *fv_default_data(char *buffer, size_t size) {
    static const char here[] = "data/mnist";
    if (!access(here, R_OK))
        return here;
    char program[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return here;
    program[length] = '\0';
    const char *folder = dirname(program);
    static const char *const places[] = {"../data/mnist", FV_INSTALLED_DATA};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
        const int written = snprintf(buffer, size, "%s/%s", folder, places[i]);
        if (written > 0 && (size_t)written < size && !access(buffer, R_OK))
            return buffer;
    }
    return here;
}

void fv_progress_begin(fv_progress *progress) {
    *progress = (fv_progress){.terminal = isatty(STDERR_FILENO) != 0, .start = fv_clock_seconds()};
}

void fv_progress_draw(fv_progress *progress, int64_t done, int64_t all, const char *unit) {
    enum { WIDTH = 30 };
    const double time = fv_clock_seconds();
    if (!progress->terminal || (time - progress->drawn < 0.1 && done < all))
        return;
    progress->drawn = time;
    progress->shown = true;
    const int filled = (int)(WIDTH * done / (all ? all : 1));
    const double left = done ? (time - progress->start) / (double)done * (double)(all - done) : 0;
    fprintf(stderr, "\r[%.*s%*s] %" PRId64 "/%" PRId64 " %s, %.0f s left \033[K", filled,
            "==============================", WIDTH - filled, "", done, all, unit, left);
    fflush(stderr);
}

void fv_progress_clear(fv_progress *progress) {
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}
