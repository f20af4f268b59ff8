/* The report of fovea check as JSON. */
#include <stdlib.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/check.h"

json_t *fv_json_extend(json_t *array, json_t *value) {
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *coordinates_json(const fv_tensor_spec *spec, int64_t index) {
    int64_t at[FV_MAX_RANK];
    json_t *place = json_object();
    fv_map_coordinates(&spec->shape, index, at);
    for (int axis = 0; axis < spec->shape.rank; ++axis)
        if (json_object_set_new(place, (char[]){spec->axes[axis], '\0'}, json_integer(at[axis])) != 0) {
            json_decref(place);
            return NULL;
        }
    return place;
}

static json_t *points_json(const fv_verdict *v) {
    json_t *points = json_array();
    for (int i = 0; i < v->points; ++i) {
        const fv_point *p = &v->point[i];
        points = fv_json_extend(points, json_pack("{s:o, s:o, s:o, s:o, s:o}", "at",
                                                  coordinates_json(&v->spec, p->index), "expected",
                                                  fv_json_real(p->expected), "got", fv_json_real(p->got), "difference",
                                                  fv_json_real(p->got - p->expected), "bound", fv_json_real(p->bound)));
    }
    return points;
}

static json_t *opinions_json(const fv_finding *f) {
    json_t *opinions = json_array();
    for (int i = 0; i < f->other_count && !f->witness; ++i)
        if (f->others[i].kernel)
            opinions = fv_json_extend(opinions, json_pack("{s:s, s:s, s:s, s:s}", "backend",
                                                          fv_context_backend(f->others[i].context), "kernel",
                                                          f->others[i].kernel->name, "implementation",
                                                          f->others[i].verdict.numerics.description, "outcome",
                                                          fv_outcome_name(f->others[i].verdict.outcome)));
    return opinions;
}

json_t *fv_failure_json(const fv_check_options *options, const fv_finding *f) {
    const fv_verdict *v = f->verdict;
    char text[FV_CASE_SIZE], replay[FV_REPLAY_SIZE], where[FV_WHERE_SIZE] = "";
    fv_operation_print(f->op, text, sizeof text);
    fv_replay_line(options, f, replay);
    if (v->wrong)
        fv_map_describe(&v->map, v->spec.axes, where, sizeof where);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:s, s:o, s:s}", "backend",
                     fv_context_backend(f->context), "operation", fv_kind_name(f->op->kind), "pass",
                     fv_pass_name(f->kernel->pass), "dtype", fv_dtype_name(f->kernel->dtype), "kernel", f->kernel->name,
                     "implementation", v->numerics.description, "fill", fv_fill_name(f->fill), "case", text, "reason",
                     v->reason, "tensor", v->wrong ? fv_role_name(v->spec.role) : "", "wrong", (json_int_t)v->wrong,
                     "elements", (json_int_t)(v->wrong ? fv_shape_elements(&v->spec.shape) : 0), "where", where,
                     "points", points_json(v), "outlier", f->outlier, "opinions", opinions_json(f), "replay", replay);
}

static json_t *witnesses_json(const fv_survey *survey) {
    json_t *witnesses = json_array();
    for (int i = 0; i < survey->witnesses; ++i) {
        const fv_witness *w = &survey->witness[i];
        witnesses =
            fv_json_extend(witnesses, json_pack("{s:s, s:s, s:I, s:I}", "backend", fv_context_backend(w->context),
                                                "device", fv_context_description(w->context), "opinions",
                                                (json_int_t)w->opinions, "outlier", (json_int_t)w->outliers));
    }
    return witnesses;
}

static json_t *implementations_json(const fv_survey *survey) {
    json_t *list = json_array();
    for (size_t i = 0; i < survey->implementation_count; ++i) {
        const fv_implementation *m = &survey->implementations[i];
        list =
            fv_json_extend(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "backend", fv_context_backend(m->context),
                                           "operation", fv_kind_name(m->kernel->kind), "pass",
                                           fv_pass_name(m->kernel->pass), "kernel", m->kernel->name, "implementation",
                                           m->description, "comparisons", (json_int_t)m->comparisons));
    }
    return list;
}

fv_status fv_json_print(const fv_report_sink *sink, const fv_survey *survey, const fv_table *table, const char *verdict,
                        bool good) {
    json_t *rows = NULL;
    FV_TRY(fv_table_rows(table, &rows));
    json_t *report = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:O, s:b, s:s}", "fovea",
                               FV_VERSION, "backend", fv_context_backend(survey->context), "device",
                               fv_context_description(survey->context), "against", witnesses_json(survey), "seed",
                               (json_int_t)survey->seed, "cases", (json_int_t)survey->cases->count, "cases_done",
                               (json_int_t)survey->cases_done, "comparisons", (json_int_t)sink->comparisons, "kernels",
                               rows, "implementations", implementations_json(survey), "failure_count",
                               (json_int_t)sink->failures, "failures", sink->json, "passed", good, "verdict", verdict);
    char *text = report ? json_dumps(report, JSON_INDENT(2) | FV_JSON_REALS) : NULL;
    json_decref(report);
    if (!text)
        return fv_fail(FV_NO_MEMORY, "no memory for a report");
    fv_say("%s\n", text);
    free(text);
    return FV_OK;
}
