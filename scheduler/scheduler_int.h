/*
 * scheduler_int.h - what the scheduler's own files share; nobody else includes it.
 *
 *   scheduler.c   life cycle and the step: what is due next
 *   release.c     jobs -> ready: fill a slice, decide over it, commit
 *   settlement.c  spend -> books: turn reservations into what was spent
 *   retention.c   what nobody needs any more goes, on a broker
 *
 * One commit is in flight at a time. Memory runs ahead of the store by that commit only.
 */
#ifndef OFFPEAK_SCHEDULER_SCHEDULER_INT_H
#define OFFPEAK_SCHEDULER_SCHEDULER_INT_H

#include "core/loop.h"
#include "core/queue.h"
#include "scheduler/backlog.h"
#include "scheduler/books.h"
#include "scheduler/flow.h"
#include "scheduler/retention.h"
#include "scheduler/runs.h"
#include "scheduler/scheduler.h"
#include "scheduler/slice.h"

#define SCHEDULER_MAGIC 0x5c4edd1eu

struct scheduler {
    uint32_t magic;
    struct scheduler_conf conf;
    struct books *books;
    struct flow *flow;
    struct runs *runs;
    struct backlog *backlog;
    struct queue_feed *feed;           /* jobs.* */
    struct queue_cursor *rows, *spend; /* point reads; the walk over `spend` */
    struct loop_timer *midnight, *soon, *look, *drop;
    struct slice *reading, *deciding;
    struct retention *retention; /* NULL: it drops nothing */
    uint64_t spend_next;         /* offset of the first spend record not applied */
    uint32_t partitions;         /* of `ready` */
    bool unflushed
        [READY_PARTITIONS_MAX]; /* something was released there since its last flush */
    bool needs_limit;           /* of every queue: there is no default */
    bool dry;                   /* the feed had nothing when it was last asked */
    bool filling;               /* scratch of release_flush */
    bool committing, stopped, new_day;
    bool looking, look_due;  /* for cancelled runs: the timer runs; its time has come */
    bool drop_due, dropping; /* a step of retention; a pass of it is under way */
    bool refused;            /* ... and what it wanted to drop was refused */
    bool destroyed;          /* the last callback that is still owed frees it */
};

void scheduler_free_if_done(struct scheduler *s);
void scheduler_soon(struct scheduler *s); /* another step in this or the next turn */
void scheduler_stop(struct scheduler *s, const struct err *err);
void scheduler_commit(struct scheduler *s, struct queue_tx *tx);
/* Something was released that no flush came behind. */
bool scheduler_unflushed(const struct scheduler *s);

/* Each returns 1 when it started something, 0 when there was nothing to do, negative on error. */
int release_fill(struct scheduler *s, struct err *err);   /* feed -> a slice being read */
int release_decide(struct scheduler *s, struct err *err); /* a read slice -> a commit */
/* How many lines were left out since, of each queue. */
void release_tell_repeats(struct scheduler *s);
int release_flush(struct scheduler *s, struct err *err);
int settlement_step(struct scheduler *s, struct err *err);
int settlement_load(struct scheduler *s, struct err *err);

#endif
