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

/* The dtype of an operation is f32, f64, or, for operations that are sums of products, one of these:
 *     tf32    Tensors are f32; that factors are rounded to tf32's 11 significant bits is permitted.
 *     bf16    All floating-point tensors are stored so, every sum is kept in f32, and each result is rounded once, to
 *     f16     nearest, ties to even.
 * i32 and u8 are of indices and images. */
typedef enum fv_dtype {
    FV_F32,
    FV_TF32,
    FV_BF16,
    FV_F16,
    FV_F64,
    FV_I32,
    FV_U8,
    FV_DTYPES,
    FV_FIRST_REAL = FV_F32, /* an operation's is from here */
    FV_LAST_REAL = FV_F64   /* to here */
} fv_dtype;

enum { FV_MAX_RANK = 6 };

/* Extents of a dense row-major tensor, outermost first. */
typedef struct fv_shape {
    int rank;
    int64_t dim[FV_MAX_RANK];
} fv_shape;

typedef enum fv_pass { FV_FORWARD, FV_BACKWARD_DATA, FV_BACKWARD_WEIGHTS, FV_PASSES } fv_pass;

typedef enum fv_kind {
    FV_CONV2D,
    FV_TRANSPOSED,
    FV_SEPARABLE,
    FV_SPATIAL,
    FV_UNSHARED,
    FV_DEFORMABLE,
    FV_MAXPOOL,
    FV_AVGPOOL,
    FV_UNPOOL,
    FV_UPSAMPLE,
    FV_LINEAR,
    FV_BATCHNORM,
    FV_RELU,
    FV_DROPOUT,
    FV_CONCAT,
    FV_ADD,
    FV_FLATTEN,
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
    int64_t relu; /* 1: y = max(y, 0) at the end. Such a conv2d, of inference, has a forward pass alone. */
    fv_dtype dtype;
} fv_conv2d;

/* conv2d_transposed (Dumoulin and Visin 2016, arXiv:1603.07285): the adjoint of the conv2d that leads from y to x, so
 * that backward_data of the one is forward of the other on the same filters w[c, r, s, k/groups]:
 * y[n, h*stride_h + r*dilation_h - pad_top, w*stride_w + s*dilation_w - pad_left, k]
 *     += x[n,h,w,c] * w[c, r, s, k % (K/G)]    for the channels c of k's group; and b[k] is added to every y.
 * Output height: (h-1)*stride_h - pad_top - pad_bottom + dilation_h*(r-1) + output_pad_h + 1. The output padding, below
 * the stride, tells apart the sizes that the conv2d would map to one. */
typedef struct fv_transposed {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t output_pad_h, output_pad_w; /* rows and columns added at the bottom and the right */
    int64_t k;
    int64_t groups;
    int64_t bias;
    fv_dtype dtype;
} fv_transposed;

/* conv2d_separable (depthwise-separable: Chollet 2017, arXiv:1610.02357): a depthwise conv2d from c to c*multiplier
 * channels, with the window, and a 1x1 conv2d from those to k:
 * y[n,p,q,k] = b[k] + sum_m w2[k,m] * sum_{r,s} w[m,r,s] * x[n, .., .., m / multiplier]. */
typedef struct fv_separable {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t multiplier;
    int64_t k;
    int64_t bias;
    fv_dtype dtype;
} fv_separable;

/* conv2d_spatial (spatially separable; Szegedy et al. 2016, arXiv:1512.00567, factorised filters): an r x 1 conv2d from
 * c to m channels with the vertical stride, padding and dilation, and a 1 x s conv2d from those to k channels with the
 * horizontal ones; both with these groups:
 * y[n,p,q,k] = b[k] + sum_{s,m} w2[k,s,m] * sum_{r,c} w[m,r,c] * x[n, .., .., c].
 * With c = m = k = 1 it is an r x s filter of rank 1, see fv_factor_filter in fovea/filters.h. */
typedef struct fv_spatial {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t m;
    int64_t k;
    int64_t groups;
    int64_t bias;
    fv_dtype dtype;
} fv_spatial;

/* conv2d_unshared (locally connected): as conv2d, with filters w[p,q,k,r,s,c/groups] and a bias b[p,q,k] of its own at
 * every output position. */
typedef struct fv_unshared {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t k;
    int64_t groups;
    int64_t bias;
    fv_dtype dtype;
} fv_unshared;

/* conv2d_deformable (Dai et al. 2017, arXiv:1703.06211; with a mask: v2, Zhu et al. 2019, arXiv:1811.11168): as conv2d,
 * but tap (r,s) reads x at a place that is moved by an offset, between pixels bilinearly, and weighs it by the mask:
 * y[n,p,q,k] = b[k] + sum_{r,s,c} w[k,r,s,c] * mask[n,p,q,t]
 *                * X(p*stride_h + r*dilation_h - pad_top + offset[n,p,q,2t],
 *                    q*stride_w + s*dilation_w - pad_left + offset[n,p,q,2t+1])
 * with t = (i*R + r)*S + s, i the offset group of the channel that x is read at; and X(i,j) = sum over pixels (a,b) of
 * max(0, 1-|a-i|) * max(0, 1-|b-j|) * x[n,a,b,c]; pixels outside the image are 0. The offset's gradient at a place on
 * the grid is that of the side of larger coordinates. An offset that is infinite or NaN moves its tap out of the image:
 * it reads 0, and no gradient comes from it. */
typedef struct fv_deformable {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t k;
    int64_t groups;        /* of the convolution */
    int64_t offset_groups; /* c / offset_groups neighbouring channels share their offsets and mask */
    int64_t mask;          /* 1: there is a mask */
    int64_t bias;
    fv_dtype dtype;
} fv_deformable;

/* A pooling window: the members that maxpool, avgpool and unpool begin with. With `ceil` the last window may reach
 * beyond the padding, if it begins within the image or the padding before it: output height
 * ceil((h + pad_top + pad_bottom - dilation_h*(r-1) - 1) / stride_h) + 1, less 1 if that window begins behind the
 * image. (One window may be larger than the padded image, by less than a stride; and where whole windows lie in the
 * padding at the end, there can be fewer outputs than without ceil.) The text form takes
 * kernel=global for a window as large as the image. */
typedef struct fv_pool2d {
    int64_t n, c, h, w, r, s; /* as in fv_window2d, up to dilation_w */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t ceil; /* 0 or 1 */
} fv_pool2d;

/* y[n,p,q,c] = the largest x in the window; argmax holds its position r*S + s within the window. Ties go to the first
 * in row-major order and padding never wins; a window wholly in the padding gives -inf and argmax 0, and its gradient
 * goes nowhere. What a window with a NaN, or with nothing above -inf, gives is the backend's affair. argmax is u8 where
 * the window has at most 256 positions, else i32. */
typedef struct fv_maxpool {
    int64_t n, c, h, w, r, s; /* as in fv_pool2d, up to ceil */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t ceil;
    fv_dtype dtype;
} fv_maxpool;

/* y[n,p,q,c] = the sum of x over the window / d. include_pad = 1: d counts the window's positions in the padded image
 * (not those that ceil adds); include_pad = 0: those in the image, and where there is none, y = 0. */
typedef struct fv_avgpool {
    int64_t n, c, h, w, r, s; /* as in fv_pool2d, up to ceil */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t ceil;
    int64_t include_pad;
    fv_dtype dtype;
} fv_avgpool;

/* Max-unpooling (Zeiler and Fergus 2014, arXiv:1311.2901): the descriptor is that of the maxpool to be undone; x and
 * argmax are [n,p,q,c], y is [n,h,w,c]: the pixel at position argmax of a window gets the window's x. Of several
 * windows that name a pixel the first in row-major order gives its value (after a maxpool all have the same); pixels
 * that none names are 0. A position in the padding or outside of the window is nowhere. Backward: dx = dy at the pixel
 * that the window's x went to; 0 if it went nowhere, or the pixel has its value from an earlier window. */
typedef struct fv_unpool {
    int64_t n, c, h, w, r, s; /* as in fv_pool2d, up to ceil */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_bottom, pad_left, pad_right;
    int64_t dilation_h, dilation_w;
    int64_t ceil;
    fv_dtype dtype;
} fv_unpool;

typedef enum fv_upsample_mode { FV_NEAREST, FV_BILINEAR } fv_upsample_mode;

/* Resizes images from h x w to p x q. Row p lies at the input row i = (p + 1/2) * h / P - 1/2, or p * (h-1) / (P-1)
 * with `align` (corners; 0 if P = 1). nearest (without align): the pixel floor((p + 1/2) * h / P). bilinear: between
 * the rows floor(i) and floor(i)+1, i first brought into 0 to h-1. Columns likewise. */
typedef struct fv_upsample {
    int64_t n, c, h, w, p, q;
    int64_t mode; /* fv_upsample_mode; "nearest" or "bilinear" in text */
    int64_t align;
    fv_dtype dtype;
} fv_upsample;

/* y[n,k] = b[k] + sum_c x[n,c] * w[k,c] */
typedef struct fv_linear {
    int64_t n, c, k;
    int64_t bias;
    fv_dtype dtype;
} fv_linear;

/* Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167), per channel over the n*h*w pixels:
 * y = w * (x - mean) / sqrt(variance + epsilon) + b.
 * training = 1: mean and variance (biased) are the batch's, saved as saved_mean and saved_rstd = 1/sqrt(variance +
 * epsilon) for backward, and the running ones are updated: mean = (1-momentum)*mean + momentum*batch mean; variance
 * likewise with the unbiased one (the biased one where there is one pixel). training = 0: mean and variance are the
 * running ones.
 * Backward gives dx, dw and db in one pass: they share their reading of x and dy, and dx needs the other two.
 * relu = 1: y = max(y, 0) at the end; backward also takes y, and dy counts where y > 0. */
typedef struct fv_batchnorm {
    int64_t n, c, h, w;
    int64_t training; /* 0 or 1 */
    int64_t relu;     /* 0 or 1 */
    double epsilon;   /* 2^-126 to 1 */
    double momentum;  /* 0 to 1: the weight of the newest batch */
    fv_dtype dtype;
} fv_batchnorm;

/* y = x where x > 0, else slope*x, elementwise; a NaN stays NaN. slope = 0: max(x, 0); above 0, below 1: leaky ReLU.
 * Backward: dx = dy where y > 0, else slope*dy. */
typedef struct fv_relu {
    int64_t elements;
    double slope;
    fv_dtype dtype;
} fv_relu;

/* Inverted dropout (Srivastava et al. 2014): y = x / (1-rate) where element i is kept, else 0; backward the same on dy.
 * Element i is kept if u >= rate, with u = fv_random_uniform(seed, step, i) of base/random.h (Philox; 24 bits): any
 * backend drops the same elements, and a step can be replayed. `step` is a tensor, so that a recorded graph of a
 * training step can be run again with the next number. */
typedef struct fv_dropout {
    int64_t elements, seed;
    double rate; /* 0 <= rate < 1 */
    fv_dtype dtype;
} fv_dropout;

enum { FV_MAX_PARTS = 4 };

/* y = the images x, x2, x3, x4 one behind the other along the channels (the branches of an Inception block). */
typedef struct fv_concat {
    int64_t n, h, w;
    int64_t c[FV_MAX_PARTS]; /* channels of the parts; 0 behind the last */
    fv_dtype dtype;
} fv_concat;

/* y = x + x2, elementwise (a residual connection). */
typedef struct fv_add {
    int64_t elements;
    fv_dtype dtype;
} fv_add;

typedef enum fv_flatten_order { FV_HWC, FV_CHW } fv_flatten_order;

/* y[n,:] = the image's pixels in a row: in the order they lie in memory (hwc), or channel by channel (chw), as linear
 * weights that were trained on NCHW images expect them. */
typedef struct fv_flatten {
    int64_t n, c, h, w;
    int64_t order; /* fv_flatten_order; "hwc" or "chw" in text */
    fv_dtype dtype;
} fv_flatten;

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
        fv_window2d window; /* of the convolutions and poolings */
        fv_pool2d pool;     /* of maxpool, avgpool and unpool */
        fv_conv2d conv2d;
        fv_transposed transposed;
        fv_separable separable;
        fv_spatial spatial;
        fv_unshared unshared;
        fv_deformable deformable;
        fv_maxpool maxpool;
        fv_avgpool avgpool;
        fv_unpool unpool;
        fv_upsample upsample;
        fv_linear linear;
        fv_batchnorm batchnorm;
        fv_relu relu;
        fv_dropout dropout;
        fv_concat concat;
        fv_add add;
        fv_flatten flatten;
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
    FV_W2,           /* the second filters of conv2d_separable and conv2d_spatial */
    FV_DW2,
    FV_OFFSET, /* conv2d_deformable: by how much each tap is moved, rows and columns in turn */
    FV_DOFFSET,
    FV_MASK, /* conv2d_deformable: by how much each tap counts */
    FV_DMASK,
    FV_X2, /* further inputs of concat and add */
    FV_X3,
    FV_X4,
    FV_DX2,
    FV_DX3,
    FV_DX4,
    FV_MEAN, /* batchnorm: running mean and variance [c] */
    FV_VARIANCE,
    FV_SAVED_MEAN, /* batchnorm: the batch's mean and 1/sqrt(variance + epsilon) [c] */
    FV_SAVED_RSTD,
    FV_STEP, /* dropout: i32 [1], the number of the step, which chooses the elements that are dropped */
    FV_ROLES
} fv_role;

typedef enum fv_direction { FV_IN, FV_OUT, FV_INOUT } fv_direction;

typedef struct fv_tensor_spec {
    fv_role role;
    fv_direction direction;
    fv_dtype dtype;
    fv_shape shape;
    const char *axes; /* a letter for each axis: those above, i for elements, m for the items of a data set or the
                         channels between two stages, o for offsets, t for taps */
} fv_tensor_spec;

enum { FV_MAX_SPECS = 9 };

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
 * no tensor has more than 2^56 elements, and operations of the kind may have this dtype. */
FV_API fv_status fv_operation_validate(const fv_operation *operation);

/* 1 if the operation has this pass (an update has only FV_FORWARD, a relu no FV_BACKWARD_WEIGHTS). */
FV_API int fv_operation_has_pass(const fv_operation *operation, fv_pass pass);

/* Lists the tensors of one pass: at most FV_MAX_SPECS. Returns their number; 0 if the operation lacks the pass. */
FV_API int fv_operation_signature(const fv_operation *operation, fv_pass pass, fv_tensor_spec specs[FV_MAX_SPECS]);

/* Multiply-accumulates of one pass, counting taps in the padding (as the field does). A FLOP count is twice that. */
FV_API int64_t fv_operation_macs(const fv_operation *operation, fv_pass pass);

/* The least traffic of one pass in bytes: every input element that results depend on is read once, every output written
 * once. */
FV_API int64_t fv_operation_bytes(const fv_operation *operation, fv_pass pass);

/* Output height and width, of any operation with a window (conv2d, conv2d_separable, conv2d_spatial, conv2d_unshared,
 * conv2d_deformable) and of the others. */
FV_API int64_t fv_window_p(const fv_window2d *d);
FV_API int64_t fv_window_q(const fv_window2d *d);
FV_API int64_t fv_pool_p(const fv_pool2d *d);
FV_API int64_t fv_pool_q(const fv_pool2d *d);
FV_API int64_t fv_transposed_p(const fv_transposed *d);
FV_API int64_t fv_transposed_q(const fv_transposed *d);
FV_API int64_t fv_conv2d_p(const fv_conv2d *d);
FV_API int64_t fv_conv2d_q(const fv_conv2d *d);
FV_API int64_t fv_maxpool_p(const fv_maxpool *d);
FV_API int64_t fv_maxpool_q(const fv_maxpool *d);

/* The type of argmax: FV_U8 for windows of up to 256 positions, else FV_I32. */
FV_API fv_dtype fv_maxpool_argmax(const fv_maxpool *d);
FV_API fv_dtype fv_pool_argmax(const fv_pool2d *d);

/* The conv2d operations that a descriptor is made of. The mirror of a conv2d_transposed leads from its y to its x,
 * without bias. The stages of conv2d_separable and conv2d_spatial, one after the other; the second has the bias. */
FV_API fv_conv2d fv_transposed_mirror(const fv_transposed *d);
FV_API void fv_separable_stages(const fv_separable *d, fv_conv2d stages[2]);
FV_API void fv_spatial_stages(const fv_spatial *d, fv_conv2d stages[2]);

#ifdef __cplusplus
}
#endif
#endif
