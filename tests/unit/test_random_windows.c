/* Random windows: at the corners that they are for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/kernel.h"
#include "base/checked.h"
#include "cases/cases.h"
#include "ops/op.h"
#include "tally.h"

enum { SEED = 1, MANY_CASES = 20000 };

static bool whole(const fv_axis *a) {
    return a->filter > 1 && fv_axis_span(a) == a->input + a->pad_before + a->pad_after;
}

static bool larger(const fv_axis *a) {
    return fv_axis_span(a) > a->input;
}

static bool stepping(const fv_axis *a) {
    return a->stride > fv_axis_span(a) && fv_axis_output(a) > 1;
}

static bool wide_pads(const fv_axis *a) {
    return a->pad_before >= fv_axis_span(a) || a->pad_after >= fv_axis_span(a);
}

static bool uneven_pads(const fv_axis *a) {
    return a->pad_before != a->pad_after;
}

static bool before_only(const fv_axis *a) {
    return a->pad_before && !a->pad_after;
}

static bool after_only(const fv_axis *a) {
    return !a->pad_before && a->pad_after;
}

static bool spread(const fv_axis *a) {
    return a->filter > 1 && a->dilation >= a->input;
}

static bool even(const fv_axis *a) {
    return a->filter % 2 == 0;
}

static bool odd(const fv_axis *a) {
    return a->filter > 1 && a->filter % 2;
}

static bool rest_dropped(const fv_axis *a) {
    return (a->input + a->pad_before + a->pad_after - fv_axis_span(a)) % a->stride != 0;
}

static void note_axes(tally *t, const char *name, int least, bool (*met)(const fv_axis *), const fv_operation *op) {
    const fv_axis v = fv_window_vertical(&op->window), h = fv_window_horizontal(&op->window);
    note_at(t, name, ", height", least, met(&v));
    note_at(t, name, ", width", least, met(&h));
}

static void note_windows(tally *t, const fv_operation *op) {
    const fv_window2d *d = &op->window;
    note_axes(t, "window as large as the padded image", 2000, whole, op);
    note_axes(t, "window larger than the image", 3000, larger, op);
    note_axes(t, "stride > window", 1400, stepping, op);
    note_axes(t, "padding >= window", 2600, wide_pads, op);
    note_axes(t, "uneven padding", 5000, uneven_pads, op);
    note_axes(t, "padding before only", 1300, before_only, op);
    note_axes(t, "padding after only", 1900, after_only, op);
    note_axes(t, "dilation beyond the border", 2100, spread, op);
    note_axes(t, "even filter", 4000, even, op);
    note_axes(t, "odd filter", 5000, odd, op);
    note_axes(t, "a rest that the stride drops", 3000, rest_dropped, op);
    note(t, "1xS", 1300, d->r == 1 && d->s > 1);
    note(t, "Rx1", 1200, d->r > 1 && d->s == 1);
    note(t, "image of one pixel", 700, d->h == 1 && d->w == 1);
    note(t, "wide image", 180, d->w >= 100 && d->h <= 8);
    note(t, "tall image", 190, d->h >= 100 && d->w <= 8);
    note(t, "empty batch", 280, d->n == 0);
    note(t, "one image", 7000, d->n == 1);
    note(t, "many images", 230, d->n > 30);
    const int64_t channels[] = {1, 3, 17, 31, 33, 257};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; ++i)
        note(t, "awkward input channels", 130, d->c == channels[i]);
}

static void note_channels(tally *t, const fv_conv2d *d) {
    const int64_t cg = d->c / d->groups, kg = d->k / d->groups, pixels = d->n * fv_conv2d_p(d) * fv_conv2d_q(d);
    const int64_t channels[] = {1, 3, 17, 31, 33, 257};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; ++i)
        note(t, "awkward output channels", 170, d->k == channels[i]);
    note(t, "one group", 7000, d->groups == 1);
    note(t, "depthwise", 1300, d->groups > 1 && cg == 1 && kg == 1);
    note(t, "depthwise with a multiplier", 1300, d->groups > 1 && cg == 1 && kg > 1);
    note(t, "depthwise with a window of over 4096 taps and lanes", 17,
         cg == 1 && d->r * d->s * fv_min(d->k, 32) > 4096);
    note(t, "one output channel per group", 1200, d->groups > 1 && cg > 1 && kg == 1);
    note(t, "several channels per group", 500, d->groups > 1 && cg > 1 && kg > 1);
    note(t, "bias", 6000, d->bias == 1);
    note(t, "no bias", 5000, d->bias == 0);
    note(t, "relu", 1500, d->relu == 1);
    /* Where our kernels pass from one tile, chunk or split to the next. */
    note(t, "sums over pixels that are split", 800, pixels > 256);
    note(t, "the same with groups and bias", 80, pixels > 256 && d->groups > 1 && d->bias);
    note(t, "filter gradients by 64", 400, kg > 32 && cg * d->r * d->s > 32);
    note(t, "the same, and split", 80, kg > 32 && cg * d->r * d->s > 32 && pixels > 256);
    note(t, "more output channels than a tile has", 230, kg > 128);
    note(t, "more input channels than a chunk has", 1000, cg > 32);
}

static void note_separable(tally *t, const fv_separable *d) {
    note(t, "multiplier", 5000, d->multiplier > 1);
    note(t, "more channels in the middle than a tile has", 1000, d->c * d->multiplier > 64);
    note(t, "more output channels than a tile has", 1000, d->k > 64);
    note(t, "both", 40, d->c * d->multiplier > 64 && d->k > 64);
    note(t, "a multiplier that does not divide a tile", 1000, 64 % d->multiplier != 0);
}

/* Whether the emulator's row of this name refuses the operation. */
static bool refused(const fv_context *emulated, const char *name, const fv_operation *op, fv_pass pass) {
    fv_kernel_cursor cursor = {0};
    for (const fv_kernel *kernel; (kernel = fv_kernel_next(emulated->backend, &cursor));)
        if (kernel->kind == op->kind && kernel->pass == pass && !strcmp(kernel->name, name))
            return fv_kernel_refusal(kernel, emulated, op, pass) != NULL;
    fail_msg("emulated has no kernel %s", name);
    return true;
}

static void note_pools(tally *t, const fv_operation *op) {
    const fv_pool2d *d = &op->pool;
    fv_pool2d without = *d;
    without.ceil = 0;
    note(t, "256 positions", 130, d->r * d->s == 256);
    note(t, "wide argmax", 500, fv_pool_argmax(d) == FV_I32);
    note(t, "ceil that adds a window", 900, fv_pool_p(d) > fv_pool_p(&without) || fv_pool_q(d) > fv_pool_q(&without));
    note(t, "ceil that drops one", 100, fv_pool_p(d) < fv_pool_p(&without) || fv_pool_q(d) < fv_pool_q(&without));
    note(t, "the whole unpadded image", 1000,
         d->r == d->h && d->s == d->w && d->pad_top + d->pad_bottom + d->pad_left + d->pad_right == 0);
    note(t, "channels by four", 2500, d->c % 4 == 0);
    if (op->kind != FV_AVGPOOL)
        return;
    note(t, "exact padded averages", 1000,
         !op->avgpool.include_pad && d->r <= 2 && d->s <= 2 && d->pad_top + d->pad_bottom > 0);
}

/* Kinds whose windows are drawn like conv2d's, of which fewer are small enough: each corner is met now and then. */
static void other_windows_at_corners(void **state) {
    (void)state;
    static const fv_kind kinds[] = {FV_TRANSPOSED, FV_SPATIAL, FV_UNSHARED, FV_DEFORMABLE};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; ++k) {
        tally t = {0};
        for (uint64_t i = 0; i < MANY_CASES; ++i) {
            fv_operation op = fv_random_case(SEED, i, 1u << kinds[k]);
            if (op.kind == FV_TRANSPOSED)
                op = (fv_operation){.kind = FV_CONV2D, .conv2d = fv_transposed_mirror(&op.transposed)};
            t.next = 0;
            note_windows(&t, &op);
        }
        for (int i = 0; i < t.next; ++i)
            t.corner[i].least = 20;
        require_all(&t);
    }
}

static void windows_at_corners(void **state) {
    (void)state;
    static const fv_kind kinds[] = {FV_CONV2D, FV_SEPARABLE, FV_MAXPOOL, FV_AVGPOOL, FV_UNPOOL};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; ++k) {
        tally t = {0};
        for (uint64_t i = 0; i < MANY_CASES; ++i) {
            const fv_operation op = fv_random_case(SEED, i, 1u << kinds[k]);
            t.next = 0;
            note_windows(&t, &op);
            if (kinds[k] == FV_CONV2D)
                note_channels(&t, &op.conv2d);
            else if (kinds[k] == FV_SEPARABLE)
                note_separable(&t, &op.separable);
            else
                note_pools(&t, &op);
        }
        require_all(&t);
    }
}

static void refusals(void **state) {
    (void)state;
    fv_context *emulated;
    assert_int_equal(fv_context_create("emulated", NULL, &emulated), FV_OK);
    tally t = {0};
    for (uint64_t i = 0; i < MANY_CASES / 10; ++i) { /* a plan takes its time */
        const fv_operation op = fv_random_case(SEED, i, 1u << FV_CONV2D);
        t.next = 0;
        note(&t, "no forward tile fits shared memory", 18, refused(emulated, "direct_tile", &op, FV_FORWARD));
        note(&t, "no backward tile fits shared memory", 6,
             !op.conv2d.relu && refused(emulated, "direct_tile", &op, FV_BACKWARD_DATA));
    }
    require_all(&t);
    fv_context_destroy(emulated);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_at_corners),
        cmocka_unit_test(other_windows_at_corners),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
