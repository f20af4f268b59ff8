/* Taking texts apart into words, and putting them together. */
#ifndef FOVEA_BASE_TEXT_H
#define FOVEA_BASE_TEXT_H

#include <stddef.h>

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_WORD_SIZE = 96 };

/* Copies the next blank-separated word and leaves *text behind it; "" at the end of the text. FV_BAD_INPUT if the word
 * has FV_WORD_SIZE characters or more: it is never cut. */
fv_status fv_next_word(const char **text, char word[FV_WORD_SIZE]);

/* Appends to the text in a buffer of `size` bytes, as printf would write it; what there is no room for is cut off. */
void fv_append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif
#endif
