/* A panel for each sweep: how the time of each kernel grows with the swept key, beside the rival's and the floor. */
#include <math.h>
#include <string.h>

#include "cli/bench_plot.h"

static bool is_of(const fv_plot_case *item, int panel) {
    return item->panel == panel;
}

/* The row that a curve has at a case: of one of our kernels, or the rival's best (kernel < 0); NULL: not timed. */
static const fv_bench_row *curve_row(const fv_plot *plot, const fv_plot_case *item, int kernel) {
    if (kernel < 0)
        return item->rival;
    for (int64_t r = item->begin; r < item->end; ++r) {
        const fv_bench_row *row = &plot->record->rows[r];
        if (!row->rival && row->state == FV_BENCH_TIMED && !strcmp(row->kernel, plot->kernels.text[kernel]))
            return row;
    }
    return NULL;
}

/* Times in a panel are in microseconds or, where some are over 10 ms, in milliseconds; this many in a second. */
static double panel_unit(const fv_plot *plot, int panel) {
    double longest = 0;
    for (int64_t i = 0; i < plot->count; ++i)
        for (int64_t r = plot->cases[i].begin; is_of(&plot->cases[i], panel) && r < plot->cases[i].end; ++r)
            longest = fmax(longest, plot->record->rows[r].timing.summary.median);
    return longest > 1e-2 ? 1e3 : 1e6;
}

/* Value, median and confidence interval; a blank line where a curve is broken. False if there is none. */
static bool put_curve(FILE *out, const fv_plot *plot, int panel, int kernel) {
    const double unit = panel_unit(plot, panel);
    bool any = false, broken = false;
    for (int64_t i = 0; i < plot->count; ++i)
        any |= is_of(&plot->cases[i], panel) && curve_row(plot, &plot->cases[i], kernel);
    if (!any)
        return false;
    fprintf(out, "$curve%d_%d << EOD\n", panel, kernel + 1);
    for (int64_t i = 0; i < plot->count; ++i) {
        const fv_bench_row *row = is_of(&plot->cases[i], panel) ? curve_row(plot, &plot->cases[i], kernel) : NULL;
        if (row) {
            const fv_summary *s = &row->timing.summary;
            fprintf(out, "%s%.9g %.9g %.9g %.9g\n", broken ? "\n" : "", plot->cases[i].x, unit * s->median,
                    unit * s->low, unit * s->high);
            broken = false;
        } else if (is_of(&plot->cases[i], panel)) {
            broken = true;
        }
    }
    fprintf(out, "EOD\n");
    return true;
}

static bool put_floor(FILE *out, const fv_plot *plot, int panel) {
    const double unit = panel_unit(plot, panel);
    bool any = false;
    for (int64_t i = 0; i < plot->count; ++i) {
        const double seconds = plot->record->rows[plot->cases[i].begin].floor.seconds;
        if (!is_of(&plot->cases[i], panel) || !(seconds > 0))
            continue;
        if (!any)
            fprintf(out, "$floor%d << EOD\n", panel);
        any = true;
        fprintf(out, "%.9g %.9g\n", plot->cases[i].x, unit * seconds);
    }
    if (any)
        fprintf(out, "EOD\n");
    return any;
}

/* Tics at the swept values, unless they are many, and a little room beside them. */
static void put_sweep_axis(FILE *out, const fv_plot *plot, int panel) {
    enum { MOST_TICS = 14 };
    double low = 0, high = 0;
    int count = 0;
    for (int64_t i = 0; i < plot->count; ++i)
        if (is_of(&plot->cases[i], panel)) {
            low = count++ ? fmin(low, plot->cases[i].x) : plot->cases[i].x;
            high = fmax(high, plot->cases[i].x);
        }
    if (plot->panels[panel].logarithmic)
        fprintf(out, "set logscale x\nset xrange [%.9g:%.9g]\n", low / 1.15, high * 1.15);
    else
        fprintf(out, "set xrange [%.9g:%.9g]\n", low - 0.04 * (high - low) - (high > low ? 0 : 1),
                high + 0.04 * (high - low) + (high > low ? 0 : 1));
    if (count > MOST_TICS)
        return;
    fprintf(out, "set xtics (");
    const char *comma = "";
    for (int64_t i = 0; i < plot->count; ++i)
        if (is_of(&plot->cases[i], panel)) {
            fprintf(out, "%s'%g' %.9g", comma, plot->cases[i].x, plot->cases[i].x);
            comma = ", ";
        }
    fprintf(out, ")\n");
}

static void plot_curve(const fv_plot_canvas *canvas, int panel, int curve, const char *colour, int shape,
                       const char *name) {
    fprintf(canvas->out,
            ", $curve%d_%d using 1:3:4 with filledcurves fillcolor rgb '%s' fillstyle transparent solid 0.2 noborder "
            "notitle, $curve%d_%d using 1:2 with linespoints linecolor rgb '%s' linewidth 1.5 pointtype %d pointsize "
            "%g title ",
            panel, curve, colour, panel, curve, colour, shape, 0.8 * canvas->point);
    fv_plot_put_text(canvas->out, name);
}

void fv_plot_put_sweep(const fv_plot_canvas *canvas, const fv_plot_area *area, int panel) {
    const fv_plot *plot = canvas->plot;
    FILE *out = canvas->out;
    char title[FV_PLOT_LABEL_SIZE + 64];
    snprintf(title, sizeof title, "%s%s", plot->panels[panel].title,
             plot->more_panels && panel == FV_PLOT_MOST_PANELS - 1 ? " (the last of many that is drawn)" : "");
    fv_plot_begin_panel(canvas, area, title);
    fprintf(out, "set logscale y\nset format y '%%.10g'\nset ylabel 'time (%s)'\nset xlabel ",
            panel_unit(plot, panel) > 1e3 ? "µs" : "ms");
    fv_plot_put_text(out, plot->record->sweep);
    fprintf(out, "\nset key top left Left reverse samplen 2 font ',9' opaque\n");
    put_sweep_axis(out, plot, panel);
    bool has[FV_PLOT_MOST_NAMES];
    for (int kernel = 0; kernel < plot->kernels.count; ++kernel)
        has[kernel] = put_curve(out, plot, panel, kernel);
    const bool rival = put_curve(out, plot, panel, -1), floor = put_floor(out, plot, panel);
    fprintf(out, "plot NaN notitle");
    for (int kernel = 0; kernel < plot->kernels.count; ++kernel)
        if (has[kernel])
            plot_curve(canvas, panel, kernel + 1, fv_plot_colour(kernel), fv_plot_shape(kernel, true),
                       plot->kernels.text[kernel]);
    if (rival)
        plot_curve(canvas, panel, 0, "#606060", fv_plot_shape(0, false), fv_plot_rival_name(plot));
    if (floor)
        fprintf(out, ", $floor%d using 1:2 with lines dashtype 2 linecolor rgb '#404040' title 'floor'", panel);
    fprintf(out, "\n");
}
