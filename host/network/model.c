/* Models: parameters, prediction, files. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/random.h"
#include "formats/safetensors.h"
#include "network/network.h"
#include "network/session.h"

static size_t parameter_bytes(const fv_model *model) {
    return (size_t)model->network->parameter_end * sizeof(float);
}

fv_status fv_model_get_parameters(const fv_model *model, float *parameters) {
    return model->context->backend->download(model->context, parameters, model->parameters, parameter_bytes(model));
}

fv_status fv_model_set_parameters(fv_model *model, const float *parameters) {
    return model->context->backend->upload(model->context, model->parameters, parameters, parameter_bytes(model));
}

const fv_network *fv_model_network(const fv_model *model) {
    return model->network;
}

void fv_model_destroy(fv_model *model) {
    if (!model)
        return;
    fv_session_destroy(model->inference);
    if (model->parameters)
        model->context->backend->deallocate(model->context, model->parameters);
    fv_network_destroy(model->network);
    free(model);
}

/* A model whose parameters are zero. */
static fv_status create_blank(fv_context *context, const fv_network *network, fv_model **model) {
    *model = NULL;
    fv_model *created = calloc(1, sizeof *created);
    if (!created)
        return fv_fail(FV_NO_MEMORY, "no memory for a model");
    created->context = context;
    void *pointer;
    fv_status status;
    FV_TRY_GOTO(status, fv_network_parse(network->text, &created->network), failed);
    FV_TRY_GOTO(status, context->backend->allocate(context, parameter_bytes(created), &pointer), failed);
    created->parameters = pointer;
    FV_TRY_GOTO(status, context->backend->fill(context, pointer, 0, parameter_bytes(created)), failed);
    *model = created;
    return FV_OK;
failed:
    fv_model_destroy(created);
    return status;
}

fv_status fv_model_create(fv_context *context, const fv_network *network, uint64_t seed, fv_model **model) {
    FV_TRY(create_blank(context, network, model));
    float *values = calloc((size_t)network->parameter_end + 1, sizeof *values);
    fv_status status = values ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for a model's parameters");
    for (int i = 0; values && i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        const float bound = 1 / sqrtf((float)p->fan_in);
        for (int64_t e = 0; e < p->elements; ++e)
            values[p->offset + e] = bound * (2 * fv_random_uniform(seed, (uint64_t)i, (uint64_t)e) - 1);
    }
    if (values)
        status = fv_model_set_parameters(*model, values);
    free(values);
    if (status != FV_OK) {
        fv_model_destroy(*model);
        *model = NULL;
    }
    return status;
}

/* ---- prediction */

enum { INFERENCE_BATCH = 256 }; /* at most */

/* Device and host memory of one prediction. */
typedef struct prediction {
    fv_context *context;
    fv_device_dataset data;
    void *order, *loss, *predicted;
    int32_t *host_order;
} prediction;

static fv_status prepare_prediction(fv_model *model, const uint8_t *images, int64_t count, int64_t n, prediction *p) {
    const fv_backend *backend = model->context->backend;
    const int64_t steps = (count + n - 1) / n;
    FV_TRY(fv_device_dataset_create(model->context, images, NULL, count, fv_shape_elements(&model->network->input),
                                    &p->data));
    FV_TRY(backend->allocate(model->context, (size_t)(steps * n) * sizeof(int32_t), &p->order));
    FV_TRY(backend->allocate(model->context, (size_t)(steps * n) * sizeof(int32_t), &p->predicted));
    FV_TRY(backend->allocate(model->context, (size_t)n * sizeof(float), &p->loss));
    p->host_order = malloc((size_t)(steps * n) * sizeof *p->host_order);
    if (!p->host_order)
        return fv_fail(FV_NO_MEMORY, "no memory to predict %" PRId64 " images", count);
    /* The last batch is filled up with its last image. */
    for (int64_t i = 0; i < steps * n; ++i)
        p->host_order[i] = (int32_t)fv_min(i, count - 1);
    return backend->upload(model->context, p->order, p->host_order, (size_t)(steps * n) * sizeof(int32_t));
}

static void release_prediction(prediction *p) {
    void *const pointers[] = {p->order, p->loss, p->predicted};
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; ++i)
        if (pointers[i])
            p->context->backend->deallocate(p->context, pointers[i]);
    fv_device_dataset_release(&p->data);
    free(p->host_order);
}

/* Keeps an inference session for `items` images. */
static fv_status require_session(fv_model *model, int64_t items) {
    if (model->inference && fv_session_items(model->inference) == items)
        return FV_OK;
    fv_session_destroy(model->inference);
    model->inference = NULL;
    return fv_session_create(model, fv_min(items, INFERENCE_BATCH), items, NULL, &model->inference);
}

fv_status fv_model_predict(fv_model *model, const uint8_t *images, int64_t count, int32_t *labels,
                           float *probabilities) {
    if (count < 0 || count > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "predict: %" PRId64 " images: expected 0 to 2^31-1", count);
    if (count == 0)
        return FV_OK;
    const fv_backend *backend = model->context->backend;
    FV_TRY(require_session(model, count));
    const int64_t n = fv_session_batch(model->inference), classes = fv_network_classes(model->network);
    prediction p = {.context = model->context};
    fv_status status;
    FV_TRY_GOTO(status, prepare_prediction(model, images, count, n, &p), done);
    for (int64_t first = 0; first < count; first += n) {
        const fv_step step = {.data = &p.data,
                              .order = (int32_t *)p.order + first,
                              .loss = p.loss,
                              .predicted = (int32_t *)p.predicted + first};
        FV_TRY_GOTO(status, fv_session_run(model->inference, &step), done);
        if (probabilities)
            FV_TRY_GOTO(status,
                        backend->download(model->context, probabilities + first * classes,
                                          fv_session_probabilities(model->inference),
                                          (size_t)(fv_min(n, count - first) * classes) * sizeof(float)),
                        done);
    }
    status = backend->download(model->context, labels, p.predicted, (size_t)count * sizeof *labels);
done:
    release_prediction(&p);
    return status;
}

/* ---- files */

static const char network_key[] = "fovea.network";

fv_status fv_model_save(const fv_model *model, const char *path) {
    const fv_network *network = model->network;
    float *values = malloc(parameter_bytes(model) + 1);
    fv_safetensor *tensors = calloc((size_t)network->parameter_count + 1, sizeof *tensors);
    fv_status status;
    if (!values || !tensors)
        FV_TRY_GOTO(status, fv_fail(FV_NO_MEMORY, "no memory to save a model"), done);
    FV_TRY_GOTO(status, fv_model_get_parameters(model, values), done);
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        tensors[i] = (fv_safetensor){p->name, FV_F32, p->shape, values + p->offset};
    }
    const fv_safetensors_text metadata[] = {{network_key, network->text}, {"format", "fovea " FV_VERSION}};
    status = fv_safetensors_write(path, tensors, (size_t)network->parameter_count, metadata, 2);
done:
    free(values);
    free(tensors);
    return status;
}

static const fv_parameter *find_parameter(const fv_network *network, const char *name) {
    for (int i = 0; i < network->parameter_count; ++i)
        if (!strcmp(network->parameters[i].name, name))
            return &network->parameters[i];
    return NULL;
}

/* Each parameter must be there with its shape, and nothing else. Checked before any memory is taken: a text may claim
 * any size, a file holds what it holds. */
static fv_status require_tensors(const char *path, const fv_safetensors *file, const fv_network *network) {
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        const fv_safetensor *tensor = fv_safetensors_find(file, p->name);
        bool fits = tensor && tensor->dtype == FV_F32 && tensor->shape.rank == p->shape.rank;
        for (int d = 0; fits && d < p->shape.rank; ++d)
            fits = tensor->shape.dim[d] == p->shape.dim[d];
        if (!fits)
            return fv_fail(FV_BAD_INPUT,
                           "%s: tensor %s %s: expected f32 with %" PRId64 " elements, as its network says", path,
                           p->name, tensor ? "has another type or shape" : "is missing", p->elements);
    }
    for (size_t i = 0; i < file->tensor_count; ++i)
        if (!find_parameter(network, file->tensors[i].name))
            return fv_fail(FV_BAD_INPUT, "%s: tensor %s: its network has none of that name", path,
                           file->tensors[i].name);
    return FV_OK;
}

fv_status fv_model_load(fv_context *context, const char *path, fv_model **model) {
    *model = NULL;
    fv_safetensors file = {0};
    fv_network *network = NULL;
    float *values = NULL;
    FV_TRY(fv_safetensors_read(path, &file));
    const char *text = fv_safetensors_metadata(&file, network_key);
    fv_status status;
    if (!text)
        FV_TRY_GOTO(status,
                    fv_fail(FV_BAD_INPUT, "%s: no \"%s\" in its metadata: not a Fovea model", path, network_key), done);
    status = fv_network_parse(text, &network);
    if (status != FV_OK) {
        fv_fail_within(status, "%s", path);
        goto done;
    }
    FV_TRY_GOTO(status, require_tensors(path, &file, network), done);
    values = calloc((size_t)network->parameter_end + 1, sizeof *values);
    if (!values)
        FV_TRY_GOTO(status, fv_fail(FV_NO_MEMORY, "%s: no memory for its parameters", path), done);
    for (int i = 0; i < network->parameter_count; ++i) {
        const fv_parameter *p = &network->parameters[i];
        memcpy(values + p->offset, fv_safetensors_find(&file, p->name)->data, (size_t)p->elements * sizeof *values);
    }
    FV_TRY_GOTO(status, create_blank(context, network, model), done);
    status = fv_model_set_parameters(*model, values);
    if (status != FV_OK) {
        fv_model_destroy(*model);
        *model = NULL;
    }
done:
    free(values);
    fv_network_destroy(network);
    fv_safetensors_release(&file);
    return status;
}
