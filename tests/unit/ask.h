/*
 * ask.h - requests for the tests of core/prompt.h. Include it behind cmocka.h.
 */
#ifndef OFFPEAK_TESTS_UNIT_ASK_H
#define OFFPEAK_TESTS_UNIT_ASK_H

#include "core/jtext.h"
#include "core/prompt.h"

static inline struct prompt read_for(enum prompt_path path, struct span body,
                                     enum prompt_level level)
{
    struct prompt p;
    struct err err = {0};
    char *copy = malloc(body.n); /* of exactly that size: reading past it is seen */
    assert_non_null(copy);
    memcpy(copy, body.p, body.n);
    body.p = copy;
    if (jtext_check(body, &err) < 0 || prompt_read(path, body, level, &p, &err) < 0) {
        fail_msg("%.*s: %s", (int)MIN_OF(body.n, (size_t)300), body.p, err.msg);
    }
    free(copy);
    return p;
}

static inline struct prompt read_at(struct span body, enum prompt_level level)
{
    return read_for(PROMPT_CHAT, body, level);
}

static inline struct prompt read_prompt(const char *body)
{
    return read_at(span_str(body), PROMPT_L1);
}

static inline bool same(struct digest a, struct digest b)
{
    return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

/* A body around one user message, or around settings. */
#define ASK(content) \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define WITH(settings) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]," settings "}"
#define BARE           "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}"

#endif
