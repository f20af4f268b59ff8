/* Operations: what is to be computed, apart from who computes it.
 *
 * One plain struct describes each operation. Backends, the verifier and the networks all start from it, and its text
 * form (fv_operation_parse, fv_operation_print) is what messages show and case files hold:
 *
 *     conv2d n=50 c=64 h=56 w=56 k=64 kernel=3x3 stride=1 pad=1 dilation=1 groups=1 bias=0 dtype=f32
 *
 * Activations are NHWC (channels last), convolution filters K,R,S,C/groups, linear weights K,C.
 * Letters are cuDNN's: n batch; c,k input and output channels; h,w input height and width; p,q output height and width;
 * r,s filter height and width. A dilation of 1 is a dense filter.
 */
#ifndef FOVEA_OPERATIONS_H
#define FOVEA_OPERATIONS_H

#include <stddef.h>
#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_dtype { FV_F32, FV_F64, FV_I32, FV_U8, FV_DTYPES } fv_dtype;

enum { FV_MAX_RANK = 4 };

/* Extents of a dense row-major tensor, outermost first. */
typedef struct fv_shape {
    int rank;
    int64_t dim[FV_MAX_RANK];
} fv_shape;

typedef enum fv_pass { FV_FORWARD, FV_BACKWARD_DATA, FV_BACKWARD_WEIGHTS, FV_PASSES } fv_pass;

typedef enum fv_kind {
    FV_CONV2D,
    FV_MAXPOOL,
    FV_LINEAR,
    FV_RELU,
    FV_SOFTMAX_XENT,
    FV_BATCH,
    FV_SGD,
    FV_ADAM,
    FV_KINDS
} fv_kind;

/* A window of r x s taps that slides over images: the members that every such operation begins with. */
typedef struct fv_window2d {
    int64_t n, c, h, w, r, s;
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
} fv_window2d;

/* y[n,p,q,k] = b[k] + sum_{r,s,c} w[k,r,s,c]
 *              * x[n, p*stride_h + r*dilation_h - pad_top, q*stride_w + s*dilation_w - pad_left, g*C/G + c]
 * with g = k / (K/G), the output channel's group; x is 0 outside the image. It is a correlation, as everywhere in deep
 * learning. Output height: floor((h + pad_top + pad_bottom - dilation_h*(r-1) - 1) / stride_h) + 1. */
typedef struct fv_conv2d {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t k;
    int64_t groups;
    int64_t bias; /* 1: the operation has a bias of k elements */
    fv_dtype dtype;
} fv_conv2d;

/* y[n,p,q,c] = the largest x in the window; argmax holds its position r*S + s within the window. Ties go to the first
 * in row-major order and padding never wins; a window wholly in the padding gives -inf and argmax 0, and its gradient
 * goes nowhere. What a window with a NaN, or with nothing above -inf, gives is the backend's affair. argmax is u8 where
 * the window has at most 256 positions, else i32. */
typedef struct fv_maxpool {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    fv_dtype dtype;
} fv_maxpool;

/* y[n,k] = b[k] + sum_c x[n,c] * w[k,c] */
typedef struct fv_linear {
    int64_t n, c, k;
    int64_t bias;
    fv_dtype dtype;
} fv_linear;

/* y = max(x, 0), elementwise; a NaN stays NaN. Backward: dx = dy where y > 0, else 0. */
typedef struct fv_relu {
    int64_t elements;
    fv_dtype dtype;
} fv_relu;

/* Forward: y = softmax(x) per row of `classes`, loss[n] = -log y[n, labels[n]], predicted[n] = argmax of the row (first
 * on ties). Backward: dx = (y - onehot(labels)) / n, the gradient of the mean loss. */
typedef struct fv_softmax_xent {
    int64_t n, classes;
    fv_dtype dtype;
} fv_softmax_xent;

/* Assembles a training batch from a data set of `items` images of `elements` bytes:
 * x[i] = images[order[i]] * scale + shift, labels[i] = image_labels[order[i]], for i < n. */
typedef struct fv_batch {
    int64_t n, items, elements;
    double scale, shift;
    fv_dtype dtype;
} fv_batch;

/* Parameter updates. Weight decay applies to the first `decayed` elements only, so that one call updates a whole
 * network whose biases lie behind its weights. `rate` holds three numbers that change from step to step: the learning
 * rate and, for Adam, 1/(1 - beta1^t) and 1/(1 - beta2^t) at step t = 1, 2, ...
 *
 * SGD with momentum (Sutskever et al. 2013, in PyTorch's form):  m = momentum*m + (dw + weight_decay*w);  w -=
 * rate0*m. */
typedef struct fv_sgd {
    int64_t elements, decayed;
    double momentum, weight_decay;
    fv_dtype dtype;
} fv_sgd;

/* Adam (Kingma and Ba 2015) with decoupled weight decay (AdamW, Loshchilov and Hutter 2019):
 * m = beta1*m + (1-beta1)*dw;  v = beta2*v + (1-beta2)*dw^2;
 * w -= rate0 * (m*rate1 / (sqrt(v*rate2) + epsilon) + weight_decay*w). */
typedef struct fv_adam {
    int64_t elements, decayed;
    double beta1, beta2, epsilon, weight_decay;
    fv_dtype dtype;
} fv_adam;

typedef struct fv_operation {
    fv_kind kind;
    union {
        fv_window2d window; /* of conv2d and maxpool */
        fv_conv2d conv2d;
        fv_maxpool maxpool;
        fv_linear linear;
        fv_relu relu;
        fv_softmax_xent softmax_xent;
        fv_batch batch;
        fv_sgd sgd;
        fv_adam adam;
    };
} fv_operation;

/* What a tensor is to an operation; also its index in an argument list. */
typedef enum fv_role {
    FV_X,  /* input activations; logits of softmax_xent */
    FV_W,  /* weights or filters; the parameters of an update */
    FV_B,  /* bias */
    FV_Y,  /* output activations; probabilities of softmax_xent */
    FV_DX, /* gradient of the loss by x, and so on */
    FV_DW,
    FV_DB,
    FV_DY,
    FV_ARGMAX,       /* maxpool: position of the maximum within its window */
    FV_LABELS,       /* i32 class of each row */
    FV_LOSS,         /* loss of each row */
    FV_PREDICTED,    /* i32 most probable class of each row */
    FV_IMAGES,       /* u8 [items, elements] */
    FV_IMAGE_LABELS, /* u8 [items] */
    FV_ORDER,        /* i32 [n], which items make up the batch */
    FV_M,            /* first moment or momentum */
    FV_V,            /* second moment */
    FV_RATE,         /* [3], see fv_sgd and fv_adam */
    FV_ROLES
} fv_role;

typedef enum fv_direction { FV_IN, FV_OUT, FV_INOUT } fv_direction;

typedef struct fv_tensor_spec {
    fv_role role;
    fv_direction direction;
    fv_dtype dtype;
    fv_shape shape;
    const char *axes; /* a letter for each axis: those above, i for elements, m for the items of a data set */
} fv_tensor_spec;

enum { FV_MAX_SPECS = 8 };

FV_API const char *fv_dtype_name(fv_dtype dtype);
FV_API size_t fv_dtype_size(fv_dtype dtype);
FV_API const char *fv_pass_name(fv_pass pass);
FV_API const char *fv_kind_name(fv_kind kind);
FV_API const char *fv_role_name(fv_role role);

/* Number of elements and bytes. Shapes of a validated operation cannot overflow. */
FV_API int64_t fv_shape_elements(const fv_shape *shape);
FV_API size_t fv_spec_bytes(const fv_tensor_spec *spec);

/* Reads the text form. Omitted keys take their default; an unknown key, a repeated one, left-over text or a description
 * that fv_operation_validate refuses is FV_BAD_INPUT with a message that names it. */
FV_API fv_status fv_operation_parse(const char *text, fv_operation *operation);

/* Writes the text form, which parses back to the same operation. Returns its length, as snprintf does. */
FV_API int fv_operation_print(const fv_operation *operation, char *buffer, size_t size);

/* FV_OK if extents are positive (n may be 0), the output is not empty by geometry, groups divide the channels, and
 * no tensor has more than 2^56 elements. */
FV_API fv_status fv_operation_validate(const fv_operation *operation);

/* 1 if the operation has this pass (an update has only FV_FORWARD, a relu no FV_BACKWARD_WEIGHTS). */
FV_API int fv_operation_has_pass(const fv_operation *operation, fv_pass pass);

/* Lists the tensors of one pass: at most FV_MAX_SPECS. Returns their number; 0 if the operation lacks the pass. */
FV_API int fv_operation_signature(const fv_operation *operation, fv_pass pass, fv_tensor_spec specs[FV_MAX_SPECS]);

/* Multiply-accumulates of one pass, counting taps in the padding (as the field does). A FLOP count is twice that. */
FV_API int64_t fv_operation_macs(const fv_operation *operation, fv_pass pass);

/* The least traffic of one pass in bytes: every input read once, every output written once. */
FV_API int64_t fv_operation_bytes(const fv_operation *operation, fv_pass pass);

/* Output height and width. */
FV_API int64_t fv_conv2d_p(const fv_conv2d *d);
FV_API int64_t fv_conv2d_q(const fv_conv2d *d);
FV_API int64_t fv_maxpool_p(const fv_maxpool *d);
FV_API int64_t fv_maxpool_q(const fv_maxpool *d);

/* The type of argmax: FV_U8 for windows of up to 256 positions, else FV_I32. */
FV_API fv_dtype fv_maxpool_argmax(const fv_maxpool *d);

#ifdef __cplusplus
}
#endif
#endif
