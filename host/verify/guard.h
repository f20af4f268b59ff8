/* A buffer on the device between two guard bands. What a kernel writes beyond its buffer shows in the bands; on the
 * host, under AddressSanitizer, so does what it reads there. */
#ifndef FOVEA_VERIFY_GUARD_H
#define FOVEA_VERIFY_GUARD_H

#include "backends/kernel.h"

/* FV_POISON is every byte of outputs, of workspace and of the bands around inputs: floats are NaN, indices out of range.
 * The bands around what a kernel writes are of FV_FENCE, large numbers: a kernel that goes too far in its input and its
 * output alike, as y[i] = max(x[i], 0) does, would otherwise write there what was there before. */
enum { FV_POISON = 0xFF, FV_FENCE = 0x7F };

typedef struct fv_guarded {
    size_t bytes;
    uint8_t band;    /* every byte of the bands */
    uint8_t *device; /* band, data, band */
    uint8_t *image;  /* the same on the host, as of the last send or fetch */
} fv_guarded;

/* `written`: the kernel may write to the data. */
fv_status fv_guarded_allocate(fv_context *context, size_t bytes, bool written, fv_guarded *guarded);
void fv_guarded_release(fv_context *context, fv_guarded *guarded); /* fine on a zeroed one */

/* Sends the data, or poison where `data` is NULL, between fresh bands. */
fv_status fv_guarded_send(fv_context *context, fv_guarded *guarded, const void *data);
fv_status fv_guarded_fetch(fv_context *context, fv_guarded *guarded);

/* The data: on the device for the kernel, and in the host's image. */
void *fv_guarded_device(const fv_guarded *guarded);
const uint8_t *fv_guarded_data(const fv_guarded *guarded);

/* Puts other data in the place of what was fetched, on the host alone. */
void fv_guarded_replace(fv_guarded *guarded, const void *data);

/* Whether a fetched buffer's bands were written to; *offset is the first such byte, from the start of the data. */
bool fv_guarded_trespassed(const fv_guarded *guarded, int64_t *offset);

#endif
