/* Random deformable convolutions; see draw.h. */
#include "cases/draw.h"

/* Both kinds of groups, each within the other and across it; at times more channels than dx is gathered for at once. */
void fv_draw_deformable(fv_draw *d, fv_operation *op) {
    fv_deformable *deformable = &op->deformable;
    fv_draw_window(d, &op->window);
    deformable->mask = below(d, 2);
    deformable->bias = below(d, 2);
    deformable->groups = deformable->offset_groups = 1;
    deformable->k = fv_draw_channels(d);
    if (chance(d, 10))
        deformable->c = PICK(d, 63, 64, 65, 96, 97, 127, 129, 257);
    if (chance(d, 40))
        return;
    deformable->groups = PICK(d, 1, 1, 2, 2, 3, 4);
    deformable->offset_groups = PICK(d, 1, 2, 2, 3, 4, 6, 9);
    deformable->c = deformable->groups * deformable->offset_groups * PICK(d, 1, 1, 2, 3, 5, 17);
    deformable->k = deformable->groups * PICK(d, 1, 1, 2, 3, 5, 17, 33);
    if (chance(d, 15)) /* depthwise, each channel by its own offsets */
        deformable->c = deformable->k = deformable->groups = deformable->offset_groups;
}
