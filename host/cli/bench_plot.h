/* The parts of fv_bench_plot: what is drawn (bench_plot_data.c), the script that draws it (bench_plot_script.c, and a
 * file for each kind of panel), and gnuplot, which runs it (bench_plot.c). */
#ifndef FOVEA_CLI_BENCH_PLOT_H
#define FOVEA_CLI_BENCH_PLOT_H

#include <stdio.h>

#include "measure/record.h"

enum {
    FV_PLOT_MOST_BARS = 400,  /* a longer chart is cut, and says so: a PNG has at most 32767 lines */
    FV_PLOT_MOST_PANELS = 24, /* of sweeps, likewise */
    FV_PLOT_MOST_NAMES = 64,  /* families, or kernels; the last place stands for all further ones */
    FV_PLOT_LABEL_SIZE = 320, /* bytes */
};

typedef struct fv_plot_names {
    char text[FV_PLOT_MOST_NAMES][48];
    int count;
} fv_plot_names;

/* One pass of one case. */
typedef struct fv_plot_case {
    int64_t begin, end;               /* its rows */
    const fv_bench_row *ours, *rival; /* our fastest, and the rival's in NHWC; NULL: none was timed */
    int family;
    bool again;                     /* the case is that of the pass before */
    char label[FV_PLOT_LABEL_SIZE]; /* of those that have a bar */
    int panel;                      /* of a sweep; -1: none */
    double x;                       /* the swept key's value */
} fv_plot_case;

/* How the time of one pass grows along a sweep of one case. */
typedef struct fv_plot_panel {
    int sweep;                 /* its number, */
    const fv_bench_row *first; /* and a row of the first case, which has the pass and the dtype */
    char title[FV_PLOT_LABEL_SIZE];
    bool logarithmic; /* the swept values grow by factors */
} fv_plot_panel;

typedef struct fv_plot {
    const fv_bench_record *record;
    fv_plot_case *cases;
    int64_t count;
    bool passes, dtypes; /* there are several, so that labels name them */
    bool ratios;         /* some case has a rival's time */
    bool flops, moves;   /* some timed case has FLOP; some has none, and memory is its only limit */
    fv_plot_names families, kernels;
    char key[32]; /* the first swept key; "" if there is no sweep to draw */
    fv_plot_panel panels[FV_PLOT_MOST_PANELS];
    int panel_count;
    bool more_panels; /* than are drawn */
} fv_plot;

/* Refers to the record. FV_BAD_INPUT: nothing of ours was timed. Release it in any case. */
fv_status fv_plot_prepare(fv_plot *plot, const fv_bench_record *record);
void fv_plot_release(fv_plot *plot);

typedef enum fv_plot_kind { FV_PLOT_SVG, FV_PLOT_PNG } fv_plot_kind;

/* The whole script for gnuplot, which writes the picture to standard output. */
void fv_plot_write_script(const fv_plot *plot, fv_plot_kind kind, FILE *out);

/* ---- within the script ---- */

/* A rectangle of the picture in pixels from its upper left corner: the inside of a panel's axes. */
typedef struct fv_plot_area {
    double left, right, top, bottom;
} fv_plot_area;

typedef struct fv_plot_canvas {
    const fv_plot *plot;
    FILE *out;
    double width, height;
    double point; /* how large points are, in gnuplot's measure */
} fv_plot_canvas;

/* Text as one gnuplot string in single quotes, in which nothing but the quote itself means anything. That becomes a
 * typographic one (doubled, gnuplot 5.4 misreads it at the beginning of a text), control characters become blanks, and
 * what is not UTF-8 loses all but its ASCII. */
void fv_plot_put_text(FILE *out, const char *text);

/* What the rival is called. */
const char *fv_plot_rival_name(const fv_plot *plot);

/* Begins a panel: forgets the last one's settings, places the axes, and writes the title over them. */
void fv_plot_begin_panel(const fv_plot_canvas *canvas, const fv_plot_area *area, const char *title);

/* Performance over intensity; and for cases without FLOP, bandwidth over size. `key`: the families are explained on the
 * right, those of both panels. */
void fv_plot_put_roofline(const fv_plot_canvas *canvas, const fv_plot_area *area);
void fv_plot_put_bandwidth(const fv_plot_canvas *canvas, const fv_plot_area *area);
void fv_plot_put_bars(const fv_plot_canvas *canvas, const fv_plot_area *area);
void fv_plot_put_sweep(const fv_plot_canvas *canvas, const fv_plot_area *area, int panel);

/* Seven colours that colour-blind people can tell apart (Okabe and Ito, "Color universal design", 2008; without the
 * yellow, which is faint on white), and a shape that goes with them: filled, or its outline. */
const char *fv_plot_colour(int index);
int fv_plot_shape(int index, bool filled);

#endif
