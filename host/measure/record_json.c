/* A record as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "measure/record_fields.h"

/* An object that takes no more once a value could not be made. NULL: no memory. */
static void put(json_t **object, const char *key, json_t *value) {
    if (!*object)
        json_decref(value);
    else if (json_object_set_new(*object, key, value) != 0) {
        json_decref(*object);
        *object = NULL;
    }
}

static void append(json_t **array, json_t *value) {
    if (!*array)
        json_decref(value);
    else if (json_array_append_new(*array, value) != 0) {
        json_decref(*array);
        *array = NULL;
    }
}

/* A number that may be unknown. */
static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* ---- what was measured ---- */

static int64_t whole(const fv_record_field *field, const void *at) {
    if (field->size == sizeof(bool))
        return *(const bool *)at;
    return field->size == sizeof(int) ? *(const int *)at : *(const int64_t *)at;
}

static json_t *field_json(const fv_record_field *field, const void *object) {
    const void *at = (const char *)object + field->offset;
    switch (field->type) {
    case FV_RECORD_TEXT:
    case FV_RECORD_NAME:
        return fv_json_text(at);
    case FV_RECORD_CHOICE:
        return json_string(field->words[whole(field, at)]);
    case FV_RECORD_YES_NO:
        return json_boolean(*(const bool *)at);
    case FV_RECORD_INT:
    case FV_RECORD_COUNT:
        return json_integer(whole(field, at));
    case FV_RECORD_REAL:
    case FV_RECORD_WORST:
    case FV_RECORD_ADDED:
        return fv_json_real(*(const double *)at);
    }
    return NULL;
}

static json_t *fields_json(const fv_record_field *fields, const void *object) {
    json_t *json = json_object();
    for (const fv_record_field *field = fields; field->key; ++field)
        put(&json, field->key, field_json(field, object));
    return json;
}

static json_t *ceilings_json(const fv_ceilings *ceilings) {
    json_t *json = fields_json(fv_record_ceilings_fields, ceilings), *products = json_array();
    for (fv_dtype dtype = 0; dtype < FV_DTYPES; ++dtype) {
        if (!(ceilings->product[dtype] > 0))
            continue;
        json_t *product = json_object();
        put(&product, "dtype", json_string(fv_dtype_name(dtype)));
        put(&product, "flop_per_s", fv_json_real(ceilings->product[dtype]));
        put(&product, "by", fv_json_text(ceilings->product_by[dtype]));
        append(&products, product);
    }
    put(&json, "products", products);
    return json;
}

/* ---- what follows from it ---- */

static json_t *row_json(const fv_bench_row *row, const fv_bench_row *rival) {
    const fv_bench_figures figures = fv_bench_figures_of(row, rival);
    json_t *json = fields_json(fv_record_row_fields, row);
    put(&json, "median_us", number_or_null(figures.median_us));
    put(&json, "spread_percent", number_or_null(figures.spread_percent));
    put(&json, "tflops", number_or_null(figures.tflops));
    put(&json, "gb_per_s", number_or_null(figures.gb_per_s));
    put(&json, "floor_us", number_or_null(figures.floor_us));
    put(&json, "percent_of_floor", number_or_null(figures.percent_of_floor));
    put(&json, "expected_us", number_or_null(figures.expected_us));
    put(&json, "times_expected", number_or_null(figures.times_expected));
    put(&json, "rival_us", number_or_null(figures.rival_us));
    put(&json, "ratio", number_or_null(figures.ratio));
    return json;
}

static json_t *rows_json(const fv_bench_record *record) {
    json_t *rows = json_array();
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        const fv_bench_row *rival = fv_bench_rival(record, begin, end, "nhwc");
        for (int64_t i = begin; i < end; ++i)
            append(&rows, row_json(&record->rows[i], rival));
    }
    return rows;
}

static json_t *mean_json(const fv_geomean *mean, double unit) {
    return mean->count ? number_or_null(unit * fv_geomean_value(mean)) : json_null();
}

static json_t *worst_json(const fv_geomean *mean) {
    return mean->count ? number_or_null(mean->worst) : json_null();
}

static json_t *groups_json(const fv_bench_group *groups, int64_t count) {
    json_t *array = json_array();
    for (int64_t i = 0; i < count; ++i) {
        const fv_bench_group *group = &groups[i];
        json_t *json = json_object();
        put(&json, "family", fv_json_text(group->family));
        put(&json, "pass", fv_json_text(group->pass));
        put(&json, "dtype", fv_json_text(group->dtype));
        put(&json, "cases", json_integer(group->cases));
        put(&json, "ratio_of_fastest", mean_json(&group->fastest, 1));
        put(&json, "worst_ratio_of_fastest", worst_json(&group->fastest));
        put(&json, "ratio_of_chosen", mean_json(&group->chosen, 1));
        put(&json, "worst_ratio_of_chosen", worst_json(&group->chosen));
        put(&json, "percent_of_floor", mean_json(&group->share, 100));
        append(&array, json);
    }
    return array;
}

/* ---- the whole ---- */

fv_status fv_bench_to_json(const fv_bench_record *record, json_t **json) {
    fv_bench_group *groups;
    int64_t count;
    *json = NULL;
    if (record->seed > INT64_MAX)
        return fv_fail(FV_BAD_INPUT, "seed %llu: expected one below 2^63", (unsigned long long)record->seed);
    FV_TRY(fv_bench_groups(record, &groups, &count));
    json_t *whole_record = json_object(), *head = fields_json(fv_record_head_fields, record);
    put(&whole_record, "format", json_string(FV_BENCH_FORMAT));
    if (whole_record && (!head || json_object_update(whole_record, head) != 0)) {
        json_decref(whole_record);
        whole_record = NULL;
    }
    json_decref(head);
    put(&whole_record, "machine", fields_json(fv_record_machine_fields, &record->machine));
    put(&whole_record, "before", fields_json(fv_record_conditions_fields, &record->before));
    put(&whole_record, "after", fields_json(fv_record_conditions_fields, &record->after));
    put(&whole_record, "ceilings", ceilings_json(&record->ceilings));
    put(&whole_record, "protocol", fields_json(fv_record_protocol_fields, &record->protocol));
    put(&whole_record, "rows", rows_json(record));
    put(&whole_record, "groups", groups_json(groups, count));
    free(groups);
    *json = whole_record;
    return whole_record ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for a record as JSON");
}

/* 17 digits tell any two doubles apart. */
fv_status fv_bench_to_text(const fv_bench_record *record, char **text) {
    json_t *json;
    *text = NULL;
    FV_TRY(fv_bench_to_json(record, &json));
    *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(json);
    return *text ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory for a record as JSON");
}

fv_status fv_bench_write(const fv_bench_record *record, const char *path) {
    char *text;
    fv_file_writer *writer;
    FV_TRY(fv_bench_to_text(record, &text));
    fv_status status;
    FV_TRY_GOTO(status, fv_file_writer_open(path, &writer), done);
    fv_file_writer_write(writer, text, strlen(text)); /* a failure comes back at the commit */
    fv_file_writer_write(writer, "\n", 1);
    status = fv_file_writer_commit(writer);
done:
    free(text);
    return status;
}
