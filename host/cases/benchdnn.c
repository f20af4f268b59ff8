/* benchdnn's command lines and batch files: a stream of words over many lines, in which options set a state and every
 * descriptor is a problem in that state. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cases/benchdnn.h"
#include "cases/lines.h"

enum { MOST_WORD = 1 << 16, MOST_DEPTH = 16, MOST_FILES = 1 << 12 };

struct fv_benchdnn {
    fv_benchdnn_driver driver;
    const char *driver_name;
    fv_benchdnn_settings settings;
    char *unfinished; /* a word that a backslash at the line's end breaks off; NULL if none */
    int depth;        /* of --batch files within one another */
    int files;        /* read so far; files that name others twice, and these again, would be without end */
};

/* In the order of fv_benchdnn_driver; those from FV_BENCHDNN_OTHER on have no counterpart here. */
static const char *const drivers[] = {
    "conv",    "pool",       "ip",    "deconv",  "binary",  "bnorm",  "brgemm",  "concat",
    "eltwise", "gnorm",      "graph", "lnorm",   "lrn",     "matmul", "prelu",   "reduction",
    "reorder", "resampling", "rnn",   "shuffle", "softmax", "sum",    "zeropad",
};

static void begin_driver(fv_benchdnn *reader, size_t driver) {
    reader->driver = driver < FV_BENCHDNN_OTHER ? (fv_benchdnn_driver)driver : FV_BENCHDNN_OTHER;
    reader->driver_name = drivers[driver];
    fv_benchdnn_reset(&reader->settings, reader->driver);
}

/* ---- descriptors ---- */

/* The pooling that a maxpool stands for. */
static fv_operation pooling_of(const fv_operation *maxpool, unsigned pooling) {
    if (pooling == FV_BENCHDNN_MAX)
        return *maxpool;
    fv_operation average = {.kind = FV_AVGPOOL, .pool = maxpool->pool};
    average.avgpool.include_pad = pooling == FV_BENCHDNN_AVERAGE_PADDED;
    average.avgpool.dtype = maxpool->maxpool.dtype;
    return average;
}

static void set_bias(fv_operation *op, int64_t bias) {
    if (op->kind == FV_LINEAR)
        op->linear.bias = bias;
    else if (op->kind == FV_CONV2D)
        op->conv2d.bias = bias;
    else if (op->kind == FV_TRANSPOSED)
        op->transposed.bias = bias;
}

/* Adds an operation for each batch size: once with and once without bias, if passes of both are asked for; a pooling
 * for each kind of it that is asked for. */
static fv_status add(const fv_benchdnn *reader, const fv_operation *op, fv_case_list *list) {
    unsigned passes[2];
    fv_benchdnn_passes(&reader->settings, reader->driver, passes);
    const unsigned poolings = op->kind == FV_MAXPOOL ? reader->settings.poolings : FV_BENCHDNN_MAX;
    for (int i = 0; i < reader->settings.batches; ++i)
        for (unsigned variant = 0; variant < 6; ++variant) {
            const unsigned pooling = 1u << variant / 2, bias = 1 - variant % 2;
            if (!(poolings & pooling) || !passes[bias])
                continue;
            const int64_t batch = reader->settings.batch[i];
            fv_operation one = op->kind == FV_MAXPOOL ? pooling_of(op, pooling) : *op;
            int64_t *const n = op->kind == FV_LINEAR ? &one.linear.n : &one.window.n;
            *n = batch ? batch : *n;
            set_bias(&one, bias);
            FV_TRY(fv_operation_validate(&one));
            FV_TRY(fv_cases_add(list, &one, passes[bias]));
        }
    return FV_OK;
}

static fv_status read_descriptor(fv_benchdnn *reader, const fv_place *place, const char *word, fv_case_list *list) {
    char why[160];
    if (!fv_benchdnn_is_wanted(&reader->settings, word))
        return FV_OK;
    if (reader->driver == FV_BENCHDNN_OTHER) {
        snprintf(why, sizeof why, "Fovea has no counterpart to benchdnn's --%s", reader->driver_name);
        fv_cases_leave_out(list, place, why);
        return FV_OK;
    }
    fv_operation op;
    const char *reason;
    FV_TRY(fv_benchdnn_descriptor(reader->driver, word, &op, &reason));
    bool ours = !reason;
    why[0] = '\0';
    if (reason)
        snprintf(why, sizeof why, "Fovea cannot say '%.60s': %s", word, reason);
    for (int i = 0; i < FV_BENCHDNN_CHOICES; ++i) {
        const fv_benchdnn_choice *made = &reader->settings.choices[i];
        ours = ours && made->ours;
        if (!why[0] && made->other[0])
            snprintf(why, sizeof why, "Fovea has no %s", made->other);
    }
    if (why[0])
        fv_cases_leave_out(list, place, why);
    return ours ? add(reader, &op, list) : FV_OK;
}

/* ---- words and lines ---- */

typedef struct batch {
    fv_benchdnn *reader;
    fv_case_list *list;
} batch;

static fv_status read_batch_line(void *user, const fv_place *place, const char *line, const char *label) {
    const batch *b = user;
    const int64_t begin = b->list->count;
    FV_TRY(fv_benchdnn_line(b->reader, place, line, b->list));
    fv_cases_label(b->list, begin, label);
    return FV_OK;
}

/* A file named by a file is found from the folder of the one that names it. */
static fv_status read_batch(fv_benchdnn *reader, const fv_place *place, const char *name, fv_case_list *list) {
    if (!*name)
        return fv_fail(FV_BAD_INPUT, "--batch: expected the name of a file behind it, as in --batch=shapes_1x1");
    if (reader->depth == MOST_DEPTH)
        return fv_fail(FV_BAD_INPUT, "--batch=%.80s is the %dth file within another; does one include itself?", name,
                       MOST_DEPTH + 1);
    if (reader->files++ == MOST_FILES)
        return fv_fail(FV_BAD_INPUT, "--batch=%.80s is one file more than the %d that a list may read", name,
                       MOST_FILES);
    const char *slash = strrchr(place->path, '/');
    char *path;
    if (asprintf(&path, "%.*s%s", *name == '/' || !slash ? 0 : (int)(slash + 1 - place->path), place->path, name) < 0)
        return fv_fail(FV_NO_MEMORY, "no memory for a file name");
    ++reader->depth;
    fv_status status = fv_each_line_of_file(path, read_batch_line, &(batch){reader, list});
    if (status == FV_OK) {
        status = fv_benchdnn_finish(reader);
        if (status != FV_OK)
            fv_fail_within(status, "%s", path);
    }
    --reader->depth;
    free(path);
    return status;
}

/* Takes off the quotes that a shell would have taken off. */
static char *unquote(char *value) {
    const size_t length = strlen(value);
    if (length < 2 || (*value != '"' && *value != '\'') || value[length - 1] != *value)
        return value;
    value[length - 1] = '\0';
    return value + 1;
}

/* Begins with a driver's defaults if the option names one. */
static bool choose_driver(fv_benchdnn *reader, const char *name) {
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; ++i)
        if (!strcmp(name, drivers[i])) {
            begin_driver(reader, i);
            return true;
        }
    return false;
}

static fv_status read_option(fv_benchdnn *reader, const fv_place *place, char *option, fv_case_list *list) {
    char *equals = strchr(option, '=');
    char *value = equals ? unquote(equals + 1) : option + strlen(option);
    if (equals)
        *equals = '\0';
    const char *name = option + strlen("--");
    if (!equals && choose_driver(reader, name))
        return FV_OK;
    if (!strcmp(name, "batch"))
        return read_batch(reader, place, value, list);
    if (!strcmp(name, "reset")) {
        fv_benchdnn_reset(&reader->settings, reader->driver);
        return FV_OK;
    }
    if (reader->driver == FV_BENCHDNN_OTHER)
        return FV_OK;
    return fv_benchdnn_set(&reader->settings, reader->driver, name, value);
}

static bool is_program(const char *word) {
    const char *slash = strrchr(word, '/');
    return !strcmp(slash ? slash + 1 : word, "benchdnn");
}

static fv_status read_words(fv_benchdnn *reader, const fv_place *place, char *words, fv_case_list *list) {
    for (char *word; (word = fv_cut_word(&words));) {
        fv_status status = FV_OK;
        if (is_program(word))
            begin_driver(reader, FV_BENCHDNN_CONV); /* a new command */
        else if (!strncmp(word, "--", 2))
            status = read_option(reader, place, word, list);
        else if (*word != '-')
            status = read_descriptor(reader, place, word, list);
        else if (word[1] != 'v') /* -v5 is --verbose=5 */
            status = fv_fail(FV_BAD_INPUT, "'%.40s': benchdnn's options begin with --", word);
        FV_TRY(status);
    }
    return FV_OK;
}

/* Cuts the last word off a text that ends in a backslash, for the next line to continue; benchdnn joins words, not
 * lines. */
static fv_status break_off(fv_benchdnn *reader, char *text) {
    size_t end = strlen(text);
    if (end == 0 || text[end - 1] != '\\')
        return FV_OK;
    --end;
    while (end > 0 && isspace((unsigned char)text[end - 1]))
        --end;
    size_t begin = end;
    while (begin > 0 && !isspace((unsigned char)text[begin - 1]))
        --begin;
    if (end - begin > MOST_WORD)
        return fv_fail(FV_BAD_INPUT, "a word continued over lines has more than %d characters", MOST_WORD);
    reader->unfinished = strndup(text + begin, end - begin);
    if (!reader->unfinished)
        return fv_fail(FV_NO_MEMORY, "no memory for a word of %zu characters", end - begin);
    text[begin] = '\0';
    return FV_OK;
}

fv_status fv_benchdnn_line(fv_benchdnn *reader, const fv_place *place, const char *line, fv_case_list *list) {
    char *text;
    if (asprintf(&text, "%s%s", reader->unfinished ? reader->unfinished : "", line) < 0)
        return fv_fail(FV_NO_MEMORY, "no memory for a line");
    free(reader->unfinished);
    reader->unfinished = NULL;
    fv_status status = break_off(reader, text);
    if (status == FV_OK)
        status = read_words(reader, place, text, list);
    free(text);
    return status;
}

bool fv_benchdnn_recognises(const fv_benchdnn *reader, const char *line) {
    char word[FV_LINE_SIZE];
    const size_t length = strcspn(line, " \t");
    snprintf(word, sizeof word, "%.*s", (int)length, line);
    return reader->unfinished || reader->driver == FV_BENCHDNN_OTHER || *word == '-' || is_program(word) ||
           fv_benchdnn_is_descriptor(word);
}

fv_status fv_benchdnn_finish(const fv_benchdnn *reader) {
    if (reader->unfinished)
        return fv_fail(FV_BAD_INPUT, "the last line ends in a backslash, expected another one to continue it");
    return FV_OK;
}

fv_status fv_benchdnn_begin(fv_benchdnn **reader) {
    *reader = calloc(1, sizeof **reader);
    if (!*reader)
        return fv_fail(FV_NO_MEMORY, "no memory for reading cases");
    begin_driver(*reader, FV_BENCHDNN_CONV);
    return FV_OK;
}

void fv_benchdnn_end(fv_benchdnn *reader) {
    if (reader)
        free(reader->unfinished);
    free(reader);
}
