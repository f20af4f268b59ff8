/* What JSON cannot hold: texts that are not UTF-8, and numbers that are none. */
#ifndef FOVEA_BASE_JSON_H
#define FOVEA_BASE_JSON_H

#include <jansson.h>

/* A text; if it is not UTF-8, with '?' for each byte that is not ASCII. NULL if there is no memory. */
json_t *fv_json_text(const char *text);

/* A number, or "nan", "inf" or "-inf". */
json_t *fv_json_real(double value);

#endif
