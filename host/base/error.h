/* How library code fails: set the thread's message, return the status.
 *
 *     FV_TRY(f());                    return f's failure to the caller
 *     FV_TRY_GOTO(status, f(), done); store it in `status` and go to `done`, where resources are released
 *     FV_KEEP(status, f());           in teardown: run f, keep the first failure and its message
 */
#ifndef FOVEA_BASE_ERROR_H
#define FOVEA_BASE_ERROR_H

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the calling thread's message (one line, cut at 1 KiB) and returns status. */
fv_status fv_fail(fv_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the thread's message, for a caller that knows more about where; returns status. */
fv_status fv_fail_within(fv_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "cannot VERB PATH: REASON" from errno. */
fv_status fv_fail_errno(const char *verb, const char *path);

/* Saves and restores the message, so that teardown cannot replace it; see FV_KEEP. */
void fv_error_save(char saved[1024]);
void fv_error_restore(const char saved[1024]);

#ifdef __cplusplus
}
#endif

#define FV_TRY(expression)                                                                                             \
    do {                                                                                                               \
        const fv_status fv_try_status_ = (expression);                                                                 \
        if (fv_try_status_ != FV_OK)                                                                                   \
            return fv_try_status_;                                                                                     \
    } while (0)

#define FV_TRY_GOTO(status, expression, label)                                                                         \
    do {                                                                                                               \
        (status) = (expression);                                                                                       \
        if ((status) != FV_OK)                                                                                         \
            goto label;                                                                                                \
    } while (0)

#define FV_KEEP(status, expression)                                                                                    \
    do {                                                                                                               \
        char fv_keep_message_[1024];                                                                                   \
        fv_error_save(fv_keep_message_);                                                                               \
        const fv_status fv_keep_status_ = (expression);                                                                \
        if ((status) == FV_OK)                                                                                         \
            (status) = fv_keep_status_;                                                                                \
        else                                                                                                           \
            fv_error_restore(fv_keep_message_);                                                                        \
    } while (0)

#endif
