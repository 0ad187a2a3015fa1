/* answer.h - what must hold for every answer that was read. */
#ifndef OFFPEAK_TESTS_FUZZ_ANSWER_H
#define OFFPEAK_TESTS_FUZZ_ANSWER_H

#include "tests/fuzz/fuzz.h"
#include "worker/openai.h"

static inline void check_answer(const struct answer *a, bool answered)
{
    MUST(a->vectors <= OPENAI_INPUTS_MAX);
    MUST(!a->complete || answered);
    if (a->usage_known) {
        const struct usage *u = &a->usage;
        MUST(u->cache_read + u->cache_write <= u->input && u->reasoning <= u->output);
        MUST(u->input <= OPENAI_TOKENS_MAX && u->output <= OPENAI_TOKENS_MAX);
    }
}

#endif
