/* fovea train: trains the default digits network and writes weights and a log. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/signals.h"

typedef struct arguments {
    const char *backend, *data, *out;
    int threads;
    bool tune;
    fv_training_options training;
} arguments;

enum { KEY_LR = 256, KEY_SEED, KEY_DATA, KEY_THREADS, KEY_TUNE };

static const struct argp_option option_table[] = {
    {"backend", 'b', "NAME", 0, "auto (default), cuda, cudnn, onednn, emulated or reference", 0},
    {"epochs", 'e', "N", 0, "passes over the training set (default 1)", 0},
    {"batch", 'n', "N", 0, "images per step (default 256)", 0},
    {"lr", KEY_LR, "RATE", 0, "peak learning rate of the one-cycle schedule (default 0.01)", 0},
    {"seed", KEY_SEED, "N", 0, "of the initial weights and the shuffling (default 1)", 0},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default: all)", 0},
    {"tune", KEY_TUNE, NULL, 0,
     "choose kernels by measuring them first, where that has not been done here; what is found out is remembered", 0},
    {"data", KEY_DATA, "FOLDER", 0,
     "the four MNIST files, .gz or raw (default: data/mnist here, else the shipped ones)", 0},
    {"out", 'o', "FILE", 0, "where the weights go (default digits.safetensors); the log goes beside it as .jsonl", 0},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case 'b':
        a->backend = text;
        break;
    case 'e':
        a->training.epochs = fv_option_count(state, "epochs", text, 1, 1000000);
        break;
    case 'n':
        a->training.batch = fv_option_count(state, "batch", text, 1, 1 << 20);
        break;
    case KEY_LR:
        a->training.peak_rate = fv_option_positive(state, "lr", text, 1e6);
        break;
    case KEY_SEED:
        a->training.seed = (uint64_t)fv_option_count(state, "seed", text, 0, INT64_MAX);
        break;
    case KEY_THREADS:
        a->threads = (int)fv_option_count(state, "threads", text, 1, 1024);
        break;
    case KEY_TUNE:
        a->tune = true;
        break;
    case KEY_DATA:
        a->data = text;
        break;
    case 'o':
        a->out = text;
        break;
    case ARGP_KEY_ARG:
        argp_failure(state, FV_EXIT_USAGE, 0, "unexpected argument '%s': fovea train takes options only", text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp parser = {
    option_table,
    parse_option,
    NULL,
    "Train the default digits network on MNIST, print its test accuracy, and write its weights."
    "\vThe same seed, backend, number of threads and choice of kernels give the same bits. Kernels are chosen by what "
    "--tune, of this command or of fovea kernels, has found out on this device, kept in "
    "$XDG_CACHE_HOME/fovea/selection.json (~/.cache/fovea), else by what is expected of them: another choice gives "
    "other "
    "bits. Ctrl-C stops after the current step and saves "
    "what "
    "was learned so far; the exit status is then 130.",
    NULL,
    NULL,
    NULL};

/* ---- the log: JSON lines, rewritten whole after each epoch, so that the file is never half a line */

typedef struct log {
    char *path;
    char *text;
    size_t length;
} log_file;

static fv_status write_file(const char *path, const char *text, size_t length) {
    fv_file_writer *writer;
    FV_TRY(fv_file_writer_open(path, &writer));
    const fv_status status = fv_file_writer_write(writer, text, length);
    if (status == FV_OK)
        return fv_file_writer_commit(writer);
    fv_file_writer_abandon(writer);
    return status;
}

/* Takes over `record` and appends it as one line. */
static fv_status log_append(log_file *log, json_t *record) {
    char *line = record ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(record);
    const size_t added = line ? strlen(line) : 0;
    char *grown = line ? realloc(log->text, log->length + added + 1) : NULL;
    if (grown) {
        log->text = grown;
        memcpy(log->text + log->length, line, added);
        log->text[log->length + added] = '\n';
        log->length += added + 1;
    }
    free(line);
    return grown ? write_file(log->path, log->text, log->length)
                 : fv_fail(FV_NO_MEMORY, "no memory for the log %s", log->path);
}

/* FILE.safetensors -> FILE.jsonl; any other name gets .jsonl behind it. */
static char *log_path(const char *out) {
    static const char suffix[] = ".safetensors";
    const size_t length = strlen(out), tail = sizeof suffix - 1;
    const bool cut = length > tail && !strcmp(out + length - tail, suffix);
    char *path = NULL;
    return asprintf(&path, "%.*s.jsonl", (int)(cut ? length - tail : length), out) < 0 ? NULL : path;
}

/* ---- callbacks */

typedef struct run {
    fv_progress progress;
    log_file log;
    fv_status log_status;
    int64_t epochs;
} run;

static int on_step(void *user, int64_t step, int64_t steps) {
    run *r = user;
    fv_progress_draw(&r->progress, step, steps, "steps");
    return fv_caught_signal() != 0;
}

static void on_epoch(void *user, const fv_epoch *e) {
    run *r = user;
    fv_progress_clear(&r->progress);
    fv_say("epoch %" PRId64 "/%" PRId64 "  loss %.4f  train %.2f %%  test %.2f %%  %.0f images/s  %.2f s\n", e->epoch,
           r->epochs, e->loss, 100 * e->train_accuracy, 100 * e->test_accuracy, e->images_per_second, e->seconds);
    const fv_status status =
        log_append(&r->log, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "event", "epoch", "epoch",
                                      (json_int_t)e->epoch, "steps", (json_int_t)e->steps, "loss", e->loss,
                                      "train_accuracy", e->train_accuracy, "test_accuracy", e->test_accuracy, "seconds",
                                      e->seconds, "images_per_second", e->images_per_second));
    if (r->log_status == FV_OK)
        r->log_status = status;
}

static void on_notice(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "fovea train: %s\n", line);
}

/* ---- the command */

static fv_status begin_log(run *r, const arguments *a, const fv_context *context) {
    const fv_training_options *o = &a->training;
    FV_TRY(fv_file_check_writable(a->out));
    if (!(r->log.path = log_path(a->out)))
        return fv_fail(FV_NO_MEMORY, "no memory for a path");
    return log_append(&r->log, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:I}", "event", "start", "version",
                                         FV_VERSION, "backend", fv_context_backend(context), "device",
                                         fv_context_description(context), "epochs", (json_int_t)o->epochs, "batch",
                                         (json_int_t)o->batch, "lr", o->peak_rate, "seed", (json_int_t)o->seed));
}

static fv_status finish(run *r, const arguments *a, const fv_model *model, const fv_training_result *result) {
    fv_status status = fv_model_save(model, a->out);
    if (status == FV_OK)
        status = r->log_status;
    if (status == FV_OK)
        status = log_append(&r->log, json_pack("{s:s, s:I, s:b, s:f, s:I, s:I}", "event", "end", "steps",
                                               (json_int_t)result->steps, "stopped", result->stopped, "seconds",
                                               result->seconds, "test_correct", (json_int_t)result->test_correct,
                                               "test_count", (json_int_t)result->test_count));
    if (status != FV_OK)
        return status;
    if (result->stopped)
        fv_say("stopped after %" PRId64 " steps\n", result->steps);
    fv_say("weights in %s, log in %s\n", a->out, r->log.path);
    fv_say("test accuracy %.2f %% (%" PRId64 "/%" PRId64 ")\n", 100 * result->test_accuracy, result->test_correct,
           result->test_count);
    return FV_OK;
}

static fv_status train(const arguments *a, run *r) {
    char folder[4096];
    const char *data = a->data ? a->data : fv_default_data(folder, sizeof folder);
    const fv_context_options context_options = {.threads = a->threads, .tune = a->tune};
    fv_dataset training = {0}, test = {0};
    fv_context *context = NULL;
    fv_network *network = NULL;
    fv_model *model = NULL;
    fv_training_result result;
    fv_training_options options = a->training;
    options.on_step = on_step;
    options.on_epoch = on_epoch;
    options.user = r;
    r->epochs = options.epochs;

    fv_status status = fv_dataset_read_mnist(data, FV_TRAIN, &training);
    if (status == FV_OK)
        status = fv_dataset_read_mnist(data, FV_TEST, &test);
    if (status == FV_OK)
        status = fv_context_create(a->backend, &context_options, &context);
    if (status == FV_OK) {
        fv_context_on_notice(context, on_notice, NULL);
        fv_catch_signals();                /* before the log, whose appearance tells others that the run has begun */
        status = begin_log(r, a, context); /* early: what cannot be written shows before the work, not after it */
    }
    if (status == FV_OK)
        status = fv_network_parse(fv_digits_network, &network);
    if (status == FV_OK)
        status = fv_model_create(context, network, options.seed, &model);
    if (status == FV_OK) {
        fv_say("%s (%s), %" PRId64 " parameters, %" PRId64 " training and %" PRId64 " test images\n",
               fv_context_backend(context), fv_context_description(context), fv_network_parameters(network),
               training.count, test.count);
        fv_progress_begin(&r->progress);
        status = fv_train(model, &training, &test, &options, &result);
        fv_progress_clear(&r->progress);
    }
    if (status == FV_OK)
        status = finish(r, a, model, &result);
    fv_model_destroy(model);
    fv_network_destroy(network);
    fv_context_destroy(context);
    fv_dataset_release(&training);
    fv_dataset_release(&test);
    return status;
}

int fv_command_train(int argc, char **argv) {
    arguments a = {.backend = "auto", .out = "digits.safetensors", .training = fv_training_defaults()};
    fv_parse_arguments(&parser, "fovea train", argc, argv, &a);
    run r = {0};
    const fv_status status = train(&a, &r);
    free(r.log.path);
    free(r.log.text);
    if (status != FV_OK)
        return fv_report("train", status);
    return fv_caught_signal() ? 128 + fv_caught_signal() : FV_EXIT_GOOD;
}
