/* Error bounds of kernels whose arithmetic is not plain f32, with kernels written here that compute in that arithmetic.
 * Each must fail without its note, pass with it, and fail again with an error of two bounds.
 */
#include "planted.h"

#include "ops/op.h"
#include "verify/blame.h"
#include "winograd.h"

/* ---- the kernel under test */

static unsigned notes; /* of the row under test */

static void tell_notes(const fv_operation *op, const void *state, fv_numerics *numerics) {
    (void)op, (void)state;
    numerics->notes = notes;
}

typedef fv_status run_kernel(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b);

static fv_kernel noted_row(const fv_operation *op, fv_pass pass, run_kernel *run, unsigned its_notes) {
    fv_kernel row = planted_row(op, pass, NULL);
    notes = its_notes;
    row.numerics = tell_notes;
    if (run)
        row.run = run;
    return row;
}

/* ---- direct convolution with rounded inputs or rounded sums */

/* To 11 significant bits, ties away from zero, as cvt.rna.tf32 does. */
static float to_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x1000u) & 0xFFFFE000u;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* To the same by leaving out the other bits, as mma.sync does. */
static float cut_to_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0xFFFFE000u;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* To f16's precision, ties to even; the least step is 2^-24. */
static float to_half(float value) {
    int exponent;
    (void)frexpf(value, &exponent);
    const float step = ldexpf(1, exponent - 11 > -24 ? exponent - 11 : -24);
    return rintf(value / step) * step;
}

static float unrounded(float value) {
    return value;
}

typedef float rounding(float value);

static void convolve(const fv_conv2d *d, rounding *input, rounding *sum, const fv_buffers *b) {
    const float *x = b->at[FV_X], *w = b->at[FV_W], *bias = b->at[FV_B];
    const int64_t height = fv_conv2d_p(d), width = fv_conv2d_q(d), depth = d->c / d->groups;
    for (int64_t out = 0; out < d->n * height * width * d->k; ++out) {
        const int64_t k = out % d->k, q = out / d->k % width, p = out / d->k / width % height;
        const int64_t n = out / d->k / width / height;
        float total = bias ? sum(bias[k]) : 0;
        for (int64_t tap = 0; tap < d->r * d->s * depth; ++tap) {
            const int64_t row = p * d->stride_h + tap / depth / d->s * d->dilation_h - d->pad_top;
            const int64_t col = q * d->stride_w + tap / depth % d->s * d->dilation_w - d->pad_left;
            const int64_t channel = k / (d->k / d->groups) * depth + tap % depth;
            if (row >= 0 && row < d->h && col >= 0 && col < d->w)
                total = sum(total + input(x[((n * d->h + row) * d->w + col) * d->c + channel]) *
                                        input(w[k * d->r * d->s * depth + tap]));
        }
        ((float *)b->at[FV_Y])[out] = total;
    }
}

static fv_status run_tf32(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    convolve(&op->conv2d, to_tf32, unrounded, b);
    return FV_OK;
}

static fv_status run_cut(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    convolve(&op->conv2d, cut_to_tf32, unrounded, b);
    return FV_OK;
}

static fv_status run_half_sums(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    convolve(&op->conv2d, unrounded, to_half, b);
    return FV_OK;
}

static fv_status run_both(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    convolve(&op->conv2d, to_tf32, to_half, b);
    return FV_OK;
}

/* Both products of a depthwise-separable convolution with rounded factors, the one in the middle among them. */
static fv_status run_separable_tf32(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    fv_conv2d stages[2];
    fv_separable_stages(&op->separable, stages);
    float *between = calloc((size_t)(stages[1].n * stages[1].h * stages[1].w * stages[1].c), sizeof *between);
    const fv_buffers first = {.at = {[FV_X] = b->at[FV_X], [FV_W] = b->at[FV_W], [FV_Y] = between}};
    const fv_buffers second = {
        .at = {[FV_X] = between, [FV_W] = b->at[FV_W2], [FV_B] = b->at[FV_B], [FV_Y] = b->at[FV_Y]}};
    assert_non_null(between);
    convolve(&stages[0], to_tf32, unrounded, &first);
    convolve(&stages[1], to_tf32, unrounded, &second);
    free(between);
    return FV_OK;
}

/* ---- what every arithmetic must show */

static double *planted_truth, *planted_bounds, planted_share;

/* The truth and a share of the bound on top, in every element of y, dx or dw. */
static fv_status run_off_bounds(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    static const fv_role outputs[FV_PASSES] = {FV_Y, FV_DX, FV_DW};
    fv_tensor_spec specs[FV_MAX_SPECS];
    const fv_role role = outputs[plant.truth->pass];
    const int count = fv_operation_signature(op, plant.truth->pass, specs);
    for (int s = 0; s < count; ++s)
        for (int64_t i = 0; specs[s].role == role && i < fv_shape_elements(&specs[s].shape); ++i)
            ((float *)b->at[role])[i] = (float)(planted_truth[i] + planted_share * planted_bounds[i]);
    return FV_OK;
}

/* Half a bound of error everywhere passes, two bounds fail in every element. */
static void check_planted(const fv_operation *op, fv_pass pass, fv_role role, unsigned its_notes) {
    fv_host_tensors t;
    assert_int_equal(fv_generate(op, pass, FV_BOUNDED, SEED, &t), FV_OK);
    assert_int_equal(fv_run_reference(op, pass, &t), FV_OK);
    fv_tensor_spec specs[FV_MAX_SPECS];
    int64_t elements = 0;
    for (int s = fv_operation_signature(op, pass, specs); s-- > 0;)
        elements = specs[s].role == role ? fv_shape_elements(&specs[s].shape) : elements;
    planted_bounds = calloc((size_t)elements, sizeof *planted_bounds);
    assert_non_null(planted_bounds);
    assert_int_equal(fv_error_bounds(op, pass, role, its_notes, &t, &t, planted_bounds), FV_OK);
    planted_truth = t.at[role];
    const fv_kernel row = noted_row(op, pass, run_off_bounds, its_notes);
    planted_share = 0.5;
    fv_verdict verdict = verify(&row, op, FV_BOUNDED, SEED);
    expect_verdict("half a bound", &verdict, FV_PASSED, "");
    planted_share = 2;
    verdict = verify(&row, op, FV_BOUNDED, SEED);
    expect_verdict("two bounds", &verdict, FV_FAILED, "are wrong");
    assert_int_equal(verdict.wrong, elements);
    free(planted_bounds);
    fv_host_tensors_release(&t);
}

typedef struct arithmetic {
    const char *name;
    unsigned notes;
    const form *winograd;
    run_kernel *run;
    fv_pass pass;
    fv_role role;
    bool exceeds_plain; /* the plain bound, on these cases; F(2x2, 3x3) rarely does, about once in a million elements */
} arithmetic;

/* Runs the kernel on one operation under several seeds; returns how much of its bound it used at most. */
static double most_used(const arithmetic *a, const char *text, bool *exceeds_plain) {
    const fv_operation op = parse(text);
    double most = 0;
    under_test = a->winograd;
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        fv_kernel row = noted_row(&op, a->pass, a->run, a->notes);
        fv_verdict verdict = verify(&row, &op, FV_BOUNDED, seed);
        if (verdict.outcome != FV_PASSED)
            fail_msg("%s on %s, seed %d: %s, %.3g of its bound", a->name, text, (int)seed, verdict.reason,
                     verdict.worst);
        most = fmax(most, verdict.worst);
        notes = 0;
        *exceeds_plain |= verify(&row, &op, FV_BOUNDED, seed).outcome == FV_FAILED;
    }
    check_planted(&op, a->pass, a->role, a->notes);
    return most;
}

static void check_arithmetic(const arithmetic *a, const char *const *cases, size_t count) {
    bool exceeds_plain = false;
    for (size_t i = 0; i < count; ++i) {
        const double used = most_used(a, cases[i], &exceeds_plain);
        print_message("%-28s %.4f of the bound: %s\n", a->name, used, cases[i]);
        assert_true(used > 1e-3); /* else the bound is too loose to be of use */
    }
    if (a->exceeds_plain)
        assert_true(exceeds_plain);
}

static void products_and_sums(void **state) {
    (void)state;
    static const char *const cases[] = {
        "conv2d n=1 c=1 h=9 w=9 k=8 kernel=1x1",
        "conv2d n=2 c=16 h=9 w=7 k=8 kernel=3x3 pad=1 bias=1",
        "conv2d n=1 c=24 h=13 w=13 k=6 kernel=5x3 pad=2x1 stride=2 groups=2",
        "conv2d n=1 c=128 h=6 w=6 k=8 kernel=3x3 pad=1",
    };
    static const arithmetic kinds[] = {
        {"tf32", FV_NOTE_TF32, NULL, run_tf32, FV_FORWARD, FV_Y, true},
        {"tf32, cut off", FV_NOTE_TF32_CUT, NULL, run_cut, FV_FORWARD, FV_Y, true},
        {"half sums", FV_NOTE_HALF_SUMS, NULL, run_half_sums, FV_FORWARD, FV_Y, true},
        {"tf32, half sums", FV_NOTE_TF32 | FV_NOTE_HALF_SUMS, NULL, run_both, FV_FORWARD, FV_Y, true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
        check_arithmetic(&kinds[i], cases, sizeof cases / sizeof cases[0]);
}

/* Who cuts off must say so: what is rounded is held to half of that. On one product that shows. */
static void rounded_is_not_cut(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=1 c=1 h=16 w=16 k=16 kernel=1x1");
    static const struct {
        run_kernel *run;
        unsigned notes;
        fv_outcome outcome;
        const char *reason;
    } cases[] = {
        {run_tf32, FV_NOTE_TF32, FV_PASSED, ""},         {run_tf32, FV_NOTE_TF32_CUT, FV_PASSED, ""},
        {run_cut, FV_NOTE_TF32_CUT, FV_PASSED, ""},      {run_cut, FV_NOTE_TF32 | FV_NOTE_TF32_CUT, FV_PASSED, ""},
        {run_cut, FV_NOTE_TF32, FV_FAILED, "are wrong"}, {run_tf32, 0, FV_FAILED, "are wrong"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_kernel row = noted_row(&op, FV_FORWARD, cases[i].run, cases[i].notes);
        const fv_verdict verdict = verify(&row, &op, FV_BOUNDED, SEED);
        expect_verdict("one product", &verdict, cases[i].outcome, cases[i].reason);
    }
}

/* Values of 16 bits are exact in tf32, so that these notes excuse nothing. */
static void notes_on_16_bits(void **state) {
    (void)state;
    static const char *const texts[] = {"conv2d n=1 c=4 h=3 w=3 k=2 kernel=3x3 dtype=bf16",
                                        "conv2d n=1 c=4 h=3 w=3 k=2 kernel=3x3 dtype=f16"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        const fv_operation op = parse(texts[i]);
        fv_host_tensors t;
        double plain[2], noted[2];
        assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, SEED, &t), FV_OK);
        assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
        assert_int_equal(fv_error_bounds(&op, FV_FORWARD, FV_Y, 0, &t, &t, plain), FV_OK);
        assert_int_equal(fv_error_bounds(&op, FV_FORWARD, FV_Y, FV_NOTE_TF32 | FV_NOTE_TF32_CUT, &t, &t, noted), FV_OK);
        assert_memory_equal(plain, noted, sizeof plain);
        fv_host_tensors_release(&t);
    }
}

/* What is less than the dtype permits. */
static void notes_that_fall_short(void **state) {
    (void)state;
    static const unsigned roundings[] = {FV_NOTE_TF32, FV_NOTE_TF32_CUT};
    static const unsigned transforms[] = {FV_NOTE_WINOGRAD_2X2, FV_NOTE_WINOGRAD_4X4, FV_NOTE_WINOGRAD_9X9,
                                          FV_NOTE_FFT};
    for (fv_dtype dtype = FV_FIRST_REAL; dtype <= FV_LAST_REAL; ++dtype) {
        const bool short_factors = dtype == FV_BF16 || dtype == FV_F16;
        assert_false(fv_notes_fall_short(dtype, 0));
        assert_true(fv_notes_fall_short(dtype, FV_NOTE_HALF_SUMS));
        for (size_t i = 0; i < sizeof roundings / sizeof roundings[0]; ++i)
            assert_int_equal(fv_notes_fall_short(dtype, roundings[i]), dtype == FV_F32 || dtype == FV_F64);
        for (size_t i = 0; i < sizeof transforms / sizeof transforms[0]; ++i)
            assert_int_equal(fv_notes_fall_short(dtype, transforms[i]), short_factors);
    }
}

static void products_of_products(void **state) {
    (void)state;
    static const char *const cases[] = {
        "conv2d_separable n=1 c=1 h=9 w=9 k=8 kernel=1x1",
        "conv2d_separable n=2 c=8 multiplier=2 h=7 w=6 k=5 kernel=3x3 pad=1 bias=1",
    };
    static const arithmetic tf32 = {"tf32, both", FV_NOTE_TF32, NULL, run_separable_tf32, FV_FORWARD, FV_Y, true};
    check_arithmetic(&tf32, cases, sizeof cases / sizeof cases[0]);
}

static void winograd(void **state) {
    (void)state;
    static const char *const cases[] = {
        "conv2d n=4 c=1 h=40 w=40 k=2 kernel=3x3 pad=1", "conv2d n=1 c=32 h=2 w=2 k=32 kernel=3x3 pad=1",
        "conv2d n=1 c=24 h=6 w=6 k=24 kernel=3x3",       "conv2d n=2 c=16 h=12 w=11 k=16 kernel=3x3 pad=1",
        "conv2d n=1 c=64 h=9 w=6 k=64 kernel=3x3 pad=1",
    };
    static const arithmetic kinds[] = {
        {"2x2 forward", FV_NOTE_WINOGRAD_2X2, &small, run_winograd, FV_FORWARD, FV_Y, false},
        {"2x2 backward data", FV_NOTE_WINOGRAD_2X2, &small, run_winograd_data, FV_BACKWARD_DATA, FV_DX, false},
        {"2x2 backward weights", FV_NOTE_WINOGRAD_2X2, &small, run_winograd_weights, FV_BACKWARD_WEIGHTS, FV_DW, true},
        {"4x4 forward", FV_NOTE_WINOGRAD_4X4, &large, run_winograd, FV_FORWARD, FV_Y, true},
        {"4x4 backward data", FV_NOTE_WINOGRAD_4X4, &large, run_winograd_data, FV_BACKWARD_DATA, FV_DX, true},
        {"4x4 backward weights", FV_NOTE_WINOGRAD_4X4, &large, run_winograd_weights, FV_BACKWARD_WEIGHTS, FV_DW, true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
        check_arithmetic(&kinds[i], cases, sizeof cases / sizeof cases[0]);
}

/* The Winograd bound from the matrices above and from counts of their nonzero coefficients. */
static void winograd_formula(void **state) {
    (void)state;
    static const struct {
        const form *form;
        double roundings; /* of the transforms, as bounds_winograd.c counts them */
    } cases[] = {{&small, 2 * (2 + 1) + 2 * (3 + 1) + 2 * (2 + 2 + 3)},
                 {&large, 2 * (4 + 1) + 2 * (3 + 1) + 2 * (2 + 2 + 3 + 4 + 5)}};
    const fv_operation op = parse("conv2d n=1 c=3 h=4 w=4 k=2 kernel=3x5 pad=1x2");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const form *f = cases[i].form;
        double gain = 0, x_squares = 0, w_squares = 0, bounds[32];
        for (int p = 0; p < f->outputs; ++p) {
            double sum = 0;
            for (int j = 0; j < f->points; ++j) {
                double filter = 0, input = 0;
                for (int e = 0; e < MOST; ++e) {
                    filter += e < TAPS ? (double)f->filter[j][e] * (double)f->filter[j][e] : 0;
                    input += (double)f->input[j][e] * (double)f->input[j][e];
                }
                sum += (double)f->output[p][j] * (double)f->output[p][j] * filter * input;
            }
            gain = fmax(gain, sum);
        }
        fv_host_tensors t;
        assert_int_equal(fv_generate(&op, FV_FORWARD, FV_BOUNDED, SEED, &t), FV_OK);
        assert_int_equal(fv_run_reference(&op, FV_FORWARD, &t), FV_OK);
        double cut[32];
        const double *x = t.at[FV_X], *w = t.at[FV_W], *y = t.at[FV_Y];
        for (int e = 0; e < 48; ++e)
            x_squares += x[e] * x[e] / 48;
        for (int e = 0; e < 90; ++e)
            w_squares += w[e] * w[e] / 90;
        assert_int_equal(
            fv_error_bounds(&op, FV_FORWARD, FV_Y, f->note | FV_NOTE_TF32 | FV_NOTE_HALF_SUMS, &t, &t, bounds), FV_OK);
        assert_int_equal(
            fv_error_bounds(&op, FV_FORWARD, FV_Y, f->note | FV_NOTE_TF32_CUT | FV_NOTE_HALF_SUMS, &t, &t, cut), FV_OK);
        const double u = 0x1p-24, v = 0x1p-11, tiles = 3 * 2; /* channels, and the filter's five columns in two parts */
        const double mean_square = tiles * (cases[i].roundings * u * u + 2 * v * v + (1 + (tiles + 1) / 2) * v * v) / 3;
        /* cut off: inputs are twice as far off, and too small on the average */
        const double cut_square = mean_square + tiles * 3 * 2 * v * v / 3;
        for (int e = 0; e < 32; ++e) {
            const double tail = pow(16 * exp(1) / 3, 1.5) * gain;
            const double expected = tail * sqrt(mean_square * x_squares * w_squares) + u * fabs(y[e]);
            const double expected_cut =
                tail * sqrt(cut_square * x_squares * w_squares) + u * fabs(y[e]) + 4 * v * fabs(y[e]);
            assert_true(fabs(cut[e] - expected_cut) <= 1e-6 * expected_cut);
            assert_true(fabs(bounds[e] - expected) <= 1e-6 * expected); /* the matrices above are floats */
        }
        fv_host_tensors_release(&t);
    }
}

/* ---- which comparisons apply */

static void comparisons_that_apply(void **state) {
    (void)state;
    static const char plain[] = "conv2d n=2 c=16 h=9 w=7 k=8 kernel=3x3 pad=1 bias=1";
    static const char strided[] = "conv2d n=2 c=16 h=9 w=7 k=8 kernel=3x3 pad=1 stride=2";
    static const char dilated[] = "conv2d n=2 c=16 h=9 w=7 k=8 kernel=3x3 dilation=1x2";
    static const struct {
        const char *text;
        unsigned notes;
        fv_fill fill;
        const char *reason; /* NULL: it applies */
    } cases[] = {
        {plain, FV_NOTE_TF32, FV_EXACT, NULL},
        {plain, FV_NOTE_HALF_SUMS, FV_EXACT, "not exact in f16"},
        {plain, FV_NOTE_TF32 | FV_NOTE_HALF_SUMS, FV_EXACT, "not exact in f16"},
        {plain, FV_NOTE_WINOGRAD_2X2, FV_EXACT, "do not map integers"},
        {plain, FV_NOTE_WINOGRAD_4X4, FV_EXACT, "do not map integers"},
        {plain, FV_NOTE_FFT, FV_EXACT, "do not map integers"},
        {plain, FV_NOTE_FFT, FV_BOUNDED, "length of the Fourier transform"},
        {plain, FV_NOTE_WINOGRAD_9X9, FV_BOUNDED, "interpolation points"},
        {strided, FV_NOTE_WINOGRAD_2X2, FV_BOUNDED, "without stride"},
        {dilated, FV_NOTE_WINOGRAD_4X4, FV_BOUNDED, "without stride"},
        {"linear n=3 c=40 k=5", FV_NOTE_WINOGRAD_2X2, FV_BOUNDED, "derived for Winograd convolutions"},
        {"conv2d n=2 c=4 h=9 w=7 k=8 kernel=3x3 dtype=bf16", FV_NOTE_WINOGRAD_2X2, FV_BOUNDED, "transformed values"},
        {"conv2d n=2 c=4 h=9 w=7 k=8 kernel=3x3 dtype=f16", FV_NOTE_WINOGRAD_4X4, FV_BOUNDED, "transformed values"},
        {"conv2d n=2 c=4 h=9 w=7 k=8 kernel=3x3 dtype=bf16", FV_NOTE_HALF_SUMS, FV_BOUNDED, "format of its sums"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i].text);
        const fv_kernel row = noted_row(&op, FV_FORWARD, cases[i].reason ? NULL : run_tf32, cases[i].notes);
        const fv_verdict verdict = verify(&row, &op, cases[i].fill, SEED);
        expect_verdict(cases[i].text, &verdict, cases[i].reason ? FV_SKIPPED : FV_PASSED,
                       cases[i].reason ? cases[i].reason : "");
    }
}

static fv_status run_zeros(fv_context *context, const fv_operation *op, void *state, const fv_buffers *b) {
    (void)context, (void)state;
    const fv_conv2d *d = &op->conv2d;
    memset(b->at[FV_Y], 0, (size_t)(d->n * fv_conv2d_p(d) * fv_conv2d_q(d) * d->k) * sizeof(float));
    return FV_OK;
}

/* The bound of sums in f16 grows faster than the sums themselves: at last even zeros are within it. */
static void bounds_wider_than_the_results(void **state) {
    (void)state;
    static const struct {
        const char *text;
        fv_outcome outcome;
        const char *reason;
    } cases[] = {
        {"conv2d n=1 c=16 h=6 w=6 k=4 kernel=3x3", FV_FAILED, "are wrong"},
        {"conv2d n=1 c=1024 h=6 w=6 k=4 kernel=3x3", FV_MISTRUSTED, "zeros would pass"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const fv_operation op = parse(cases[i].text);
        const fv_kernel row = noted_row(&op, FV_FORWARD, run_zeros, FV_NOTE_HALF_SUMS);
        const fv_verdict verdict = verify(&row, &op, FV_BOUNDED, SEED);
        expect_verdict(cases[i].text, &verdict, cases[i].outcome, cases[i].reason);
    }
}

/* Notes speak of products: what has none keeps its bound. */
static void sums_without_products(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=2 c=4 h=5 w=5 k=3 kernel=3x3 bias=1");
    fv_host_tensors t;
    double plain[3], noted[3];
    assert_int_equal(fv_generate(&op, FV_BACKWARD_WEIGHTS, FV_BOUNDED, SEED, &t), FV_OK);
    assert_int_equal(fv_run_reference(&op, FV_BACKWARD_WEIGHTS, &t), FV_OK);
    assert_int_equal(fv_error_bounds(&op, FV_BACKWARD_WEIGHTS, FV_DB, 0, &t, &t, plain), FV_OK);
    for (unsigned note = 1; note <= FV_NOTE_TF32_CUT; note <<= 1) {
        assert_int_equal(fv_error_bounds(&op, FV_BACKWARD_WEIGHTS, FV_DB, note, &t, &t, noted), FV_OK);
        assert_memory_equal(plain, noted, sizeof plain);
    }
    fv_host_tensors_release(&t);
}

/* The three-way verdict: a witness runs what it has for the operation's dtype, and is held to its own arithmetic. Ours cuts
 * without saying so; the witness does not, and is right. */
static void witnesses_in_tf32(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=1 c=1 h=16 w=16 k=16 kernel=1x1 dtype=tf32");
    const fv_kernel row = noted_row(&op, FV_FORWARD, run_cut, 0);
    fv_backend backend = *reference->backend;
    backend.name = "ours";
    fv_context context = *reference;
    context.backend = &backend;
    fv_trial trial;
    fv_opinion ours = {.context = &context, .kernel = &row}, witness;
    const char *outlier = NULL;
    assert_int_equal(fv_trial_begin(&trial, &op, FV_FORWARD, FV_BOUNDED, SEED), FV_OK);
    assert_int_equal(fv_trial_judge(&trial, &context, &row, &ours.outputs, &ours.verdict), FV_OK);
    assert_int_equal(ours.verdict.outcome, FV_FAILED);
    fv_opinion_ask(&trial, reference, &witness);
    assert_true(fv_opinion_confirms(&witness));
    assert_int_equal(fv_outlier(&trial, &ours, &witness, 1, &outlier), FV_OK);
    assert_string_equal(outlier, "ours");
    fv_opinion_release(&witness);
    fv_opinion_release(&ours);
    fv_trial_end(&trial);
}

/* A row in other arithmetic that is on_request runs when asked for, and is never what selection takes. */
static void selection_leaves_out_rows_on_request(void **state) {
    (void)state;
    const fv_operation op = parse("conv2d n=1 c=2 h=4 w=4 k=2 kernel=3x3");
    fv_kernel rows[] = {noted_row(&op, FV_FORWARD, run_tf32, FV_NOTE_TF32), FV_KERNELS_END};
    const fv_kernel *const tables[] = {rows, NULL};
    fv_backend backend = *reference->backend;
    backend.tables = tables;
    fv_context context = *reference;
    context.backend = &backend;
    fv_call call;
    assert_int_equal(fv_call_prepare(&call, &context, &op, FV_FORWARD), FV_OK);
    assert_ptr_equal(call.kernel, &rows[0]);
    fv_call_release(&call);
    rows[0].on_request = true;
    assert_int_equal(fv_call_prepare(&call, &context, &op, FV_FORWARD), FV_OK);
    assert_ptr_not_equal(call.kernel, &rows[0]);
    fv_call_release(&call);
    assert_int_equal(fv_call_prepare_kernel(&call, &context, &rows[0], &op, FV_FORWARD), FV_OK);
    assert_int_equal(fv_call_numerics(&call).notes, FV_NOTE_TF32);
    fv_call_release(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_sums),
        cmocka_unit_test(rounded_is_not_cut),
        cmocka_unit_test(notes_on_16_bits),
        cmocka_unit_test(notes_that_fall_short),
        cmocka_unit_test(products_of_products),
        cmocka_unit_test(winograd),
        cmocka_unit_test(winograd_formula),
        cmocka_unit_test(comparisons_that_apply),
        cmocka_unit_test(bounds_wider_than_the_results),
        cmocka_unit_test(sums_without_products),
        cmocka_unit_test(witnesses_in_tf32),
        cmocka_unit_test(selection_leaves_out_rows_on_request),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
