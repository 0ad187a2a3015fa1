/*
 * settle.h - the only code that writes results, dead letters and charges.
 *
 * Everything a job's end needs goes into one commit: its result, its spend record, its ack, and
 * (for a paid answer that may be reused) the stored answer. Work is cut into slices of 4,000
 * records or 4 MiB, or of 330 jobs when nothing is in flight; one commit is in flight at a time,
 * and the next slice grows meanwhile. When settle_room says no, the caller stops feeding (collect
 * stops reading its file, intake stops asking for messages) until the on_room callback. One call
 * after a yes is always accepted, whatever its size; records are built during the call, so spans
 * may die after it.
 *
 * Joiners follow their leader: once the leader's slice is committed they are settled as hits
 * of the stored answer, in slices of their own. When the answer may not be reused (refused,
 * truncated, filtered, not reusable by the job's own word) each joiner is handed back through
 * on_replan as a call of its own; a deterministic refusal (4xx) ends them all alike.
 *
 * A result that does not fit into the store ends its own job as failed, with its charge; its
 * neighbours never notice. A team whose topics refuse stands alone: its ends are held here (16 MiB;
 * what is more is let go, for the next owner to find), on_refused tells it, and settle_again, called
 * when the queue has news, commits them once the topics take them. The settle_ functions return 0, or -1 when the process must stop:
 * then on_failed has been called, once, with what happened.
 */
#ifndef OFFPEAK_WORKER_SETTLE_H
#define OFFPEAK_WORKER_SETTLE_H

#include "core/err.h"
#include "core/record.h"
#include "worker/answers.h"
#include "worker/call.h"

struct settle;
struct queue;
struct queue_tx;
struct queue_feed;
struct loop;

/* One decoded answer of a provider. Spans are borrowed during the call of settle_*. */
struct answer {
    int http_status;   /* 200, or that of a failed line; 0: the line has no response */
    struct span body;  /* raw JSON of response.body; empty when there is none */
    struct span error; /* raw JSON of the error object, for failed lines */
    char request_id[64];
    char model_used[PROMPT_MODEL_MAX + 1];
    bool usage_known;
    struct usage usage;
    bool complete;    /* nothing cut off, filtered or refused: may be reused */
    uint32_t vectors; /* of embeddings: how many it holds */
};

/* Where the answer came from, for the spend record. */
struct origin {
    const char *batch;   /* provider's batch id */
    const char *account; /* fingerprint; NULL: the one settle was made for */
};

struct settle_conf {
    struct queue *queue;
    struct queue_feed *feed; /* of `ready` */
    struct loop *loop;
    struct call_table *calls;
    const struct price_book *prices;
    const char *provider;                 /* "openai" */
    const char *account;                  /* fingerprint */
    const struct price_book *pool_prices; /* of lane pool, or NULL */
    const char *pool_account;             /* who is asked there */
    int64_t cache_ttl_ms;
    void (*on_room)(void *ctx);
    /* The leader's records are committed; the call is freed after this, or when its joiners
     * are settled. batch and index are as the lane left them. */
    void (*on_committed)(void *ctx, struct call *c);
    /* A joiner that must be asked on its own. */
    void (*on_replan)(void *ctx, struct call *c);
    /* A team's topics refuse; `gone`: something had to be let go, and only a worker that is made anew
     * finds it. why may be NULL, when it was said before. */
    void (*on_refused)(void *ctx, const char *team, const struct err *why, bool gone);
    /* A commit failed: the process must stop. */
    void (*on_failed)(void *ctx, const struct err *err);
    void *ctx;
};

/* Jobs settled since the start. */
struct settle_counts {
    uint64_t paid, hits, joined, failed, rejected, cancelled;
};

int settle_create(struct settle **ret, const struct settle_conf *conf, struct err *err);
struct settle *settle_destroy(struct settle *s);
bool settle_room(const struct settle *s);
/* Nothing waiting, nothing in flight; what is held does not count. */
bool settle_idle(const struct settle *s);
void settle_again(struct settle *s);
bool settle_holds(const struct settle *s, const char *team);
/* A call that was not made yet: its team could not get the answer. */
bool settle_refuses(struct settle *s, const struct call *c);
uint32_t settle_held(const struct settle *s, enum lane lane); /* calls, held or let go */
void settle_counts(const struct settle *s, struct settle_counts *ret);

/* The call is settle's from here on (CALL_SETTLING); it frees it after the last job. */
int settle_answer(struct settle *s, struct call *c, const struct answer *a,
                  const struct origin *o);
/* Failed for good. deterministic: the same request would fail again, so joiners end alike;
 * else joiners are replanned. */
int settle_failed(struct settle *s, struct call *c, const struct answer *a,
                  const struct origin *o, bool deterministic);
/* It may have been billed and no answer will come: booked at its bound, job ends failed. */
int settle_in_doubt(struct settle *s, struct call *c, const char *why,
                    const struct origin *o);

/* The same of a try after which the call is made again: on `tx`, with what the lane commits, and
 * the job goes on. The account it was made under, when not settle's own. */
int settle_put_doubt(struct settle *s, struct queue_tx *tx, const struct call *c,
                     const char *why, const char *account);

/* Its leader's run was cancelled and the call was never made: the leader ends as cancelled, and
 * jobs that joined it go again. */
int settle_cancelled(struct settle *s, struct call *c);

/* From intake: one job that needs no call. A verdict is rejected or cancelled. */
int settle_verdict(struct settle *s, uint64_t at, const struct release *r);
int settle_hit(struct settle *s, uint64_t at, const struct release *r,
               const struct stored_answer *a);
/* Acknowledge a record that is no job (flush) or a repeat. */
int settle_ack(struct settle *s, uint64_t at);

#endif
