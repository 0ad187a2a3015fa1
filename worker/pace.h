/*
 * pace.h - how many calls may be under way at one server, and when the next may leave. Pure: the
 * caller says what happened and when.
 *
 * Two limits at once. How many are under way is found out: from PACE_FIRST it doubles with every
 * window of answers until the server first refuses for load (429, 503, 529) or does not answer in
 * time; then it halves, once for all refusals of calls that left before, and grows by one per
 * window of answers (additive increase, multiplicative decrease: Chiu and Jain, 1989). A refusal
 * that says nothing remains of a minute's limit is a matter of the second limit alone: how many
 * may leave in a minute the server says itself: a bucket of PACE_BURST percent of the limit is
 * filled at the rest of the rate, so that no minute holds more requests than the limit, and it
 * never holds more than what the last reply said remains, less what left since. Where others use
 * the same account, refusals lower our share of the rate, which comes back slowly. Tokens have a
 * bucket of their own; what a call will cost is what calls have cost.
 *
 * Headers: OpenAI, "Rate limits in headers". Times are those of the loop, in milliseconds.
 */
#ifndef OFFPEAK_WORKER_PACE_H
#define OFFPEAK_WORKER_PACE_H

#include "core/http.h"
#include <stdbool.h>
#include <stdint.h>

#define PACE_FIRST 8
#define PACE_BURST 2 /* percent of a minute's limit that may leave at once */
#define PACE_MAX   1000
#define PACE_WHOLE 1000000

/* One limit per minute. The level is in units of 1/6,000,000: whole ones flow in each ms. */
struct pace_bucket {
    int64_t limit; /* a minute; 0: none is known */
    int64_t level;
};

struct pace {
    uint32_t most; /* never more calls than this */
    uint32_t slots;
    bool finding;     /* no refusal yet: slots double */
    uint32_t answers; /* in this window */
    uint64_t sent;
    uint64_t
        forgiven; /* refusals of calls up to this number have been answered by halving */
    int64_t hold_ms; /* nothing leaves before: the server said so */
    int64_t filled_ms;
    int64_t share; /* of the limits' rate that is used, PACE_WHOLE at most */
    uint64_t
        judged; /* refusals of calls up to this number have lowered it, or are no fault of
                        ours: no limit was known yet */
    struct pace_bucket requests, tokens;
    int64_t usual_tokens; /* of a call, moving average */
};

/* Of a call under way: what was true when it left. */
struct pace_ticket {
    uint64_t number;
    int64_t at_ms;
};

enum pace_end {
    PACE_ANSWERED, /* executed, whatever came of it */
    PACE_REFUSED,  /* for load, or it took too long */
    PACE_LOST      /* says nothing about load */
};

struct pace_reply {
    enum pace_end end;
    struct http_limits limits;
    int64_t hold_ms; /* refused: nothing is to leave for so long; 0 */
    int64_t tokens;  /* of an answer, in and out; 0 unknown */
};

/* `first` slots, PACE_FIRST for a server whose limits are to be found out. */
void pace_init(struct pace *p, uint32_t first, uint32_t most, int64_t now_ms);
/* 0 when a call may leave now with that many under way; else when to ask again (loop time);
 * INT64_MAX: when one of them has ended. */
int64_t pace_when(struct pace *p, uint32_t under_way, int64_t now_ms);
struct pace_ticket pace_sent(struct pace *p, int64_t now_ms);
void pace_ended(struct pace *p, const struct pace_ticket *t, const struct pace_reply *r,
                int64_t now_ms);
/* Calls worth having ready beside those under way: a window, or what the rate lets leave in a
 * second. */
uint32_t pace_ahead(const struct pace *p);

#endif
