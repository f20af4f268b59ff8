/* Words of a text. */
#ifndef FOVEA_BASE_TEXT_H
#define FOVEA_BASE_TEXT_H

#include <fovea/status.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_WORD_SIZE = 96 };

/* Copies the next blank-separated word and leaves *text behind it; "" at the end of the text. FV_BAD_INPUT if the word
 * has FV_WORD_SIZE characters or more: it is never cut. */
fv_status fv_next_word(const char **text, char word[FV_WORD_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
