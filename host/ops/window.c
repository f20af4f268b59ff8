/* The geometry of a sliding window, shared by convolution and pooling: one axis, and both. */
#include <inttypes.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

#define BEGINS_LIKE_A_WINDOW(type)                                                                                     \
    _Static_assert(offsetof(type, n) == offsetof(fv_window2d, n) &&                                                    \
                       offsetof(type, dilation_w) == offsetof(fv_window2d, dilation_w),                                \
                   #type " must begin with the members of fv_window2d")
BEGINS_LIKE_A_WINDOW(fv_conv2d);
BEGINS_LIKE_A_WINDOW(fv_transposed);
BEGINS_LIKE_A_WINDOW(fv_separable);
BEGINS_LIKE_A_WINDOW(fv_spatial);
BEGINS_LIKE_A_WINDOW(fv_unshared);
BEGINS_LIKE_A_WINDOW(fv_deformable);
BEGINS_LIKE_A_WINDOW(fv_pool2d);

#define BEGINS_LIKE_A_POOL(type)                                                                                       \
    BEGINS_LIKE_A_WINDOW(type);                                                                                        \
    _Static_assert(offsetof(type, ceil) == offsetof(fv_pool2d, ceil), #type " must begin with the members of "         \
                                                                            "fv_pool2d")
BEGINS_LIKE_A_POOL(fv_maxpool);
BEGINS_LIKE_A_POOL(fv_avgpool);
BEGINS_LIKE_A_POOL(fv_unpool);

int64_t fv_axis_span(const fv_axis *axis) {
    return axis->dilation * (axis->filter - 1) + 1;
}

int64_t fv_axis_output(const fv_axis *axis) {
    const int64_t room = axis->input + axis->pad_before + axis->pad_after - fv_axis_span(axis);
    if (room <= (axis->ceil ? -axis->stride : -1))
        return 0;
    if (!axis->ceil)
        return room / axis->stride + 1;
    const int64_t steps = (room + axis->stride - 1) / axis->stride; /* of the last window, unless it begins too late */
    return steps * axis->stride >= axis->input + axis->pad_before ? steps : steps + 1;
}

fv_status fv_axis_range(const char *name, const char *which, const fv_axis *axis) {
    const struct {
        const char *key;
        int64_t value, minimum;
    } checks[] = {
        {"input", axis->input, 1},       {"kernel", axis->filter, 1},  {"stride", axis->stride, 1},
        {"dilation", axis->dilation, 1}, {"pad", axis->pad_before, 0}, {"pad", axis->pad_after, 0},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; ++i)
        if (checks[i].value < checks[i].minimum || checks[i].value > INT32_MAX)
            return fv_fail(FV_BAD_INPUT, "%s: %s: %s %" PRId64 " must be %" PRId64 " to 2^31-1", name, which,
                           checks[i].key, checks[i].value, checks[i].minimum);
    return FV_OK;
}

fv_status fv_axis_validate(const char *name, const char *which, const fv_axis *axis) {
    FV_TRY(fv_axis_range(name, which, axis));
    if (fv_axis_output(axis) < 1)
        return fv_fail(FV_BAD_INPUT,
                       "%s: %s: the window spans %" PRId64 " pixels (kernel %" PRId64 ", dilation %" PRId64
                       "), more than the padded input's %" PRId64 "%s",
                       name, which, fv_axis_span(axis), axis->filter, axis->dilation,
                       axis->input + axis->pad_before + axis->pad_after, axis->ceil ? " by a stride or more" : "");
    if (axis->input + axis->pad_before + axis->pad_after + fv_axis_span(axis) > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "%s: %s: padded input and window together exceed 2^31-1 pixels", name, which);
    return FV_OK;
}

void fv_axis_same(const fv_axis *axis, int64_t *pad_before, int64_t *pad_after) {
    *pad_before = *pad_after = 0;
    if (axis->input < 1 || axis->stride < 1 || axis->filter < 1 || axis->dilation < 1 || axis->input > INT32_MAX ||
        axis->stride > INT32_MAX || axis->filter > INT32_MAX || axis->dilation > INT32_MAX)
        return; /* validation will refuse these by name */
    const int64_t output = (axis->input + axis->stride - 1) / axis->stride;
    const int64_t total = fv_max((output - 1) * axis->stride + fv_axis_span(axis) - axis->input, 0);
    *pad_before = total / 2;
    *pad_after = total - total / 2;
}

fv_axis fv_window_vertical(const fv_window2d *d) {
    return (fv_axis){d->h, d->r, d->stride_h, d->pad_top, d->pad_bottom, d->dilation_h, 0};
}

fv_axis fv_window_horizontal(const fv_window2d *d) {
    return (fv_axis){d->w, d->s, d->stride_w, d->pad_left, d->pad_right, d->dilation_w, 0};
}

fv_axis fv_pool_vertical(const fv_pool2d *d) {
    return (fv_axis){d->h, d->r, d->stride_h, d->pad_top, d->pad_bottom, d->dilation_h, d->ceil};
}

fv_axis fv_pool_horizontal(const fv_pool2d *d) {
    return (fv_axis){d->w, d->s, d->stride_w, d->pad_left, d->pad_right, d->dilation_w, d->ceil};
}

void fv_window_resolve(fv_operation *op) {
    fv_window2d *d = &op->window;
    if (d->pad_top != FV_PAD_SAME)
        return;
    const fv_axis v = fv_window_vertical(d), h = fv_window_horizontal(d);
    fv_axis_same(&v, &d->pad_top, &d->pad_bottom);
    fv_axis_same(&h, &d->pad_left, &d->pad_right);
}

void fv_pool_resolve(fv_operation *op) {
    fv_pool2d *d = &op->pool;
    if (d->r == FV_GLOBAL) {
        d->r = d->h;
        d->s = d->w;
    }
    fv_window_resolve(op);
}

fv_status fv_image_validate(const char *name, int64_t n, int64_t c, int64_t h, int64_t w) {
    FV_TRY(fv_require_count(name, "n", n, 0));
    FV_TRY(fv_require_count(name, "c", c, 1));
    FV_TRY(fv_require_count(name, "h", h, 1));
    return fv_require_count(name, "w", w, 1);
}

fv_status fv_window_validate(const char *name, const fv_window2d *d) {
    FV_TRY(fv_image_validate(name, d->n, d->c, d->h, d->w));
    const fv_axis v = fv_window_vertical(d), h = fv_window_horizontal(d);
    FV_TRY(fv_axis_validate(name, "height", &v));
    return fv_axis_validate(name, "width", &h);
}

fv_status fv_convolution_validate(const char *name, const fv_window2d *d, int64_t k, int64_t groups, int64_t bias) {
    FV_TRY(fv_window_validate(name, d));
    FV_TRY(fv_require_groups(name, d->c, k, groups));
    FV_TRY(fv_require_flag(name, "bias", bias));
    const int64_t factors[] = {d->n, fv_window_p(d), fv_window_q(d), k, d->r, d->s, d->c / groups};
    return fv_require_product(name, "the number of multiply-accumulates", factors, 7);
}

int64_t fv_convolution_macs(const fv_window2d *d, int64_t k, int64_t groups) {
    return d->n * fv_window_p(d) * fv_window_q(d) * k * d->r * d->s * (d->c / groups);
}

fv_status fv_pool_validate(const char *name, const fv_pool2d *d) {
    FV_TRY(fv_image_validate(name, d->n, d->c, d->h, d->w));
    FV_TRY(fv_require_flag(name, "ceil", d->ceil));
    const fv_axis v = fv_pool_vertical(d), h = fv_pool_horizontal(d);
    FV_TRY(fv_axis_validate(name, "height", &v));
    FV_TRY(fv_axis_validate(name, "width", &h));
    if (d->r * d->s > INT32_MAX) /* argmax is at most an i32 */
        return fv_fail(FV_BAD_INPUT, "%s: the window has more than 2^31-1 positions", name);
    return FV_OK;
}

int64_t fv_window_p(const fv_window2d *d) {
    const fv_axis axis = fv_window_vertical(d);
    return fv_axis_output(&axis);
}

int64_t fv_window_q(const fv_window2d *d) {
    const fv_axis axis = fv_window_horizontal(d);
    return fv_axis_output(&axis);
}

int64_t fv_pool_p(const fv_pool2d *d) {
    const fv_axis axis = fv_pool_vertical(d);
    return fv_axis_output(&axis);
}

int64_t fv_pool_q(const fv_pool2d *d) {
    const fv_axis axis = fv_pool_horizontal(d);
    return fv_axis_output(&axis);
}

fv_dtype fv_pool_argmax(const fv_pool2d *d) {
    return d->r * d->s <= 256 ? FV_U8 : FV_I32;
}

int64_t fv_conv2d_p(const fv_conv2d *d) {
    return fv_window_p((const fv_window2d *)d);
}

int64_t fv_conv2d_q(const fv_conv2d *d) {
    return fv_window_q((const fv_window2d *)d);
}

int64_t fv_maxpool_p(const fv_maxpool *d) {
    return fv_pool_p((const fv_pool2d *)d);
}

int64_t fv_maxpool_q(const fv_maxpool *d) {
    return fv_pool_q((const fv_pool2d *)d);
}

fv_dtype fv_maxpool_argmax(const fv_maxpool *d) {
    return fv_pool_argmax((const fv_pool2d *)d);
}

/* Of the first `count` pixels of the padded input, those under windows without gaps. */
static int64_t covered(const fv_axis *axis, int64_t outputs, int64_t count) {
    if (axis->filter >= axis->stride)
        return fv_min(count, (outputs - 1) * axis->stride + axis->filter);
    const int64_t windows = fv_min(count / axis->stride, outputs);
    return windows * axis->filter + (windows < outputs ? fv_min(count % axis->stride, axis->filter) : 0);
}

static bool is_reached(const fv_axis *axis, int64_t outputs, int64_t pixel) {
    for (int64_t tap = 0; tap < axis->filter && tap * axis->dilation <= pixel; ++tap) {
        const int64_t begin = pixel - tap * axis->dilation; /* of the window that has it under this tap */
        if (begin % axis->stride == 0 && begin / axis->stride < outputs)
            return true;
    }
    return false;
}

int64_t fv_axis_reached(const fv_axis *axis) {
    enum { MOST_STEPS = 1 << 22 };
    const int64_t outputs = fv_axis_output(axis), end = axis->pad_before + axis->input;
    int64_t reached = 0;
    if (axis->filter == 1 || axis->dilation == 1)
        return covered(axis, outputs, end) - covered(axis, outputs, axis->pad_before);
    if (axis->input > MOST_STEPS / axis->filter)
        return axis->input; /* nearly */
    for (int64_t pixel = axis->pad_before; pixel < end; ++pixel)
        reached += is_reached(axis, outputs, pixel);
    return reached;
}

/* The elements of an input, or only those under windows where that is x. */
static int64_t needed(const fv_operation *op, fv_pass pass, fv_role role, const fv_axis *vertical,
                      const fv_axis *horizontal) {
    fv_tensor_spec spec;
    if (role == FV_X)
        return op->window.n * op->window.c * fv_axis_reached(vertical) * fv_axis_reached(horizontal);
    return fv_operation_tensor(op, pass, role, &spec) ? fv_shape_elements(&spec.shape) : 0;
}

int64_t fv_window_needed(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_axis vertical = fv_window_vertical(&op->window), horizontal = fv_window_horizontal(&op->window);
    return needed(op, pass, role, &vertical, &horizontal);
}

int64_t fv_pool_needed(const fv_operation *op, fv_pass pass, fv_role role) {
    const fv_axis vertical = fv_pool_vertical(&op->pool), horizontal = fv_pool_horizontal(&op->pool);
    return needed(op, pass, role, &vertical, &horizontal);
}
