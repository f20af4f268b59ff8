/* fovea check --self-test */
#include "cli/check.h"
#include "verify/selftest.h"

static const fv_column columns[] = {
    {"fault", "planted fault", FV_CELL_TEXT, 0},
    {"caught", "caught", FV_CELL_YES_NO, 0},
    {"outcome", "verdict", FV_CELL_TEXT, 0},
    {"reason", "in these words", FV_CELL_TEXT, 0},
};

typedef struct tally {
    fv_table table;
    int tried, caught;
} tally;

static void on_result(void *user, const fv_self_test_result *result) {
    tally *t = user;
    ++t->tried;
    t->caught += result->caught;
    fv_table_text(&t->table, result->fault);
    fv_table_yes_no(&t->table, result->caught);
    fv_table_text(&t->table, fv_outcome_name(result->verdict->outcome));
    fv_table_text(&t->table, result->verdict->reason);
}

fv_status fv_check_self_test(fv_context *context, const fv_check_options *options, bool *good) {
    tally t = {0};
    fv_table_begin(&t.table, columns, sizeof columns / sizeof columns[0]);
    fv_status status = fv_self_test(context, options->seed, on_result, &t);
    if (status == FV_OK)
        status = fv_table_print(&t.table, (fv_format)options->format);
    if (status == FV_OK && options->format == FV_FORMAT_TABLE)
        fv_say("\n%s: %d of %d judged rightly\n", t.caught == t.tried ? "passed" : "FAILED", t.caught, t.tried);
    *good = t.caught == t.tried && t.tried > 0;
    fv_table_release(&t.table);
    return status;
}
