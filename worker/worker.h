/*
 * worker.h - the worker role: answer what is released, once, and pay for it.
 *
 * Puts together intake (dedupe, join, plan), the batch lane, settle and housekeeping over one
 * queue, one loop and one account. Made by the command that runs it; it starts when started,
 * works by itself, and reports through worker_status.
 */
#ifndef OFFPEAK_WORKER_WORKER_H
#define OFFPEAK_WORKER_WORKER_H

#include "core/config.h"
#include "core/err.h"
#include "core/prompt.h"
#include "worker/lane_batch.h"
#include "worker/lane_direct.h"

struct worker;
struct secret;

/* Rows sync.*, pool.concurrency, cache.ttl, cache.max_bytes, results.keep, retain, batch.*, http.* */
struct worker_settings {
    struct batch_conf batch;
    struct direct_conf sync, pool;
    int64_t cache_ttl_ms, cache_max_bytes, results_keep_ms, retain_ms;
};
extern const struct config_row worker_config_rows[];
extern const size_t worker_config_rows_len;

/* Servers of one's own, all of one kind: any of them may answer any call of the lane. */
struct worker_pool {
    const char *endpoint; /* "pool:default": in cache keys, and the account in records */
    const char *const *servers; /* base URLs without a slash at the end */
    unsigned servers_n;         /* 0: this process makes no calls in the lane */
    const struct secret *key;   /* for all of them, or NULL */
    const struct price_book *prices;
};

struct worker_conf {
    struct queue *queue;
    struct loop *loop;
    struct http *http;
    const struct price_book *prices;
    const char *base_url;     /* "https://api.openai.com/v1" */
    const struct secret *key; /* NULL: this process makes no calls to a provider */
    struct worker_pool pool;
    const struct worker_settings *settings;
    const char *dir;
    /* Lines for people: a batch went on as it should; something worth knowing. */
    void (*on_step)(void *ctx, const char *subject, const char *text);
    void (*on_event)(void *ctx, const char *subject, const char *text);
    void (*on_stop)(
        void *ctx,
        const struct err *err); /* cannot go on: commit failed, other account */
    void *ctx;
};

struct worker_status {
    struct lane_status
        lane; /* the batch lane's; of a stopped account, whichever lane's */
    struct direct_status sync, pool;
    uint32_t calls, jobs; /* in flight */
    uint32_t doubtful;    /* calls of sync and pool: see struct direct_status */
    uint64_t hits, joined, paid, failed, rejected,
        cancelled;        /* jobs settled since the start */
    uint32_t left[LANES]; /* records of lanes this process makes no calls in: not taken */
    uint32_t held;        /* jobs of teams whose topics refuse results: not taken */
    bool held_again;      /* ... and they would be now, by a worker that is made anew */
    uint64_t repeats;     /* records seen before: acknowledged, no job */
    bool idle;            /* nothing unsettled anywhere in the worker */
};

int worker_create(struct worker **ret, const struct worker_conf *conf, struct err *err);
int worker_start(struct worker *w, struct err *err);
/* Nothing more is bought; what is under way goes on. For a process that will end soon. */
void worker_drain(struct worker *w);
/* For a worker whose partitions are to be another's while the process goes on. It takes nothing more,
 * and nothing more leaves; what is under way (single calls, requests about batches, ends on their way
 * into the store) is waited for, `wait_ms` at most. Then on_stopped comes, once, from the loop: `quiet`
 * when all of it came. What did not is found by the next owner: a call is in doubt, a batch is looked for.
 * The worker may be destroyed in the callback; that hands over its last commit, by which only what
 * is in doubt stays in the journal. Partitions are let go behind that commit. */
typedef void (*worker_stopped_fn)(void *ctx, bool quiet);
int worker_stop(struct worker *w, int64_t wait_ms, worker_stopped_fn on_stopped,
                void *ctx, struct err *err);
/* Of batches at the provider: see lane_batch_polls. */
unsigned worker_polls(const struct worker *w, struct lane_poll *ret, unsigned max);
void worker_status(const struct worker *w, struct worker_status *ret);
struct worker *worker_destroy(struct worker *w);

/* First 12 hex of SHA-256 over origin and key: names an account without telling its key. */
int worker_account_fingerprint(const char *base_url, const struct secret *key,
                               char ret[static 64], struct err *err);

#endif
