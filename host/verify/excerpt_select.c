/* An output depends on one image and, of its group, one output channel (forward), one input channel (backward by data)
 * or one of each (backward by weights, summed over all images): along those a problem can be cut without a change to
 * the outputs that remain. Cuts leave the length of every sum as it is, and so the error bounds. */
#include "verify/excerpt_select.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "ops/op.h"

/* The member that a key of the text form stands for; NULL if the kind has none such. */
static int64_t *member_of(fv_operation *op, const char *key) {
    const fv_op_info *info = fv_op_info_of(op->kind);
    for (int i = 0; i < info->field_count; ++i)
        if (!strcmp(info->fields[i].key, key)) {
            int count;
            int64_t *member = fv_field_counts(&info->fields[i], op, &count);
            return count == 1 ? member : NULL;
        }
    return NULL;
}

static int64_t value_of(const fv_operation *op, const char *key, int64_t otherwise) {
    fv_operation copy = *op;
    const int64_t *member = member_of(&copy, key);
    return member ? *member : otherwise;
}

/* The key of each cut, of which all but the first two count the channels of all groups. */
static const char *const keys[FV_CUTS] = {"n", "groups", "c", "m", "k"};

static bool per_group(fv_cut cut) {
    return cut >= FV_CUT_INPUTS;
}

static bool has_products(fv_kind kind) {
    return kind == FV_CONV2D || kind == FV_TRANSPOSED || kind == FV_SEPARABLE || kind == FV_SPATIAL ||
           kind == FV_UNSHARED || kind == FV_DEFORMABLE || kind == FV_LINEAR;
}

/* Whether what remains after a cut is what it was. The stages of a separable or spatial convolution tie the channels of
 * both together: going back, by weights, only those that lie between them can be cut (a separable one's belong to its
 * input channels). Offsets are shared by input channels, and their gradient sums over all of them. */
static bool may_cut(const fv_operation *op, fv_pass pass, fv_cut cut) {
    const bool two_stages = op->kind == FV_SEPARABLE || op->kind == FV_SPATIAL;
    const bool ties_inputs =
        op->kind == FV_DEFORMABLE && (op->deformable.offset_groups > 1 || pass == FV_BACKWARD_DATA);
    switch (cut) {
    case FV_CUT_IMAGES:
        return pass != FV_BACKWARD_WEIGHTS;
    case FV_CUT_GROUPS:
        return !ties_inputs;
    case FV_CUT_INPUTS:
        return pass != FV_FORWARD && !ties_inputs && !(op->kind == FV_SPATIAL && pass == FV_BACKWARD_WEIGHTS);
    case FV_CUT_MIDDLES:
        return op->kind == FV_SPATIAL && pass == FV_BACKWARD_WEIGHTS;
    case FV_CUT_OUTPUTS:
        return pass == FV_FORWARD || (pass == FV_BACKWARD_WEIGHTS && !two_stages);
    case FV_CUTS:
        break;
    }
    return false;
}

static fv_operation part_of(const fv_selection *s) {
    fv_operation part = s->op;
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut) {
        int64_t *member = member_of(&part, keys[cut]);
        if (member)
            *member = per_group(cut) ? s->kept[FV_CUT_GROUPS] * s->kept[cut] : s->kept[cut];
    }
    return part;
}

static double cost_of(const fv_selection *s, fv_pass pass) {
    const fv_operation part = part_of(s);
    return (double)fv_operation_macs(&part, pass);
}

/* ---- how many ---- */

/* What is left of each cut before another is cut further, in rounds: rather few images and some channels than one image
 * and all channels. */
enum { ROUNDS = 3 };
static const int64_t floors[ROUNDS][FV_CUTS] = {{3, 3, 8, 8, 8}, {2, 2, 2, 2, 2}, {1, 1, 1, 1, 1}};

/* The cut that is furthest above its floor; FV_CUTS: none is. */
static fv_cut loosest(const fv_selection *s, fv_pass pass, int round) {
    fv_cut best = FV_CUTS;
    double most = 1;
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut) {
        const double ratio = (double)s->kept[cut] / (double)floors[round][cut];
        if (may_cut(&s->op, pass, cut) && ratio > most) {
            best = cut;
            most = ratio;
        }
    }
    return best;
}

/* Halves the loosest cut over and over, and less than that where less is enough. */
static void fit(fv_selection *s, fv_pass pass, double budget) {
    for (int round = 0; round < ROUNDS; ++round) {
        double cost;
        fv_cut cut;
        while ((cost = cost_of(s, pass)) > budget && (cut = loosest(s, pass, round)) != FV_CUTS) {
            const int64_t enough = (int64_t)((double)s->kept[cut] * fmax(budget, 0) / cost);
            s->kept[cut] = fv_max(fv_max(enough, (s->kept[cut] + 1) / 2), floors[round][cut]);
        }
    }
    s->over = cost_of(s, pass) > budget;
}

/* ---- which ---- */

/* The first and the last, and between them one at random from each of as many equal stretches. Of one, the last: ends
 * go wrong most easily. */
static void choose(int64_t size, int64_t count, uint64_t seed, uint64_t stream, int64_t *pick) {
    for (int64_t i = 1; i < count - 1; ++i) {
        const double stretch = (double)(size - 2) / (double)(count - 2);
        const int64_t begin = 1 + (int64_t)(stretch * (double)(i - 1)), end = 1 + (int64_t)(stretch * (double)i);
        const double within = (double)fv_random_uniform(seed, stream, (uint64_t)i) * (double)(end - begin);
        pick[i] = begin + (int64_t)within;
    }
    pick[0] = 0;
    pick[count - 1] = size - 1;
}

fv_status fv_selection_make(const fv_operation *op, fv_pass pass, uint64_t seed, double budget,
                            fv_selection *selection) {
    fv_selection *s = selection;
    *s = (fv_selection){.op = *op, .part = *op};
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut) {
        const int64_t size = value_of(op, keys[cut], 1);
        s->size[cut] = s->kept[cut] = per_group(cut) ? fv_max(size / s->size[FV_CUT_GROUPS], 1) : size;
    }
    if (!has_products(op->kind))
        return FV_OK;
    fit(s, pass, budget);
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut) {
        if (s->kept[cut] == s->size[cut])
            continue;
        s->pick[cut] = malloc((size_t)s->kept[cut] * sizeof *s->pick[cut]);
        if (!s->pick[cut])
            return fv_fail(FV_NO_MEMORY, "no memory to choose what to compare");
        choose(s->size[cut], s->kept[cut], seed, FV_ROLES + (uint64_t)cut, s->pick[cut]);
    }
    s->part = part_of(s);
    return fv_operation_validate(&s->part);
}

void fv_selection_release(fv_selection *selection) {
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut)
        free(selection->pick[cut]);
    *selection = (fv_selection){0};
}

bool fv_selection_whole(const fv_selection *selection) {
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut)
        if (selection->pick[cut])
            return false;
    return true;
}

void fv_selection_describe(const fv_selection *selection, char *text, size_t size) {
    text[0] = 0;
    for (fv_cut cut = 0; cut < FV_CUTS; ++cut)
        if (selection->pick[cut])
            fv_append(text, size, "%s%s=%" PRId64 " of %" PRId64, *text ? ", " : "", keys[cut],
                      value_of(&selection->part, keys[cut], 0), value_of(&selection->op, keys[cut], 0));
    if (!*text)
        fv_append(text, size, "whole");
    if (selection->over)
        fv_append(text, size, ", over budget");
}

/* ---- where that lies in a tensor ---- */

/* Entries along an axis: for every group chosen those of its channels, `repeat` of each; or of one group alone. */
static fv_status channel_index(const fv_selection *s, fv_cut cut, int64_t repeat, bool all_groups, int64_t **index) {
    const int64_t *groups = all_groups ? s->pick[FV_CUT_GROUPS] : NULL, *channels = s->pick[cut];
    if (!groups && !channels)
        return FV_OK;
    const int64_t group_count = all_groups ? s->kept[FV_CUT_GROUPS] : 1;
    int64_t *next = malloc((size_t)(group_count * s->kept[cut] * repeat) * sizeof *next);
    if (!next)
        return fv_fail(FV_NO_MEMORY, "no memory to choose what to compare");
    *index = next;
    for (int64_t g = 0; g < group_count; ++g)
        for (int64_t c = 0; c < s->kept[cut]; ++c)
            for (int64_t i = 0; i < repeat; ++i)
                *next++ = ((groups ? groups[g] : g) * s->size[cut] + (channels ? channels[c] : c)) * repeat + i;
    return FV_OK;
}

fv_status fv_selection_index(const fv_selection *selection, char axis, int64_t extent, int64_t **index) {
    const fv_selection *s = selection;
    const int64_t groups = s->size[FV_CUT_GROUPS];
    *index = NULL;
    fv_cut cut;
    int64_t repeat = 1;
    switch (axis) {
    case 'n':
        return channel_index(s, FV_CUT_IMAGES, 1, false, index);
    case 'c':
        cut = FV_CUT_INPUTS;
        break;
    case 'k':
        cut = FV_CUT_OUTPUTS;
        break;
    case 'm':
        cut = s->op.kind == FV_SEPARABLE ? FV_CUT_INPUTS : FV_CUT_MIDDLES;
        repeat = value_of(&s->op, "multiplier", 1);
        break;
    default:
        return FV_OK;
    }
    /* An axis has the channels of all groups, or of one; or a single one, where a depthwise stage has no choice. */
    if (extent == groups * s->size[cut] * repeat)
        return channel_index(s, cut, repeat, true, index);
    return extent == s->size[cut] * repeat ? channel_index(s, cut, repeat, false, index) : FV_OK;
}
