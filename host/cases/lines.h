/* What the readers of case lists share: a text's lines, numbers, and the padding that an output size implies. */
#ifndef FOVEA_CASES_LINES_H
#define FOVEA_CASES_LINES_H

#include "cases/cases.h"
#include "ops/op.h"

enum { FV_LINE_SIZE = 1 << 14, FV_MOST_TEXT_BYTES = 1 << 26 };

/* Takes one line, without its end, its comment and the blanks around it; never an empty one. `label` is the comment as
 * fv_case has it. */
typedef fv_status fv_line_reader(void *user, const fv_place *place, const char *line, const char *label);

/* Gives the label to those cases from number `begin` on that have none. */
void fv_cases_label(fv_case_list *list, int64_t begin, const char *label);

/* Hands the lines of a text or a file to `read` and puts "PATH:LINE: " before the message of a failure. A comment begins
 * with a '#' at the line's start or behind a blank (MIOpenDriver has an option "-#"). FV_BAD_INPUT: a line of
 * FV_LINE_SIZE bytes or more, a NUL byte; of files, as fv_file_open, and more than FV_MOST_TEXT_BYTES. The file "-" is
 * standard input. */
fv_status fv_each_line(const char *path, const char *text, size_t size, fv_line_reader *read, void *user);
fv_status fv_each_line_of_file(const char *path, fv_line_reader *read, void *user);

/* The next blank-separated word of a text that is cut up as it is read; NULL at the end. */
char *fv_cut_word(char **rest);

/* Reads decimal digits and leaves *text behind them; false if there are none. Larger numbers than FV_TOO_LARGE read as
 * that, which no operation takes for an extent (fv_require_count). */
#define FV_TOO_LARGE ((int64_t)1 << 40)
bool fv_read_extent(const char **text, int64_t *value);

/* Chooses axis->pad_after so that the axis gives `output` positions: as wide as pad_before if that will do, because
 * symmetric padding is what every backend takes, else as little as possible. False if pad_before is negative or some
 * input would have to be cut off, which fv_conv2d cannot say. */
bool fv_axis_fit(fv_axis *axis, int64_t output);

#endif
