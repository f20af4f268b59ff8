/* Networks and models.
 *
 * A network is a list of layers, written as text, one layer per line ('#' starts a comment):
 *
 *     input 28x28x1 scale=0.0127 shift=-0.4242   # height x width x channels; x = byte*scale + shift
 *     conv 24 5x5 stride=1 pad=0 dilation=1 groups=1 bias=1
 *     maxpool 2x2                                # stride defaults to the window
 *     relu
 *     linear 10                                  # flattens its input, in h,w,c order
 *
 * A model is a network with parameters in a context's memory.
 */
#ifndef FOVEA_NETWORK_H
#define FOVEA_NETWORK_H

#include <fovea/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_network fv_network;
typedef struct fv_model fv_model;

/* The default digits network: conv 5x5 1->24, pool 2, relu; conv 3x3 24->32, pool 2, relu; linear 256, relu; linear
 * 10. */
FV_API extern const char fv_digits_network[];

/* FV_BAD_INPUT names the line and what was expected there; shapes that do not fit name the layer. */
FV_API fv_status fv_network_parse(const char *text, fv_network **network);
FV_API void fv_network_destroy(fv_network *network);

/* The text it was parsed from. */
FV_API const char *fv_network_text(const fv_network *network);

/* Input is [h,w,c]; classes is the width of the last layer. */
FV_API fv_shape fv_network_input(const fv_network *network);
FV_API int64_t fv_network_classes(const fv_network *network);
FV_API int64_t fv_network_parameters(const fv_network *network);

/* A model with freshly initialised parameters (uniform within +-1/sqrt(fan-in), PyTorch's default: He et al. 2015 with
 * a = sqrt(5)), the same for the same seed on every backend. Copies the network. */
FV_API fv_status fv_model_create(fv_context *context, const fv_network *network, uint64_t seed, fv_model **model);
/* Before its context. NULL is fine. */
FV_API void fv_model_destroy(fv_model *model);
FV_API const fv_network *fv_model_network(const fv_model *model);

/* Weights as safetensors, the network's text in the metadata under "fovea.network". Written to a temporary name and
 * renamed, so that an existing file stays whole until the new one is. Tensor "conv1.weight" is [K,R,S,C/groups],
 * "linear1.weight" is [K,C] with C in h,w,c order. */
FV_API fv_status fv_model_save(const fv_model *model, const char *path);
FV_API fv_status fv_model_load(fv_context *context, const char *path, fv_model **model);

/* Classifies `count` images of h*w*c bytes each (NHWC). Fills labels[count] with the most probable class and, unless it
 * is NULL, probabilities[count*classes]. */
FV_API fv_status fv_model_predict(fv_model *model, const uint8_t *images, int64_t count, int32_t *labels,
                                  float *probabilities);

#ifdef __cplusplus
}
#endif
#endif
