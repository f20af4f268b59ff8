/* Where the taps of a deformable convolution read x: shared by its passes.
 *
 * A tap lies between four pixels. The first of them is (row, col), each -1 at least and below the image's extent; those
 * of the four that lie outside the image count as 0. A tap that reaches none of them, or whose offset is infinite or NaN,
 * is nowhere: at row or column -2. The place is base + floor(offset), in integers, and the fraction of the offset, so
 * that a large image costs no precision, and a huge offset is never converted to an integer too small for it. */
#ifndef FOVEA_CONV2D_DEFORMABLE_TAPS_CUH
#define FOVEA_CONV2D_DEFORMABLE_TAPS_CUH

#include "conv2d_weights.cuh"

namespace FV_NAMESPACE {

/* The sizes that the kernels share: those of the convolution without its offsets, and of these. */
struct deformable_shape : weights_plan {
    int64_t offset_groups, channels; /* of an offset group */
    int64_t window, taps;            /* r*s, and offset_groups*r*s */
};

/* Of the first `images` images. */
inline deformable_shape deformable_shape_of(const fv_operation &op, int64_t images) {
    const fv_deformable &d = op.deformable;
    fv_operation conv = {};
    conv.window = op.window;
    conv.conv2d.n = images;
    conv.conv2d.k = d.k;
    conv.conv2d.groups = d.groups;
    conv.conv2d.bias = d.bias;
    return {weights_plan_of(conv.conv2d), d.offset_groups, d.c / d.offset_groups, d.r * d.s,
            d.offset_groups * d.r * d.s};
}

constexpr int NOWHERE = -2;

struct tap_place {
    int row, col;      /* the first of the four pixels */
    float down, right; /* how far the tap lies beyond it: 0 up to 1 */
};

/* The first pixel on one axis; no axis has 2^32 pixels. */
__device__ inline int tap_first(int64_t base, float offset, int64_t extent, float &beyond) {
    const float whole = floorf(offset);
    beyond = 0;
    if (!(fabsf(offset) <= 0x1p32f))
        return NOWHERE;
    const int64_t first = base + static_cast<int64_t>(whole);
    if (first < -1 || first >= extent)
        return NOWHERE;
    beyond = offset - whole;
    return static_cast<int>(first);
}

/* The four pixels' values; 0 outside the image. */
struct tap_corners {
    float at[2][2];

    __device__ float value(const tap_place &t) const {
        return (1.0f - t.down) * ((1.0f - t.right) * at[0][0] + t.right * at[0][1]) +
               t.down * ((1.0f - t.right) * at[1][0] + t.right * at[1][1]);
    }
    __device__ float by_row(const tap_place &t) const {
        return (1.0f - t.right) * (at[1][0] - at[0][0]) + t.right * (at[1][1] - at[0][1]);
    }
    __device__ float by_col(const tap_place &t) const {
        return (1.0f - t.down) * (at[0][1] - at[0][0]) + t.down * (at[1][1] - at[1][0]);
    }
};

/* `image` points to the image's pixel 0, at the channel to be read. */
__device__ inline tap_corners tap_load(const fv_conv2d &d, const float *image, const tap_place &t) {
    const bool top = t.row >= 0, bottom = t.row + 1 >= 0 && t.row + 1 < d.h;
    const bool left = t.col >= 0, right = t.col + 1 >= 0 && t.col + 1 < d.w;
    const int64_t first = (t.row * d.w + t.col) * d.c, below = first + d.w * d.c;
    return {{{top && left ? image[first] : 0.0f, top && right ? image[first + d.c] : 0.0f},
             {bottom && left ? image[below] : 0.0f, bottom && right ? image[below + d.c] : 0.0f}}};
}

/* x as the taps read it. */
struct moved_taps {
    const float *x, *offset, *mask; /* mask may be NULL */
    int64_t channels, window, taps; /* as in deformable_shape */

    /* The place of tap r*S + s in `mask`, for a channel; its two offsets are at twice that. */
    __device__ int64_t index(int64_t pixel, int64_t tap, int64_t channel) const {
        return pixel * taps + channel / channels * window + tap;
    }

    /* (row, col): where the tap would lie without its offset. */
    __device__ tap_place place(const fv_conv2d &d, int64_t row, int64_t col, int64_t at) const {
        tap_place t;
        t.row = tap_first(row, offset[2 * at], d.h, t.down);
        t.col = tap_first(col, offset[2 * at + 1], d.w, t.right);
        return t;
    }

    __device__ float weight(int64_t at) const {
        return mask ? mask[at] : 1.0f;
    }
};

inline moved_taps moved_taps_of(const deformable_shape &g, const fv_buffers *buffers) {
    return {input(buffers, FV_X), input(buffers, FV_OFFSET), input(buffers, FV_MASK), g.channels, g.window, g.taps};
}

/* As stage_gathered of conv2d_weights.cuh, by which the filter gradient of a deformable convolution is that of conv2d. */
template <int TILE>
__device__ void stage_gathered(const weights_plan &plan, int64_t group, int64_t j, const filter_place *places,
                               int64_t remaining, const moved_taps &taps, product_slice<TILE> &slice) {
    const fv_conv2d &d = plan.d;
    const int64_t tap = j / plan.cg, c = group * plan.cg + j - tap * plan.cg;
    const int64_t down = tap / d.s * d.dilation_h, across = tap % d.s * d.dilation_w;
    const int column = static_cast<int>(threadIdx.x) % TILE;
    for (int l = static_cast<int>(threadIdx.x) / TILE; l < PRODUCT_DEPTH; l += PRODUCT_THREADS<TILE> / TILE) {
        float value = 0;
        if (j < plan.columns && l < remaining) {
            const filter_place filter = places[l];
            const int64_t at = taps.index(filter.pixel, tap, c);
            const tap_place place = taps.place(d, filter.row + down, filter.col + across, at);
            value = taps.weight(at) * tap_load(d, taps.x + filter.image * d.h * d.w * d.c + c, place).value(place);
        }
        slice[l][column] = value;
    }
}

} // namespace FV_NAMESPACE

#endif
