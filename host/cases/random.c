/* Random cases at the corners of the descriptors.
 *
 * A case is drawn field by field from lists that favour corners and drawn again until it is valid and small enough for
 * the emulator. Only integers decide, and reals come from lists, so that a seed means the same cases on every machine.
 * A change to any draw changes the cases of every seed. */
#include <stdbool.h>

#include "base/checked.h"
#include "base/random.h"
#include "cases/cases.h"
#include "ops/op.h"

enum {
    /* Limits that most cases keep; all keep LARGE_TIMES as much. */
    MOST_MACS = 300000,           /* multiply-accumulates, or places looked at, of all passes together */
    MOST_ELEMENTS = 100000,       /* of any tensor */
    MOST_TILE_PRODUCTS = 2000000, /* what a filter gradient in whole tiles of 32 x 32 x 16 multiplies */
    MOST_TURNS = 250,             /* of the blocks of a kernel that must have that many */
    LARGE_TIMES = 10,
    LARGE_PERCENT = 2,
    BLIND_PERCENT = 10, /* of the windows that never meet the image, how many are kept */
};

/* The random numbers of one case, one after the other. Each is drawn in a statement of its own, or on one side of a
 * sequence point: C does not order the expressions of an initialiser, compilers differ. */
typedef struct draw {
    uint64_t seed, index, next;
    bool large; /* the case may be LARGE_TIMES larger than most */
} draw;

static int64_t below(draw *d, int64_t limit) {
    return fv_random_below(d->seed, d->index, d->next++, (uint32_t)limit);
}

static bool chance(draw *d, int percent) {
    return below(d, 100) < percent;
}

static int64_t pick(draw *d, const int64_t *values, size_t count) {
    return values[below(d, (int64_t)count)];
}

static double pick_real(draw *d, const double *values, size_t count) {
    return values[below(d, (int64_t)count)];
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define PICK(d, ...) pick(d, (const int64_t[]){__VA_ARGS__}, COUNT(((const int64_t[]){__VA_ARGS__})))
#define PICK_REAL(d, ...) pick_real(d, (const double[]){__VA_ARGS__}, COUNT(((const double[]){__VA_ARGS__})))

/* An extent at or beside a power of two, where kernels pass from one tile, warp or block to the next. The first are the
 * likeliest: 1 comes one time in six, those above 100 together one time in 23. */
static int64_t extent(draw *d) {
    static const int64_t extents[] = {1,  2,  3,  4,  5,  7,   8,   9,   15,  16,  17, 31,
                                      32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257};
    return extents[below(d, below(d, (int64_t)COUNT(extents)) + 1)];
}

static int64_t batch_size(draw *d) {
    return chance(d, 2) ? 0 : chance(d, 50) ? 1 : extent(d);
}

static int64_t channels(draw *d) {
    return chance(d, 35) ? PICK(d, 1, 3, 17, 31, 33, 257) : extent(d);
}

/* ---- windows ---- */

/* Shares `total` pixels of padding out to both sides: evenly, anyhow, or all to one side. */
static void share_padding(draw *d, fv_axis *axis, int64_t total) {
    axis->pad_before = chance(d, 40) ? total / 2 : chance(d, 50) ? below(d, total + 1) : chance(d, 50) ? total : 0;
    axis->pad_after = total - axis->pad_before;
}

/* The corners of one axis. */
typedef enum corner {
    PLAIN,       /* anything */
    WHOLE,       /* the window is exactly as large as the padded image */
    LARGER,      /* the window is larger than the image and reaches into the padding */
    STEPPING,    /* stride > window: pixels that no window covers */
    WIDE_PADS,   /* padding >= window: windows wholly in the padding */
    SPREAD,      /* dilation >= image: taps that lie beyond the border whenever another lies within */
    FAR_SPREAD,  /* the same, so far that no window with its halo fits 48 KiB of shared memory */
    LONG,        /* a long image */
    LONG_WINDOW, /* a long window on an image that is little longer */
    POINT,       /* an image of one pixel */
} corner;

static corner draw_corner(draw *d) {
    static const int percent[] = {[PLAIN] = 45, [WHOLE] = 9,      [LARGER] = 9, [STEPPING] = 8,    [WIDE_PADS] = 9,
                                  [SPREAD] = 5, [FAR_SPREAD] = 4, [LONG] = 5,   [LONG_WINDOW] = 3, [POINT] = 3};
    int64_t rest = below(d, 100);
    corner at = PLAIN;
    while (rest >= percent[at])
        rest -= percent[at++];
    return at;
}

static fv_axis draw_axis(draw *d, corner at) {
    fv_axis axis = {0};
    axis.input = extent(d);
    axis.filter = PICK(d, 1, 1, 2, 2, 3, 3, 3, 4, 5, 6, 7);
    axis.stride = PICK(d, 1, 1, 1, 2, 2, 3, 4);
    axis.dilation = PICK(d, 1, 1, 1, 1, 2, 3, 4);
    share_padding(d, &axis, chance(d, 50) ? 0 : below(d, 2 * axis.filter));
    switch (at) {
    case PLAIN:
        axis.input = fv_max(axis.input, extent(d));
        break;
    case WHOLE:
        share_padding(d, &axis, chance(d, 50) ? 0 : below(d, fv_axis_span(&axis)));
        axis.input = fv_axis_span(&axis) - axis.pad_before - axis.pad_after;
        break;
    case LARGER:
        axis.filter = PICK(d, 2, 3, 4, 5, 7, 9);
        axis.input = 1 + below(d, fv_axis_span(&axis) - 1);
        share_padding(d, &axis, fv_axis_span(&axis) - axis.input + below(d, 4));
        break;
    case STEPPING:
        axis.stride = fv_axis_span(&axis) + 1 + below(d, 4);
        break;
    case WIDE_PADS:
        axis.input = PICK(d, 1, 2, 3, 4, 5, 7, 8, 9);
        axis.pad_before = chance(d, 70) ? fv_axis_span(&axis) + below(d, 3) : below(d, 3);
        axis.pad_after = chance(d, 70) ? fv_axis_span(&axis) + below(d, 3) : below(d, 3);
        break;
    case SPREAD:
    case FAR_SPREAD:
        axis.filter = PICK(d, 2, 3, 3, 4);
        axis.input = PICK(d, 1, 2, 3, 4, 5, 7, 8, 9);
        axis.dilation = at == SPREAD ? axis.input + below(d, 4) : PICK(d, 60, 64, 111, 128);
        share_padding(d, &axis, fv_axis_span(&axis) - axis.input + below(d, 9));
        break;
    case LONG:
        axis.input = PICK(d, 100, 127, 128, 129, 200, 255, 257, 300, 513, 1025);
        break;
    case LONG_WINDOW:
        axis.filter = PICK(d, 11, 16, 17, 20, 32, 33, 65);
        axis.dilation = 1;
        axis.input = axis.filter + below(d, 9);
        break;
    case POINT:
        axis.input = 1;
        axis.filter = PICK(d, 1, 1, 3);
        axis.dilation = 1;
        share_padding(d, &axis, axis.filter - 1 + below(d, 2));
        break;
    }
    return axis;
}

/* Both axes at the same corner, or each at its own. */
static void draw_window(draw *d, fv_window2d *window) {
    const corner at = draw_corner(d);
    const fv_axis v = draw_axis(d, at);
    const fv_axis h = chance(d, 25) ? v : draw_axis(d, chance(d, 50) ? at : draw_corner(d));
    window->n = batch_size(d);
    window->c = channels(d);
    window->h = v.input;
    window->w = h.input;
    window->r = v.filter;
    window->s = h.filter;
    window->stride_h = v.stride;
    window->stride_w = h.stride;
    window->pad_top = v.pad_before;
    window->pad_bottom = v.pad_after;
    window->pad_left = h.pad_before;
    window->pad_right = h.pad_after;
    window->dilation_h = v.dilation;
    window->dilation_w = h.dilation;
}

/* ---- operations ---- */

/* Enough of everything for the larger tiles, with a rest, and for sums over pixels that are split. */
static void draw_bulky(draw *d, fv_conv2d *conv) {
    conv->n = PICK(d, 1, 1, 2, 3);
    conv->c = PICK(d, 33, 35, 64, 65);
    conv->h = PICK(d, 15, 16, 17);
    conv->w = PICK(d, 17, 18, 31, 33);
    conv->k = PICK(d, 33, 35, 64, 65);
    conv->r = PICK(d, 1, 1, 2);
    conv->s = PICK(d, 1, 1, 2);
    conv->pad_left = below(d, 2);
    conv->bias = below(d, 2);
    conv->stride_h = conv->stride_w = conv->dilation_h = conv->dilation_w = conv->groups = 1;
}

static void draw_conv2d(draw *d, fv_operation *op) {
    fv_conv2d *conv = &op->conv2d;
    if (d->large && chance(d, 50)) {
        draw_bulky(d, conv);
        return;
    }
    draw_window(d, &op->window);
    conv->bias = below(d, 2);
    conv->groups = 1;
    conv->k = channels(d);
    if (chance(d, 55))
        return;
    conv->groups = chance(d, 50) ? channels(d) : PICK(d, 2, 3, 4, 5, 8, 17);
    switch (below(d, 4)) {
    case 0: /* depthwise */
        conv->c = conv->k = conv->groups;
        break;
    case 1: /* depthwise with a multiplier */
        conv->c = conv->groups;
        conv->k = conv->groups * PICK(d, 2, 3, 4, 5, 9, 33);
        break;
    case 2: /* one output channel from several */
        conv->c = conv->groups * PICK(d, 2, 3, 4, 5, 9, 33);
        conv->k = conv->groups;
        break;
    default:
        conv->c = conv->groups * extent(d);
        conv->k = conv->groups * extent(d);
        break;
    }
}

static void draw_maxpool(draw *d, fv_operation *op) {
    draw_window(d, &op->window);
    if (!chance(d, 12))
        return;
    /* About 256 positions, beyond which argmax is wide. */
    static const int64_t windows[][2] = {{16, 16}, {16, 17}, {17, 16}, {17, 17}, {1, 256},
                                         {1, 257}, {257, 1}, {20, 13}, {2, 129}, {33, 8}};
    const int64_t *window = windows[below(d, (int64_t)COUNT(windows))];
    fv_window2d *pool = &op->window;
    pool->c = PICK(d, 1, 2, 3, 5);
    pool->r = window[0];
    pool->s = window[1];
    pool->dilation_h = pool->dilation_w = 1;
    pool->h = pool->r + below(d, 5);
    pool->w = pool->s + below(d, 5);
}

static void draw_linear(draw *d, fv_operation *op) {
    fv_linear *linear = &op->linear;
    linear->n = batch_size(d);
    linear->c = extent(d);
    linear->k = extent(d);
    linear->bias = below(d, 2);
    if (!chance(d, 25))
        return;
    /* One extent beyond the list: a long sum in one of the passes, or results of more than 128 tiles. */
    int64_t *const beyond = chance(d, 33) ? &linear->n : chance(d, 50) ? &linear->c : &linear->k;
    *beyond = PICK(d, 800, 1000, 1024, 4097, 8191, 8193);
}

static int64_t element_count(draw *d) {
    return chance(d, 5) ? 0 : extent(d) * extent(d);
}

static void draw_relu(draw *d, fv_operation *op) {
    op->relu.elements = element_count(d);
}

static void draw_softmax_xent(draw *d, fv_operation *op) {
    op->softmax_xent.n = batch_size(d);
    op->softmax_xent.classes = chance(d, 10) ? PICK(d, 1000, 1023, 1024, 1025, 2048, 5000) : extent(d);
}

static void draw_batch(draw *d, fv_operation *op) {
    op->batch.n = batch_size(d);
    op->batch.items = chance(d, 15) ? 1 : extent(d);
    op->batch.elements = chance(d, 15) ? 784 : extent(d);
    op->batch.scale = PICK_REAL(d, 1, 0.5, -2, 0.0127286, 0.00392156862745098);
    op->batch.shift = PICK_REAL(d, 0, 1, -0.424213, -127.5);
}

/* None, all, or a part of the elements. */
static int64_t decayed_count(draw *d, int64_t elements) {
    return chance(d, 25) ? 0 : chance(d, 35) ? elements : below(d, elements + 1);
}

static void draw_sgd(draw *d, fv_operation *op) {
    op->sgd.elements = element_count(d);
    op->sgd.decayed = decayed_count(d, op->sgd.elements);
    op->sgd.momentum = PICK_REAL(d, 0, 0.5, 0.9, 0.99);
    op->sgd.weight_decay = PICK_REAL(d, 0, 0.0001, 0.01, 0.1, 1);
}

static void draw_adam(draw *d, fv_operation *op) {
    op->adam.elements = element_count(d);
    op->adam.decayed = decayed_count(d, op->adam.elements);
    op->adam.beta1 = PICK_REAL(d, 0, 0.5, 0.7, 0.9);
    op->adam.beta2 = PICK_REAL(d, 0, 0.9, 0.99, 0.999);
    op->adam.epsilon = PICK_REAL(d, 1e-8, 1e-6, 0.001, 1);
    op->adam.weight_decay = PICK_REAL(d, 0, 0.0001, 0.01, 0.1, 1);
}

/* ---- the choice ---- */

/* Convolution and pooling have the most corners. */
static const struct {
    int weight;
    void (*draw)(draw *d, fv_operation *op);
} families[FV_KINDS] = {
    [FV_CONV2D] = {50, draw_conv2d},
    [FV_MAXPOOL] = {20, draw_maxpool},
    [FV_LINEAR] = {10, draw_linear},
    [FV_RELU] = {4, draw_relu},
    [FV_SOFTMAX_XENT] = {4, draw_softmax_xent},
    [FV_BATCH] = {4, draw_batch},
    [FV_SGD] = {4, draw_sgd},
    [FV_ADAM] = {4, draw_adam},
};

static fv_kind draw_kind(draw *d, unsigned kinds) {
    int64_t weights = 0;
    for (int kind = 0; kind < FV_KINDS; ++kind)
        weights += kinds >> kind & 1 ? families[kind].weight : 0;
    int64_t rest = below(d, weights);
    int kind = 0;
    for (;; ++kind) {
        const int weight = kinds >> kind & 1 ? families[kind].weight : 0;
        if (rest < weight)
            return (fv_kind)kind;
        rest -= weight;
    }
}

/* Whether a tap of any window meets the image. */
static bool meets_image(const fv_axis *axis) {
    const int64_t outputs = fv_axis_output(axis);
    for (int64_t output = 0; output < outputs; ++output)
        for (int64_t tap = 0; tap < axis->filter; ++tap) {
            const int64_t pixel = output * axis->stride + tap * axis->dilation - axis->pad_before;
            if (pixel >= 0 && pixel < axis->input)
                return true;
        }
    return false;
}

/* Whether the results can be anything but zeros, which prove little. */
static bool says_something(const fv_operation *op) {
    if (op->kind != FV_CONV2D && op->kind != FV_MAXPOOL)
        return true;
    const fv_axis v = fv_window_vertical(&op->window), h = fv_window_horizontal(&op->window);
    return meets_image(&v) && meets_image(&h);
}

/* The costs that the limits are about; every extent is small enough for these products. */
static int64_t places_looked_at(const fv_window2d *d, const fv_maxpool *pool) {
    return d->n * d->c * d->r * d->s * (fv_maxpool_p(pool) * fv_maxpool_q(pool) + d->h * d->w);
}

static int64_t tile_products(const fv_conv2d *d) {
    return d->groups * fv_round_up(d->k / d->groups, 32) * fv_round_up(d->r * d->s * d->c / d->groups, 32) *
           fv_round_up(fv_max(d->n, 1) * fv_conv2d_p(d) * fv_conv2d_q(d), 16);
}

/* Blocks of a gradient that is gathered by residues of the stride, times their turns over chunks of 16 channels. */
static int64_t block_turns(const fv_conv2d *d) {
    return d->n * d->groups * d->stride_h * d->stride_w * fv_round_up(d->k / d->groups, 16) / 16;
}

static bool small_enough(const fv_operation *op, int64_t times) {
    int64_t macs = op->kind == FV_MAXPOOL ? places_looked_at(&op->window, &op->maxpool) : 0;
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(op, pass, specs);
        for (int i = 0; i < count; ++i)
            if (fv_shape_elements(&specs[i].shape) > times * MOST_ELEMENTS)
                return false;
        macs += fv_operation_macs(op, pass);
    }
    if (op->kind == FV_CONV2D &&
        (tile_products(&op->conv2d) > times * MOST_TILE_PRODUCTS || block_turns(&op->conv2d) > times * MOST_TURNS))
        return false;
    return macs <= times * MOST_MACS;
}

fv_operation fv_random_case(uint64_t seed, uint64_t index, unsigned kinds) {
    const unsigned all = (1u << FV_KINDS) - 1;
    draw d = {seed, index, 0, false};
    const fv_kind kind = draw_kind(&d, kinds & all ? kinds & all : all);
    d.large = chance(&d, LARGE_PERCENT);
    const int64_t times = d.large ? LARGE_TIMES : 1;
    fv_operation op;
    do {
        op = (fv_operation){.kind = kind};
        families[kind].draw(&d, &op);
        fv_operation_set_dtype(&op, FV_F32);
    } while (fv_operation_validate(&op) != FV_OK || !small_enough(&op, times) ||
             (kind == FV_CONV2D && d.large && small_enough(&op, 1)) || /* only these have enough to grow */
             (!says_something(&op) && !chance(&d, BLIND_PERCENT)));
    return op;
}
