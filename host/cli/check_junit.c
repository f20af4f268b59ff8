/* The report of fovea check as JUnit XML, which continuous-integration servers read: a test case per kernel, case and
 * comparison. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/check.h"

/* XML's character data; control characters other than tab and line feed have no place in it. */
static void write_escaped(FILE *stream, const char *text) {
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '<')
            fputs("&lt;", stream);
        else if (c == '>')
            fputs("&gt;", stream);
        else if (c == '&')
            fputs("&amp;", stream);
        else if (c == '"')
            fputs("&quot;", stream);
        else
            fputc(c < 0x20 && c != '\t' && c != '\n' ? ' ' : c, stream);
    }
}

void fv_junit_finding(FILE *stream, const fv_check_options *options, const fv_finding *f) {
    char text[FV_CASE_SIZE];
    fv_operation_print(f->op, text, sizeof text);
    fprintf(stream, "  <testcase classname=\"%s.%s.%s.%s.%s\" name=\"%s %s\"", fv_context_backend(f->context),
            fv_kind_name(f->kernel->kind), fv_pass_name(f->kernel->pass), fv_dtype_name(f->kernel->dtype),
            f->kernel->name, fv_fill_name(f->fill), text);
    if (f->verdict->outcome == FV_PASSED) {
        fprintf(stream, "/>\n");
        return;
    }
    fprintf(stream, ">\n    <%s message=\"", f->verdict->outcome == FV_FAILED ? "failure" : "skipped");
    if (f->verdict->outcome != FV_FAILED)
        fprintf(stream, "%s: ", fv_outcome_name(f->verdict->outcome));
    write_escaped(stream, f->verdict->reason);
    char *details = NULL;
    size_t size = 0;
    FILE *memory = f->verdict->outcome == FV_FAILED ? open_memstream(&details, &size) : NULL;
    if (memory) {
        fv_failure_write(memory, options, f);
        fclose(memory);
        fprintf(stream, "\">");
        write_escaped(stream, details ? details : "no memory for the details");
        fprintf(stream, "</failure>\n  </testcase>\n");
    } else {
        fprintf(stream, "\"/>\n  </testcase>\n");
    }
    free(details);
}

void fv_junit_print(const fv_report_sink *sink, const fv_survey *survey, const char *verdict, bool good) {
    char *escaped = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&escaped, &size);
    if (memory) {
        write_escaped(memory, verdict);
        fclose(memory);
    }
    if (!escaped || fflush(sink->stream))
        fv_say_lost();
    fv_say("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
           "<testsuite name=\"fovea check %s\" tests=\"%" PRId64 "\" failures=\"%" PRId64 "\" skipped=\"%" PRId64
           "\" errors=\"0\">\n%s",
           fv_context_backend(survey->context), sink->findings + 1, sink->failures + !good,
           sink->findings - sink->comparisons - sink->outliers, sink->collected ? sink->collected : "");
    fv_say("  <testcase classname=\"fovea.check\" name=\"verdict\">");
    if (good)
        fv_say("<system-out>%s</system-out>", escaped ? escaped : "");
    else
        fv_say("<failure message=\"%s\"/>", escaped ? escaped : "");
    fv_say("</testcase>\n</testsuite>\n");
    free(escaped);
}
