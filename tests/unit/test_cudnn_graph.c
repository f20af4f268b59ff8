/* Building cuDNN's graphs without a GPU: a stand-in for the library hands out the parts and counts them, and fails at
 * each of its calls in turn. Whatever fails, every part must be destroyed, once, and none used afterwards (the
 * sanitizers see that). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cudnn/graph.h"

/* ---- the stand-in */

typedef struct part {
    int64_t number; /* of a configuration or its engine, or of a knob; 0 for others */
} part;

enum { ENGINES = 4 };

static struct {
    int alive;           /* parts */
    int calls, fails_at; /* the call that fails; 0: none */
    cudnnBackendNumericalNote_t notes[ENGINES + 1][CUDNN_NUMERICAL_NOTE_TYPE_COUNT + 1];
    int64_t note_count[ENGINES + 1], knobs;
} library;

static cudnnStatus_t outcome(void) {
    return ++library.calls == library.fails_at ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made) {
    (void)type;
    const cudnnStatus_t status = outcome();
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    *made = calloc(1, sizeof(part));
    assert_non_null(*made);
    ++library.alive;
    return status;
}

static cudnnStatus_t destroy(cudnnBackendDescriptor_t destroyed) {
    assert_non_null(destroyed);
    ((part *)destroyed)->number = -1;
    free(destroyed);
    --library.alive;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    (void)name;
    assert_true(((const part *)to)->number >= 0);
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; ++i)
        assert_true(((part *const *)values)[i]->number >= 0);
    return outcome();
}

static cudnnStatus_t finalize(cudnnBackendDescriptor_t finished) {
    assert_true(((const part *)finished)->number >= 0);
    return outcome();
}

/* Gives `count` parts the numbers from `first` on. */
static void number_parts(part *const *parts, int64_t capacity, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count && i < capacity; ++i)
        parts[i]->number = first + i;
}

static cudnnStatus_t get(const cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values) {
    (void)type;
    const int64_t number = ((const part *)from)->number;
    assert_true(number >= 0);
    *count = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        number_parts(values, capacity, 1, *count = ENGINES);
        break;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        number_parts(values, capacity, number, 1);
        break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *count = library.note_count[number];
        memcpy(values, library.notes[number], (size_t)(*count < capacity ? *count : capacity) * sizeof(int));
        break;
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
        number_parts(values, capacity, 10, *count = library.knobs);
        break;
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
        *(cudnnBackendKnobType_t *)values = (cudnnBackendKnobType_t)number;
        break;
    default: /* an engine's number, a knob's value, a workspace */
        *(int64_t *)values = number;
    }
    return outcome();
}

static const char *error_string(cudnnStatus_t status) {
    (void)status;
    return "planted";
}

static void last_error(char *text, size_t size) {
    if (size > 0)
        *text = '\0';
}

static fv_cudnn_device device;
static fv_context context;

static int open_library(void **state) {
    (void)state;
    device.api.part_create = create;
    device.api.part_destroy = destroy;
    device.api.part_set = set;
    device.api.part_get = get;
    device.api.part_finalize = finalize;
    device.api.error_string = error_string;
    device.api.last_error = last_error;
    device.handle = (cudnnHandle_t)&library; /* never looked into */
    context.device = &device;
    return 0;
}

static void give_notes(int64_t engine, int64_t count, cudnnBackendNumericalNote_t first) {
    library.note_count[engine] = count;
    for (int64_t i = 0; i < count; ++i)
        library.notes[engine][i] = (cudnnBackendNumericalNote_t)(first + i);
}

/* ---- tests */

static void parts_are_destroyed(void **state) {
    (void)state;
    fv_operation op;
    assert_int_equal(fv_operation_parse("conv2d n=2 c=8 h=8 w=8 k=8 kernel=3x3 bias=1", &op), FV_OK);
    give_notes(1, 1, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    give_notes(2, 1, CUDNN_NUMERICAL_NOTE_TYPE_COUNT); /* one that is not known */
    give_notes(3, CUDNN_NUMERICAL_NOTE_TYPE_COUNT + 1, (cudnnBackendNumericalNote_t)0);
    give_notes(4, 0, (cudnnBackendNumericalNote_t)0);
    library.knobs = 5;
    for (const fv_kernel *row = fv_cudnn_conv2d_kernels; row->name; ++row) {
        if (row->pass == FV_BACKWARD_WEIGHTS)
            continue; /* its bias wants the older functions too */
        bool failed = true;
        for (library.fails_at = 1; failed; ++library.fails_at) {
            void *plan = NULL;
            library.calls = 0;
            /* Without a device there is no memory for any engine's workspace. */
            const fv_status status = row->prepare(&context, &op, &plan);
            failed = library.calls >= library.fails_at;
            if (status == FV_OK)
                row->release(plan);
            assert_int_equal(library.alive, 0);
        }
        assert_true(library.fails_at > 100);
    }
    library.fails_at = 0;
    library.knobs = 0;
}

/* What cuDNN says of an engine, and how it reads: whole words, as many as there is room for. */
static void engines_are_described(void **state) {
    (void)state;
    static const struct {
        cudnnBackendNumericalNote_t first;
        int64_t count;
        unsigned notes;
        bool strict;
        const char *description;
    } cases[] = {
        {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0, 0, true, "engine 1, f32 math, no notes"},
        {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 1, FV_NOTE_TF32, false, "engine 1, tf32 math, tensor_core"},
        {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, 1, 0, true, "engine 1, f32 math, strict_nan_prop"},
        {CUDNN_NUMERICAL_NOTE_WINOGRAD, 1, FV_NOTE_WINOGRAD_9X9, false, "engine 1, f32 math, winograd"},
        {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, 1, FV_NOTE_WINOGRAD_2X2, false,
         "engine 1, f32 math, winograd_tile_4x4"},
        {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 9,
         FV_NOTE_TF32 | FV_NOTE_HALF_SUMS | FV_NOTE_FFT | FV_NOTE_WINOGRAD_2X2 | FV_NOTE_WINOGRAD_4X4 |
             FV_NOTE_WINOGRAD_9X9,
         false,
         "engine 1, tf32 math, tensor_core down_convert_inputs reduced_precision_reduction fft nondeterministic "
         "winograd ..."},
    };
    part config = {1};
    fv_cudnn_graph graph;
    fv_cudnn_graph_begin(&graph, &device, FV_CUDNN_FASTEST);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        fv_cudnn_engine engine;
        fv_numerics numerics;
        give_notes(1, cases[i].count, cases[i].first);
        assert_int_equal(fv_cudnn_examine(&graph, (cudnnBackendDescriptor_t)&config, &engine), FV_OK);
        assert_int_equal(engine.strict, cases[i].strict);
        assert_int_equal(fv_cudnn_describe(&graph, (cudnnBackendDescriptor_t)&config, &engine, &numerics), FV_OK);
        assert_int_equal(numerics.notes, cases[i].notes);
        assert_string_equal(numerics.description, cases[i].description);
    }
    static const char *const with_knobs[] = {
        [2] = "engine 1, f32 math, strict_nan_prop; k10=10 k11=11",
        [20] = "engine 1, f32 math, strict_nan_prop; k10=10 k11=11 k12=12 k13=13 k14=14 k15=15 k16=16 k17=17 k18=18 "
               "k19=19 k20=20 k21=21...",
    };
    for (library.knobs = 2; library.knobs <= 20; library.knobs += 18) {
        const fv_cudnn_engine engine = {.number = 1, .listed = 1u << 9, .strict = true}; /* strict_nan_prop */
        fv_numerics numerics;
        assert_int_equal(fv_cudnn_describe(&graph, (cudnnBackendDescriptor_t)&config, &engine, &numerics), FV_OK);
        assert_string_equal(numerics.description, with_knobs[library.knobs]);
    }
    library.knobs = 0;
    give_notes(1, 1, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    fv_cudnn_engine engine;
    assert_int_equal(fv_cudnn_examine(&graph, (cudnnBackendDescriptor_t)&config, &engine), FV_UNSUPPORTED);
    fv_cudnn_graph_end(&graph);
    assert_int_equal(library.alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_destroyed),
        cmocka_unit_test(engines_are_described),
    };
    return cmocka_run_group_tests(tests, open_library, NULL);
}
