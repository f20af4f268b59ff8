/* A stand-in for cuDNN, for tests without a GPU. It hands out descriptors and counts them, lists engines as a test
 * says, can fail at any of its calls, and keeps what it is told of tensors. A descriptor that is used after it was
 * destroyed is a use after free, which the sanitizers see. */
#ifndef FOVEA_TESTS_FAKE_CUDNN_H
#define FOVEA_TESTS_FAKE_CUDNN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cudnn/convolution.h"

enum { FAKE_ENGINES = 8, FAKE_NOTES = CUDNN_NUMERICAL_NOTE_TYPE_COUNT + 1, FAKE_LIST = 8 };

/* What a configuration is: an engine and the value of its first knob. */
typedef struct fake_config {
    int64_t engine, setting;
} fake_config;

typedef struct fake_part {
    cudnnBackendDescriptorType_t type;
    int64_t
        number; /* of a configuration, its engine or its plan: the engine's; of a knob: its type; of a tensor: its id;
                        of a graph and its heuristics: how many operations it has */
    int64_t setting; /* of a configuration, and of a knob: the value */
    cudnnBackendHeurMode_t mode;
} fake_part;

static struct {
    int alive;           /* descriptors */
    int calls, fails_at; /* the call that fails; 0: none */
    int asked;           /* how often heuristics were */
    struct {
        cudnnBackendNumericalNote_t notes[FAKE_NOTES];
        int64_t note_count, workspace;
        bool refused; /* it cannot be planned */
    } engines[FAKE_ENGINES + 1];
    int64_t knobs;                                        /* that every engine has */
    fake_config lists[CUDNN_HEUR_MODES_COUNT][FAKE_LIST]; /* an engine 0 ends a list */
    int64_t strides[FV_ROLES + 2][4];                     /* of a graph's tensors, by id, */
    cudnnDataType_t dtypes[FV_ROLES + 2];                 /* and what they are stored as */
    int64_t alignment;
    int64_t operations;          /* in the largest graph, */
    int64_t most_operations;     /* that engines run; 0: any number */
    cudnnPointwiseMode_t mode;   /* of the latest pointwise operation */
    cudnnTensorFormat_t format;  /* of the latest tensor of the older functions with more than one pixel */
    cudnnDataType_t older_dtype; /* of their latest tensor */
    int biases;                  /* tensors of theirs with one pixel */
    int activations;             /* of theirs */
} fake;

static cudnnStatus_t fake_outcome(void) {
    return ++fake.calls == fake.fails_at ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t fake_create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made) {
    const cudnnStatus_t status = fake_outcome();
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    fake_part *part = calloc(1, sizeof *part);
    assert_non_null(part);
    part->type = type;
    *made = part;
    ++fake.alive;
    return status;
}

static cudnnStatus_t fake_destroy(cudnnBackendDescriptor_t destroyed) {
    assert_non_null(destroyed);
    free(destroyed);
    --fake.alive;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t fake_set(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    fake_part *part = to;
    assert_true(part->number >= 0);
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; ++i)
        assert_true(((fake_part *const *)values)[i]->number >= 0);
    if (name == CUDNN_ATTR_ENGINEHEUR_MODE)
        part->mode = *(const cudnnBackendHeurMode_t *)values;
    else if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
        part->number = (*(fake_part *const *)values)->number;
    else if (name == CUDNN_ATTR_TENSOR_UNIQUE_ID)
        part->number = *(const int64_t *)values;
    else if (name == CUDNN_ATTR_TENSOR_STRIDES)
        memcpy(fake.strides[part->number], values, sizeof fake.strides[0]);
    else if (name == CUDNN_ATTR_TENSOR_DATA_TYPE)
        fake.dtypes[part->number] = *(const cudnnDataType_t *)values;
    else if (name == CUDNN_ATTR_OPERATIONGRAPH_OPS)
        part->number = count;
    else if (name == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)
        part->number = (*(fake_part *const *)values)->number;
    else if (name == CUDNN_ATTR_POINTWISE_MODE)
        fake.mode = *(const cudnnPointwiseMode_t *)values;
    else if (name == CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)
        fake.alignment = *(const int64_t *)values;
    return fake_outcome();
}

static cudnnStatus_t fake_finalize(cudnnBackendDescriptor_t finished) {
    const fake_part *part = finished;
    fake.asked += part->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
    if (part->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR && part->number > fake.operations)
        fake.operations = part->number;
    const bool refused = part->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && fake.engines[part->number].refused;
    const cudnnStatus_t status = fake_outcome();
    return refused ? CUDNN_STATUS_NOT_SUPPORTED : status;
}

static int64_t fake_list(const fake_part *heuristics, fake_part *const *configs, int64_t capacity) {
    const cudnnBackendHeurMode_t mode = heuristics->mode;
    int64_t count = 0;
    if (fake.most_operations && heuristics->number > fake.most_operations)
        return 0;
    for (; count < FAKE_LIST && fake.lists[mode][count].engine; ++count)
        if (count < capacity) {
            configs[count]->number = fake.lists[mode][count].engine;
            configs[count]->setting = fake.lists[mode][count].setting;
        }
    return count;
}

/* Knobs have the types 10, 11, ...; the value of the first is the configuration's, of others their type. */
static int64_t fake_knobs(const fake_part *config, fake_part *const *choices, int64_t capacity) {
    for (int64_t i = 0; i < fake.knobs && i < capacity; ++i) {
        choices[i]->number = 10 + i;
        choices[i]->setting = i == 0 ? config->setting : 10 + i;
    }
    return fake.knobs;
}

static cudnnStatus_t fake_get(const cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values) {
    const fake_part *part = from;
    (void)type;
    *count = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        *count = fake_list(part, values, capacity);
        break;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        (*(fake_part *const *)values)->number = part->number;
        break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *count = fake.engines[part->number].note_count;
        memcpy(values, fake.engines[part->number].notes,
               (size_t)(*count < capacity ? *count : capacity) * sizeof(cudnnBackendNumericalNote_t));
        break;
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
        *count = fake_knobs(part, values, capacity);
        break;
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
        *(cudnnBackendKnobType_t *)values = (cudnnBackendKnobType_t)part->number;
        break;
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE:
        *(int64_t *)values = part->setting;
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = fake.engines[part->number].workspace;
        break;
    default: /* an engine's number */
        *(int64_t *)values = part->number;
    }
    return fake_outcome();
}

/* ---- the older functions' descriptors */

static cudnnStatus_t fake_tensor_create(cudnnTensorDescriptor_t *made) {
    cudnnBackendDescriptor_t part = NULL;
    const cudnnStatus_t status = fake_create(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &part);
    *made = part;
    return status;
}

static cudnnStatus_t fake_tensor_set(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format, cudnnDataType_t dtype,
                                     int n, int c, int h, int w) {
    (void)tensor, (void)n, (void)c;
    fake.older_dtype = dtype;
    if (h * w > 1)
        fake.format = format;
    else
        ++fake.biases;
    return fake_outcome();
}

static cudnnStatus_t fake_tensor_destroy(cudnnTensorDescriptor_t tensor) {
    return fake_destroy(tensor);
}

static cudnnStatus_t fake_activation_create(cudnnActivationDescriptor_t *made) {
    cudnnBackendDescriptor_t part = NULL;
    const cudnnStatus_t status = fake_create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &part);
    *made = part;
    ++fake.activations;
    return status;
}

static cudnnStatus_t fake_activation_set(cudnnActivationDescriptor_t activation, cudnnActivationMode_t mode,
                                         cudnnNanPropagation_t nan, double coefficient) {
    (void)activation, (void)nan, (void)coefficient;
    assert_int_equal(mode, CUDNN_ACTIVATION_RELU);
    return fake_outcome();
}

static cudnnStatus_t fake_activation_destroy(cudnnActivationDescriptor_t activation) {
    return fake_destroy(activation);
}

static const char *fake_error_string(cudnnStatus_t status) {
    return status == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "planted";
}

static void fake_last_error(char *text, size_t size) {
    if (size > 0)
        *text = '\0';
}

/* A context on the stand-in. */
static fv_cudnn_device fake_device;
static fv_context fake_context = {.device = &fake_device};

static int fake_open(void **state) {
    (void)state;
    fv_cudnn_api *api = &fake_device.api;
    memset(&fake, 0, sizeof fake);
    api->part_create = fake_create;
    api->part_destroy = fake_destroy;
    api->part_set = fake_set;
    api->part_get = fake_get;
    api->part_finalize = fake_finalize;
    api->tensor_create = fake_tensor_create;
    api->tensor_set = fake_tensor_set;
    api->tensor_destroy = fake_tensor_destroy;
    api->activation_create = fake_activation_create;
    api->activation_set = fake_activation_set;
    api->activation_destroy = fake_activation_destroy;
    api->error_string = fake_error_string;
    api->last_error = fake_last_error;
    fake_device.handle = (cudnnHandle_t)&fake; /* never looked into */
    return 0;
}

/* Whatever a test made must be gone with the latest convolution. */
static int fake_close(void **state) {
    (void)state;
    fv_cudnn_convolution_forget(&fake_device);
    assert_int_equal(fake.alive, 0);
    return 0;
}

/* The engine's notes: `count` of them, from `first` on. */
static void fake_notes(int64_t engine, int64_t count, cudnnBackendNumericalNote_t first) {
    fake.engines[engine].note_count = count;
    for (int64_t i = 0; i < count; ++i)
        fake.engines[engine].notes[i] = (cudnnBackendNumericalNote_t)(first + i);
}

#endif
