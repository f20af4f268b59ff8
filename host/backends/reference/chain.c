/* conv2d_separable and conv2d_spatial by their definition: two convolutions, one behind the other.
 *
 * All passes visit the values z[n,a,b,m] between the two stages, one after the other, so that none has to be stored: z
 * itself gathers from x, its gradient from dy, and both are handed on at once. x and dx are [n,h,w,c], w and dw
 * [m,r,s,c/groups], w2 and dw2 [k,r,s,m/groups], y and dy [n,p,q,k]. */
#include "ops/chain.h"
#include "backends/reference/reference.h"

typedef struct chain {
    fv_conv2d first, second;
    int64_t height, width; /* of z */
    const double *x, *w, *w2, *b, *dy;
    double *y, *dx, *dw, *dw2, *db;
} chain;

/* A place between the stages. */
typedef struct place {
    int64_t n, a, b, m;
} place;

static chain chain_of(const fv_operation *op, void *const at[FV_ROLES]) {
    fv_operation stages[2];
    fv_chain_stages(op, stages);
    const fv_conv2d *second = &stages[1].conv2d;
    return (chain){stages[0].conv2d, *second,   second->h, second->w, at[FV_X],  at[FV_W],   at[FV_W2],
                   at[FV_B],         at[FV_DY], at[FV_Y],  at[FV_DX], at[FV_DW], at[FV_DW2], at[FV_DB]};
}

/* Visits the inputs that a place gathers from: z += x * w, or dx += dz * w, or dw += dz * x. Returns z. */
static double first_stage(const chain *c, const place *at, double dz) {
    const fv_conv2d *d = &c->first;
    const int64_t cg = d->c / d->groups, first_channel = at->m / (d->k / d->groups) * cg;
    double z = 0;
    for (int64_t r = 0; r < d->r; ++r)
        for (int64_t s = 0; s < d->s; ++s) {
            const int64_t row = at->a * d->stride_h + r * d->dilation_h - d->pad_top;
            const int64_t col = at->b * d->stride_w + s * d->dilation_w - d->pad_left;
            if (row < 0 || row >= d->h || col < 0 || col >= d->w)
                continue;
            const int64_t pixel = ((at->n * d->h + row) * d->w + col) * d->c + first_channel;
            const int64_t tap = ((at->m * d->r + r) * d->s + s) * cg;
            for (int64_t i = 0; i < cg; ++i) {
                if (c->x && c->w)
                    z += c->x[pixel + i] * c->w[tap + i];
                if (c->dx)
                    c->dx[pixel + i] += dz * c->w[tap + i];
                if (c->dw)
                    c->dw[tap + i] += dz * c->x[pixel + i];
            }
        }
    return z;
}

/* Visits the outputs that a place contributes to: y += z * w2, or dz += dy * w2, or dw2 += dy * z. Returns dz. */
static double second_stage(const chain *c, const place *at, double z) {
    const fv_conv2d *d = &c->second;
    const int64_t mg = d->c / d->groups, kg = d->k / d->groups, first_k = at->m / mg * kg;
    const int64_t height = fv_conv2d_p(d), width = fv_conv2d_q(d);
    double dz = 0;
    for (int64_t r = 0; r < d->r; ++r)
        for (int64_t s = 0; s < d->s; ++s) {
            const int64_t down = at->a + d->pad_top - r * d->dilation_h, p = down / d->stride_h;
            const int64_t across = at->b + d->pad_left - s * d->dilation_w, q = across / d->stride_w;
            if (down < 0 || down % d->stride_h || p >= height || across < 0 || across % d->stride_w || q >= width)
                continue;
            for (int64_t k = first_k; k < first_k + kg; ++k) {
                const int64_t tap = ((k * d->r + r) * d->s + s) * mg + at->m % mg;
                const int64_t output = ((at->n * height + p) * width + q) * d->k + k;
                if (c->y)
                    c->y[output] += z * c->w2[tap];
                if (c->dy)
                    dz += c->dy[output] * c->w2[tap];
                if (c->dw2)
                    c->dw2[tap] += c->dy[output] * z;
            }
        }
    return dz;
}

/* Going back, the first stage takes the gradient that the second gives, going forward the second takes what the first
 * gives; by weights both. */
static void visit(const chain *c) {
    for (int64_t n = 0; n < c->first.n; ++n)
        for (int64_t a = 0; a < c->height; ++a)
            for (int64_t b = 0; b < c->width; ++b)
                for (int64_t m = 0; m < c->first.k; ++m) {
                    const place at = {n, a, b, m};
                    chain forward = *c;
                    forward.dx = forward.dw = NULL;
                    const double z = c->x ? first_stage(&forward, &at, 0) : 0;
                    const double dz = second_stage(c, &at, z);
                    if (c->dx || c->dw)
                        first_stage(c, &at, dz);
                }
}

static int64_t outputs(const chain *c) {
    return c->second.n * fv_conv2d_p(&c->second) * fv_conv2d_q(&c->second) * c->second.k;
}

static void chain_forward(const fv_operation *op, void *const at[FV_ROLES]) {
    const chain c = chain_of(op, at);
    fv_reference_begin_with_bias(c.y, outputs(&c), c.b, c.second.k);
    visit(&c);
}

static void chain_backward_data(const fv_operation *op, void *const at[FV_ROLES]) {
    const chain c = chain_of(op, at);
    fv_reference_clear(c.dx, c.first.n * c.first.h * c.first.w * c.first.c);
    visit(&c);
}

static void chain_backward_weights(const fv_operation *op, void *const at[FV_ROLES]) {
    const chain c = chain_of(op, at);
    const fv_conv2d *a = &c.first, *b = &c.second;
    fv_reference_clear(c.dw, a->k * a->r * a->s * (a->c / a->groups));
    fv_reference_clear(c.dw2, b->k * b->r * b->s * (b->c / b->groups));
    visit(&c);
    if (b->bias)
        fv_reference_sum_bias(c.db, b->k, c.dy, outputs(&c));
}

FV_REFERENCE_RUN(chain_forward, FV_FORWARD)
FV_REFERENCE_RUN(chain_backward_data, FV_BACKWARD_DATA)
FV_REFERENCE_RUN(chain_backward_weights, FV_BACKWARD_WEIGHTS)

const fv_kernel fv_reference_chain[] = {
    FV_REFERENCE_ROWS(FV_SEPARABLE, FV_FORWARD, chain_forward),
    FV_REFERENCE_ROWS(FV_SEPARABLE, FV_BACKWARD_DATA, chain_backward_data),
    FV_REFERENCE_ROWS(FV_SEPARABLE, FV_BACKWARD_WEIGHTS, chain_backward_weights),
    FV_REFERENCE_ROWS(FV_SPATIAL, FV_FORWARD, chain_forward),
    FV_REFERENCE_ROWS(FV_SPATIAL, FV_BACKWARD_DATA, chain_backward_data),
    FV_REFERENCE_ROWS(FV_SPATIAL, FV_BACKWARD_WEIGHTS, chain_backward_weights),
    FV_KERNELS_END,
};
