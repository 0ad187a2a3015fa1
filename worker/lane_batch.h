/*
 * lane_batch.h - the batch lane: calls go in, answers go to settle.
 *
 * Drives every batch through the state table of worker/batch.h with one provider and one
 * account: spool file, journal entry, upload, create, poll, download, collect. Every effect of
 * the lane is here and in the files it owns; what the replies mean is worker/provider.h.
 *
 * The order that makes "bought once" true: the journal entry and all members are committed
 * before the first byte leaves; the create request leaves only after the commit that says
 * `uploaded` with the file id; after a crash, a timeout or a lost reply in `uploaded` the lane
 * looks under its account before it creates anything (DESIGN: 7.3).
 */
#ifndef OFFPEAK_WORKER_LANE_BATCH_H
#define OFFPEAK_WORKER_LANE_BATCH_H

#include "core/err.h"
#include "worker/batch.h"
#include "worker/call.h"
#include "worker/plan.h"
#include "worker/settle.h"

struct lane_batch;
struct http;
struct account;
struct queue;
struct queue_feed;
struct loop;
struct provider;

/* Settings of the lane; rows in worker/worker_conf.c. */
struct batch_conf {
    int64_t poll_ms;         /* batch.poll, 60 s */
    int64_t absent_after_ms; /* batch.absent_after, 5 min */
    int64_t max_requests;    /* batch.max_requests, 50,000 */
    int64_t max_bytes;       /* batch.max_bytes, 200 MB minus a margin */
    int64_t max_tokens; /* batch.max_tokens: enqueued tokens a batch may hold; 0 none */
    int64_t linger_ms;  /* batch.linger, 30 s: used by the plan, not here */
    int64_t give_up_ms; /* http.give_up: how long the provider may be unreachable */
    int64_t
        line_attempts; /* batch.line_attempts: goes of a line that failed for load, 5 */
};

/* What one batch may hold: what the settings say, within what the provider takes. */
struct plan_limits lane_batch_limits(const struct batch_conf *conf,
                                     const struct provider *provider);

/* What a watcher of the lane may want to know; counts are of now, totals since the start. */
struct lane_status {
    uint32_t by_state[16]; /* batches in each state of worker/batch.h */
    uint64_t calls_in_batches,
        calls_sent; /* without an end yet; of them, at the provider */
    uint64_t uploads, creates, polls;
    const char *
        account_stop; /* NULL, or why the account's work stands still (owned by the lane) */
    const char *account_stop_hint; /* what to do about it */
    int account_stop_code;         /* ERR_AUTH or ERR_TEMP */
    int64_t next_poll_ms;          /* loop time; 0 none */
};

struct lane_batch_conf {
    struct loop *loop;
    struct queue *queue;
    struct queue_feed *feed; /* of `ready`: to know what is acked */
    struct http *http;
    struct call_table *calls;
    struct settle *settle;
    struct cancels *cancels; /* NULL: nothing is ever cancelled */
    const struct provider *provider;
    const struct account *account;
    const struct batch_conf *batch;
    const char *dir; /* data folder; spool files live in dir/spool */
    void (*on_replan)(void *ctx, struct call *c); /* given back unexecuted */
    void (*on_recovered)(void *ctx);              /* all journal entries registered */
    /* Lines for people, about "batch 01M7...": that it went on, and what is worth knowing. */
    void (*on_step)(void *ctx, const char *subject, const char *text);
    void (*on_event)(void *ctx, const char *subject, const char *text);
    void (*on_stop)(void *ctx, const struct err *err); /* account or journal says stop */
    void *ctx;
};

/* A lane does nothing by itself before lane_batch_recover: call it also on an empty journal. */
int lane_batch_create(struct lane_batch **ret, const struct lane_batch_conf *conf,
                      struct err *err);
/* Reads the journal, registers every member as a call, then continues each batch; on_recovered
 * comes (from the loop) before anything else may be submitted. A batch under way at another
 * endpoint is ERR_USAGE here; one of another account is on_stop with ERR_AUTH: nothing is bought
 * in either case. Needs the feed and the calls only; settle must be ready by the next turn. */
int lane_batch_recover(struct lane_batch *l, struct err *err);
/* A sealed batch: calls in the order their lines will stand. The lane owns them from here on. */
int lane_batch_submit(struct lane_batch *l, struct call **calls, uint32_t n,
                      struct err *err);
/* Calls of it were marked as cancelled. */
void lane_batch_on_cancel(struct lane_batch *l);
/* When a batch that is at the provider will be asked after; loop time. */
struct lane_poll {
    char id[BATCH_ID_BYTES];
    int64_t at_ms;
};

/* The oldest first, `max` at most; how many. */
unsigned lane_batch_polls(const struct lane_batch *l, struct lane_poll *ret,
                          unsigned max);
/* No batch is uploaded or created from here on. */
void lane_batch_drain(struct lane_batch *l);
/* No batch moves on by itself any more; what is under way for one ends, and its end is kept. */
void lane_batch_stop(struct lane_batch *l);
bool lane_batch_quiet(const struct lane_batch *l); /* nothing is under way */
bool lane_batch_idle(const struct lane_batch *l);
void lane_batch_status(const struct lane_batch *l, struct lane_status *ret);
void lane_batch_on_settle_room(
    struct lane_batch *l); /* worker passes settle's on_room on */
/* ... and on_committed: the call's end is committed; it is freed after this. */
void lane_batch_on_committed(struct lane_batch *l, struct call *c);
struct lane_batch *lane_batch_destroy(struct lane_batch *l);

#endif
