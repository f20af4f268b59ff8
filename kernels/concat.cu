/* concat: y[n,h,w,:] = x, x2, x3 and x4 of the same pixel, one behind the other; backward dx, dx2, ... are the parts of
 * dy. One to four parts of any channels.
 *
 * Variant
 *     elementwise   one thread per element of y or dy, neighbours on neighbouring channels, so that accesses are
 *                   coalesced within a part. Elements are counted in 32 bits where they fit, since the division by the
 *                   channels costs several times as much in 64. Deterministic.
 *
 * 8 bytes moved per element and a division, full occupancy. Expected on an H200: 80 % of a copy's rate, 4 bytes to a
 * thread. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

/* The parts of one pass. */
template <typename INDEX, typename POINTER>
struct concat_parts {
    POINTER at[FV_MAX_PARTS];
    INDEX first[FV_MAX_PARTS + 1]; /* channel of the whole with which each part begins; behind the last, the channels */
};

/* The element of a part that is element i of the whole. */
template <typename INDEX, typename POINTER>
__device__ POINTER element_of(const concat_parts<INDEX, POINTER> &parts, INDEX i) {
    const INDEX channels = parts.first[FV_MAX_PARTS], pixel = i / channels, channel = i % channels;
    POINTER part = parts.at[0];
    INDEX first = 0, end = parts.first[1];
    FV_UNROLL
    for (int p = 1; p < FV_MAX_PARTS; ++p)
        if (channel >= parts.first[p]) {
            part = parts.at[p];
            first = parts.first[p];
            end = parts.first[p + 1];
        }
    return part + (pixel * (end - first) + channel - first);
}

template <typename INDEX>
__global__ void concat_forward_elementwise_kernel(int64_t elements, concat_parts<INDEX, const float *> x, float *y) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        y[i] = *element_of(x, static_cast<INDEX>(i));
}

template <typename INDEX>
__global__ void concat_backward_data_elementwise_kernel(int64_t elements, const float *dy,
                                                        concat_parts<INDEX, float *> dx) {
    for (int64_t i = thread_index(); i < elements; i += thread_count())
        *element_of(dx, static_cast<INDEX>(i)) = dy[i];
}

template <typename INDEX, typename POINTER>
concat_parts<INDEX, POINTER> parts_of(const fv_concat &d, const fv_role (&roles)[FV_MAX_PARTS],
                                      const fv_buffers *buffers) {
    concat_parts<INDEX, POINTER> parts = {};
    for (int p = 0; p < FV_MAX_PARTS; ++p) {
        parts.at[p] = static_cast<POINTER>(buffers->at[roles[p]]);
        parts.first[p + 1] = parts.first[p] + static_cast<INDEX>(d.c[p]);
    }
    return parts;
}

int64_t elements_of(const fv_concat &d) {
    return d.n * d.h * d.w * (d.c[0] + d.c[1] + d.c[2] + d.c[3]);
}

template <typename INDEX>
fv_status launch_forward(fv_context *context, const fv_concat &d, const fv_buffers *buffers) {
    static const fv_role roles[FV_MAX_PARTS] = {FV_X, FV_X2, FV_X3, FV_X4};
    return FV_LAUNCH(context, concat_forward_elementwise_kernel<INDEX>, elementwise_grid(elements_of(d)),
                     ELEMENTWISE_THREADS, 0, elements_of(d), (parts_of<INDEX, const float *>(d, roles, buffers)),
                     output(buffers, FV_Y));
}

template <typename INDEX>
fv_status launch_backward(fv_context *context, const fv_concat &d, const fv_buffers *buffers) {
    static const fv_role roles[FV_MAX_PARTS] = {FV_DX, FV_DX2, FV_DX3, FV_DX4};
    return FV_LAUNCH(context, concat_backward_data_elementwise_kernel<INDEX>, elementwise_grid(elements_of(d)),
                     ELEMENTWISE_THREADS, 0, elements_of(d), input(buffers, FV_DY),
                     (parts_of<INDEX, float *>(d, roles, buffers)));
}

fv_status concat_forward_elementwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_concat &d = op->concat;
    if (d.n == 0)
        return FV_OK;
    return elements_of(d) <= INT32_MAX ? launch_forward<int32_t>(context, d, buffers)
                                       : launch_forward<int64_t>(context, d, buffers);
}

fv_status concat_backward_data_elementwise(fv_context *context, const fv_operation *op, void *,
                                           const fv_buffers *buffers) {
    const fv_concat &d = op->concat;
    if (d.n == 0)
        return FV_OK;
    return elements_of(d) <= INT32_MAX ? launch_backward<int32_t>(context, d, buffers)
                                       : launch_backward<int64_t>(context, d, buffers);
}

} // namespace

const fv_kernel concat_kernels[] = {
    FV_KERNEL_F32(FV_CONCAT, FV_FORWARD, "elementwise", .run = concat_forward_elementwise),
    FV_KERNEL_F32(FV_CONCAT, FV_BACKWARD_DATA, "elementwise", .run = concat_backward_data_elementwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
