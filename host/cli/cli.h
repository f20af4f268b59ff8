/* The command line: one function per command, and what commands share. */
#ifndef FOVEA_CLI_CLI_H
#define FOVEA_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include <fovea/fovea.h>

/* Exit status: 0 good; 1 a check or a goal failed; 2 usage or bad input; 128 + N ended by signal N, results saved. */
enum { FV_EXIT_GOOD = 0, FV_EXIT_FAILED = 1, FV_EXIT_USAGE = 2 };

int fv_command_kernels(int argc, char **argv);
int fv_command_train(int argc, char **argv);
int fv_command_check(int argc, char **argv);
int fv_command_bench(int argc, char **argv);
int fv_command_matrix(int argc, char **argv);

/* Prints "fovea COMMAND: MESSAGE" with the library's latest message; returns the exit status that goes with the
 * code. */
int fv_report(const char *command, fv_status status);

/* printf to standard output that remembers failure; fv_say_status gives the errno of the first one that is not a reader
 * gone away, else 0. */
void fv_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fv_say_status(void);

/* Counts as such a failure: that there was no memory for what was to be said. */
void fv_say_lost(void);

/* Reads a command's arguments by argp, whose messages begin with `name`, such as "fovea check". What is wrong with them
 * ends the program with one line and status 2; a lack of memory, with status 1. */
void fv_parse_arguments(const struct argp *parser, const char *name, int argc, char **argv, void *input);

/* Option values; a bad one ends the program with one line and status 2, as argp does. */
int64_t fv_option_count(const struct argp_state *state, const char *option, const char *text, int64_t low,
                        int64_t high);
double fv_option_positive(const struct argp_state *state, const char *option, const char *text, double limit);

/* The index of `text` among `count` names. */
int fv_option_choice(const struct argp_state *state, const char *option, const char *text, const char *const *names,
                     int count);

/* The folder of the shipped MNIST files: ./data/mnist, or as seen from the program's own place ../data/mnist (a build
 * in the source tree) or its installed place. Returns "data/mnist" if there is none, for the
 * message. */
const char *fv_default_data(char *buffer, size_t size);

/* A progress bar on standard error, drawn only on a terminal and at most ten times a second. */
typedef struct fv_progress {
    bool terminal, shown;
    double start, drawn;
} fv_progress;
void fv_progress_begin(fv_progress *progress);
void fv_progress_draw(fv_progress *progress, int64_t done, int64_t all, const char *unit);
void fv_progress_clear(fv_progress *progress);

#endif
