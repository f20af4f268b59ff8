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
    /* Bit set of fv_pass: those the line asks for. A pass that the operation lacks may be among them. */
    unsigned passes;
    char label[64]; /* the comment at the line's end, cut to fit; "" if there is none */
} fv_case;

/* Where a line is, for messages and for the files that it includes. */
typedef struct fv_place {
    const char *path;
    int64_t line; /* counted from 1 */
} fv_place;

enum { FV_ALL_PASSES = (1 << FV_PASSES) - 1, FV_MOST_CASES = 1 << 20 };

/* Start with a zeroed list. It holds at most FV_MOST_CASES: options such as --mb multiply what little text says. */
typedef struct fv_case_list {
    fv_case *items;
    int64_t count, capacity;
    /* Commands and descriptors of which something is left out, wholly or (as in --dt=f32,bf16) in part. */
    int64_t left_out;
    char first_left_out[320]; /* "FILE:LINE: why" of the first of them; "" if there is none */
} fv_case_list;

void fv_cases_release(fv_case_list *list);
fv_status fv_cases_add(fv_case_list *list, const fv_operation *op, unsigned passes);

/* Counts something left out because of `reason`. */
void fv_cases_leave_out(fv_case_list *list, const fv_place *place, const char *reason);

/* Operations in the project's own text form, one behind the other: a word without '=' starts the next one. They are of
 * all passes. As with the functions below, a failure leaves what came before it in the list. */
fv_status fv_cases_add_text(fv_case_list *list, const char *text);

/* A file of cases, which may be empty; "-" is standard input. FV_BAD_INPUT "FILE:LINE: why" at the first line that is
 * none. */
fv_status fv_cases_read(fv_case_list *list, const char *path);

/* The same for a file's text; `path` is for messages and for what the text includes. */
fv_status fv_cases_add_lines(fv_case_list *list, const char *path, const char *text, size_t size);

/* A list of benchmarks/suites, which are part of the program, or with "all" those of real layers. FV_BAD_INPUT: no such
 * suite, with the names there are. */
fv_status fv_cases_add_suite(fv_case_list *list, const char *name);

/* Replaces every case by a series of it: "n=1:256:x2" for n=1, 2, 4, ... 256; "c,k=16:128:+16" for both together. Values
 * that make an operation invalid are left out and counted; FV_BAD_INPUT: no such key, no such range, no value fits. `keys`
 * gets the part before '='. */
fv_status fv_cases_sweep(fv_case_list *list, const char *sweep, char keys[32]);

/* The lists of tests/cases, which are part of the program. */
fv_status fv_cases_add_builtin(fv_case_list *list);

/* Case `index` of the endless list that belongs to a seed: a small operation, of one of the kinds in the bit set `kinds`
 * (any if it is empty), at or near a corner of what its descriptor allows. The same on every machine. */
fv_operation fv_random_case(uint64_t seed, uint64_t index, unsigned kinds);

/* ---- the dialects of other programs; each reads one line without its comment ---- */

/* benchdnn (oneDNN's tester): descriptors such as "mb1ic64ih56oc64oh56kh3ph1n\"res2\"" and the options before and
 * between them, which hold for the lines that follow. Without --pool or --ip they are convolutions. */
typedef struct fv_benchdnn fv_benchdnn;
fv_status fv_benchdnn_begin(fv_benchdnn **reader);
bool fv_benchdnn_recognises(const fv_benchdnn *reader, const char *line);
fv_status fv_benchdnn_line(fv_benchdnn *reader, const fv_place *place, const char *line, fv_case_list *list);

/* After the last line: FV_BAD_INPUT if it ended in a backslash. */
fv_status fv_benchdnn_finish(const fv_benchdnn *reader);
void fv_benchdnn_end(fv_benchdnn *reader);

/* A MIOpenDriver command: "./bin/MIOpenDriver conv -n 128 -c 3 -H 32 -W 32 -k 64 -y 3 -x 3 ...", with anything before
 * the program's name, as in MIOpen's logs. */
bool fv_miopen_recognises(const char *line);
fv_status fv_miopen_line(const fv_place *place, const char *line, fv_case_list *list);

#endif
