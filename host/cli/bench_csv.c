/* A benchmark's rows as CSV: all that the record holds of them, and what follows from it. */
#include "cli/bench_rows.h"

static const fv_column columns[] = {
    {"label", "", FV_CELL_TEXT, 0},
    {"op", "", FV_CELL_TEXT, 0},
    {"family", "", FV_CELL_TEXT, 0},
    {"pass", "", FV_CELL_TEXT, 0},
    {"dtype", "", FV_CELL_TEXT, 0},
    {"backend", "", FV_CELL_TEXT, 0},
    {"kernel", "", FV_CELL_TEXT, 0},
    {"implementation", "", FV_CELL_TEXT, 0},
    {"layout", "", FV_CELL_TEXT, 0},
    {"rival", "", FV_CELL_YES_NO, 0},
    {"chosen", "", FV_CELL_YES_NO, 0},
    {"yardstick", "", FV_CELL_YES_NO, 0},
    {"ways", "", FV_CELL_COUNT, 0},
    {"state", "", FV_CELL_TEXT, 0},
    {"reason", "", FV_CELL_TEXT, 0},
    {"verified", "", FV_CELL_YES_NO, 0},
    {"scope", "", FV_CELL_TEXT, 0},
    {"compared", "", FV_CELL_COUNT, 0},
    {"wrong", "", FV_CELL_COUNT, 0},
    {"worst", "", FV_CELL_REAL, 3},
    {"samples", "", FV_CELL_COUNT, 0},
    {"median_us", "", FV_CELL_REAL, 7},
    {"low_us", "", FV_CELL_REAL, 7},
    {"high_us", "", FV_CELL_REAL, 7},
    {"least_us", "", FV_CELL_REAL, 7},
    {"spread_percent", "", FV_CELL_REAL, 3},
    {"settled", "", FV_CELL_YES_NO, 0},
    {"exposed", "", FV_CELL_YES_NO, 0},
    {"workspace_bytes", "", FV_CELL_COUNT, 0},
    {"flop", "", FV_CELL_COUNT, 0},
    {"bytes", "", FV_CELL_COUNT, 0},
    {"floor_us", "", FV_CELL_REAL, 7},
    {"bound", "", FV_CELL_TEXT, 0},
    {"tflops", "", FV_CELL_REAL, 5},
    {"gb_per_s", "", FV_CELL_REAL, 5},
    {"percent_of_floor", "", FV_CELL_REAL, 5},
    {"expected_us", "", FV_CELL_REAL, 7},
    {"times_expected", "", FV_CELL_REAL, 5},
    {"rival_us", "", FV_CELL_REAL, 7},
    {"rival_implementation", "", FV_CELL_TEXT, 0},
    {"rival_nchw_us", "", FV_CELL_REAL, 7},
    {"ratio", "", FV_CELL_REAL, 5},
};

static void put_identity(fv_table *table, const fv_bench_row *row) {
    fv_table_text(table, row->label);
    fv_table_text(table, row->op);
    fv_table_text(table, row->family);
    fv_table_text(table, row->pass);
    fv_table_text(table, row->dtype);
    fv_table_text(table, row->backend);
    fv_table_text(table, row->kernel);
    fv_table_text(table, row->implementation);
    fv_table_text(table, row->layout);
    fv_table_yes_no(table, row->rival);
    fv_table_yes_no(table, row->chosen);
    fv_table_yes_no(table, row->yardstick);
    fv_table_count(table, row->ways);
}

static void put_proof(fv_table *table, const fv_bench_row *row) {
    fv_table_text(table, fv_bench_state_name(row->state));
    fv_table_text(table, row->reason);
    fv_table_yes_no(table, row->verified);
    fv_table_text(table, row->scope);
    fv_table_count(table, row->compared);
    fv_table_count(table, row->wrong);
    fv_table_real(table, row->worst);
}

static void put_times(fv_table *table, const fv_bench_row *row, const fv_bench_figures *figures) {
    const fv_summary *summary = &row->timing.summary;
    if (row->state != FV_BENCH_TIMED) {
        for (int i = 0; i < 8; ++i)
            fv_table_empty(table);
        return;
    }
    fv_table_count(table, summary->samples);
    fv_table_real(table, figures->median_us);
    fv_table_real(table, 1e6 * summary->low);
    fv_table_real(table, 1e6 * summary->high);
    fv_table_real(table, 1e6 * summary->least);
    fv_table_real(table, figures->spread_percent);
    fv_table_yes_no(table, row->timing.settled);
    fv_table_yes_no(table, row->timing.exposed);
}

static void put_limits(fv_table *table, const fv_bench_row *row, const fv_bench_figures *figures) {
    fv_table_count(table, (int64_t)row->workspace);
    fv_table_count(table, row->floor.flop);
    fv_table_count(table, row->floor.bytes);
    fv_bench_table_real(table, figures->floor_us);
    fv_table_text(table, row->floor.compute_bound ? "compute" : "memory");
    fv_bench_table_real(table, figures->tflops);
    fv_bench_table_real(table, figures->gb_per_s);
    fv_bench_table_real(table, figures->percent_of_floor);
    fv_bench_table_real(table, figures->expected_us);
    fv_bench_table_real(table, figures->times_expected);
}

static void put_rival(fv_table *table, const fv_bench_figures *figures, const fv_bench_row *rival,
                      const fv_bench_row *nchw) {
    fv_bench_table_real(table, figures->rival_us);
    fv_table_text(table, rival ? rival->implementation : NULL);
    if (nchw)
        fv_table_real(table, 1e6 * nchw->timing.summary.median);
    else
        fv_table_empty(table);
    fv_bench_table_real(table, figures->ratio);
}

fv_status fv_bench_say_csv(const fv_bench_record *record) {
    fv_table table;
    fv_table_begin(&table, columns, sizeof columns / sizeof columns[0]);
    for (int64_t begin = 0, end; begin < record->count; begin = end) {
        end = fv_bench_case_end(record, begin);
        const fv_bench_row *rival = fv_bench_rival(record, begin, end, "nhwc");
        const fv_bench_row *nchw = fv_bench_rival(record, begin, end, "nchw");
        for (int64_t i = begin; i < end; ++i) {
            const fv_bench_row *row = &record->rows[i];
            const fv_bench_figures figures = fv_bench_figures_of(row, rival);
            put_identity(&table, row);
            put_proof(&table, row);
            put_times(&table, row, &figures);
            put_limits(&table, row, &figures);
            put_rival(&table, &figures, rival, nchw);
        }
    }
    const fv_status status = fv_table_print(&table, FV_FORMAT_CSV);
    fv_table_release(&table);
    return status;
}
