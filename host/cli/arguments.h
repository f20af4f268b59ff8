/* Cases on the command line, for the commands that take them. */
#ifndef FOVEA_CLI_ARGUMENTS_H
#define FOVEA_CLI_ARGUMENTS_H

#include <argp.h>

#include "cases/cases.h"

/* Adds the operations in the arguments that are left after the options: "conv2d n=1 ...", quoted or not. */
fv_status fv_cases_add_words(fv_case_list *list, char *const *words, int count);

/* One line on standard error if something was left out of the cases. */
void fv_say_left_out(const char *command, const fv_case_list *list);

/* Ends the program with the library's message and status 2, as argp does, unless the status is FV_OK. */
void fv_option_require(const struct argp_state *state, fv_status status);

#endif
