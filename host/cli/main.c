/* fovea COMMAND [OPTIONS]: finds the command and hands over. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"train", fv_command_train, "train a digit classifier"},
    {"check", fv_command_check, "cross-check every kernel against the reference and other libraries"},
    {"bench", fv_command_bench, "time every kernel beside the vendor's best and the chip's limit"},
    {"kernels", fv_command_kernels, "list the kernels of every backend"},
    {"matrix", fv_command_matrix, "write the matrix of a convolution"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    fv_say("Usage: fovea COMMAND [OPTIONS]\n\n"
           "A CNN engine with hand-written CUDA kernels.\n\nCommands:\n");
    for (int i = 0; i < COMMANDS; ++i)
        fv_say("  %-10s %s\n", commands[i].name, commands[i].summary);
    fv_say("\n  fovea COMMAND --help says more; fovea --version lists the backends of this build.\n");
}

static void print_version(void) {
    fv_say("fovea %s\nbackends:", FV_VERSION);
    for (const char *const *name = fv_backend_names(); *name; ++name)
        fv_say(" %s", *name);
    fv_say("\n");
}

/* Changes of one letter that lead from a to b (Levenshtein), for short words. */
static size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    const size_t m = strlen(a), n = strlen(b);
    size_t row[LONGEST + 1];
    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= n; ++j)
        row[j] = j;
    for (size_t i = 1; i <= m; ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; ++j) {
            const size_t replace = diagonal + (a[i - 1] != b[j - 1]), remove = row[j] + 1, insert = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replace < remove ? replace : remove;
            row[j] = insert < row[j] ? insert : row[j];
        }
    }
    return row[n];
}

static int unknown_command(const char *word) {
    int best = 0;
    for (int i = 1; i < COMMANDS; ++i)
        if (edit_distance(word, commands[i].name) < edit_distance(word, commands[best].name))
            best = i;
    if (edit_distance(word, commands[best].name) <= 2)
        fprintf(stderr, "fovea: unknown command '%s': did you mean '%s'?\n", word, commands[best].name);
    else
        fprintf(stderr, "fovea: unknown command '%s': 'fovea --help' lists the commands\n", word);
    return FV_EXIT_USAGE;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "fovea: no command given: 'fovea --help' lists the commands\n");
        return FV_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help();
        return FV_EXIT_GOOD;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        print_version();
        return FV_EXIT_GOOD;
    }
    for (int i = 0; i < COMMANDS; ++i)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return unknown_command(argv[1]);
}

/* OpenMP's threads spin while they wait, by default for milliseconds. On a machine with other work that starves the
 * very threads they wait for: an epoch of two seconds was seen to take forty. A short spin costs an idle machine next
 * to nothing. GNU's OpenMP reads its settings before main, so the program starts itself once more with a better one,
 * unless the user has chosen. */
static void spin_briefly(char **argv) {
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    char program[PATH_MAX]; /* not /proc/self/exe itself, which would become the process's name */
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0 || setenv("GOMP_SPINCOUNT", "1000", 1) != 0)
        return;
    program[length] = '\0';
    execv(program, argv);
}

int main(int argc, char **argv) {
    if (FV_HAVE_ONEDNN)
        spin_briefly(argv);
    /* A reader that went away (fovea train | head) must not cost the trained weights. */
    signal(SIGPIPE, SIG_IGN);
    /* A file over its size limit is a write that fails, and is told as one. */
    signal(SIGXFSZ, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    argp_err_exit_status = FV_EXIT_USAGE;
    int status = dispatch(argc, argv);
    const int failure = fv_say_status();
    if (failure) {
        fprintf(stderr, "fovea: cannot write to standard output: %s\n", strerror(failure));
        status = status == FV_EXIT_GOOD ? FV_EXIT_USAGE : status;
    }
    return status;
}
