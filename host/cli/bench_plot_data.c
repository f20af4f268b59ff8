/* What a picture shows of a record: cases with their labels, families and sweeps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/bench_plot.h"
#include "cli/bench_rows.h"
#include "ops/op.h"

enum {
    OP_SIZE = 1024,
    CASE_LENGTH = 64, /* characters of a case beside its bar, */
    TITLE_LENGTH = 50 /* and over half a picture */
};

/* The index of a name, which is added if it is new. */
static int name_index(fv_plot_names *names, const char *text) {
    for (int i = 0; i < names->count; ++i)
        if (!strcmp(names->text[i], text))
            return i;
    if (names->count == FV_PLOT_MOST_NAMES)
        return FV_PLOT_MOST_NAMES - 1;
    snprintf(names->text[names->count], sizeof names->text[0], "%s", text);
    return names->count++;
}

/* ---- labels ---- */

/* Cuts a text to `length` characters, the last of them an ellipsis if something is lost. */
static void cut(char *text, size_t size, size_t length) {
    size_t characters = 0;
    char *last = text;
    for (char *at = text; *at; ++at)
        if (((unsigned char)*at & 0xc0) != 0x80 && ++characters >= length) {
            if (characters > length) {
                *last = '\0';
                fv_append(text, size, "…");
                return;
            }
            last = at;
        }
}

/* Another case has the same name: ResNet-50 has many layers of 1x1. */
static bool is_ambiguous(const fv_plot *plot, int64_t bars, const fv_bench_row *row) {
    for (int64_t i = 0; i < bars; ++i) {
        const fv_bench_row *other = &plot->record->rows[plot->cases[i].begin];
        if (!strcmp(other->label, row->label) && strcmp(other->op, row->op))
            return true;
    }
    return false;
}

/* A name and what tells this pass from others: the pass and the dtype, where the record has several. */
static void label_pass(const fv_plot *plot, const char *name, const fv_bench_row *row, char label[FV_PLOT_LABEL_SIZE]) {
    label[0] = '\0';
    fv_append(label, FV_PLOT_LABEL_SIZE, "%s", name);
    if (plot->passes)
        fv_append(label, FV_PLOT_LABEL_SIZE, ", %s", row->pass);
    if (plot->dtypes)
        fv_append(label, FV_PLOT_LABEL_SIZE, ", %s", row->dtype);
}

/* The name stands at the first pass of a case, the others are named by their pass alone. */
static void name_case(const fv_plot *plot, int64_t bars, fv_plot_case *item) {
    const fv_bench_row *row = &plot->record->rows[item->begin];
    if (item->again) {
        snprintf(item->label, sizeof item->label, "%s", row->pass);
        return;
    }
    char text[FV_BENCH_NAME_SIZE], name[sizeof text + sizeof row->label];
    fv_bench_short_op(row, text);
    const char *extents = strchr(text, ' ');
    if (!row->label[0])
        snprintf(name, sizeof name, "%s", text);
    else if (extents && is_ambiguous(plot, bars, row))
        snprintf(name, sizeof name, "%s:%s", row->label, extents);
    else
        snprintf(name, sizeof name, "%s", row->label);
    cut(name, sizeof name, CASE_LENGTH);
    label_pass(plot, name, row, item->label);
}

/* ---- sweeps ---- */

/* The value of a key in an operation's text, "3" of "kernel=3x5"; false if it has none. */
static bool key_value(const char *op, const char *key, double *value) {
    const size_t length = strlen(key);
    char word[FV_WORD_SIZE];
    while (fv_next_word(&op, word) == FV_OK && word[0])
        if (!strncmp(word, key, length) && word[length] == '=') {
            char *end;
            *value = strtod(word + length + 1, &end);
            return end != word + length + 1;
        }
    return false;
}

/* Whether a word such as "h=56" sets one of the keys of a list such as "h,w". */
static bool is_of_keys(const char *word, const char *keys) {
    const size_t length = strcspn(word, "=");
    for (const char *key = keys; *key;) {
        const size_t key_length = strcspn(key, ",");
        if (word[length] == '=' && length == key_length && !strncmp(word, key, length))
            return true;
        key += key_length + (key[key_length] == ',');
    }
    return false;
}

/* The operation without the words that set one of these keys. */
static void without_keys(const char *op, const char *keys, char *rest, size_t size) {
    char word[FV_WORD_SIZE];
    rest[0] = '\0';
    while (fv_next_word(&op, word) == FV_OK && word[0])
        if (!is_of_keys(word, keys))
            fv_append(rest, size, "%s%s", rest[0] ? " " : "", word);
}

/* What is common to the cases of one sweep. Padding is not: "same" depends on the filter. */
typedef struct series {
    char rest[OP_SIZE], label[64], op[OP_SIZE];
    double x;
    int number;
} series;

/* Moves on to the next case of a sweep, or to the next sweep: where something else than the swept keys changes, or
 * their value begins anew. */
static void follow(series *at, const fv_bench_row *row, const char *op, const char *rest, double x) {
    if (at->number && !strcmp(at->op, op) && !strcmp(at->label, row->label))
        return; /* another pass of the same case */
    if (!at->number || strcmp(at->rest, rest) || strcmp(at->label, row->label) || x <= at->x)
        ++at->number;
    snprintf(at->rest, sizeof at->rest, "%s", rest);
    snprintf(at->label, sizeof at->label, "%s", row->label);
    snprintf(at->op, sizeof at->op, "%s", op);
    at->x = x;
}

/* Filters and their dilation sweep with the padding that keeps the image's size. */
static void name_panel(const fv_plot *plot, const fv_bench_row *row, char title[FV_PLOT_LABEL_SIZE]) {
    char text[FV_BENCH_NAME_SIZE], rest[OP_SIZE], keys[64];
    const char *sweep = plot->record->sweep;
    const bool pads = is_of_keys("kernel=", sweep) || is_of_keys("dilation=", sweep);
    snprintf(keys, sizeof keys, "%s%s", sweep, pads ? ",pad" : "");
    fv_bench_short_op(row, text);
    without_keys(text, keys, rest, sizeof rest);
    if (row->label[0])
        snprintf(rest, sizeof rest, "%s", row->label);
    cut(rest, sizeof rest, TITLE_LENGTH);
    label_pass(plot, rest, row, title);
}

/* The number of the panel for a pass of a sweep; -1: there are more than are drawn. */
static int find_panel(fv_plot *plot, int sweep, const fv_bench_row *row) {
    for (int i = 0; i < plot->panel_count; ++i) {
        const fv_plot_panel *panel = &plot->panels[i];
        if (panel->sweep == sweep && !strcmp(panel->first->pass, row->pass) && !strcmp(panel->first->dtype, row->dtype))
            return i;
    }
    if (plot->panel_count == FV_PLOT_MOST_PANELS) {
        plot->more_panels = true;
        return -1;
    }
    fv_plot_panel *panel = &plot->panels[plot->panel_count];
    *panel = (fv_plot_panel){.sweep = sweep, .first = row};
    name_panel(plot, row, panel->title);
    return plot->panel_count++;
}

/* Values grow by factors if the last step of a panel is much larger than the first. */
static void choose_axis(const fv_plot *plot, int number, fv_plot_panel *panel) {
    double x[3] = {0}; /* the first, the second and the last but one */
    double last = 0;
    int count = 0;
    for (int64_t i = 0; i < plot->count; ++i) {
        if (plot->cases[i].panel != number)
            continue;
        if (count < 2)
            x[count] = plot->cases[i].x;
        x[2] = last;
        last = plot->cases[i].x;
        ++count;
    }
    panel->logarithmic = x[0] > 0 && (count > 2 ? last - x[2] > 1.5 * (x[1] - x[0]) : last >= 2 * x[0]);
}

static void find_sweeps(fv_plot *plot) {
    const fv_bench_record *record = plot->record;
    series at = {.number = 0};
    snprintf(plot->key, sizeof plot->key, "%.*s", (int)strcspn(record->sweep, ","), record->sweep);
    for (int64_t i = 0; i < plot->count && plot->key[0]; ++i) {
        const fv_bench_row *row = &record->rows[plot->cases[i].begin];
        char text[OP_SIZE], rest[OP_SIZE], fixed[64];
        fv_operation op;
        if (fv_operation_parse(row->op, &op) != FV_OK)
            continue;
        fv_operation_print(&op, text, sizeof text);
        snprintf(fixed, sizeof fixed, "%s,pad", record->sweep);
        without_keys(text, fixed, rest, sizeof rest);
        if (!key_value(text, plot->key, &plot->cases[i].x))
            continue;
        follow(&at, row, text, rest, plot->cases[i].x);
        plot->cases[i].panel = find_panel(plot, at.number, row);
        for (int64_t r = plot->cases[i].begin; r < plot->cases[i].end; ++r)
            if (!record->rows[r].rival)
                name_index(&plot->kernels, record->rows[r].kernel);
    }
    for (int i = 0; i < plot->panel_count; ++i)
        choose_axis(plot, i, &plot->panels[i]);
}

/* ---- all of it ---- */

/* Another pass of the same case. */
static bool is_next_pass(const fv_bench_row *before, const fv_bench_row *row) {
    return !strcmp(before->op, row->op) && !strcmp(before->label, row->label) && strcmp(before->pass, row->pass);
}

/* A row whose time can be divided by; NULL: it is none. */
static const fv_bench_row *usable(const fv_bench_row *row) {
    return row && row->timing.summary.median > 0 && isfinite(row->timing.summary.median) ? row : NULL;
}

static void add_case(fv_plot *plot, int64_t begin, int64_t end) {
    const fv_bench_record *record = plot->record;
    const fv_bench_row *first = &record->rows[begin];
    fv_plot_case *item = &plot->cases[plot->count++];
    *item = (fv_plot_case){.begin = begin, .end = end, .panel = -1};
    item->again = begin > 0 && is_next_pass(&record->rows[begin - 1], first);
    item->ours = usable(fv_bench_fastest(record, begin, end));
    item->rival = usable(fv_bench_rival(record, begin, end, "nhwc"));
    item->family = name_index(&plot->families, first->family);
    plot->passes |= strcmp(first->pass, record->rows[0].pass) != 0;
    plot->dtypes |= strcmp(first->dtype, record->rows[0].dtype) != 0;
    plot->ratios |= item->ours && item->rival;
    const fv_floor *floor = item->ours ? &item->ours->floor : NULL;
    plot->flops |= floor && floor->bytes > 0 && floor->flop > 0;
    plot->moves |= floor && floor->bytes > 0 && floor->flop == 0;
}

fv_status fv_plot_prepare(fv_plot *plot, const fv_bench_record *record) {
    *plot = (fv_plot){.record = record};
    plot->cases = record->count ? calloc((size_t)record->count, sizeof *plot->cases) : NULL;
    if (record->count && !plot->cases)
        return fv_fail(FV_NO_MEMORY, "no memory for a picture of %lld measurements", (long long)record->count);
    bool timed = false;
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        add_case(plot, begin, end);
        timed |= plot->cases[plot->count - 1].ours != NULL;
    }
    if (!timed)
        return fv_fail(FV_BAD_INPUT, "there is nothing to draw: no case was timed");
    const int64_t bars = plot->count < FV_PLOT_MOST_BARS ? plot->count : FV_PLOT_MOST_BARS;
    for (int64_t i = 0; i < bars; ++i)
        name_case(plot, bars, &plot->cases[i]);
    find_sweeps(plot);
    return FV_OK;
}

void fv_plot_release(fv_plot *plot) {
    free(plot->cases);
    *plot = (fv_plot){.record = NULL};
}
