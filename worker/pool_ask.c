#include "worker/pool_ask.h"

#include "core/attr.h"
#include "core/jtext.h"

/* The content of the last message, however its path calls them; raw. */
static struct span last_message(struct span body)
{
    static const char *const names[] = {"messages", "input"};
    struct span all = {0}, last, content;
    for (size_t i = 0; i < ARRAY_LEN(names) && !jtext_get(body, names[i], &all); i++) {
    }
    last = all;
    if (jtext_type(all) == JTEXT_ARRAY) {
        for (size_t at = 0; jtext_next(all, &at, NULL, &last);) {
        }
    }
    if (jtext_type(last) == JTEXT_OBJECT && jtext_get(last, "content", &content)) {
        last = content;
    }
    return last;
}

struct pool_ask pool_ask_of(struct span body)
{
    struct pool_ask ask = {0};
    struct span s = last_message(body);
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a: groups likes, proves nothing */
    size_t at = 0, end = POOL_ASK_FIRST;
    for (unsigned i = 0; i < POOL_ASK_LINKS && s.n > 0; i++, end *= POOL_ASK_STEP) {
        for (; at < MIN_OF(end, s.n); at++) {
            hash = (hash ^ (uint8_t)s.p[at]) * UINT32_C(16777619);
        }
        ask.links[i] = hash;
    }
    return ask;
}
