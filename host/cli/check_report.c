/* The report of fovea check: a row per kernel, the failures, and a verdict in one line. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/check.h"

enum { LINE_SIZE = 1024, LISTED_IMPLEMENTATIONS = 8, LISTED_KERNELS = 6 };

static const fv_column columns[] = {
    {"operation", "operation", FV_CELL_TEXT, 0}, {"pass", "pass", FV_CELL_TEXT, 0},
    {"dtype", "dtype", FV_CELL_TEXT, 0},         {"kernel", "kernel", FV_CELL_TEXT, 0},
    {"cases", "cases", FV_CELL_COUNT, 0},        {"passed", "passed", FV_CELL_COUNT, 0},
    {"failed", "failed", FV_CELL_COUNT, 0},      {"unsupported", "unsupported", FV_CELL_COUNT, 0},
    {"skipped", "skipped", FV_CELL_COUNT, 0},    {"mistrusted", "mistrusted", FV_CELL_COUNT, 0},
    {"exact", "exact", FV_CELL_COUNT, 0},        {"bounded", "bounded", FV_CELL_COUNT, 0},
    {"worst", "worst", FV_CELL_REAL, 3},         {"deterministic", "determ.", FV_CELL_YES_NO, 0},
};

fv_status fv_report_begin(fv_report_sink *sink, const fv_check_options *options) {
    *sink = (fv_report_sink){.options = options};
    fv_progress_begin(&sink->progress);
    if (options->format == FV_FORMAT_JSON && !(sink->json = json_array()))
        return fv_fail(FV_NO_MEMORY, "no memory for a report");
    if ((options->format == FV_FORMAT_MARKDOWN || options->format == FV_FORMAT_JUNIT) &&
        !(sink->stream = open_memstream(&sink->collected, &sink->collected_size)))
        return fv_fail(FV_NO_MEMORY, "no memory for a report");
    return FV_OK;
}

void fv_report_end(fv_report_sink *sink) {
    fv_progress_clear(&sink->progress);
    json_decref(sink->json);
    if (sink->stream)
        fclose(sink->stream);
    free(sink->collected);
    *sink = (fv_report_sink){0};
}

/* Standard output by way of memory, so that fv_say sees whether it could be written. */
typedef struct spoken {
    char *text;
    size_t size;
    FILE *stream;
} spoken;

static FILE *speak(spoken *s) {
    *s = (spoken){0};
    return s->stream = open_memstream(&s->text, &s->size);
}

static void spoken_end(spoken *s) {
    if (s->stream)
        fclose(s->stream);
    if (s->text)
        fv_say("%s", s->text);
    else
        fv_say_lost();
    free(s->text);
}

/* "reference and onednn (oneDNN 2.6.3, 2 threads)" */
static void write_witnesses(FILE *stream, const fv_survey *survey) {
    fprintf(stream, "reference");
    for (int i = 0; i < survey->witnesses; ++i)
        fprintf(stream, " and %s (%s)", fv_context_backend(survey->witness[i].context),
                fv_context_description(survey->witness[i].context));
}

static void say_head(const fv_survey *survey) {
    spoken head;
    FILE *stream = speak(&head);
    if (stream) {
        fprintf(stream, "%s (%s) against ", fv_context_backend(survey->context),
                fv_context_description(survey->context));
        write_witnesses(stream, survey);
        fprintf(stream, "; %" PRId64 " case%s, seed %" PRIu64 "\n\n", survey->cases->count,
                survey->cases->count == 1 ? "" : "s", survey->seed);
    }
    spoken_end(&head);
}

void fv_report_head(fv_report_sink *sink, const fv_survey *survey) {
    if (sink->options->format == FV_FORMAT_TABLE)
        say_head(survey);
}

/* ---- failures ---- */

/* Some of each kernel, a case only once: the first failures tell most. */
static bool worth_showing(fv_report_sink *sink, const fv_finding *finding) {
    char op[sizeof sink->show[0].op];
    int same = 0;
    fv_operation_print(finding->op, op, sizeof op);
    for (int i = 0; i < sink->shown; ++i) {
        if (sink->show[i].kernel != finding->kernel)
            continue;
        if (!strcmp(sink->show[i].op, op))
            return false;
        ++same;
    }
    if (sink->shown == FV_SHOWN || same == FV_SHOWN_PER_KERNEL)
        return false;
    sink->show[sink->shown].kernel = finding->kernel;
    memcpy(sink->show[sink->shown++].op, op, sizeof op);
    return true;
}

typedef void failure_writer(FILE *stream, const fv_check_options *options, const fv_finding *finding);

/* Writes to where the format has its failures. */
static void tell(fv_report_sink *sink, const fv_finding *finding, failure_writer *write) {
    spoken speech;
    if (sink->options->format == FV_FORMAT_MARKDOWN) {
        write(sink->stream, sink->options, finding);
    } else if (sink->options->format == FV_FORMAT_CSV) {
        write(stderr, sink->options, finding);
    } else {
        if (speak(&speech))
            write(speech.stream, sink->options, finding);
        spoken_end(&speech);
    }
}

static void show_failure(fv_report_sink *sink, const fv_finding *finding) {
    const fv_check_options *options = sink->options;
    if (options->format == FV_FORMAT_JSON) {
        sink->json = fv_json_extend(sink->json, fv_failure_json(options, finding));
        return;
    }
    if (options->format == FV_FORMAT_JUNIT || !worth_showing(sink, finding))
        return;
    fv_progress_clear(&sink->progress);
    if (options->format == FV_FORMAT_MARKDOWN)
        fprintf(sink->stream, "\n```\n");
    tell(sink, finding, fv_failure_write);
    tell(sink, finding, fv_failure_write_smallest); /* apart: a broken kernel may break the program on another case */
    if (options->format == FV_FORMAT_MARKDOWN)
        fprintf(sink->stream, "```\n");
    else if (options->format == FV_FORMAT_CSV)
        fprintf(stderr, "\n");
    else
        fv_say("\n");
}

void fv_report_finding(fv_report_sink *sink, const fv_finding *finding) {
    const fv_outcome outcome = finding->verdict->outcome;
    ++sink->findings;
    sink->outliers += finding->witness;
    if (!finding->witness && (outcome == FV_PASSED || outcome == FV_FAILED)) {
        ++sink->comparisons;
        sink->elements += finding->verdict->compared;
    }
    if (sink->options->format == FV_FORMAT_JUNIT)
        fv_junit_finding(sink->stream, sink->options, finding);
    if (outcome == FV_FAILED) {
        ++sink->failures;
        sink->against_reference += !strcmp(finding->outlier, "reference");
        show_failure(sink, finding);
    }
}

/* ---- the verdict ---- */

static void add_kernel(char line[LINE_SIZE], const fv_kernel *kernel) {
    fv_append(line, LINE_SIZE, "%s %s %s", fv_kind_name(kernel->kind), fv_pass_name(kernel->pass), kernel->name);
    if (kernel->dtype != FV_F32)
        fv_append(line, LINE_SIZE, " %s", fv_dtype_name(kernel->dtype));
}

static int64_t ran(const fv_survey_row *row) {
    return row->count[FV_PASSED] + row->count[FV_FAILED];
}

/* Whether a kernel that nothing was compared of is one too many: with the built-in cases and all comparisons, each has
 * its turn, but for those that the machine cannot run. */
static bool is_idle(const fv_report_sink *sink, const fv_survey *survey, const fv_survey_row *row) {
    return sink->options->builtin && survey->fills[FV_EXACT] && survey->fills[FV_BOUNDED] &&
           survey->cases_done == survey->cases->count && ran(row) == 0 &&
           !fv_kernel_lacks(row->kernel, survey->context);
}

/* Adds what is wrong with the kernels, the first of them by name; returns how many things. */
static int add_failures(char line[LINE_SIZE], const fv_report_sink *sink, const fv_survey *survey) {
    int faults = 0;
    for (int i = 0; i < survey->row_count; ++i) {
        const fv_survey_row *row = &survey->rows[i];
        const bool idle = is_idle(sink, survey, row);
        if (!row->count[FV_FAILED] && !idle)
            continue;
        if (faults++ >= LISTED_KERNELS)
            continue;
        fv_append(line, LINE_SIZE, faults > 1 ? ", " : "FAILED: ");
        add_kernel(line, row->kernel);
        if (idle)
            fv_append(line, LINE_SIZE, " (no case exercises it: %s)",
                      *row->idle ? row->idle : "there is none of its operation");
        else
            fv_append(line, LINE_SIZE, " (%" PRId64 " of %" PRId64 " cases)", row->count[FV_FAILED], row->cases);
    }
    if (faults > LISTED_KERNELS)
        fv_append(line, LINE_SIZE, " and %d more kernel%s", faults - LISTED_KERNELS,
                  faults - LISTED_KERNELS == 1 ? "" : "s");
    for (int i = 0; i < survey->witnesses; ++i)
        if (survey->witness[i].outliers)
            fv_append(line, LINE_SIZE, "%s%s is the outlier in %" PRId64 " of %" PRId64 " comparisons",
                      faults++ ? ", " : "FAILED: ", fv_context_backend(survey->witness[i].context),
                      survey->witness[i].outliers, survey->witness[i].opinions);
    if (sink->against_reference)
        fv_append(line, LINE_SIZE, "; the reference is the outlier in %" PRId64 " comparisons",
                  sink->against_reference);
    return faults;
}

static void add_success(char line[LINE_SIZE], const fv_report_sink *sink, const fv_survey *survey) {
    const fv_survey_row *worst = survey->rows;
    int kernels = 0;
    for (int i = 0; i < survey->row_count; ++i) {
        kernels += ran(&survey->rows[i]) > 0;
        if (survey->rows[i].worst > worst->worst)
            worst = &survey->rows[i];
    }
    fv_append(line, LINE_SIZE, "passed: %d kernel%s on %" PRId64 " case%s, %" PRId64 " comparisons", kernels,
              kernels == 1 ? "" : "s", survey->cases_done, survey->cases_done == 1 ? "" : "s", sink->comparisons);
    if (worst->worst > 0) {
        fv_append(line, LINE_SIZE, "; worst error %.2g of its bound (", worst->worst);
        add_kernel(line, worst->kernel);
        fv_append(line, LINE_SIZE, ")");
    }
    for (int i = 0; i < survey->witnesses; ++i)
        fv_append(line, LINE_SIZE, "; %s agrees on %" PRId64, fv_context_backend(survey->witness[i].context),
                  survey->witness[i].opinions);
}

/* The word of a kernel that ran counts for more than that of one that refuses the case. */
static const char *why_nothing(const fv_report_sink *sink, const fv_survey *survey) {
    if (sink->comparisons)
        return "all tensors are empty";
    const fv_survey_row *told = NULL;
    for (int i = 0; i < survey->row_count; ++i) {
        const fv_survey_row *row = &survey->rows[i];
        if (*row->idle && (!told || (row->count[FV_MISTRUSTED] && !told->count[FV_MISTRUSTED])))
            told = row;
    }
    if (told)
        return told->idle;
    return survey->row_count == 0      ? "no kernel matches"
           : survey->cases->count == 0 ? "there are no cases"
                                       : "no kernel is of these operations and passes";
}

static bool decide(const fv_report_sink *sink, const fv_survey *survey, char verdict[LINE_SIZE]) {
    if (survey->cases_done < survey->cases->count)
        fv_append(verdict, LINE_SIZE, "stopped after %" PRId64 " of %" PRId64 " cases; ", survey->cases_done,
                  survey->cases->count);
    if (add_failures(verdict, sink, survey)) {
        if (survey->lost)
            fv_append(verdict, LINE_SIZE, "; the device stopped working there");
        return false;
    }
    if (sink->elements == 0) {
        fv_append(verdict, LINE_SIZE, "FAILED: nothing was compared: %s", why_nothing(sink, survey));
        return false;
    }
    add_success(verdict, sink, survey);
    return true;
}

/* ---- implementations ---- */

/* "onednn conv2d forward direct: jit:avx2 (31), gemm (4)", a line per kernel that tells what it ran. */
static void write_implementations(FILE *stream, const fv_survey *survey) {
    const fv_implementation *all = survey->implementations;
    const size_t count = survey->implementation_count;
    for (size_t i = 0; i < count; ++i) {
        int listed = 0, same = 0;
        bool first = true;
        for (size_t j = 0; j < i; ++j)
            first &= all[j].kernel != all[i].kernel;
        if (!first)
            continue;
        fprintf(stream, "%s %s %s %s:", fv_context_backend(all[i].context), fv_kind_name(all[i].kernel->kind),
                fv_pass_name(all[i].kernel->pass), all[i].kernel->name);
        for (size_t j = i; j < count; ++j)
            if (all[j].kernel == all[i].kernel && ++same <= LISTED_IMPLEMENTATIONS)
                fprintf(stream, "%s %s (%" PRId64 ")", listed++ ? "," : "", all[j].description, all[j].comparisons);
        if (same > LISTED_IMPLEMENTATIONS)
            fprintf(stream, " and %d more, see --format json", same - LISTED_IMPLEMENTATIONS);
        fprintf(stream, "\n");
    }
}

static void say_implementations(const fv_survey *survey) {
    spoken list;
    if (speak(&list)) {
        write_implementations(list.stream, survey);
        if (survey->implementation_count)
            fprintf(list.stream, "\n");
    }
    spoken_end(&list);
}

/* ---- the whole ---- */

static void fill_table(fv_table *table, const fv_survey *survey) {
    for (int i = 0; i < survey->row_count; ++i) {
        const fv_survey_row *row = &survey->rows[i];
        if (row->cases == 0)
            continue;
        fv_table_text(table, fv_kind_name(row->kernel->kind));
        fv_table_text(table, fv_pass_name(row->kernel->pass));
        fv_table_text(table, fv_dtype_name(row->kernel->dtype));
        fv_table_text(table, row->kernel->name);
        fv_table_count(table, row->cases);
        for (fv_outcome outcome = 0; outcome < FV_OUTCOMES; ++outcome)
            fv_table_count(table, row->count[outcome]);
        for (fv_fill fill = 0; fill < FV_FILLS; ++fill)
            fv_table_count(table, row->passed[fill]);
        fv_table_real(table, row->worst);
        if (row->repeated)
            fv_table_yes_no(table, row->reproduced == row->repeated);
        else
            fv_table_empty(table);
    }
}

static void print_markdown(fv_report_sink *sink, const char *verdict) {
    if (fflush(sink->stream))
        fv_say_lost();
    fv_say("%s\n**%s**\n", sink->collected ? sink->collected : "", verdict);
}

fv_status fv_report_survey(fv_report_sink *sink, const fv_survey *survey, bool *good) {
    char verdict[LINE_SIZE] = "";
    fv_table table;
    fv_status status = FV_OK;
    fv_progress_clear(&sink->progress);
    *good = decide(sink, survey, verdict);
    fv_table_begin(&table, columns, sizeof columns / sizeof columns[0]);
    fill_table(&table, survey);
    switch (sink->options->format) {
    case FV_FORMAT_JSON:
        status = fv_json_print(sink, survey, &table, verdict, *good);
        break;
    case FV_FORMAT_JUNIT:
        fv_junit_print(sink, survey, verdict, *good);
        break;
    case FV_FORMAT_CSV:
        status = fv_table_print(&table, FV_FORMAT_CSV);
        fprintf(stderr, "fovea check: %s\n", verdict);
        break;
    case FV_FORMAT_MARKDOWN:
        say_head(survey);
        status = fv_table_print(&table, FV_FORMAT_MARKDOWN);
        print_markdown(sink, verdict);
        break;
    default:
        status = fv_table_print(&table, FV_FORMAT_TABLE);
        if (sink->failures > sink->shown)
            fv_say("\n%" PRId64 " more comparisons failed; --format json lists all of them\n",
                   sink->failures - sink->shown);
        fv_say("\n");
        say_implementations(survey);
        fv_say("%s\n", verdict);
    }
    fv_table_release(&table);
    return status;
}
