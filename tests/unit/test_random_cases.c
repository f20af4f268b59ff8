/* Random cases: the same everywhere, valid, small, printable, and at the corners that they are for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "cases/cases.h"
#include "ops/op.h"
#include "tally.h"

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
    if (hash != 0x7b9d195b09f18e7du)
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

static unsigned kinds_drawn(unsigned kinds, int cases) {
    unsigned seen = 0;
    for (uint64_t i = 0; i < (uint64_t)cases; ++i)
        seen |= 1u << fv_random_case(SEED, i, kinds).kind;
    return seen;
}

/* Each alone, each pair, and any where none is asked for. */
static void only_the_kinds_asked_for(void **state) {
    (void)state;
    for (int a = 0; a < FV_KINDS; ++a)
        for (int b = a; b < FV_KINDS; ++b)
            assert_int_equal(kinds_drawn(1u << a | 1u << b, 100), 1u << a | 1u << b);
    assert_int_equal(kinds_drawn(0, 1000), ALL_KINDS);
    assert_int_equal(kinds_drawn(ALL_KINDS, 1000), ALL_KINDS);
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
    note(t, "relu in training", 4000, d->relu && d->training);
    note(t, "relu in inference", 1600, d->relu && !d->training);
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
        cmocka_unit_test(upsamplings_at_corners),   cmocka_unit_test(others_at_corners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
