#include "cli/crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

static char latest[1500];

void fv_crash_words(const char *words) {
    snprintf(latest, sizeof latest, "%s", words);
}

static void speak(void) {
    const ssize_t written = write(STDERR_FILENO, latest, strlen(latest));
    (void)written; /* there is nobody left to tell */
}

#if defined(__SANITIZE_ADDRESS__)

/* The sanitizers' own handlers say where; this says in what. */
void fv_crash_guard(void) {
    __sanitizer_set_death_callback(speak);
}

#else

static void on_crash(int number) {
    speak();
    raise(number); /* SA_RESETHAND: the default action, once this handler has returned */
}

void fv_crash_guard(void) {
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
