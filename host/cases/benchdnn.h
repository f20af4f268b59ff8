/* The parts of the benchdnn reader: lines and words (benchdnn.c), what options set (benchdnn_settings.c), descriptors
 * (benchdnn_descriptor.c). */
#ifndef FOVEA_CASES_BENCHDNN_H
#define FOVEA_CASES_BENCHDNN_H

#include <stdbool.h>

#include <fovea/operations.h>

typedef enum fv_benchdnn_driver {
    FV_BENCHDNN_CONV,
    FV_BENCHDNN_POOL,
    FV_BENCHDNN_IP,     /* inner product */
    FV_BENCHDNN_DECONV, /* transposed convolution */
    FV_BENCHDNN_OTHER   /* one of those without a counterpart here */
} fv_benchdnn_driver;

/* What is asked for by an option some of whose values Fovea lacks. */
typedef struct fv_benchdnn_choice {
    bool ours;      /* a value that Fovea has is among them */
    char other[96]; /* the first that it lacks, as "--option=value"; "" if there is none */
} fv_benchdnn_choice;

enum { FV_BENCHDNN_CHOICES = 11, FV_BENCHDNN_BATCHES = 64, FV_BENCHDNN_PATTERN = 256 };

/* What poolings compute: bits of a set. */
enum { FV_BENCHDNN_MAX = 1, FV_BENCHDNN_AVERAGE_PADDED = 2, FV_BENCHDNN_AVERAGE = 4 };

/* The state that options set and descriptors are read in. */
typedef struct fv_benchdnn_settings {
    unsigned directions;                /* bit set of positions in the table of directions */
    unsigned biases;                    /* asked for by --bia-dt: bit 0 none, bit 1 one */
    int64_t batch[FV_BENCHDNN_BATCHES]; /* 0: as the descriptor says */
    int batches;
    unsigned poolings; /* asked for by --alg */
    fv_benchdnn_choice choices[FV_BENCHDNN_CHOICES];
    char pattern[FV_BENCHDNN_PATTERN]; /* descriptors that it does not match are passed over; "" matches all */
} fv_benchdnn_settings;

void fv_benchdnn_reset(fv_benchdnn_settings *settings, fv_benchdnn_driver driver);

/* Sets option `name`, without its "--", to a value or a list of values, which is cut up; "" is the default. */
fv_status fv_benchdnn_set(fv_benchdnn_settings *settings, fv_benchdnn_driver driver, const char *name, char *values);

/* The passes asked for without bias, passes[0], and with it, passes[1]. */
void fv_benchdnn_passes(const fv_benchdnn_settings *settings, fv_benchdnn_driver driver, unsigned passes[2]);

/* False if --match passes over this descriptor. */
bool fv_benchdnn_is_wanted(const fv_benchdnn_settings *settings, const char *descriptor);

/* Reads a descriptor of the drivers before FV_BENCHDNN_OTHER as benchdnn does. *reason is NULL, or says why Fovea lacks
 * such an operation; a pooling is read as a maxpool. FV_BAD_INPUT: benchdnn would refuse it, or fv_operation_validate
 * does. */
fv_status fv_benchdnn_descriptor(fv_benchdnn_driver driver, const char *text, fv_operation *op, const char **reason);

/* A word that begins with a letter of a descriptor and its number. */
bool fv_benchdnn_is_descriptor(const char *word);

#endif
