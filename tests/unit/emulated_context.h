/* What the tests of the emulator share: kernels in C++ under cmocka, and contexts of each thread order. */
#ifndef FOVEA_TESTS_EMULATED_CONTEXT_H
#define FOVEA_TESTS_EMULATED_CONTEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#include "kernel.cuh"

/* The first ORDERS of them are fixed. */
constexpr int FORWARD = 0, REVERSE = 1, RANDOM = 2, VARIED = 3, ORDERS = 3;

inline fv_context *open_emulator(int order, uint64_t seed = 1) {
    fv_context_options options = {};
    options.thread_order = static_cast<fv_thread_order>(order);
    options.seed = seed;
    fv_context *context = nullptr;
    assert_int_equal(fv_context_create("emulated", &options, &context), FV_OK);
    return context;
}

inline void assert_message_has(const char *part) {
    if (!strstr(fv_error_message(), part))
        fail_msg("the message \"%s\" lacks \"%s\"", fv_error_message(), part);
}

#endif
