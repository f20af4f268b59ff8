/* sgd and adam: the parameter updates of include/fovea/operations.h, over the parameters of a whole network at once.
 *
 * Variant
 *     elementwise   one thread per parameter: bound by memory alone. Deterministic, any size.
 *
 * 28 bytes and some 15 operations per parameter (adam), no reuse. Expected on an H200: 85 % of a copy's rate from 10
 * million parameters on; a digits network's 0.2 million are bound by the launch. */
#include "kernel.cuh"

namespace FV_NAMESPACE {

namespace {

/* Hyperparameters as the kernel uses them, rounded from double once. */
struct sgd_settings {
    int64_t elements, decayed;
    float momentum, weight_decay;
};

struct adam_settings {
    int64_t elements, decayed;
    float beta1, rest1, beta2, rest2; /* rest = 1 - beta, subtracted in double */
    float epsilon, weight_decay;
};

__global__ void sgd_forward_elementwise_kernel(sgd_settings d, float *w, const float *dw, float *m, const float *rate) {
    for (int64_t i = thread_index(); i < d.elements; i += thread_count()) {
        const float decay = i < d.decayed ? d.weight_decay * w[i] : 0.0f;
        m[i] = d.momentum * m[i] + (dw[i] + decay);
        w[i] -= rate[0] * m[i];
    }
}

__global__ void adam_forward_elementwise_kernel(adam_settings d, float *w, const float *dw, float *m, float *v,
                                                const float *rate) {
    for (int64_t i = thread_index(); i < d.elements; i += thread_count()) {
        const float decay = i < d.decayed ? d.weight_decay * w[i] : 0.0f;
        m[i] = d.beta1 * m[i] + d.rest1 * dw[i];
        v[i] = d.beta2 * v[i] + d.rest2 * (dw[i] * dw[i]);
        w[i] -= rate[0] * (m[i] * rate[1] / (sqrtf(v[i] * rate[2]) + d.epsilon) + decay);
    }
}

fv_status sgd_forward_elementwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_sgd &d = op->sgd;
    if (d.elements == 0)
        return FV_OK;
    const sgd_settings settings = {d.elements, d.decayed, static_cast<float>(d.momentum),
                                   static_cast<float>(d.weight_decay)};
    return FV_LAUNCH(context, sgd_forward_elementwise_kernel, elementwise_grid(d.elements), ELEMENTWISE_THREADS, 0,
                     settings, output(buffers, FV_W), input(buffers, FV_DW), output(buffers, FV_M),
                     input(buffers, FV_RATE));
}

fv_status adam_forward_elementwise(fv_context *context, const fv_operation *op, void *, const fv_buffers *buffers) {
    const fv_adam &d = op->adam;
    if (d.elements == 0)
        return FV_OK;
    const adam_settings settings = {.elements = d.elements,
                                    .decayed = d.decayed,
                                    .beta1 = static_cast<float>(d.beta1),
                                    .rest1 = static_cast<float>(1 - d.beta1),
                                    .beta2 = static_cast<float>(d.beta2),
                                    .rest2 = static_cast<float>(1 - d.beta2),
                                    .epsilon = static_cast<float>(d.epsilon),
                                    .weight_decay = static_cast<float>(d.weight_decay)};
    return FV_LAUNCH(context, adam_forward_elementwise_kernel, elementwise_grid(d.elements), ELEMENTWISE_THREADS, 0,
                     settings, output(buffers, FV_W), input(buffers, FV_DW), output(buffers, FV_M),
                     output(buffers, FV_V), input(buffers, FV_RATE));
}

} // namespace

const fv_kernel update_kernels[] = {
    FV_KERNEL_F32(FV_SGD, FV_FORWARD, "elementwise", .run = sgd_forward_elementwise),
    FV_KERNEL_F32(FV_ADAM, FV_FORWARD, "elementwise", .run = adam_forward_elementwise),
    FV_KERNELS_END,
};

} // namespace FV_NAMESPACE
