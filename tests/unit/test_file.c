/* The atomic writer and the checked opening of base/file.h. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "base/file.h"

static fv_status write_text(const char *path, const char *text) {
    fv_file_writer *writer = NULL;
    const fv_status status = fv_file_writer_open(path, &writer);
    if (status != FV_OK) {
        assert_null(writer);
        return status;
    }
    fv_file_writer_write(writer, text, strlen(text)); /* a failure comes back at the commit */
    return fv_file_writer_commit(writer);
}

static mode_t mode_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

/* An empty folder for one test. */
static scratch_name new_folder(const char *name) {
    const scratch_name path = scratch_path(name);
    assert_int_equal(mkdir(path.text, 0777), 0);
    return path;
}

static scratch_name inside(scratch_name folder, const char *name) {
    strcat(strcat(folder.text, "/"), name);
    return folder;
}

static void test_new_file(void **state) {
    (void)state;
    const scratch_name folder = new_folder("new");
    const scratch_name path = inside(folder, "file");
    const mode_t mask = umask(027);
    const fv_status status = write_text(path.text, "hello");
    umask(mask);
    assert_int_equal(status, FV_OK);
    scratch_expect_text(path.text, "hello");
    assert_int_equal(mode_of(path.text), 0640);
    assert_int_equal(scratch_entries(folder.text), 1);
    assert_int_equal(write_text(path.text, ""), FV_OK);
    scratch_expect_text(path.text, "");
}

static void test_replaced_file_is_whole_until_commit(void **state) {
    (void)state;
    const scratch_name folder = new_folder("replaced");
    const scratch_name path = inside(folder, "file");
    scratch_put(path.text, "old", 3);
    assert_int_equal(chmod(path.text, 0606), 0);

    fv_file_writer *writer = NULL;
    assert_int_equal(fv_file_writer_open(path.text, &writer), FV_OK);
    assert_int_equal(fv_file_writer_write(writer, "ne", 2), FV_OK);
    assert_int_equal(fv_file_writer_write(writer, "w", 1), FV_OK);
    scratch_expect_text(path.text, "old");
    assert_int_equal(fv_file_writer_commit(writer), FV_OK);
    scratch_expect_text(path.text, "new");
    assert_int_equal(mode_of(path.text), 0606);

    assert_int_equal(fv_file_writer_open(path.text, &writer), FV_OK);
    assert_int_equal(fv_file_writer_write(writer, "other", 5), FV_OK);
    assert_int_equal(scratch_entries(folder.text), 2);
    fv_file_writer_abandon(writer);
    fv_file_writer_abandon(NULL);
    scratch_expect_text(path.text, "new");
    assert_int_equal(scratch_entries(folder.text), 1);
}

static void test_links(void **state) {
    (void)state;
    const scratch_name folder = new_folder("links");
    const scratch_name deeper = inside(folder, "deeper");
    const scratch_name target = inside(deeper, "file");
    const scratch_name link = inside(folder, "link");
    assert_int_equal(mkdir(deeper.text, 0777), 0);
    assert_int_equal(symlink("deeper/file", link.text), 0);

    EXPECT_FAILURE(write_text(link.text, "new"), FV_IO, link.text, "symbolic link that leads nowhere");
    scratch_put(target.text, "old", 3);
    assert_int_equal(write_text(link.text, "new"), FV_OK);
    scratch_expect_text(target.text, "new");
    struct stat info;
    assert_int_equal(lstat(link.text, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(scratch_entries(folder.text), 2);
    assert_int_equal(scratch_entries(deeper.text), 1);
}

static void test_impossible_targets(void **state) {
    (void)state;
    const scratch_name folder = new_folder("impossible");
    const scratch_name missing = inside(folder, "missing/file");
    const scratch_name slash = inside(folder, "");
    const scratch_name new_slash = inside(folder, "file/");
    const scratch_name file = inside(folder, "plain");
    const scratch_name below = inside(folder, "plain/file");
    char long_name[300] = {0};
    memset(long_name, 'x', sizeof long_name - 1);
    const scratch_name too_long = inside(folder, long_name);
    scratch_put(file.text, "old", 3);

    EXPECT_FAILURE(write_text(missing.text, "x"), FV_IO, missing.text, "folder", strerror(ENOENT));
    EXPECT_FAILURE(write_text(folder.text, "x"), FV_IO, folder.text, strerror(EISDIR));
    EXPECT_FAILURE(write_text(slash.text, "x"), FV_IO, slash.text, strerror(EISDIR));
    EXPECT_FAILURE(write_text(new_slash.text, "x"), FV_IO, new_slash.text, strerror(ENOENT));
    EXPECT_FAILURE(write_text(below.text, "x"), FV_IO, below.text, strerror(ENOTDIR));
    EXPECT_FAILURE(write_text(too_long.text, "x"), FV_IO, too_long.text, strerror(ENAMETOOLONG));
    EXPECT_FAILURE(write_text("", "x"), FV_BAD_INPUT, "''", "expected the name of a file");
    assert_int_equal(scratch_entries(folder.text), 1);
}

enum { CANNOT_GIVE_UP_RIGHTS = 77 };

/* Runs the body in a child that is not root; it returns 0 if all is well. Root's rights would hide a refusal, and a
 * broken writer that has them would replace the machine's devices. */
static void run_without_rights(int (*body)(const void *argument), const void *argument) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(CANNOT_GIVE_UP_RIGHTS); /* a container that has root alone */
        _exit(body(argument));
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == CANNOT_GIVE_UP_RIGHTS)
        skip();
    assert_int_equal(WEXITSTATUS(result), 0);
}

static bool failed_with(fv_status got, const char *path, int code) {
    return got == FV_IO && strstr(fv_error_message(), path) && strstr(fv_error_message(), strerror(code));
}

/* What cannot be replaced is written to as it is. */
static int write_to_devices(const void *argument) {
    (void)argument;
    struct stat info;
    if (write_text("/dev/null", "gone") != FV_OK)
        return 1;
    if (stat("/dev/full", &info) == 0 && !failed_with(write_text("/dev/full", "x"), "/dev/full", ENOSPC))
        return 2;
    return 0;
}

static void test_devices(void **state) {
    (void)state;
    run_without_rights(write_to_devices, NULL);
}

static void test_fifo(void **state) {
    (void)state;
    const scratch_name folder = new_folder("fifo");
    const scratch_name path = inside(folder, "fifo");
    assert_int_equal(mkfifo(path.text, 0600), 0);
    const int reader = open(path.text, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(write_text(path.text, "through"), FV_OK);
    char text[16] = {0};
    assert_int_equal(read(reader, text, sizeof text - 1), 7);
    assert_string_equal(text, "through");
    close(reader);
    assert_int_equal(scratch_entries(folder.text), 1);
}

/* Standard output sent to a file goes on where it was; nothing is replaced under it. The link is what /dev/stdout is.
 */
static void test_standard_output(void **state) {
    (void)state;
    const scratch_name folder = new_folder("stdout");
    const scratch_name path = inside(folder, "file");
    const scratch_name link = inside(folder, "link");
    assert_int_equal(symlink("/proc/self/fd/1", link.text), 0);
    const int file = open(path.text, O_WRONLY | O_CREAT, 0600);
    assert_true(file >= 0);
    fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    dup2(file, STDOUT_FILENO);
    const bool before = write(STDOUT_FILENO, "before ", 7) == 7;
    const fv_status status = write_text(link.text, "written ");
    const bool after = write(STDOUT_FILENO, "after", 5) == 5;
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(file);
    assert_true(before && after);
    assert_int_equal(status, FV_OK);
    scratch_expect_text(path.text, "before written after");
    assert_int_equal(scratch_entries(folder.text), 2);
}

/* A file size limit stands in for a full disk: the write stops half-way. */
static void test_write_failure(void **state) {
    (void)state;
    const scratch_name folder = new_folder("full");
    const scratch_name path = inside(folder, "file");
    static const char block[3000];
    scratch_put(path.text, "old", 3);

    struct rlimit unlimited;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    const struct rlimit limit = {1000, unlimited.rlim_max};
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fv_file_writer *writer = NULL;
    const fv_status opened = fv_file_writer_open(path.text, &writer);
    const fv_status first = opened == FV_OK ? fv_file_writer_write(writer, block, sizeof block) : opened;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    signal(SIGXFSZ, handler);

    assert_int_equal(opened, FV_OK);
    EXPECT_FAILURE(first, FV_IO, path.text, strerror(EFBIG));
    EXPECT_FAILURE(fv_file_writer_write(writer, "x", 1), FV_IO, path.text, strerror(EFBIG));
    EXPECT_FAILURE(fv_file_writer_commit(writer), FV_IO, path.text, strerror(EFBIG));
    scratch_expect_text(path.text, "old");
    assert_int_equal(scratch_entries(folder.text), 1);
}

static void test_failed_rename_leaves_nothing(void **state) {
    (void)state;
    const scratch_name folder = new_folder("rename");
    const scratch_name path = inside(folder, "file");
    fv_file_writer *writer = NULL;
    assert_int_equal(fv_file_writer_open(path.text, &writer), FV_OK);
    assert_int_equal(mkdir(path.text, 0777), 0);
    EXPECT_FAILURE(fv_file_writer_commit(writer), FV_IO, path.text, strerror(EISDIR));
    assert_int_equal(scratch_entries(folder.text), 1);
}

/* Two writers of one process, and a file that a killed process with our number left behind. */
static void test_temporary_names(void **state) {
    (void)state;
    const scratch_name folder = new_folder("names");
    const scratch_name path = inside(folder, "file");
    char stale_name[64];
    snprintf(stale_name, sizeof stale_name, ".fovea-%ld-0.tmp", (long)getpid());
    const scratch_name stale = inside(folder, stale_name);
    scratch_put(stale.text, "stale", 5);

    fv_file_writer *first = NULL, *second = NULL;
    assert_int_equal(fv_file_writer_open(path.text, &first), FV_OK);
    assert_int_equal(fv_file_writer_open(path.text, &second), FV_OK);
    assert_int_equal(fv_file_writer_write(first, "first", 5), FV_OK);
    assert_int_equal(fv_file_writer_write(second, "second", 6), FV_OK);
    assert_int_equal(fv_file_writer_commit(second), FV_OK);
    scratch_expect_text(path.text, "second");
    assert_int_equal(fv_file_writer_commit(first), FV_OK);
    scratch_expect_text(path.text, "first");
    scratch_expect_text(stale.text, "stale");
    assert_int_equal(scratch_entries(folder.text), 2);
}

/* A relative name means the working folder of the opening. */
static void test_relative_name(void **state) {
    (void)state;
    const scratch_name folder = new_folder("relative");
    const int back = open(".", O_RDONLY | O_DIRECTORY);
    assert_true(back >= 0);
    assert_int_equal(chdir(folder.text), 0);
    fv_file_writer *writer = NULL;
    const fv_status opened = fv_file_writer_open("file", &writer);
    assert_int_equal(fchdir(back), 0);
    close(back);
    assert_int_equal(opened, FV_OK);
    assert_int_equal(fv_file_writer_commit(writer), FV_OK);
    scratch_expect_text(inside(folder, "file").text, "");
}

typedef struct forbidden {
    scratch_name file, file_in_folder;
} forbidden;

static int try_forbidden(const void *argument) {
    const forbidden *targets = argument;
    int fd = -1;
    int64_t size = 0;
    if (!failed_with(write_text(targets->file.text, "new"), targets->file.text, EACCES))
        return 1;
    if (!failed_with(write_text(targets->file_in_folder.text, "new"), targets->file_in_folder.text, EACCES))
        return 2;
    if (!failed_with(fv_file_open(targets->file.text, &fd, &size), targets->file.text, EACCES))
        return 3;
    return 0;
}

static void test_missing_rights(void **state) {
    (void)state;
    assert_int_equal(chmod(scratch_folder, 0755), 0);
    const scratch_name open_folder = new_folder("open");
    const scratch_name closed_folder = new_folder("closed");
    const forbidden targets = {inside(open_folder, "file"), inside(closed_folder, "file")};
    scratch_put(targets.file.text, "old", 3);
    assert_int_equal(chmod(targets.file.text, 0), 0);
    assert_int_equal(chmod(open_folder.text, 0777), 0);
    assert_int_equal(chmod(closed_folder.text, 0555), 0);
    run_without_rights(try_forbidden, &targets);
    assert_int_equal(chmod(targets.file.text, 0600), 0);
    scratch_expect_text(targets.file.text, "old");
    assert_int_equal(scratch_entries(open_folder.text), 1);
    assert_int_equal(scratch_entries(closed_folder.text), 0);
}

static void test_reading(void **state) {
    (void)state;
    const scratch_name folder = new_folder("reading");
    const scratch_name path = inside(folder, "file");
    const scratch_name missing = inside(folder, "missing");
    const scratch_name below = inside(folder, "file/below");
    const scratch_name fifo = inside(folder, "fifo");
    scratch_put(path.text, "hello", 5);
    assert_int_equal(mkfifo(fifo.text, 0600), 0);

    int fd = -1;
    int64_t size = 0;
    size_t got = 0;
    char text[16] = {0};
    assert_int_equal(fv_file_open(path.text, &fd, &size), FV_OK);
    assert_int_equal(size, 5);
    assert_int_equal(fv_file_read(fd, path.text, text, 2, &got), FV_OK);
    assert_int_equal(got, 2);
    assert_int_equal(fv_file_read(fd, path.text, text + 2, 10, &got), FV_OK);
    assert_int_equal(got, 3);
    assert_string_equal(text, "hello");
    close(fd);
    EXPECT_FAILURE(fv_file_read(fd, path.text, text, 1, &got), FV_IO, path.text, strerror(EBADF));

    EXPECT_FAILURE(fv_file_open(missing.text, &fd, &size), FV_BAD_INPUT, missing.text, strerror(ENOENT));
    EXPECT_FAILURE(fv_file_open(below.text, &fd, &size), FV_BAD_INPUT, below.text, strerror(ENOTDIR));
    EXPECT_FAILURE(fv_file_open(folder.text, &fd, &size), FV_BAD_INPUT, folder.text, "directory", "expected a file");
    EXPECT_FAILURE(fv_file_open(fifo.text, &fd, &size), FV_BAD_INPUT, fifo.text, "expected a regular file");
    EXPECT_FAILURE(fv_file_open("/dev/null", &fd, &size), FV_BAD_INPUT, "/dev/null", "expected a regular file");
}

/* The system may hand out less than was asked for; a pipe of packets always does. */
static void test_reading_in_pieces(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_DIRECT), 0);
    assert_int_equal(write(ends[1], "hel", 3), 3);
    assert_int_equal(write(ends[1], "lo", 2), 2);
    close(ends[1]);
    char text[16] = {0};
    size_t got = 0;
    assert_int_equal(fv_file_read(ends[0], "pipe", text, sizeof text - 1, &got), FV_OK);
    close(ends[0]);
    assert_int_equal(got, 5);
    assert_string_equal(text, "hello");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_file),
        cmocka_unit_test(test_replaced_file_is_whole_until_commit),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_impossible_targets),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_standard_output),
        cmocka_unit_test(test_write_failure),
        cmocka_unit_test(test_failed_rename_leaves_nothing),
        cmocka_unit_test(test_temporary_names),
        cmocka_unit_test(test_relative_name),
        cmocka_unit_test(test_missing_rights),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_reading_in_pieces),
    };
    return cmocka_run_group_tests_name("file", tests, scratch_create, scratch_remove);
}
