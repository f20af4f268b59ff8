/* The panel of bars, one for each case and pass: the ratio to the rival's time or, where there is no rival, the share of
 * the floor. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "cli/bench_plot.h"

static const char GOOD[] = "#0072B2", POOR[] = "#D55E00"; /* blue and vermilion */

/* What a chart shows. */
typedef struct chart {
    const fv_plot *plot;
    int64_t count;
    double base; /* where bars begin: a ratio of 1, or a share of 0 */
    double low, high;
} chart;

/* The ratio of the rival's time to ours, or the floor's share of our time in per cent; 0: not known. */
static double bar_value(const fv_plot *plot, const fv_plot_case *item) {
    if (!item->ours)
        return 0;
    const double seconds = item->ours->timing.summary.median;
    if (plot->ratios)
        return item->rival ? item->rival->timing.summary.median / seconds : 0;
    return 100 * item->ours->floor.seconds / seconds;
}

/* Which of the two colours: ours is faster, or the floor is that of arithmetic. */
static bool is_good(const fv_plot *plot, const fv_plot_case *item) {
    return plot->ratios ? bar_value(plot, item) >= 1 : item->ours->floor.compute_bound;
}

/* Why there is no bar. */
static const char *absence(const fv_plot *plot, const fv_plot_case *item) {
    if (item->ours)
        return plot->ratios ? "no rival" : "no floor";
    for (int64_t r = item->begin; r < item->end; ++r)
        if (!plot->record->rows[r].rival)
            return plot->record->rows[r].state == FV_BENCH_TIMED ? "no time" /* too short to be measured */
                                                                 : fv_bench_state_name(plot->record->rows[r].state);
    return "unsupported";
}

/* `pixels` are left for the numbers at the bars' ends. */
static chart make_chart(const fv_plot *plot, double width, double pixels) {
    chart c = {plot, fv_min(plot->count, FV_PLOT_MOST_BARS), plot->ratios ? 1 : 0, 1, 1};
    for (int64_t i = 0; i < c.count; ++i) {
        const double value = bar_value(plot, &plot->cases[i]);
        c.low = value > 0 ? fmin(c.low, value) : c.low;
        c.high = fmax(c.high, value);
    }
    if (plot->ratios) {
        const double low = fmin(c.low, 0.5), high = fmax(c.high, 2);
        const double margin = pow(high / low, pixels / (width - 2 * pixels));
        c.low = low / margin;
        c.high = high * margin;
    } else {
        c.low = 0;
        c.high = fmax(c.high, 100) * width / (width - pixels);
    }
    return c;
}

/* Tics at 1, 2 and 5 times powers of ten, and between them where the axis is short. */
static void put_ratio_axis(FILE *out, const chart *c) {
    static const double wide[] = {1, 2, 5}, narrow[] = {1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9};
    const bool few = c->high / c->low > 8, fewest = c->high / c->low > 1e4;
    const double *steps = few ? wide : narrow;
    const size_t count = fewest ? 1 : few ? sizeof wide / sizeof wide[0] : sizeof narrow / sizeof narrow[0];
    fprintf(out, "set logscale x\nset xrange [%.9g:%.9g]\nset xtics (", c->low, c->high);
    const char *comma = "";
    for (int exponent = (int)floor(log10(c->low)); exponent <= (int)floor(log10(c->high)); ++exponent)
        for (size_t i = 0; i < count; ++i) {
            const double tic = steps[i] * pow(10, exponent);
            if (tic < c->low || tic > c->high)
                continue;
            fprintf(out, "%s'%g' %.9g", comma, tic, tic);
            comma = ", ";
        }
    fprintf(out, ")\n");
}

static int64_t put_bar_data(FILE *out, const chart *c, bool good) {
    int64_t count = 0;
    fprintf(out, "$bars%d << EOD\n", good);
    for (int64_t i = 0; i < c->count; ++i) {
        const fv_plot_case *item = &c->plot->cases[i];
        const double value = bar_value(c->plot, item), y = (double)i;
        if (!(value > 0) || is_good(c->plot, item) != good)
            continue;
        fprintf(out, "%.9g %g %.9g %.9g %g %g\n", value, y, fmin(c->base, value), fmax(c->base, value), y - 0.36,
                y + 0.36);
        ++count;
    }
    fprintf(out, "EOD\n");
    return count;
}

/* The case's name beside the axis, and its number at the bar's end. */
static void put_bar_texts(FILE *out, const chart *c, int64_t i) {
    const fv_plot_case *item = &c->plot->cases[i];
    const double value = bar_value(c->plot, item);
    fprintf(out, "set label ");
    fv_plot_put_text(out, item->label);
    fprintf(out, " at graph 0, first %lld right offset character -0.9,0 font ',9'\nset label ", (long long)i);
    if (!(value > 0)) {
        fv_plot_put_text(out, absence(c->plot, item));
        fprintf(out, " at first %g, first %lld left offset character 0.7,0 font ',9' textcolor rgb '#808080'\n",
                c->base, (long long)i);
        return;
    }
    char number[32];
    if (c->plot->ratios)
        snprintf(number, sizeof number,
                 value < 0.01    ? "%.1e"
                 : value < 0.1   ? "%.3f"
                 : value < 9.995 ? "%.2f"
                                 : "%.0f",
                 value);
    else
        snprintf(number, sizeof number, value < 9.95 ? "%.1f %%" : "%.0f %%", value);
    fv_plot_put_text(out, number);
    const bool left = value < c->base;
    fprintf(out, " at first %.9g, first %lld %s offset character %g,0 font ',9'\n", value, (long long)i,
            left ? "right" : "left", left ? -0.7 : 0.7);
}

/* A line where the next case begins, if cases have several passes. */
static void put_separators(FILE *out, const chart *c) {
    for (int64_t i = 1; i < c->count && c->plot->passes; ++i)
        if (!c->plot->cases[i].again)
            fprintf(out, "set arrow from graph 0, first %g to graph 1, first %g nohead back linecolor rgb '#c8c8c8'\n",
                    (double)i - 0.5, (double)i - 0.5);
}

static void chart_title(const chart *c, char *title, size_t size) {
    const fv_plot *plot = c->plot;
    fv_geomean mean = {0};
    for (int64_t i = 0; i < plot->count; ++i)
        if (bar_value(plot, &plot->cases[i]) > 0)
            fv_geomean_add(&mean, bar_value(plot, &plot->cases[i]));
    int length;
    if (plot->ratios)
        length = snprintf(title, size, "Ratio of %s's time (its best in NHWC) to ours; geometric mean %.3g",
                          fv_plot_rival_name(plot), fv_geomean_value(&mean));
    else
        length = snprintf(title, size, "Share of the chip's limit; geometric mean %.3g %%", fv_geomean_value(&mean));
    if (c->count < plot->count)
        snprintf(title + length, size - (size_t)length, "; the first %lld of %lld", (long long)c->count,
                 (long long)plot->count);
}

void fv_plot_put_bars(const fv_plot_canvas *canvas, const fv_plot_area *area) {
    const fv_plot *plot = canvas->plot;
    FILE *out = canvas->out;
    const chart c = make_chart(plot, area->right - area->left, 60);
    char title[256];
    chart_title(&c, title, sizeof title);
    fv_plot_begin_panel(canvas, area, title);
    if (plot->ratios)
        put_ratio_axis(out, &c);
    else
        fprintf(out, "set xrange [0:%.9g]\n", c.high);
    /* Two more rows above leave room for the key. */
    fprintf(out, "set yrange [%g:-2.4]\nunset ytics\nset grid noytics nomytics\nset xlabel '%s'\n",
            (double)c.count - 0.3, plot->ratios ? "times as fast" : "% of the floor");
    fprintf(out, "set style fill solid 1 noborder\nset key top left Left reverse horizontal samplen 1 font ',10'\n");
    put_separators(out, &c);
    fprintf(out, "set arrow from %g, graph 0 to %g, first -0.6 nohead front linecolor rgb '#404040' linewidth 1.2\n",
            plot->ratios ? 1.0 : 100.0, plot->ratios ? 1.0 : 100.0);
    for (int64_t i = 0; i < c.count; ++i)
        put_bar_texts(out, &c, i);
    const bool has[2] = {put_bar_data(out, &c, false) > 0, put_bar_data(out, &c, true) > 0};
    fprintf(out, "plot NaN notitle");
    for (int good = 1; good >= 0; --good) {
        if (!has[good])
            continue;
        fprintf(out, ", $bars%d using 1:2:3:4:5:6 with boxxyerror linecolor rgb '%s' title ", good, good ? GOOD : POOR);
        char name[64];
        snprintf(name, sizeof name, "%s is faster", good ? "ours" : fv_plot_rival_name(plot));
        fv_plot_put_text(out, plot->ratios ? name : good ? "bound by arithmetic" : "bound by memory");
    }
    fprintf(out, "\n");
}
