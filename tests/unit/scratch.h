/* For tests that touch files: a temporary folder, whole-file reading and writing, and assertions about failures.
 * scratch_create and scratch_remove are the setup and teardown of a cmocka group. */
#ifndef FOVEA_TESTS_UNIT_SCRATCH_H
#define FOVEA_TESTS_UNIT_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fovea/status.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scratch_name {
    char text[1024];
} scratch_name;

static char scratch_folder[512];

static inline int scratch_create(void **state) {
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/fovea-test-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(scratch_folder) ? 0 : -1;
}

static inline int scratch_remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static inline int scratch_remove(void **state) {
    (void)state;
    return nftw(scratch_folder, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in the folder. */
static inline scratch_name scratch_path(const char *name) {
    scratch_name path;
    const int length = snprintf(path.text, sizeof path.text, "%s/%s", scratch_folder, name);
    assert_in_range(length, 1, sizeof path.text - 1);
    return path;
}

static inline void scratch_put(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* Changes one byte of a file, which is much faster than writing it anew. */
static inline void scratch_poke(const char *path, size_t at, uint8_t byte) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

/* A whole file, from malloc, with a zero byte behind it. */
static inline char *scratch_get(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *count = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(*count + 1, 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *count, file), *count);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static inline void scratch_expect_text(const char *path, const char *expected) {
    size_t count = 0;
    char *text = scratch_get(path, &count);
    assert_string_equal(text, expected);
    assert_int_equal(count, strlen(expected));
    free(text);
}

/* How many entries a folder has. */
static inline int scratch_entries(const char *path) {
    DIR *folder = opendir(path);
    assert_non_null(folder);
    int count = -2; /* . and .. */
    while (readdir(folder))
        ++count;
    closedir(folder);
    return count;
}

/* A failed call's status, and that its message is one line that holds every given word. */
static inline void expect_failure(fv_status got, fv_status expected, const char *const *words, size_t count) {
    const char *message = fv_error_message();
    if (got != expected)
        fail_msg("status %d, expected %d: %s", (int)got, (int)expected, message);
    if (strchr(message, '\n'))
        fail_msg("more than one line: %s", message);
    for (size_t i = 0; i < count; ++i)
        if (words[i] && !strstr(message, words[i]))
            fail_msg("the message lacks '%s': %s", words[i], message);
}

#define EXPECT_FAILURE(call, status, ...)                                                                              \
    do {                                                                                                               \
        const char *const expected_words_[] = {__VA_ARGS__};                                                           \
        expect_failure((call), (status), expected_words_, sizeof expected_words_ / sizeof expected_words_[0]);         \
    } while (0)

/* An allocation beyond this fails, so that a file which makes its reader ask for too much shows as FV_NO_MEMORY. */
enum { SCRATCH_MEMORY_MIB = 128 };

const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "max_allocation_size_mb=128:allocator_may_return_null=1";
}

/* Does the same without AddressSanitizer (which takes terabytes of addresses for itself) until scratch_unlimit_memory.
 */
static inline void scratch_limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__)
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)SCRATCH_MEMORY_MIB * 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

static inline void scratch_unlimit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__)
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

#endif
