/*
 * lane_batch_int.h - inside the batch lane; for worker/lane_*.c and worker/recover.c only.
 *
 * One turn of the lane (lane_turn, on a timer that lane_kick starts) looks at every batch that
 * is not busy and is due, and does what its state waits for. That is one operation: a request,
 * a commit or a piece of work on the thread pool. While it runs the batch is busy; its end
 * calls the function given, and kicks the next turn. Nothing else moves a batch, so there is
 * no order of events to think about within one.
 *
 * An operation outlives the lane when it must (a request in flight, a commit handed over): it
 * then finds its lane gone and only frees itself.
 */
#ifndef OFFPEAK_WORKER_LANE_BATCH_INT_H
#define OFFPEAK_WORKER_LANE_BATCH_INT_H

#include "core/attr.h"
#include "core/failpoint.h"
#include "core/loop.h"
#include "core/queue.h"
#include "worker/account.h"
#include "worker/batch.h"
#include "worker/cancels.h"
#include "worker/journal.h"
#include "worker/lane_batch.h"
#include "worker/provider.h"
#include "worker/retry.h"
#include "worker/spool.h"
#include <stdatomic.h>

#define LANE_REQUESTS_MAX  8 /* in flight, uploads and downloads included */
#define LANE_TRANSFERS_MAX 2 /* uploads and downloads in flight */

struct lane_op;

struct lane_batch {
    struct lane_batch_conf conf;
    struct batch *first, *last;
    struct lane_op *ops;
    struct loop_timer *timer;
    uint64_t random;
    unsigned requests, transfers;
    bool spooling, collecting; /* one batch at a time */
    bool recovering;           /* accounts of journal entries are not all confirmed */
    bool failed;               /* on_stop was called */
    bool draining;             /* nothing more is bought */
    bool stopped;              /* nothing more is begun */
    bool cancels;              /* calls were marked as cancelled */
    atomic_bool stop_work;

    char stop[400]; /* why the account's work stands still; empty: it does not */
    char stop_hint[300];
    int stop_code;
    bool stop_all; /* every request, not only uploads and creates */
    struct {
        enum ask ask;
        bool reply, useful; /* useful: it says what was asked */
        int status;
    } heard;               /* the last reply, or silence */
    int64_t stop_until_ms; /* then one request may try */
    int64_t
        silent_since_ms; /* first request without a useful reply since one had it; -1 */
    uint64_t uploads, creates, polls;
};

/* ---- the turn (lane_batch.c) ---- */
void lane_turn(void *lane);
void lane_kick(struct lane_batch *l);
void lane_link(struct lane_batch *l, struct batch *b); /* the lane owns it from here on */
void lane_unlink(struct lane_batch *l, struct batch *b); /* ... and from here on not */
uint64_t lane_random(struct lane_batch *l);
int lane_new_batch(struct lane_batch *l, uint32_t calls, struct batch **ret,
                   struct err *err);
/* The lane cannot go on: tells on_stop, once. */
void lane_fail(struct lane_batch *l, const struct err *err);
void lane_event(const struct lane_batch *l, const struct batch *b, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* It goes its way: "submitted, 40 jobs, as batch_abc". */
void lane_step(const struct lane_batch *l, const struct batch *b, const char *words);
/* b is not to be looked at before that much time has passed. */
void lane_later(struct lane_batch *l, struct batch *b, int64_t after_ms);

/* ---- operations (lane_op.c) ---- */
typedef void (*lane_fn)(struct lane_batch *l, struct batch *b);
typedef void (*lane_reply_fn)(struct lane_batch *l, struct batch *b,
                              const struct http_resp *r);

/* May a request leave now? Otherwise the batch is looked at again when one has ended. */
bool lane_may_ask(const struct lane_batch *l, enum ask ask);
/* Sends what `a` asks (its base_url is filled in); sink_fd is -1 or taken over. */
void lane_ask(struct lane_batch *l, struct batch *b, struct provider_ask a, int sink_fd,
              lane_reply_fn fn);
/* The request failed and may be made again: says when. */
void lane_ask_again(struct lane_batch *l, struct batch *b, const struct http_resp *r);
/* The account cannot work: everything waits, one request at a time tries again. `why` is the
 * reason alone, with what to do about it as its hint. */
void lane_stop_account(struct lane_batch *l, struct batch *b, const struct err *why);
/* The last reply was of use. Every callback that does not say otherwise has heard well. */
void lane_heard_well(struct lane_batch *l);
/* Commits the row as it stands in memory; then calls fn. */
void lane_save(struct lane_batch *l, struct batch *b, lane_fn fn);
/* Commits the row in its new state, moves, then calls fn (which may be NULL). */
void lane_move(struct lane_batch *l, struct batch *b, enum batch_state to, lane_fn fn);
/* Commits what the caller put together; then calls fn. */
void lane_commit(struct lane_batch *l, struct batch *b, struct queue_tx *tx, lane_fn fn);

/* A piece of work on the thread pool. `run` must touch nothing but what is named here. */
struct lane_work {
    struct lane_batch *lane; /* of it: conf and stop_work */
    struct batch *batch;     /* busy meanwhile */
    int rc;                  /* what run returned */
    struct err err;
    uint64_t bytes;
    struct spool_check check;
};
typedef int (*lane_run_fn)(struct lane_work *w);
typedef void (*lane_worked_fn)(struct lane_batch *l, struct batch *b,
                               const struct lane_work *w);
/* False: it was not started. */
bool lane_do_work(struct lane_batch *l, struct batch *b, lane_run_fn run,
                  lane_worked_fn fn);
void lane_abandon_ops(struct lane_batch *l); /* waits for work that is running */

/* ---- what each state does ---- */
void lane_spool(struct lane_batch *l, struct batch *b); /* lane_send.c */
void lane_journal(struct lane_batch *l, struct batch *b);
void lane_upload(struct lane_batch *l, struct batch *b);
void lane_create(struct lane_batch *l, struct batch *b);
void lane_poll(struct lane_batch *l, struct batch *b); /* lane_poll.c */
void lane_download(struct lane_batch *l, struct batch *b);
void lane_collect(struct lane_batch *l, struct batch *b); /* lane_collect.c */
void lane_end_dead(struct lane_batch *l, struct batch *b);
void lane_retry(struct lane_batch *l, struct batch *b); /* lane_end.c */
void lane_split(struct lane_batch *l, struct batch *b);
void lane_look(struct lane_batch *l, struct batch *b); /* recover.c */
void lane_probe(struct lane_batch *l, struct batch *b);

/* ---- cancelled runs (lane_cancel.c) ---- */
/* True: nobody wants its calls, and it was seen to; nothing else is to be done now. */
bool lane_cancel(struct lane_batch *l, struct batch *b);
bool lane_called_off(const struct batch *b); /* of dead: it died of that */
int lane_cancel_call(struct lane_batch *l, struct batch *b, uint32_t i);

/* ---- what ends a go (lane_end.c) ---- */
/* Input proven absent or gone: from the start, counts as no attempt. */
void lane_anew(struct lane_batch *l, struct batch *b);
/* Refused as a whole: another go later, or dead. */
void lane_refused(struct lane_batch *l, struct batch *b, const char *why);
/* The account had no room for it. */
void lane_overflow(struct lane_batch *l, struct batch *b, const char *why);
/* Itself too large for the provider. */
void lane_too_large(struct lane_batch *l, struct batch *b, const char *why);
/* Some lines cannot be accepted: they end failed, the rest moves to another batch. */
void lane_bad_lines(struct lane_batch *l, struct batch *b,
                    struct remote *r); /* takes r->lines */
void lane_dead(struct lane_batch *l, struct batch *b, const char *why, bool in_doubt);
/* Every member has its end: rows, files and the batch itself go. */
void lane_settle(struct lane_batch *l, struct batch *b);
/* A member fails for a reason of ours or of the whole batch. */
int lane_fail_call(struct lane_batch *l, struct batch *b, uint32_t i, const char *code,
                   const char *why);
/* It may have been billed, and no answer will come. */
int lane_doubt_call(struct lane_batch *l, struct batch *b, uint32_t i, const char *why);

void batch_search_free(struct batch_search *s);                 /* recover.c */
void batch_reading_free(struct lane_batch *l, struct batch *b); /* lane_collect.c */

#endif
