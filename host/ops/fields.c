/* The text form of operations: "name key=value key=value ...", driven by each operation's field table. */
#include "ops/op.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* Reads a decimal integer and leaves *text behind it. */
static bool read_count(const char **text, int64_t *value) {
    if (!isdigit((unsigned char)**text) && !(**text == '-' && isdigit((unsigned char)(*text)[1])))
        return false;
    char *end;
    errno = 0;
    const long long parsed = strtoll(*text, &end, 10);
    if (errno)
        return false;
    *value = parsed;
    *text = end;
    return true;
}

/* Reads up to `limit` integers separated by `separator`; 0 unless the whole text is read. */
static int read_list(const char *text, char separator, int limit, int64_t *values) {
    int count = 0;
    for (;;) {
        if (count == limit || !read_count(&text, &values[count]))
            return 0;
        ++count;
        if (*text == '\0')
            return count;
        if (*text++ != separator)
            return 0;
    }
}

static bool parse_pair(const char *text, int64_t pair[2]) {
    const int count = read_list(text, 'x', 2, pair);
    if (count == 1)
        pair[1] = pair[0];
    return count > 0;
}

static bool parse_window(const char *text, int64_t window[2]) {
    if (!strcmp(text, "global")) {
        window[0] = window[1] = FV_GLOBAL;
        return true;
    }
    /* A negative number must not pass for FV_GLOBAL. */
    return parse_pair(text, window) && window[0] >= 0 && window[1] >= 0;
}

static bool parse_parts(const char *text, int64_t parts[FV_MAX_PARTS]) {
    memset(parts, 0, FV_MAX_PARTS * sizeof *parts);
    return read_list(text, ',', FV_MAX_PARTS, parts) > 0;
}

static bool parse_choice(const char *text, const char *const *words, int64_t *choice) {
    for (int64_t i = 0; words[i]; ++i)
        if (!strcmp(text, words[i])) {
            *choice = i;
            return true;
        }
    return false;
}

static bool parse_pads(const char *text, int64_t pads[4]) {
    int64_t v[4];
    if (!strcmp(text, "valid") || !strcmp(text, "same")) {
        for (int i = 0; i < 4; ++i)
            pads[i] = text[0] == 's' ? FV_PAD_SAME : 0;
        return true;
    }
    if (read_list(text, ',', 4, v) == 4) {
        memcpy(pads, v, sizeof v);
    } else if (parse_pair(text, v)) {
        pads[0] = pads[1] = v[0];
        pads[2] = pads[3] = v[1];
    } else {
        return false;
    }
    /* Negative numbers must not pass for FV_PAD_SAME. */
    return pads[0] >= 0 && pads[1] >= 0 && pads[2] >= 0 && pads[3] >= 0;
}

static bool parse_dtype(const char *text, fv_dtype *dtype) {
    for (fv_dtype d = FV_FIRST_REAL; d <= FV_LAST_REAL; ++d)
        if (!strcmp(text, fv_dtype_name(d))) {
            *dtype = d;
            return true;
        }
    return false;
}

static bool parse_real(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value - *value == 0; /* finite */
}

static void *member(const fv_field *field, const fv_operation *op) {
    /* All members of the union start at the same address. */
    return (char *)(uintptr_t)&op->conv2d + field->offset;
}

int64_t *fv_field_counts(const fv_field *field, fv_operation *op, int *count) {
    *count = field->type == FV_FIELD_COUNT || field->type == FV_FIELD_OPTION  ? 1
             : field->type == FV_FIELD_PAIR || field->type == FV_FIELD_WINDOW ? 2
             : field->type == FV_FIELD_PADS                                   ? 4
             : field->type == FV_FIELD_LIST                                   ? FV_MAX_PARTS
                                                                              : 0;
    return member(field, op);
}

static const fv_field *dtype_field(const fv_operation *op) {
    const fv_field *field = fv_op_info_of(op->kind)->fields;
    while (field->type != FV_FIELD_DTYPE)
        ++field; /* every operation has one */
    return field;
}

fv_dtype fv_operation_dtype(const fv_operation *op) {
    return *(const fv_dtype *)member(dtype_field(op), op);
}

void fv_operation_set_dtype(fv_operation *op, fv_dtype dtype) {
    *(fv_dtype *)member(dtype_field(op), op) = dtype;
}

static bool parse_value(const fv_field *field, const char *text, fv_operation *op) {
    void *place = member(field, op);
    switch (field->type) {
    case FV_FIELD_COUNT:
    case FV_FIELD_OPTION:
        return read_list(text, 'x', 1, place) == 1;
    case FV_FIELD_PAIR:
        return parse_pair(text, place);
    case FV_FIELD_WINDOW:
        return parse_window(text, place);
    case FV_FIELD_LIST:
        return parse_parts(text, place);
    case FV_FIELD_CHOICE:
        return parse_choice(text, field->words, place);
    case FV_FIELD_PADS:
        return parse_pads(text, place);
    case FV_FIELD_REAL:
        return parse_real(text, place);
    case FV_FIELD_DTYPE:
        return parse_dtype(text, place);
    }
    return false;
}

/* What a value must be; for a choice the words there are. */
static void expectation(const fv_op_info *info, const fv_field *field, char *text, size_t size) {
    static const char *const texts[] = {
        [FV_FIELD_COUNT] = "a whole number",
        [FV_FIELD_OPTION] = "a whole number",
        [FV_FIELD_PAIR] = "HEIGHTxWIDTH or one whole number",
        [FV_FIELD_WINDOW] = "HEIGHTxWIDTH, one whole number or global",
        [FV_FIELD_LIST] = "up to four whole numbers, separated by commas",
        [FV_FIELD_CHOICE] = "",
        [FV_FIELD_PADS] = "PAD, HEIGHTxWIDTH, TOP,BOTTOM,LEFT,RIGHT (none negative), same or valid",
        [FV_FIELD_REAL] = "a number",
        [FV_FIELD_DTYPE] = "",
    };
    snprintf(text, size, "%s", texts[field->type]);
    for (int i = 0; field->type == FV_FIELD_CHOICE && field->words[i]; ++i)
        fv_append(text, size, "%s%s", i ? " or " : "", field->words[i]);
    if (field->type == FV_FIELD_DTYPE)
        fv_op_list_dtypes(info, text, size);
}

fv_status fv_fields_parse(const fv_op_info *info, const char *text, unsigned preset, fv_operation *op) {
    unsigned given = 0;
    char word[FV_WORD_SIZE];
    for (;;) {
        const fv_status status = fv_next_word(&text, word);
        if (status != FV_OK)
            return fv_fail_within(status, "%s", info->name);
        if (!*word)
            break;
        char *value = strchr(word, '=');
        if (!value)
            return fv_fail(FV_BAD_INPUT, "%s: '%s' is not of the form key=value", info->name, word);
        *value++ = '\0';
        int i = 0;
        while (i < info->field_count && strcmp(info->fields[i].key, word))
            ++i;
        if (i == info->field_count)
            return fv_fail(FV_BAD_INPUT, "%s: unknown key '%s'", info->name, word);
        if (preset >> i & 1)
            return fv_fail(FV_BAD_INPUT, "%s: key '%s' cannot be set here", info->name, word);
        if (given >> i & 1)
            return fv_fail(FV_BAD_INPUT, "%s: key '%s' is given twice", info->name, word);
        if (!parse_value(&info->fields[i], value, op)) {
            char expected[128];
            expectation(info, &info->fields[i], expected, sizeof expected);
            return fv_fail(FV_BAD_INPUT, "%s: %s=%s: expected %s", info->name, word, value, expected);
        }
        given |= 1u << i;
    }
    for (int i = 0; i < info->field_count; ++i) {
        const fv_field *field = &info->fields[i];
        if ((given | preset) >> i & 1)
            continue;
        if (!field->preset)
            return fv_fail(FV_BAD_INPUT, "%s: key '%s' is missing", info->name, field->key);
        parse_value(field, field->preset, op);
    }
    return FV_OK;
}

fv_status fv_operation_parse(const char *text, fv_operation *op) {
    char word[FV_WORD_SIZE];
    FV_TRY(fv_next_word(&text, word));
    if (!*word)
        return fv_fail(FV_BAD_INPUT, "empty operation: expected a name such as conv2d, then key=value");
    fv_operation parsed = {0};
    for (fv_kind kind = 0; kind < FV_KINDS; ++kind) {
        const fv_op_info *info = fv_op_info_of(kind);
        if (strcmp(info->name, word))
            continue;
        parsed.kind = kind;
        FV_TRY(fv_fields_parse(info, text, 0, &parsed));
        if (info->resolve)
            info->resolve(&parsed);
        FV_TRY(fv_operation_validate(&parsed));
        *op = parsed;
        return FV_OK;
    }
    char names[512] = "";
    for (fv_kind kind = 0; kind < FV_KINDS; ++kind)
        fv_append(names, sizeof names, "%s%s",
                  kind == 0              ? ""
                  : kind == FV_KINDS - 1 ? " or "
                                         : ", ",
                  fv_kind_name(kind));
    return fv_fail(FV_BAD_INPUT, "unknown operation '%s': expected %s", word, names);
}

static int print_value(const fv_field *field, const fv_operation *op, char *buffer, size_t size) {
    const int64_t *v = member(field, op);
    switch (field->type) {
    case FV_FIELD_COUNT:
    case FV_FIELD_OPTION:
        return snprintf(buffer, size, "%" PRId64, v[0]);
    case FV_FIELD_CHOICE:
        return snprintf(buffer, size, "%s", field->words[v[0]]);
    case FV_FIELD_LIST: {
        int length = snprintf(buffer, size, "%" PRId64, v[0]);
        for (int i = 1; i < FV_MAX_PARTS && v[i]; ++i)
            length += snprintf(buffer + length, size - (size_t)length, ",%" PRId64, v[i]);
        return length;
    }
    case FV_FIELD_WINDOW:
    case FV_FIELD_PAIR:
        /* A filter always shows both extents, a stride or dilation only where they differ. */
        if (v[0] == v[1] && field->preset)
            return snprintf(buffer, size, "%" PRId64, v[0]);
        return snprintf(buffer, size, "%" PRId64 "x%" PRId64, v[0], v[1]);
    case FV_FIELD_PADS:
        if (v[0] != v[1] || v[2] != v[3])
            return snprintf(buffer, size, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, v[0], v[1], v[2], v[3]);
        if (v[0] != v[2])
            return snprintf(buffer, size, "%" PRId64 "x%" PRId64, v[0], v[2]);
        return snprintf(buffer, size, "%" PRId64, v[0]);
    case FV_FIELD_REAL: {
        /* The shortest decimal that reads back as the same number. */
        double real, back;
        memcpy(&real, v, sizeof real);
        int length = 0;
        char digits[32];
        for (int precision = 1; precision <= 17; ++precision) {
            length = snprintf(digits, sizeof digits, "%.*g", precision, real);
            if (parse_real(digits, &back) && back == real)
                break;
        }
        return length < 0 ? length : snprintf(buffer, size, "%s", digits);
    }
    case FV_FIELD_DTYPE:
        return snprintf(buffer, size, "%s", fv_dtype_name(*(const fv_dtype *)member(field, op)));
    }
    return 0;
}

/* Appends to what is written so far, counting on where the buffer is full. */
static void append(char *buffer, size_t size, int *length, const char *text) {
    for (; *text; ++text, ++*length)
        if ((size_t)*length + 1 < size)
            buffer[*length] = *text;
}

/* Whether a field holds what it takes if it is omitted. */
static bool has_default(const fv_field *field, const fv_operation *op, const char *value) {
    if (!field->preset)
        return false;
    fv_operation omitted = {.kind = op->kind};
    char preset[FV_WORD_SIZE];
    parse_value(field, field->preset, &omitted);
    print_value(field, &omitted, preset, sizeof preset);
    return !strcmp(value, preset);
}

static int print(const fv_operation *op, bool in_short, char *buffer, size_t size) {
    const fv_op_info *info = fv_op_info_of(op->kind);
    int length = 0;
    append(buffer, size, &length, info->name);
    for (int i = 0; i < info->field_count; ++i) {
        char value[FV_WORD_SIZE];
        print_value(&info->fields[i], op, value, sizeof value);
        if ((in_short || info->fields[i].type == FV_FIELD_OPTION) && has_default(&info->fields[i], op, value))
            continue;
        append(buffer, size, &length, " ");
        append(buffer, size, &length, info->fields[i].key);
        append(buffer, size, &length, "=");
        append(buffer, size, &length, value);
    }
    if (size > 0)
        buffer[(size_t)length < size ? (size_t)length : size - 1] = '\0';
    return length;
}

int fv_operation_print(const fv_operation *op, char *buffer, size_t size) {
    return print(op, false, buffer, size);
}

int fv_operation_print_short(const fv_operation *op, char *buffer, size_t size) {
    return print(op, true, buffer, size);
}
