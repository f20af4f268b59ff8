/* Random poolings; see draw.h. */
#include "cases/draw.h"

void fv_draw_maxpool(fv_draw *d, fv_operation *op) {
    fv_draw_window(d, &op->window);
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
