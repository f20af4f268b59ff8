/* Networks from the inside; see include/fovea/network.h. */
#ifndef FOVEA_NETWORK_NETWORK_H
#define FOVEA_NETWORK_NETWORK_H

#include <fovea/network.h>

/* One tensor of parameters. Parameters lie in one array: first all weights, then all biases, each tensor starting at a
 * multiple of FV_PARAMETER_ALIGN elements (the gaps stay zero), so that one update call serves the whole network. */
typedef struct fv_parameter {
    char name[40]; /* such as "conv1.weight" */
    fv_shape shape;
    int64_t offset, elements;
    int64_t fan_in; /* inputs summed into one output: sets the scale of the initial values */
} fv_parameter;

enum { FV_PARAMETER_ALIGN = 64 };

typedef struct fv_layer {
    char name[24];    /* such as "conv1"; numbered by kind */
    int line;         /* of the text */
    fv_operation op;  /* for a batch of one */
    fv_shape output;  /* of one image: [h,w,c] or [features] */
    int weight, bias; /* indices into parameters; -1: none */
} fv_layer;

struct fv_network {
    char *text;
    fv_shape input; /* [h,w,c] */
    double scale, shift;
    fv_layer *layers;
    int layer_count;
    fv_parameter *parameters;
    int parameter_count;
    int64_t weights_end;   /* elements up to which weight decay applies */
    int64_t parameter_end; /* length of the parameter array in elements, gaps included */
};

/* The layer's operation for a batch of n. */
fv_operation fv_layer_operation(const fv_layer *layer, int64_t n);

struct fv_session;

struct fv_model {
    fv_context *context;
    fv_network *network;
    float *parameters;            /* in the context's memory, parameter_end elements */
    struct fv_session *inference; /* kept from one prediction to the next; NULL at first */
};

/* Copies the parameters between the model and host memory of parameter_end floats. */
fv_status fv_model_get_parameters(const fv_model *model, float *parameters);
fv_status fv_model_set_parameters(fv_model *model, const float *parameters);

#endif
