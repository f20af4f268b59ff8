#include <fovea/fold.h>

#include <inttypes.h>
#include <math.h>

#include "base/error.h"

static fv_status validate(const fv_conv2d *conv, const fv_batchnorm_parameters *batchnorm) {
    const fv_operation op = {.kind = FV_CONV2D, .conv2d = *conv};
    FV_TRY(fv_operation_validate(&op));
    if (!(batchnorm->epsilon > 0))
        return fv_fail(FV_BAD_INPUT, "fold: epsilon=%g must be above 0", batchnorm->epsilon);
    for (int64_t k = 0; k < conv->k; ++k)
        if (!(batchnorm->variance[k] >= 0))
            return fv_fail(FV_BAD_INPUT, "fold: variance[%" PRId64 "]=%g must be at least 0", k,
                           (double)batchnorm->variance[k]);
    return FV_OK;
}

fv_status fv_fold_batchnorm(const fv_conv2d *conv, const float *w, const float *b,
                            const fv_batchnorm_parameters *batchnorm, float *w_out, float *b_out) {
    FV_TRY(validate(conv, batchnorm));
    const int64_t filter = conv->r * conv->s * (conv->c / conv->groups);
    for (int64_t k = 0; k < conv->k; ++k) {
        const double scale = batchnorm->gamma[k] / sqrt(batchnorm->variance[k] + batchnorm->epsilon);
        for (int64_t i = k * filter; i < (k + 1) * filter; ++i)
            w_out[i] = (float)(w[i] * scale);
        b_out[k] = (float)(((b ? b[k] : 0.0) - batchnorm->mean[k]) * scale + batchnorm->beta[k]);
    }
    return FV_OK;
}
