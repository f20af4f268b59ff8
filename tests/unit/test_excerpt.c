/* The proof by an excerpt: of every kind and pass, right results pass, and whatever is wrong is found. */
#include "planted.h"

#include "cases/cases.h"
#include "verify/excerpt.h"

/* A problem with its true results: those of the reference on the whole, rounded to the dtype. */
typedef struct problem {
    fv_operation op;
    fv_pass pass;
    int count;
    fv_tensor_spec specs[FV_MAX_SPECS];
    fv_host_tensors truth;
    void *output[FV_MAX_SPECS]; /* NULL for inputs */
} problem;

static void make_problem(const fv_operation *op, fv_pass pass, problem *p) {
    *p = (problem){.op = *op, .pass = pass};
    p->count = fv_operation_signature(op, pass, p->specs);
    assert_int_equal(fv_generate(op, pass, FV_BOUNDED, SEED, &p->truth), FV_OK);
    if (fv_run_reference(op, pass, &p->truth) != FV_OK)
        fail_msg("%s", fv_error_message());
    for (int i = 0; i < p->count; ++i) {
        if (p->specs[i].direction == FV_IN)
            continue;
        const size_t bytes = fv_spec_bytes(&p->specs[i]);
        p->output[i] = malloc(bytes + 1);
        assert_non_null(p->output[i]);
        if (p->specs[i].dtype == FV_F32)
            for (int64_t e = 0; e < fv_shape_elements(&p->specs[i].shape); ++e)
                ((float *)p->output[i])[e] = (float)((const double *)p->truth.at[p->specs[i].role])[e];
        else
            memcpy(p->output[i], p->truth.at[p->specs[i].role], bytes);
    }
}

static void release_problem(problem *p) {
    fv_host_tensors_release(&p->truth);
    for (int i = 0; i < p->count; ++i)
        free(p->output[i]);
}

static const fv_kernel plain = {.name = "plain"};

static fv_proof prove(fv_excerpt *excerpt, const problem *p) {
    const fv_numerics numerics = {0};
    const void *outputs[FV_MAX_SPECS];
    for (int i = 0; i < FV_MAX_SPECS; ++i)
        outputs[i] = p->output[i];
    fv_proof proof;
    if (fv_excerpt_judge(excerpt, &plain, &numerics, outputs, &proof) != FV_OK)
        fail_msg("not carried out: %s", fv_error_message());
    return proof;
}

static void expect_proof(const char *what, const fv_proof *proof, fv_outcome outcome, int64_t wrong,
                         const char *reason) {
    if (proof->outcome != outcome || proof->wrong != wrong || !strstr(proof->reason, reason) ||
        (!*reason && *proof->reason))
        fail_msg("%s: %s, %lld wrong '%s', expected %s, %lld '%s'", what, fv_outcome_name(proof->outcome),
                 (long long)proof->wrong, proof->reason, fv_outcome_name(outcome), (long long)wrong, reason);
}

static fv_excerpt begin(const problem *p, double budget) {
    fv_excerpt excerpt;
    if (fv_excerpt_begin(&excerpt, &p->op, p->pass, SEED, budget) != FV_OK)
        fail_msg("not begun: %s", fv_error_message());
    return excerpt;
}

static bool is_real(fv_dtype dtype) {
    return dtype == FV_F32 || dtype == FV_F64;
}

static double real_at(fv_dtype dtype, const void *data, int64_t i) {
    return dtype == FV_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* The inputs are those of fv_generate; the part's inputs and results lie in the whole where its indices say, and each
 * place is there once. */
static void check_places(const char *what, const fv_excerpt *excerpt, const problem *p) {
    for (int i = 0; i < p->count; ++i) {
        const fv_tensor_spec *whole = &p->specs[i], *part = &excerpt->part.specs[i];
        const int64_t elements = fv_shape_elements(&part->shape);
        const void *truth = p->truth.at[whole->role];
        assert_int_equal(part->role, whole->role);
        assert_true((excerpt->image[i] != NULL) == (whole->direction != FV_OUT));
        for (int64_t e = 0; whole->direction == FV_IN && e < fv_shape_elements(&whole->shape); ++e)
            if (is_real(whole->dtype) && real_at(whole->dtype, excerpt->image[i], e) != ((const double *)truth)[e])
                fail_msg("%s: input %s differs at %lld", what, fv_role_name(whole->role), (long long)e);
        int64_t before = -1;
        for (int64_t e = 0; e < elements; ++e) {
            const int64_t place = fv_excerpt_locate(excerpt, i, e);
            if (place <= before || place >= fv_shape_elements(&whole->shape))
                fail_msg("%s: element %lld of %s is at %lld", what, (long long)e, fv_role_name(whole->role),
                         (long long)place);
            before = place;
            const void *now = whole->direction == FV_IN ? excerpt->part.inputs.at[whole->role]
                                                        : excerpt->part.results.at[whole->role];
            /* The reference adds up in the same order whatever else there is. */
            if (is_real(whole->dtype) && ((const double *)now)[e] != ((const double *)truth)[place])
                fail_msg("%s: %s differs at %lld", what, fv_role_name(whole->role), (long long)place);
        }
        for (int axis = 0; axis < whole->shape.rank; ++axis)
            if (!excerpt->index[i][axis])
                assert_int_equal(part->shape.dim[axis], whole->shape.dim[axis]);
    }
}

/* ---- faults */

static void poke(const problem *p, int i, int64_t at, double value) {
    if (p->specs[i].dtype == FV_F32)
        ((float *)p->output[i])[at] = (float)value;
    else
        ((double *)p->output[i])[at] = value;
}

static double peek(const problem *p, int i, int64_t at) {
    return real_at(p->specs[i].dtype, p->output[i], at);
}

/* An element far off, first, last or in the middle of the excerpt. */
static void one_wrong_element_is_found(const char *what, fv_excerpt *excerpt, const problem *p, int i) {
    const int64_t elements = fv_shape_elements(&excerpt->part.specs[i].shape);
    const int64_t tries[] = {0, elements / 2, elements - 1};
    for (int t = 0; t < 3; ++t) {
        const int64_t place = fv_excerpt_locate(excerpt, i, tries[t]);
        const double value = peek(p, i, place);
        poke(p, i, place, value + 1);
        fv_proof proof = prove(excerpt, p);
        expect_proof(what, &proof, FV_FAILED, 1, "that were compared are wrong, first");
        assert_true(proof.worst > 1);
        poke(p, i, place, NAN);
        proof = prove(excerpt, p);
        expect_proof(what, &proof, FV_FAILED, 1, "are NaN");
        poke(p, i, place, value);
    }
}

static bool is_within(const fv_excerpt *excerpt, int i, int64_t place) {
    for (int64_t e = 0; e < fv_shape_elements(&excerpt->part.specs[i].shape); ++e)
        if (fv_excerpt_locate(excerpt, i, e) == place)
            return true;
    return false;
}

/* Elements that are not in the excerpt may be anything but poison or NaN. */
static void poison_elsewhere_is_found(const char *what, fv_excerpt *excerpt, const problem *p, int i) {
    const int64_t elements = fv_shape_elements(&p->specs[i].shape);
    const size_t size = fv_dtype_size(p->specs[i].dtype);
    int64_t place = 0;
    while (place < elements && is_within(excerpt, i, place))
        ++place;
    if (place == elements)
        return; /* all of this output is compared */
    const double value = peek(p, i, place);
    memset((uint8_t *)p->output[i] + (size_t)place * size, 0xFF, size);
    fv_proof proof = prove(excerpt, p);
    expect_proof(what, &proof, FV_FAILED, 1, "1 of them poison");
    poke(p, i, place, NAN);
    proof = prove(excerpt, p);
    expect_proof(what, &proof, FV_FAILED, 1, "are NaN");
    assert_null(strstr(proof.reason, "poison"));
    poke(p, i, place, value + 1);
    proof = prove(excerpt, p);
    expect_proof(what, &proof, FV_PASSED, 0, "");
    poke(p, i, place, value);
}

static void zeros_are_found(const char *what, fv_excerpt *excerpt, const problem *p, int i) {
    const size_t bytes = fv_spec_bytes(&p->specs[i]);
    void *saved = malloc(bytes);
    assert_non_null(saved);
    memcpy(saved, p->output[i], bytes);
    memset(p->output[i], 0, bytes);
    const double *results = excerpt->part.results.at[p->specs[i].role];
    int64_t nonzero = 0;
    for (int64_t e = 0; e < fv_shape_elements(&excerpt->part.specs[i].shape); ++e)
        nonzero += results[e] != 0;
    const fv_proof proof = prove(excerpt, p);
    assert_true(nonzero > 0);
    expect_proof(what, &proof, FV_FAILED, nonzero, "are wrong");
    memcpy(p->output[i], saved, bytes);
    free(saved);
}

/* Exchanges two neighbours along an axis of which the first belongs to the excerpt. */
static void swaps_are_found(const char *what, fv_excerpt *excerpt, const problem *p, int i, int axis) {
    const fv_shape *shape = &p->specs[i].shape;
    int64_t stride = 1;
    for (int d = shape->rank - 1; d > axis; --d)
        stride *= shape->dim[d];
    const int64_t *index = excerpt->index[i][axis];
    const int64_t one = index ? index[0] : 0, other = one + 1 < shape->dim[axis] ? one + 1 : one - 1;
    if (other < 0)
        return; /* there is but one */
    for (int turn = 0; turn < 2; ++turn) {
        for (int64_t e = 0; e < fv_shape_elements(shape); ++e)
            if (e / stride % shape->dim[axis] == one) {
                const double value = peek(p, i, e);
                poke(p, i, e, peek(p, i, e + (other - one) * stride));
                poke(p, i, e + (other - one) * stride, value);
            }
        const fv_proof proof = prove(excerpt, p);
        if (turn == 0 && (proof.outcome != FV_FAILED || proof.wrong < 1))
            fail_msg("%s: exchanged along %c: %s", what, p->specs[i].axes[axis], fv_outcome_name(proof.outcome));
        if (turn == 1)
            expect_proof(what, &proof, FV_PASSED, 0, "");
    }
}

/* ---- the kinds with products */

static const struct {
    const char *text;
    double budget;
} cases[] = {
    {"conv2d n=7 c=12 h=9 w=8 k=10 kernel=3x2 pad=1 stride=2x1 bias=1", 20000},
    {"conv2d n=5 c=20 h=5 w=7 k=40 kernel=3x3 pad=2 dilation=2 dtype=f64", 20000},
    {"conv2d n=6 c=20 h=6 w=5 k=30 kernel=3x3 pad=1 groups=5 bias=1", 9000},
    {"conv2d n=5 c=17 h=7 w=5 k=17 kernel=3x3 pad=1 groups=17 bias=1", 4000},
    {"conv2d n=5 c=9 h=6 w=7 k=27 kernel=3x3 pad=1 groups=9 bias=1", 4000},
    {"conv2d_transposed n=5 c=12 h=5 w=4 k=18 kernel=3x3 stride=2 pad=1 output_pad=1 groups=3 bias=1", 3000},
    {"conv2d_transposed n=5 c=11 h=5 w=4 k=13 kernel=4x3 stride=2", 9000},
    {"conv2d_unshared n=5 c=12 h=5 w=4 k=18 kernel=3x2 groups=3 bias=1", 2000},
    {"conv2d_unshared n=9 c=7 h=5 w=6 k=13 kernel=3x3 pad=1", 9000},
    {"conv2d_spatial n=5 c=12 h=6 w=5 m=21 k=9 kernel=3x3 pad=1 groups=3 bias=1", 9000},
    {"conv2d_spatial n=9 c=4 h=6 w=5 m=17 k=25 kernel=3x3 pad=1", 60000},
    {"conv2d_separable n=9 c=17 h=6 w=5 multiplier=2 k=19 kernel=3x3 pad=1 bias=1", 40000},
    {"conv2d_deformable n=7 c=12 h=6 w=5 k=15 kernel=3x3 pad=1 groups=3 mask=1 bias=1", 20000},
    {"conv2d_deformable n=7 c=12 h=6 w=5 k=30 kernel=3x3 pad=1 offset_groups=2", 200000},
    {"linear n=23 c=90 k=70 bias=1", 9000},
};

static const fv_operation *case_at(size_t i, fv_operation *op) {
    *op = parse(cases[i].text);
    return op;
}

enum { CASES = sizeof cases / sizeof cases[0] };

static void describe(const fv_operation *op, fv_pass pass, const fv_excerpt *excerpt, char *text, size_t size) {
    char whole[256];
    fv_operation_print(op, whole, sizeof whole);
    snprintf(text, size, "%s, %s, %s", whole, fv_pass_name(pass), excerpt->scope);
}

static void right_results_pass(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; ++c)
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            fv_operation op;
            problem p;
            make_problem(case_at(c, &op), pass, &p);
            fv_excerpt excerpt = begin(&p, cases[c].budget);
            char what[512];
            describe(&op, pass, &excerpt, what, sizeof what);
            if (!strcmp(excerpt.scope, "whole") || strstr(excerpt.scope, "over budget"))
                fail_msg("%s: expected a part within the budget", what);
            const double cost = (double)fv_operation_macs(&excerpt.part.op, pass);
            if (!(cost <= cases[c].budget && cost > cases[c].budget / 16))
                fail_msg("%s: costs %g of %g", what, cost, cases[c].budget);
            check_places(what, &excerpt, &p);
            const fv_proof proof = prove(&excerpt, &p);
            expect_proof(what, &proof, FV_PASSED, 0, "");
            int64_t elements = 0;
            for (int i = 0; i < p.count; ++i)
                elements += p.output[i] ? fv_shape_elements(&excerpt.part.specs[i].shape) : 0;
            assert_int_equal(proof.compared, elements);
            assert_true(proof.worst <= 1);
            fv_excerpt_end(&excerpt);
            release_problem(&p);
        }
}

static void faults_are_found(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; ++c)
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            fv_operation op;
            problem p;
            make_problem(case_at(c, &op), pass, &p);
            fv_excerpt excerpt = begin(&p, cases[c].budget);
            char what[512];
            describe(&op, pass, &excerpt, what, sizeof what);
            for (int i = 0; i < p.count; ++i) {
                if (!p.output[i])
                    continue;
                one_wrong_element_is_found(what, &excerpt, &p, i);
                poison_elsewhere_is_found(what, &excerpt, &p, i);
                zeros_are_found(what, &excerpt, &p, i);
                for (int axis = 0; axis < p.specs[i].shape.rank; ++axis)
                    swaps_are_found(what, &excerpt, &p, i, axis);
            }
            fv_excerpt_end(&excerpt);
            release_problem(&p);
        }
}

/* Random problems of all kinds, from those that are compared whole to those that cannot be cut small enough. */
static void random_problems_pass(void **state) {
    (void)state;
    enum { MANY = 1500 };
    const double budgets[] = {1, 100, 3000};
    int whole = 0, over = 0, parts = 0;
    for (uint64_t n = 0; n < MANY; ++n) {
        const fv_operation op = fv_random_case(SEED, n, 0);
        for (fv_pass pass = 0; pass < FV_PASSES; ++pass) {
            if (!fv_operation_has_pass(&op, pass))
                continue;
            problem p;
            make_problem(&op, pass, &p);
            fv_excerpt excerpt = begin(&p, budgets[n % 3]);
            char what[512];
            describe(&op, pass, &excerpt, what, sizeof what);
            if (strcmp(excerpt.scope, "whole"))
                check_places(what, &excerpt, &p);
            const fv_proof proof = prove(&excerpt, &p);
            if (proof.outcome != FV_PASSED && proof.outcome != FV_MISTRUSTED)
                fail_msg("%s: %s", what, proof.reason);
            const double cost = (double)fv_operation_macs(&excerpt.part.op, pass);
            const bool is_part = strchr(excerpt.scope, '='), is_over = strstr(excerpt.scope, "over budget");
            if (is_part || is_over)
                assert_true(is_over == (cost > budgets[n % 3]));
            whole += !strcmp(excerpt.scope, "whole");
            over += is_over;
            parts += is_part && !is_over;
            fv_excerpt_end(&excerpt);
            release_problem(&p);
        }
    }
    if (whole < 500 || over < 100 || parts < 300)
        fail_msg("%d whole, %d over the budget, %d in part", whole, over, parts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_results_pass),
        cmocka_unit_test(faults_are_found),
        cmocka_unit_test(random_problems_pass),
    };
    return cmocka_run_group_tests(tests, open_reference, close_reference);
}
