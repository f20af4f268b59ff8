#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

struct fv_file_writer {
    char *path;         /* as the caller gave it, for messages */
    char *name;         /* of the target within its folder */
    char temporary[48]; /* name within the folder; "" if there is no temporary file */
    int fd;
    int folder; /* -1: written directly */
    int error;  /* errno of the first failed write */
};

/* Closes and forgets a descriptor; false with errno if the system reports an error. */
static bool close_descriptor(int *fd) {
    const int closing = *fd;
    *fd = -1;
    return close(closing) == 0;
}

/* ---- reading ---- */

fv_status fv_file_open(const char *path, int *fd, int64_t *size) {
    /* O_NONBLOCK keeps a fifo from waiting for its writer before it can be refused. */
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        const bool missing = errno == ENOENT || errno == ENOTDIR;
        const fv_status status = fv_fail_errno("read", path);
        return missing ? FV_BAD_INPUT : status;
    }
    struct stat info;
    fv_status status = FV_OK;
    if (fstat(opened, &info) != 0)
        status = fv_fail_errno("read", path);
    else if (S_ISDIR(info.st_mode))
        status = fv_fail(FV_BAD_INPUT, "cannot read %s: it is a directory, expected a file", path);
    else if (!S_ISREG(info.st_mode))
        status = fv_fail(FV_BAD_INPUT, "cannot read %s: it is a pipe or device, expected a regular file", path);
    if (status != FV_OK) {
        close_descriptor(&opened);
        return status;
    }
    *fd = opened;
    *size = info.st_size;
    return FV_OK;
}

fv_status fv_file_read(int fd, const char *path, void *bytes, size_t count, size_t *got) {
    *got = 0;
    while (*got < count) {
        const ssize_t step = read(fd, (char *)bytes + *got, count - *got);
        if (step == 0)
            break;
        if (step > 0)
            *got += (size_t)step;
        else if (errno != EINTR)
            return fv_fail_errno("read", path);
    }
    return FV_OK;
}

/* ---- writing ---- */

/* Which of standard output and error is this very file; -1 for neither. */
static int standard_stream(const struct stat *target) {
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; ++fd) {
        struct stat stream;
        if (fstat(fd, &stream) == 0 && stream.st_dev == target->st_dev && stream.st_ino == target->st_ino)
            return fd;
    }
    return -1;
}

/* Resolves the target's links, opens its folder and notes its name in there. */
static fv_status locate(fv_file_writer *writer, bool exists) {
    struct stat link;
    if (!exists && lstat(writer->path, &link) == 0)
        return fv_fail(FV_IO, "cannot write %s: it is a symbolic link that leads nowhere", writer->path);
    char *target = exists ? realpath(writer->path, NULL) : strdup(writer->path);
    if (!target)
        return fv_fail_errno("write", writer->path);

    char *slash = strrchr(target, '/');
    writer->name = strdup(slash ? slash + 1 : target);
    if (slash)
        slash[slash == target ? 1 : 0] = '\0'; /* the root folder keeps its slash */
    if (writer->name)
        writer->folder = open(slash ? target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int code = errno;
    free(target);
    errno = code;
    if (!writer->name)
        return fv_fail_errno("write", writer->path);
    if (writer->folder < 0)
        return fv_fail_errno("open the folder of", writer->path);
    if (writer->name[0] == '\0')
        return fv_fail(FV_BAD_INPUT, "cannot write '%s': expected the name of a file", writer->path);
    return FV_OK;
}

/* Creates the temporary file. Names that exist belong to other writers or to killed ones; neither is ours to touch. */
static fv_status create_temporary(fv_file_writer *writer, mode_t mode) {
    enum { ATTEMPTS = 1000 };
    for (unsigned attempt = 0; attempt < ATTEMPTS; ++attempt) {
        char name[sizeof writer->temporary];
        snprintf(name, sizeof name, ".fovea-%ld-%u.tmp", (long)getpid(), attempt);
        writer->fd = openat(writer->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (writer->fd >= 0) {
            memcpy(writer->temporary, name, sizeof name);
            return FV_OK;
        }
        if (errno != EEXIST)
            break;
    }
    return fv_fail_errno("create a temporary file beside", writer->path);
}

bool fv_file_is_replaced(const char *path) {
    struct stat target;
    return stat(path, &target) != 0 || (S_ISREG(target.st_mode) && standard_stream(&target) < 0);
}

static fv_status open_target(fv_file_writer *writer) {
    struct stat target;
    const bool exists = stat(writer->path, &target) == 0;
    if (!exists && errno != ENOENT)
        return fv_fail_errno("write", writer->path);

    const int stream = exists ? standard_stream(&target) : -1;
    if (stream >= 0 || (exists && !S_ISREG(target.st_mode))) {
        writer->fd = stream >= 0 ? fcntl(stream, F_DUPFD_CLOEXEC, 0) : open(writer->path, O_WRONLY | O_CLOEXEC);
        return writer->fd >= 0 ? FV_OK : fv_fail_errno("write", writer->path);
    }
    /* A rename needs no right to write the file itself, but whoever protected it meant it. */
    if (exists && faccessat(AT_FDCWD, writer->path, W_OK, AT_EACCESS) != 0)
        return fv_fail_errno("write", writer->path);
    FV_TRY(locate(writer, exists));
    const mode_t mode = exists ? target.st_mode & 0777 : 0666;
    FV_TRY(create_temporary(writer, mode));
    if (exists && fchmod(writer->fd, mode) != 0)
        return fv_fail_errno("set the permissions of", writer->path);
    return FV_OK;
}

fv_status fv_file_writer_open(const char *path, fv_file_writer **result) {
    *result = NULL;
    fv_file_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return fv_fail_errno("write", path);
    writer->fd = writer->folder = -1;
    writer->path = strdup(path);
    const fv_status status = writer->path ? open_target(writer) : fv_fail_errno("write", path);
    if (status != FV_OK) {
        fv_file_writer_abandon(writer);
        return status;
    }
    *result = writer;
    return FV_OK;
}

fv_status fv_file_writer_write(fv_file_writer *writer, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0 && writer->error == 0) {
        const ssize_t step = write(writer->fd, next, count);
        if (step > 0) {
            next += step;
            count -= (size_t)step;
        } else if (step == 0) {
            writer->error = EIO;
        } else if (errno != EINTR) {
            writer->error = errno;
        }
    }
    if (writer->error == 0)
        return FV_OK;
    errno = writer->error;
    return fv_fail_errno("write", writer->path);
}

static fv_status finish(fv_file_writer *writer) {
    FV_TRY(fv_file_writer_write(writer, NULL, 0)); /* the first failed write, if any */
    const bool directly = writer->folder < 0;
    if (!directly && fsync(writer->fd) != 0)
        return fv_fail_errno("write", writer->path);
    if (!close_descriptor(&writer->fd))
        return fv_fail_errno("write", writer->path);
    if (directly)
        return FV_OK;
    if (renameat(writer->folder, writer->temporary, writer->folder, writer->name) != 0)
        return fv_fail_errno("replace", writer->path);
    writer->temporary[0] = '\0';
    /* Some file systems cannot sync a folder, and say so with EINVAL. */
    if (fsync(writer->folder) != 0 && errno != EINVAL)
        return fv_fail_errno("sync the folder of the newly written", writer->path);
    if (!close_descriptor(&writer->folder))
        return fv_fail_errno("close the folder of the newly written", writer->path);
    return FV_OK;
}

fv_status fv_file_writer_commit(fv_file_writer *writer) {
    const fv_status status = finish(writer);
    fv_file_writer_abandon(writer);
    return status;
}

void fv_file_writer_abandon(fv_file_writer *writer) {
    if (!writer)
        return;
    if (writer->fd >= 0)
        close_descriptor(&writer->fd);
    if (writer->temporary[0] != '\0')
        unlinkat(writer->folder, writer->temporary, 0);
    if (writer->folder >= 0)
        close_descriptor(&writer->folder);
    free(writer->name);
    free(writer->path);
    free(writer);
}

fv_status fv_file_check_writable(const char *path) {
    fv_file_writer *writer;
    FV_TRY(fv_file_writer_open(path, &writer));
    fv_file_writer_abandon(writer);
    return FV_OK;
}
