/* Random images and windows; see draw.h. */
#include "cases/draw.h"

#include "base/checked.h"

int64_t fv_draw_extent(fv_draw *d) {
    static const int64_t extents[] = {1,  2,  3,  4,  5,  7,   8,   9,   15,  16,  17, 31,
                                      32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257};
    return extents[below(d, below(d, (int64_t)COUNT(extents)) + 1)];
}

int64_t fv_draw_batch_size(fv_draw *d) {
    return chance(d, 2) ? 0 : chance(d, 50) ? 1 : fv_draw_extent(d);
}

int64_t fv_draw_channels(fv_draw *d) {
    return chance(d, 35) ? PICK(d, 1, 3, 17, 31, 33, 257) : fv_draw_extent(d);
}

/* Shares `total` pixels of padding out to both sides: evenly, anyhow, or all to one side. */
static void share_padding(fv_draw *d, fv_axis *axis, int64_t total) {
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

static corner draw_corner(fv_draw *d) {
    static const int percent[] = {[PLAIN] = 45, [WHOLE] = 9,      [LARGER] = 9, [STEPPING] = 8,    [WIDE_PADS] = 9,
                                  [SPREAD] = 5, [FAR_SPREAD] = 4, [LONG] = 5,   [LONG_WINDOW] = 3, [POINT] = 3};
    int64_t rest = below(d, 100);
    corner at = PLAIN;
    while (rest >= percent[at])
        rest -= percent[at++];
    return at;
}

static fv_axis draw_axis(fv_draw *d, corner at) {
    fv_axis axis = {0};
    axis.input = fv_draw_extent(d);
    axis.filter = PICK(d, 1, 1, 2, 2, 3, 3, 3, 4, 5, 6, 7);
    axis.stride = PICK(d, 1, 1, 1, 2, 2, 3, 4);
    axis.dilation = PICK(d, 1, 1, 1, 1, 2, 3, 4);
    share_padding(d, &axis, chance(d, 50) ? 0 : below(d, 2 * axis.filter));
    switch (at) {
    case PLAIN:
        axis.input = fv_max(axis.input, fv_draw_extent(d));
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
void fv_draw_window(fv_draw *d, fv_window2d *window) {
    const corner at = draw_corner(d);
    const fv_axis v = draw_axis(d, at);
    const fv_axis h = chance(d, 25) ? v : draw_axis(d, chance(d, 50) ? at : draw_corner(d));
    window->n = fv_draw_batch_size(d);
    window->c = fv_draw_channels(d);
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
