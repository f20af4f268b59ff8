/* Sweeps: a case's extents over a range, for curves of how the time grows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/text.h"
#include "cases/cases.h"
#include "cases/lines.h"
#include "ops/op.h"

enum { KEYS_SIZE = 32, MOST_KEYS = KEYS_SIZE / 2 };

typedef struct sweep {
    const char *text;
    char keys[KEYS_SIZE]; /* as the text has them, */
    char split[KEYS_SIZE];
    const char *key[MOST_KEYS]; /* and one by one, in `split` */
    int key_count;
    int64_t from, to, step;
    bool multiplies;
} sweep;

static fv_status split_keys(sweep *s) {
    memcpy(s->split, s->keys, sizeof s->split);
    for (char *rest = s->split; rest;) {
        char *key = strsep(&rest, ",");
        if (!*key)
            return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: expected a key before and behind each comma", s->text);
        for (int i = 0; i < s->key_count; ++i)
            if (!strcmp(s->key[i], key))
                return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: key '%s' is given twice", s->text, key);
        s->key[s->key_count++] = key;
    }
    return FV_OK;
}

static fv_status parse(const char *text, sweep *s) {
    *s = (sweep){.text = text};
    const size_t length = strcspn(text, "=");
    if (length == 0 || text[length] != '=')
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: expected KEY=FROM:TO:xSTEP or KEY=FROM:TO:+STEP", text);
    if (length >= KEYS_SIZE)
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: the keys have %zu characters, expected at most %d", text, length,
                       KEYS_SIZE - 1);
    memcpy(s->keys, text, length);
    FV_TRY(split_keys(s));
    const char *p = text + length + 1;
    bool read = fv_read_extent(&p, &s->from) && *p++ == ':' && fv_read_extent(&p, &s->to) && *p++ == ':' &&
                (*p == 'x' || *p == '+');
    if (read) {
        s->multiplies = *p++ == 'x';
        read = fv_read_extent(&p, &s->step) && *p == '\0';
    }
    if (!read)
        return fv_fail(FV_BAD_INPUT,
                       "--sweep=%.60s: expected whole numbers as in %s=1:256:x2 (doubled) or %s=16:128:+16 (16 more)",
                       text, s->key[0], s->key[0]);
    if (s->from > s->to || s->to >= FV_TOO_LARGE)
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: expected a range that goes up and ends below 2^40", text);
    if (s->multiplies && (s->from < 1 || s->step < 2))
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: expected to multiply numbers from 1 on by 2 or more", text);
    if (s->step < 1)
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: expected a step of 1 or more", text);
    return FV_OK;
}

/* How many values there are. No value above `to` is formed: it might overflow. */
static int64_t value_count(const sweep *s) {
    if (!s->multiplies)
        return (s->to - s->from) / s->step + 1;
    int64_t count = 1;
    for (int64_t value = s->from; value <= s->to / s->step; value *= s->step)
        ++count;
    return count;
}

/* The field that a key names, if it holds a whole number or a height and a width; else NULL. */
static const fv_field *find_field(const fv_op_info *info, const char *key) {
    for (int i = 0; i < info->field_count; ++i) {
        const fv_field *field = &info->fields[i];
        if ((field->type == FV_FIELD_COUNT || field->type == FV_FIELD_PAIR || field->type == FV_FIELD_WINDOW ||
             field->type == FV_FIELD_PADS) &&
            !strcmp(field->key, key))
            return field;
    }
    return NULL;
}

static fv_status require_keys(const sweep *s, const fv_op_info *info) {
    for (int i = 0; i < s->key_count; ++i) {
        if (find_field(info, s->key[i]))
            continue;
        char keys[256] = "";
        for (int f = 0; f < info->field_count; ++f)
            if (find_field(info, info->fields[f].key))
                fv_append(keys, sizeof keys, "%s%s", *keys ? ", " : "", info->fields[f].key);
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: %s has no such whole number as '%s', but %s", s->text, info->name,
                       s->key[i], keys);
    }
    return FV_OK;
}

/* Adds one case of the series, or counts it as left out. */
static fv_status add_value(const sweep *s, const fv_case *model, int64_t value, fv_case_list *list) {
    const fv_op_info *info = fv_op_info_of(model->op.kind);
    fv_operation op = model->op;
    for (int i = 0; i < s->key_count; ++i) {
        int count;
        int64_t *numbers = fv_field_counts(find_field(info, s->key[i]), &op, &count);
        for (int n = 0; n < count; ++n)
            numbers[n] = value;
    }
    if (fv_operation_validate(&op) != FV_OK) {
        if (list->left_out++ == 0)
            snprintf(list->first_left_out, sizeof list->first_left_out, "%s=%" PRId64 ": %s", s->keys, value,
                     fv_error_message());
        return FV_OK;
    }
    FV_TRY(fv_cases_add(list, &op, model->passes));
    fv_cases_label(list, list->count - 1, model->label);
    return FV_OK;
}

/* Its messages are those of the option that such a text comes from. */
fv_status fv_cases_sweep(fv_case_list *list, const char *text, char keys[32]) {
    sweep s;
    FV_TRY(parse(text, &s));
    for (int64_t i = 0; i < list->count; ++i)
        FV_TRY(require_keys(&s, fv_op_info_of(list->items[i].op.kind)));
    const int64_t values = value_count(&s);
    int64_t cases;
    if (!fv_checked_mul(values, fv_max(list->count, 1), &cases) || cases > FV_MOST_CASES)
        return fv_fail(FV_BAD_INPUT, "--sweep=%.60s: %" PRId64 " values of %" PRId64 " cases, expected at most %d",
                       text, values, list->count, FV_MOST_CASES);
    fv_case_list series = {.left_out = list->left_out};
    memcpy(series.first_left_out, list->first_left_out, sizeof series.first_left_out);
    fv_status status = FV_OK;
    for (int64_t i = 0; i < list->count && status == FV_OK; ++i) {
        int64_t value = s.from;
        for (int64_t v = 0; v < values && status == FV_OK; ++v) {
            status = add_value(&s, &list->items[i], value, &series);
            if (v + 1 < values)
                value = s.multiplies ? value * s.step : value + s.step;
        }
    }
    if (status == FV_OK && series.count == 0)
        status = list->count ? fv_fail(FV_BAD_INPUT, "--sweep=%.60s: no value fits: %.200s", text, fv_error_message())
                             : fv_fail(FV_BAD_INPUT, "--sweep=%.60s: there are no cases to vary", text);
    fv_case_list *unused = status == FV_OK ? list : &series;
    const fv_case_list kept = status == FV_OK ? series : *list;
    fv_cases_release(unused);
    *list = kept;
    if (status == FV_OK)
        memcpy(keys, s.keys, sizeof s.keys);
    return status;
}
