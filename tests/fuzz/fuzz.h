/*
 * fuzz.h - what a fuzz target is: one function that is handed bytes and must not stop.
 *
 * A target aborts when a promise does not hold; the sanitizers do the rest. With clang
 * (-DOFFPEAK_FUZZ=ON) each is a libFuzzer program:
 *
 *     build-fuzz/tests/bin/fuzz_jtext -max_len=65536 tests/fuzz/corpus/jtext
 *
 * Otherwise replay.c runs it over its corpus and over mutations of it that are the same on
 * every run; that is what `ctest -L fuzz` does. An input that once broke something is kept as
 * a file of the corpus, named after what it broke.
 */
#ifndef OFFPEAK_TESTS_FUZZ_FUZZ_H
#define OFFPEAK_TESTS_FUZZ_FUZZ_H

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

#endif
