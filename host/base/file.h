/* Files: reading with sizes known beforehand, and writing that never leaves half a file.
 *
 * Reading is for regular files only; their size bounds what their content may ask for.
 *
 * Writing goes to a temporary name (.fovea-PID-N.tmp) in the target's folder, and only fv_file_writer_commit moves it
 * to the target, after fsync. Until then, and whenever something fails, an existing target keeps its old content and
 * the temporary file is removed (a killed process leaves it behind, but never a damaged target). What this means for
 * special targets:
 *
 * - A symbolic link stays, and the file that it leads to is replaced. A link that leads nowhere is refused.
 * - A replaced file keeps its permission bits, not its owner or other hard links. A write-protected one is refused.
 * - What is not a regular file (/dev/null, a fifo, a terminal) and whatever standard output or error is connected to
 *   (/dev/stdout, also when redirected to a file) is written directly, without these guarantees.
 */
#ifndef FOVEA_BASE_FILE_H
#define FOVEA_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a regular file for reading; *size is in bytes. FV_BAD_INPUT: there is no such file, or it is a directory or
 * another thing without a size. FV_IO: the system refused. The caller closes *fd. */
fv_status fv_file_open(const char *path, int *fd, int64_t *size);

/* Reads count bytes; *got is less only at the end of the file. path is for the message. */
fv_status fv_file_read(int fd, const char *path, void *bytes, size_t count, size_t *got);

typedef struct fv_file_writer fv_file_writer;

/* Begins to write a file. On failure *writer is NULL. */
fv_status fv_file_writer_open(const char *path, fv_file_writer **writer);

/* Appends bytes, unbuffered. After a failure, later calls and the commit fail for the same reason. */
fv_status fv_file_writer_write(fv_file_writer *writer, const void *bytes, size_t count);

/* Puts the written bytes in the target's place and frees the writer, also when it fails. The target is the old or the
 * new file, whole; it is the new one with a failure only if the folder could not be synced, which the message then
 * says. */
fv_status fv_file_writer_commit(fv_file_writer *writer);

/* Forgets what was written and frees the writer. NULL is fine. */
void fv_file_writer_abandon(fv_file_writer *writer);

/* Whether a writer replaces what is there as a whole, so that it can be written over and over. It writes into pipes, devices
 * and the program's own output. */
bool fv_file_is_replaced(const char *path);

/* FV_OK if a file of this name could be written now; an existing one stays as it is. */
fv_status fv_file_check_writable(const char *path);

#ifdef __cplusplus
}
#endif
#endif
