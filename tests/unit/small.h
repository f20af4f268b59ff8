/* A task that a small network learns at once: is the bright half on the left or on the right? With a model on the
 * reference backend. small_set_up and small_tear_down are the setup and teardown of a cmocka test. */
#ifndef FOVEA_TESTS_UNIT_SMALL_H
#define FOVEA_TESTS_UNIT_SMALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fovea/fovea.h>

static const char small_network[] = "input 6x6x1\nconv 3 3x3 pad=same\nrelu\nmaxpool 2x2\nlinear 2\n";

static inline fv_dataset small_halves(int64_t count) {
    fv_dataset data = {.count = count, .height = 6, .width = 6, .channels = 1, .classes = 2};
    data.images = calloc((size_t)count, 36);
    data.labels = calloc((size_t)count, 1);
    assert_true(data.images && data.labels);
    for (int64_t i = 0; i < count; ++i) {
        data.labels[i] = (uint8_t)(i % 2);
        for (int64_t p = 0; p < 36; ++p)
            data.images[i * 36 + p] =
                (uint8_t)((p % 6 < 3) == (data.labels[i] == 0) ? 120 + (i * 31 + p * 7) % 100 : (i + p) % 50);
    }
    return data;
}

typedef struct small {
    fv_context *context;
    fv_network *network;
    fv_model *model;
    fv_dataset data; /* 50 images */
} small;

static inline int small_set_up(void **state) {
    small *s = calloc(1, sizeof *s);
    *state = s;
    s->data = small_halves(50);
    return fv_context_create("reference", NULL, &s->context) || fv_network_parse(small_network, &s->network) ||
           fv_model_create(s->context, s->network, 3, &s->model);
}

static inline int small_tear_down(void **state) {
    small *s = *state;
    fv_model_destroy(s->model);
    fv_network_destroy(s->network);
    fv_context_destroy(s->context);
    fv_dataset_release(&s->data);
    free(s);
    return 0;
}

#endif
