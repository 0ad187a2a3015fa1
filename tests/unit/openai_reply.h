/* openai_reply.h - a reply of OpenAI's, and what the driver makes of it. */
#ifndef OFFPEAK_TESTS_UNIT_OPENAI_REPLY_H
#define OFFPEAK_TESTS_UNIT_OPENAI_REPLY_H

#include "worker/openai.h"

static const struct provider *const openai = &provider_openai;

static inline struct http_resp reply(int status, const char *body)
{
    return (struct http_resp){
        .status = status, .body = span_str(body), .retry_after_ms = -1};
}

/* The verdict on a reply; err and r tell more. */
static inline enum step fed(enum ask ask, int status, const char *body, struct remote *r,
                            struct err *e)
{
    struct http_resp resp = reply(status, body);
    *r = (struct remote){.go = 0};
    *e = (struct err){.code = 0};
    return openai->feed(ask, &resp, r, e);
}

#endif
