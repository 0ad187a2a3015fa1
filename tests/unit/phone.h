/*
 * phone.h - a provider that answers calls one by one, in memory: the twin of core/http.c.
 *
 * It answers {"q":"..."} with "answer to ...", 100 prompt and 10 output tokens, after latency_ms
 * of loop time, unless a rule for that question says otherwise. It counts what it executed, so
 * what it would bill.
 */
#ifndef OFFPEAK_TESTS_UNIT_PHONE_H
#define OFFPEAK_TESTS_UNIT_PHONE_H

#include "core/http.h"
#include "core/loop.h"

#define PHONE_RULES_MAX 16
#define PHONE_LOG_MAX   4096

enum phone_do {
    PHONE_ANSWERS,
    PHONE_STATUS,      /* refuses with `status` and `code` */
    PHONE_LOSE_BEFORE, /* the request never arrives; the caller cannot know */
    PHONE_LOSE_AFTER,  /* executed, and the reply is lost */
    PHONE_UNSENT,      /* nobody there */
    PHONE_BODY,        /* executed; a 2xx reply with this body */
    PHONE_SILENT,      /* no reply until the caller's limit */
};

struct phone_rule {
    const char *question; /* how it begins; NULL: any */
    const char *host;     /* of that server only, NULL: of any */
    enum phone_do what;
    int times; /* 0 once, -1 for ever */
    int status;
    const char *code; /* of the error object; "page": no JSON at all */
    int64_t retry_after_ms;
    const char *body;
    int64_t latency_ms; /* 0: the phone's */
};

struct phone {
    struct http http; /* first */
    struct loop *loop;
    int64_t latency_ms;
    struct phone_rule rules[PHONE_RULES_MAX];
    unsigned rules_len;
    unsigned probes; /* requests to /health */
    unsigned asked, executed, under_way, most_under_way;
    char log[PHONE_LOG_MAX][24]; /* questions executed, in order */
    int64_t asked_ms;            /* when last */
    char url[200];               /* of the last request */
    struct http_limits limits;
    void (*on_ask)(void *ctx, const char *question); /* while it stands at the door */
    void *ctx;
    struct phone_ask *asks;
};

void phone_open(struct phone *p, struct loop *loop);
void phone_close(struct phone *p);
void phone_rule(struct phone *p, struct phone_rule rule);
unsigned phone_executed(const struct phone *p, const char *question);

#endif
