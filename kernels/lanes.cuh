/* Channels last, a thread per element: where an element lies, and several channels at once.
 *
 * Lanes: a thread works on 1 or on 4 neighbouring channels. With 4, every access is one of 16 bytes (of 4 for bytes) and
 * the index arithmetic, which costs more than the work on one channel, serves four. That takes channels that are a
 * multiple of 4 and pointers aligned to as much; the launcher looks.
 * Elements are counted in 32 bits where they fit, since a 64-bit division costs several times a 32-bit one. */
#ifndef FOVEA_LANES_CUH
#define FOVEA_LANES_CUH

#include "kernel.cuh"

namespace FV_NAMESPACE {

constexpr int WIDE_LANES = 4;

/* Neighbouring channels, read and written at once. */
template <typename T, int LANES>
struct alignas(LANES * sizeof(T)) channel_lanes {
    T at[LANES];
};

/* `group` counts groups of LANES elements. */
template <int LANES, typename T>
__device__ inline channel_lanes<T, LANES> load_lanes(const T *data, int64_t group) {
    return reinterpret_cast<const channel_lanes<T, LANES> *>(data)[group];
}

template <int LANES, typename T>
__device__ inline void store_lanes(T *data, int64_t group, const channel_lanes<T, LANES> &values) {
    reinterpret_cast<channel_lanes<T, LANES> *>(data)[group] = values;
}

/* Where element i of an [n,height,width,channels] tensor lies. */
template <typename INDEX>
struct image_place {
    INDEX image, c;
    int row, col;
};

template <typename INDEX>
__device__ inline image_place<INDEX> image_place_of(INDEX i, INDEX channels, INDEX height, INDEX width) {
    const INDEX pixel = i / channels, line = pixel / width;
    return {line / height, i % channels, static_cast<int>(line % height), static_cast<int>(pixel % width)};
}

/* Whether all tensors may be accessed four channels at a time. */
inline bool takes_wide_lanes(int64_t channels, const fv_buffers *buffers) {
    uintptr_t bits = 0;
    for (int role = 0; role < FV_ROLES; ++role)
        bits |= reinterpret_cast<uintptr_t>(buffers->at[role]);
    return channels % WIDE_LANES == 0 && bits % (WIDE_LANES * sizeof(float)) == 0;
}

/* Calls launch.operator()<INDEX, LANES>(). */
template <typename F>
fv_status lanes_dispatch(bool fits_32_bits, bool wide, const F &launch) {
    if (wide)
        return fits_32_bits ? launch.template operator()<int32_t, WIDE_LANES>()
                            : launch.template operator()<int64_t, WIDE_LANES>();
    return fits_32_bits ? launch.template operator()<int32_t, 1>() : launch.template operator()<int64_t, 1>();
}

} // namespace FV_NAMESPACE

#endif
