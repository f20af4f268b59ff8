/* fovea matrix: writes the matrix of a convolution. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fovea/matrix.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/cli.h"
#include "verify/verify.h"

enum {
    MOST_DENSE = 64,
    MOST_WIDTH = 32
}; /* columns of a matrix that is written dense by itself; characters of a number */

typedef enum weight_source { NAMES, RANDOM, LISTED } weight_source;
typedef enum matrix_form { BY_SIZE, DENSE, SPARSE } matrix_form;

typedef struct arguments {
    char **words; /* of the case */
    int word_count;
    weight_source weights;
    const char *list;
    matrix_form form;
    uint64_t seed;
} arguments;

/* A matrix on its way out. */
typedef struct writing {
    fv_matrix_size size;
    const double *values; /* of the weights; NULL: their names */
    int width;            /* of a column of the dense form, without the blank before it */
    int64_t row, column;  /* dense: the place that is next */
} writing;

enum { KEY_WEIGHTS = 256, KEY_FORMAT, KEY_SEED };

static const struct argp_option option_table[] = {
    {"weights", KEY_WEIGHTS, "WHICH", 0,
     "names (default): k1, k2, ... in the order in which they lie in memory; random: what fovea check draws for the "
     "seed; "
     "or the numbers themselves, separated by commas",
     0},
    {"format", KEY_FORMAT, "NAME", 0,
     "dense, or mtx for Matrix Market's coordinate format; by default dense up to 64 columns", 0},
    {"seed", KEY_SEED, "N", 0, "seed of random weights (default 1)", 0},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state) {
    static const char *const formats[] = {"dense", "mtx"};
    arguments *a = state->input;
    switch (key) {
    case KEY_WEIGHTS:
        a->weights = !strcmp(text, "names") ? NAMES : !strcmp(text, "random") ? RANDOM : LISTED;
        a->list = text;
        break;
    case KEY_FORMAT:
        a->form = fv_option_choice(state, "format", text, formats, 2) == 0 ? DENSE : SPARSE;
        break;
    case KEY_SEED:
        a->seed = (uint64_t)fv_option_count(state, "seed", text, 0, INT64_MAX);
        break;
    case ARGP_KEY_ARGS:
        a->words = state->argv + state->next;
        a->word_count = state->argc - state->next;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp parser = {
    option_table,
    parse_option,
    "CASE",
    "Write the matrix A of a convolution as a linear map of one image: y = A x."
    "\vA CASE is a conv2d, conv2d_transposed or conv2d_unshared in Fovea's text, quoted or not:\n\n"
    "  fovea matrix conv2d c=1 h=1 w=9 k=1 kernel=1x3 pad=same\n\n"
    "Row (p*Q + q)*K + k is an element of y, column (h*W + w)*C + c one of x, as they lie in memory. In the dense form "
    "a "
    "dot stands where there is no weight. In Matrix Market's form a weight's name is its number, from 1. A bias is not "
    "part of "
    "the matrix.",
    NULL,
    NULL,
    NULL};

/* ---- weights ---- */

/* Reads as many numbers, separated by commas, as there are weights. */
static fv_status read_list(const char *text, int64_t count, double *values) {
    for (int64_t i = 0; i < count; ++i) {
        char *end;
        values[i] = strtod(text, &end);
        if (end == text || (*end != ',' && *end != '\0') || values[i] - values[i] != 0)
            return fv_fail(FV_BAD_INPUT, "--weights: number %" PRId64 " of %" PRId64 " is '%.20s': expected a number",
                           i + 1, count, text);
        if ((*end == '\0') != (i + 1 == count))
            return fv_fail(FV_BAD_INPUT,
                           "--weights: the operation has %" PRId64 " weights: expected as many numbers, not %s", count,
                           *end ? "more" : "fewer");
        text = end + 1;
    }
    return FV_OK;
}

/* The weights of the bounded comparison of fovea check, in single precision as kernels see them. */
static fv_status draw_weights(const fv_operation *op, uint64_t seed, int64_t count, double *values) {
    fv_host_tensors tensors;
    fv_operation one = *op;
    one.window.n = 1; /* they do not depend on the images */
    FV_TRY(fv_generate(&one, FV_FORWARD, FV_BOUNDED, seed, &tensors));
    for (int64_t i = 0; i < count; ++i)
        values[i] = (double)(float)((const double *)tensors.at[FV_W])[i];
    fv_host_tensors_release(&tensors);
    return FV_OK;
}

/* *values stays NULL for names. */
static fv_status make_weights(const arguments *a, const fv_operation *op, int64_t count, double **values) {
    *values = NULL;
    if (a->weights == NAMES)
        return FV_OK;
    *values = calloc((size_t)count, sizeof **values);
    if (!*values)
        return fv_fail(FV_NO_MEMORY, "no memory for %" PRId64 " weights", count);
    return a->weights == LISTED ? read_list(a->list, count, *values) : draw_weights(op, a->seed, count, *values);
}

/* ---- output ---- */

static int print_weight(const writing *w, int64_t weight, char text[MOST_WIDTH]) {
    return w->values ? snprintf(text, MOST_WIDTH, "%.9g", w->values[weight])
                     : snprintf(text, MOST_WIDTH, "k%" PRId64, weight + 1);
}

/* Dots up to the given place, which may be the end. */
static void fill_up(writing *w, int64_t row, int64_t column) {
    for (; w->row < row || w->column < column; ++w->column) {
        if (w->column == w->size.columns) {
            fv_say("\n");
            ++w->row;
            w->column = -1;
            continue;
        }
        fv_say("%s%*s", w->column ? " " : "", w->width, ".");
    }
}

static bool write_dense(void *user, int64_t row, int64_t column, int64_t weight) {
    writing *w = user;
    char text[MOST_WIDTH];
    fill_up(w, row, column);
    print_weight(w, weight, text);
    fv_say("%s%*s", column ? " " : "", w->width, text);
    w->column = column + 1;
    return !ferror(stdout);
}

static bool write_sparse(void *user, int64_t row, int64_t column, int64_t weight) {
    const writing *w = user;
    if (w->values)
        fv_say("%" PRId64 " %" PRId64 " %.9g\n", row + 1, column + 1, w->values[weight]);
    else
        fv_say("%" PRId64 " %" PRId64 " %" PRId64 "\n", row + 1, column + 1, weight + 1);
    return !ferror(stdout);
}

static fv_status write_matrix(const fv_operation *op, matrix_form form, writing *w) {
    char line[512], text[MOST_WIDTH];
    if (form == SPARSE || (form == BY_SIZE && w->size.columns > MOST_DENSE)) {
        fv_operation_print(op, line, sizeof line);
        fv_say("%%%%MatrixMarket matrix coordinate %s general\n%% %s\n", w->values ? "real" : "integer", line);
        fv_say("%% row (p*Q + q)*K + k, column (h*W + w)*C + c, both from 1%s\n",
               w->values ? "" : "; values are the numbers of weights, from 1");
        fv_say("%" PRId64 " %" PRId64 " %" PRId64 "\n", w->size.rows, w->size.columns, w->size.entries);
        return fv_matrix_visit(op, write_sparse, w);
    }
    for (int64_t weight = 0; weight < w->size.weights; ++weight) {
        const int length = print_weight(w, weight, text);
        w->width = length > w->width ? length : w->width;
    }
    FV_TRY(fv_matrix_visit(op, write_dense, w));
    if (!ferror(stdout)) {
        fill_up(w, w->size.rows - 1, w->size.columns);
        fv_say("\n");
    }
    return FV_OK;
}

static fv_status matrix(const arguments *a) {
    char text[1024] = "";
    fv_operation op;
    writing w = {0};
    for (int i = 0; i < a->word_count; ++i)
        if (strlen(text) + strlen(a->words[i]) + 2 > sizeof text)
            return fv_fail(FV_BAD_INPUT, "the case has more than %zu characters", sizeof text - 2);
        else
            fv_append(text, sizeof text, "%s%s", i ? " " : "", a->words[i]);
    if (!*text)
        return fv_fail(FV_BAD_INPUT,
                       "no case given: expected one such as 'conv2d c=1 h=1 w=9 k=1 kernel=1x3 pad=same'");
    FV_TRY(fv_operation_parse(text, &op));
    FV_TRY(fv_matrix_measure(&op, &w.size));
    double *values;
    fv_status status = make_weights(a, &op, w.size.weights, &values);
    w.values = values;
    if (status == FV_OK)
        status = write_matrix(&op, a->form, &w);
    free(values);
    return status;
}

int fv_command_matrix(int argc, char **argv) {
    arguments a = {.seed = 1};
    fv_parse_arguments(&parser, "fovea matrix", argc, argv, &a);
    setvbuf(stdout, NULL, _IOFBF, 0); /* long lists, no progress to be seen */
    const fv_status status = matrix(&a);
    return status == FV_OK ? FV_EXIT_GOOD : fv_report("matrix", status);
}
