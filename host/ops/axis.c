/* The geometry of a window sliding along one axis, shared by convolution and pooling. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

/* Input pixels from the window's first tap to its last. */
static int64_t span(const fv_axis *axis) {
    return axis->dilation * (axis->filter - 1) + 1;
}

int64_t fv_axis_output(const fv_axis *axis) {
    const int64_t room = axis->input + axis->pad_before + axis->pad_after - span(axis);
    return room < 0 ? 0 : room / axis->stride + 1;
}

fv_status fv_axis_validate(const char *name, const char *which, const fv_axis *axis) {
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
    if (fv_axis_output(axis) < 1)
        return fv_fail(FV_BAD_INPUT,
                       "%s: %s: the window spans %" PRId64 " pixels (kernel %" PRId64 ", dilation %" PRId64
                       "), more than the padded input's %" PRId64,
                       name, which, span(axis), axis->filter, axis->dilation,
                       axis->input + axis->pad_before + axis->pad_after);
    if (axis->input + axis->pad_before + axis->pad_after + span(axis) > INT32_MAX)
        return fv_fail(FV_BAD_INPUT, "%s: %s: padded input and window together exceed 2^31-1 pixels", name, which);
    return FV_OK;
}

void fv_axis_same(const fv_axis *axis, int64_t *pad_before, int64_t *pad_after) {
    *pad_before = *pad_after = 0;
    if (axis->input < 1 || axis->stride < 1 || axis->filter < 1 || axis->dilation < 1 || axis->input > INT32_MAX ||
        axis->stride > INT32_MAX || axis->filter > INT32_MAX || axis->dilation > INT32_MAX)
        return; /* validation will refuse these by name */
    const int64_t output = (axis->input + axis->stride - 1) / axis->stride;
    const int64_t total = fv_max((output - 1) * axis->stride + span(axis) - axis->input, 0);
    *pad_before = total / 2;
    *pad_after = total - total / 2;
}
