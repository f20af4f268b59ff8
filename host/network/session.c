#include "network/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

struct fv_session {
    fv_context *context;
    const fv_network *network;
    int64_t n, items;
    fv_call *calls;
    fv_buffers *buffers; /* of each call */
    int call_count;
    int loss_call, update_call; /* whose buffers each step completes, and call 0's; update_call 0: none */
    void *arena, *workspace;
    /* Within the arena: */
    void **activation; /* [layers + 1] the input, then each layer's output */
    void **argmax;     /* [layers] */
    void *gradient[2]; /* of an activation; the backward pass goes from one to the other */
    void *labels, *probabilities;
};

/* ---- the memory plan */

static size_t activation_bytes(const fv_session *s, int i) {
    const fv_shape *shape = i == 0 ? &s->network->input : &s->network->layers[i - 1].output;
    return (size_t)(fv_shape_elements(shape) * s->n) * sizeof(float);
}

static size_t argmax_bytes(const fv_session *s, int i) {
    const fv_operation op = fv_layer_operation(&s->network->layers[i], s->n);
    fv_tensor_spec argmax;
    return fv_operation_tensor(&op, FV_FORWARD, FV_ARGMAX, &argmax) ? fv_spec_bytes(&argmax) : 0;
}

/* Gives *pointer the next `bytes` of the arena; with a NULL base it only counts, and stays at a size that no allocation
 * grants once that is passed. */
static void reserve(uint8_t *base, size_t *end, size_t bytes, void **pointer) {
    const size_t most = (size_t)1 << 62;
    *pointer = base ? base + *end : NULL;
    *end = *end + bytes > most ? most : (size_t)fv_round_up((int64_t)(*end + bytes), 256);
}

/* Lays out the arena at `base` and returns its size. */
static size_t lay_out(fv_session *s, uint8_t *base, bool training) {
    const int layers = s->network->layer_count;
    size_t end = 0, largest = 0;
    for (int i = 0; i <= layers; ++i)
        largest = activation_bytes(s, i) > largest ? activation_bytes(s, i) : largest;
    void *turns[2];
    for (int i = 0; i < 2; ++i)
        reserve(base, &end, largest, training ? &s->gradient[i] : &turns[i]);
    for (int i = 0; i <= layers; ++i) {
        if (training)
            reserve(base, &end, activation_bytes(s, i), &s->activation[i]);
        else
            s->activation[i] = turns[i % 2];
    }
    for (int i = 0; i < layers; ++i)
        reserve(base, &end, argmax_bytes(s, i), &s->argmax[i]);
    reserve(base, &end, (size_t)s->n * sizeof(int32_t), &s->labels);
    reserve(base, &end, activation_bytes(s, layers), &s->probabilities);
    return end;
}

/* ---- the list of calls */

/* Appends a prepared call. Of the tensors on offer it takes those that its signature has. */
static fv_status add_call(fv_session *s, const fv_operation *op, fv_pass pass, void *const offer[FV_ROLES]) {
    FV_TRY(fv_operation_validate(op));
    FV_TRY(fv_call_prepare(&s->calls[s->call_count], s->context, op, pass));
    fv_tensor_spec specs[FV_MAX_SPECS];
    const int count = fv_operation_signature(op, pass, specs);
    for (int i = 0; i < count; ++i)
        s->buffers[s->call_count].at[specs[i].role] = offer[specs[i].role];
    ++s->call_count;
    return FV_OK;
}

static void *parameter_at(float *array, const fv_network *network, int parameter) {
    return array && parameter >= 0 ? array + network->parameters[parameter].offset : NULL;
}

/* The tensors around layer i; dy is in gradient[turn]. */
static void layer_tensors(const fv_session *s, const fv_model *model, float *gradients, int i, int turn,
                          void *at[FV_ROLES]) {
    const fv_layer *layer = &s->network->layers[i];
    memset(at, 0, FV_ROLES * sizeof *at);
    at[FV_X] = s->activation[i];
    at[FV_Y] = s->activation[i + 1];
    at[FV_ARGMAX] = s->argmax[i];
    at[FV_DY] = s->gradient[turn];
    at[FV_DX] = s->gradient[!turn];
    at[FV_W] = parameter_at(model->parameters, s->network, layer->weight);
    at[FV_B] = parameter_at(model->parameters, s->network, layer->bias);
    at[FV_DW] = parameter_at(gradients, s->network, layer->weight);
    at[FV_DB] = parameter_at(gradients, s->network, layer->bias);
}

static fv_status add_layer_call(fv_session *s, const fv_layer *layer, const fv_operation *op, fv_pass pass,
                                void *const offer[FV_ROLES]) {
    const fv_status status = add_call(s, op, pass, offer);
    return status == FV_OK ? FV_OK : fv_fail_within(status, "network line %d", layer->line);
}

static fv_operation loss_operation(const fv_session *s) {
    return (fv_operation){.kind = FV_SOFTMAX_XENT, .softmax_xent = {s->n, fv_network_classes(s->network), FV_F32}};
}

static fv_status add_forward(fv_session *s, const fv_model *model) {
    const fv_network *network = s->network;
    void *at[FV_ROLES] = {[FV_X] = s->activation[0], [FV_LABELS] = s->labels};
    const fv_operation batch = {
        .kind = FV_BATCH,
        .batch = {s->n, s->items, fv_shape_elements(&network->input), network->scale, network->shift, FV_F32}};
    FV_TRY(add_call(s, &batch, FV_FORWARD, at));
    for (int i = 0; i < network->layer_count; ++i) {
        const fv_operation op = fv_layer_operation(&network->layers[i], s->n);
        layer_tensors(s, model, NULL, i, 0, at);
        FV_TRY(add_layer_call(s, &network->layers[i], &op, FV_FORWARD, at));
    }
    memset(at, 0, sizeof at);
    at[FV_X] = s->activation[network->layer_count];
    at[FV_LABELS] = s->labels;
    at[FV_Y] = s->probabilities;
    const fv_operation loss = loss_operation(s);
    s->loss_call = s->call_count;
    return add_call(s, &loss, FV_FORWARD, at);
}

static fv_status add_backward(fv_session *s, const fv_model *model, const fv_optimizer_state *optimizer) {
    const fv_network *network = s->network;
    void *at[FV_ROLES] = {[FV_Y] = s->probabilities, [FV_LABELS] = s->labels, [FV_DX] = s->gradient[0]};
    const fv_operation loss = loss_operation(s);
    FV_TRY(add_call(s, &loss, FV_BACKWARD_DATA, at));
    int turn = 0;
    for (int i = network->layer_count - 1; i >= 0; --i) {
        const fv_layer *layer = &network->layers[i];
        const fv_operation op = fv_layer_operation(layer, s->n);
        layer_tensors(s, model, optimizer->gradients, i, turn, at);
        if (fv_operation_has_pass(&op, FV_BACKWARD_WEIGHTS))
            FV_TRY(add_layer_call(s, layer, &op, FV_BACKWARD_WEIGHTS, at));
        if (i > 0) /* nobody asks for the gradient by the images */
            FV_TRY(add_layer_call(s, layer, &op, FV_BACKWARD_DATA, at));
        turn = !turn;
    }
    void *update[FV_ROLES] = {
        [FV_W] = model->parameters, [FV_DW] = optimizer->gradients, [FV_M] = optimizer->m, [FV_V] = optimizer->v};
    s->update_call = s->call_count;
    return add_call(s, &optimizer->op, FV_FORWARD, update);
}

static fv_status build(fv_session *s, fv_model *model, const fv_optimizer_state *optimizer) {
    const fv_backend *backend = s->context->backend;
    const size_t layers = (size_t)s->network->layer_count;
    s->activation = calloc(layers + 1, sizeof *s->activation);
    s->argmax = calloc(layers, sizeof *s->argmax);
    s->calls = calloc(3 * layers + 4, sizeof *s->calls);
    s->buffers = calloc(3 * layers + 4, sizeof *s->buffers);
    if (!s->activation || !s->argmax || !s->calls || !s->buffers)
        return fv_fail(FV_NO_MEMORY, "no memory for a session of %zu layers", layers);
    FV_TRY(backend->allocate(s->context, lay_out(s, NULL, optimizer != NULL), &s->arena));
    lay_out(s, s->arena, optimizer != NULL);
    FV_TRY(add_forward(s, model));
    if (optimizer)
        FV_TRY(add_backward(s, model, optimizer));
    size_t workspace = 0;
    for (int i = 0; i < s->call_count; ++i)
        workspace = s->calls[i].workspace > workspace ? s->calls[i].workspace : workspace;
    FV_TRY(backend->allocate(s->context, workspace, &s->workspace));
    for (int i = 0; i < s->call_count; ++i)
        s->buffers[i].workspace = s->workspace;
    return FV_OK;
}

fv_status fv_session_create(fv_model *model, int64_t n, int64_t items, const fv_optimizer_state *optimizer,
                            fv_session **session) {
    *session = NULL;
    fv_session *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_NO_MEMORY, "no memory for a session");
    s->context = model->context;
    s->network = model->network;
    s->n = n;
    s->items = items;
    const fv_status status = build(s, model, optimizer);
    if (status == FV_OK)
        *session = s;
    else
        fv_session_destroy(s);
    return status;
}

void fv_session_destroy(fv_session *s) {
    if (!s)
        return;
    for (int i = 0; i < s->call_count; ++i)
        fv_call_release(&s->calls[i]);
    if (s->arena)
        s->context->backend->deallocate(s->context, s->arena);
    if (s->workspace)
        s->context->backend->deallocate(s->context, s->workspace);
    free(s->activation);
    free(s->argmax);
    free(s->calls);
    free(s->buffers);
    free(s);
}

int64_t fv_session_batch(const fv_session *s) {
    return s->n;
}

int64_t fv_session_items(const fv_session *s) {
    return s->items;
}

const float *fv_session_probabilities(const fv_session *s) {
    return s->probabilities;
}

fv_status fv_session_run(fv_session *s, const fv_step *step) {
    s->buffers[0].at[FV_IMAGES] = step->data->images;
    s->buffers[0].at[FV_IMAGE_LABELS] = step->data->labels;
    s->buffers[0].at[FV_ORDER] = step->order;
    s->buffers[s->loss_call].at[FV_LOSS] = step->loss;
    s->buffers[s->loss_call].at[FV_PREDICTED] = step->predicted;
    if (s->update_call)
        s->buffers[s->update_call].at[FV_RATE] = step->rate;
    for (int i = 0; i < s->call_count; ++i)
        FV_TRY(fv_call_run(&s->calls[i], &s->buffers[i]));
    return FV_OK;
}

/* ---- data sets on the device */

fv_status fv_device_dataset_create(fv_context *context, const uint8_t *images, const uint8_t *labels, int64_t count,
                                   int64_t elements, fv_device_dataset *data) {
    const fv_backend *backend = context->backend;
    const size_t image_bytes = (size_t)(count * elements), label_bytes = (size_t)count;
    *data = (fv_device_dataset){.context = context, .count = count, .elements = elements};
    void *pointer;
    fv_status status;
    FV_TRY_GOTO(status, backend->allocate(context, image_bytes, &pointer), failed);
    data->images = pointer;
    FV_TRY_GOTO(status, backend->upload(context, data->images, images, image_bytes), failed);
    FV_TRY_GOTO(status, backend->allocate(context, label_bytes, &pointer), failed);
    data->labels = pointer;
    FV_TRY_GOTO(status,
                labels ? backend->upload(context, data->labels, labels, label_bytes)
                       : backend->fill(context, data->labels, 0, label_bytes),
                failed);
    return FV_OK;
failed:
    fv_device_dataset_release(data);
    return status;
}

void fv_device_dataset_release(fv_device_dataset *data) {
    if (data->images)
        data->context->backend->deallocate(data->context, data->images);
    if (data->labels)
        data->context->backend->deallocate(data->context, data->labels);
    memset(data, 0, sizeof *data);
}
