/* The tile of conv2d_spatial: what a block computes of the values between the two stages, and how it is cut.
 *
 * Forward and backward_data are the same chain seen from its two ends, so one text serves both. Stage 1 works along one
 * axis and turns the source into values in the middle, stage 2 along the other and turns those into results:
 *
 *                     source   stage 1, axis 1         middle      stage 2, axis 2          results
 *     forward         x        w, vertical             z [n,p,w]   w2, horizontal           y
 *     backward_data   dy       w2, horizontal, back    dz [n,p,w]  w, vertical, back        dx
 *
 * A middle value has a place (i1, i2): i1 counts results of both stages along axis 1, i2 the middle along axis 2. */
#ifndef FOVEA_CONV2D_SPATIAL_TILE_CUH
#define FOVEA_CONV2D_SPATIAL_TILE_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

constexpr int SPATIAL_THREADS = 256;
constexpr int SPATIAL_FILTER = 1024; /* most elements of a stage's filters in a block */
constexpr int SPATIAL_BLOCKING = 4;  /* places that a thread computes at once, so that a weight serves as many */

/* What a stage does along its axis, as its conv2d goes forward. */
struct spatial_axis {
    int input, output, filter, stride, pad, dilation;
};

/* Filters [groups * out][taps][in], as they lie in memory. */
struct spatial_filters {
    int out, taps, in; /* channels of a group */
};

struct spatial_plan {
    spatial_axis first, second;
    spatial_filters filters1, filters2;
    int source_channels, middle_channels, result_channels; /* of a group */
    int groups, group_tile, group_tiles;
    int64_t images;
    int64_t source_image, source_step1, source_step2; /* floats from an image, or a pixel along an axis, to the next */
    int64_t result_image, result_step1, result_step2;
    int extent1, extent2; /* results */
    int middle2;          /* middle values along axis 2; along axis 1 there are extent1 */
    int tile1, tile2;     /* results of a block */
    int staged2;          /* middle values along axis 2 behind those */
    int64_t tiles1, tiles2, tiles;
    int pitch;  /* channels of a middle place in shared memory */
    int middle; /* where the middle begins in shared memory, behind both filters; floats */
    int64_t shared_bytes;
};

/* Where a block works. */
struct spatial_place {
    int64_t image;
    int first_group, groups;
    int64_t first1, first2; /* first result */
    int64_t start2;         /* first middle place along axis 2; may lie outside */
};

/* The place that tap `tap` of result i reads along an axis; -1 if it is none. */
template <bool BACKWARD>
__device__ inline int64_t spatial_source(const spatial_axis &axis, int64_t i, int tap) {
    if (!BACKWARD) {
        const int64_t at = i * axis.stride + static_cast<int64_t>(tap) * axis.dilation - axis.pad;
        return at >= 0 && at < axis.input ? at : -1;
    }
    const int64_t reach = i + axis.pad - static_cast<int64_t>(tap) * axis.dilation;
    return reach >= 0 && reach % axis.stride == 0 && reach / axis.stride < axis.output ? reach / axis.stride : -1;
}

/* BACKWARD: results of a stage are inputs of its conv2d. THROUGH: there is no second stage. */
template <bool BACKWARD, bool THROUGH>
__device__ spatial_place spatial_place_of(const spatial_plan &plan, int64_t group_tile, int64_t tile) {
    spatial_place place;
    place.first2 = tile % plan.tiles2 * plan.tile2;
    place.first1 = tile / plan.tiles2 % plan.tiles1 * plan.tile1;
    place.image = tile / plan.tiles2 / plan.tiles1;
    place.first_group = static_cast<int>(group_tile * plan.group_tile);
    const int rest = plan.groups - place.first_group;
    place.groups = rest < plan.group_tile ? rest : plan.group_tile;
    const spatial_axis &axis = plan.second;
    const int64_t reach = place.first2 + axis.pad - static_cast<int64_t>(axis.filter - 1) * axis.dilation;
    if (THROUGH)
        place.start2 = place.first2;
    else if (BACKWARD) /* the division rounds up */
        place.start2 = reach > 0 ? ceil_div(reach, axis.stride) : reach / axis.stride;
    else
        place.start2 = place.first2 * axis.stride - axis.pad;
    return place;
}

/* staged[tap][source channel of a group][result channel of all groups]: out channels are results going forward, in
 * channels going back. */
template <bool BACKWARD>
__device__ void spatial_stage_filters(const spatial_filters &f, const spatial_plan &plan, const spatial_place &place,
                                      const float *filters, float *staged) {
    const int of_group = f.out * f.taps * f.in;
    const float *const from = filters + static_cast<int64_t>(place.first_group) * of_group;
    for (int e = static_cast<int>(threadIdx.x); e < place.groups * of_group; e += SPATIAL_THREADS) {
        const int in = e % f.in, tap = e / f.in % f.taps, out = e / f.in / f.taps % f.out, group = e / of_group;
        const int row = BACKWARD ? tap * f.out + out : tap * f.in + in;
        const int column = BACKWARD ? group * f.in + in : group * f.out + out;
        staged[row * plan.group_tile * (BACKWARD ? f.in : f.out) + column] = from[e];
    }
}

/* Stage 1 into shared memory, middle[l1][l2][m]; zeros outside. Neighbouring threads take neighbouring channels, then
 * neighbouring places along axis 2; a thread takes four places, as far apart as they go. */
template <bool BACKWARD>
__device__ void spatial_stage_middle(const spatial_plan &plan, const spatial_place &place, const float *source,
                                     const float *filters, float *middle) {
    const int channels = place.groups * plan.middle_channels;
    const int parts = static_cast<int>(ceil_div(plan.staged2, SPATIAL_BLOCKING));
    for (int e = static_cast<int>(threadIdx.x); e < plan.tile1 * parts * channels; e += SPATIAL_THREADS) {
        const int m = e % channels, part = e / channels % parts, l1 = e / channels / parts;
        const int64_t i1 = place.first1 + l1;
        if (i1 >= plan.extent1)
            continue;
        const int group = place.first_group + m / plan.middle_channels;
        const float *const pixels =
            source + place.image * plan.source_image + static_cast<int64_t>(group) * plan.source_channels;
        const float *lines[SPATIAL_BLOCKING]; /* the source at each place along axis 2; NULL outside */
        FV_UNROLL
        for (int j = 0; j < SPATIAL_BLOCKING; ++j) {
            const int64_t i2 = place.start2 + part + j * parts;
            const bool inside = part + j * parts < plan.staged2 && i2 >= 0 && i2 < plan.middle2;
            lines[j] = inside ? pixels + i2 * plan.source_step2 : nullptr;
        }
        float sum[SPATIAL_BLOCKING] = {};
        for (int tap = 0; tap < plan.first.filter; ++tap) {
            const int64_t from1 = spatial_source<BACKWARD>(plan.first, i1, tap);
            if (from1 < 0)
                continue;
            for (int c = 0; c < plan.source_channels; ++c) {
                const float weight = filters[(tap * plan.source_channels + c) * plan.pitch + m];
                FV_UNROLL
                for (int j = 0; j < SPATIAL_BLOCKING; ++j)
                    if (lines[j])
                        sum[j] += lines[j][from1 * plan.source_step1 + c] * weight;
            }
        }
        FV_UNROLL
        for (int j = 0; j < SPATIAL_BLOCKING; ++j)
            if (part + j * parts < plan.staged2)
                middle[(l1 * plan.staged2 + part + j * parts) * plan.pitch + m] = sum[j];
    }
}

/* ---- the plan, on the host ---- */

inline spatial_axis spatial_vertical(const fv_spatial &d, int64_t outputs) {
    return {static_cast<int>(d.h),        static_cast<int>(outputs),   static_cast<int>(d.r),
            static_cast<int>(d.stride_h), static_cast<int>(d.pad_top), static_cast<int>(d.dilation_h)};
}

inline spatial_axis spatial_horizontal(const fv_spatial &d, int64_t outputs) {
    return {static_cast<int>(d.w),        static_cast<int>(outputs),    static_cast<int>(d.s),
            static_cast<int>(d.stride_w), static_cast<int>(d.pad_left), static_cast<int>(d.dilation_w)};
}

/* Cuts the results such that a block has about `target` middle values: first enough along axis 1 for the blocking of
 * stage 2, then as much as there is along axis 2, where tiles overlap in the middle, then more along axis 1. */
inline void spatial_cut(spatial_plan &plan, bool backward, bool through, int64_t target) {
    const int64_t span = static_cast<int64_t>(plan.second.filter - 1) * plan.second.dilation + 1;
    const int64_t stride = plan.second.stride;
    const int64_t places = target / plan.pitch; /* maybe none */
    const auto fitting = [&](int64_t staged) {  /* results along axis 2 for so many middle values */
                                               return through         ? staged
                                                      : backward      ? staged * stride - span + 1
                                                      : staged < span ? 0
                                                                      : (staged - span) / stride + 1;
    };
    const auto staged_for = [&](int64_t results) {
        return through ? results : backward ? (results + span - 2) / stride + 1 : (results - 1) * stride + span;
    };
    const auto within = [](int64_t value, int64_t most) { return value < 1 ? 1 : value < most ? value : most; };
    int64_t tile1 = within(places / staged_for(1), within(plan.extent1, SPATIAL_BLOCKING));
    int64_t tile2 = within(fitting(places / tile1), within(places / tile1, plan.extent2));
    plan.tiles2 = ceil_div(plan.extent2, tile2);
    tile2 = ceil_div(plan.extent2, plan.tiles2);
    const int64_t staged = staged_for(tile2);
    const int64_t more = places / (staged > tile2 ? staged : tile2) / SPATIAL_BLOCKING * SPATIAL_BLOCKING;
    if (more > tile1)
        tile1 = within(more, plan.extent1);
    plan.tiles1 = ceil_div(plan.extent1, tile1);
    plan.tiles = plan.images * plan.tiles1 * plan.tiles2;
    plan.tile1 = static_cast<int>(tile1);
    plan.tile2 = static_cast<int>(tile2);
    plan.staged2 = static_cast<int>(staged < INT32_MAX ? staged : INT32_MAX);
    plan.shared_bytes = (plan.middle + tile1 * staged * plan.pitch) * static_cast<int64_t>(sizeof(float));
}

/* A block takes as many groups as make a warp of channels. Tiles become smaller where there would be too few blocks for
 * the device; all this by the descriptor alone. NULL, or why there is no plan. `through`: for backward_weights, which has
 * no second stage going back. */
inline const char *spatial_plan_of(const fv_operation *op, bool backward, bool through, spatial_plan &plan) {
    constexpr int64_t ENOUGH_BLOCKS = 512, LARGEST = 4096, SMALLEST = 256;
    const fv_spatial &d = op->spatial;
    const int64_t p = fv_window_p(&op->window), q = fv_window_q(&op->window);
    const int64_t cg = d.c / d.groups, mg = d.m / d.groups, kg = d.k / d.groups;
    if (d.r > SPATIAL_FILTER || d.s > SPATIAL_FILTER || cg > SPATIAL_FILTER || mg > SPATIAL_FILTER ||
        kg > SPATIAL_FILTER || d.r * cg * mg > SPATIAL_FILTER || d.s * mg * kg > SPATIAL_FILTER)
        return "a group's filters of a stage have over 1024 elements, where keeping values in shared memory gains "
               "nothing";
    if (d.groups > INT32_MAX)
        return "there are over 2^31-1 groups";
    plan = {};
    const spatial_filters vertical = {static_cast<int>(mg), static_cast<int>(d.r), static_cast<int>(cg)};
    const spatial_filters horizontal = {static_cast<int>(kg), static_cast<int>(d.s), static_cast<int>(mg)};
    plan.first = backward ? spatial_horizontal(d, q) : spatial_vertical(d, p);
    plan.second = backward ? spatial_vertical(d, p) : spatial_horizontal(d, q);
    plan.filters1 = backward ? horizontal : vertical;
    plan.filters2 = backward ? vertical : horizontal;
    plan.source_channels = static_cast<int>(backward ? kg : cg);
    plan.middle_channels = static_cast<int>(mg);
    plan.result_channels = static_cast<int>(backward ? cg : kg);
    plan.groups = static_cast<int>(d.groups);
    plan.images = d.n;
    plan.source_image = backward ? p * q * d.k : d.h * d.w * d.c;
    plan.source_step1 = backward ? d.k : d.w * d.c;
    plan.source_step2 = backward ? q * d.k : d.c;
    plan.result_image = backward ? d.h * d.w * d.c : p * q * d.k;
    plan.result_step1 = backward ? d.c : q * d.k;
    plan.result_step2 = backward ? d.w * d.c : d.k;
    plan.extent1 = static_cast<int>(backward ? d.w : p);
    plan.middle2 = static_cast<int>(backward ? p : d.w);
    plan.extent2 = static_cast<int>(through ? p : backward ? d.h : q);
    const int64_t largest = d.r * cg * mg > d.s * mg * kg ? d.r * cg * mg : d.s * mg * kg;
    const int64_t room = SPATIAL_FILTER / largest, wanted = ceil_div(WARP, mg);
    plan.group_tile = static_cast<int>(wanted < room ? wanted : room);
    plan.group_tile = plan.group_tile < plan.groups ? plan.group_tile : plan.groups;
    plan.group_tiles = static_cast<int>(ceil_div(plan.groups, plan.group_tile));
    plan.pitch = plan.group_tile * plan.middle_channels;
    plan.middle = static_cast<int>(plan.group_tile * (d.r * cg * mg + d.s * mg * kg));
    int64_t target = LARGEST;
    spatial_cut(plan, backward, through, target);
    while (target > SMALLEST && plan.tiles * plan.group_tiles < ENOUGH_BLOCKS)
        spatial_cut(plan, backward, through, target /= 2);
    if (plan.shared_bytes > MAX_SHARED_BYTES)
        return "the values between the stages behind one result do not fit 48 KiB of shared memory";
    return plan.tiles * plan.group_tiles > MAX_BLOCKS ? "there are over 2^31-1 tiles" : NULL;
}

} // namespace FV_NAMESPACE

#endif
