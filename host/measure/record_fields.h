/* The members of a record that its file holds, for the writer and the reader alike (record_fields.c). */
#ifndef FOVEA_MEASURE_RECORD_FIELDS_H
#define FOVEA_MEASURE_RECORD_FIELDS_H

#include "measure/record.h"

#define FV_BENCH_FORMAT "fovea-bench-1"

typedef enum fv_record_type {
    FV_RECORD_TEXT,
    FV_RECORD_NAME,   /* a text that is one of `words` */
    FV_RECORD_CHOICE, /* the index of one of `words`, a bool or an enum in memory */
    FV_RECORD_YES_NO,
    FV_RECORD_INT,   /* an int of any sign */
    FV_RECORD_COUNT, /* an int, int64_t, uint64_t or size_t of at least 0 */
    FV_RECORD_REAL,  /* a double of at least 0 */
    FV_RECORD_WORST, /* the same, or one that is no number */
    FV_RECORD_ADDED, /* a double of at least 0 that older files lack: then 0 */
} fv_record_type;

typedef struct fv_record_field {
    const char *key;
    fv_record_type type;
    size_t offset, size;      /* within its struct */
    const char *const *words; /* NULL-terminated */
} fv_record_field;

/* One object of the file: its members and the struct that they are of. Fields end with a NULL key. */
extern const fv_record_field fv_record_head_fields[];       /* fv_bench_record */
extern const fv_record_field fv_record_machine_fields[];    /* fv_machine */
extern const fv_record_field fv_record_conditions_fields[]; /* fv_conditions */
extern const fv_record_field fv_record_ceilings_fields[];   /* fv_ceilings, without the products */
extern const fv_record_field fv_record_protocol_fields[];   /* fv_protocol */
extern const fv_record_field fv_record_row_fields[];        /* fv_bench_row */

#endif
