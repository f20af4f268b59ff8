/* Deformable convolution by its definition. x and dx are [n,h,w,c], w and dw [k,r,s,c/groups], y and dy [n,p,q,k],
 * offset and doffset [n,p,q,o] with o = 2t for rows and 2t+1 for columns, mask and dmask [n,p,q,t].
 *
 * All passes visit the same taps: tap (r,s) of offset group i, t = (i*R + r)*S + s, at output (n,p,q) reads the
 * channels of its group between four pixels. */
#include <math.h>

#include "backends/reference/reference.h"
#include "base/checked.h"

/* A tap and the four pixels that it reads. */
typedef struct tap {
    int64_t output;              /* (n*P + p)*Q + q */
    int64_t index;               /* of its mask; its offsets are at twice that */
    int64_t rs;                  /* r*S + s */
    int64_t first, end;          /* its channels */
    double mask;                 /* 1 if there is none */
    int64_t pixel[4];            /* (n*H + row)*W + col; -1: outside the image */
    double weight[4];            /* what each counts, */
    double by_row[4], by_col[4]; /* and its derivatives */
} tap;

/* The pixel before a place on one axis, and how far beyond it the place lies. An offset that is infinite or NaN is
 * nowhere: 2 pixels before the image. No axis has 2^31 pixels, so one beyond 2^32 is outside, too. */
static int64_t split_place(int64_t base, double offset, double *beyond) {
    *beyond = 0;
    if (!(fabs(offset) <= 0x1p32))
        return -2;
    *beyond = offset - floor(offset);
    return base + (int64_t)floor(offset);
}

static void place_tap(const fv_deformable *d, int64_t n, int64_t row, int64_t col, const double *offset, tap *t) {
    double down, right;
    const int64_t top = split_place(row, offset[2 * t->index], &down);
    const int64_t left = split_place(col, offset[2 * t->index + 1], &right);
    for (int corner = 0; corner < 4; ++corner) {
        const int below = corner / 2, beside = corner % 2;
        const int64_t at_row = top + below, at_col = left + beside;
        const double vertical = below ? down : 1 - down, horizontal = beside ? right : 1 - right;
        const int inside = at_row >= 0 && at_row < d->h && at_col >= 0 && at_col < d->w;
        t->pixel[corner] = inside ? (n * d->h + at_row) * d->w + at_col : -1;
        t->weight[corner] = vertical * horizontal;
        t->by_row[corner] = (below ? 1 : -1) * horizontal;
        t->by_col[corner] = (beside ? 1 : -1) * vertical;
    }
}

typedef void at_tap(const fv_deformable *d, void *const at[FV_ROLES], const tap *t);

static void visit(const fv_deformable *d, at_tap *act, void *const at[FV_ROLES]) {
    const int64_t height = fv_window_p((const fv_window2d *)d), width = fv_window_q((const fv_window2d *)d);
    const int64_t taps = d->offset_groups * d->r * d->s, channels = d->c / d->offset_groups;
    const double *mask = d->mask ? at[FV_MASK] : NULL;
    for (int64_t output = 0; output < d->n * height * width; ++output)
        for (int64_t number = 0; number < taps; ++number) {
            const int64_t q = output % width, p = output / width % height, n = output / width / height;
            const int64_t s = number % d->s, r = number / d->s % d->r, group = number / d->s / d->r;
            tap t = {.output = output, .index = output * taps + number, .rs = r * d->s + s};
            t.first = group * channels;
            t.end = t.first + channels;
            t.mask = mask ? mask[t.index] : 1;
            place_tap(d, n, p * d->stride_h + r * d->dilation_h - d->pad_top,
                      q * d->stride_w + s * d->dilation_w - d->pad_left, at[FV_OFFSET], &t);
            act(d, at, &t);
        }
}

/* sum over the pixels of factor * x[.., c] */
static double interpolate(const fv_deformable *d, const tap *t, const double factor[4], const double *x, int64_t c) {
    double sum = 0;
    for (int corner = 0; corner < 4; ++corner)
        if (t->pixel[corner] >= 0)
            sum += factor[corner] * x[t->pixel[corner] * d->c + c];
    return sum;
}

/* The place in w of the tap, for channel c and filter `k` of the channel's convolution group; *y is that in y. */
static int64_t filter_of(const fv_deformable *d, const tap *t, int64_t c, int64_t k, int64_t *y) {
    const int64_t cg = d->c / d->groups, kg = d->k / d->groups, filter = c / cg * kg + k;
    *y = t->output * d->k + filter;
    return (filter * d->r * d->s + t->rs) * cg + c % cg;
}

static void add_to_y(const fv_deformable *d, void *const at[FV_ROLES], const tap *t) {
    const double *w = at[FV_W];
    for (int64_t c = t->first; c < t->end; ++c) {
        const double sample = t->mask * interpolate(d, t, t->weight, at[FV_X], c);
        for (int64_t k = 0; k < d->k / d->groups; ++k) {
            int64_t y;
            const int64_t filter = filter_of(d, t, c, k, &y);
            ((double *)at[FV_Y])[y] += w[filter] * sample;
        }
    }
}

/* Channels whose gradients are summed up side by side: within w they are neighbours, and the filters lie far apart. */
enum { BLOCK = 64 };

/* Gradients of the samples of channels [first, end), all of one convolution group: sums over the group's filters. */
static void sum_gradients(const fv_deformable *d, const tap *t, const double *w, const double *dy, int64_t first,
                          int64_t end, double gradient[BLOCK]) {
    for (int64_t c = first; c < end; ++c)
        gradient[c - first] = 0;
    for (int64_t k = 0; k < d->k / d->groups; ++k) {
        int64_t y;
        const double *filter = &w[filter_of(d, t, first, k, &y)];
        for (int64_t c = first; c < end; ++c)
            gradient[c - first] += dy[y] * filter[c - first];
    }
}

static void add_to_data(const fv_deformable *d, void *const at[FV_ROLES], const tap *t) {
    const double *x = at[FV_X];
    double *dx = at[FV_DX], *doffset = at[FV_DOFFSET], *dmask = at[FV_DMASK], gradient[BLOCK];
    const int64_t cg = d->c / d->groups;
    for (int64_t first = t->first, end; first < t->end; first = end) {
        end = fv_min(fv_min(first + BLOCK, t->end), (first / cg + 1) * cg);
        sum_gradients(d, t, at[FV_W], at[FV_DY], first, end, gradient);
        for (int64_t c = first; c < end; ++c) {
            const double change = gradient[c - first];
            for (int corner = 0; corner < 4; ++corner)
                if (t->pixel[corner] >= 0)
                    dx[t->pixel[corner] * d->c + c] += t->weight[corner] * t->mask * change;
            doffset[2 * t->index] += t->mask * change * interpolate(d, t, t->by_row, x, c);
            doffset[2 * t->index + 1] += t->mask * change * interpolate(d, t, t->by_col, x, c);
            if (d->mask)
                dmask[t->index] += change * interpolate(d, t, t->weight, x, c);
        }
    }
}

static void add_to_weights(const fv_deformable *d, void *const at[FV_ROLES], const tap *t) {
    const double *dy = at[FV_DY];
    for (int64_t c = t->first; c < t->end; ++c) {
        const double sample = t->mask * interpolate(d, t, t->weight, at[FV_X], c);
        for (int64_t k = 0; k < d->k / d->groups; ++k) {
            int64_t y;
            const int64_t filter = filter_of(d, t, c, k, &y);
            ((double *)at[FV_DW])[filter] += dy[y] * sample;
        }
    }
}

static int64_t outputs(const fv_operation *op) {
    return op->window.n * fv_window_p(&op->window) * fv_window_q(&op->window);
}

static void deformable_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_deformable *d = &op->deformable;
    fv_reference_begin_with_bias(at[FV_Y], outputs(op) * d->k, at[FV_B], d->k);
    visit(d, add_to_y, at);
}

static void deformable_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_deformable *d = &op->deformable;
    const int64_t taps = outputs(op) * d->offset_groups * d->r * d->s;
    fv_reference_clear(at[FV_DX], d->n * d->h * d->w * d->c);
    fv_reference_clear(at[FV_DOFFSET], 2 * taps);
    if (d->mask)
        fv_reference_clear(at[FV_DMASK], taps);
    visit(d, add_to_data, at);
}

static void deformable_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const fv_deformable *d = &op->deformable;
    fv_reference_clear(at[FV_DW], d->k * d->r * d->s * (d->c / d->groups));
    visit(d, add_to_weights, at);
    if (d->bias)
        fv_reference_sum_bias(at[FV_DB], d->k, at[FV_DY], outputs(op) * d->k);
}

FV_REFERENCE_RUN(deformable_forward, FV_FORWARD)
FV_REFERENCE_RUN(deformable_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(deformable_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_deformable[] = {
    FV_REFERENCE_ROWS(FV_DEFORMABLE, FV_FORWARD, deformable_forward),
    FV_REFERENCE_ROWS(FV_DEFORMABLE, FV_BACKWARD_DATA, deformable_backward_data),
    FV_REFERENCE_ROWS(FV_DEFORMABLE, FV_BACKWARD_WEIGHTS, deformable_backward_weights),
    FV_KERNELS_END,
};
