/* Labelled image sets. */
#ifndef FOVEA_DATA_H
#define FOVEA_DATA_H

#include <stdint.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* count images of height*width*channels bytes (NHWC) with a label below `classes` each. */
typedef struct fv_dataset {
    int64_t count, height, width, channels, classes;
    uint8_t *images;
    uint8_t *labels;
} fv_dataset;

/* Reads a pair of IDX files (LeCun's format; rank-3 unsigned-byte images, rank-1 unsigned-byte labels), raw or gzip
 * whatever their names say. Labels must be below `classes`. FV_BAD_INPUT names the file, the fact and the expectation;
 * FV_IO is the system's refusal. On success, release with fv_dataset_release. */
FV_API fv_status fv_dataset_read_idx(const char *images_path, const char *labels_path, int64_t classes,
                                     fv_dataset *dataset);

typedef enum fv_split { FV_TRAIN, FV_TEST } fv_split;

/* Reads MNIST's (or a look-alike's) files from a folder by their usual names, with or without .gz:
 * train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. Ten classes. */
FV_API fv_status fv_dataset_read_mnist(const char *folder, fv_split split, fv_dataset *dataset);

/* Frees the arrays and zeroes the struct; a zeroed struct is fine. */
FV_API void fv_dataset_release(fv_dataset *dataset);

#ifdef __cplusplus
}
#endif
#endif
