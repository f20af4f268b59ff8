#include "verify/guard.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(pointer, bytes) __asan_poison_memory_region(pointer, bytes)
#define ALLOW(pointer, bytes) __asan_unpoison_memory_region(pointer, bytes)
#else
#define FORBID(pointer, bytes) ((void)(pointer), (void)(bytes))
#define ALLOW(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

/* Far enough for a row too many of most images; a multiple of 256, to keep the data as aligned as the allocation. */
enum { BAND = 4096 };

fv_status fv_guarded_allocate(fv_context *context, size_t bytes, bool written, fv_guarded *guarded) {
    void *device;
    *guarded = (fv_guarded){.bytes = bytes, .band = written ? FV_FENCE : FV_POISON};
    if (bytes > SIZE_MAX - 2 * BAND)
        return fv_fail(FV_NO_MEMORY, "no memory for %zu bytes", bytes);
    FV_TRY(context->backend->allocate(context, bytes + 2 * BAND, &device));
    guarded->device = device;
    guarded->image = malloc(bytes + 2 * BAND);
    return guarded->image ? FV_OK : fv_fail(FV_NO_MEMORY, "no memory to verify a tensor of %zu bytes", bytes);
}

static void allow(fv_context *context, fv_guarded *guarded) {
    if (context->backend->host_memory)
        ALLOW(guarded->device, guarded->bytes + 2 * BAND);
}

void fv_guarded_release(fv_context *context, fv_guarded *guarded) {
    if (guarded->device) {
        allow(context, guarded);
        context->backend->deallocate(context, guarded->device);
    }
    free(guarded->image);
    *guarded = (fv_guarded){0};
}

fv_status fv_guarded_send(fv_context *context, fv_guarded *guarded, const void *data) {
    allow(context, guarded);
    memset(guarded->image, guarded->band, guarded->bytes + 2 * BAND);
    if (data)
        memcpy(guarded->image + BAND, data, guarded->bytes);
    else
        memset(guarded->image + BAND, FV_POISON, guarded->bytes);
    FV_TRY(context->backend->upload(context, guarded->device, guarded->image, guarded->bytes + 2 * BAND));
    if (context->backend->host_memory) {
        FORBID(guarded->device, BAND);
        FORBID(guarded->device + BAND + guarded->bytes, BAND);
    }
    return FV_OK;
}

fv_status fv_guarded_fetch(fv_context *context, fv_guarded *guarded) {
    allow(context, guarded);
    return context->backend->download(context, guarded->image, guarded->device, guarded->bytes + 2 * BAND);
}

void *fv_guarded_device(const fv_guarded *guarded) {
    return guarded->device + BAND;
}

const uint8_t *fv_guarded_data(const fv_guarded *guarded) {
    return guarded->image + BAND;
}

void fv_guarded_replace(fv_guarded *guarded, const void *data) {
    memcpy(guarded->image + BAND, data, guarded->bytes);
}

/* Whether all of a band is as it was: its first byte, and every other one like the one before it. */
static bool intact(const fv_guarded *guarded, const uint8_t *band) {
    return band[0] == guarded->band && !memcmp(band, band + 1, BAND - 1);
}

bool fv_guarded_trespassed(const fv_guarded *guarded, int64_t *offset) {
    const size_t ends[] = {0, BAND + guarded->bytes};
    for (int i = 0; i < 2; ++i) {
        const uint8_t *band = guarded->image + ends[i];
        if (intact(guarded, band))
            continue;
        size_t b = 0;
        while (band[b] == guarded->band)
            ++b;
        *offset = (int64_t)(ends[i] + b) - BAND;
        return true;
    }
    return false;
}
