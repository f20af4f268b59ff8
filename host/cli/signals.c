#include "cli/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

static char running[1500];

void fv_now_running(const char *what) {
    snprintf(running, sizeof running, "%s", what);
}

/* Fit for signal handlers. */
static void say(const char *text) {
    const ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* there is nobody else to tell */
}

static void say_running(const char *before) {
    if (!*running)
        return;
    say(before);
    say(running);
    say("\n");
}

/* ---- being stopped ---- */

static volatile sig_atomic_t caught_signal;
static bool watched; /* somebody sits at a terminal */

static void on_stop(int number) {
    caught_signal = number;
    if (watched)
        say("\nfovea: stopping at the next chance; once more to stop at once\n");
    say_running("fovea: now running: ");
}

void fv_catch_signals(void) {
    watched = isatty(STDERR_FILENO) != 0;
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int fv_caught_signal(void) {
    return caught_signal;
}

/* ---- crashing ---- */

static void say_crashed(void) {
    say_running("\nfovea: crashed in: ");
}

#if defined(__SANITIZE_ADDRESS__)

/* The sanitizers' own handlers say where; this says in what. */
void fv_catch_crashes(void) {
    __sanitizer_set_death_callback(say_crashed);
}

#else

static void on_crash(int number) {
    say_crashed();
    raise(number); /* SA_RESETHAND: the default action, once this handler has returned */
}

void fv_catch_crashes(void) {
    /* A stack of its own: the kernel's may be what has run out. */
    static char stack[16384];
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_ONSTACK)};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigaltstack(&alternative, NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i)
        sigaction(signals[i], &action, NULL);
}

#endif
