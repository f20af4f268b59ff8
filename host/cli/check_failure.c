/* A failure that its reader can act on: coordinates, a map, the outlier, and one line to paste. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "backends/emulated/emulated.h"
#include "base/text.h"
#include "cli/check.h"
#include "ops/op.h"
#include "verify/shrink.h"

void fv_replay_line(const fv_check_options *options, const fv_finding *f, char line[FV_REPLAY_SIZE]) {
    char text[FV_CASE_SIZE], more[256] = "", kernel[128] = "";
    fv_operation_print(f->op, text, sizeof text);
    if (f->kernel)
        snprintf(kernel, sizeof kernel, " --kernel %.100s", f->kernel->name);
    if (options->order >= 0 && !f->witness)
        fv_append(more, sizeof more, " --order %s", fv_order_names[options->order]);
    if (options->threads)
        fv_append(more, sizeof more, " --threads %d", options->threads);
    if (options->against && !f->witness)
        fv_append(more, sizeof more, " --against '%.160s'", options->against);
    snprintf(line, FV_REPLAY_SIZE,
             "fovea check --backend %s --pass %s --dtype %s%s --fill %s --seed %" PRIu64 "%s '%s'",
             fv_context_backend(f->context), fv_pass_name(f->pass), fv_dtype_name(fv_operation_dtype(f->op)), kernel,
             fv_fill_name(f->fill), options->seed, more, text);
}

/* ---- as text ---- */

/* Poison is a negative NaN, which would print as -nan. */
static double plain(double value) {
    return isnan(value) ? (double)NAN : value;
}

static void write_points(FILE *stream, const fv_verdict *v) {
    enum { ROOM = 96 };
    char place[ROOM];
    snprintf(place, ROOM, "%s", fv_role_name(v->spec.role));
    for (int axis = 0; axis < v->spec.shape.rank; ++axis)
        fv_append(place, ROOM, "%c%c", axis ? ',' : '(', v->spec.axes[axis]);
    fprintf(stream, "  %-20s %16s %16s %12s %12s\n", strcat(place, ")"), "expected", "got", "difference", "bound");
    for (int i = 0; i < v->points; ++i) {
        const fv_point *p = &v->point[i];
        int64_t at[FV_MAX_RANK];
        fv_map_coordinates(&v->spec.shape, p->index, at);
        place[0] = '\0';
        for (int axis = 0; axis < v->spec.shape.rank; ++axis)
            fv_append(place, ROOM, "%c%" PRId64, axis ? ',' : '(', at[axis]);
        fprintf(stream, "  %-20s %16.9g %16.9g %12.3g %12.3g\n", strcat(place, ")"), p->expected, plain(p->got),
                plain(p->got - p->expected), p->bound);
    }
    if (v->wrong > v->points)
        fprintf(stream, "  and %" PRId64 " more\n", v->wrong - v->points);
}

static void write_map(FILE *stream, const fv_verdict *v) {
    const fv_error_map *map = &v->map;
    char where[FV_WHERE_SIZE], drawing[FV_MAP_CELLS + 1];
    fv_map_describe(map, v->spec.axes, where, sizeof where);
    fprintf(stream, "  where: %s\n", where);
    if (map->errors == fv_shape_elements(&map->shape))
        return; /* nothing to see */
    for (int axis = 0; axis < map->shape.rank; ++axis)
        if (fv_map_strip(map, axis, drawing))
            fprintf(stream, "    %c  %s  %" PRId64 "\n", v->spec.axes[axis], drawing, map->shape.dim[axis]);
    if (map->down < 0)
        return;
    fprintf(stream, "    %c down, %c across:\n", v->spec.axes[map->down], v->spec.axes[map->across]);
    for (int row = 0; fv_map_row(map, row, drawing); ++row)
        fprintf(stream, "       %s\n", drawing);
}

/* "onednn brgemm (jit:avx2)" */
static void write_kernel(FILE *stream, const fv_context *context, const fv_kernel *kernel,
                         const fv_numerics *numerics) {
    fprintf(stream, "%s %s", fv_context_backend(context), kernel->name);
    if (*numerics->description)
        fprintf(stream, " (%s)", numerics->description);
}

static void write_opinions(FILE *stream, const fv_finding *f) {
    if (!*f->outlier)
        return;
    for (int i = 0; i < f->other_count && !f->witness; ++i) {
        const fv_opinion *other = &f->others[i];
        if (!other->kernel)
            continue;
        fprintf(stream, "  ");
        write_kernel(stream, other->context, other->kernel, &other->verdict.numerics);
        if (fv_opinion_confirms(other))
            fprintf(stream, " agrees with the reference\n");
        else if (other->verdict.wrong)
            fprintf(stream, " differs from the reference\n");
        else
            fprintf(stream, " fails: %s\n", other->verdict.reason);
    }
    if (f->witness)
        fprintf(stream, "  our kernel agrees with the reference\n");
    if (strcmp(f->outlier, "nobody"))
        fprintf(stream, "  outlier: %s\n", f->outlier);
    else
        fprintf(stream, "  no two agree\n");
}

void fv_failure_write(FILE *stream, const fv_check_options *options, const fv_finding *f) {
    const fv_verdict *v = f->verdict;
    char line[FV_REPLAY_SIZE];
    fv_operation_print(f->op, line, FV_CASE_SIZE);
    fprintf(stream, "FAILED ");
    write_kernel(stream, f->context, f->kernel, &v->numerics);
    fprintf(stream, ", %s %s, %s: %s\n  %s\n", fv_kind_name(f->op->kind), fv_pass_name(f->kernel->pass),
            fv_fill_name(f->fill), v->reason, line);
    if (v->wrong) {
        write_points(stream, v);
        write_map(stream, v);
    }
    write_opinions(stream, f);
    fv_replay_line(options, f, line);
    fprintf(stream, "  replay: %s\n", line);
}

void fv_failure_write_smallest(FILE *stream, const fv_check_options *options, const fv_finding *f) {
    char given[FV_CASE_SIZE], smallest[FV_CASE_SIZE];
    fv_operation op = *f->op;
    fv_shrink(f->context, f->kernel, f->fill, options->seed, f->verdict, &op);
    fv_operation_print(f->op, given, sizeof given);
    fv_operation_print(&op, smallest, sizeof smallest);
    if (strcmp(given, smallest))
        fprintf(stream, "  smallest failing case found: %s\n", smallest);
}
