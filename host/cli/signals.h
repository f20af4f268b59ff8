/* Being stopped, and crashing: in both cases the reader learns what was running. */
#ifndef FOVEA_CLI_SIGNALS_H
#define FOVEA_CLI_SIGNALS_H

/* What the program is doing, copied as far as 1499 bytes reach, such as a command that does just this. "": nothing to tell. */
void fv_now_running(const char *what);

/* From here on the first Ctrl-C (or SIGTERM) only asks to stop, and tells what is running; the second one kills.
 * fv_caught_signal gives its number, 0 if there was none. */
void fv_catch_signals(void);
int fv_caught_signal(void);

/* From here on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, or a report of AddressSanitizer or UBSan), as a kernel
 * under the emulator may cause, tells what was running and then takes its course. */
void fv_catch_crashes(void);

#endif
