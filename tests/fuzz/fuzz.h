/*
 * fuzz.h - what a fuzz target is: one function that is handed bytes and must not stop.
 *
 * A target aborts when a promise does not hold; the sanitizers do the rest. scripts/fuzz builds
 * each as a libFuzzer program and runs it (docs/FUZZING.md). Otherwise replay.c runs it over its
 * corpus and over mutations of it that are the same on every run; that is what `ctest -L fuzz`
 * does. An input that once broke something is kept as a file of the corpus, named after what it
 * broke.
 *
 * A target for several parsers of a kind reads its first byte to choose one.
 */
#ifndef OFFPEAK_TESTS_FUZZ_FUZZ_H
#define OFFPEAK_TESTS_FUZZ_FUZZ_H

#include "core/buf.h"
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Like assert, in every build. */
#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

/* Cuts the first n bytes off, or what there is. */
static inline struct span fuzz_take(struct span *from, size_t n)
{
    struct span taken = span_of(from->p, MIN_OF(n, from->n));
    *from = span_of(from->p + taken.n, from->n - taken.n);
    return taken;
}

/* A number of so many bytes, big endian; 0 when nothing is left. */
static inline unsigned fuzz_number(struct span *from, size_t n)
{
    struct span taken = fuzz_take(from, n);
    unsigned number = 0;
    for (size_t i = 0; i < taken.n; i++) {
        number = number << 8 | (unsigned char)taken.p[i];
    }
    return number;
}

/* As text up to a NUL, cut to fit. */
static inline const char *fuzz_text(struct span s, char *ret, size_t size)
{
    size_t n = MIN_OF(s.n, size - 1);
    if (n) {
        memcpy(ret, s.p, n);
    }
    ret[n] = '\0';
    return ret;
}

static inline bool fuzz_within(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

#endif
