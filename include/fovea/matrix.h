/* The matrix of a convolution: as a linear map of one image, y = A x (+ b).
 *
 * Row (p*Q + q)*K + k is an element of y, column (h*W + w)*C + c one of x, both as they lie in memory. Each entry is a
 * weight: with shared weights the matrix is Toeplitz by blocks (for one channel and h = 1, Toeplitz: the same weight
 * all along a diagonal), with unshared ones every entry has its own. For n images the matrix stands n times along the
 * diagonal.
 */
#ifndef FOVEA_MATRIX_H
#define FOVEA_MATRIX_H

#include <stdbool.h>

#include <fovea/operations.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_matrix_size {
    int64_t rows, columns;
    int64_t entries; /* those that are not structurally zero */
    int64_t weights; /* elements of w */
} fv_matrix_size;

/* One entry; `weight` is the index in w. Returning false ends the visit. */
typedef bool fv_matrix_visitor(void *user, int64_t row, int64_t column, int64_t weight);

/* conv2d, conv2d_transposed and conv2d_unshared have a matrix; other operations are FV_UNSUPPORTED, and so are images
 * or outputs of more than 2^31-1 elements. */
FV_API fv_status fv_matrix_measure(const fv_operation *operation, fv_matrix_size *size);

/* Visits the entries row by row, by growing column within a row. */
FV_API fv_status fv_matrix_visit(const fv_operation *operation, fv_matrix_visitor *visit, void *user);

#ifdef __cplusplus
}
#endif
#endif
