#include <fovea/matrix.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/op.h"

/* What the convolutions with a matrix have in common, of one image. */
typedef struct geometry {
    const fv_operation *op;
    fv_axis vertical, horizontal;
    int64_t p, q, k, c;
    int64_t cg, kg; /* channels of a group */
} geometry;

static fv_status geometry_of(const fv_operation *op, geometry *g) {
    FV_TRY(fv_operation_validate(op));
    const fv_window2d *w = &op->window;
    int64_t groups;
    *g = (geometry){.op = op, .p = fv_window_p(w), .q = fv_window_q(w), .c = w->c};
    g->vertical = fv_window_vertical(w);
    g->horizontal = fv_window_horizontal(w);
    switch (op->kind) {
    case FV_CONV2D:
        g->k = op->conv2d.k;
        groups = op->conv2d.groups;
        break;
    case FV_UNSHARED:
        g->k = op->unshared.k;
        groups = op->unshared.groups;
        break;
    case FV_TRANSPOSED:
        g->p = fv_transposed_p(&op->transposed);
        g->q = fv_transposed_q(&op->transposed);
        g->k = op->transposed.k;
        groups = op->transposed.groups;
        break;
    default:
        return fv_fail(FV_UNSUPPORTED,
                       "%s has no matrix of its weights: expected conv2d, conv2d_transposed or conv2d_unshared",
                       fv_kind_name(op->kind));
    }
    g->cg = g->c / groups;
    g->kg = g->k / groups;
    const int64_t most = INT32_MAX;
    if (g->p * g->q > most / g->k || w->h * w->w > most / w->c)
        return fv_fail(FV_UNSUPPORTED, "%s: a matrix with more than 2^31-1 rows or columns", fv_kind_name(op->kind));
    return FV_OK;
}

/* The input pixel that an output pixel meets through a tap, along one axis; -1: none. */
static int64_t input_of(const geometry *g, const fv_axis *axis, int64_t output, int64_t tap) {
    int64_t input;
    if (g->op->kind == FV_TRANSPOSED) {
        const int64_t steps = output + axis->pad_before - tap * axis->dilation;
        if (steps < 0 || steps % axis->stride)
            return -1;
        input = steps / axis->stride;
    } else {
        input = output * axis->stride + tap * axis->dilation - axis->pad_before;
    }
    return input >= 0 && input < axis->input ? input : -1;
}

/* Taps by growing input pixel. */
static int64_t tap_at(const geometry *g, const fv_axis *axis, int64_t i) {
    return g->op->kind == FV_TRANSPOSED ? axis->filter - 1 - i : i;
}

/* The index in w of the weight between channels c and k. */
static int64_t weight_at(const geometry *g, int64_t p, int64_t q, int64_t r, int64_t s, int64_t c, int64_t k) {
    const int64_t height = g->vertical.filter, width = g->horizontal.filter;
    if (g->op->kind == FV_TRANSPOSED)
        return ((c * height + r) * width + s) * g->kg + k % g->kg;
    const int64_t filter = g->op->kind == FV_UNSHARED ? (p * g->q + q) * g->k + k : k;
    return ((filter * height + r) * width + s) * g->cg + c % g->cg;
}

/* How many i of 0 to count - 1 have 0 <= i*step - before < size. */
static int64_t count_within(int64_t count, int64_t step, int64_t before, int64_t size) {
    const int64_t first = before > 0 ? (before + step - 1) / step : 0;
    const int64_t end = before + size > 0 ? (before + size + step - 1) / step : 0;
    return fv_max(fv_min(end, count) - first, 0);
}

/* Pairs of an output pixel and a tap that meet a pixel of the image. A convolution steps by outputs and by taps over
 * its input, a transposed one by inputs and by taps over its output: of the two, those that are fewer are counted one
 * by one. */
static int64_t meetings(const geometry *g, const fv_axis *axis, int64_t outputs) {
    const bool transposed = g->op->kind == FV_TRANSPOSED;
    const int64_t windows = transposed ? axis->input : outputs, size = transposed ? outputs : axis->input;
    const bool by_window = windows < axis->filter;
    int64_t count = 0;
    for (int64_t i = 0; i < (by_window ? windows : axis->filter); ++i)
        count += by_window ? count_within(axis->filter, axis->dilation, axis->pad_before - i * axis->stride, size)
                           : count_within(windows, axis->stride, axis->pad_before - i * axis->dilation, size);
    return count;
}

fv_status fv_matrix_measure(const fv_operation *op, fv_matrix_size *size) {
    geometry g;
    fv_tensor_spec filters;
    FV_TRY(geometry_of(op, &g));
    fv_operation_tensor(op, FV_FORWARD, FV_W, &filters);
    *size = (fv_matrix_size){
        .rows = g.p * g.q * g.k,
        .columns = g.vertical.input * g.horizontal.input * g.c,
        .entries = meetings(&g, &g.vertical, g.p) * meetings(&g, &g.horizontal, g.q) * g.k * g.cg,
        .weights = fv_shape_elements(&filters.shape),
    };
    return FV_OK;
}

/* One row; false if the visitor had enough. */
static bool visit_row(const geometry *g, int64_t p, int64_t q, int64_t k, fv_matrix_visitor *visit, void *user) {
    const int64_t row = (p * g->q + q) * g->k + k, first_c = k / g->kg * g->cg;
    for (int64_t i = 0; i < g->vertical.filter; ++i) {
        const int64_t r = tap_at(g, &g->vertical, i), h = input_of(g, &g->vertical, p, r);
        for (int64_t j = 0; h >= 0 && j < g->horizontal.filter; ++j) {
            const int64_t s = tap_at(g, &g->horizontal, j), w = input_of(g, &g->horizontal, q, s);
            const int64_t column = (h * g->horizontal.input + w) * g->c;
            for (int64_t c = first_c; w >= 0 && c < first_c + g->cg; ++c)
                if (!visit(user, row, column + c, weight_at(g, p, q, r, s, c, k)))
                    return false;
        }
    }
    return true;
}

fv_status fv_matrix_visit(const fv_operation *op, fv_matrix_visitor *visit, void *user) {
    geometry g;
    FV_TRY(geometry_of(op, &g));
    for (int64_t p = 0; p < g.p; ++p)
        for (int64_t q = 0; q < g.q; ++q)
            for (int64_t k = 0; k < g.k; ++k)
                if (!visit_row(&g, p, q, k, visit, user))
                    return FV_OK;
    return FV_OK;
}
