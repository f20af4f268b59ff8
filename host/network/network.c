/* From network text to layers; see include/fovea/network.h for the format. */
#include "network/network.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/text.h"
#include "ops/op.h"

/* Small enough that one epoch takes a second or two on a CPU, and learns to 99 % in it. */
const char fv_digits_network[] = "input 28x28x1 scale=0.0127286 shift=-0.424213  # (byte/255 - 0.1307) / 0.3081\n"
                                 "conv 24 5x5\n"
                                 "maxpool 2x2\n"
                                 "relu\n"
                                 "conv 32 3x3\n"
                                 "maxpool 2x2\n"
                                 "relu\n"
                                 "linear 256\n"
                                 "relu\n"
                                 "linear 10\n";

enum { LINE_SIZE = 256, MAX_LAYERS = 4096 };

typedef struct line {
    int number;
    char keyword[FV_WORD_SIZE];
    char rest[LINE_SIZE]; /* behind the keyword */
} line;

/* Reads the next line that is not blank or comment; false at the end. An overlong line is a failure. */
static fv_status next_line(const char **text, line *l, bool *found) {
    *found = false;
    while (**text && !*found) {
        char content[LINE_SIZE];
        const size_t length = strcspn(*text, "\n"), shown = strcspn(*text, "#\n");
        ++l->number;
        if (shown >= sizeof content)
            return fv_fail(FV_BAD_INPUT, "network line %d: more than %d characters", l->number, LINE_SIZE - 1);
        memcpy(content, *text, shown);
        content[shown] = '\0';
        *text += length + ((*text)[length] == '\n');
        const char *p = content;
        const fv_status status = fv_next_word(&p, l->keyword);
        if (status != FV_OK)
            return fv_fail_within(status, "network line %d", l->number);
        snprintf(l->rest, sizeof l->rest, "%s", p);
        *found = l->keyword[0] != '\0';
    }
    return FV_OK;
}

/* Appends " KEY=VALUE" unless one of the words is KEY=... */
static fv_status add_default(char *fields, size_t size, const char *key, const char *value) {
    const size_t length = strlen(key);
    const char *p = fields;
    char word[FV_WORD_SIZE];
    do {
        FV_TRY(fv_next_word(&p, word));
        if (!strncmp(word, key, length) && word[length] == '=')
            return FV_OK;
    } while (*word);
    fv_append(fields, size, " %s=%s", key, value);
    return FV_OK;
}

/* The bits of the fields that a layer's surroundings decide. */
static unsigned preset_bits(const fv_op_info *info, const char *const *keys) {
    unsigned bits = 0;
    for (int i = 0; i < info->field_count; ++i)
        for (const char *const *key = keys; *key; ++key)
            bits |= (unsigned)!strcmp(info->fields[i].key, *key) << i;
    return bits;
}

static fv_status finish_layer(const char *fields, const char *const *preset, fv_layer *layer) {
    const fv_op_info *info = fv_op_info_of(layer->op.kind);
    FV_TRY(fv_fields_parse(info, fields, preset_bits(info, preset), &layer->op));
    if (info->resolve)
        info->resolve(&layer->op);
    return fv_operation_validate(&layer->op);
}

static fv_status require_image(const char *keyword, const fv_shape *input) {
    if (input->rank != 3)
        return fv_fail(FV_BAD_INPUT, "%s needs an image, but the layer before gives %" PRId64 " features", keyword,
                       input->dim[0]);
    return FV_OK;
}

/* conv K RxS [stride= pad= dilation= groups= bias=] */
static fv_status parse_conv(const line *l, const fv_shape *input, fv_layer *layer) {
    FV_TRY(require_image("conv", input));
    const char *rest = l->rest;
    char channels[FV_WORD_SIZE], filter[FV_WORD_SIZE], fields[2 * LINE_SIZE];
    FV_TRY(fv_next_word(&rest, channels));
    FV_TRY(fv_next_word(&rest, filter));
    if (!isdigit((unsigned char)channels[0]) || !isdigit((unsigned char)filter[0]))
        return fv_fail(FV_BAD_INPUT, "expected 'conv CHANNELS HEIGHTxWIDTH', such as 'conv 32 3x3'");
    snprintf(fields, sizeof fields, " k=%s kernel=%s%s", channels, filter, rest);
    FV_TRY(add_default(fields, sizeof fields, "bias", "1"));
    layer->op = (fv_operation){.kind = FV_CONV2D,
                               .conv2d = {.n = 1, .h = input->dim[0], .w = input->dim[1], .c = input->dim[2]}};
    FV_TRY(finish_layer(fields, (const char *const[]){"n", "c", "h", "w", "dtype", NULL}, layer));
    const fv_conv2d *d = &layer->op.conv2d;
    layer->output = (fv_shape){3, {fv_conv2d_p(d), fv_conv2d_q(d), d->k}};
    return FV_OK;
}

/* maxpool RxS [stride= pad= dilation=]; the stride defaults to the window */
static fv_status parse_maxpool(const line *l, const fv_shape *input, fv_layer *layer) {
    FV_TRY(require_image("maxpool", input));
    const char *rest = l->rest;
    char window[FV_WORD_SIZE], fields[2 * LINE_SIZE];
    FV_TRY(fv_next_word(&rest, window));
    if (!isdigit((unsigned char)window[0]))
        return fv_fail(FV_BAD_INPUT, "expected 'maxpool HEIGHTxWIDTH', such as 'maxpool 2x2'");
    snprintf(fields, sizeof fields, " kernel=%s%s", window, rest);
    FV_TRY(add_default(fields, sizeof fields, "stride", window));
    layer->op = (fv_operation){.kind = FV_MAXPOOL,
                               .maxpool = {.n = 1, .h = input->dim[0], .w = input->dim[1], .c = input->dim[2]}};
    FV_TRY(finish_layer(fields, (const char *const[]){"n", "c", "h", "w", "dtype", NULL}, layer));
    const fv_maxpool *d = &layer->op.maxpool;
    layer->output = (fv_shape){3, {fv_maxpool_p(d), fv_maxpool_q(d), d->c}};
    return FV_OK;
}

/* linear K [bias=] */
static fv_status parse_linear(const line *l, const fv_shape *input, fv_layer *layer) {
    const char *rest = l->rest;
    char features[FV_WORD_SIZE], fields[2 * LINE_SIZE];
    FV_TRY(fv_next_word(&rest, features));
    if (!isdigit((unsigned char)features[0]))
        return fv_fail(FV_BAD_INPUT, "expected 'linear FEATURES', such as 'linear 10'");
    snprintf(fields, sizeof fields, " k=%s%s", features, rest);
    FV_TRY(add_default(fields, sizeof fields, "bias", "1"));
    layer->op = (fv_operation){.kind = FV_LINEAR, .linear = {.n = 1, .c = fv_shape_elements(input)}};
    FV_TRY(finish_layer(fields, (const char *const[]){"n", "c", "dtype", NULL}, layer));
    layer->output = (fv_shape){1, {layer->op.linear.k}};
    return FV_OK;
}

/* relu */
static fv_status parse_relu(const line *l, const fv_shape *input, fv_layer *layer) {
    layer->op = (fv_operation){.kind = FV_RELU, .relu = {.elements = fv_shape_elements(input)}};
    layer->output = *input;
    return finish_layer(l->rest, (const char *const[]){"elements", "dtype", NULL}, layer);
}

static const struct {
    const char *keyword;
    fv_status (*parse)(const line *l, const fv_shape *input, fv_layer *layer);
} layer_kinds[] = {{"conv", parse_conv}, {"maxpool", parse_maxpool}, {"linear", parse_linear}, {"relu", parse_relu}};
enum { LAYER_KINDS = sizeof layer_kinds / sizeof layer_kinds[0] };

/* At most 2^40 elements per image, so that no batch of up to 2^20 overflows a byte count. */
static fv_status require_moderate(const fv_shape *shape) {
    int64_t elements = 1;
    for (int i = 0; i < shape->rank; ++i)
        if (!fv_checked_mul(elements, shape->dim[i], &elements) || elements > (int64_t)1 << 40)
            return fv_fail(FV_BAD_INPUT, "its output has more than 2^40 elements per image");
    return FV_OK;
}

/* input HxWxC [scale= shift=] */
static fv_status parse_input(const line *l, fv_network *network) {
    const char *rest = l->rest;
    char extents[FV_WORD_SIZE];
    FV_TRY(fv_next_word(&rest, extents));
    int64_t *dim = network->input.dim;
    int used = 0;
    network->input.rank = 3;
    if (strcmp(l->keyword, "input") ||
        sscanf(extents, "%9" SCNd64 "x%9" SCNd64 "x%9" SCNd64 "%n", &dim[0], &dim[1], &dim[2], &used) != 3 ||
        extents[used] || dim[0] < 1 || dim[1] < 1 || dim[2] < 1)
        return fv_fail(FV_BAD_INPUT, "expected 'input HEIGHTxWIDTHxCHANNELS' first, such as 'input 28x28x1'");
    FV_TRY(require_moderate(&network->input));
    /* The rest describes how a batch of such images is assembled. */
    fv_operation batch = {.kind = FV_BATCH};
    fv_op_info info = fv_batch_info;
    info.name = "input"; /* in messages */
    char fields[2 * LINE_SIZE];
    snprintf(fields, sizeof fields, "%s", rest);
    FV_TRY(add_default(fields, sizeof fields, "scale", "0.0039215686274509803")); /* 1/255: bytes to 0..1 */
    const unsigned preset = preset_bits(&info, (const char *const[]){"n", "items", "elements", "dtype", NULL});
    FV_TRY(fv_fields_parse(&info, fields, preset, &batch));
    network->scale = batch.batch.scale;
    network->shift = batch.batch.shift;
    return FV_OK;
}

/* count: layers of each kind so far. */
static fv_status add_layer(fv_network *network, const line *l, int count[FV_KINDS]) {
    int kind = 0;
    while (kind < LAYER_KINDS && strcmp(layer_kinds[kind].keyword, l->keyword))
        ++kind;
    if (kind == LAYER_KINDS)
        return fv_fail(FV_BAD_INPUT, "unknown layer '%s': expected conv, maxpool, relu or linear", l->keyword);
    if (network->layer_count == MAX_LAYERS)
        return fv_fail(FV_BAD_INPUT, "more than %d layers", MAX_LAYERS);
    fv_layer *grown = realloc(network->layers, (size_t)(network->layer_count + 1) * sizeof *grown);
    if (!grown)
        return fv_fail(FV_NO_MEMORY, "no memory for a network");
    network->layers = grown;
    fv_layer *layer = &grown[network->layer_count];
    const fv_shape *input = network->layer_count ? &layer[-1].output : &network->input;
    *layer = (fv_layer){.line = l->number, .weight = -1, .bias = -1};
    FV_TRY(layer_kinds[kind].parse(l, input, layer));
    FV_TRY(require_moderate(&layer->output));
    snprintf(layer->name, sizeof layer->name, "%.10s%d", l->keyword, ++count[layer->op.kind]);
    ++network->layer_count;
    return FV_OK;
}

/* Lays out the parameters that a role of the layers' forward passes calls for. */
static fv_status add_parameters(fv_network *network, fv_role role, const char *suffix) {
    for (int i = 0; i < network->layer_count; ++i) {
        fv_layer *layer = &network->layers[i];
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(&layer->op, FV_FORWARD, specs);
        for (int j = 0; j < count; ++j) {
            if (specs[j].role != role)
                continue;
            fv_parameter *p = &network->parameters[network->parameter_count];
            *p = (fv_parameter){.shape = specs[j].shape,
                                .offset = network->parameter_end,
                                .elements = fv_shape_elements(&specs[j].shape),
                                .fan_in = fv_op_info_of(layer->op.kind)->reduction(&layer->op, FV_FORWARD, FV_Y)};
            if (layer->op.kind == FV_CONV2D ? layer->op.conv2d.bias : layer->op.linear.bias)
                --p->fan_in; /* the bias counts as a term of the sum, but not as an input */
            snprintf(p->name, sizeof p->name, "%s.%s", layer->name, suffix);
            *(role == FV_W ? &layer->weight : &layer->bias) = network->parameter_count++;
            if (!fv_checked_add(network->parameter_end, p->elements, &network->parameter_end) ||
                network->parameter_end > (int64_t)1 << 58)
                return fv_fail(FV_BAD_INPUT, "network line %d: more than 2^58 parameters", layer->line);
            network->parameter_end = fv_round_up(network->parameter_end, FV_PARAMETER_ALIGN);
        }
    }
    return FV_OK;
}

static fv_status parse_lines(const char *text, fv_network *network) {
    line l = {0};
    int count[FV_KINDS] = {0};
    bool found;
    for (bool first = true;; first = false) {
        FV_TRY(next_line(&text, &l, &found));
        if (!found && first)
            return fv_fail(FV_BAD_INPUT, "network: empty: expected 'input HEIGHTxWIDTHxCHANNELS' first");
        if (!found)
            break;
        const fv_status status = first ? parse_input(&l, network) : add_layer(network, &l, count);
        if (status != FV_OK)
            return fv_fail_within(status, "network line %d", l.number);
    }
    if (network->layer_count == 0)
        return fv_fail(FV_BAD_INPUT, "network: no layer behind its input line");
    network->parameters = calloc(2 * (size_t)network->layer_count, sizeof *network->parameters);
    if (!network->parameters)
        return fv_fail(FV_NO_MEMORY, "no memory for a network");
    FV_TRY(add_parameters(network, FV_W, "weight"));
    network->weights_end = network->parameter_end;
    return add_parameters(network, FV_B, "bias");
}

fv_status fv_network_parse(const char *text, fv_network **network) {
    *network = NULL;
    fv_network *parsed = calloc(1, sizeof *parsed);
    if (parsed)
        parsed->text = strdup(text);
    if (!parsed || !parsed->text) {
        fv_network_destroy(parsed);
        return fv_fail(FV_NO_MEMORY, "no memory for a network");
    }
    const fv_status status = parse_lines(text, parsed);
    if (status == FV_OK)
        *network = parsed;
    else
        fv_network_destroy(parsed);
    return status;
}

void fv_network_destroy(fv_network *network) {
    if (!network)
        return;
    free(network->text);
    free(network->layers);
    free(network->parameters);
    free(network);
}

const char *fv_network_text(const fv_network *network) {
    return network->text;
}

fv_shape fv_network_input(const fv_network *network) {
    return network->input;
}

int64_t fv_network_classes(const fv_network *network) {
    return fv_shape_elements(&network->layers[network->layer_count - 1].output);
}

int64_t fv_network_parameters(const fv_network *network) {
    int64_t count = 0;
    for (int i = 0; i < network->parameter_count; ++i)
        count += network->parameters[i].elements;
    return count;
}

fv_operation fv_layer_operation(const fv_layer *layer, int64_t n) {
    fv_operation op = layer->op;
    switch (op.kind) {
    case FV_CONV2D:
    case FV_MAXPOOL:
        op.window.n = n;
        break;
    case FV_LINEAR:
        op.linear.n = n;
        break;
    default:
        op.relu.elements *= n;
    }
    return op;
}
