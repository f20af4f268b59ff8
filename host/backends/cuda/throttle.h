/* Why a GPU runs slower than it could, in words. */
#ifndef FOVEA_BACKENDS_CUDA_THROTTLE_H
#define FOVEA_BACKENDS_CUDA_THROTTLE_H

#include "base/text.h"

/* From NVML's bit set of clocks event (once: throttle) reasons; "" if there is none that slows the device down. That it
 * is idle is no such reason. Plain inline C, so that it is tested without CUDA. */
static inline void fv_throttle_words(unsigned long long reasons, char *text, size_t size) {
    static const struct {
        unsigned long long bit;
        const char *words;
    } known[] = {
        {0x002, "application clocks"}, /* somebody has set them */
        {0x004, "power cap"},          {0x008, "hardware slowdown"},      {0x010, "sync boost"},
        {0x020, "temperature"},        {0x040, "temperature (hardware)"}, {0x080, "power brake"},
        {0x100, "display clocks"},
    };
    static const unsigned long long idle = 0x001;
    text[0] = '\0';
    reasons &= ~idle;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        if (reasons & known[i].bit)
            fv_append(text, size, "%s%s", *text ? ", " : "", known[i].words);
        reasons &= ~known[i].bit;
    }
    if (reasons)
        fv_append(text, size, "%sreason 0x%llx", *text ? ", " : "", reasons);
}

#endif
