/* benchdnn's descriptors: letters and numbers in any order, such as "g2mb1_ic64oc64_ih56oh28kh3sh2ph1_n\"name\"".
 *
 * What is left out is found axis by axis, first depth, then height, then width, from what is given of the axis:
 *   output absent   padding is 0 unless given; output = (input + 2*padding - span) / stride + 1
 *   output given    padding = ((output - 1)*stride + span - input) / 2 unless given
 * with span = (kernel - 1)*(dilation + 1) + 1: dilation 0 is dense. A deconvolution leads from the output of such an
 * axis to its input, which are called the other way round. Divisions round towards zero. Then the last absent
 * axes are copied from the one before, and what is absent in front of the first one is 1 pixel. The padding behind an
 * axis is whatever makes the output come out. ic and oc count the channels of all groups. */
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "cases/benchdnn.h"
#include "cases/lines.h"

enum { DEPTH, HEIGHT, WIDTH, AXES };

/* benchdnn's letters: i, o, k, s, p, d. */
typedef struct extent {
    int64_t input, output, kernel, stride, padding, dilation;
} extent;

typedef struct descriptor {
    int64_t g, mb, ic, oc;
    extent axis[AXES];
} descriptor;

enum {
    CONV = 1 << FV_BENCHDNN_CONV | 1 << FV_BENCHDNN_DECONV,
    POOL = 1 << FV_BENCHDNN_POOL,
    IP = 1 << FV_BENCHDNN_IP,
    WINDOW = CONV | POOL
};

/* clang-format off */
#define AXIS(letter, member, drivers) \
    {#letter "d", offsetof(descriptor, axis[DEPTH].member), drivers}, \
    {#letter "h", offsetof(descriptor, axis[HEIGHT].member), drivers}, \
    {#letter "w", offsetof(descriptor, axis[WIDTH].member), drivers}
/* clang-format on */

static const struct {
    const char *name;
    size_t offset;
    unsigned drivers; /* those whose descriptors have it */
} entries[] = {
    {"g", offsetof(descriptor, g), CONV},
    {"mb", offsetof(descriptor, mb), WINDOW | IP},
    {"ic", offsetof(descriptor, ic), WINDOW | IP},
    {"oc", offsetof(descriptor, oc), CONV | IP},
    AXIS(i, input, WINDOW | IP),
    AXIS(o, output, WINDOW),
    AXIS(k, kernel, WINDOW),
    AXIS(s, stride, WINDOW),
    AXIS(p, padding, WINDOW),
    AXIS(d, dilation, WINDOW),
};

/* Reads one letter and its number, of any of the drivers; -1 if there is none. */
static int read_entry(unsigned drivers, const char **text, int64_t *value) {
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; ++i) {
        const size_t length = strlen(entries[i].name);
        const char *number = *text + length;
        if (entries[i].drivers & drivers && !strncmp(*text, entries[i].name, length) &&
            fv_read_extent(&number, value)) {
            *text = number;
            return (int)i;
        }
    }
    return -1;
}

bool fv_benchdnn_is_descriptor(const char *word) {
    int64_t value;
    return read_entry(WINDOW | IP, &word, &value) >= 0;
}

static fv_status read_entries(unsigned driver, const char *text, descriptor *d) {
    *d = (descriptor){.g = 1, .mb = 2};
    for (int i = 0; i < AXES; ++i)
        d->axis[i] = (extent){.stride = 1, .padding = -1};
    const char *p = text;
    while (*p && *p != 'n') { /* the name takes the rest */
        int64_t value;
        const int entry = read_entry(driver, &p, &value);
        if (entry < 0)
            return fv_fail(FV_BAD_INPUT,
                           "'%.80s': expected letters with numbers, such as ic64ih56oc64kh3ph1, from '%.40s' on", text,
                           p);
        memcpy((char *)d + entries[entry].offset, &value, sizeof value);
        p += *p == '_';
    }
    return FV_OK;
}

/* Beyond 2^31 products of two extents could overflow, and no window takes them. */
static bool is_too_large(const descriptor *d) {
    for (int i = 0; i < AXES; ++i) {
        const extent *e = &d->axis[i];
        if (fv_max(fv_max(e->input, e->output), fv_max(e->kernel, e->stride)) > INT32_MAX ||
            fv_max(e->padding, e->dilation) > INT32_MAX)
            return true;
    }
    return fv_max(fv_max(d->g, d->mb), fv_max(d->ic, d->oc)) >= FV_TOO_LARGE;
}

static int64_t span(const extent *e) {
    return (e->kernel - 1) * (e->dilation + 1) + 1;
}

/* Nothing is said of this axis. A pooling's dilation may be said all the same. */
static bool is_absent(fv_benchdnn_driver driver, const extent *e) {
    const bool dilated = driver != FV_BENCHDNN_POOL && e->dilation != 0;
    return !e->input && !e->kernel && !e->output && !dilated && e->stride == 1 && e->padding < 1;
}

/* Finds the output or the padding of an axis. */
static fv_status deduce(fv_benchdnn_driver driver, const char *text, char letter, extent *e) {
    const bool deconv = driver == FV_BENCHDNN_DECONV;
    if (e->input < 1 || e->kernel < 1 || e->stride < 1)
        return fv_fail(FV_BAD_INPUT, "'%.80s': expected i%c, k%c and s%c of at least 1", text, letter, letter, letter);
    if (e->output) {
        if (e->padding < 0)
            e->padding = (deconv ? (e->input - 1) * e->stride - e->output + span(e)
                                 : (e->output - 1) * e->stride - e->input + span(e)) /
                         2;
        return FV_OK;
    }
    e->padding = fv_max(e->padding, 0);
    e->output = deconv ? (e->input - 1) * e->stride + span(e) - 2 * e->padding
                       : (e->input - span(e) + 2 * e->padding) / e->stride + 1;
    if (e->output < 1)
        return fv_fail(FV_BAD_INPUT, "'%.80s': i%c, k%c and p%c leave no output", text, letter, letter, letter);
    return FV_OK;
}

/* Fills in the axes that are not given. */
static fv_status spread(const char *text, descriptor *d, const bool given[AXES]) {
    static const extent one = {1, 1, 1, 1, 0, 0};
    extent *axis = d->axis;
    if (given[DEPTH] && given[HEIGHT] != given[WIDTH])
        return fv_fail(FV_BAD_INPUT, "'%.80s': expected height and width beside the depth, or neither", text);
    if (given[DEPTH] && !given[HEIGHT])
        axis[HEIGHT] = axis[WIDTH] = axis[DEPTH];
    else if (!given[WIDTH])
        axis[WIDTH] = given[HEIGHT] ? axis[HEIGHT] : one;
    if (!given[DEPTH])
        axis[DEPTH] = one;
    if (!given[DEPTH] && !given[HEIGHT])
        axis[HEIGHT] = one;
    return FV_OK;
}

/* One axis as Fovea sees it; false if its padding cannot be said. What a deconvolution's output is larger than without
 * padding behind is *output_pad. */
static bool fit(fv_benchdnn_driver driver, const extent *e, fv_axis *axis, int64_t *output_pad) {
    *axis = (fv_axis){.input = e->input,
                      .filter = e->kernel,
                      .stride = e->stride,
                      .pad_before = e->padding,
                      .dilation = e->dilation + 1};
    *output_pad = 0;
    if (driver != FV_BENCHDNN_DECONV)
        return fv_axis_fit(axis, e->output);
    const int64_t behind = (e->input - 1) * e->stride + span(e) - e->padding - e->output;
    axis->pad_after = fv_max(behind, 0);
    *output_pad = fv_max(-behind, 0);
    return e->padding >= 0 && *output_pad < e->stride;
}

static fv_status window(fv_benchdnn_driver driver, const char *text, descriptor *d, fv_operation *op,
                        const char **reason) {
    bool given[AXES];
    for (int i = 0; i < AXES; ++i) {
        extent *axis = &d->axis[i];
        given[i] = !is_absent(driver, axis);
        if (given[i])
            FV_TRY(deduce(driver, text, "dhw"[i], axis));
    }
    if (!given[DEPTH] && !given[HEIGHT] && !given[WIDTH])
        return fv_fail(FV_BAD_INPUT, "'%.80s': expected an image and a window, such as ih56kh3", text);
    FV_TRY(spread(text, d, given));
    const extent *depth = &d->axis[DEPTH];
    if (depth->input != 1 || depth->kernel != 1 || depth->output != 1 || depth->padding != 0) {
        *reason = "it is three-dimensional";
        return FV_OK;
    }
    fv_axis h, w;
    int64_t output_pad[2];
    if (!fit(driver, &d->axis[HEIGHT], &h, &output_pad[0]) || !fit(driver, &d->axis[WIDTH], &w, &output_pad[1])) {
        *reason = "its padding is negative";
        return FV_OK;
    }
    op->window = (fv_window2d){
        .n = d->mb,
        .c = d->ic,
        .h = h.input,
        .w = w.input,
        .r = h.filter,
        .s = w.filter,
        .stride_h = h.stride,
        .stride_w = w.stride,
        .pad_top = h.pad_before,
        .pad_bottom = h.pad_after,
        .pad_left = w.pad_before,
        .pad_right = w.pad_after,
        .dilation_h = h.dilation,
        .dilation_w = w.dilation,
    };
    if (driver == FV_BENCHDNN_DECONV) {
        op->transposed.output_pad_h = output_pad[0];
        op->transposed.output_pad_w = output_pad[1];
    }
    return FV_OK;
}

static fv_status inner_product(const char *text, descriptor *d, fv_operation *op) {
    bool given[AXES];
    for (int i = 0; i < AXES; ++i)
        given[i] = d->axis[i].input != 0;
    FV_TRY(spread(text, d, given));
    int64_t c = d->ic;
    for (int i = 0; i < AXES; ++i)
        if (!fv_checked_mul(c, d->axis[i].input, &c))
            return fv_fail(FV_BAD_INPUT, "'%.80s': one row of the input exceeds 2^63 elements", text);
    op->linear = (fv_linear){.n = d->mb, .c = c, .k = d->oc, .dtype = FV_F32};
    return FV_OK;
}

fv_status fv_benchdnn_descriptor(fv_benchdnn_driver driver, const char *text, fv_operation *op, const char **reason) {
    descriptor d;
    *reason = NULL;
    FV_TRY(read_entries(1u << driver, text, &d));
    if (d.ic < 1 || d.g < 1)
        return fv_fail(FV_BAD_INPUT, "'%.80s': expected ic and g of at least 1", text);
    if (driver != FV_BENCHDNN_POOL && d.oc < 1)
        return fv_fail(FV_BAD_INPUT,
                       "'%.80s': expected oc of at least 1 (a pooling without one wants --pool before it)", text);
    if (is_too_large(&d)) {
        *reason = "an extent of it is too large";
        return FV_OK;
    }
    *op = (fv_operation){0};
    switch (driver) {
    case FV_BENCHDNN_CONV:
        op->kind = FV_CONV2D;
        FV_TRY(window(driver, text, &d, op, reason));
        op->conv2d.k = d.oc;
        op->conv2d.groups = d.g;
        op->conv2d.dtype = FV_F32;
        break;
    case FV_BENCHDNN_DECONV:
        op->kind = FV_TRANSPOSED;
        FV_TRY(window(driver, text, &d, op, reason));
        op->transposed.k = d.oc;
        op->transposed.groups = d.g;
        op->transposed.dtype = FV_F32;
        break;
    case FV_BENCHDNN_POOL:
        op->kind = FV_MAXPOOL;
        FV_TRY(window(driver, text, &d, op, reason));
        op->maxpool.dtype = FV_F32;
        break;
    default:
        op->kind = FV_LINEAR;
        FV_TRY(inner_product(text, &d, op));
        break;
    }
    return *reason ? FV_OK : fv_operation_validate(op);
}
