/* The file in which ceilings are kept from run to run. */
#ifndef FOVEA_MEASURE_CEILINGS_CACHE_H
#define FOVEA_MEASURE_CEILINGS_CACHE_H

#include "measure/ceilings.h"

/* What was measured on such a machine with such libraries, with `cached` set; false if nothing is kept. */
bool fv_ceilings_recall(const fv_machine *machine, fv_ceilings *ceilings);

/* Keeps it beside what is kept of other machines; where the file cannot be written, nothing happens. */
void fv_ceilings_keep(const fv_machine *machine, const fv_ceilings *ceilings);

#endif
