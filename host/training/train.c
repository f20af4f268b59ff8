/* The training loop.
 *
 * Data set, shuffled order, learning rates, losses and predictions all lie in the context's memory, so that a step is
 * nothing but queued calls; the host looks at the results once per epoch.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <fovea/training.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "network/session.h"
#include "training/schedule.h"
#include "training/shuffle.h"

fv_training_options fv_training_defaults(void) {
    return (fv_training_options){.epochs = 1,
                                 .batch = 256,
                                 .optimizer = FV_OPTIMIZER_ADAM,
                                 .peak_rate = 0.01,
                                 .beta1 = 0.7,
                                 .beta2 = 0.9,
                                 .seed = 1};
}

/* Everything that training keeps besides the model. */
typedef struct trainer {
    fv_model *model;
    const fv_training_options *options;
    const fv_dataset *train, *test;
    fv_device_dataset data;
    fv_optimizer_state optimizer;
    fv_session *session, *remainder; /* remainder: the epoch's last, smaller batch; NULL if there is none */
    int64_t steps_per_epoch, steps;
    void *device[7]; /* allocations: the members below and the optimizer's */
    int device_count;
    int32_t *order, *predicted; /* device, one per training image */
    float *loss, *rates;        /* device; rates: [steps_per_epoch][3] */
    int32_t *host_order, *host_predicted;
    float *host_loss, *host_rates, *host_parameters;
} trainer;

static fv_status device_array(trainer *t, int64_t elements, size_t size, void *pointer) {
    const fv_backend *backend = t->model->context->backend;
    void *array;
    FV_TRY(backend->allocate(t->model->context, (size_t)elements * size, &array));
    t->device[t->device_count++] = array;
    memcpy(pointer, &array, sizeof array);
    return backend->fill(t->model->context, array, 0, (size_t)elements * size);
}

static fv_status require(bool ok, const char *what, double value, const char *expected) {
    return ok ? FV_OK : fv_fail(FV_BAD_INPUT, "training: %s %g: expected %s", what, value, expected);
}

static fv_status check_dataset(const fv_network *network, const fv_dataset *data, const char *which) {
    const int64_t *dim = network->input.dim;
    if (data->count < 1 || data->count > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "training: the %s set has %" PRId64 " images: expected 1 to 2^31-1", which,
                       data->count);
    if (data->height != dim[0] || data->width != dim[1] || data->channels != dim[2])
        return fv_fail(FV_BAD_INPUT,
                       "training: the %s set's images are %" PRId64 "x%" PRId64 "x%" PRId64
                       ": the network's input is %" PRId64 "x%" PRId64 "x%" PRId64,
                       which, data->height, data->width, data->channels, dim[0], dim[1], dim[2]);
    if (data->classes > fv_network_classes(network))
        return fv_fail(FV_BAD_INPUT, "training: the %s set has %" PRId64 " classes: the network ends in %" PRId64,
                       which, data->classes, fv_network_classes(network));
    for (int64_t i = 0; i < data->count; ++i)
        if (data->labels[i] >= data->classes)
            return fv_fail(FV_BAD_INPUT,
                           "training: label %d of image %" PRId64 " of the %s set: expected a class below %" PRId64,
                           data->labels[i], i, which, data->classes);
    return FV_OK;
}

static fv_status check(const fv_model *model, const fv_dataset *train, const fv_dataset *test,
                       const fv_training_options *o) {
    FV_TRY(require(o->epochs >= 1 && o->epochs <= 1000000, "epochs", (double)o->epochs, "1 to 1000000"));
    FV_TRY(require(o->batch >= 1 && o->batch <= 1 << 20, "batch", (double)o->batch, "1 to 1048576"));
    FV_TRY(require(o->peak_rate > 0 && o->peak_rate < 1e6, "learning rate", o->peak_rate, "above 0 and below 1e6"));
    FV_TRY(require(o->optimizer == FV_OPTIMIZER_ADAM || o->optimizer == FV_OPTIMIZER_SGD, "optimizer", o->optimizer,
                   "Adam or SGD"));
    FV_TRY(check_dataset(model->network, train, "training"));
    return test ? check_dataset(model->network, test, "test") : FV_OK;
}

static fv_operation update_operation(const fv_network *network, const fv_training_options *o) {
    if (o->optimizer == FV_OPTIMIZER_SGD)
        return (fv_operation){.kind = FV_SGD,
                              .sgd = {.elements = network->parameter_end,
                                      .decayed = network->weights_end,
                                      .momentum = o->beta1,
                                      .weight_decay = o->weight_decay,
                                      .dtype = FV_F32}};
    return (fv_operation){.kind = FV_ADAM,
                          .adam = {.elements = network->parameter_end,
                                   .decayed = network->weights_end,
                                   .beta1 = o->beta1,
                                   .beta2 = o->beta2,
                                   .epsilon = 1e-8,
                                   .weight_decay = o->weight_decay,
                                   .dtype = FV_F32}};
}

/* The three numbers of each of the epoch's steps, see fv_sgd and fv_adam. */
static fv_status upload_rates(trainer *t, int64_t first_step) {
    const fv_training_options *o = t->options;
    for (int64_t i = 0; i < t->steps_per_epoch; ++i) {
        const int64_t step = first_step + i;
        float *rate = t->host_rates + 3 * i;
        rate[0] = (float)fv_one_cycle(o->peak_rate, step, t->steps);
        rate[1] = (float)(1 / (1 - pow(o->beta1, (double)(step + 1))));
        rate[2] = (float)(1 / (1 - pow(o->beta2, (double)(step + 1))));
    }
    fv_context *context = t->model->context;
    return context->backend->upload(context, t->rates, t->host_rates, (size_t)t->steps_per_epoch * 3 * sizeof(float));
}

static fv_status prepare(trainer *t) {
    const fv_network *network = t->model->network;
    fv_context *context = t->model->context;
    const int64_t images = t->train->count, batch = fv_min(t->options->batch, images);
    const int64_t elements = fv_shape_elements(&network->input);
    t->steps_per_epoch = (images + batch - 1) / batch;
    t->steps = t->steps_per_epoch * t->options->epochs;
    t->optimizer.op = update_operation(network, t->options);
    FV_TRY(device_array(t, network->parameter_end, sizeof(float), &t->optimizer.gradients));
    FV_TRY(device_array(t, network->parameter_end, sizeof(float), &t->optimizer.m));
    if (t->options->optimizer == FV_OPTIMIZER_ADAM)
        FV_TRY(device_array(t, network->parameter_end, sizeof(float), &t->optimizer.v));
    FV_TRY(device_array(t, images, sizeof(int32_t), &t->order));
    FV_TRY(device_array(t, images, sizeof(int32_t), &t->predicted));
    FV_TRY(device_array(t, images, sizeof(float), &t->loss));
    FV_TRY(device_array(t, t->steps_per_epoch * 3, sizeof(float), &t->rates));
    t->host_order = calloc((size_t)images, sizeof *t->host_order);
    t->host_predicted = calloc((size_t)images, sizeof *t->host_predicted);
    t->host_loss = calloc((size_t)images, sizeof *t->host_loss);
    t->host_rates = calloc((size_t)t->steps_per_epoch * 3, sizeof *t->host_rates);
    t->host_parameters = calloc((size_t)network->parameter_end + 1, sizeof *t->host_parameters);
    if (!t->host_order || !t->host_predicted || !t->host_loss || !t->host_rates || !t->host_parameters)
        return fv_fail(FV_NO_MEMORY, "no memory to train on %" PRId64 " images", images);
    FV_TRY(fv_device_dataset_create(context, t->train->images, t->train->labels, images, elements, &t->data));
    FV_TRY(fv_session_create(t->model, batch, images, &t->optimizer, &t->session));
    if (images % batch)
        FV_TRY(fv_session_create(t->model, images % batch, images, &t->optimizer, &t->remainder));
    return FV_OK;
}

static void release(trainer *t) {
    fv_context *context = t->model->context;
    fv_session_destroy(t->session);
    fv_session_destroy(t->remainder);
    fv_device_dataset_release(&t->data);
    for (int i = 0; i < t->device_count; ++i)
        context->backend->deallocate(context, t->device[i]);
    free(t->host_order);
    free(t->host_predicted);
    free(t->host_loss);
    free(t->host_rates);
    free(t->host_parameters);
}

/* Queues the steps of one epoch; *done gets the images trained on, fewer than all if on_step asked to stop. */
static fv_status run_steps(trainer *t, fv_training_result *result, int64_t *done) {
    const int64_t images = t->train->count, batch = fv_session_batch(t->session);
    for (*done = 0; *done < images && !result->stopped;) {
        const int64_t n = fv_min(batch, images - *done);
        const fv_step step = {.data = &t->data,
                              .order = t->order + *done,
                              .loss = t->loss + *done,
                              .predicted = t->predicted + *done,
                              .rate = t->rates + 3 * (*done / batch)};
        FV_TRY(fv_session_run(n == batch ? t->session : t->remainder, &step));
        *done += n;
        ++result->steps;
        if (t->options->on_step)
            result->stopped = t->options->on_step(t->options->user, result->steps, t->steps) != 0;
    }
    return FV_OK;
}

/* Sums up the losses and hits of the images trained on. */
static fv_status collect(trainer *t, int64_t first_step, int64_t done, fv_epoch *epoch) {
    fv_context *context = t->model->context;
    FV_TRY(context->backend->download(context, t->host_loss, t->loss, (size_t)done * sizeof(float)));
    FV_TRY(context->backend->download(context, t->host_predicted, t->predicted, (size_t)done * sizeof(int32_t)));
    double loss = 0;
    int64_t correct = 0;
    for (int64_t i = 0; i < done; ++i) {
        if (!isfinite(t->host_loss[i]))
            return fv_fail(FV_MISMATCH,
                           "training diverged: the loss is %g at step %" PRId64 "; try a smaller learning rate",
                           (double)t->host_loss[i], first_step + i / fv_session_batch(t->session) + 1);
        loss += (double)t->host_loss[i];
        correct += t->host_predicted[i] == t->train->labels[t->host_order[i]];
    }
    epoch->loss = loss / (double)done;
    epoch->train_accuracy = (double)correct / (double)done;
    return FV_OK;
}

/* The losses tell of every update but the last one; the parameters tell of that. */
static fv_status require_finite(trainer *t, int64_t step) {
    const fv_network *network = t->model->network;
    FV_TRY(fv_model_get_parameters(t->model, t->host_parameters));
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        for (int64_t e = 0; e < p->elements; ++e)
            if (!isfinite(t->host_parameters[p->offset + e]))
                return fv_fail(FV_MISMATCH,
                               "training diverged: %s holds %g after step %" PRId64 "; try a smaller learning rate",
                               p->name, (double)t->host_parameters[p->offset + e], step);
    }
    return FV_OK;
}

static fv_status evaluate(fv_model *model, const fv_dataset *data, int64_t *correct) {
    int32_t *labels = malloc((size_t)data->count * sizeof *labels);
    if (!labels)
        return fv_fail(FV_NO_MEMORY, "no memory to evaluate %" PRId64 " images", data->count);
    const fv_status status = fv_model_predict(model, data->images, data->count, labels, NULL);
    *correct = 0;
    for (int64_t i = 0; status == FV_OK && i < data->count; ++i)
        *correct += labels[i] == data->labels[i];
    free(labels);
    return status;
}

static fv_status run_epoch(trainer *t, int64_t number, fv_training_result *result) {
    fv_context *context = t->model->context;
    const double start = fv_clock_seconds();
    const int64_t images = t->train->count, first_step = result->steps;
    int64_t done;
    fv_shuffle(t->host_order, images, t->options->seed, number);
    FV_TRY(context->backend->upload(context, t->order, t->host_order, (size_t)images * sizeof(int32_t)));
    FV_TRY(upload_rates(t, first_step));
    FV_TRY(run_steps(t, result, &done));
    FV_TRY(context->backend->synchronize(context));

    fv_epoch epoch = {
        .epoch = number, .steps = result->steps, .seconds = fv_clock_seconds() - start, .test_accuracy = NAN};
    epoch.images_per_second = epoch.seconds > 0 ? (double)done / epoch.seconds : 0;
    result->seconds += epoch.seconds;
    FV_TRY(collect(t, first_step, done, &epoch));
    FV_TRY(require_finite(t, result->steps));
    if (t->test) {
        FV_TRY(evaluate(t->model, t->test, &epoch.test_correct));
        epoch.test_count = t->test->count;
        epoch.test_accuracy = (double)epoch.test_correct / (double)epoch.test_count;
        result->test_correct = epoch.test_correct;
        result->test_count = epoch.test_count;
        result->test_accuracy = epoch.test_accuracy;
    }
    if (t->options->on_epoch)
        t->options->on_epoch(t->options->user, &epoch);
    return FV_OK;
}

fv_status fv_train(fv_model *model, const fv_dataset *train, const fv_dataset *test, const fv_training_options *options,
                   fv_training_result *result) {
    fv_training_result unused;
    result = result ? result : &unused;
    *result = (fv_training_result){.test_accuracy = NAN};
    FV_TRY(check(model, train, test, options));
    trainer t = {.model = model, .options = options, .train = train, .test = test};
    fv_status status = prepare(&t);
    for (int64_t epoch = 1; status == FV_OK && epoch <= options->epochs && !result->stopped; ++epoch) {
        status = run_epoch(&t, epoch, result);
        result->epochs = result->steps / t.steps_per_epoch;
    }
    release(&t);
    return status;
}

fv_status fv_evaluate(fv_model *model, const fv_dataset *dataset, int64_t *correct) {
    FV_TRY(check_dataset(model->network, dataset, "test"));
    return evaluate(model, dataset, correct);
}
