/* Random poolings and resizings; see draw.h. */
#include "cases/draw.h"

#include "base/checked.h"

/* About 256 positions, beyond which argmax is wide. */
static void draw_long_window(fv_draw *d, fv_window2d *pool) {
    static const int64_t windows[][2] = {{16, 16}, {16, 17}, {17, 16}, {17, 17}, {1, 256},
                                         {1, 257}, {257, 1}, {20, 13}, {2, 129}, {33, 8}};
    const int64_t *window = windows[below(d, (int64_t)COUNT(windows))];
    pool->c = PICK(d, 1, 2, 3, 5);
    pool->r = window[0];
    pool->s = window[1];
    pool->dilation_h = pool->dilation_w = 1;
    pool->h = pool->r + below(d, 5);
    pool->w = pool->s + below(d, 5);
}

/* The whole image, now and then with a little padding, which makes it no longer global to a kernel. */
static void draw_global_window(fv_draw *d, fv_window2d *pool) {
    pool->h = pool->r = PICK(d, 1, 1, 2, 3, 4, 7, 8, 9, 16, 17);
    pool->w = pool->s = PICK(d, 1, 2, 3, 4, 7, 8, 9, 16, 17);
    pool->dilation_h = pool->dilation_w = 1;
    pool->pad_top = pool->pad_bottom = pool->pad_left = pool->pad_right = 0;
    if (chance(d, 15))
        pool->pad_top = 1;
    if (chance(d, 15))
        pool->pad_right = 1;
}

void fv_draw_pool(fv_draw *d, fv_operation *op) {
    fv_draw_window(d, &op->window);
    if (chance(d, 12))
        draw_long_window(d, &op->window);
    else if (chance(d, 15))
        draw_global_window(d, &op->window);
    op->pool.ceil = chance(d, 30);
}

void fv_draw_avgpool(fv_draw *d, fv_operation *op) {
    fv_draw_pool(d, op);
    op->avgpool.include_pad = below(d, 2);
    if (op->window.r != op->window.h && chance(d, 40)) { /* exact whatever the padding */
        op->window.r = fv_min(op->window.r, 2);
        op->window.s = fv_min(op->window.s, 2);
    }
}

/* The sizes of an axis: the same, a whole ratio, a power of two, at most 8, or any. */
static void draw_sizes(fv_draw *d, int64_t *input, int64_t *output) {
    const int64_t size = fv_draw_extent(d), times = PICK(d, 1, 2, 2, 3, 4, 4, 5, 8);
    *input = *output = size;
    if (chance(d, 40))
        *output = fv_draw_extent(d);
    else if (chance(d, 60))
        *output = size * times;
    else
        *input = size * times;
}

void fv_draw_upsample(fv_draw *d, fv_operation *op) {
    fv_upsample *upsample = &op->upsample;
    upsample->n = fv_draw_batch_size(d);
    upsample->c = fv_draw_channels(d);
    draw_sizes(d, &upsample->h, &upsample->p);
    draw_sizes(d, &upsample->w, &upsample->q);
    upsample->mode = chance(d, 30) ? FV_NEAREST : FV_BILINEAR;
    upsample->align = upsample->mode == FV_BILINEAR && chance(d, 40);
    if (upsample->align && chance(d, 40)) { /* exact: steps of a power of two */
        upsample->p = 4 * upsample->h - 3;
        upsample->q = 2 * upsample->w - 1;
    }
}
