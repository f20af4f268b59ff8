/* Lists of operations to check or to measure, from text, files or chance.
 *
 * A file holds one operation per line, in the project's own text form, as a benchdnn descriptor, or as a MIOpenDriver
 * command; '#' starts a comment. Lines of the other two that describe what Fovea does not have (a 3-D convolution, int8)
 * are left out and counted; a line that nobody understands is an error that names file and line.
 */
#ifndef FOVEA_CASES_CASES_H
#define FOVEA_CASES_CASES_H

#include <stdbool.h>

#include <fovea/operations.h>

typedef struct fv_case {
    fv_operation op;
    unsigned
        passes; /* bit set of fv_pass: those the line asks for; a pass that the operation lacks may be among them */
} fv_case;

enum { FV_ALL_PASSES = (1 << FV_PASSES) - 1 };

/* Start with a zeroed list. */
typedef struct fv_case_list {
    fv_case *items;
    int64_t count, capacity;
    int64_t left_out;         /* lines that describe what Fovea does not have */
    char first_left_out[320]; /* "FILE:LINE: why" of the first of them; "" if there is none */
} fv_case_list;

void fv_cases_release(fv_case_list *list);
fv_status fv_cases_add(fv_case_list *list, const fv_operation *op, unsigned passes);

/* Notes a line left out because of `reason`; `where` is "FILE:LINE". */
void fv_cases_leave_out(fv_case_list *list, const char *where, const char *reason);

/* Operations in the project's own text form, one behind the other: a word without '=' starts the next one. */
fv_status fv_cases_add_text(fv_case_list *list, const char *text);

/* A file of cases. FV_BAD_INPUT "FILE:LINE: why" at the first line that is none. */
fv_status fv_cases_read(fv_case_list *list, const char *path);

/* The lists of tests/cases, which are part of the program. */
fv_status fv_cases_add_builtin(fv_case_list *list);

/* Case `index` of the endless list that belongs to a seed: a small operation, of one of the kinds in the bit set `kinds`,
 * at or near a corner of what its descriptor allows. The same on every machine. */
fv_operation fv_random_case(uint64_t seed, uint64_t index, unsigned kinds);

/* ---- the dialects of other programs; each reads one line without its comment ---- */

/* benchdnn (oneDNN's tester): descriptors such as "mb1ic64ih56oc64oh56kh3ph1n\"res2\"" and the options before and
 * between them, which hold for the lines that follow. Start with fv_benchdnn_begin. */
typedef struct fv_benchdnn fv_benchdnn;
fv_status fv_benchdnn_begin(fv_benchdnn **reader);
fv_status fv_benchdnn_line(fv_benchdnn *reader, const char *line, const char *where, fv_case_list *list);
void fv_benchdnn_end(fv_benchdnn *reader);

/* A MIOpenDriver command: "./bin/MIOpenDriver conv -n 128 -c 3 -H 32 -W 32 -k 64 -y 3 -x 3 ...". */
bool fv_miopen_recognises(const char *line);
fv_status fv_miopen_line(const char *line, const char *where, fv_case_list *list);

#endif
