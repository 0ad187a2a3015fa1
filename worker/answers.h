/*
 * answers.h - the rows of table `answers`: what was paid for once and may be reused.
 *
 * Key: the 32 raw bytes of the cache key. Value: one JSON object, the response body last, so
 * that everything else is read without touching it:
 *
 *   {"v":1,"stored_ms":N,"expires_ms":N,"run":"feature/run","model":"asked","model_used":"...",
 *    "request_id":"...","prices":"2026-11-21#a1b2c3d4","usage":{...}|null,"body":{...}}
 *
 * settle stores a row in the commit of the result it belongs to; intake looks it up. A row
 * whose time is over does not count, even while it is still there; worker/tidy.h deletes it
 * later. Nothing is written on a hit.
 */
#ifndef OFFPEAK_WORKER_ANSWERS_H
#define OFFPEAK_WORKER_ANSWERS_H

#include "core/err.h"
#include "core/record.h"

/* A larger body is not stored: two copies of it (result and answer) share one transaction. */
#define ANSWER_BODY_MAX ((size_t)3 << 20)

struct stored_answer {
    int64_t stored_ms, expires_ms;
    char run[FEATURE_MAX + RUN_MAX + 2]; /* feature/run that paid for it */
    char model[PROMPT_MODEL_MAX + 1], model_used[PROMPT_MODEL_MAX + 1];
    char request_id[64];
    char prices[PRICES_VERSION_MAX];
    bool usage_known;
    struct usage usage;
    struct span body; /* raw JSON; borrowed from the row */
};

/* Which stored answers count for a job. */
struct answer_want {
    int64_t now_ms;   /* rows that expire by then do not count; INT64_MIN: any age */
    int64_t fresh_ms; /* rows stored before do not count; INT64_MIN: all do */
};

int answer_encode(const struct stored_answer *a, struct buf *json);
/* -1 when it is not a row this version can read: then it is no answer. */
int answer_decode(struct span json, struct stored_answer *ret);
bool answer_counts(const struct stored_answer *a, const struct answer_want *want);
/* `partition` is that of the `ready` records it answers. 1 found, 0 none that counts; the body is the cursor's until its next call. */
int answer_get(struct queue_cursor *c, uint32_t partition, const struct digest *key,
               const struct answer_want *want, struct stored_answer *ret,
               struct err *err);

#endif
