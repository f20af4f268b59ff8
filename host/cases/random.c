/* Random cases at the corners of the descriptors.
 *
 * A case is drawn field by field from lists that favour corners and drawn again until it is valid and small enough for
 * the emulator. Only integers decide, and reals come from lists, so that a seed means the same cases on every machine.
 * A change to any draw changes the cases of every seed. */
#include <string.h>

#include "base/checked.h"
#include "cases/cases.h"
#include "cases/draw.h"
#include "ops/chain.h"

enum {
    /* Limits that most cases keep; all keep LARGE_TIMES as much. */
    MOST_MACS = 300000,           /* multiply-accumulates, or places looked at, of all passes together */
    MOST_ELEMENTS = 100000,       /* of any tensor */
    MOST_TILE_PRODUCTS = 2000000, /* what a filter gradient in whole tiles of 32 x 32 x 16 multiplies */
    MOST_TURNS = 250,             /* of the blocks of a kernel that must have that many */
    MOST_TAP_THREADS = 40000,     /* that the gradients by offsets take */
    MOST_SHUFFLING = 10000,       /* threads */
    LARGE_TIMES = 10,
    LARGE_PERCENT = 2,
    BLIND_PERCENT = 10, /* of the windows that never meet the image, how many are kept */
};

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

/* Convolution and pooling have the most corners. */
static const struct {
    int weight;
    fv_draw_operation *draw;
} families[FV_KINDS] = {
    [FV_CONV2D] = {50, fv_draw_conv2d},      [FV_TRANSPOSED] = {10, fv_draw_transposed},
    [FV_SEPARABLE] = {8, fv_draw_separable}, [FV_SPATIAL] = {6, fv_draw_spatial},
    [FV_UNSHARED] = {6, fv_draw_unshared},   [FV_DEFORMABLE] = {8, fv_draw_deformable},
    [FV_MAXPOOL] = {20, fv_draw_pool},       [FV_AVGPOOL] = {8, fv_draw_avgpool},
    [FV_UNPOOL] = {6, fv_draw_pool},         [FV_UPSAMPLE] = {6, fv_draw_upsample},
    [FV_LINEAR] = {10, fv_draw_linear},      [FV_BATCHNORM] = {8, fv_draw_batchnorm},
    [FV_RELU] = {4, fv_draw_relu},           [FV_DROPOUT] = {4, fv_draw_dropout},
    [FV_CONCAT] = {5, fv_draw_concat},       [FV_ADD] = {4, fv_draw_add},
    [FV_FLATTEN] = {5, fv_draw_flatten},     [FV_SOFTMAX_XENT] = {4, fv_draw_softmax_xent},
    [FV_BATCH] = {4, fv_draw_batch},         [FV_SGD] = {4, fv_draw_sgd},
    [FV_ADAM] = {4, fv_draw_adam},
};

static fv_kind draw_kind(fv_draw *d, unsigned kinds) {
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

static bool is_pool(fv_kind kind) {
    return kind == FV_MAXPOOL || kind == FV_AVGPOOL || kind == FV_UNPOOL;
}

/* Whether the results can be anything but zeros, which prove little. */
static bool says_something(const fv_operation *op) {
    if (op->kind > FV_UNPOOL) /* the kinds up to it have a window */
        return true;
    fv_window2d window = op->window;
    if (op->kind == FV_TRANSPOSED) {
        const fv_conv2d mirror = fv_transposed_mirror(&op->transposed);
        memcpy(&window, &mirror, sizeof window); /* it begins like that */
    }
    const bool pool = is_pool(op->kind);
    const fv_axis v = pool ? fv_pool_vertical(&op->pool) : fv_window_vertical(&window);
    const fv_axis h = pool ? fv_pool_horizontal(&op->pool) : fv_window_horizontal(&window);
    return meets_image(&v) && meets_image(&h);
}

/* The costs that the limits are about; every extent is small enough for these products. */
static int64_t places_looked_at(const fv_pool2d *d) {
    return d->n * d->c * d->r * d->s * (fv_pool_p(d) * fv_pool_q(d) + d->h * d->w);
}

static int64_t tile_products(const fv_conv2d *d) {
    return d->groups * fv_round_up(d->k / d->groups, 32) * fv_round_up(d->r * d->s * d->c / d->groups, 32) *
           fv_round_up(fv_max(d->n, 1) * fv_conv2d_p(d) * fv_conv2d_q(d), 16);
}

/* Blocks of a gradient that is gathered by residues of the stride, times their turns over chunks of 16 channels. */
static int64_t block_turns(const fv_conv2d *d) {
    return d->n * d->groups * d->stride_h * d->stride_w * fv_round_up(d->k / d->groups, 16) / 16;
}

/* The same of a deformable convolution's dx, gathered by tiles of 8 x 8 pixels from 256 taps at a time, and threads
 * that add up what taps give over their channels. */
static bool few_taps(const fv_operation *op, int64_t times) {
    const fv_deformable *d = &op->deformable;
    const int64_t channels = d->c / d->offset_groups,
                  taps = fv_window_p(&op->window) * fv_window_q(&op->window) * d->r * d->s;
    const int64_t tiles = fv_round_up(d->h, 8) / 8 * (fv_round_up(d->w, 8) / 8) * (fv_round_up(channels, 64) / 64);
    return d->n * d->offset_groups * tiles * (fv_round_up(taps, 256) / 256) <= times * MOST_TURNS &&
           d->n * d->offset_groups * taps * fv_min(channels, 16) <= times * MOST_TAP_THREADS;
}

/* Threads that add up by shuffles: a warp for each position, 4 filters and 8 images. */
static int64_t shuffling_threads(const fv_operation *op) {
    const fv_unshared *d = &op->unshared;
    return fv_window_p(&op->window) * fv_window_q(&op->window) * d->groups * fv_round_up(d->k / d->groups, 4) * 8 *
           (fv_round_up(d->n, 8) / 8);
}

/* The convolutions with filters for all positions that an operation is run as; returns their number. */
static int convolutions_of(const fv_operation *op, fv_operation convolutions[2]) {
    convolutions[0] = *op;
    if (op->kind == FV_SEPARABLE || op->kind == FV_SPATIAL) {
        fv_chain_stages(op, convolutions);
        if (op->kind == FV_SPATIAL)
            return 2;
        convolutions[0] = convolutions[1]; /* the depthwise stage takes no tiles */
        return 1;
    }
    if (op->kind == FV_TRANSPOSED)
        convolutions[0] = (fv_operation){.kind = FV_CONV2D, .conv2d = fv_transposed_mirror(&op->transposed)};
    return convolutions[0].kind == FV_CONV2D;
}

static bool small_enough(const fv_operation *op, int64_t times) {
    int64_t macs = is_pool(op->kind) ? places_looked_at(&op->pool) : 0;
    for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
        fv_tensor_spec specs[FV_MAX_SPECS];
        const int count = fv_operation_signature(op, pass, specs);
        for (int i = 0; i < count; ++i)
            if (fv_shape_elements(&specs[i].shape) > times * MOST_ELEMENTS)
                return false;
        macs += fv_operation_macs(op, pass);
    }
    fv_operation convolutions[2];
    for (int i = convolutions_of(op, convolutions) - 1; i >= 0; --i)
        if (tile_products(&convolutions[i].conv2d) > times * MOST_TILE_PRODUCTS ||
            block_turns(&convolutions[i].conv2d) > times * MOST_TURNS)
            return false;
    if (op->kind == FV_DEFORMABLE && !few_taps(op, times))
        return false;
    if (op->kind == FV_UNSHARED && shuffling_threads(op) > times * MOST_SHUFFLING)
        return false;
    return macs <= times * MOST_MACS;
}

fv_operation fv_random_case(uint64_t seed, uint64_t index, unsigned kinds) {
    const unsigned all = (1u << FV_KINDS) - 1;
    fv_draw d = {seed, index, 0, false};
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
