/* dropout: y = x / (1-rate) where an element is kept, else 0; dx from dy likewise. Which elements are kept depends on
 * the seed, the step and the element's index alone (ops/dropout.h), so both passes drop the same ones and nothing is
 * stored between them.
 *
 * Variant
 *     quad   one thread per four elements: Philox gives four numbers at a time, and whole quads travel as float4. About
 *            60 integer instructions per 32 bytes moved: expected to be bound by memory. Deterministic, any size. */
#include "kernel.cuh"
#include "ops/dropout.h"

namespace FV_NAMESPACE {

namespace {

struct dropout_settings {
    int64_t elements, seed;
    uint32_t threshold;
    float scale; /* of what is kept */
};

__device__ inline float drop(const dropout_settings &d, uint32_t word, float value) {
    return fv_dropout_keeps(word, d.threshold) ? value * d.scale : 0.0f;
}

/* `from` and `to` are 16-byte aligned, as tensors are. */
__global__ void dropout_quad_kernel(dropout_settings d, const int32_t *step, const float *from, float *to) {
    const int64_t whole = d.elements / 4;
    const int rest = static_cast<int>(d.elements % 4);
    for (int64_t quad = thread_index(); quad < whole + (rest > 0); quad += thread_count()) {
        const fv_philox random = fv_dropout_quad(d.seed, step[0], quad);
        if (quad < whole) {
            const float4 in = reinterpret_cast<const float4 *>(from)[quad];
            reinterpret_cast<float4 *>(to)[quad] =
                make_float4(drop(d, random.word[0], in.x), drop(d, random.word[1], in.y), drop(d, random.word[2], in.z),
                            drop(d, random.word[3], in.w));
        } else {
            FV_UNROLL
            for (int i = 0; i < 3; ++i)
                if (i < rest)
                    to[4 * quad + i] = drop(d, random.word[i], from[4 * quad + i]);
        }
    }
}

fv_status run_quad(fv_context *context, const fv_dropout &d, const int32_t *step, const float *from, float *to) {
    if (d.elements == 0)
        return FV_OK;
    const dropout_settings settings = {.elements = d.elements,
                                       .seed = d.seed,
                                       .threshold = fv_dropout_threshold(&d),
                                       .scale = static_cast<float>(1 / (1 - d.rate))};
    return FV_LAUNCH(context, dropout_quad_kernel, elementwise_grid(ceil_div(d.elements, 4)), ELEMENTWISE_THREADS, 0,
                     settings, step, from, to);
}

fv_status dropout_forward_quad(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return run_quad(context, op->dropout, input<int32_t>(buffers, FV_STEP), input(buffers, FV_X),
                    output(buffers, FV_Y));
}

fv_status dropout_backward_data_quad(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    return run_quad(context, op->dropout, input<int32_t>(buffers, FV_STEP), input(buffers, FV_DY),
                    output(buffers, FV_DX));
}

} // namespace

const fv_kernel dropout_kernels[] = {
    FV_KERNEL_F32(FV_DROPOUT, FV_FORWARD, "quad", .run = dropout_forward_quad),
    FV_KERNEL_F32(FV_DROPOUT, FV_BACKWARD_DATA, "quad", .run = dropout_backward_data_quad),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
