/* The picture as a script for gnuplot: where the panels lie, and what they have in common. All data are within the
 * script, numbers in blocks and texts as strings. */
#include <jansson.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "cli/bench_plot.h"

/* Pixels. */
enum {
    WIDTH = 1200,
    HEAD = 66,      /* the title of the whole */
    OVER = 46,      /* above a panel's axes: its title, */
    UNDER = 58,     /* and below them: numbers and what they are */
    LEFT = 96,      /* of the axes: likewise */
    RIGHT = 24,     /* beside the axes */
    KEY = 190,      /* the key of families */
    ROOFLINE = 400, /* heights */
    SWEEP = 270,
    BAR = 18,
    BARS_LEAST = 50,
    LETTER = 7,        /* the width of a letter of a bar's label, about */
    TITLE_LETTER = 8,  /* and of a panel's title */
    MOST_LETTERS = 90, /* that a bar's label may be wide */
};

const char *fv_plot_colour(int index) {
    static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"};
    return colours[(size_t)index % (sizeof colours / sizeof colours[0])];
}

/* gnuplot's numbers for a circle, a square, triangles, a diamond and a pentagon. */
int fv_plot_shape(int index, bool filled) {
    static const int outlines[] = {6, 4, 8, 10, 12, 14};
    return outlines[(size_t)index % (sizeof outlines / sizeof outlines[0])] + filled;
}

void fv_plot_put_text(FILE *out, const char *text) {
    json_t *valid = json_string(text); /* NULL if it is not UTF-8 */
    const bool ascii_only = !valid;
    json_decref(valid);
    fputc('\'', out);
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '\'')
            fputs("’", out);
        else
            fputc(c < ' ' || c == 0x7f ? ' ' : c > 0x7f && ascii_only ? '?' : c, out);
    }
    fputc('\'', out);
}

const char *fv_plot_rival_name(const fv_plot *plot) {
    return plot->record->against[0] ? plot->record->against : "rival";
}

void fv_plot_begin_panel(const fv_plot_canvas *canvas, const fv_plot_area *area, const char *title) {
    FILE *out = canvas->out;
    fprintf(out, "\nreset\nset lmargin at screen %.6f\nset rmargin at screen %.6f\n", area->left / canvas->width,
            area->right / canvas->width);
    fprintf(out, "set tmargin at screen %.6f\nset bmargin at screen %.6f\n", 1 - area->top / canvas->height,
            1 - area->bottom / canvas->height);
    fprintf(out, "set border 3 linecolor rgb '#808080'\nset tics nomirror textcolor rgb '#303030'\n"
                 "set grid xtics ytics mxtics mytics linetype 1 linecolor rgb '#dddddd', linetype 1 linecolor rgb "
                 "'#f0f0f0'\nset label ");
    fv_plot_put_text(out, title);
    const bool wide = TITLE_LETTER * (double)strlen(title) < area->right - area->left;
    fprintf(out, " at screen %.6f, screen %.6f left font ',%d'\n", area->left / canvas->width,
            1 - (area->top - 20) / canvas->height, wide ? 11 : 9);
}

/* ---- where the panels lie ---- */

typedef struct layout {
    fv_plot_area roofline, bandwidth, bars;
    double sweeps; /* the upper edge of the first row of them */
    int64_t bar_count;
    double height;
} layout;

/* How wide the labels of bars are, in letters. */
static int64_t label_letters(const fv_plot *plot, int64_t bars) {
    int64_t longest = 0;
    for (int64_t i = 0; i < bars; ++i) {
        int64_t letters = 0;
        for (const char *at = plot->cases[i].label; *at; ++at)
            letters += ((unsigned char)*at & 0xc0) != 0x80;
        longest = fv_max(longest, letters);
    }
    return fv_min(longest, MOST_LETTERS);
}

static layout lay_out(const fv_plot *plot) {
    layout at = {.bar_count = fv_min(plot->count, FV_PLOT_MOST_BARS)};
    double y = HEAD;
    if (plot->flops || plot->moves) {
        const double right = WIDTH - KEY, split = LEFT + 0.6 * (right - LEFT);
        at.roofline = (fv_plot_area){LEFT, plot->moves ? split - 20 : right, y + OVER, y + OVER + ROOFLINE};
        at.bandwidth = (fv_plot_area){plot->flops ? split + LEFT : LEFT, right, y + OVER, y + OVER + ROOFLINE};
        y = at.roofline.bottom + UNDER;
    }
    at.sweeps = y;
    y += (plot->panel_count + 1) / 2 * (double)(OVER + SWEEP + UNDER);
    const double letters = (double)label_letters(plot, at.bar_count);
    at.bars = (fv_plot_area){40 + LETTER * letters, WIDTH - RIGHT - 16, y + OVER,
                             y + OVER + BARS_LEAST + BAR * (double)at.bar_count};
    at.height = at.bars.bottom + UNDER;
    return at;
}

/* Two in a row; a single one has it for itself. */
static fv_plot_area sweep_area(const fv_plot *plot, const layout *at, int panel) {
    const double top = at->sweeps + OVER + panel / 2 * (double)(OVER + SWEEP + UNDER);
    const double half = WIDTH / 2.0;
    fv_plot_area area = {LEFT + panel % 2 * half, half + panel % 2 * half - RIGHT, top, top + SWEEP};
    if (plot->panel_count == 1)
        area.right = WIDTH - RIGHT;
    return area;
}

/* ---- the whole ---- */

static void put_head(const fv_plot_canvas *canvas) {
    const fv_bench_record *r = canvas->plot->record;
    char title[512], about[1024] = "";
    snprintf(title, sizeof title, "%s%s%s%s%s", r->backend, r->against[0] ? " against " : "", r->against,
             r->machine.device[0] ? " on " : "", r->machine.device);
    const char *dirty = strchr(r->commit, '-'); /* "-dirty": with changes */
    fv_append(about, sizeof about, "Fovea %s%s%.*s%s", r->version, r->commit[0] ? ", commit " : "",
              (int)fv_min(12, (int64_t)strcspn(r->commit, "-")), r->commit, dirty ? dirty : "");
    fv_append(about, sizeof about, "%s%s", r->date[0] ? ", " : "", r->date);
    fv_append(about, sizeof about, "%s%s", r->machine.libraries[0] ? ", " : "", r->machine.libraries);
    fv_append(about, sizeof about, ", %s caches%s", r->protocol.warm ? "warm" : "cold",
              r->complete ? "" : "; stopped before the end");
    /* Labels belong to a plot, so the head is one of its own, without axes. */
    fprintf(canvas->out,
            "\nreset\nunset border\nunset tics\nunset key\nset xrange [0:1]\nset yrange [0:1]\nset label ");
    fv_plot_put_text(canvas->out, title);
    fprintf(canvas->out, " at screen %.6f, screen %.6f left font ',16'\nset label ", 24.0 / WIDTH,
            1 - 28 / canvas->height);
    fv_plot_put_text(canvas->out, about);
    fprintf(canvas->out, " at screen %.6f, screen %.6f left font ',10' textcolor rgb '#606060'\nplot -1 notitle\n",
            24.0 / WIDTH, 1 - 54 / canvas->height);
}

void fv_plot_write_script(const fv_plot *plot, fv_plot_kind kind, FILE *out) {
    const layout at = lay_out(plot);
    const fv_plot_canvas canvas = {plot, out, WIDTH, at.height, kind == FV_PLOT_PNG ? 1.1 : 0.7};
    /* A PNG has twice as many pixels, for sharp text. */
    if (kind == FV_PLOT_PNG)
        fprintf(out, "set terminal pngcairo noenhanced size %d,%.0f fontscale 2 linewidth 2 pointscale 2", 2 * WIDTH,
                2 * at.height);
    else
        fprintf(out, "set terminal svg noenhanced size %d,%.0f fontscale 1.15", WIDTH, at.height);
    fprintf(out, " font 'sans-serif,11' background rgb '#ffffff'\nset encoding utf8\nset multiplot\n");
    put_head(&canvas);
    if (plot->flops)
        fv_plot_put_roofline(&canvas, &at.roofline);
    if (plot->moves)
        fv_plot_put_bandwidth(&canvas, &at.bandwidth);
    for (int i = 0; i < plot->panel_count; ++i) {
        const fv_plot_area area = sweep_area(plot, &at, i);
        fv_plot_put_sweep(&canvas, &area, i);
    }
    fv_plot_put_bars(&canvas, &at.bars);
    fprintf(out, "\nunset multiplot\n");
}
