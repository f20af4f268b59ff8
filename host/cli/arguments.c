#include "cli/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"

fv_status fv_cases_add_words(fv_case_list *list, char *const *words, int count) {
    if (count == 0)
        return FV_OK;
    size_t size = 1;
    for (int i = 0; i < count; ++i)
        size += strlen(words[i]) + 1;
    char *text = calloc(size, 1);
    if (!text)
        return fv_fail(FV_NO_MEMORY, "no memory for the cases");
    char *end = text;
    for (int i = 0; i < count; ++i)
        end = stpcpy(stpcpy(end, words[i]), " ");
    const fv_status status = fv_cases_add_text(list, text);
    free(text);
    return status;
}

void fv_say_left_out(const char *command, const fv_case_list *list) {
    if (list->left_out)
        fprintf(stderr, "fovea %s: %" PRId64 " case%s left out, wholly or in part, the first at %s\n", command,
                list->left_out, list->left_out == 1 ? "" : "s", list->first_left_out);
}

void fv_option_require(const struct argp_state *state, fv_status status) {
    if (status != FV_OK)
        argp_failure(state, FV_EXIT_USAGE, 0, "%s", fv_error_message());
}
