/* The table of operations: one fv_op_info per kind, one file per operation. */
#ifndef FOVEA_OPS_OP_H
#define FOVEA_OPS_OP_H

#include <stdbool.h>

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a key of the text form maps to members of the descriptor. */
typedef enum fv_field_type {
    FV_FIELD_COUNT,  /* one int64_t */
    FV_FIELD_OPTION, /* the same, left out of the text where it has its default */
    FV_FIELD_PAIR,   /* two: "3x5" (height x width) or "3" for both */
    FV_FIELD_WINDOW, /* the same, or "global" */
    FV_FIELD_LIST,   /* up to FV_MAX_PARTS: "64,128,32"; 0 behind the last */
    FV_FIELD_CHOICE, /* one, the index of a word in `words` */
    FV_FIELD_PADS,   /* four: top, bottom, left, right; "1", "1x2" (height x width), "0,1,2,3", "same" or "valid" */
    FV_FIELD_REAL,   /* one double */
    FV_FIELD_DTYPE   /* one floating-point fv_dtype */
} fv_field_type;

typedef struct fv_field {
    const char *key;
    fv_field_type type;
    size_t offset;            /* within the operation's struct */
    const char *preset;       /* default as text; NULL: the key must be given */
    const char *const *words; /* of a choice, NULL-terminated */
} fv_field;

enum { FV_PAD_SAME = -1, FV_GLOBAL = -1 }; /* what "same" and "global" leave in pads and window for resolve() */

/* What makes the results of integers exact: with inputs of at most R in magnitude every partial sum is a multiple of
 * 1/grain and at most terms * R^factors. */
typedef struct fv_exactness {
    double terms; /* products in the longest sum */
    int factors;  /* generated inputs in each product */
    double grain; /* 0: integers do not give exact results */
} fv_exactness;

typedef struct fv_op_info {
    const char *name;
    const char *example; /* a small operation of the kind, as text */
    const fv_field *fields;
    int field_count;
    unsigned dtypes; /* that it takes beside f32 and f64: bit 1 << dtype for each */
    /* Fills in what the text left implicit; NULL if there is nothing. */
    void (*resolve)(fv_operation *op);
    fv_status (*validate)(const fv_operation *op);
    int (*signature)(const fv_operation *op, fv_pass pass, fv_tensor_spec *specs);
    int64_t (*macs)(const fv_operation *op, fv_pass pass);
    /* Number of terms summed into one element of output `role`: the K of the error bound. 0: the result is exact, it
     * only selects or copies. */
    int64_t (*reduction)(const fv_operation *op, fv_pass pass, fv_role role);
    /* Elements of input `role` that the results depend on: a 1x1 window of stride 2 skips three pixels in four. NULL: all
     * of every input. */
    int64_t (*needed)(const fv_operation *op, fv_pass pass, fv_role role);
    bool integral; /* integer inputs give exact outputs: sums of products, or selections */
    /* How exact. NULL: sums of `reduction` products of two integers. */
    fv_exactness (*exactness)(const fv_operation *op, fv_pass pass);
} fv_op_info;

extern const fv_op_info fv_conv2d_info, fv_transposed_info, fv_separable_info, fv_spatial_info, fv_unshared_info,
    fv_deformable_info, fv_maxpool_info, fv_avgpool_info, fv_unpool_info, fv_upsample_info, fv_linear_info,
    fv_batchnorm_info, fv_relu_info, fv_dropout_info, fv_concat_info, fv_add_info, fv_flatten_info,
    fv_softmax_xent_info, fv_batch_info, fv_sgd_info, fv_adam_info;

const fv_op_info *fv_op_info_of(fv_kind kind);

/* Describes the tensor that has a role in a pass; false if none has. */
bool fv_operation_tensor(const fv_operation *op, fv_pass pass, fv_role role, fv_tensor_spec *spec);

/* Whether operations of the kind may have this dtype. */
bool fv_op_has_dtype(const fv_op_info *info, fv_dtype dtype);

/* Appends their names, "f32 or f64". */
void fv_op_list_dtypes(const fv_op_info *info, char *text, size_t size);

/* All that fv_op_info.dtypes may hold. */
enum { FV_ALL_DTYPES = 1 << FV_TF32 | 1 << FV_BF16 | 1 << FV_F16 };

/* The dtype of a descriptor, for code that treats all kinds alike. */
fv_dtype fv_operation_dtype(const fv_operation *op);
void fv_operation_set_dtype(fv_operation *op, fv_dtype dtype);

/* The whole numbers that a field stands for in a descriptor; *count is 0 if it holds something else. */
int64_t *fv_field_counts(const fv_field *field, fv_operation *op, int *count);

/* The text form without the keys that have their default; parses back to the same operation. Returns its length, as
 * snprintf does. */
int fv_operation_print_short(const fv_operation *op, char *buffer, size_t size);

/* Reads "key=value key=value ..." into op, whose kind is set; does not resolve or validate. Fields with a bit in
 * `preset` (bit i for info->fields[i]) hold their value already and may not be named; the others take their default if
 * omitted. */
fv_status fv_fields_parse(const fv_op_info *info, const char *text, unsigned preset, fv_operation *op);

/* ---- for the operations' own files ---- */

/* Describes a tensor of as many extents, up to four, as there are letters in `axes`; returns the next free place. */
fv_tensor_spec *fv_spec_add(fv_tensor_spec *spec, fv_role role, fv_direction direction, fv_dtype dtype,
                            const char *axes, int64_t d0, int64_t d1, int64_t d2, int64_t d3);

/* The same for any rank. */
fv_tensor_spec *fv_spec_add_shape(fv_tensor_spec *spec, fv_role role, fv_direction direction, fv_dtype dtype,
                                  const char *axes, fv_shape shape);

/* The tensors of a pass of y = w applied to x, + b, from those of its forward pass: x, w, b and y, of which b is left out
 * where `bias` is 0. */
int fv_weighted_signature(const fv_tensor_spec forward[4], int64_t bias, fv_pass pass, fv_tensor_spec *specs);

/* For operations without products: 0 of them. */
int64_t fv_no_macs(const fv_operation *op, fv_pass pass);

/* The reduction of operations that only copy. */
int64_t fv_no_sums(const fv_operation *op, fv_pass pass, fv_role role);

/* FV_BAD_INPUT "NAME: KEY=VALUE must be at least MINIMUM" unless it is and is below 2^40. */
fv_status fv_require_count(const char *name, const char *key, int64_t value, int64_t minimum);

/* FV_BAD_INPUT "NAME: KEY=VALUE must be 0 or 1" unless it is. */
fv_status fv_require_flag(const char *name, const char *key, int64_t value);

/* FV_BAD_INPUT unless k and groups are counts and groups divide c and k. */
fv_status fv_require_groups(const char *name, int64_t c, int64_t k, int64_t groups);

/* FV_BAD_INPUT if the product of the factors exceeds 2^62; `what` names it. */
fv_status fv_require_product(const char *name, const char *what, const int64_t *factors, int count);

/* The geometry that convolution and pooling share, for one axis. */
typedef struct fv_axis {
    int64_t input, filter, stride, pad_before, pad_after, dilation;
    int64_t ceil; /* 1: see fv_pool2d */
} fv_axis;

/* Input pixels from the window's first tap to its last. */
int64_t fv_axis_span(const fv_axis *axis);

/* floor((input + pads - dilation*(filter-1) - 1) / stride) + 1, or see fv_pool2d for ceil; 0 if the window does not
 * fit. */
int64_t fv_axis_output(const fv_axis *axis);

/* Input pixels, without padding, under a tap of some window. Of very long dilated axes: all, which is nearly so. */
int64_t fv_axis_reached(const fv_axis *axis);

/* Checks that the members of an axis are in range; `which` is "height" or "width". */
fv_status fv_axis_range(const char *name, const char *which, const fv_axis *axis);

/* The same, and that its output is not empty. */
fv_status fv_axis_validate(const char *name, const char *which, const fv_axis *axis);

/* FV_BAD_INPUT unless n is at least 0 and the others at least 1. */
fv_status fv_image_validate(const char *name, int64_t n, int64_t c, int64_t h, int64_t w);

/* For operations that begin with fv_window2d, or fv_pool2d: their images' and their window's fields; "same" padding and
 * global windows; all checks; the axes. */
/* clang-format off */
#define FV_IMAGE_FIELDS \
    {"n", FV_FIELD_COUNT, offsetof(fv_window2d, n), "1", NULL}, \
    {"c", FV_FIELD_COUNT, offsetof(fv_window2d, c), NULL, NULL}, \
    {"h", FV_FIELD_COUNT, offsetof(fv_window2d, h), NULL, NULL}, \
    {"w", FV_FIELD_COUNT, offsetof(fv_window2d, w), NULL, NULL}
#define FV_STEPS_FIELDS \
    {"stride", FV_FIELD_PAIR, offsetof(fv_window2d, stride_h), "1", NULL}, \
    {"pad", FV_FIELD_PADS, offsetof(fv_window2d, pad_top), "0", NULL}, \
    {"dilation", FV_FIELD_PAIR, offsetof(fv_window2d, dilation_h), "1", NULL}
#define FV_WINDOW_FIELDS {"kernel", FV_FIELD_PAIR, offsetof(fv_window2d, r), NULL, NULL}, FV_STEPS_FIELDS
#define FV_POOL_FIELDS \
    {"kernel", FV_FIELD_WINDOW, offsetof(fv_window2d, r), NULL, NULL}, FV_STEPS_FIELDS, \
    {"ceil", FV_FIELD_COUNT, offsetof(fv_pool2d, ceil), "0", NULL}
/* clang-format on */
void fv_window_resolve(fv_operation *op);
void fv_pool_resolve(fv_operation *op);
fv_status fv_window_validate(const char *name, const fv_window2d *window);
fv_axis fv_window_vertical(const fv_window2d *window);
fv_axis fv_window_horizontal(const fv_window2d *window);
fv_status fv_pool_validate(const char *name, const fv_pool2d *pool);
fv_axis fv_pool_vertical(const fv_pool2d *pool);
fv_axis fv_pool_horizontal(const fv_pool2d *pool);

/* fv_op_info.needed of operations whose windows lie on x. */
int64_t fv_window_needed(const fv_operation *op, fv_pass pass, fv_role role);
int64_t fv_pool_needed(const fv_operation *op, fv_pass pass, fv_role role);

/* All checks of conv2d and conv2d_unshared; and the products of these and conv2d_deformable, as many in every pass. */
fv_status fv_convolution_validate(const char *name, const fv_window2d *window, int64_t k, int64_t groups, int64_t bias);
int64_t fv_convolution_macs(const fv_window2d *window, int64_t k, int64_t groups);

/* Padding that makes output = ceil(input/stride); an odd rest goes to the end (TensorFlow's rule). */
void fv_axis_same(const fv_axis *axis, int64_t *pad_before, int64_t *pad_after);

#ifdef __cplusplus
}
#endif
#endif
