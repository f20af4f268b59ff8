/* The rates of devices that estimates of kernels are made from. */
#ifndef FOVEA_BACKENDS_CHIP_H
#define FOVEA_BACKENDS_CHIP_H

#include "backends/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What programs reach on an NVIDIA H200 of its data sheet's 67 TFLOP/s of f32, 495 of tf32, 990 of bf16 and f16 and
 * 4.8 TB/s. */
extern const fv_chip fv_chip_h200;

/* What a data sheet says of a device, as its driver tells it. */
typedef struct fv_data_sheet {
    int capability;   /* 90 for sm_90 */
    int units;        /* multiprocessors */
    double clock;     /* of these, in Hz: the highest */
    double bandwidth; /* bytes/s between the device and its memory; 0: not known */
    double cache;     /* bytes of the last-level cache */
} fv_data_sheet;

/* The rates of such a device if it reaches the same shares of its peaks as an H200. */
fv_chip fv_chip_of(const fv_data_sheet *sheet);

/* The rates that the rows of a context are estimated with. Without a GPU these are the H200's, so that the same rows are
 * chosen everywhere. */
const fv_chip *fv_context_chip(const fv_context *context);

#ifdef __cplusplus
}
#endif
#endif
