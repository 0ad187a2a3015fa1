#include "worker/pace.h"

#include "core/attr.h"

#define MINUTE_MS    INT64_C(60000)
#define ONE          (MINUTE_MS * 100) /* one request, in the bucket's unit */
#define LIMIT_MAX    INT64_C(10000000000)
#define USUAL_WEIGHT 16 /* of the past, in the moving average */
#define SHARE_LEAST  (PACE_WHOLE / 100)
#define SHARE_CUT    8 /* a refusal takes one eighth of our share of the rate */
#define SHARE_BACK   (PACE_WHOLE / 100 / 5000) /* a ms: one percent in five seconds */

void pace_init(struct pace *p, uint32_t first, uint32_t most, int64_t now_ms)
{
    most = MAX_OF(MIN_OF(most, (uint32_t)PACE_MAX), 1u);
    *p = (struct pace){.most = most,
                       .slots = MAX_OF(MIN_OF(first, most), 1u),
                       .finding = true,
                       .hold_ms = INT64_MIN,
                       .filled_ms = now_ms,
                       .share = PACE_WHOLE};
}

/* ---- a minute's limit ---- */

static int64_t burst_of(const struct pace_bucket *b, int64_t least)
{
    return MAX_OF(b->limit * PACE_BURST / 100, least) * ONE;
}

/* What a millisecond adds, in the bucket's unit. */
static int64_t rate_of(const struct pace_bucket *b, int64_t share)
{
    return MAX_OF(b->limit * (100 - PACE_BURST) * (share / (PACE_WHOLE / 1000)) / 1000,
                  INT64_C(1));
}

static void bucket_fill(struct pace_bucket *b, int64_t share, int64_t passed_ms,
                        int64_t least)
{
    if (b->limit > 0) {
        b->level = MIN_OF(b->level + rate_of(b, share) * MIN_OF(passed_ms, MINUTE_MS),
                          burst_of(b, least));
    }
}

/* When it will hold that much. */
static int64_t bucket_when(const struct pace_bucket *b, int64_t share, int64_t need,
                           int64_t now_ms)
{
    if (b->limit == 0 || b->level >= need) {
        return 0;
    }
    int64_t rate = rate_of(b, share);
    return now_ms + (need - b->level + rate - 1) / rate;
}

/* The server's own count, as of a call after which others of `since` have left. */
static void bucket_learn(struct pace_bucket *b, const struct http_limit *l, int64_t since,
                         int64_t least)
{
    if (l->limit <= 0) {
        return;
    }
    b->limit = MIN_OF(l->limit, LIMIT_MAX);
    b->level = MIN_OF(b->level, burst_of(b, least));
    if (l->remaining >= 0) {
        b->level = MIN_OF(b->level, (MIN_OF(l->remaining, b->limit) - since) * ONE);
    }
}

/* No call counts for more than a minute holds. */
static int64_t usual_of(const struct pace *p)
{
    return MIN_OF(p->usual_tokens, p->tokens.limit);
}

static void fill(struct pace *p, int64_t now_ms)
{
    int64_t passed_ms = now_ms - p->filled_ms;
    p->share = MIN_OF(p->share + passed_ms * SHARE_BACK, (int64_t)PACE_WHOLE);
    bucket_fill(&p->requests, p->share, passed_ms, 1);
    bucket_fill(&p->tokens, p->share, passed_ms, usual_of(p));
    p->filled_ms = now_ms;
}

/* ---- leaving ---- */

int64_t pace_when(struct pace *p, uint32_t under_way, int64_t now_ms)
{
    if (under_way >= p->slots) {
        return INT64_MAX;
    }
    fill(p, now_ms);
    int64_t when = now_ms < p->hold_ms ? p->hold_ms : 0;
    when = MAX_OF(when, bucket_when(&p->requests, p->share, ONE, now_ms));
    return MAX_OF(when, bucket_when(&p->tokens, p->share, usual_of(p) * ONE, now_ms));
}

struct pace_ticket pace_sent(struct pace *p, int64_t now_ms)
{
    fill(p, now_ms);
    p->requests.level -= p->requests.limit > 0 ? ONE : 0;
    p->tokens.level -= usual_of(p) * ONE;
    p->sent++;
    if (p->requests.limit == 0 && p->tokens.limit == 0) {
        p->judged = p->sent; /* nobody had told us */
    }
    return (struct pace_ticket){.number = p->sent, .at_ms = now_ms};
}

uint32_t pace_ahead(const struct pace *p)
{
    int64_t second = p->requests.limit > 0 ? p->requests.limit / 60 + 1 : p->slots;
    return (uint32_t)MIN_OF(second, (int64_t)p->slots);
}

/* ---- what came of it ---- */

static void grow(struct pace *p)
{
    p->answers++;
    if (p->finding || p->answers >= p->slots) {
        p->answers = p->finding ? p->answers : 0;
        p->slots = MIN_OF(p->slots + 1, p->most);
    }
}

/* A refusal by a limit of the minute: load is no matter, our share of the rate is. */
static bool is_by_rate(const struct pace_reply *r)
{
    const struct http_limits *l = &r->limits;
    return l->requests.remaining == 0 || l->tokens.remaining == 0;
}

static void refused(struct pace *p, const struct pace_ticket *t,
                    const struct pace_reply *r, int64_t now_ms)
{
    bool by_rate = is_by_rate(r);
    uint64_t *until = by_rate ? &p->judged : &p->forgiven;
    if (r->hold_ms > 0) {
        p->hold_ms = MAX_OF(p->hold_ms, now_ms + r->hold_ms);
    }
    if (t->number <= *until) {
        return;
    }
    *until = p->sent;
    if (by_rate) {
        p->share = MAX_OF(p->share - p->share / SHARE_CUT, (int64_t)SHARE_LEAST);
    } else {
        p->slots = MAX_OF(p->slots / 2, 1u);
        p->finding = false;
        p->answers = 0;
    }
}

static void learn(struct pace *p, const struct pace_ticket *t, const struct pace_reply *r)
{
    int64_t since = (int64_t)(p->sent - t->number);
    if (r->tokens > 0) {
        int64_t tokens = MIN_OF(r->tokens, LIMIT_MAX), usual = p->usual_tokens;
        p->usual_tokens = usual == 0 ? tokens : usual + (tokens - usual) / USUAL_WEIGHT;
    }
    bucket_learn(&p->requests, &r->limits.requests, since, 1);
    since = MIN_OF(since * usual_of(p), LIMIT_MAX);
    bucket_learn(&p->tokens, &r->limits.tokens, since, usual_of(p));
}

void pace_ended(struct pace *p, const struct pace_ticket *t, const struct pace_reply *r,
                int64_t now_ms)
{
    fill(p, now_ms);
    learn(p, t, r);
    switch (r->end) {
    case PACE_ANSWERED: grow(p); return;
    case PACE_REFUSED: refused(p, t, r, now_ms); return;
    case PACE_LOST: return;
    }
}
