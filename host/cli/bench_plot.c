/* fv_bench_plot: gnuplot draws the picture. It runs as a child, without a shell: the script is its standard input, and
 * what it writes comes through a pipe into the target, which is replaced only when the picture is whole. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/bench.h"
#include "cli/bench_plot.h"

/* The child and this end of what it reads and writes; -1: not open. */
typedef struct drawer {
    pid_t child;
    int script, complaints; /* files in memory, so that neither side waits for the other */
    int picture, write_end; /* a pipe */
} drawer;

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void drawer_end(drawer *d) {
    close_end(&d->script);
    close_end(&d->complaints);
    close_end(&d->picture);
    close_end(&d->write_end);
}

static fv_status write_script(const fv_plot *plot, fv_plot_kind kind, int fd) {
    const int copy = dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    if (!out) {
        const fv_status status = fv_fail_errno("write", "the script for gnuplot");
        if (copy >= 0)
            close(copy);
        return status;
    }
    errno = 0;
    fv_plot_write_script(plot, kind, out);
    const bool cut = ferror(out) != 0;
    if (fclose(out) != 0 || cut || lseek(fd, 0, SEEK_SET) != 0)
        return fv_fail_errno("write", "the script for gnuplot");
    return FV_OK;
}

static fv_status open_ends(drawer *d) {
    int ends[2];
    d->script = memfd_create("fovea-script", MFD_CLOEXEC);
    d->complaints = memfd_create("fovea-complaints", MFD_CLOEXEC);
    if (d->script < 0 || d->complaints < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return fv_fail_errno("open a pipe to", "gnuplot");
    d->picture = ends[0];
    d->write_end = ends[1];
    return FV_OK;
}

static fv_status spawn(drawer *d) {
    posix_spawn_file_actions_t actions;
    char *arguments[] = {(char[]){"gnuplot"}, (char[]){"-d"}, NULL}; /* -d: whatever the user's own settings are */
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return fv_fail(FV_IO, "cannot run gnuplot: %s", strerror(error));
    error = posix_spawn_file_actions_adddup2(&actions, d->script, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, d->write_end, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, d->complaints, STDERR_FILENO);
    if (!error)
        error = posix_spawnp(&d->child, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT)
        return fv_fail(FV_UNSUPPORTED,
                       "there is no gnuplot, which draws the pictures (Debian: apt install gnuplot-nox)");
    return error ? fv_fail(FV_IO, "cannot run gnuplot: %s", strerror(error)) : FV_OK;
}

/* The last line with something on it of what gnuplot complained about: the message follows an echo of the command. */
static void read_complaint(int fd, char complaint[256]) {
    enum { TAIL = 4096 };
    char text[TAIL + 1];
    const off_t size = lseek(fd, 0, SEEK_END);
    const ssize_t got = size > 0 ? pread(fd, text, TAIL, size > TAIL ? size - TAIL : 0) : 0;
    text[got > 0 ? got : 0] = '\0';
    snprintf(complaint, 256, "no message");
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t\r");
        if (*line)
            snprintf(complaint, 256, "%s", line);
    }
}

/* Copies the pipe to the target until gnuplot has closed it. */
static fv_status receive(int fd, fv_file_writer *writer, size_t *bytes) {
    for (*bytes = 0;;) {
        char piece[1 << 16];
        size_t got = 0;
        FV_TRY(fv_file_read(fd, "gnuplot's picture", piece, sizeof piece, &got));
        if (got == 0)
            return FV_OK;
        FV_TRY(fv_file_writer_write(writer, piece, got));
        *bytes += got;
    }
}

/* Waits for gnuplot and judges how it ended. */
static fv_status finish(const drawer *d, size_t bytes) {
    int ended = 0;
    while (waitpid(d->child, &ended, 0) < 0)
        if (errno != EINTR)
            return fv_fail_errno("wait for", "gnuplot");
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0 && bytes > 0)
        return FV_OK;
    char complaint[256];
    read_complaint(d->complaints, complaint);
    if (WIFSIGNALED(ended))
        return fv_fail(FV_IO, "gnuplot was ended by signal %d: %s", WTERMSIG(ended), complaint);
    return fv_fail(FV_IO, "gnuplot drew nothing (exit status %d): %s", WEXITSTATUS(ended), complaint);
}

static fv_status draw(const fv_plot *plot, fv_plot_kind kind, fv_file_writer *writer) {
    drawer d = {.script = -1, .complaints = -1, .picture = -1, .write_end = -1};
    fv_status status;
    FV_TRY_GOTO(status, open_ends(&d), done);
    FV_TRY_GOTO(status, write_script(plot, kind, d.script), done);
    FV_TRY_GOTO(status, spawn(&d), done);
    close_end(&d.write_end);
    size_t bytes;
    status = receive(d.picture, writer, &bytes);
    close_end(&d.picture); /* if the target could not take all of it, gnuplot must not wait for us */
    FV_KEEP(status, finish(&d, bytes));
done:
    drawer_end(&d);
    return status;
}

static fv_status kind_of(const char *path, fv_plot_kind *kind) {
    const char *suffix = strrchr(path, '.');
    const bool svg = suffix && !strcasecmp(suffix, ".svg"), png = suffix && !strcasecmp(suffix, ".png");
    *kind = svg ? FV_PLOT_SVG : FV_PLOT_PNG;
    return svg || png ? FV_OK
                      : fv_fail(FV_BAD_INPUT, "cannot draw %s: expected a name that ends in .svg or .png", path);
}

/* Whether there is a gnuplot: one that is to draw nothing. */
static fv_status try_gnuplot(void) {
    drawer d = {.script = -1, .complaints = -1, .picture = -1, .write_end = -1};
    fv_status status;
    FV_TRY_GOTO(status, open_ends(&d), done);
    FV_TRY_GOTO(status, spawn(&d), done);
    while (waitpid(d.child, NULL, 0) < 0 && errno == EINTR)
        ;
done:
    drawer_end(&d);
    return status;
}

fv_status fv_bench_check_plot(const char *path) {
    fv_plot_kind kind;
    FV_TRY(kind_of(path, &kind));
    FV_TRY(fv_file_check_writable(path));
    return try_gnuplot();
}

fv_status fv_bench_plot(const fv_bench_record *record, const char *path) {
    fv_plot_kind kind;
    FV_TRY(kind_of(path, &kind));
    fv_plot plot;
    fv_file_writer *writer = NULL;
    fv_status status;
    FV_TRY_GOTO(status, fv_plot_prepare(&plot, record), done);
    FV_TRY_GOTO(status, fv_file_writer_open(path, &writer), done);
    FV_TRY_GOTO(status, draw(&plot, kind, writer), done);
    status = fv_file_writer_commit(writer);
    writer = NULL;
done:
    fv_file_writer_abandon(writer);
    fv_plot_release(&plot);
    return status;
}
