/* A price book for tests: model "m", everything one dollar per million tokens, so that a token
 * costs a micro-dollar and sums can be checked in the head. */
#ifndef OFFPEAK_TESTS_LIB_BOOK_H
#define OFFPEAK_TESTS_LIB_BOOK_H

#define TEST_BOOK_UNIT "{\"input\":\"1\",\"cache_read\":\"1\",\"output\":\"1\"}"
#define TEST_BOOK                                                                        \
    "{\"schema\":\"offpeak.price-book/1\",\"date\":\"2026-01-01\",\"currency\":\"USD\"," \
    "\"unit\":\"per 1,000,000 tokens\",\"rows\":[{\"provider\":\"openai\","              \
    "\"model\":\"m\",\"effective_from\":\"2026-01-01\",\"context_tokens\":100000,"       \
    "\"max_output_tokens\":1000,\"cache_min_tokens\":1024,\"source\":\"made up\","       \
    "\"tiers\":[{\"min_prompt_tokens\":0,\"standard\":" TEST_BOOK_UNIT                   \
    ",\"batch\":" TEST_BOOK_UNIT "}]}]}"

#endif
