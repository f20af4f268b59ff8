/* How often random cases meet the corners that they are for. */
#ifndef FOVEA_TESTS_TALLY_H
#define FOVEA_TESTS_TALLY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How often each corner was met, in the order in which they are noted for every operation. */
typedef struct tally {
    int next;
    struct {
        const char *name, *where;
        int least, met;
    } corner[80];
} tally;

static inline void note_at(tally *t, const char *name, const char *where, int least, bool met) {
    assert_in_range(t->next, 0, 79);
    t->corner[t->next].name = name;
    t->corner[t->next].where = where;
    t->corner[t->next].least = least;
    t->corner[t->next++].met += met;
}

static inline void note(tally *t, const char *name, int least, bool met) {
    note_at(t, name, "", least, met);
}

static inline void require_all(const tally *t) {
    assert_true(t->next > 0);
    for (int i = 0; i < t->next; ++i)
        if (t->corner[i].met < t->corner[i].least)
            print_error("%s%s: %d cases, expected at least %d\n", t->corner[i].name, t->corner[i].where,
                        t->corner[i].met, t->corner[i].least);
    for (int i = 0; i < t->next; ++i)
        assert_true(t->corner[i].met >= t->corner[i].least);
}

#endif
