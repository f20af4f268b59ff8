/* Two panels about the chip's limits: performance over arithmetic intensity under the roofs, and for cases without
 * FLOP, which have no intensity, bandwidth over size under the copy's. Ours filled, the rival's an outline, joined. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/bench_plot.h"

enum { ROOF_TEXT = 200 }; /* pixels that the text over a roof takes, about */

/* Both axes of a panel, logarithmic, and what they span. */
typedef struct span {
    double low, high;
} span;

static void widen(span *s, double value) {
    if (!(value > 0))
        return;
    s->low = s->low > 0 ? fmin(s->low, value) : value;
    s->high = fmax(s->high, value);
}

static bool is_shown(const fv_plot_case *item, bool flops) {
    return item->ours && item->ours->floor.bytes > 0 && (item->ours->floor.flop > 0) == flops;
}

/* Of a case's panel: intensity in FLOP per byte and TFLOP/s, or MB and the share of the copy's bandwidth in per cent. */
static double place_x(const fv_plot_case *item) {
    const fv_floor *floor = &item->ours->floor;
    return floor->flop ? (double)floor->flop / (double)floor->bytes : (double)floor->bytes * 1e-6;
}

static double place_y(const fv_plot *plot, const fv_plot_case *item, const fv_bench_row *row) {
    const fv_floor *floor = &item->ours->floor;
    const double seconds = row->timing.summary.median, copy = plot->record->ceilings.copy;
    if (floor->flop)
        return (double)floor->flop / seconds * 1e-12;
    return copy > 0 ? 100 * (double)floor->bytes / seconds / copy : (double)floor->bytes / seconds * 1e-9;
}

static void put_range(FILE *out, const char *axis, const span *s) {
    fprintf(out, "set %srange [%.9g:%.9g]\nset logscale %s\n", axis, s->low, s->high, axis);
}

/* ---- points ---- */

/* Ours and the rival's by family, and pairs of both; the blocks' names begin with `prefix`. */
static void put_points(const fv_plot_canvas *canvas, const char *prefix, bool flops, bool has[], bool *pairs) {
    const fv_plot *plot = canvas->plot;
    for (int family = 0; family < plot->families.count; ++family) {
        has[family] = false;
        for (int64_t i = 0; i < plot->count; ++i)
            has[family] |= plot->cases[i].family == family && is_shown(&plot->cases[i], flops);
        if (!has[family])
            continue;
        fprintf(canvas->out, "$%s%d << EOD\n", prefix, family);
        for (int64_t i = 0; i < plot->count; ++i) {
            const fv_plot_case *item = &plot->cases[i];
            if (item->family == family && is_shown(item, flops))
                fprintf(canvas->out, "%.9g %.9g\n", place_x(item), place_y(plot, item, item->ours));
        }
        fprintf(canvas->out, "EOD\n");
    }
    *pairs = false;
    for (int64_t i = 0; i < plot->count; ++i)
        *pairs |= is_shown(&plot->cases[i], flops) && plot->cases[i].rival;
    if (!*pairs)
        return;
    fprintf(canvas->out, "$%s_pairs << EOD\n", prefix);
    for (int64_t i = 0; i < plot->count; ++i) {
        const fv_plot_case *item = &plot->cases[i];
        if (is_shown(item, flops) && item->rival)
            fprintf(canvas->out, "%.9g %.9g 0 %.9g %.9g %d %ld\n", place_x(item), place_y(plot, item, item->ours),
                    place_y(plot, item, item->rival) - place_y(plot, item, item->ours),
                    place_y(plot, item, item->rival), fv_plot_shape(item->family, false),
                    strtol(fv_plot_colour(item->family) + 1, NULL, 16));
    }
    fprintf(canvas->out, "EOD\n");
}

/* The plots of those points; `first`: nothing was plotted before. */
static void plot_points(const fv_plot_canvas *canvas, const char *prefix, const bool has[], bool pairs) {
    if (pairs)
        fprintf(canvas->out,
                ", $%s_pairs using 1:2:3:4 with vectors nohead linecolor rgb '#a0a0a0' linewidth 0.8 notitle"
                ", $%s_pairs using 1:5:6:7 with points pointtype variable linecolor rgb variable "
                "pointsize %g notitle",
                prefix, prefix, canvas->point);
    for (int family = 0; family < canvas->plot->families.count; ++family)
        if (has[family])
            fprintf(canvas->out, ", $%s%d using 1:2 with points pointtype %d pointsize %g linecolor rgb '%s' notitle",
                    prefix, family, fv_plot_shape(family, true), canvas->point, fv_plot_colour(family));
    fprintf(canvas->out, "\n");
}

/* ---- the key ---- */

/* As samples that are plotted nowhere, so that one key serves both panels. */
static void put_key(const fv_plot_canvas *canvas, const fv_plot_area *area) {
    fprintf(
        canvas->out,
        "set key at screen %.6f, screen %.6f left top Left reverse samplen 0.5 spacing 1.25 font ',10' noautotitle\n",
        1 - 176 / canvas->width, 1 - (area->top - 4) / canvas->height);
}

static void plot_key(const fv_plot_canvas *canvas) {
    const fv_plot *plot = canvas->plot;
    for (int family = 0; family < plot->families.count; ++family) {
        bool timed = false;
        for (int64_t i = 0; i < plot->count; ++i)
            timed |= plot->cases[i].family == family && plot->cases[i].ours;
        if (!timed)
            continue;
        fprintf(canvas->out, ", NaN with points pointtype %d pointsize %g linecolor rgb '%s' title ",
                fv_plot_shape(family, true), canvas->point, fv_plot_colour(family));
        fv_plot_put_text(canvas->out, plot->families.text[family]);
    }
    if (!plot->ratios)
        return;
    char title[64];
    snprintf(title, sizeof title, "%s (outlines)", fv_plot_rival_name(plot));
    fprintf(canvas->out, ", NaN with points pointtype %d pointsize %g linecolor rgb '#606060' title ",
            fv_plot_shape(0, false), canvas->point);
    fv_plot_put_text(canvas->out, title);
}

/* ---- the roofline ---- */

/* The rate of matrix products in a dtype, FLOP per second; 0: no case has it, or the rate is not known. */
static double roof_of(const fv_plot *plot, int dtype) {
    for (int64_t i = 0; i < plot->count; ++i)
        if (is_shown(&plot->cases[i], true) && !strcmp(plot->cases[i].ours->dtype, fv_dtype_name((fv_dtype)dtype)))
            return plot->record->ceilings.product[dtype];
    return 0;
}

static void find_spans(const fv_plot *plot, span *x, span *y) {
    const double copy = plot->record->ceilings.copy;
    *x = *y = (span){0};
    for (int64_t i = 0; i < plot->count; ++i) {
        const fv_plot_case *item = &plot->cases[i];
        if (!is_shown(item, true))
            continue;
        widen(x, place_x(item));
        widen(y, place_y(plot, item, item->ours));
        if (item->rival)
            widen(y, place_y(plot, item, item->rival));
    }
    for (int dtype = 0; dtype < FV_DTYPES; ++dtype) {
        const double roof = roof_of(plot, dtype);
        widen(y, roof * 1e-12);
        if (copy > 0)
            widen(x, roof / copy);
    }
    *x = (span){x->low / 1.8, x->high * 4};
    *y = (span){y->low / 2, y->high * 2.2};
}

static void put_rate(FILE *out, const char *what, double rate, const char *unit) {
    char text[96];
    snprintf(text, sizeof text, "%s %.3g %s%s", what, rate >= 1e12 ? rate * 1e-12 : rate * 1e-9,
             rate >= 1e12 ? "T" : "G", unit);
    fv_plot_put_text(out, text);
}

/* The slope of memory and the flat of products, as two or three points; both have their rate written on them. */
static void put_roof(const fv_plot_canvas *canvas, const fv_plot_area *area, int dtype, double roof, const span *x) {
    const double copy = canvas->plot->record->ceilings.copy;
    FILE *out = canvas->out;
    const double ridge = copy > 0 ? roof / copy : 0;
    fprintf(out, "$roof%d << EOD\n%.9g %.9g\n", dtype, x->low, (ridge > x->low ? x->low * copy : roof) * 1e-12);
    if (ridge > x->low)
        fprintf(out, "%.9g %.9g\n", ridge, roof * 1e-12);
    fprintf(out, "%.9g %.9g\nEOD\nset label ", x->high, roof * 1e-12);
    char what[32];
    snprintf(what, sizeof what, "%s product", fv_dtype_name((fv_dtype)dtype));
    put_rate(out, what, roof, "FLOP/s");
    /* Behind the ridge, where the flat is long enough. */
    const double begin = fmax(ridge, x->low);
    const bool fits = (area->right - area->left) * log10(x->high / begin) / log10(x->high / x->low) > ROOF_TEXT;
    fprintf(out, " at %.9g, %.9g %s,0.6 font ',10' textcolor rgb '#404040'\n", fits ? begin : x->high, roof * 1e-12,
            fits ? "left offset 1" : "right offset 0");
}

/* On the slope, in the middle of what is seen of it below `roof`, and a little above it. */
static void put_slope_label(const fv_plot_canvas *canvas, const fv_plot_area *area, const span *x, const span *y,
                            double roof) {
    const double copy = canvas->plot->record->ceilings.copy * 1e-12;
    const double decade_x = (area->right - area->left) / log10(x->high / x->low);
    const double decade_y = (area->bottom - area->top) / log10(y->high / y->low);
    const double angle = atan2(decade_y, decade_x), above = 11;
    const double low = fmax(x->low, y->low / copy), high = fmin(x->high, (roof > 0 ? roof * 1e-12 : y->high) / copy);
    if (!(low < high))
        return;
    const double middle = sqrt(low * high);
    fprintf(canvas->out, "set label ");
    put_rate(canvas->out, "copy", copy * 1e12, "B/s");
    fprintf(canvas->out, " at %.9g, %.9g center rotate by %.1f font ',10' textcolor rgb '#404040'\n",
            middle * pow(10, -above * sin(angle) / decade_x), middle * copy * pow(10, above * cos(angle) / decade_y),
            angle * 180 / acos(-1));
}

void fv_plot_put_roofline(const fv_plot_canvas *canvas, const fv_plot_area *area) {
    const fv_plot *plot = canvas->plot;
    const double copy = plot->record->ceilings.copy;
    FILE *out = canvas->out;
    span x, y;
    bool has[FV_PLOT_MOST_NAMES], pairs;
    double highest = 0;
    find_spans(plot, &x, &y);
    fv_plot_begin_panel(canvas, area, "Roofline: our fastest kernel for each case and pass");
    put_range(out, "x", &x);
    put_range(out, "y", &y);
    fprintf(out, "set xlabel 'arithmetic intensity (FLOP per byte of least traffic)'\nset ylabel 'TFLOP/s'\n"
                 "set format '%%.10g'\n");
    put_key(canvas, area);
    for (int dtype = 0; dtype < FV_DTYPES; ++dtype) {
        const double roof = roof_of(plot, dtype);
        if (roof > 0)
            put_roof(canvas, area, dtype, roof, &x);
        highest = fmax(highest, roof);
    }
    if (copy > 0)
        put_slope_label(canvas, area, &x, &y, highest);
    if (copy > 0 && !(highest > 0))
        fprintf(out, "$slope << EOD\n%.9g %.9g\n%.9g %.9g\nEOD\n", x.low, x.low * copy * 1e-12, x.high,
                x.high * copy * 1e-12);
    put_points(canvas, "family", true, has, &pairs);
    fprintf(out, "plot NaN notitle");
    for (int dtype = 0; dtype < FV_DTYPES; ++dtype)
        if (roof_of(plot, dtype) > 0)
            fprintf(out, ", $roof%d with lines linecolor rgb '#404040' linewidth 1.5 notitle", dtype);
    if (copy > 0 && !(highest > 0))
        fprintf(out, ", $slope with lines linecolor rgb '#404040' linewidth 1.5 notitle");
    plot_key(canvas);
    plot_points(canvas, "family", has, pairs);
}

/* ---- bandwidth ---- */

void fv_plot_put_bandwidth(const fv_plot_canvas *canvas, const fv_plot_area *area) {
    const fv_plot *plot = canvas->plot;
    const bool share = plot->record->ceilings.copy > 0;
    FILE *out = canvas->out;
    span x = {0}, y = {0};
    bool has[FV_PLOT_MOST_NAMES], pairs;
    for (int64_t i = 0; i < plot->count; ++i) {
        const fv_plot_case *item = &plot->cases[i];
        if (!is_shown(item, false))
            continue;
        widen(&x, place_x(item));
        widen(&y, place_y(plot, item, item->ours));
        if (item->rival)
            widen(&y, place_y(plot, item, item->rival));
    }
    const double room = fmax(1.8, sqrt(12 * x.low / x.high)); /* a decade, so that there is a tic */
    x = (span){x.low / room, x.high * room};
    fv_plot_begin_panel(canvas, area, "Cases without arithmetic");
    put_range(out, "x", &x);
    fprintf(out, "set yrange [0:%.9g]\nset format '%%.10g'\nset xlabel 'least traffic (MB)'\nset ylabel '%s'\n",
            1.1 * (share ? fmax(100, y.high) : y.high), share ? "% of the copy’s bandwidth" : "GB/s");
    if (plot->flops)
        fprintf(out, "unset key\n");
    else
        put_key(canvas, area);
    put_points(canvas, "memory", false, has, &pairs);
    fprintf(out, "plot %s with lines linecolor rgb '#404040' linewidth 1.5 notitle", share ? "100" : "NaN");
    if (!plot->flops)
        plot_key(canvas);
    plot_points(canvas, "memory", has, pairs);
}
