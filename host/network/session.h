/* A network compiled for one batch size: a list of prepared calls on memory laid out once. Running it allocates nothing of its
 * own.
 *
 * Memory plan: everything lies in one arena. Training keeps every activation for the way back and lets the gradients
 * take turns in two buffers; inference lets the activations take turns too.
 */
#ifndef FOVEA_NETWORK_SESSION_H
#define FOVEA_NETWORK_SESSION_H

#include "backends/kernel.h"
#include "network/network.h"

/* Images in the context's memory. */
typedef struct fv_device_dataset {
    fv_context *context;
    int64_t count, elements;
    uint8_t *images; /* [count, elements] */
    uint8_t *labels; /* [count] */
} fv_device_dataset;

/* labels may be NULL: they are zeros then. */
fv_status fv_device_dataset_create(fv_context *context, const uint8_t *images, const uint8_t *labels, int64_t count,
                                   int64_t elements, fv_device_dataset *data);
void fv_device_dataset_release(fv_device_dataset *data);

/* What the update needs; all pointers into the context's memory, parameter_end elements each. */
typedef struct fv_optimizer_state {
    fv_operation op; /* sgd or adam */
    float *gradients, *m, *v;
} fv_optimizer_state;

typedef struct fv_session fv_session;

/* A session for batches of n images out of a data set of `items`. optimizer NULL: inference only. Model and optimizer
 * state must outlive it. */
fv_status fv_session_create(fv_model *model, int64_t n, int64_t items, const fv_optimizer_state *optimizer,
                            fv_session **session);
void fv_session_destroy(fv_session *session);
int64_t fv_session_batch(const fv_session *session);
int64_t fv_session_items(const fv_session *session);

/* One step's tensors, all in the context's memory. */
typedef struct fv_step {
    const fv_device_dataset *data;
    int32_t *order;     /* [n] which images */
    float *loss;        /* [n] out */
    int32_t *predicted; /* [n] out */
    float *rate;        /* [3]; training only, see fv_sgd */
} fv_step;

/* Queues a forward pass and, when training, the backward pass and the update. */
fv_status fv_session_run(fv_session *session, const fv_step *step);

/* After fv_session_run: the class probabilities [n, classes], in the context's memory. */
const float *fv_session_probabilities(const fv_session *session);

#endif
