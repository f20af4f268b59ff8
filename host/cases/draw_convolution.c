/* Random convolutions; see draw.h. */
#include "cases/draw.h"

/* Enough of everything for the larger tiles, with a rest, and for sums over pixels that are split. */
static void draw_bulky(fv_draw *d, fv_conv2d *conv) {
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

void fv_draw_conv2d(fv_draw *d, fv_operation *op) {
    fv_conv2d *conv = &op->conv2d;
    conv->relu = chance(d, 10); /* only now and then, as it leaves no pass but forward */
    if (d->large && chance(d, 50)) {
        draw_bulky(d, conv);
        return;
    }
    fv_draw_window(d, &op->window);
    conv->bias = below(d, 2);
    conv->groups = 1;
    conv->k = fv_draw_channels(d);
    if (chance(d, 55))
        return;
    conv->groups = chance(d, 50) ? fv_draw_channels(d) : PICK(d, 2, 3, 4, 5, 8, 17);
    switch (below(d, 4)) {
    case 0: /* depthwise, at times with a window of more rows than a kernel stages at once */
        conv->c = conv->k = conv->groups;
        if (chance(d, 10)) {
            conv->r = PICK(d, 5, 7, 11, 31, 32);
            conv->s = PICK(d, 5, 7, 9, 16, 17, 31, 32);
        }
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
        conv->c = conv->groups * fv_draw_extent(d);
        conv->k = conv->groups * fv_draw_extent(d);
        break;
    }
}

void fv_draw_separable(fv_draw *d, fv_operation *op) {
    fv_separable *separable = &op->separable;
    fv_draw_window(d, &op->window);
    separable->multiplier = chance(d, 60) ? 1 : PICK(d, 2, 3, 4, 5, 9, 33, 65);
    separable->k = fv_draw_channels(d);
    separable->bias = below(d, 2);
}

/* That of a random conv2d, so that it has all of its corners: from its output back to its input. */
void fv_draw_transposed(fv_draw *d, fv_operation *op) {
    fv_operation mirror = {.kind = FV_CONV2D};
    fv_draw_conv2d(d, &mirror);
    const fv_conv2d *conv = &mirror.conv2d;
    const fv_axis v = fv_window_vertical(&mirror.window), h = fv_window_horizontal(&mirror.window);
    fv_transposed *t = &op->transposed;
    op->window = mirror.window;
    t->c = conv->k;
    t->k = conv->c;
    t->h = fv_axis_output(&v);
    t->w = fv_axis_output(&h);
    t->groups = conv->groups;
    t->bias = conv->bias;
    /* what the steps of the window leave of the padded image */
    t->output_pad_h = v.input + v.pad_before + v.pad_after - fv_axis_span(&v) - (t->h - 1) * v.stride;
    t->output_pad_w = h.input + h.pad_before + h.pad_after - fv_axis_span(&h) - (t->w - 1) * h.stride;
}

/* As a conv2d, but most large ones are too large: the filters of all positions count. */
void fv_draw_unshared(fv_draw *d, fv_operation *op) {
    fv_operation shared = {.kind = FV_CONV2D};
    fv_draw_conv2d(d, &shared);
    op->window = shared.window;
    op->unshared.k = shared.conv2d.k;
    op->unshared.groups = shared.conv2d.groups;
    op->unshared.bias = shared.conv2d.bias;
}

/* Few channels in the middle are likely, as fused kernels take only small filters. */
void fv_draw_spatial(fv_draw *d, fv_operation *op) {
    fv_operation whole = {.kind = FV_CONV2D};
    fv_draw_conv2d(d, &whole);
    op->window = whole.window;
    op->spatial.k = whole.conv2d.k;
    op->spatial.groups = whole.conv2d.groups;
    op->spatial.bias = whole.conv2d.bias;
    op->spatial.m = op->spatial.groups * (chance(d, 60) ? PICK(d, 1, 1, 2, 3, 5) : fv_draw_extent(d));
}
