/* Random cases: the same everywhere, valid, small, printable, and at the corners that they are for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backends/kernel.h"
#include "base/checked.h"
#include "cases/cases.h"
#include "ops/op.h"

enum { SEED = 1, MANY_CASES = 20000, ALL_KINDS = (1 << FV_KINDS) - 1, TEXT_SIZE = 512 };

static void print(const fv_operation *op, char text[TEXT_SIZE]) {
    assert_in_range(fv_operation_print(op, text, TEXT_SIZE), 1, TEXT_SIZE - 1);
}

/* The text of the first thousand cases, hashed by FNV-1a. A change to the drawing changes it, and then the list behind
 * every seed that somebody wrote down; record the new hash where that is meant. */
static void the_same_everywhere(void **state) {
    (void)state;
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < 1000; ++i) {
        const fv_operation op = fv_random_case(SEED, i, ALL_KINDS);
        char text[TEXT_SIZE];
        print(&op, text);
        for (const char *c = text; *c; ++c)
            hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    }
    if (hash != 0xc1316d0fd56c7ee1u)
        fail_msg("the cases of seed 1 hash to 0x%016llx", (unsigned long long)hash);
}

/* What the emulator bears. */
static void valid_small_and_printable(void **state) {
    (void)state;
    enum { MACS = 300000, ELEMENTS = 100000, LARGE_TIMES = 10 };
    int large_cases = 0;
    for (uint64_t i = 0; i < MANY_CASES; ++i) {
        const fv_operation op = fv_random_case(SEED, i, ALL_KINDS);
        char text[TEXT_SIZE], again[TEXT_SIZE];
        print(&op, text);
        fv_operation parsed;
        if (fv_operation_validate(&op) != FV_OK || fv_operation_parse(text, &parsed) != FV_OK)
            fail_msg("case %d: %s: %s", (int)i, text, fv_error_message());
        print(&parsed, again);
        assert_string_equal(text, again); /* the text shows every field */
        int64_t macs = 0, elements = 0;
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            fv_tensor_spec specs[FV_MAX_SPECS];
            const int count = fv_operation_signature(&op, pass, specs);
            macs += fv_operation_macs(&op, pass);
            for (int s = 0; s < count; ++s)
                if (fv_shape_elements(&specs[s].shape) > elements)
                    elements = fv_shape_elements(&specs[s].shape);
        }
        if (macs > LARGE_TIMES * MACS || elements > LARGE_TIMES * ELEMENTS)
            fail_msg("case %d is too large: %s", (int)i, text);
        large_cases += macs > MACS || elements > ELEMENTS;
    }
    assert_in_range(large_cases, 20, MANY_CASES * 3 / 100);
}

static void only_the_kinds_asked_for(void **state) {
    (void)state;
    for (unsigned kinds = 0; kinds <= ALL_KINDS; ++kinds) {
        unsigned seen = 0;
        for (uint64_t i = 0; i < 300; ++i)
            seen |= 1u << fv_random_case(SEED, i, kinds).kind;
        assert_int_equal(seen, kinds ? kinds : ALL_KINDS); /* none asked for: any */
    }
}

static void seeds_and_indices_matter(void **state) {
    (void)state;
    int same = 0;
    for (uint64_t i = 0; i < 1000; ++i) {
        char text[3][TEXT_SIZE];
        const fv_operation ops[3] = {fv_random_case(SEED, i, ALL_KINDS), fv_random_case(SEED + 1, i, ALL_KINDS),
                                     fv_random_case(SEED, i + (1ull << 32), ALL_KINDS)};
        for (int k = 0; k < 3; ++k)
            print(&ops[k], text[k]);
        same += !strcmp(text[0], text[1]) + !strcmp(text[0], text[2]);
    }
    assert_in_range(same, 0, 100); /* the simplest operations come again and again */
}

/* ---- corners ---- */

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

/* How often each corner was met, in the order in which they are noted for every operation. */
typedef struct tally {
    int next;
    struct {
        const char *name, *where;
        int least, met;
    } corner[80];
} tally;

static void note_at(tally *t, const char *name, const char *where, int least, bool met) {
    assert_in_range(t->next, 0, 79);
    t->corner[t->next].name = name;
    t->corner[t->next].where = where;
    t->corner[t->next].least = least;
    t->corner[t->next++].met += met;
}

static void note(tally *t, const char *name, int least, bool met) {
    note_at(t, name, "", least, met);
}

static void note_axes(tally *t, const char *name, int least, bool (*met)(const fv_axis *), const fv_operation *op) {
    const fv_axis v = fv_window_vertical(&op->window), h = fv_window_horizontal(&op->window);
    note_at(t, name, ", height", least, met(&v));
    note_at(t, name, ", width", least, met(&h));
}

static void require_all(const tally *t) {
    assert_true(t->next > 0);
    for (int i = 0; i < t->next; ++i)
        if (t->corner[i].met < t->corner[i].least)
            print_error("%s%s: %d cases, expected at least %d\n", t->corner[i].name, t->corner[i].where,
                        t->corner[i].met, t->corner[i].least);
    for (int i = 0; i < t->next; ++i)
        assert_true(t->corner[i].met >= t->corner[i].least);
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

static void upsamplings_at_corners(void **state) {
    (void)state;
    tally t = {0};
    for (uint64_t i = 0; i < MANY_CASES; ++i) {
        const fv_operation op = fv_random_case(SEED, i, 1u << FV_UPSAMPLE);
        const fv_upsample *d = &op.upsample;
        t.next = 0;
        note(&t, "empty batch", 280, d->n == 0);
        note(&t, "larger", 2000, d->p > d->h && d->q > d->w);
        note(&t, "smaller", 1500, d->p < d->h && d->q < d->w);
        note(&t, "larger one way, smaller the other", 2000, (d->p > d->h) != (d->q > d->w));
        note(&t, "the same size", 200, d->p == d->h && d->q == d->w);
        note(&t, "to a row of one", 700, d->p == 1 && d->h > 1);
        note(&t, "from a row of one", 700, d->h == 1 && d->p > 1);
        note(&t, "nearest", 4000, d->mode == FV_NEAREST);
        note(&t, "aligned corners", 3000, d->align == 1);
        note(&t, "channels by four", 2500, d->c % 4 == 0);
    }
    require_all(&t);
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
        note(&t, "no backward tile fits shared memory", 6, refused(emulated, "direct_tile", &op, FV_BACKWARD_DATA));
    }
    require_all(&t);
    fv_context_destroy(emulated);
}

static void note_updated(tally *t, int64_t elements, int64_t decayed) {
    note(t, "no parameters", 600, elements == 0);
    note(t, "more than a block of them", 1800, elements > 256);
    note(t, "none decayed", 3000, elements && decayed == 0);
    note(t, "some decayed", 4000, decayed > 0 && decayed < elements);
    note(t, "all decayed", 3000, elements && decayed == elements);
}

static void note_elements(tally *t, int64_t elements) {
    note(t, "no elements", 600, elements == 0);
    note(t, "whole blocks", 300, elements && elements % 256 == 0);
    note(t, "one more than whole blocks", 300, elements % 256 == 1);
}

static void note_normalised(tally *t, const fv_batchnorm *d) {
    const int64_t pixels = d->n * d->h * d->w, rows = 256 / (d->c > 16 ? 32 : d->c); /* of a block, at least */
    note(t, "empty batch", 50, d->n == 0);
    note(t, "training", 9000, d->training == 1);
    note(t, "inference", 4000, d->training == 0);
    note(t, "one pixel", 300, pixels == 1);
    note(t, "training on one pixel", 200, d->training && pixels == 1);
    note(t, "more than a tile of channels", 3000, d->c > 32);
    note(t, "several slices", 2500, pixels > 8 * rows);
    note(t, "many slices", 600, pixels > 64 * rows);
}

static void note_flattened(tally *t, const fv_flatten *d) {
    note(t, "empty batch", 250, d->n == 0);
    note(t, "by channel", 9000, d->order == FV_CHW);
    note(t, "as it lies", 3000, d->order == FV_HWC);
    note(t, "one channel", 1500, d->c == 1);
    note(t, "one pixel", 300, d->h * d->w == 1);
    note(t, "several tiles across", 1600, d->order == FV_CHW && d->c > 32);
    note(t, "several tiles down", 3000, d->order == FV_CHW && d->h * d->w > 32);
    note(t, "both", 300, d->order == FV_CHW && d->c > 32 && d->h * d->w > 32);
}

static void note_other(tally *t, const fv_operation *op) {
    switch (op->kind) {
    case FV_LINEAR: {
        const fv_linear *d = &op->linear;
        note(t, "empty batch", 240, d->n == 0);
        note(t, "sum of over 500 inputs", 700, d->c > 500);
        note(t, "sum of over 500 outputs", 700, d->k > 500);
        note(t, "sum of over 500 rows", 500, d->n > 500);
        note(t, "bias", 6000, d->bias == 1);
        note(t, "forward tiles of 64", 300, (d->n + 63) / 64 * ((d->k + 63) / 64) >= 128);
        note(t, "backward tiles of 64", 300, (d->n + 63) / 64 * ((d->c + 63) / 64) >= 128);
        note(t, "tiles of 64 for weights", 300, (d->k + 63) / 64 * ((d->c + 63) / 64) >= 128);
        break;
    }
    case FV_BATCHNORM:
        note_normalised(t, &op->batchnorm);
        break;
    case FV_RELU:
        note_elements(t, op->relu.elements);
        note(t, "slope", 9000, op->relu.slope > 0);
        note(t, "no slope", 4000, op->relu.slope == 0);
        break;
    case FV_DROPOUT:
        note_elements(t, op->dropout.elements);
        for (int rest = 0; rest < 4; ++rest)
            note(t, "fours with a rest", 1700, op->dropout.elements % 4 == rest);
        note(t, "all are kept", 1500, op->dropout.rate == 0);
        note(t, "seed beyond 32 bits", 3000, op->dropout.seed > UINT32_MAX);
        break;
    case FV_CONCAT:
        note(t, "empty batch", 250, op->concat.n == 0);
        for (int parts = 1; parts <= FV_MAX_PARTS; ++parts)
            note(t, "parts", 3000, op->concat.c[parts - 1] && (parts == FV_MAX_PARTS || !op->concat.c[parts]));
        break;
    case FV_ADD:
        note_elements(t, op->add.elements);
        break;
    case FV_FLATTEN:
        note_flattened(t, &op->flatten);
        break;
    case FV_SOFTMAX_XENT:
        note(t, "empty batch", 250, op->softmax_xent.n == 0);
        note(t, "one class", 1700, op->softmax_xent.classes == 1);
        note(t, "more than a warp", 2400, op->softmax_xent.classes > 32);
        note(t, "over 1024 classes", 500, op->softmax_xent.classes > 1024);
        note(t, "more rows than a block has warps", 2000, op->softmax_xent.n > 8);
        break;
    case FV_BATCH:
        note(t, "empty batch", 250, op->batch.n == 0);
        note(t, "one item", 3000, op->batch.items == 1);
        note(t, "one element", 1600, op->batch.elements == 1);
        note(t, "items drawn again", 3000, op->batch.n > op->batch.items);
        break;
    case FV_SGD:
        note_updated(t, op->sgd.elements, op->sgd.decayed);
        break;
    case FV_ADAM:
        note_updated(t, op->adam.elements, op->adam.decayed);
        break;
    default:
        fail_msg("%s has no corners", fv_kind_name(op->kind));
    }
}

static void others_at_corners(void **state) {
    (void)state;
    for (fv_kind kind = FV_LINEAR; kind < FV_KINDS; ++kind) {
        tally t = {0};
        for (uint64_t i = 0; i < MANY_CASES; ++i) {
            const fv_operation op = fv_random_case(SEED, i, 1u << kind);
            t.next = 0;
            note_other(&t, &op);
        }
        require_all(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_everywhere),      cmocka_unit_test(valid_small_and_printable),
        cmocka_unit_test(only_the_kinds_asked_for), cmocka_unit_test(seeds_and_indices_matter),
        cmocka_unit_test(windows_at_corners),       cmocka_unit_test(refusals),
        cmocka_unit_test(upsamplings_at_corners),   cmocka_unit_test(others_at_corners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
