/* What cuDNN says of an engine's arithmetic, in our notes and in words.
 *
 * cuDNN's notes on an engine are a list; the table says what each means. An engine for f32 tensors without notes other
 * than that on NaNs computes in true fp32; for tensors of 16 bits tensor cores, whose products of them are exact and whose
 * sums are f32's, are as good. Knobs are an engine's settings; they are numbered, as in cuDNN's own logs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/cudnn/graph.h"
#include "base/checked.h"

enum { MOST_NOTES = CUDNN_NUMERICAL_NOTE_TYPE_COUNT };

static const struct {
    cudnnBackendNumericalNote_t note;
    const char *name;
    unsigned ours; /* of f32 tensors */
} known_notes[] = {
    /* f32 reaches tensor cores as tf32, whether by rounding or because they do not look at the lower bits, nobody says.
     * Inputs converted down are taken to become that: with bf16's 8 bits an engine would exceed its bound. */
    {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, "tensor_core", FV_NOTE_TF32_CUT},
    {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, "down_convert_inputs", FV_NOTE_TF32_CUT},
    {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, "reduced_precision_reduction", FV_NOTE_HALF_SUMS},
    {CUDNN_NUMERICAL_NOTE_FFT, "fft", FV_NOTE_FFT},
    {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, "nondeterministic", 0},
    /* cuDNN names tiles by their inputs, we by their outputs. */
    {CUDNN_NUMERICAL_NOTE_WINOGRAD, "winograd", 0},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, "winograd_tile_4x4", FV_NOTE_WINOGRAD_2X2},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6, "winograd_tile_6x6", FV_NOTE_WINOGRAD_4X4},
    {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13, "winograd_tile_13x13", FV_NOTE_WINOGRAD_9X9},
    {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, "strict_nan_prop", 0},
};
enum {
    KNOWN_NOTES = sizeof known_notes / sizeof known_notes[0],
    SOME_TILE = FV_NOTE_WINOGRAD_2X2 | FV_NOTE_WINOGRAD_4X4 | FV_NOTE_WINOGRAD_9X9,
    TRANSFORMS = SOME_TILE | FV_NOTE_FFT,
};

static bool has_16_bits(const fv_cudnn_graph *graph) {
    return fv_dtype_size(graph->dtype) == 2;
}

/* Adds a word to the text; "..." stands for the first that there is no room for, and for all that come after it. */
static void append(fv_numerics *numerics, const char *word) {
    static const char rest[] = "...";
    const size_t length = strlen(numerics->description), room = sizeof numerics->description - sizeof rest - length;
    char *end = numerics->description + length;
    if (length >= strlen(rest) && !strcmp(end - strlen(rest), rest))
        return;
    strcpy(end, strlen(word) <= room ? word : rest);
}

/* FV_UNSUPPORTED if a note is unknown: a later library may have other kinds of arithmetic; or if values of 16 bits become
 * something less, of which there is more than one. */
static fv_status translate(const fv_cudnn_graph *graph, const cudnnBackendNumericalNote_t *notes, int64_t count,
                           fv_cudnn_engine *engine) {
    bool winograd = false, nondeterministic = false;
    for (int64_t i = 0; i < count; ++i) {
        int k = 0;
        while (k < KNOWN_NOTES && known_notes[k].note != notes[i])
            ++k;
        if (k == KNOWN_NOTES)
            return fv_fail(FV_UNSUPPORTED, "cudnn: engine %" PRId64 " has numerical note %d, which is not known",
                           engine->number, (int)notes[i]);
        engine->notes |= known_notes[k].ours;
        winograd |= notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD;
        nondeterministic |= notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        engine->converts |= notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        engine->listed |= 1u << k;
    }
    if (has_16_bits(graph) && engine->converts)
        return fv_fail(FV_UNSUPPORTED, "cudnn: engine %" PRId64 " converts inputs of %s down, to what is not known",
                       engine->number, fv_dtype_name(graph->dtype));
    if (has_16_bits(graph))
        engine->notes &= ~(unsigned)FV_NOTE_TF32_CUT;
    if (winograd && !(engine->notes & SOME_TILE))
        engine->notes |= FV_NOTE_WINOGRAD_9X9; /* of unknown size: the largest */
    engine->strict = !nondeterministic && !engine->converts && !(engine->notes & TRANSFORMS) &&
                     !fv_notes_fall_short(graph->dtype, engine->notes);
    return FV_OK;
}

/* Reads the engine itself. */
static fv_status read_engine(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config,
                             cudnnBackendDescriptor_t part, fv_cudnn_engine *engine) {
    cudnnBackendNumericalNote_t notes[MOST_NOTES];
    int64_t count = 0;
    FV_TRY(fv_cudnn_read(graph, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &part));
    FV_TRY(fv_cudnn_read(graph, part, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &engine->number));
    FV_TRY(fv_cudnn_read(graph, part, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &count,
                         notes));
    if (count > MOST_NOTES)
        return fv_fail(FV_UNSUPPORTED, "cudnn: an engine has %" PRId64 " numerical notes; at most %d are known", count,
                       MOST_NOTES);
    return translate(graph, notes, count, engine);
}

static fv_status read_knob(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t choice, fv_cudnn_engine *engine) {
    cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)0;
    int64_t count = 0, value = 0;
    FV_TRY(fv_cudnn_read(graph, choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count, &type));
    FV_TRY(fv_cudnn_read(graph, choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count, &value));
    engine->knob_types[engine->knobs] = type;
    engine->knob_values[engine->knobs++] = value;
    return FV_OK;
}

static fv_status read_knobs(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, fv_cudnn_engine *engine) {
    cudnnBackendDescriptor_t choices[FV_CUDNN_KNOBS] = {NULL};
    int64_t count = 0;
    fv_status status = FV_OK;
    for (int i = 0; i < FV_CUDNN_KNOBS && status == FV_OK; ++i)
        status = FV_CUDNN(graph->api, "create a knob",
                          graph->api->part_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &choices[i]));
    if (status == FV_OK)
        status = fv_cudnn_read(graph, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                               FV_CUDNN_KNOBS, &count, choices);
    for (int64_t i = 0; i < fv_min(count, FV_CUDNN_KNOBS) && status == FV_OK; ++i)
        status = read_knob(graph, choices[i], engine);
    for (int i = 0; i < FV_CUDNN_KNOBS; ++i)
        if (choices[i])
            (void)graph->api->part_destroy(choices[i]);
    return status;
}

fv_status fv_cudnn_examine(const fv_cudnn_graph *graph, cudnnBackendDescriptor_t config, fv_cudnn_engine *engine) {
    cudnnBackendDescriptor_t part = NULL;
    *engine = (fv_cudnn_engine){0};
    FV_TRY(FV_CUDNN(graph->api, "create an engine", graph->api->part_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &part)));
    const fv_status status = read_engine(graph, config, part, engine);
    (void)graph->api->part_destroy(part);
    return status == FV_OK ? read_knobs(graph, config, engine) : status;
}

fv_numerics fv_cudnn_describe(const fv_cudnn_graph *graph, const fv_cudnn_engine *engine) {
    fv_numerics numerics = {.notes = engine->notes};
    const fv_dtype products = engine->notes & FV_NOTE_TF32_CUT ? FV_TF32 : has_16_bits(graph) ? graph->dtype : FV_F32;
    snprintf(numerics.description, sizeof numerics.description, "engine %" PRId64 ", %s math%s,%s", engine->number,
             fv_dtype_name(products), engine->notes & FV_NOTE_HALF_SUMS ? ", 16-bit sums" : "",
             engine->listed ? "" : " no notes");
    for (int k = 0; k < KNOWN_NOTES; ++k)
        if (engine->listed >> k & 1) {
            append(&numerics, " ");
            append(&numerics, known_notes[k].name);
        }
    for (int k = 0; k < engine->knobs; ++k) {
        char text[48];
        snprintf(text, sizeof text, "%s k%" PRId64 "=%" PRId64, k ? "" : ";", engine->knob_types[k],
                 engine->knob_values[k]);
        append(&numerics, text);
    }
    return numerics;
}
