#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *fv_json_text(const char *text) {
    json_t *value = json_string(text);
    char *ascii = value ? NULL : strdup(text);
    if (!ascii)
        return value;
    for (char *at = ascii; *at; ++at)
        *at = (unsigned char)*at > 0x7e ? '?' : *at;
    value = json_string(ascii);
    free(ascii);
    return value;
}

json_t *fv_json_real(double value) {
    if (isfinite(value))
        return json_real(value);
    return json_string(isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}
