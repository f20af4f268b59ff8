/* What benchdnn's options set. An option that takes a list asks for each of its values in turn. */
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "cases/benchdnn.h"
#include "cases/lines.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { TYPES, BIAS_TYPES, ALGORITHM, ATTRIBUTES };

static const struct {
    const char *name;
    unsigned passes;
    bool bias;
} directions[] = {
    {"FWD_B", 1 << FV_FORWARD, true},
    {"FWD_D", 1 << FV_FORWARD, false},
    {"FWD_I", 1 << FV_FORWARD, false},
    {"BWD_D", 1 << FV_BACKWARD_DATA, false},
    {"BWD_W", 1 << FV_BACKWARD_WEIGHTS, false},
    {"BWD_WB", 1 << FV_BACKWARD_WEIGHTS, true},
    {"BWD_DW", 1 << FV_BACKWARD_DATA | 1 << FV_BACKWARD_WEIGHTS, false},
};

/* Options of layout, choice of implementation, measurement and printing. --attr-fpmath is one of them, because it
 * allows an implementation to be less exact and obliges none. */
static const char *const ignored[] = {
    "allow-enum-tags-only",
    "allow-unimpl",
    "attr-deterministic",
    "attr-fpmath",
    "attr-same-pd-check",
    "attr-scratchpad",
    "canonical",
    "check-ref-impl",
    "cold-cache",
    "cpu-isa-hints",
    "ctx-exe",
    "ctx-init",
    "dtag",
    "engine",
    "execution-mode",
    "fast-ref",
    "fast-ref-gpu",
    "fix-times-per-prb",
    "global-impl",
    "global-skip-impl",
    "impl",
    "inplace",
    "max-ms-per-prb",
    "mem-check",
    "memory-kind",
    "mode",
    "mode-modifier",
    "num-streams",
    "perf-template",
    "repeats-per-prb",
    "skip-impl",
    "stag",
    "start",
    "stream-kind",
    "strides",
    "summary",
    "tag",
    "verbose",
    "wtag",
};

static bool among(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static unsigned default_directions(fv_benchdnn_driver driver) {
    return driver == FV_BENCHDNN_POOL ? 1u << 1 : 1u << 0;
}

void fv_benchdnn_reset(fv_benchdnn_settings *settings, fv_benchdnn_driver driver) {
    *settings = (fv_benchdnn_settings){
        .directions = default_directions(driver), .biases = 1, .batches = 1, .poolings = FV_BENCHDNN_MAX};
    for (int i = 0; i < FV_BENCHDNN_CHOICES; ++i)
        settings->choices[i].ours = true;
}

typedef enum judgement { OURS, OURS_OF_PRODUCTS, OTHER, UNKNOWN } judgement;

/* Data types, one behind the other with or without colons, as --dt and --cfg have them: "f32:f32:f32", "u8s8f32". All of
 * them f32; or all bf16, or f16, which operations with products have. Nothing is made of which it is: a case is run in
 * every dtype that it has kernels in. */
static judgement judge_types(const char *value) {
    static const char *const types[] = {"f32",  "f64", "f16", "bf16", "f8_e5m2", "f8_e4m3", "f4_e2m1", "f4_e3m0",
                                        "e8m0", "s32", "s8",  "u8",   "s4",      "u4",      "boolean", "undef"};
    size_t first = COUNT(types);
    bool uniform = true;
    do {
        size_t i = 0;
        while (i < COUNT(types) && strncasecmp(value, types[i], strlen(types[i])) != 0)
            ++i;
        if (i == COUNT(types))
            return UNKNOWN;
        first = first < COUNT(types) ? first : i;
        uniform &= i == first;
        value += strlen(types[i]);
        if (!strcmp(value, "_wino"))
            value += strlen("_wino");
        value += *value == ':';
    } while (*value);
    if (!uniform)
        return OTHER;
    return first == 0 ? OURS : first == 2 || first == 3 ? OURS_OF_PRODUCTS : OTHER;
}

static judgement judge_bias_type(const char *value) {
    return !strcasecmp(value, "undef") ? OURS : judge_types(value);
}

/* One of FV_BENCHDNN_MAX and its like; 0 if it is no pooling. */
static unsigned pooling_named(const char *value) {
    static const struct {
        const char *name;
        unsigned pooling;
    } poolings[] = {
        {"max", FV_BENCHDNN_MAX},
        {"pooling_max", FV_BENCHDNN_MAX},
        {"avg_p", FV_BENCHDNN_AVERAGE_PADDED},
        {"pooling_avg_include_padding", FV_BENCHDNN_AVERAGE_PADDED},
        {"avg_np", FV_BENCHDNN_AVERAGE},
        {"pooling_avg_exclude_padding", FV_BENCHDNN_AVERAGE},
    };
    for (size_t i = 0; i < COUNT(poolings); ++i)
        if (!strcasecmp(value, poolings[i].name))
            return poolings[i].pooling;
    return 0;
}

/* Winograd's and the direct algorithm compute the same convolution, and which of them a kernel uses is its affair. */
static judgement judge_algorithm(const char *value) {
    static const char *const convolutions[] = {
        "direct", "convolution_direct", "deconvolution_direct", "auto", "convolution_auto",
        "wino",   "convolution_wino",   "deconvolution_wino"};
    for (size_t i = 0; i < COUNT(convolutions); ++i)
        if (!strcasecmp(value, convolutions[i]))
            return OURS;
    return pooling_named(value) ? OURS : UNKNOWN;
}

/* Post-operations, scales and the like: an operation without them is another one. */
static judgement judge_attribute(const char *value) {
    return *value ? OTHER : OURS;
}

static judgement judge_accumulation(const char *value) {
    static const char *const harmless[] = {"", "strict", "relaxed", "any", "f32"};
    return among(value, harmless, COUNT(harmless)) ? OURS : OTHER;
}

static const struct {
    const char *name;
    int choice;
    judgement (*judge)(const char *value);
    const char *expected;
} choosing[] = {
    {"dt", TYPES, judge_types, "data types such as f32 or u8:s8:f32"},
    {"cfg", TYPES, judge_types, "data types such as f32 or u8s8f32"},
    {"bia-dt", BIAS_TYPES, judge_bias_type, "a data type such as f32, or undef"},
    {"alg", ALGORITHM, judge_algorithm, "direct, wino or auto; max, avg_np or avg_p"},
    {"attr", ATTRIBUTES, judge_attribute, ""},
    {"attr-scales", ATTRIBUTES + 1, judge_attribute, ""},
    {"attr-oscale", ATTRIBUTES + 2, judge_attribute, ""},
    {"attr-zero-points", ATTRIBUTES + 3, judge_attribute, ""},
    {"attr-post-ops", ATTRIBUTES + 4, judge_attribute, ""},
    {"attr-dropout", ATTRIBUTES + 5, judge_attribute, ""},
    {"attr-rounding-mode", ATTRIBUTES + 6, judge_attribute, ""},
    {"attr-acc-mode", ATTRIBUTES + 7, judge_accumulation, ""},
};
_Static_assert(ATTRIBUTES + 7 < FV_BENCHDNN_CHOICES, "a choice beyond those that settings hold");

static fv_status set_choice(fv_benchdnn_settings *s, fv_benchdnn_driver driver, size_t option, char *values) {
    fv_benchdnn_choice made = {.ours = false};
    unsigned biases = 0, poolings = 0;
    const char *name = choosing[option].name;
    if (!*values)
        made.ours = true, biases = 1;
    else
        for (const char *value; (value = strsep(&values, ","));) {
            judgement verdict = choosing[option].judge(value);
            if (verdict == OURS_OF_PRODUCTS)
                verdict = driver == FV_BENCHDNN_POOL ? OTHER : OURS;
            if (verdict == UNKNOWN)
                return fv_fail(FV_BAD_INPUT, "--%s=%.40s: expected %s", name, value, choosing[option].expected);
            poolings |= pooling_named(value);
            if (verdict == OURS)
                made.ours = true, biases |= !strcasecmp(value, "undef") ? 1 : 2;
            else if (!made.other[0])
                snprintf(made.other, sizeof made.other, "--%s=%s", name, value);
        }
    s->choices[choosing[option].choice] = made;
    if (choosing[option].choice == BIAS_TYPES)
        s->biases = biases;
    if (choosing[option].choice == ALGORITHM)
        s->poolings = poolings ? poolings : FV_BENCHDNN_MAX;
    return FV_OK;
}

static fv_status set_directions(fv_benchdnn_settings *s, fv_benchdnn_driver driver, char *values) {
    if (!*values) {
        s->directions = default_directions(driver);
        return FV_OK;
    }
    s->directions = 0;
    for (const char *value; (value = strsep(&values, ","));) {
        size_t i = 0;
        while (i < COUNT(directions) && strcasecmp(value, directions[i].name) != 0)
            ++i;
        if (i == COUNT(directions))
            return fv_fail(FV_BAD_INPUT, "--dir=%.40s: expected FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB or BWD_DW",
                           value);
        s->directions |= 1u << i;
    }
    return FV_OK;
}

static fv_status set_batch_sizes(fv_benchdnn_settings *s, char *values) {
    s->batches = 1;
    s->batch[0] = 0;
    if (!*values)
        return FV_OK;
    s->batches = 0;
    for (const char *value; (value = strsep(&values, ","));) {
        if (s->batches == FV_BENCHDNN_BATCHES)
            return fv_fail(FV_BAD_INPUT, "--mb has more than %d values", FV_BENCHDNN_BATCHES);
        const char *end = value;
        if (!fv_read_extent(&end, &s->batch[s->batches]) || *end)
            return fv_fail(FV_BAD_INPUT, "--mb=%.40s: expected whole numbers", value);
        ++s->batches;
    }
    return FV_OK;
}

static fv_status set_pattern(fv_benchdnn_settings *s, const char *pattern) {
    regex_t compiled;
    if (strlen(pattern) >= FV_BENCHDNN_PATTERN || regcomp(&compiled, pattern, REG_NOSUB) != 0)
        return fv_fail(FV_BAD_INPUT, "--match=%.40s: expected a basic regular expression of at most %d characters",
                       pattern, FV_BENCHDNN_PATTERN - 1);
    regfree(&compiled);
    strcpy(s->pattern, pattern);
    return FV_OK;
}

bool fv_benchdnn_is_wanted(const fv_benchdnn_settings *settings, const char *descriptor) {
    regex_t compiled;
    if (!settings->pattern[0] || regcomp(&compiled, settings->pattern, REG_NOSUB) != 0)
        return true;
    const bool wanted = regexec(&compiled, descriptor, 0, NULL, 0) == 0;
    regfree(&compiled);
    return wanted;
}

fv_status fv_benchdnn_set(fv_benchdnn_settings *settings, fv_benchdnn_driver driver, const char *name, char *values) {
    if (among(name, ignored, COUNT(ignored)))
        return FV_OK;
    if (!strcmp(name, "dir"))
        return set_directions(settings, driver, values);
    if (!strcmp(name, "mb"))
        return set_batch_sizes(settings, values);
    if (!strcmp(name, "match"))
        return set_pattern(settings, values);
    for (size_t i = 0; i < COUNT(choosing); ++i)
        if (!strcmp(name, choosing[i].name))
            return set_choice(settings, driver, i, values);
    return fv_fail(FV_BAD_INPUT, "--%.40s is not a known option of benchdnn", name);
}

void fv_benchdnn_passes(const fv_benchdnn_settings *settings, fv_benchdnn_driver driver, unsigned passes[2]) {
    unsigned indifferent = 0; /* backward_data does not see a bias */
    passes[0] = passes[1] = 0;
    for (size_t i = 0; i < COUNT(directions); ++i) {
        if (!(settings->directions >> i & 1))
            continue;
        const unsigned data = directions[i].passes & 1u << FV_BACKWARD_DATA, rest = directions[i].passes & ~data;
        const unsigned biases = driver == FV_BENCHDNN_POOL ? 1 : directions[i].bias ? 2 : settings->biases;
        indifferent |= data;
        passes[0] |= biases & 1 ? rest : 0;
        passes[1] |= biases & 2 ? rest : 0;
    }
    passes[passes[1] != 0] |= indifferent;
}
