/* Status codes and error messages.
 *
 * Every fallible function of the library returns an fv_status. When it is not FV_OK, fv_error_message() holds one line
 * for the calling thread that says what went wrong, where, and what was expected. The library never exits, aborts or
 * prints.
 */
#ifndef FOVEA_STATUS_H
#define FOVEA_STATUS_H

#if defined(__GNUC__)
#define FV_API __attribute__((visibility("default")))
#else
#define FV_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_status {
    FV_OK = 0,
    FV_BAD_INPUT,   /* an argument, a text or a file is not what it should be */
    FV_UNSUPPORTED, /* well-formed, but this backend or build cannot do it; the message says why */
    FV_NO_MEMORY,   /* host or device memory ran out */
    FV_IO,          /* the operating system refused to read or write */
    FV_DEVICE,      /* a device or vendor library reported an error */
    FV_MISMATCH,    /* a check ran and its result is wrong */
} fv_status;

/* A word for the code, such as "bad input". Never NULL. */
FV_API const char *fv_status_name(fv_status status);

/* The message of the calling thread's latest failure; "" before the first. Valid until that thread's next failure. */
FV_API const char *fv_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
