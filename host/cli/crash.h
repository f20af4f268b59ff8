/* Last words. When a kernel under the emulator, or a library, crashes the program, the reader learns what was running. */
#ifndef FOVEA_CLI_CRASH_H
#define FOVEA_CLI_CRASH_H

/* From here on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, or a report of AddressSanitizer or UBSan) writes the
 * latest words to standard error and then takes its course. Without words nothing is written. */
void fv_crash_guard(void);

/* The words, copied: at most 1500 bytes. "": none. */
void fv_crash_words(const char *words);

#endif
