#include <errno.h>
#include <fovea/data.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "data/idx.h"

void fv_dataset_release(fv_dataset *dataset) {
    free(dataset->images);
    free(dataset->labels);
    memset(dataset, 0, sizeof *dataset);
}

static fv_status check_labels(const char *path, const fv_dataset *dataset) {
    for (int64_t i = 0; i < dataset->count; ++i)
        if (dataset->labels[i] >= dataset->classes)
            return fv_fail(FV_BAD_INPUT, "%s: label at index %lld is %d, expected less than %lld", path, (long long)i,
                           dataset->labels[i], (long long)dataset->classes);
    return FV_OK;
}

static fv_status read_pair(const char *images_path, const char *labels_path, fv_dataset *dataset) {
    fv_idx images, labels;
    FV_TRY(fv_idx_read(images_path, 3, &images));
    dataset->images = images.data;
    dataset->count = images.dim[0];
    dataset->height = images.dim[1];
    dataset->width = images.dim[2];
    dataset->channels = 1;
    FV_TRY(fv_idx_read(labels_path, 1, &labels));
    dataset->labels = labels.data;
    if (labels.dim[0] != dataset->count)
        return fv_fail(FV_BAD_INPUT, "%s: %lld labels, expected %lld, one for each image in %s", labels_path,
                       (long long)labels.dim[0], (long long)dataset->count, images_path);
    return check_labels(labels_path, dataset);
}

fv_status fv_dataset_read_idx(const char *images_path, const char *labels_path, int64_t classes, fv_dataset *dataset) {
    memset(dataset, 0, sizeof *dataset);
    if (classes < 1 || classes > 256)
        return fv_fail(FV_BAD_INPUT, "data set: classes=%lld, expected 1 to 256 (labels are bytes)",
                       (long long)classes);
    dataset->classes = classes;
    const fv_status status = read_pair(images_path, labels_path, dataset);
    if (status != FV_OK)
        fv_dataset_release(dataset);
    return status;
}

/* Anything but a plain absence counts as there, so that opening it gives the reason. */
static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Finds name or name.gz in the folder; *path is from malloc. */
static fv_status find_mnist_file(const char *folder, const char *name, char **path) {
    const size_t size = strlen(folder) + strlen(name) + sizeof "/.gz";
    *path = malloc(size);
    if (!*path)
        return fv_fail(FV_NO_MEMORY, "%s: no memory for a path", folder);
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; ++i) {
        snprintf(*path, size, "%s/%s%s", folder, name, endings[i]);
        if (exists(*path))
            return FV_OK;
    }
    free(*path);
    *path = NULL;
    const bool there = exists(folder);
    return fv_fail(FV_BAD_INPUT,
                   "%s: no %s%s: expected a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                   "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with or without .gz",
                   folder, there ? name : "such folder", there ? " in it" : "");
}

fv_status fv_dataset_read_mnist(const char *folder, fv_split split, fv_dataset *dataset) {
    static const char *const image_names[] = {
        [FV_TRAIN] = "train-images-idx3-ubyte", [FV_TEST] = "t10k-images-idx3-ubyte"};
    static const char *const label_names[] = {
        [FV_TRAIN] = "train-labels-idx1-ubyte", [FV_TEST] = "t10k-labels-idx1-ubyte"};
    memset(dataset, 0, sizeof *dataset);
    char *images = NULL, *labels = NULL;
    fv_status status = FV_OK;
    FV_TRY_GOTO(status, find_mnist_file(folder, image_names[split], &images), done);
    FV_TRY_GOTO(status, find_mnist_file(folder, label_names[split], &labels), done);
    status = fv_dataset_read_idx(images, labels, 10, dataset);
done:
    free(images);
    free(labels);
    return status;
}
