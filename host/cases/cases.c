#include "cases/cases.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cases/builtin.h"
#include "cases/lines.h"

void fv_cases_release(fv_case_list *list) {
    free(list->items);
    *list = (fv_case_list){0};
}

fv_status fv_cases_add(fv_case_list *list, const fv_operation *op, unsigned passes) {
    if (list->count == FV_MOST_CASES)
        return fv_fail(FV_BAD_INPUT, "more than %d cases, expected at most that many", FV_MOST_CASES);
    if (list->count == list->capacity) {
        const int64_t capacity = list->capacity ? 2 * list->capacity : 64;
        fv_case *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return fv_fail(FV_NO_MEMORY, "no memory for %" PRId64 " cases", capacity);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (fv_case){.op = *op, .passes = passes};
    return FV_OK;
}

void fv_cases_leave_out(fv_case_list *list, const fv_place *place, const char *reason) {
    if (list->left_out++ == 0)
        snprintf(list->first_left_out, sizeof list->first_left_out, "%s:%" PRId64 ": %s", place->path, place->line,
                 reason);
}

/* The length of the operation that a text begins with: up to the next word without '=' behind its first word. */
static size_t operation_length(const char *text) {
    const char *p = text;
    for (int words = 0;; ++words) {
        while (isspace((unsigned char)*p))
            ++p;
        size_t length = 0;
        while (p[length] && !isspace((unsigned char)p[length]))
            ++length;
        if (length == 0 || (words > 0 && !memchr(p, '=', length)))
            return (size_t)(p - text);
        p += length;
    }
}

fv_status fv_cases_add_text(fv_case_list *list, const char *text) {
    do {
        const size_t length = operation_length(text);
        char *one = strndup(text, length);
        if (!one)
            return fv_fail(FV_NO_MEMORY, "no memory for %zu characters", length);
        fv_operation op;
        fv_status status = fv_operation_parse(one, &op);
        free(one);
        if (status == FV_OK)
            status = fv_cases_add(list, &op, FV_ALL_PASSES);
        FV_TRY(status);
        text += length;
    } while (*text);
    return FV_OK;
}

/* Reads a file in any of the three dialects. */
typedef struct reader {
    fv_case_list *list;
    fv_benchdnn *benchdnn;
} reader;

static bool begins_with_operation(const char *line) {
    const size_t length = strcspn(line, " \t");
    for (fv_kind kind = 0; kind < FV_KINDS; ++kind)
        if (strlen(fv_kind_name(kind)) == length && !strncmp(line, fv_kind_name(kind), length))
            return true;
    return false;
}

/* The cases of one line. */
static fv_status add_line(const reader *r, const fv_place *place, const char *line) {
    if (!begins_with_operation(line)) {
        if (fv_miopen_recognises(line))
            return fv_miopen_line(place, line, r->list);
        if (fv_benchdnn_recognises(r->benchdnn, line))
            return fv_benchdnn_line(r->benchdnn, place, line, r->list);
    }
    fv_operation op;
    FV_TRY(fv_operation_parse(line, &op));
    return fv_cases_add(r->list, &op, FV_ALL_PASSES);
}

static fv_status read_line(void *user, const fv_place *place, const char *line, const char *label) {
    const reader *r = user;
    const int64_t begin = r->list->count;
    FV_TRY(add_line(r, place, line));
    fv_cases_label(r->list, begin, label);
    return FV_OK;
}

/* From `text`, or from the file if that is NULL. */
static fv_status add(fv_case_list *list, const char *path, const char *text, size_t size) {
    reader r = {.list = list};
    FV_TRY(fv_benchdnn_begin(&r.benchdnn));
    fv_status status = text ? fv_each_line(path, text, size, read_line, &r) : fv_each_line_of_file(path, read_line, &r);
    if (status == FV_OK) {
        status = fv_benchdnn_finish(r.benchdnn);
        if (status != FV_OK)
            fv_fail_within(status, "%s", path);
    }
    fv_benchdnn_end(r.benchdnn);
    return status;
}

fv_status fv_cases_read(fv_case_list *list, const char *path) {
    return add(list, path, NULL, 0);
}

fv_status fv_cases_add_lines(fv_case_list *list, const char *path, const char *text, size_t size) {
    return add(list, path, text, size);
}

static fv_status add_builtin(fv_case_list *list, const fv_builtin_text *text) {
    return fv_cases_add_lines(list, text->path, (const char *)text->bytes, text->size);
}

fv_status fv_cases_add_builtin(fv_case_list *list) {
    for (const fv_builtin_text *text = fv_builtin_cases; text->path; ++text)
        FV_TRY(add_builtin(list, text));
    return FV_OK;
}

fv_status fv_cases_add_suite(fv_case_list *list, const char *name) {
    const bool all = !strcmp(name, "all");
    bool found = false;
    char names[512] = "";
    for (const fv_builtin_text *text = fv_builtin_suites; text->path; ++text) {
        fv_append(names, sizeof names, "%s, ", text->name);
        if (all ? strcmp(text->name, "small") != 0 : !strcmp(text->name, name)) {
            found = true;
            FV_TRY(add_builtin(list, text));
        }
    }
    return found ? FV_OK : fv_fail(FV_BAD_INPUT, "unknown suite '%.40s': expected %sor all", name, names);
}
