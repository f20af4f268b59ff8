/* MIOpenDriver commands: "MIOpenDriver conv -n 128 -c 3 ..." and "MIOpenDriver pool -W 100x3x32x32 ...". Each option
 * has a letter and a long name, and always a value behind it.
 *
 * convfp16 and convbfp16 are read as conv: a case is run in every dtype that it has kernels in.
 *
 * Mind: conv's -u is the vertical stride and -v the horizontal one, pool's the other way round. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "cases/lines.h"

/* What a command says. */
typedef struct command {
    int64_t n, c, h, w, k, r, s, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, groups, bias, forw, dims,
        output_pad_h, output_pad_w;
    const char *mode, *pad_mode, *input, *output, *doutput, *in_type, *out_type, *filter_type;
} command;

/* MIOpen's defaults, but for the mode, which conv and pool have of their own. */
static const command defaults = {
    .n = 100,
    .c = 3,
    .h = 32,
    .w = 32,
    .k = 32,
    .r = 3,
    .s = 3,
    .stride_h = 1,
    .stride_w = 1,
    .dilation_h = 1,
    .dilation_w = 1,
    .groups = 1,
    .dims = 2,
    .pad_mode = "default",
    .in_type = "-1",
    .out_type = "-1",
    .filter_type = "-1",
};

typedef enum kind { NUMBER, TEXT, UNUSED } kind;

typedef struct flag {
    char letter;
    const char *name;
    kind kind;
    size_t offset; /* within command */
} flag;

#define AT(member) offsetof(command, member)

static const flag conv_flags[] = {
    {'n', "batchsize", NUMBER, AT(n)},
    {'c', "in_channels", NUMBER, AT(c)},
    {'H', "in_h", NUMBER, AT(h)},
    {'W', "in_w", NUMBER, AT(w)},
    {'k', "out_channels", NUMBER, AT(k)},
    {'y', "fil_h", NUMBER, AT(r)},
    {'x', "fil_w", NUMBER, AT(s)},
    {'u', "conv_stride_h", NUMBER, AT(stride_h)},
    {'v', "conv_stride_w", NUMBER, AT(stride_w)},
    {'p', "pad_h", NUMBER, AT(pad_h)},
    {'q', "pad_w", NUMBER, AT(pad_w)},
    {'l', "dilation_h", NUMBER, AT(dilation_h)},
    {'j', "dilation_w", NUMBER, AT(dilation_w)},
    {'g', "group_count", NUMBER, AT(groups)},
    {'b', "bias", NUMBER, AT(bias)},
    {'Y', "trans_output_pad_h", NUMBER, AT(output_pad_h)},
    {'X', "trans_output_pad_w", NUMBER, AT(output_pad_w)},
    {'F', "forw", NUMBER, AT(forw)},
    {'_', "spatial_dim", NUMBER, AT(dims)},
    {'m', "mode", TEXT, AT(mode)},
    {'z', "pad_mode", TEXT, AT(pad_mode)},
    {'U', "in_cast_type", TEXT, AT(in_type)},
    {'T', "out_cast_type", TEXT, AT(out_type)},
    {'R', "wei_cast_type", TEXT, AT(filter_type)},
    /* depth, of three-dimensional convolutions */
    {'!', "in_d", UNUSED, 0},
    {'@', "fil_d", UNUSED, 0},
    {'#', "conv_stride_d", UNUSED, 0},
    {'$', "pad_d", UNUSED, 0},
    {'^', "dilation_d", UNUSED, 0},
    {'%', "trans_output_pad_d", UNUSED, 0},
    /* layout, data, choice of implementation, measurement */
    {'I', "in_layout", UNUSED, 0},
    {'O', "out_layout", UNUSED, 0},
    {'f', "fil_layout", UNUSED, 0},
    {'Z', "tensor_vect", UNUSED, 0},
    {'L', "vector_length", UNUSED, 0},
    {'r', "pad_val", UNUSED, 0},
    {'d', "in_data", UNUSED, 0},
    {'e', "weights", UNUSED, 0},
    {'a', "in_bias", UNUSED, 0},
    {'D', "dout_data", UNUSED, 0},
    {'S', "solution", UNUSED, 0},
    {'s', "search", UNUSED, 0},
    {'G', "gpualloc", UNUSED, 0},
    {'i', "iter", UNUSED, 0},
    {'V', "verify", UNUSED, 0},
    {'C', "verification_cache", UNUSED, 0},
    {'t', "time", UNUSED, 0},
    {'w', "wall", UNUSED, 0},
    {'P', "printconv", UNUSED, 0},
    {'o', "dump_output", UNUSED, 0},
};

/* Until 2021 the input's extents were -n, -c, -H and -W; since then -W and -H are tensors, NxCxHxW: the input and the
 * output's gradient. Their values tell which. */
static const flag pool_flags[] = {
    {'W', "input", TEXT, AT(input)},
    {'O', "output", TEXT, AT(output)},
    {'H', "doutput", TEXT, AT(doutput)},
    {'n', "batchsize", NUMBER, AT(n)},
    {'c', "in_channels", NUMBER, AT(c)},
    {'y', "win_h", NUMBER, AT(r)},
    {'x', "win_w", NUMBER, AT(s)},
    {'v', "pool_stride_h", NUMBER, AT(stride_h)},
    {'u', "pool_stride_w", NUMBER, AT(stride_w)},
    {'p', "pad_h", NUMBER, AT(pad_h)},
    {'q', "pad_w", NUMBER, AT(pad_w)},
    {'F', "forw", NUMBER, AT(forw)},
    {'d', "spatial_dim", NUMBER, AT(dims)},
    {'m', "mode", TEXT, AT(mode)},
    {'z', "pad_mode", TEXT, AT(pad_mode)},
    {'\0', "in_h", NUMBER, AT(h)},
    {'\0', "in_w", NUMBER, AT(w)},
    /* depth, of three-dimensional poolings */
    {'\0', "in_d", UNUSED, 0},
    {'Z', "win_d", UNUSED, 0},
    {'s', "pool_stride_d", UNUSED, 0},
    {'o', "pad_d", UNUSED, 0},
    /* layout, data, measurement */
    {'D', "dinput", UNUSED, 0},
    {'r', "pad_val", UNUSED, 0},
    {'M', "index_position", UNUSED, 0},
    {'I', "index_type", UNUSED, 0},
    {'i', "iter", UNUSED, 0},
    {'V', "verify", UNUSED, 0},
    {'t', "time", UNUSED, 0},
    {'w', "wall", UNUSED, 0},
    {'P', "print", UNUSED, 0},
    {'j', "in_data", UNUSED, 0},
    {'k', "out_data", UNUSED, 0},
    {'l', "dump_root", UNUSED, 0},
};

/* The program's name, at the end of a word; NULL if the line has none. */
static const char *program(const char *line) {
    static const char name[] = "MIOpenDriver";
    const char *at = strstr(line, name);
    while (at && at[sizeof name - 1] && at[sizeof name - 1] != ' ' && at[sizeof name - 1] != '\t')
        at = strstr(at + 1, name);
    return at ? at + sizeof name - 1 : NULL;
}

bool fv_miopen_recognises(const char *line) {
    return program(line) != NULL;
}

static bool read_integer(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    const long long parsed = strtoll(text, &end, 10);
    *value = parsed;
    return end != text && !*end && !errno && parsed >= -INT32_MAX && parsed <= INT32_MAX;
}

static fv_status read_flags(const flag *flags, size_t count, char *words, command *c) {
    for (char *word; (word = fv_cut_word(&words));) {
        size_t i = 0;
        if (!strncmp(word, "--", 2))
            while (i < count && strcmp(flags[i].name, word + 2) != 0)
                ++i;
        else
            while (i < count && !(word[0] == '-' && word[1] && word[1] == flags[i].letter && !word[2]))
                ++i;
        if (i == count)
            return fv_fail(FV_BAD_INPUT, "'%.40s' is not a known option of MIOpenDriver", word);
        const char *value = fv_cut_word(&words);
        if (!value)
            return fv_fail(FV_BAD_INPUT, "%s (--%s): expected a value behind it", word, flags[i].name);
        void *place = (char *)c + flags[i].offset;
        if (flags[i].kind == TEXT)
            memcpy(place, &value, sizeof value);
        else if (flags[i].kind == NUMBER && !read_integer(value, place))
            return fv_fail(FV_BAD_INPUT, "%s %.40s (--%s): expected a whole number", word, value, flags[i].name);
    }
    return FV_OK;
}

/* The first part of "NxCxHxW,LAYOUT"; returns the number of extents, 0 if it is not of this form. */
static int read_tensor(const char *text, int64_t extents[5]) {
    for (int count = 1;; ++count, ++text) {
        if (count > 5 || !fv_read_extent(&text, &extents[count - 1]))
            return 0;
        if (*text == '\0' || *text == ',')
            return count;
        if (*text != 'x')
            return 0;
    }
}

/* conv's idea of pad_mode=same: half of what the filter, or the filter less the last stride's rest, overhangs. */
static int64_t same_padding(int64_t input, int64_t filter, int64_t stride) {
    const int64_t rest = input % stride;
    return fv_max(filter - (rest ? rest : stride), 0) / 2;
}

static fv_status set_conv(const command *c, fv_operation *op, const char **reason) {
    static const char *const none = "-1";
    const bool transposed = !strcmp(c->mode, "trans");
    if (!transposed && strcmp(c->mode, "conv") != 0)
        return fv_fail(FV_BAD_INPUT, "-m %.40s: expected conv or trans", c->mode);
    if (transposed && strcmp(c->pad_mode, "default") != 0)
        *reason = "-m trans and -z, a transposed convolution that finds its padding";
    else if (strcmp(c->in_type, none) != 0 || strcmp(c->out_type, none) != 0 || strcmp(c->filter_type, none) != 0)
        *reason = "a cast of its tensors to another type";
    if (c->forw < 0 || c->forw > 7)
        return fv_fail(FV_BAD_INPUT, "-F %" PRId64 ": expected 0 to 7", c->forw);
    int64_t pad_h = c->pad_h, pad_w = c->pad_w;
    const bool dense = (c->dilation_h == 1 && c->dilation_w == 1) || (c->r == 1 && c->s == 1);
    if (!strcmp(c->pad_mode, "valid") && dense) {
        pad_h = pad_w = 0;
    } else if (!strcmp(c->pad_mode, "same") && dense && c->stride_h > 0 && c->stride_w > 0) {
        pad_h = same_padding(c->h, c->r, c->stride_h);
        pad_w = same_padding(c->w, c->s, c->stride_w);
    }
    const int64_t groups = fv_max(c->groups, 1), bias = c->bias != 0;
    *op = (fv_operation){.kind = transposed ? FV_TRANSPOSED : FV_CONV2D};
    op->window = (fv_window2d){
        .n = c->n,
        .c = c->c,
        .h = c->h,
        .w = c->w,
        .r = c->r,
        .s = c->s,
        .stride_h = c->stride_h,
        .stride_w = c->stride_w,
        .pad_top = pad_h,
        .pad_bottom = pad_h,
        .pad_left = pad_w,
        .pad_right = pad_w,
        .dilation_h = c->dilation_h,
        .dilation_w = c->dilation_w,
    };
    if (transposed) {
        op->transposed.output_pad_h = c->output_pad_h;
        op->transposed.output_pad_w = c->output_pad_w;
        op->transposed.k = c->k;
        op->transposed.groups = groups;
        op->transposed.bias = bias;
    } else {
        op->conv2d.k = c->k;
        op->conv2d.groups = groups;
        op->conv2d.bias = bias;
    }
    fv_operation_set_dtype(op, FV_F32);
    return FV_OK;
}

/* One axis of a pooling: its output by MIOpen's rules, and the padding behind it that gives this output. */
static bool fit_pooling(const char *pad_mode, fv_axis *axis) {
    axis->pad_after = axis->pad_before;
    if (!strcmp(pad_mode, "default") || axis->stride < 1 || axis->filter < 1)
        return true;
    const int64_t reach = strcmp(pad_mode, "same") ? axis->input - axis->filter + 1 : axis->input;
    return fv_axis_fit(axis, fv_max((reach + axis->stride - 1) / axis->stride, 1));
}

/* -W and -H, tensors or numbers. */
static fv_status read_extents(command *c, const char **reason) {
    int64_t extents[5];
    if (c->input) {
        const int rank = read_tensor(c->input, extents);
        if (rank == 5)
            *reason = "a three-dimensional image";
        if (rank == 1)
            c->w = extents[0];
        else if (rank == 4)
            c->n = extents[0], c->c = extents[1], c->h = extents[2], c->w = extents[3];
        else if (rank != 5)
            return fv_fail(FV_BAD_INPUT, "-W %.40s: expected NxCxHxW or a whole number", c->input);
    }
    if (c->doutput) {
        const int rank = read_tensor(c->doutput, extents);
        if (rank == 1)
            c->h = extents[0];
        else if (rank < 4)
            return fv_fail(FV_BAD_INPUT, "-H %.40s: expected NxCxHxW or a whole number", c->doutput);
    }
    return FV_OK;
}

static fv_status set_pool(command *c, fv_operation *op, const char **reason) {
    const bool average = !strcmp(c->mode, "avg"), padded_average = !strcmp(c->mode, "avg_in");
    if (!average && !padded_average && strcmp(c->mode, "max") != 0)
        return fv_fail(FV_BAD_INPUT, "-m %.40s: expected max, avg or avg_in", c->mode);
    FV_TRY(read_extents(c, reason));
    fv_axis h = {c->h, c->r, c->stride_h, c->pad_h, 0, 1, 0}, w = {c->w, c->s, c->stride_w, c->pad_w, 0, 1, 0};
    if (!fit_pooling(c->pad_mode, &h) || !fit_pooling(c->pad_mode, &w))
        *reason = "-z with negative padding";
    *op = (fv_operation){.kind = average || padded_average ? FV_AVGPOOL : FV_MAXPOOL};
    op->pool = (fv_pool2d){
        .n = c->n,
        .c = c->c,
        .h = c->h,
        .w = c->w,
        .r = c->r,
        .s = c->s,
        .stride_h = c->stride_h,
        .stride_w = c->stride_w,
        .pad_top = h.pad_before,
        .pad_bottom = h.pad_after,
        .pad_left = w.pad_before,
        .pad_right = w.pad_after,
        .dilation_h = 1,
        .dilation_w = 1,
    };
    if (op->kind == FV_AVGPOOL)
        op->avgpool.include_pad = padded_average;
    fv_operation_set_dtype(op, FV_F32);
    return FV_OK;
}

/* An output tensor that is not the one that the window gives would make another operation. */
static fv_status check_output(const command *c, const fv_operation *op) {
    int64_t extents[5];
    if (!c->output)
        return FV_OK;
    const int64_t p = fv_pool_p(&op->pool), q = fv_pool_q(&op->pool);
    if (read_tensor(c->output, extents) != 4 || extents[0] != c->n || extents[1] != c->c || extents[2] != p ||
        extents[3] != q)
        return fv_fail(FV_BAD_INPUT,
                       "-O %.40s: expected %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 ", the window's output",
                       c->output, c->n, c->c, p, q);
    return FV_OK;
}

/* conv's -F is a bit set. pool goes forward if its lowest bit is set, and backward unless it is 1. */
static unsigned passes(bool is_conv, int64_t forw) {
    if (forw == 0)
        return is_conv ? FV_ALL_PASSES : 1 << FV_FORWARD | 1 << FV_BACKWARD_DATA;
    if (is_conv)
        return (unsigned)forw;
    return (forw & 1 ? 1u << FV_FORWARD : 0u) | (forw != 1 ? 1u << FV_BACKWARD_DATA : 0u);
}
_Static_assert(1 << FV_FORWARD == 1 && 1 << FV_BACKWARD_DATA == 2 && 1 << FV_BACKWARD_WEIGHTS == 4,
               "conv's -F has the bits of fv_pass");

static fv_status read_command(const fv_place *place, char *words, fv_case_list *list) {
    const char *operation = fv_cut_word(&words);
    if (!operation)
        return fv_fail(FV_BAD_INPUT, "MIOpenDriver: expected an operation behind it, such as conv");
    const bool is_conv =
        !strcmp(operation, "conv") || !strcmp(operation, "convfp16") || !strcmp(operation, "convbfp16");
    const bool is_pool = !strcmp(operation, "pool");
    char why[160] = "";
    if (!is_conv && !is_pool) {
        snprintf(why, sizeof why, "Fovea has no counterpart to MIOpenDriver %.40s", operation);
        fv_cases_leave_out(list, place, why);
        return FV_OK;
    }
    command c = defaults;
    c.mode = is_conv ? "conv" : "max";
    if (is_conv)
        FV_TRY(read_flags(conv_flags, sizeof conv_flags / sizeof conv_flags[0], words, &c));
    else
        FV_TRY(read_flags(pool_flags, sizeof pool_flags / sizeof pool_flags[0], words, &c));
    if (strcmp(c.pad_mode, "default") != 0 && strcmp(c.pad_mode, "same") != 0 && strcmp(c.pad_mode, "valid") != 0)
        return fv_fail(FV_BAD_INPUT, "-z %.40s: expected same, valid or default", c.pad_mode);
    fv_operation op = {0};
    const char *reason = c.dims == 2 ? NULL : "other than two spatial dimensions";
    FV_TRY(is_conv ? set_conv(&c, &op, &reason) : set_pool(&c, &op, &reason));
    if (reason) {
        snprintf(why, sizeof why, "Fovea has no MIOpenDriver %s with %s", operation, reason);
        fv_cases_leave_out(list, place, why);
        return FV_OK;
    }
    FV_TRY(fv_operation_validate(&op));
    if (is_pool)
        FV_TRY(check_output(&c, &op));
    return fv_cases_add(list, &op, passes(is_conv, c.forw));
}

fv_status fv_miopen_line(const fv_place *place, const char *line, fv_case_list *list) {
    const char *arguments = program(line);
    char *words = strdup(arguments ? arguments : "");
    if (!words)
        return fv_fail(FV_NO_MEMORY, "no memory for a line");
    const fv_status status = read_command(place, words, list);
    free(words);
    return status;
}
