/* Training a model. */
#ifndef FOVEA_TRAINING_H
#define FOVEA_TRAINING_H

#include <fovea/data.h>
#include <fovea/network.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_optimizer { FV_OPTIMIZER_ADAM, FV_OPTIMIZER_SGD } fv_optimizer;

/* One epoch, completed or stopped. Train loss and accuracy are running figures: each batch before its own update. */
typedef struct fv_epoch {
    int64_t epoch;         /* from 1 */
    int64_t steps;         /* optimizer steps so far, over all epochs */
    double loss;           /* mean cross-entropy over the images trained on in this epoch */
    double train_accuracy; /* fraction */
    double test_accuracy;  /* fraction; NaN without a test set */
    int64_t test_correct, test_count;
    double seconds; /* training time of this epoch, without evaluation */
    double images_per_second;
} fv_epoch;

typedef struct fv_training_options {
    int64_t epochs;
    int64_t batch;
    fv_optimizer optimizer;
    double peak_rate;    /* one-cycle schedule (Smith and Topin 2018): warm up to this learning rate, anneal to ~0 */
    double beta1, beta2; /* Adam; beta1 is SGD's momentum */
    double weight_decay; /* on weights, not on biases */
    uint64_t seed;       /* of the shuffling */
    /* Called after each step with steps done (on a GPU: queued) and steps in all; return nonzero to stop early, keeping what was
     * learned. */
    int (*on_step)(void *user, int64_t step, int64_t steps);
    void (*on_epoch)(void *user, const fv_epoch *epoch);
    void *user;
} fv_training_options;

/* The recipe of the default digits network: 1 epoch, batch 256, Adam (0.7, 0.9), one-cycle to 0.01, seed 1. */
FV_API fv_training_options fv_training_defaults(void);

typedef struct fv_training_result {
    int64_t epochs, steps; /* completed */
    int stopped;           /* 1: on_step asked to stop */
    double seconds;        /* training time without evaluation */
    double test_accuracy;  /* after the last step; NaN without a test set */
    int64_t test_correct, test_count;
} fv_training_result;

/* Trains in place. test may be NULL. The same model, data, options, backend and thread count give the same bits.
 * A loss that is not finite stops with FV_MISMATCH and names the step, and so does a parameter. */
FV_API fv_status fv_train(fv_model *model, const fv_dataset *train, const fv_dataset *test,
                          const fv_training_options *options, fv_training_result *result);

/* Counts the images of a set that the model classifies correctly. */
FV_API fv_status fv_evaluate(fv_model *model, const fv_dataset *dataset, int64_t *correct);

#ifdef __cplusplus
}
#endif
#endif
