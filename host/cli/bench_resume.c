/* Keeping a benchmark's record while it is measured, and going on with one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/version.h"
#include "cli/bench.h"

void fv_bench_save(fv_bench_record *record, const fv_bench_row *running, const char *path) {
    if (!fv_file_is_replaced(path))
        return;
    fv_bench_row row = *running;
    row.state = FV_BENCH_FAILED;
    snprintf(row.reason, sizeof row.reason, "the program ended while this ran");
    if (fv_bench_record_add(record, &row) != FV_OK)
        return;
    (void)fv_bench_write(record, path);
    --record->count;
}

fv_status fv_bench_take_over(fv_bench_record *record, const char *path, const char *backend, const char *against,
                             uint64_t seed) {
    FV_TRY(fv_bench_read(record, path));
    if (strcmp(record->backend, backend) != 0 || strcmp(record->against, against) != 0)
        return fv_fail(FV_BAD_INPUT, "--resume: %s is a record of %s against %s", path, record->backend,
                       *record->against ? record->against : "none");
    if (strcmp(record->commit, fv_commit()) != 0 || record->seed != seed)
        return fv_fail(FV_BAD_INPUT, "--resume: %s is a record of commit %s with seed %" PRIu64, path,
                       *record->commit ? record->commit : "unknown", record->seed);
    record->complete = false;
    record->command[0] = '\0';
    return FV_OK;
}
