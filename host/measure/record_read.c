/* A record from its file: nothing is believed, nothing is cut. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "measure/record_fields.h"

/* An object of the file, and where it is: "", "machine." or "rows[3]." */
typedef struct source {
    const char *path;
    char where[48];
    const json_t *object;
} source;

static fv_status refuse(const source *from, const char *key, const char *expected) {
    const json_t *value = json_object_get(from->object, key);
    return fv_fail(FV_BAD_INPUT, "%s: %s%s: %sexpected %s", from->path, from->where, key,
                   value ? "" : "missing: ", expected);
}

/* ---- one member ---- */

static fv_status read_text(const source *from, const fv_record_field *field, char *text) {
    const json_t *value = json_object_get(from->object, field->key);
    if (!json_is_string(value))
        return refuse(from, field->key, "a text");
    if (json_string_length(value) >= field->size)
        return fv_fail(FV_BAD_INPUT, "%s: %s%s: %zu bytes: expected at most %zu", from->path, from->where, field->key,
                       json_string_length(value), field->size - 1);
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return FV_OK;
}

/* The index of a text among a field's words. */
static fv_status read_choice(const source *from, const fv_record_field *field, int *index) {
    const char *text = json_string_value(json_object_get(from->object, field->key));
    char expected[128] = "one of ";
    for (*index = 0; field->words[*index]; ++*index) {
        if (text && !strcmp(text, field->words[*index]))
            return FV_OK;
        fv_append(expected, sizeof expected, "%s\"%s\"", *index ? ", " : "", field->words[*index]);
    }
    return refuse(from, field->key, expected);
}

static fv_status read_whole(const source *from, const fv_record_field *field, void *at) {
    const json_t *value = json_object_get(from->object, field->key);
    const bool is_int = field->size == sizeof(int);
    const json_int_t low = field->type == FV_RECORD_INT ? INT_MIN : 0, high = is_int ? INT_MAX : INT64_MAX;
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)low, (long long)high);
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        return refuse(from, field->key, expected);
    if (is_int)
        *(int *)at = (int)json_integer_value(value);
    else
        *(int64_t *)at = json_integer_value(value);
    return FV_OK;
}

static fv_status read_real(const source *from, const fv_record_field *field, double *real) {
    const json_t *value = json_object_get(from->object, field->key);
    const char *text = field->type == FV_RECORD_WORST ? json_string_value(value) : NULL;
    if (text && !strcmp(text, "nan"))
        *real = NAN;
    else if (text && !strcmp(text, "inf"))
        *real = INFINITY;
    else if (json_is_number(value) && json_number_value(value) >= 0)
        *real = json_number_value(value);
    else
        return refuse(from, field->key, json_is_number(value) ? "a number of at least 0" : "a number");
    return FV_OK;
}

static fv_status read_field(const source *from, const fv_record_field *field, void *at) {
    int index = 0;
    switch (field->type) {
    case FV_RECORD_NAME:
        FV_TRY(read_choice(from, field, &index));
        return read_text(from, field, at);
    case FV_RECORD_TEXT:
        return read_text(from, field, at);
    case FV_RECORD_CHOICE:
        FV_TRY(read_choice(from, field, &index));
        if (field->size == sizeof(bool))
            *(bool *)at = index != 0;
        else
            *(int *)at = index;
        return FV_OK;
    case FV_RECORD_YES_NO:
        if (!json_is_boolean(json_object_get(from->object, field->key)))
            return refuse(from, field->key, "true or false");
        *(bool *)at = json_is_true(json_object_get(from->object, field->key));
        return FV_OK;
    case FV_RECORD_INT:
    case FV_RECORD_COUNT:
        return read_whole(from, field, at);
    case FV_RECORD_REAL:
    case FV_RECORD_WORST:
        return read_real(from, field, at);
    case FV_RECORD_ADDED:
        *(double *)at = 0;
        return json_object_get(from->object, field->key) ? read_real(from, field, at) : FV_OK;
    }
    return FV_OK;
}

/* ---- objects ---- */

static fv_status read_fields(const source *from, const fv_record_field *fields, void *object) {
    for (const fv_record_field *field = fields; field->key; ++field)
        FV_TRY(read_field(from, field, (char *)object + field->offset));
    return FV_OK;
}

/* A member that is an object. */
static fv_status enter(const source *from, const char *key, source *inner) {
    *inner = (source){.path = from->path, .object = json_object_get(from->object, key)};
    fv_append(inner->where, sizeof inner->where, "%s%s.", from->where, key);
    return json_is_object(inner->object) ? FV_OK : refuse(from, key, "an object");
}

static fv_status read_object(const source *from, const char *key, const fv_record_field *fields, void *object) {
    source inner;
    FV_TRY(enter(from, key, &inner));
    return read_fields(&inner, fields, object);
}

/* Element `index` of a member that is an array. */
static fv_status enter_element(const source *from, const char *key, size_t index, source *inner) {
    char name[40];
    snprintf(name, sizeof name, "%s[%zu]", key, index);
    *inner = (source){.path = from->path, .object = json_array_get(json_object_get(from->object, key), index)};
    fv_append(inner->where, sizeof inner->where, "%s%s.", from->where, name);
    if (!json_is_object(inner->object))
        return fv_fail(FV_BAD_INPUT, "%s: %s%s: expected an object", from->path, from->where, name);
    return FV_OK;
}

/* ---- the parts ---- */

typedef struct product {
    char dtype[8], by[64];
    double rate;
} product;

static fv_status read_products(const source *ceilings_object, fv_ceilings *ceilings) {
    const char *dtypes[FV_DTYPES + 1] = {NULL};
    const fv_record_field fields[] = {
        {"dtype", FV_RECORD_NAME, offsetof(product, dtype), sizeof((product *)0)->dtype, dtypes},
        {"flop_per_s", FV_RECORD_REAL, offsetof(product, rate), sizeof(double), NULL},
        {"by", FV_RECORD_TEXT, offsetof(product, by), sizeof((product *)0)->by, NULL},
        {0},
    };
    for (fv_dtype dtype = 0; dtype < FV_DTYPES; ++dtype)
        dtypes[dtype] = fv_dtype_name(dtype);
    const json_t *products = json_object_get(ceilings_object->object, "products");
    if (!json_is_array(products))
        return refuse(ceilings_object, "products", "an array");
    for (size_t i = 0; i < json_array_size(products); ++i) {
        source from;
        product one;
        FV_TRY(enter_element(ceilings_object, "products", i, &from));
        FV_TRY(read_fields(&from, fields, &one));
        fv_dtype dtype = 0;
        while (strcmp(dtypes[dtype], one.dtype) != 0)
            ++dtype;
        if (ceilings->product[dtype] > 0)
            return refuse(&from, "dtype", "another one than before");
        ceilings->product[dtype] = one.rate;
        memcpy(ceilings->product_by[dtype], one.by, sizeof one.by);
    }
    return FV_OK;
}

static fv_status read_ceilings(const source *record_object, fv_ceilings *ceilings) {
    source from;
    FV_TRY(enter(record_object, "ceilings", &from));
    FV_TRY(read_fields(&from, fv_record_ceilings_fields, ceilings));
    return read_products(&from, ceilings);
}

/* What the members must be to each other. */
static fv_status require_sense(const source *from, const fv_bench_row *row) {
    const fv_summary *summary = &row->timing.summary;
    fv_operation op;
    fv_status status = fv_operation_parse(row->op, &op);
    if (status != FV_OK)
        return fv_fail_within(status, "%s: %sop", from->path, from->where);
    if (row->wrong > row->compared)
        return refuse(from, "wrong", "at most as many as \"compared\"");
    if (row->state != FV_BENCH_TIMED)
        return FV_OK;
    if (summary->samples < 1)
        return refuse(from, "samples", "at least 1 of what was timed");
    if (!(summary->low <= summary->median && summary->median <= summary->high))
        return refuse(from, "median_s", "a time from \"low_s\" to \"high_s\"");
    return FV_OK;
}

static fv_status read_rows(const source *record_object, fv_bench_record *record) {
    const json_t *rows = json_object_get(record_object->object, "rows");
    if (!json_is_array(rows))
        return refuse(record_object, "rows", "an array");
    for (size_t i = 0; i < json_array_size(rows); ++i) {
        source from;
        fv_bench_row row = {0};
        FV_TRY(enter_element(record_object, "rows", i, &from));
        FV_TRY(read_fields(&from, fv_record_row_fields, &row));
        FV_TRY(require_sense(&from, &row));
        FV_TRY(fv_bench_record_add(record, &row));
    }
    return FV_OK;
}

static fv_status read_record(const char *path, const json_t *json, fv_bench_record *record) {
    const source whole = {.path = path, .object = json};
    const char *format = json_string_value(json_object_get(json, "format"));
    if (!format || strncmp(format, "fovea-bench-", strlen("fovea-bench-")) != 0)
        return fv_fail(FV_BAD_INPUT, "%s: not a record of fovea bench: expected an object with \"format\": \"%s\"",
                       path, FV_BENCH_FORMAT);
    if (strcmp(format, FV_BENCH_FORMAT) != 0)
        return fv_fail(FV_BAD_INPUT, "%s: a record in the format %.40s of another version: expected %s", path, format,
                       FV_BENCH_FORMAT);
    FV_TRY(read_fields(&whole, fv_record_head_fields, record));
    FV_TRY(read_object(&whole, "machine", fv_record_machine_fields, &record->machine));
    FV_TRY(read_object(&whole, "before", fv_record_conditions_fields, &record->before));
    FV_TRY(read_object(&whole, "after", fv_record_conditions_fields, &record->after));
    FV_TRY(read_ceilings(&whole, &record->ceilings));
    FV_TRY(read_object(&whole, "protocol", fv_record_protocol_fields, &record->protocol));
    return read_rows(&whole, record);
}

/* ---- the file ---- */

static fv_status load(const char *path, json_t **json) {
    int fd;
    int64_t size;
    size_t got = 0;
    json_error_t error;
    FV_TRY(fv_file_open(path, &fd, &size));
    char *text = malloc((size_t)size + 1);
    fv_status status = text ? fv_file_read(fd, path, text, (size_t)size, &got)
                            : fv_fail(FV_NO_MEMORY, "%s: no memory for its %" PRId64 " bytes", path, size);
    close(fd);
    *json = NULL;
    if (status == FV_OK && !(*json = json_loadb(text, got, JSON_REJECT_DUPLICATES, &error)))
        status = fv_fail(json_error_code(&error) == json_error_out_of_memory ? FV_NO_MEMORY : FV_BAD_INPUT,
                         "%s:%d: no JSON: %s", path, error.line, error.text);
    free(text);
    return status;
}

fv_status fv_bench_read(fv_bench_record *record, const char *path) {
    json_t *json;
    FV_TRY(load(path, &json));
    const fv_status status = read_record(path, json, record);
    json_decref(json);
    if (status != FV_OK)
        fv_bench_record_release(record);
    return status;
}
