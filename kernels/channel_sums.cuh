/* Sums over pixels for each channel, the gradient of a bias: sums[c] = sum_m values[m][c], values [pixels, channels].
 *
 * A block takes 32 channels, neighbouring threads neighbouring ones, and eight pixels at a time; then a thread for each
 * channel adds up the eight. The pixels can be cut into parts, which other blocks take: part blockIdx.y has those from
 * blockIdx.y * per_part and writes `part_pitch` sums behind the part before. Sums are kept in f32. The order is fixed: deterministic. */
#ifndef FOVEA_CHANNEL_SUMS_CUH
#define FOVEA_CHANNEL_SUMS_CUH

#include "half.cuh"

namespace FV_NAMESPACE {

constexpr int CHANNEL_SUM_LANES = 8; /* pixels at a time */

template <typename T, typename SUM>
static __global__ void channel_sums_kernel(int64_t pixels, int64_t channels, int64_t per_part, const T *values,
                                           SUM *sums, int64_t part_pitch) {
    __shared__ float lanes[CHANNEL_SUM_LANES][WARP];
    const int column = static_cast<int>(threadIdx.x) % WARP, lane = static_cast<int>(threadIdx.x) / WARP;
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * WARP + column;
    const int64_t first = blockIdx.y * per_part, end = first + per_part < pixels ? first + per_part : pixels;
    float sum = 0;
    for (int64_t pixel = first + lane; channel < channels && pixel < end; pixel += CHANNEL_SUM_LANES)
        sum += widen(values[pixel * channels + channel]);
    lanes[lane][column] = sum;
    __syncthreads();
    if (lane != 0 || channel >= channels)
        return;
    for (int other = 1; other < CHANNEL_SUM_LANES; ++other)
        sum += lanes[other][column];
    sums[blockIdx.y * part_pitch + channel] = narrow<SUM>(sum);
}

/* Cuts the pixels into equal parts; channels at least 1 and at most 32 * MAX_BLOCKS. */
template <typename T, typename SUM>
fv_status channel_sums(fv_context *context, int64_t pixels, int64_t channels, int64_t parts, const T *values, SUM *sums,
                       int64_t part_pitch) {
    return FV_LAUNCH(context, (channel_sums_kernel<T, SUM>),
                     dim3(static_cast<unsigned>(ceil_div(channels, WARP)), static_cast<unsigned>(parts)),
                     CHANNEL_SUM_LANES * WARP, 0, pixels, channels, ceil_div(pixels, parts), values, sums, part_pitch);
}

} // namespace FV_NAMESPACE

#endif
